/** Stores of several origins in one process, which hand each other their entries. */
import assert from 'node:assert/strict'
import { rmSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { toLogIndex, toTerm } from '../../base/brand.ts'
import { missing } from '../../core/order/clock/frontier.ts'
import type {
  Cluster,
  MergeOperation,
  OriginEntry,
  OriginOperation,
} from '../../model/origin-entry.ts'
import type { OpenOptions } from '../connections.ts'
import { type Cleanup, folderOf, Replica } from '../store-fixture.ts'
import type { StoreReply } from '../types.ts'

/** A cluster of origins `o0`, `o1` …; the first is the keeper. */
export function clusterOf(count: number): Cluster {
  const origins = Array.from({ length: count }, (_, slot) => ({
    origin: `o${slot}`,
    name: `group ${slot}`,
    founder: `n${slot}`,
    slot,
    standing: { kind: 'writes', since: 1 } as const,
  }))
  return { strategy: 'multi-leader', epoch: 1, keeper: 'o0', origins, floor: new Map() }
}

/** One store for each origin, all with the same tables. */
export function startOrigins(
  t: Cleanup,
  folder: string,
  count: number,
  prepare: string,
  options: OpenOptions = {},
): readonly Replica[] {
  const cluster = clusterOf(count)
  return cluster.origins.map(({ origin }) =>
    Replica.found(t, folder, origin, prepare, { self: origin, cluster }, options),
  )
}

export function originsOf(replica: Replica) {
  const { origins } = replica.store
  assert.ok(origins !== null)
  return origins
}

export function exchangeOf(replica: Replica) {
  const reply = replica.send({ kind: 'exchangeState' })
  assert.ok(reply.kind === 'exchangeState')
  return reply.state
}

/** What one holds and another does not, in the order of the first one's log. */
export function lacking(from: Replica, to: Replica, entriesMax = Infinity): readonly OriginEntry[] {
  const ranges = missing(exchangeOf(to).held, exchangeOf(from).held)
  const limits = { bytesMax: Infinity, entriesMax: Math.min(entriesMax, 1e6) }
  const reply = from.send({ kind: 'readOrigins', ranges, ...limits })
  assert.ok(reply.kind === 'originEntries')
  return reply.entries
}

/** Logs a `merge` entry without applying it. */
export function logMerge(to: Replica, operations: readonly MergeOperation[]): void {
  const { term } = to.log.last
  to.send({ kind: 'merge', ticket: 0, term, at: to.at, operations })
}

/** Logs what one holds and another lacks there, and applies it. */
export function ship(from: Replica, to: Replica, entriesMax = Infinity): number {
  const entries = lacking(from, to, entriesMax)
  if (entries.length === 0) return 0
  logMerge(
    to,
    entries.map((entry) => ({ kind: 'take', entry, apply: true })),
  )
  to.applyAll()
  return entries.length
}

/** Everybody gets everything. */
export function shipAll(replicas: readonly Replica[]): void {
  for (let moved = 1; moved > 0; ) {
    moved = 0
    for (const from of replicas) for (const to of replicas) moved += ship(from, to)
  }
}

/** An entry of the origin's own, applied at once. */
export function originate(
  replica: Replica,
  operations: readonly OriginOperation[],
  answer: OriginEntry['answer'] = 'none',
): StoreReply {
  const { term } = replica.log.last
  const given = { ticket: 0, term, at: replica.at, answer, operations }
  const reply = replica.send({ kind: 'originate', ...given })
  replica.applyAll()
  return reply
}

/** Applies what is logged and gives the last reply. */
export function applied(replica: Replica): Extract<StoreReply, { kind: 'applied' }> {
  const reply = replica.send({ kind: 'apply', to: replica.log.last.index })
  assert.ok(reply.kind === 'applied')
  return reply
}

/** The order is final through a time at a replica. */
export function forget(replica: Replica, stable: number, conflictsUntil = 0): void {
  logMerge(replica, [{ kind: 'forget', stable, conflictsUntil }])
  replica.applyAll()
}

/** A follower of a replica's group, from a snapshot of its file. */
export function followerOf(t: Cleanup, leader: Replica, name: string): Replica {
  const path = join(folderOf(t), `${name}.db`)
  const follower = new Replica(path)
  t.after(() => follower.store.close())
  follower.send({
    kind: 'found',
    ticket: 0,
    identity: { cluster: 'c', node: name },
    base: { term: toTerm(0), index: toLogIndex(0) },
    members: { cluster: 'c', members: [] },
  })
  follower.send({ kind: 'install', ticket: 0, path: copyOf(leader, path) })
  return follower
}

/** A snapshot beside another database. */
export function copyOf(replica: Replica, beside: string): string {
  const path = join(dirname(beside), 'copy.db')
  rmSync(path, { force: true })
  const db = new DatabaseSync(replica.path)
  db.exec(`vacuum into '${path}'`)
  db.close()
  return path
}

export const KV = 'create table kv (id integer primary key, value text, n integer)'

const TABLES = `${KV};
  create table child (id integer primary key, kv integer references kv on delete cascade);
  create virtual table search using fts5 (value, content = '');
  create trigger kv_in after insert on kv begin
    insert into search (rowid, value) values (new.id, new.value); end;
  create trigger kv_out after delete on kv begin
    insert into search (search, rowid, value) values ('delete', old.id, old.value); end;
  create trigger kv_up after update on kv begin
    insert into search (search, rowid, value) values ('delete', old.id, old.value);
    insert into search (rowid, value) values (new.id, new.value); end;`

/** Two origins with content, conflicts and deletes. */
export function busy(t: Cleanup): readonly [Replica, Replica] {
  const [a, b] = startOrigins(t, folderOf(t), 2, TABLES)
  assert.ok(a !== undefined && b !== undefined)
  a.must("insert into kv values (1, 'one', 1), (2, 'two', 2), (3, 'three', 3)")
  shipAll([a, b])
  a.must("update kv set value = 'mine' where id = 1", 'delete from kv where id = 2')
  b.must("update kv set value = 'yours' where id = 1", 'insert into child values (1, 2)')
  return [a, b]
}

export const hits = (replica: Replica, word: string) =>
  replica.query(`select rowid from search where search match '${word}'`).flat()

/** Without the index's own tables, which are alike in what they find only. */
export function contentless(replica: Replica): Readonly<Record<string, unknown>> {
  const all = Object.entries(replica.content())
  return Object.fromEntries(all.filter(([name]) => !name.startsWith('search')))
}
