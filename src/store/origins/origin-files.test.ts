/** What else looks at a file with several origins: checksums, lost files, detaching, merge functions. */
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { test } from 'node:test'
import { readLostFile } from '../apply/lost-file.ts'
import { columnsIn, describeLost, replayPrograms, schemaIn } from '../apply/lost-replay.ts'
import { verifyDatabase } from '../checksum.ts'
import { dumpSql } from '../dump/dump.ts'
import { makePlain } from '../files/plain-file.ts'
import type { MergeFunction } from '../merge/rules.ts'
import { folderOf, Replica } from '../store-fixture.ts'
import { busy, copyOf, followerOf, KV, originate, shipAll, startOrigins } from './origin-fixture.ts'

function checksumsOf(replica: Replica) {
  const db = new DatabaseSync(replica.path, { readOnly: true })
  try {
    const { tables, problems } = verifyDatabase(db)
    assert.deepEqual(problems, [])
    return tables
  } finally {
    db.close()
  }
}

test('checksums are the same in all groups that hold the same', (t) => {
  const [a, b] = busy(t)
  shipAll([a, b])
  const follower = followerOf(t, a, 'f')
  // Made in another order everywhere, so that the index has other pages.
  a.must("insert into kv values (21, 'x', 1), (22, 'y', 1)")
  b.must("insert into kv values (31, 'x', 1), (32, 'y', 1)")
  shipAll([a, b])
  follower.follow(a)
  const checksums = checksumsOf(a)
  assert.deepEqual(Object.keys(checksums), ['schema', 'child', 'kv', 'quorate_conflicts', 'search'])
  for (const other of [b, follower]) assert.deepEqual(checksumsOf(other), checksums)
  b.must('delete from kv where id = 31')
  const { search, kv } = checksumsOf(b)
  assert.notEqual(search, checksums['search'])
  assert.notEqual(kv, checksums['kv'])
})

test('what is lost can be looked at and done again', (t) => {
  const [replica] = startOrigins(t, folderOf(t), 1, KV)
  assert.ok(replica !== undefined)
  const base = replica.log.last.index
  replica.must("insert into kv values (8, 'eight', 8)", 'update kv set n = 9 where id = 8')
  const { lost } = replica.truncate(base)
  assert.equal(lost?.transactions, 2)
  const file = readLostFile(lost?.file ?? '')
  const { entries } = describeLost(file, columnsIn(replica.path))
  assert.deepEqual(
    entries.flatMap(({ rows }) => rows.map(({ op, table, after }) => [op, table, after])),
    [
      ['insert', 'kv', { id: 8, value: 'eight', n: 8 }],
      ['update', 'kv', { n: 9 }],
    ],
  )
  for (const { program } of replayPrograms(file, schemaIn(replica.path))) replica.execute(program)
  assert.deepEqual(replica.query('select * from kv'), [[8, 'eight', 9]])
})

test('a file that leaves its cluster holds nothing of ours, and neither does a dump', (t) => {
  const [a, b] = busy(t)
  shipAll([a, b])
  const path = copyOf(a, join(folderOf(t), 'x.db'))
  makePlain(path)
  const db = new DatabaseSync(path)
  t.after(() => db.close())
  const names = db.prepare("select name from sqlite_schema where name like '%quorate%'").all()
  assert.deepEqual(names, [])
  const live = new DatabaseSync(a.path, { readOnly: true })
  t.after(() => live.close())
  assert.ok(![...dumpSql(live)].join('').includes('quorate'))
})

test('a replica without a merge function that a rule names does not open', (t) => {
  const longest: MergeFunction = (_, ours, theirs) =>
    String(ours).length >= String(theirs).length ? ours : theirs
  const functions = new Map([['longest', longest]])
  const [a, b] = startOrigins(t, folderOf(t), 2, KV, { functions })
  assert.ok(a !== undefined && b !== undefined)
  a.must("insert into kv values (1, 'a', 1)")
  originate(a, [{ kind: 'rule', rule: { table: 'kv', column: 'value', rule: 'function:longest' } }])
  shipAll([a, b])
  a.must("update kv set value = 'long text' where id = 1")
  b.must("update kv set value = 'text' where id = 1")
  shipAll([a, b])
  for (const each of [a, b]) assert.deepEqual(each.query('select value from kv'), [['long text']])
  b.store.close()
  assert.throws(() => new Replica(b.path), /MERGE_FUNCTION_MISSING|longest is not registered/)
  b.open()
  b.must('delete from kv')
})

test('a rule that names a merge function which is not here is not applied', (t) => {
  const functions = new Map([['mine', () => null]])
  const folder = folderOf(t)
  const [a] = startOrigins(t, folder, 2, KV, { functions })
  const [, b] = startOrigins(t, folderOf(t), 2, KV)
  assert.ok(a !== undefined && b !== undefined)
  originate(a, [{ kind: 'rule', rule: { table: 'kv', column: 'n', rule: 'function:mine' } }])
  assert.throws(() => shipAll([a, b]), /MERGE_FUNCTION_MISSING/)
  const { applied } = b.log
  const reply = b.store.run({ kind: 'apply', to: b.log.last.index })
  assert.equal(reply.kind === 'failed' && reply.error.code, 'MERGE_FUNCTION_MISSING')
  assert.equal(b.log.applied, applied)
})
