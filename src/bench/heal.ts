/**
 * How long it takes to merge what two origins wrote while they were cut off from each other, without
 * network, log and threads: a file with as many transactions of its own as arrive of the other's, in
 * slices of one SQLite transaction each, as the exchange would give them.
 *
 *     npm run bench:heal -- [--transactions N] [--slice N] [--overlap PERCENT] [--hot ROWS] [--json]
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { parseArgs } from 'node:util'
import { prngFromSeed } from '../base/prng.ts'
import type { Frontier } from '../core/order/clock/frontier.ts'
import type { Transaction } from '../store/merge/merge-tables.ts'
import { OrderedTransactions } from '../store/merge/ordered.ts'
import { setRule } from '../store/merge/rule-book.ts'

const { values } = parseArgs({
  options: {
    /** Of each side. */
    transactions: { type: 'string', default: '1000000' },
    /** Arrivals that are merged in one SQLite transaction. */
    slice: { type: 'string', default: '1024' },
    /** How many of a hundred are on rows that the other side writes as well. */
    overlap: { type: 'string', default: '1' },
    /** All is written to so many rows, by both; a name and a counter of each. 0: see overlap. */
    hot: { type: 'string', default: '0' },
    json: { type: 'boolean', default: false },
  },
})
const COUNT = Number(values.transactions)
const SLICE = Number(values.slice)
const OVERLAP = Number(values.overlap)
const HOT = Number(values.hot)
const ROWS = 200_000
/** Transactions of one entry: they have seen the same. */
const ENTRY = 64
/** A transaction of each side every so many microseconds. */
const STEP = 20
/** Slices between checkpoints, which a thread of its own does in a node. */
const CHECKPOINT = 64
const SIDES = ['a', 'b'] as const

interface Side {
  readonly name: (typeof SIDES)[number]
  readonly db: DatabaseSync
  readonly ordered: OrderedTransactions
}

interface Phase {
  readonly phase: string
  readonly seconds: number
  /** Of the processor: the same however busy the machine is. */
  readonly cpuSeconds: number
  /** The longest SQLite transaction. */
  readonly longestMs: number
  readonly residentMb: number
}

const folder = mkdtempSync(join(tmpdir(), 'quorate-heal-'))
try {
  const [here, there] = [open('a'), open('b')]
  const total = { merged: 0, takenBack: 0, byRules: 0 }
  const phases = [
    measure('write', here, writes(here)),
    measure('write', there, writes(there)),
    measure('merge', here, merges(here, there, total)),
  ]
  const conflicts = count(here, 'quorate_conflicts')
  phases.push(measure('forget', here, forgets(here)))
  const left = count(here, '_quorate_transactions') + count(here, '_quorate_deleted')
  const rows = HOT > 0 ? { hot: HOT } : { overlap: OVERLAP }
  const result = { transactions: COUNT, ...rows, ...total, conflicts, left }
  if (values.json) console.log(JSON.stringify({ ...result, phases }))
  else {
    console.table(phases)
    console.log(result)
  }
  for (const { db } of [here, there]) db.close()
} finally {
  rmSync(folder, { recursive: true })
}

function open(name: Side['name']): Side {
  const db = new DatabaseSync(join(folder, `${name}.db`), { enableForeignKeyConstraints: false })
  db.exec(`pragma journal_mode = wal; pragma synchronous = normal; pragma temp_store = memory;
    pragma wal_autocheckpoint = 0; pragma cache_size = -16384;
    create table kv (id integer primary key, value text, n integer);
    insert into kv with recursive ids (id) as (select 1 union all select id + 1 from ids limit ${ROWS})
      select id, 'value ' || id, 0 from ids`)
  const rule = { table: 'kv', column: 'n', rule: 'add' }
  if (HOT > 0) setRule(db, rule, new Map())
  return { name, db, ordered: new OrderedTransactions(db) }
}

