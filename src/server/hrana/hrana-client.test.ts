/** libSQL's own hrana-client in version 3 over HTTP, which is Protobuf, against the server on a fake node. */
import { deepEqual, equal, ok, rejects } from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import * as hrana from '@libsql/hrana-client'
import { start } from '../testing/start.ts'

async function open(t: TestContext) {
  const server = await start(t)
  const client = hrana.openHttp(server.url, undefined, undefined, undefined, 3)
  client.intMode = 'bigint'
  t.after(() => client.close())
  equal(await client.getVersion(), 3)
  return { server, client, stream: client.openStream() }
}

test('values of every kind go in and come out as they were', async (t) => {
  const { stream } = await open(t)
  const values = [0n, -1n, 2n ** 63n - 1n, -(2n ** 63n), 0.5, -1e308, '', 'é\u0000✓', null]
  const sql = `SELECT ${values.map(() => '?').join(', ')}`
  const { row } = await stream.queryRow([sql, values])
  deepEqual(
    values.map((_, at) => row?.[at]),
    values,
  )
  const { value: blob } = await stream.queryValue(['SELECT ?', [new Uint8Array([0, 255])]])
  deepEqual(new Uint8Array(blob as ArrayBuffer), new Uint8Array([0, 255]))
  const named = await stream.queryRow(['SELECT :a, @b', { ':a': 'x', '@b': 'y' }])
  deepEqual([named.row?.[0], named.row?.[1]], ['x', 'y'])
  deepEqual(named.columnNames, [':a', '@b'])
})

test('a transaction over several calls: counts, rowids, autocommit, rollback by closing', async (t) => {
  const { server, client, stream } = await open(t)
  await stream.sequence(
    'CREATE TABLE t (id INTEGER PRIMARY KEY, v FURRY BUNNY); CREATE TABLE u (a)',
  )
  await stream.run('BEGIN')
  equal(await stream.getAutocommit(), false)
  const inserted = await stream.run(['INSERT INTO t (id, v) VALUES (?, ?)', [-5, 'x']])
  deepEqual([inserted.affectedRowCount, inserted.lastInsertRowid], [1, -5n])
  await stream.run('COMMIT')
  equal(await stream.getAutocommit(), true)
  const { columnDecltypes } = await stream.query('SELECT v, 1 FROM t')
  deepEqual(columnDecltypes, ['FURRY BUNNY', undefined])
  await stream.run('BEGIN')
  await stream.run('DELETE FROM t')
  stream.close()
  const { value } = await client.openStream().queryValue('SELECT count(*) FROM t')
  equal(value, 1n)
  equal(server.node.owner, null)
})

test('batches with conditions; a failed step says which and why', async (t) => {
  const { stream } = await open(t)
  await stream.run('CREATE TABLE t (a UNIQUE)')
  const batch = stream.batch()
  const first = batch.step()
  const wrote = first.run('INSERT INTO t VALUES (1)')
  const second = batch.step().condition(hrana.BatchCond.ok(first))
  const failed = second.run('INSERT INTO t VALUES (1)').catch((error: unknown) => error)
  const skipped = batch.step().condition(hrana.BatchCond.ok(second)).query('SELECT 1')
  const not = batch
    .step()
    .condition(
      hrana.BatchCond.and(batch, [
        hrana.BatchCond.not(hrana.BatchCond.ok(second)),
        hrana.BatchCond.isAutocommit(batch),
      ]),
    )
  const ran = not.queryValue('SELECT 7')
  await batch.execute()
  equal((await wrote)?.affectedRowCount, 1)
  const error = await failed
  ok(error instanceof hrana.ResponseError)
  equal(error.code, 'SQLITE_CONSTRAINT')
  equal(await skipped, undefined)
  equal((await ran)?.value, 7n)
})

test('describe, stored texts, and the errors that clients look at', async (t) => {
  const { client, stream } = await open(t)
  await stream.run('CREATE TABLE t (id INTEGER PRIMARY KEY)')
  const about = await stream.describe('INSERT INTO t VALUES (:id) RETURNING id')
  deepEqual(about, {
    paramNames: [':id'],
    columns: [{ name: 'id', decltype: 'INTEGER' }],
    isExplain: false,
    isReadonly: false,
  })
  const stored = (stream as hrana.HttpStream).storeSql('SELECT 42')
  equal((await stream.queryValue(stored)).value, 42n)
  equal((await stream.describe(stored)).isReadonly, true)
  stored.close()
  const code = (expected: string) => (error: unknown) => {
    ok(error instanceof hrana.ResponseError, String(error))
    equal(error.code, expected)
    return true
  }
  await rejects(stream.query(['SELECT ?', []]), code('ARGS_INVALID'))
  await rejects(stream.query('SELECT 1; SELECT 2'), code('SQL_MANY_STATEMENTS'))
  await rejects(stream.query('-- nothing'), code('SQL_NO_STATEMENT'))
  await rejects(stream.query('SELECT x FROM nowhere'), code('SQLITE_ERROR'))
  equal((await client.openStream().queryValue('SELECT 1')).value, 1n)
})
