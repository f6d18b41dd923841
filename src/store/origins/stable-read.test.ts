import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { LogIndex } from '../../base/brand.ts'
import { folderOf, ok, program, type Replica } from '../store-fixture.ts'
import { busy, forget, hits, KV, originate, shipAll, startOrigins } from './origin-fixture.ts'

const ROWS = 'select id, value, n from kv order by id'

/** The time of the latest entry of a replica's own. */
function mark(replica: Replica): { readonly through: number; readonly since: LogIndex } {
  originate(replica, [], 'now')
  const { index: since } = replica.log.last
  const [last] = replica.query('select max(time) from _quorate_entries')
  return { through: Number(last?.[0]), since }
}

function readAt(
  replica: Replica,
  at: { readonly through: number; readonly since: LogIndex },
  ...sqls: readonly string[]
) {
  const reply = replica.send({ kind: 'readStable', program: program(...sqls), ...at })
  assert.ok(reply.kind === 'stableRead')
  return reply.read
}

/** The rows of the first statement. */
function rowsAt(replica: Replica, at: Parameters<typeof readAt>[1], sql: string) {
  const read = readAt(replica, at, sql)
  assert.ok(read.kind === 'rows', read.kind)
  const [step] = read.result.steps
  const toNumber = (value: unknown) => (typeof value === 'bigint' ? Number(value) : value)
  return ok(step).rows.map((row) => row.map(toNumber))
}

test('a stable read shows the rows as of its time, and changes nothing', (t) => {
  const [a, b] = busy(t)
  shipAll([a, b])
  const at = mark(a)
  const then = a.query(ROWS)
  assert.deepEqual(hits(a, 'three'), [3])
  a.must("insert into kv values (7, 'seven', 7)", 'delete from kv where id = 3')
  a.must("update kv set value = 'later', n = n + 1 where id = 1")
  const now = a.query(ROWS)
  for (let i = 0; i < 2; i += 1) {
    assert.deepEqual(rowsAt(a, at, ROWS), then)
    assert.deepEqual(rowsAt(a, at, "select rowid from search where search match 'three'"), [[3]])
    assert.deepEqual(rowsAt(a, at, "select rowid from search where search match 'seven'"), [])
  }
  assert.deepEqual(a.query(ROWS), now)
  assert.deepEqual([hits(a, 'three'), hits(a, 'seven'), hits(a, 'later')], [[], [7], [1]])
  // And goes on: triggers of the schema don't fire where rows are put in place.
  b.must("insert into kv values (8, 'eight', 8)", "update kv set value = 'theirs' where id = 3")
  shipAll([a, b])
  assert.deepEqual(a.query(ROWS), b.query(ROWS))
  assert.deepEqual(
    [a, b].map((replica) => hits(replica, 'eight')),
    [[8], [8]],
  )
})

test('of what others wrote nothing shows that is later, nor its conflicts', (t) => {
  const [a, b] = startOrigins(t, folderOf(t), 2, KV)
  assert.ok(a !== undefined && b !== undefined)
  a.must("insert into kv values (1, 'one', 1)")
  shipAll([a, b])
  const at = mark(a)
  b.at += 1_000
  b.must("update kv set value = 'theirs' where id = 1")
  a.must("update kv set value = 'mine' where id = 1")
  shipAll([a, b])
  assert.deepEqual(a.query('select value from kv'), [['theirs']])
  const conflicts = 'select count(*) from quorate_conflicts'
  const count = a.query(conflicts)
  assert.deepEqual(rowsAt(a, at, ROWS), [[1, 'one', 1]])
  assert.deepEqual(rowsAt(a, at, conflicts), [[0]])
  assert.deepEqual(a.query(conflicts), count)
  assert.deepEqual(a.content(), b.content())
  const later = mark(a)
  assert.deepEqual(rowsAt(a, later, ROWS), [[1, 'theirs', 1]])
})

test('what is final by now is shown, because it can not be taken back any more', (t) => {
  const [a] = startOrigins(t, folderOf(t), 1, KV)
  assert.ok(a !== undefined)
  const at = mark(a)
  a.must("insert into kv values (1, 'one', 1)")
  assert.deepEqual(rowsAt(a, at, ROWS), [])
  forget(a, mark(a).through)
  assert.deepEqual(rowsAt(a, at, ROWS), [[1, 'one', 1]])
})

test('after the schema has changed only a later mark will do', (t) => {
  const [a] = startOrigins(t, folderOf(t), 1, KV)
  assert.ok(a !== undefined)
  a.must("insert into kv values (1, 'one', 1)")
  const at = mark(a)
  a.must('alter table kv drop column n')
  a.applyAll()
  assert.deepEqual(readAt(a, at, 'select 1'), { kind: 'again' })
  assert.deepEqual(rowsAt(a, mark(a), 'select id, value from kv'), [[1, 'one']])
  a.reopen()
  assert.deepEqual(readAt(a, { ...at, since: a.log.last.index }, 'select 1'), { kind: 'again' })
  assert.deepEqual(rowsAt(a, mark(a), 'select id, value from kv'), [[1, 'one']])
})

test('writes are not run, and errors are in their steps', (t) => {
  const [a] = startOrigins(t, folderOf(t), 1, KV)
  assert.ok(a !== undefined)
  const at = mark(a)
  assert.deepEqual(readAt(a, at, "insert into kv values (1, 'one', 1)"), { kind: 'notRead' })
  assert.deepEqual(readAt(a, at, 'pragma user_version = 3'), { kind: 'notRead' })
  const read = readAt(a, at, 'select nothing from kv', 'select 1')
  assert.ok(read.kind === 'rows')
  assert.deepEqual(
    read.result.steps.map((step) => step !== null && 'ok' in step),
    [false, true],
  )
  // Nobody asks about what the applier prepares any more.
  a.must("insert into kv values (1, 'one', 1)")
  assert.deepEqual(a.query(ROWS), [[1, 'one', 1]])
})
