/**
 * @libsql/client: batches, transactions, scripts and errors at their edges. Learnt from the
 * behaviours that the client's own test suite asks of a server.
 */
import { deepEqual, equal, ok, rejects } from 'node:assert/strict'
import { type Client, createClient, LibsqlBatchError, LibsqlError } from '@libsql/client'

/** Runs all of it on the node at `url`, with tables of its own. */
export async function checkTransactions(url: string): Promise<void> {
  const db = createClient({ url })
  const cases = [
    ...[changes, batches, batchesAtOnce, largeBatches, batchErrors, rollbackInBatch],
    ...[errorsInTransaction, endedInside, batchInTransaction, scriptInTransaction],
    ...[emptyTransactions, scripts, readOnly, schemaInTransaction, errorCodes],
  ]
  for (const each of cases) {
    await db.executeMultiple('drop table if exists bt; create table bt (a unique, b)')
    await each(db).catch((cause: unknown) => {
      throw new Error(`${each.name} at ${url}`, { cause })
    })
  }
  await db.execute('drop table bt')
  db.close()
}

async function sum(db: Pick<Client, 'execute'>): Promise<unknown> {
  return (await db.execute('select sum(a) from bt')).rows[0]?.[0]
}

async function changes(db: Client): Promise<void> {
  const inserted = await db.execute('insert into bt (a) values (1), (2), (3)')
  deepEqual([inserted.rowsAffected, inserted.lastInsertRowid], [3, 3n])
  equal((await db.execute('select * from bt')).rowsAffected, 0)
  equal((await db.execute('create table if not exists bt (a)')).rowsAffected, 0)
  const selected = 'with x (a) as (select a + 10 from bt) insert into bt (a) select a from x'
  equal((await db.execute(selected)).rowsAffected, 3)
  equal((await db.execute('delete from bt where a >= 12')).rowsAffected, 2)
  equal((await db.execute('update bt set b = 1 where a = 99')).rowsAffected, 0)
  const returning = await db.execute("insert into bt (a) values (4) returning a * 2 as x, 'y' as y")
  deepEqual(
    [returning.columns, Array.from(returning.rows[0] ?? [])],
    [
      ['x', 'y'],
      [8, 'y'],
    ],
  )
  equal(returning.rowsAffected, 1)
}

async function batches(db: Client): Promise<void> {
  const [a, b, c] = await db.batch(
    [
      'select 1 + 1',
      { sql: 'select ?', args: ['boomerang'] },
      ['values (:a), (:b)', { a: null, b: 'ben' }],
    ],
    'read',
  )
  deepEqual(
    [a?.rows[0]?.[0], b?.rows[0]?.[0], c?.rows.map((row) => row[0])],
    [2, 'boomerang', [null, 'ben']],
  )
  const steps = await db.batch(
    [
      'create table bt2 (a)',
      'insert into bt2 values (1)',
      'select count(*) from bt2',
      'insert into bt2 values (2)',
      'select count(*) from bt2',
      'drop table bt2',
    ],
    'write',
  )
  deepEqual([steps[2]?.rows[0]?.[0], steps[4]?.rows[0]?.[0]], [1, 2])
  const deferred = await db.batch(['select 1', 'insert into bt (a) values (21) returning 2 * a'])
  equal(deferred[1]?.rows[0]?.[0], 42)
}

async function batchesAtOnce(db: Client): Promise<void> {
  await db.executeMultiple('drop table if exists bt2; create table bt2 (a)')
  const one = async (at: number): Promise<void> => {
    const results = await db.batch(
      [
        { sql: 'insert into bt (a) values (?)', args: [at] },
        { sql: 'insert into bt2 values (?)', args: [at * 10] },
        'select (select sum(a) from bt) * 10 = (select sum(a) from bt2)',
      ],
      'write',
    )
    equal(results[2]?.rows[0]?.[0], 1)
  }
  await Promise.all(Array.from({ length: 100 }, (_, at) => one(at)))
  equal(await sum(db), 4950)
  await db.execute('drop table bt2')
}

async function largeBatches(db: Client): Promise<void> {
  const different = Array.from({ length: 1000 }, (_, at) => `select ${at}`)
  const results = await db.batch(different, 'read')
  for (const [at, { rows }] of results.entries()) equal(rows[0]?.[0], at)
  const alike = Array.from({ length: 2000 }, (_, at) => ({
    sql: `select ?, ${at % 40}`,
    args: [at],
  }))
  const others = await db.batch(alike, 'read')
  for (const [at, { rows }] of others.entries()) {
    deepEqual(Array.from(rows[0] ?? []), [at, at % 40])
  }
}

async function failsAt(batch: Promise<unknown>, index: number, code: string): Promise<void> {
  await rejects(batch, (error) => {
    ok(error instanceof LibsqlBatchError, String(error))
    deepEqual([error.statementIndex, error.code], [index, code])
    return true
  })
}

async function batchErrors(db: Client): Promise<void> {
  for (const at of [0, 1, 2]) {
    const statements = ['select 1', 'select 2', 'select 3'].with(at, 'select foobar')
    await failsAt(db.batch(statements, 'read'), at, 'SQLITE_ERROR')
  }
  const twice = ['insert into bt (a) values (1)', 'insert into bt (a) values (1)', 'select 1']
  await failsAt(db.batch(twice, 'write'), 1, 'SQLITE_CONSTRAINT')
  const wrong = ['insert into bt (a) values (2)', 'select foobar', 'insert into bt (a) values (3)']
  await failsAt(db.batch(wrong, 'write'), 1, 'SQLITE_ERROR')
  equal(await sum(db), null)
}

