/** The official libSQL client over http, unchanged, against a follower. */
import { deepEqual, equal, rejects } from 'node:assert/strict'
import { test } from 'node:test'
import { createClient, LibsqlError } from '@libsql/client'
import { Cluster } from '../cluster.ts'

test('@libsql/client: statements, batches, transactions and errors through a follower', async (t) => {
  await using cluster = await Cluster.start()
  const [follower = await cluster.leader()] = await cluster.followers()
  const db = createClient({ url: follower.url })
  t.after(() => db.close())
  await db.execute('create table t (id integer primary key, v)')

  await t.test('values keep their types', async () => {
    const args = [1n, 'text', 2.5, null, new Uint8Array([1, 2, 3])]
    for (const value of args) {
      const { rows } = await db.execute({ sql: 'select ? as v', args: [value] })
      const got = rows[0]?.['v']
      deepEqual(got instanceof ArrayBuffer ? new Uint8Array(got) : got, value === 1n ? 1 : value)
    }
  })

  await t.test('a write returns what changed, and the next read sees it', async () => {
    const inserted = await db.execute({ sql: 'insert into t values (?, ?)', args: [1, 'one'] })
    equal(inserted.rowsAffected, 1)
    equal(inserted.lastInsertRowid, 1n)
    const { rows, columns } = await db.execute('select id, v from t')
    deepEqual(columns, ['id', 'v'])
    deepEqual(rows[0]?.['v'], 'one')
  })

  await t.test('a batch is one transaction', async () => {
    await db.batch(
      [{ sql: 'insert into t values (?, ?)', args: [2, 'two'] }, 'update t set v = upper(v)'],
      'write',
    )
    const failing = db.batch(['delete from t', "insert into t values (2, 'x'), (2, 'x')"], 'write')
    await rejects(failing, (error) => {
      equal(error instanceof LibsqlError && error.code, 'SQLITE_CONSTRAINT')
      return true
    })
    const { rows } = await db.execute('select v from t order by id')
    deepEqual(
      rows.map((row) => row['v']),
      ['ONE', 'TWO'],
    )
  })

  await t.test('an interactive transaction commits or rolls back', async () => {
    const kept = await db.transaction('write')
    await kept.execute("insert into t values (3, 'three')")
    equal((await kept.execute('select count(*) as n from t')).rows[0]?.['n'], 3)
    await kept.commit()
    const dropped = await db.transaction('write')
    await dropped.execute('delete from t')
    await dropped.rollback()
    const closed = await db.transaction('write')
    await closed.execute('delete from t')
    closed.close()
    equal((await db.execute('select count(*) as n from t')).rows[0]?.['n'], 3)
  })

  await t.test('several statements at once, and many writers at once', async () => {
    await db.executeMultiple('create table u (id integer primary key); insert into u values (1);')
    const ids = Array.from({ length: 40 }, (_, at) => 100 + at)
    await Promise.all(ids.map((id) => db.batch([`insert into u values (${id})`], 'write')))
    equal((await db.execute('select count(*) as n from u')).rows[0]?.['n'], 41)
  })

  await t.test('errors carry the codes of SQLite', async () => {
    await rejects(db.execute('selec 1'), (error) => error instanceof LibsqlError)
    await rejects(db.execute("insert into t values (1, 'again')"), (error) => {
      equal(error instanceof LibsqlError && error.code, 'SQLITE_CONSTRAINT')
      return true
    })
  })

  await cluster.verify()
})