/** Runs steps, each one SQLite transaction. */
function measure(name: string, { db }: Side, steps: Iterable<void>): Phase {
  const started = performance.now()
  const cpuBefore = process.cpuUsage()
  let longest = 0
  let residentMb = 0
  let number = 0
  const iterator = steps[Symbol.iterator]()
  for (;;) {
    const from = performance.now()
    db.exec('begin immediate')
    const { done } = iterator.next()
    db.exec('commit')
    longest = Math.max(longest, performance.now() - from)
    number += 1
    if (done === true || number % CHECKPOINT === 0) {
      db.exec('pragma wal_checkpoint (passive)')
      residentMb = Math.max(residentMb, Math.round(process.memoryUsage.rss() / 1e6))
    }
    if (done === true) break
  }
  const seconds = Math.round((performance.now() - started) / 10) / 100
  const { user, system } = process.cpuUsage(cpuBefore)
  const cpuSeconds = Math.round((user + system) / 10_000) / 100
  return { phase: name, seconds, cpuSeconds, longestMs: Math.round(longest), residentMb }
}

/** Half are new rows, half are changes of rows of one's own; some are of rows that both change. */
function* writes({ name, db, ordered }: Side): Generator<void> {
  const side = SIDES.indexOf(name)
  const prng = prngFromSeed(side + 1)
  const insert = db.prepare('insert into kv values (?, ?, ?)')
  const update = db.prepare('update kv set value = ?, n = n + 1 where id = ?')
  const shared = Math.min(ROWS / 2, Math.ceil((COUNT * OVERLAP) / 100))
  let seen: Frontier = new Map()
  for (let i = 1; i <= COUNT; i += 1) {
    const session = db.createSession({ table: 'kv' })
    const value = `value ${i} of ${name}`
    if (HOT > 0) update.run(value, prng.intInclusive(1, HOT))
    else if (prng.intInclusive(1, 100) <= OVERLAP) update.run(value, prng.intInclusive(1, shared))
    else if (i % 2 === 0) insert.run(ROWS + i * 2 + side, value, i)
    else {
      const row = prng.intInclusive(Math.ceil(shared / 2) + 1, ROWS / 2)
      update.run(value, row * 2 - side)
    }
    const changes = session.changeset()
    session.close()
    if (i % ENTRY === 1) seen = new Map([[name, i - 1]])
    const stamp = { time: i * STEP + side, origin: name }
    ordered.adopt([{ stamp, sequence: i, seen, changes }])
    if (i % SLICE === 0) yield
  }
}

function* merges(
  { ordered }: Side,
  there: Side,
  total: { merged: number; takenBack: number; byRules: number },
): Generator<void> {
  const read = there.db.prepare(`select time, origin, sequence, seen, changes
    from _quorate_transactions where (time, origin) > (?, '') order by time, origin limit ?`)
  let after = 0
  for (;;) {
    const rows = read.all(after, SLICE) as unknown as (Omit<Transaction, 'stamp' | 'seen'> & {
      readonly time: number
      readonly origin: string
      readonly seen: string
    })[]
    const last = rows.at(-1)
    if (last === undefined) return
    after = last.time + 1
    const some = rows.map(({ time, origin, sequence, seen, changes }): Transaction => {
      const known = new Map(JSON.parse(seen) as [string, number][])
      return { stamp: { time, origin }, sequence, seen: known, changes }
    })
    while (!ordered.prepare(() => some.map(({ stamp }) => stamp), 10_000)) yield
    const { merged, takenBack, byRules } = ordered.merge(some)
    total.merged += merged
    total.takenBack += takenBack
    total.byRules += byRules
    yield
  }
}

function* forgets({ ordered }: Side): Generator<void> {
  const all = new Map(SIDES.map((name) => [name, COUNT]))
  const seen = new Map(SIDES.map((name) => [name, all]))
  while (!ordered.forget((COUNT + 1) * STEP, seen)) yield
}

function count({ db }: Side, table: string): number {
  return Number(db.prepare(`select count(*) as n from ${table}`).get()?.['n'])
}
