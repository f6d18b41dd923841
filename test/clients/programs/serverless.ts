/**
 * @tursodatabase/serverless, a client of nothing but fetch: a list of tasks. Everything it asks goes
 * through /v3/cursor and /v3/pipeline.
 */
import { deepEqual, equal, rejects } from 'node:assert/strict'
import {
  type Connection,
  connect,
  DatabaseError,
  type Transaction,
} from '@tursodatabase/serverless'
import { createClient } from '@tursodatabase/serverless/compat'
import { brokenConnection, retrying, runProgram, type Work } from './harness.ts'

const SCHEMA = `
  create table if not exists todo_lists (
    id integer primary key, name text not null unique, open integer not null default 0
  );
  create table if not exists todo_tasks (
    list integer not null references todo_lists (id) on delete cascade,
    number integer not null,
    title text not null,
    due text,
    file blob,
    primary key (list, number)
  );`

const RETRYABLE: ReadonlySet<string> = new Set([
  ...['SQLITE_BUSY', 'TRANSACTION_CLOSED', 'TRANSACTION_TIMEOUT', 'STREAM_EXPIRED'],
  'UNKNOWN_OUTCOME',
])

/** What comes with an HTTP status has no code in this client. */
function reasonToRetry(error: unknown): string | null {
  if (!(error instanceof DatabaseError)) return brokenConnection(error)
  if (error.code !== undefined && RETRYABLE.has(error.code)) return error.code
  return /HTTP error! status: (4\d\d|5\d\d)|No cursor response/.exec(error.message)?.[0] ?? null
}

async function check(url: string): Promise<void> {
  const db = connect({ url })
  await db.exec(SCHEMA)
  await db.exec('delete from todo_lists')
  await statements(db)
  await batches(db)
  await transactions(db)
  await paging(db)
  await constraints(db)
  await db.close()
  await compatible(url)
}

async function statements(db: Connection): Promise<void> {
  const insert = await db.prepare('insert into todo_lists (id, name) values (?, ?)')
  const { changes, lastInsertRowid } = await insert.run([7, 'home'])
  deepEqual([changes, lastInsertRowid], [1, 7])
  const byName = await db.prepare('select id, name from todo_lists where name = :name')
  deepEqual({ ...(await byName.get({ name: 'home' })) }, { id: 7, name: 'home' })
  equal((await byName.get({ name: 'nowhere' })) ?? null, null)
  deepEqual(
    byName.columns().map(({ name, type }) => [name, type]),
    [
      ['id', 'INTEGER'],
      ['name', 'TEXT'],
    ],
  )
  const file = Buffer.from([0, 255, 3])
  const task = await db.prepare('insert into todo_tasks values (?, ?, ?, ?, ?)')
  await task.run([7, 1, 'ž "sweep"', null, file])
  const echo = await db.prepare('select title, due, file, number / 2.0 as half from todo_tasks')
  const row = await echo.get()
  deepEqual([row.title, row.due, Buffer.from(row.file), row.half], ['ž "sweep"', null, file, 0.5])
  const big = await db.prepare('select ? as big')
  equal((await big.safeIntegers().get([2n ** 62n + 1n])).big, 2n ** 62n + 1n)
  const seen: number[] = []
  const series = `with recursive n (i) as (select 1 union all select i + 1 from n where i < 5000)
                  select i from n`
  for await (const each of (await db.prepare(series)).iterate()) seen.push(each.i)
  deepEqual([seen.length, seen.at(-1)], [5000, 5000])
}

async function batches(db: Connection): Promise<void> {
  const sql = 'insert into todo_tasks (list, number, title) values (?, ?, ?)'
  await db.batch(
    [
      { sql, args: [7, 2, 'wash'] },
      { sql, args: [7, 3, 'dry'] },
    ],
    'immediate',
  )
  const failing = db.batch(
    [
      { sql, args: [7, 4, 'iron'] },
      { sql, args: [7, 2, 'again'] },
    ],
    'write',
  )
  await rejects(failing, { code: 'SQLITE_CONSTRAINT' })
  deepEqual(await titles(db), ['ž "sweep"', 'wash', 'dry'])
}

