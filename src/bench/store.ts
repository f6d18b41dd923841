/**
 * How fast the store's core is, without threads, network and flushes: single-row upserts in batches
 * as a leader, then their entries applied as a follower; with one leader, or as one of several
 * origins. Run: node src/bench/store.ts [rows] [origins]
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { toLogIndex, toTerm } from '../base/brand.ts'
import { prngFromSeed } from '../base/prng.ts'
import type { Entry } from '../model/entry.ts'
import type { Program } from '../model/program.ts'
import { Store } from '../store/store.ts'
import type { StoreReply } from '../store/types.ts'

const ROWS = Number(process.argv[2] ?? 200_000)
const ORIGINS = process.argv[3] === 'origins'
const BATCH = 64
const KEYS = 100_000
const TERM = toTerm(1)
const UPSERT = `insert into item (id, name, note, price, stock) values (?, ?, ?, ?, ?)
  on conflict (id) do update set name = excluded.name, note = excluded.note,
    price = excluded.price, stock = excluded.stock`

const folder = mkdtempSync(join(tmpdir(), 'quorate-bench-'))
try {
  const leader = openStore('leader')
  const follower = openStore('follower')
  const created = execute(leader, [
    program(
      'create table item (id integer primary key, name text, note text, price real, stock integer)',
    ),
  ])
  for (const store of [leader, follower]) follow(store, created, store === follower)
  const entries = bench('execute', ROWS, () => load(leader))
  const bytes = entries.reduce((sum, { body }) => sum + body.length, 0)
  bench('append', ROWS, () => {
    for (let i = 0; i < entries.length; i += 16) {
      run(follower, { kind: 'append', ticket: 0, entries: entries.slice(i, i + 16) })
    }
  })
  bench('apply', ROWS, () => follow(follower, [], false))
  const last = follower.state().log.last.index
  bench('truncate', ROWS, () => {
    run(leader, { kind: 'truncate', ticket: 0, to: toLogIndex(last - entries.length), at: 0 })
  })
  console.log(`${entries.length} entries, ${Math.round(bytes / ROWS)} bytes a row`)
  leader.close()
  follower.close()
} finally {
  rmSync(folder, { recursive: true })
}

function openStore(name: string): Store {
  const store = Store.open(join(folder, `${name}.db`))
  const self = 'bench-000000'
  const standing = { kind: 'writes', since: 1 } as const
  const cluster = {
    strategy: 'multi-leader',
    epoch: 1,
    keeper: self,
    origins: [{ origin: self, name: 'bench', founder: 'leader', slot: 0, standing }],
    floor: new Map(),
  } as const
  run(store, {
    kind: 'found',
    ticket: 0,
    identity: { cluster: 'bench', node: name },
    base: { term: TERM, index: toLogIndex(1) },
    members: { cluster: 'bench', members: [] },
    ...(ORIGINS ? { origin: { self, cluster } } : {}),
  })
  return store
}

function program(sql: string, args: NonNullable<Program['steps'][0]['statement']['args']> = []) {
  return { atomic: false, steps: [{ statement: { sql, args } }] } satisfies Program
}

function run(store: Store, command: Parameters<Store['run']>[0]): StoreReply {
  const reply = store.run(command)
  if (reply.kind === 'failed') throw new Error(reply.error.detail)
  return reply
}

function execute(store: Store, programs: readonly Program[]): readonly Entry[] {
  const several = ORIGINS ? { originating: { answer: 'soon', schema: 'any' } as const } : {}
  const reply = run(store, { kind: 'execute', ticket: 0, term: TERM, at: 1, programs, ...several })
  if (reply.kind !== 'executed') throw new Error(reply.kind)
  for (const { result } of reply.outcomes) {
    const [step] = result.steps
    if (step === null || step === undefined || 'error' in step)
      throw new Error('a statement failed')
  }
  return reply.entries
}

function load(store: Store): Entry[] {
  const prng = prngFromSeed(1)
  const entries: Entry[] = []
  const note = 'x'.repeat(150)
  for (let done = 0; done < ROWS; done += BATCH) {
    const programs: Program[] = []
    for (let i = 0; i < BATCH; i += 1) {
      const id = prng.intInclusive(1, KEYS)
      const args = [BigInt(id), `name ${id}`, note, done / 7, BigInt(done + i)]
      programs.push({
        ...program(UPSERT, args),
        id: { session: 'bench', number: done + i, since: 0 },
      })
    }
    entries.push(...execute(store, programs))
  }
  return entries
}

function follow(store: Store, entries: readonly Entry[], appends: boolean): void {
  if (appends) run(store, { kind: 'append', ticket: 0, entries })
  const to = store.state().log.last.index
  while (store.state().log.applied < to) run(store, { kind: 'apply', to })
}

function bench<T>(name: string, rows: number, work: () => T): T {
  const cpu = process.cpuUsage()
  const start = performance.now()
  const result = work()
  const ms = performance.now() - start
  const { user, system } = process.cpuUsage(cpu)
  const rate = (milliseconds: number) =>
    Math.round((rows / milliseconds) * 1000).toLocaleString('en')
  // On a busy machine the second number says more.
  const cpuRate = rate((user + system) / 1000)
  console.log(`${name.padEnd(9)} ${rate(ms)} rows/s, ${cpuRate} a second of processor time`)
  return result
}
