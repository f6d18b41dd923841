/** Schema changes as clients send them, statement by statement on a stream, through any node. */
import { deepEqual, equal, rejects } from 'node:assert/strict'
import { test } from 'node:test'
import * as hrana from '@libsql/hrana-client'
import { Cluster } from '../cluster.ts'

test('migrations over Hrana streams, through the leader and a follower', async (t) => {
  await using cluster = await Cluster.start()
  const leader = await cluster.leader()
  const [follower = leader] = await cluster.followers()
  const clients = [follower, leader].map(({ url }) =>
    hrana.openHttp(url, undefined, undefined, undefined, 3),
  )
  t.after(() => {
    for (const client of clients) client.close()
  })
  const [one, other] = clients.map((client) => client.openStream()) as [
    hrana.HttpStream,
    hrana.HttpStream,
  ]
  const count = async (sql: string) => (await one.queryValue(sql)).value
  await one.sequence(`create table p (id integer primary key, v);
    create table c (id integer primary key, p integer not null references p on delete cascade);
    insert into p values (1, 'x'), (2, 'y'); insert into c values (1, 1), (2, 2);`)

  await t.test(
    'foreign_keys = off holds for the stream, over its transactions, and for no other',
    async () => {
      for (const sql of [
        'PRAGMA foreign_keys = OFF',
        'BEGIN',
        'CREATE TABLE new_p (id integer primary key, v text, w)',
        'INSERT INTO new_p (id, v) SELECT id, v FROM p',
        'DROP TABLE p',
        'ALTER TABLE new_p RENAME TO p',
        'PRAGMA foreign_key_check',
        'COMMIT',
      ]) {
        await one.run(sql)
      }
      equal(await count('select count(*) from c'), 2)
      equal(await count('PRAGMA foreign_keys'), 0)
      equal((await other.queryValue('PRAGMA foreign_keys')).value, 1)
      await rejects(other.run('insert into c values (9, 9)'), /FOREIGN KEY/)
      await one.run('insert into c values (9, 9)')
      await one.run('delete from c where id = 9')
      await one.run('PRAGMA foreign_keys = ON')
      await rejects(one.run('insert into c values (9, 9)'), /FOREIGN KEY/)
    },
  )

  await t.test(
    'a script may end inside a transaction that began after its schema changes',
    async () => {
      await one.sequence('create table q (id integer primary key); begin; insert into q values (1)')
      await one.sequence('commit; create index q_id on q (id); begin; insert into q values (2)')
      equal(await one.getAutocommit(), false)
      equal(await count('select count(*) from q'), 2)
      await one.run('rollback')
      equal(await count('select count(*) from q'), 1)
      equal((await other.queryValue('select count(*) from q')).value, 1)
    },
  )

  await t.test(
    'changes() and last_insert_rowid() are of the stream, whoever writes between',
    async () => {
      await one.run('insert into q (id) values (50), (51)')
      await other.run('insert into q (id) values (60)')
      const asked = 'select last_insert_rowid(), changes( ) as n, total_changes() > 2'
      const { columnNames, rows } = await one.query(asked)
      deepEqual(columnNames, ['last_insert_rowid()', 'n', 'total_changes() > 2'])
      deepEqual(
        [0, 1, 2].map((at) => rows[0]?.[at]),
        [51, 2, 1],
      )
      equal((await other.queryValue('select last_insert_rowid()')).value, 60)
      await one.run('begin')
      equal(await count('select last_insert_rowid()'), 51)
      await one.run('insert into q values (70)')
      equal(await count('select last_insert_rowid()'), 70)
      await one.run('update q set id = id where id in (50, 51, 70)')
      equal(await count('select changes()'), 3)
      await one.run('rollback')
      await other.run('insert into q (id) values (last_insert_rowid() + 1)')
      equal((await other.queryValue('select max(id) from q')).value, 61)
    },
  )

  await t.test('tools see no tables but the user’s', async () => {
    for (const sql of [
      "select name from sqlite_master where type = 'table' order by 1",
      "select name from pragma_table_list where type = 'table' and name not like 'sqlite%' order by 1",
    ]) {
      const { rows } = await one.query(sql)
      deepEqual(
        rows.map((row) => row[0]),
        ['c', 'p', 'q'],
      )
    }
  })
})