async function transactions(db: Connection): Promise<void> {
  const kept = db.transactionAsync(async (tx: Transaction, title: string) => {
    const statement = await tx.prepare('update todo_tasks set title = ? where number = 1')
    await statement.run([title])
    equal((await (await tx.prepare('select count(*) as n from todo_tasks')).get()).n, 3)
  })
  await kept('sweep')
  const dropped = db.transactionAsync(async (tx: Transaction) => {
    await (await tx.prepare('delete from todo_tasks')).run()
    throw new Error('changed my mind')
  })
  await rejects(dropped(), /changed my mind/)
  deepEqual(await titles(db), ['sweep', 'wash', 'dry'])
  await db.exec('begin; update todo_lists set open = 3; commit')
  equal(db.inTransaction, false)
}

async function titles(db: Connection): Promise<string[]> {
  const rows = await (await db.prepare('select title from todo_tasks order by number')).all()
  return rows.map((row: { title: string }) => row.title)
}

async function paging(db: Connection): Promise<void> {
  const numbers = Array.from({ length: 50 }, (_, at) => at + 100)
  const sql = "insert into todo_tasks (list, number, title) values (7, ?, 'page')"
  await db.batch(
    numbers.map((number) => ({ sql, args: [number] })),
    'write',
  )
  const page = await db.prepare(
    'select number from todo_tasks where number > ? order by number limit 20',
  )
  const seen: number[] = []
  for (;;) {
    const rows: number[] = await page.pluck().all([seen.at(-1) ?? 99])
    if (rows.length === 0) break
    seen.push(...rows)
  }
  deepEqual(seen, numbers)
}

async function constraints(db: Connection): Promise<void> {
  const orphan = await db.prepare(
    "insert into todo_tasks (list, number, title) values (99, 1, 'x')",
  )
  await rejects(orphan.run(), { code: 'SQLITE_CONSTRAINT' })
  await rejects(db.exec("insert into todo_lists (name) values ('home')"), {
    code: 'SQLITE_CONSTRAINT',
  })
  await rejects(async () => (await db.prepare('select * from nowhere')).all(), DatabaseError)
  await db.exec('delete from todo_lists')
  deepEqual(await titles(db), [])
}

/** The same package with the methods of @libsql/client. */
async function compatible(url: string): Promise<void> {
  const db = createClient({ url })
  await db.execute("insert into todo_lists (id, name) values (1, 'compat')")
  const tx = await db.transaction('write')
  await tx.execute({ sql: 'update todo_lists set open = ? where id = ?', args: [5, 1] })
  await tx.commit()
  const { rows } = await db.execute('select open from todo_lists where id = ?', [1])
  equal(rows[0]?.['open'], 5)
  await db.batch(["delete from todo_lists where name = 'compat'"], 'write')
  db.close()
}

/** Each run has a list, which counts its tasks. */
async function open(url: string, run: string): Promise<Work> {
  const db = connect({ url })
  await retrying(() => db.exec(SCHEMA), reasonToRetry)
  const list = await retrying(async () => {
    const insert = 'insert into todo_lists (name) values (?) on conflict do nothing'
    await (await db.prepare(insert)).run([run])
    return (await (await db.prepare('select id from todo_lists where name = ?')).get([run])).id
  }, reasonToRetry)
  return {
    lanes: 2,
    step: (number) => retrying(() => addTask(db, list, number), reasonToRetry),
    done: () => retrying(() => audit(db, list), reasonToRetry),
    close: () => db.close(),
  }
}

async function addTask(db: Connection, list: number, number: number): Promise<void> {
  const add = db.transactionAsync(async (tx: Transaction) => {
    const insert =
      "insert into todo_tasks (list, number, title) values (?, ?, 'work') on conflict do nothing"
    const { changes } = await (await tx.prepare(insert)).run([list, number])
    // Had an earlier attempt succeeded after all, its task would be here.
    if (changes === 0) return
    await (await tx.prepare('update todo_lists set open = open + 1 where id = ?')).run([list])
  })
  await add()
}

async function audit(db: Connection, list: number): Promise<number[]> {
  const numbers = await (await db.prepare('select number from todo_tasks where list = ?'))
    .pluck()
    .all([list])
  const { open: counted } = await (
    await db.prepare('select open from todo_lists where id = ?')
  ).get([list])
  equal(counted, numbers.length)
  return numbers
}

await runProgram({ check, open })
