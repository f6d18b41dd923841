/**
 * Writers that note what became of each write, and the comparison of their notes with a database.
 * They know nothing of how the cluster works: what was acknowledged must be there once, what was
 * refused must not be there, and of the rest either is right.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Prng } from '../../src/base/prng.ts'
import { QuorateError, type RemoteDb } from '../../src/client/index.ts'

export const SCHEMA = [
  'create table writes (id integer primary key, writer integer not null, body text not null)',
  `create table notes (
     id integer primary key, write_id integer not null references writes (id) on delete cascade)`,
  'create table counters (id integer primary key, n integer not null)',
  'create table totals (name text primary key, n integer not null) without rowid',
  `create trigger writes_counted after insert on writes begin
     update totals set n = n + 1 where name = 'writes'; end`,
  "insert into totals values ('writes', 0)",
  'insert into counters values (0, 0), (1, 0), (2, 0), (3, 0)',
]

const COUNTERS = 4
/** Between two writes of a writer, ms: a steady load, not a benchmark. */
const PAUSE_MS = 2

/** What became of the writes of one kind. */
export class Notes {
  readonly acknowledged = new Set<number>()
  readonly unknown = new Set<number>()
  readonly refused = new Set<number>()
  /** Increments of each counter. */
  readonly added: number[] = Array(COUNTERS).fill(0)
  readonly perhapsAdded: number[] = Array(COUNTERS).fill(0)
  /** What should never have been answered. */
  readonly wrong: string[] = []
}

export interface Load {
  readonly notes: Notes
  /** Lets every writer finish what it is at. */
  stop(): Promise<void>
}

/** Starts as many writers as there are clients. */
export function startLoad(clients: readonly RemoteDb[], prng: Prng): Load {
  const notes = new Notes()
  const running = { on: true }
  const writers = clients.map((db, at) =>
    write(db, at, clients.length, prng.fork(), notes, running),
  )
  return {
    notes,
    async stop() {
      running.on = false
      await Promise.all(writers)
    },
  }
}

async function write(
  db: RemoteDb,
  writer: number,
  writers: number,
  prng: Prng,
  notes: Notes,
  running: { readonly on: boolean },
): Promise<void> {
  for (let id = writer + 1; running.on; id += writers) {
    if (prng.percent(30)) await addOne(db, prng.intInclusive(0, COUNTERS - 1), notes)
    else {
      const length = prng.intInclusive(10, prng.percent(20) ? 10_000 : 300)
      await insert(db, id, writer, 'x'.repeat(length), notes)
    }
    await sleep(PAUSE_MS)
  }
}

/** Two rows in one transaction, and a third by a trigger. */
async function insert(
  db: RemoteDb,
  id: number,
  writer: number,
  body: string,
  notes: Notes,
): Promise<void> {
  try {
    await db.batch([
      ['insert into writes values (?, ?, ?)', [id, writer, body]],
      ['insert into notes values (?, ?)', [id, id]],
    ])
    notes.acknowledged.add(id)
  } catch (error) {
    if (isUnknown(error)) notes.unknown.add(id)
    else notes.refused.add(id)
    noteIfWrong(error, `insert ${id}`, notes)
  }
}

/** The statement that shows at once when it ran twice. */
async function addOne(db: RemoteDb, counter: number, notes: Notes): Promise<void> {
  try {
    await db.execute('update counters set n = n + 1 where id = ?', [counter])
    notes.added[counter] = (notes.added[counter] ?? 0) + 1
  } catch (error) {
    if (isUnknown(error)) notes.perhapsAdded[counter] = (notes.perhapsAdded[counter] ?? 0) + 1
    noteIfWrong(error, `add to ${counter}`, notes)
  }
}

function isUnknown(error: unknown): boolean {
  // A session that is no longer remembered also leaves open whether the first attempt took effect.
  return (
    error instanceof QuorateError &&
    (error.code === 'UNKNOWN_OUTCOME' || error.code === 'SESSION_EXPIRED')
  )
}

/** Ids are fresh, so a broken constraint means that the write ran before: twice, for the client. */
function noteIfWrong(error: unknown, what: string, notes: Notes): void {
  const expected = ['UNKNOWN_OUTCOME', 'NO_LEADER', 'NOT_READY', 'UNREACHABLE', 'DEADLINE']
  if (error instanceof QuorateError && [...expected, 'TAKEN_BACK'].includes(error.code)) return
  notes.wrong.push(`${what}: ${error instanceof QuorateError ? error.code : ''} ${error}`)
}

/** The part of a database's content that the notes speak about. */
export interface Content {
  readonly writes: readonly number[]
  readonly notes: readonly number[]
  readonly total: number
  readonly counters: readonly number[]
}

/** Every way in which a database disagrees with what its writers were told; empty is good. */
export function disagreements(notes: Notes, content: Content): string[] {
  const held = new Set(content.writes)
  const found = [...notes.wrong]
  for (const id of notes.acknowledged) if (!held.has(id)) found.push(`acknowledged ${id} is lost`)
  for (const id of notes.refused) if (held.has(id)) found.push(`refused ${id} is there`)
  for (const id of held) {
    if (!notes.acknowledged.has(id) && !notes.unknown.has(id)) found.push(`${id} from nowhere`)
  }
  if (content.notes.length !== held.size || !content.notes.every((id) => held.has(id))) {
    found.push(`half a transaction: ${held.size} writes, ${content.notes.length} notes`)
  }
  if (content.total !== held.size) found.push(`trigger counted ${content.total} of ${held.size}`)
  content.counters.forEach((n, counter) => {
    const least = notes.added[counter] ?? 0
    const most = least + (notes.perhapsAdded[counter] ?? 0)
    if (n < least || n > most) found.push(`counter ${counter} is ${n}, not in [${least}, ${most}]`)
  })
  return found
}
