/** The shell's connection on a real cluster: followers, transactions, and a leader that changes. */
import { deepEqual, equal, rejects } from 'node:assert/strict'
import { test } from 'node:test'
import { QuorateError } from '../../src/base/errors.ts'
import { ShellConnection } from '../../src/cli/shell/connection.ts'
import { Cluster } from '../cluster.ts'

test('a session at a follower, and a transaction that is lost with its leader', async (t) => {
  await using cluster = await Cluster.start()
  const [follower] = await cluster.followers()
  const target = { urls: [follower?.url ?? ''], token: null }
  const shell = new ShellConnection(target, { timeoutMs: 20_000 })
  t.after(() => shell.close())
  const run = async (sql: string) => (await shell.run({ sql })).rows
  await run('create table n (id integer primary key, parent integer references n (id))')
  await run('insert into n values (1, null)')
  deepEqual(await run('select count(*) from n'), [[1n]], 'it reads what it wrote')

  await run('savepoint a')
  await run('insert into n values (2, 1)')
  await run('savepoint b')
  await run('insert into n values (3, 1)')
  await run('rollback to b')
  await run('release a')
  deepEqual([shell.state, await run('select count(*) from n')], ['none', [[2n]]])

  await run('begin')
  await run('insert into n values (4, 1)')
  await cluster.admin(await cluster.leader(), 'transfer')
  await rejects(run('insert into n values (5, 1)'), QuorateError)
  equal(shell.state, 'lost')
  await rejects(run('insert into n values (6, 1)'), /TRANSACTION_CLOSED|rolled back/)
  await run('rollback')
  await run('insert into n values (7, 1)')
  deepEqual(await run('select id from n order by id'), [[1n], [2n], [7n]])

  await run('pragma foreign_keys = off')
  await run('insert into n values (8, 99)')
  await run('begin')
  await run('insert into n values (9, 99)')
  await run('commit')
  await run('pragma foreign_keys = on')
  await rejects(run('insert into n values (10, 98)'), /FOREIGN KEY/)
  await run('delete from n where parent = 99')
  await cluster.verify()
})
