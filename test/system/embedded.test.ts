/** `open()`: nodes inside an application, here three of them in one process. */
import { deepEqual, equal, ok, rejects, throws } from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { until } from '../../src/bench/child-node.ts'
import { connect } from '../../src/client/index.ts'
import { type Database, open, QuorateError } from '../../src/index.ts'

function folder(t: TestContext): string {
  const dir = mkdtempSync(join(tmpdir(), 'quorate-test-'))
  t.after(() => rmSync(dir, { recursive: true, force: true }))
  return dir
}

async function openThree(t: TestContext): Promise<[Database, Database, Database]> {
  const dir = folder(t)
  const a = await open(join(dir, 'a.db'), { name: 'a' })
  const b = await open(join(dir, 'b.db'), { name: 'b', join: a.url })
  const c = await open(join(dir, 'c.db'), { name: 'c', join: [a.url, b.url] })
  t.after(async () => {
    for (const db of [a, b, c]) await db.close()
  })
  await until('all vote', 10_000, async () => {
    const { members } = await a.status()
    return members.filter(({ role }) => role === 'voter').length === 3
  })
  return [a, b, c]
}

test('what one application writes another reads, at each level and in its own thread', async (t) => {
  const [a, b] = await openThree(t)
  await b.execute('create table t (id integer primary key, v text)')
  const { changes, lastInsertRowid } = await b.execute('insert into t (v) values (?)', ['one'])
  deepEqual([changes, lastInsertRowid], [1, 1])
  deepEqual(await b.query('select * from t'), [{ id: 1, v: 'one' }], 'its own write')
  deepEqual(await a.query('select * from t', [], { read: 'strong' }), [{ id: 1, v: 'one' }])
  deepEqual(a.querySync('select v from t where id = ?', [1]), [{ v: 'one' }])
  throws(() => a.querySync('delete from t'), QuorateError)
})

test('batches and transactions are all or nothing, from any node', async (t) => {
  const [, b, c] = await openThree(t)
  await b.execute('create table t (id integer primary key)')
  await c.batch(['insert into t values (1)', ['insert into t values (?)', [2]]])
  await rejects(c.batch(['delete from t', 'insert into t values (3), (3)']))
  await b.transaction(async (tx) => {
    await tx.execute('insert into t values (4)')
    equal((await tx.query('select count(*) as n from t'))[0]?.['n'], 3)
  })
  const dropped = b.transaction(async (tx) => {
    await tx.execute('delete from t')
    throw new Error('no')
  })
  await rejects(dropped, /^Error: no$/)
  const rows = await c.query('select id from t order by id', [], { read: 'strong' })
  deepEqual(
    rows.map(({ id }) => id),
    [1, 2, 4],
  )
})

test('the cluster outlives the node that led it, and the port serves clients too', async (t) => {
  const [a, b, c] = await openThree(t)
  await a.execute('create table t (id integer primary key)')
  const led = new Promise((resolve) => {
    for (const db of [b, c]) db.on('leader', resolve)
  })
  await a.close()
  await led
  await b.execute('insert into t values (1)')
  const remote = connect([a.url, c.url])
  t.after(() => remote.close())
  deepEqual(await remote.query('select * from t', [], { read: 'strong' }), [{ id: 1 }])
  const status = await c.status()
  ok(status.members.some(({ name, connected }) => name === 'a' && !connected))
})
