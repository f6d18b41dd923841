/** `open()`: nodes inside an application, here three of them in one process. */
import { deepEqual, equal, ok, rejects, throws } from 'node:assert/strict'
import { test } from 'node:test'
import { connect } from '../../src/client/index.ts'
import { QuorateError } from '../../src/index.ts'
import { openThree } from '../embedded-cluster.ts'

test('what one application writes another reads, at each level and in its own thread', async (t) => {
  const [a, b] = await openThree((close) => t.after(close))
  await b.execute('create table t (id integer primary key, v text)')
  const { changes, lastInsertRowid } = await b.execute('insert into t (v) values (?)', ['one'])
  deepEqual([changes, lastInsertRowid], [1, 1])
  deepEqual(await b.query('select * from t'), [{ id: 1, v: 'one' }], 'its own write')
  deepEqual(await a.query('select * from t', [], { read: 'strong' }), [{ id: 1, v: 'one' }])
  deepEqual(a.querySync('select v from t where id = ?', [1]), [{ v: 'one' }])
  throws(() => a.querySync('delete from t'), QuorateError)
})

test('batches and transactions are all or nothing, from any node', async (t) => {
  const [, b, c] = await openThree((close) => t.after(close))
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
  const [a, b, c] = await openThree((close) => t.after(close))
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