async function rollbackInBatch(db: Client): Promise<void> {
  const statements = ['insert into bt (a) values (1)', 'rollback']
  await rejects(db.batch(statements, 'write'), LibsqlError)
  equal(await sum(db), null)
}

async function errorsInTransaction(db: Client): Promise<void> {
  const tx = await db.transaction('write')
  await rejects(tx.execute('select foo'), { code: 'SQLITE_ERROR' })
  await tx.execute('insert into bt (a) values (1)')
  await rejects(tx.execute('insert into bt (a) values (1)'), { code: 'SQLITE_CONSTRAINT' })
  await tx.execute('insert into bt (a) values (2)')
  await tx.commit()
  equal(await sum(db), 3)
}

/** Once a transaction has ended from inside, nothing that was meant for it stays. */
async function endedInside(db: Client): Promise<void> {
  await db.execute('insert into bt (a) values (1)')
  const tx = await db.transaction('write')
  await tx.execute('insert into bt (a) values (2)')
  await rejects(tx.execute('insert or rollback into bt (a) values (1)'), {
    code: 'SQLITE_CONSTRAINT',
  })
  await rejects(tx.commit(), LibsqlError)
  equal(await sum(db), 1)
}

async function batchInTransaction(db: Client): Promise<void> {
  const tx = await db.transaction('write')
  await tx.batch([
    'create table bt3 (a unique)',
    { sql: 'insert into bt3 values (?)', args: [1] },
    { sql: 'insert into bt3 values (?)', args: [2] },
  ])
  const failing = ['insert into bt3 values (4)', 'insert into bt3 values (1)', 'delete from bt3']
  await failsAt(tx.batch(failing), 1, 'SQLITE_CONSTRAINT')
  equal((await tx.execute('select sum(a) from bt3')).rows[0]?.[0], 7)
  tx.close()
  await rejects(db.execute('select * from bt3'), { code: 'SQLITE_ERROR' })
  const reading = await db.transaction('read')
  await failsAt(
    reading.batch(['select 1', 'select 2', 'select foobar', 'select 3']),
    2,
    'SQLITE_ERROR',
  )
  reading.close()
}

async function scriptInTransaction(db: Client): Promise<void> {
  const tx = await db.transaction('write')
  const failing =
    'insert into bt (a) values (1); insert into bt (a) values (2), (4); select foo(); delete from bt'
  await rejects(tx.executeMultiple(failing), LibsqlError)
  equal(await sum(tx), 7)
  await tx.executeMultiple('insert into bt (a) values (8)')
  await tx.commit()
  equal(await sum(db), 15)
}

async function emptyTransactions(db: Client): Promise<void> {
  for (const mode of ['read', 'write', 'deferred'] as const) {
    await (await db.transaction(mode)).commit()
    await (await db.transaction(mode)).rollback()
    ;(await db.transaction(mode)).close()
  }
}

async function scripts(db: Client): Promise<void> {
  await db.executeMultiple(`
    -- a comment; with a semicolon
    insert into bt (a) values (1), (2), (4);
    begin; insert into bt (a, b) values (8, 'x;y'); commit;;
    create trigger bt_more after insert on bt when new.a = 16 begin
      insert into bt (a) values (32); insert into bt (a) values (64);
    end;
    insert into bt (a) values (16)`)
  equal(await sum(db), 127)
  const failing =
    'begin; insert into bt (a) values (128); select foo(); insert into bt (a) values (256); commit'
  await rejects(db.executeMultiple(failing), LibsqlError)
  equal(await sum(db), 127)
  const half = 'delete from bt where a = 64; select foo(); delete from bt'
  await rejects(db.executeMultiple(half), LibsqlError)
  equal(await sum(db), 63)
}

async function readOnly(db: Client): Promise<void> {
  await rejects(db.batch(['insert into bt (a) values (1)'], 'read'), { code: 'SQLITE_READONLY' })
  equal(await sum(db), null)
  const tx = await db.transaction('read')
  equal(await sum(tx), null)
  await db.execute('insert into bt (a) values (1)')
  equal(await sum(tx), null)
  await tx.rollback()
  equal(await sum(db), 1)
}

/** What migration tools do, statement by statement. */
async function schemaInTransaction(db: Client): Promise<void> {
  const tx = await db.transaction('write')
  await tx.execute('insert into bt values (1, 2)')
  await tx.execute(
    'create table bt_new (a integer primary key, b text not null, c generated always as (a + 1))',
  )
  await tx.execute('insert into bt_new (a, b) select a, b from bt')
  await tx.execute('drop table bt')
  await tx.execute('alter table bt_new rename to bt')
  await tx.execute('create index bt_by_b on bt (b)')
  await tx.execute("insert into bt (a, b) values (2, 'two')")
  await tx.commit()
  deepEqual(
    (await db.execute('select * from bt order by a')).rows.map((row) => Array.from(row)),
    [
      [1, '2', 2],
      [2, 'two', 3],
    ],
  )
}

async function errorCodes(db: Client): Promise<void> {
  await db.execute('insert into bt (a) values (1)')
  const codes: [string, string][] = [
    ['insert into bt (a) values (1)', 'SQLITE_CONSTRAINT'],
    ['not a valid sql', 'SQLITE_ERROR'],
    ['select * from nowhere', 'SQLITE_ERROR'],
    ['select nothing(1)', 'SQLITE_ERROR'],
  ]
  for (const [sql, code] of codes) await rejects(db.execute(sql), { code, name: 'LibsqlError' })
  await rejects(db.execute(''), LibsqlError)
  await rejects(db.execute('select 1; select 2'), LibsqlError)
}
