/** What a client is told, and that it is true: retries, transactions, levels, foreign writers. */
import { deepEqual, equal, match, ok, rejects } from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { test } from 'node:test'
import { until } from '../../src/bench/child-node.ts'
import { QuorateError } from '../../src/client/index.ts'
import { Cluster } from '../cluster.ts'

test('a write that is sent twice runs once, also at another node and another leader', async () => {
  await using cluster = await Cluster.start()
  const db = cluster.client()
  await db.execute('create table t (id integer primary key, n integer)')
  await db.execute('insert into t values (1, 0)')
  const { position } = await db.topology()
  const send = async (url: string): Promise<unknown> => {
    const stmt = { sql: 'update t set n = n + 1 where id = 1 returning n' }
    const response = await fetch(`${url}/v3/pipeline`, {
      method: 'POST',
      headers: { 'quorate-write': `session-of-the-test:1:${position}` },
      body: JSON.stringify({ requests: [{ type: 'execute', stmt }, { type: 'close' }] }),
    })
    const body = (await response.json()) as { results: { response: { result: unknown } }[] }
    return body.results[0]?.response.result
  }
  const first = await send(cluster.node('a').url)
  deepEqual(await send(cluster.node('b').url), first)
  const leader = await cluster.leader()
  await leader.kill()
  const survivor = await cluster.leader()
  deepEqual(await send(survivor.url), first)
  equal((await db.query('select n from t', [], { read: 'strong' }))[0]?.['n'], 1)
})

test('a transaction through a follower is isolated, and gone when its function throws', async () => {
  await using cluster = await Cluster.start()
  const [follower = await cluster.leader()] = await cluster.followers()
  const db = cluster.client({ discover: false }, [follower.url])
  await db.execute('create table t (id integer primary key)')
  await db.transaction(async (tx) => {
    await tx.execute('insert into t values (1)')
    equal((await tx.query('select count(*) as n from t'))[0]?.['n'], 1)
    const outside = await cluster.client().query('select count(*) as n from t')
    equal(outside[0]?.['n'], 0)
    await tx.execute('insert into t values (2)')
  })
  const work = db.transaction(async (tx) => {
    await tx.execute('delete from t')
    throw new Error('changed my mind')
  })
  await rejects(work, /changed my mind/)
  equal((await db.query('select count(*) as n from t'))[0]?.['n'], 2)
})

test('a transaction whose leader dies leaves nothing behind and says so', async () => {
  await using cluster = await Cluster.start()
  const db = cluster.client()
  await db.execute('create table t (id integer primary key)')
  const leader = await cluster.leader()
  const work = db.transaction(async (tx) => {
    await tx.execute('insert into t values (1)')
    await leader.kill()
    await tx.execute('insert into t values (2)')
  })
  await rejects(work, (error) => error instanceof QuorateError)
  deepEqual(await db.query('select * from t', [], { read: 'strong' }), [])
})

test('a session sees its own writes on every replica', async () => {
  await using cluster = await Cluster.start()
  const db = cluster.client()
  await db.execute('create table t (id integer primary key)')
  for (let id = 1; id <= 30; id += 1) {
    await db.execute('insert into t values (?)', [id])
    const rows = await db.query('select max(id) as m from t', [], { read: 'session' })
    equal(rows[0]?.['m'], id)
  }
})

test('an error of a statement is exact and changes nothing', async () => {
  await using cluster = await Cluster.start({ names: ['a'] })
  const db = cluster.client()
  await db.execute('create table t (id integer primary key, v text not null)')
  const code = async (sql: string): Promise<string> =>
    await db.execute(sql).then(
      () => 'none',
      (error: QuorateError) => error.code,
    )
  equal(await code('selec 1'), 'SQL_ERROR')
  equal(await code('insert into t values (1, null)'), 'SQL_CONSTRAINT')
  equal(await code('create table u (rowid, oid, _rowid_)'), 'SQL_REFUSED')
  equal(await code("attach 'other.db' as other"), 'SQL_REFUSED')
  equal(await code('select 1; select 2'), 'SQL_MANY_STATEMENTS')
  equal(await code('-- nothing'), 'SQL_NO_STATEMENT')
  deepEqual(await db.query("select name from sqlite_schema where name = 'u'"), [])
})

test('another process that writes the file is noticed', async () => {
  await using cluster = await Cluster.start()
  const db = cluster.client()
  await db.execute('create table t (id integer primary key)')
  await cluster.settled()
  const [follower = await cluster.leader()] = await cluster.followers()
  const script = `
    const { DatabaseSync } = require('node:sqlite')
    const db = new DatabaseSync(process.argv[1], { timeout: 5000 })
    db.exec('insert into t values (666)')`
  const child = spawn(process.execPath, ['-e', script, follower.file], { stdio: 'inherit' })
  const [exitCode] = await once(child, 'exit')
  equal(exitCode, 0)
  await until('the follower has an alarm', 10_000, async () => {
    await db.execute('insert into t default values')
    return ((await follower.status())?.alarms.length ?? 0) > 0
  })
  const alarms = (await follower.status())?.alarms ?? []
  ok(alarms.length > 0)
  match(alarms.join('\n'), /process/i)
})
