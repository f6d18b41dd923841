/**
 * libsql, the driver in Rust with better-sqlite3's methods, on a server's URL: readings of sensors.
 * It blocks while it waits, as better-sqlite3 does; libsql/promise is the same without blocking.
 */
import { deepEqual, equal, throws } from 'node:assert/strict'
import Database from 'libsql'
import { retrying, runProgram, type Work } from './harness.ts'

const SCHEMA = `
  create table if not exists sensors (
    id integer primary key, name text not null unique, total integer not null default 0
  );
  create table if not exists readings (
    sensor integer not null references sensors (id) on delete cascade,
    number integer not null,
    value real,
    raw blob,
    primary key (sensor, number)
  ) without rowid;`

const RETRYABLE =
  /\b(SQLITE_BUSY|TRANSACTION_CLOSED|TRANSACTION_TIMEOUT|STREAM_EXPIRED|UNKNOWN_OUTCOME|baton|Hrana\(Http|cannot rollback)\b/

/**
 * Whatever the server said is in the words of the error, its code too. `transaction` hides why it
 * failed if its ROLLBACK fails as well, as it does when a COMMIT's outcome is unknown.
 */
function reasonToRetry(error: unknown): string | null {
  if (!(error instanceof Error)) return null
  return RETRYABLE.exec(error.message)?.[1] ?? null
}

/** What this driver throws has SQLite's words in it, but no code of its own. */
function fails(action: () => unknown, words: RegExp): void {
  throws(action, (error) => error instanceof Error && words.test(error.message))
}

async function check(url: string): Promise<void> {
  const db = new Database(url)
  db.exec(SCHEMA)
  db.exec('delete from sensors')
  statements(db)
  values(db)
  transactions(db)
  paging(db)
  constraints(db)
  db.close()
}

/** A row's columns; the driver adds a field of its own that tells the time it took. */
function fields(row: unknown): Record<string, unknown> {
  const { _metadata, ...columns } = Object(row)
  return columns
}

/** The only column of the first row; `pluck` is for `all` and `iterate` in this driver. */
function scalar(db: Database.Database, sql: string, ...args: readonly unknown[]): unknown {
  const row: unknown = db
    .prepare(sql)
    .raw()
    .get(...args)
  return Array.isArray(row) ? row[0] : undefined
}

function statements(db: Database.Database): void {
  const insert = db.prepare('insert into sensors (id, name) values (?, ?)')
  const { changes, lastInsertRowid } = insert.run(7, 'roof')
  deepEqual([changes, lastInsertRowid], [1, 7])
  insert.run(8, 'cellar')
  const byName = db.prepare('select id, name from sensors where name = ?')
  equal(byName.reader, true)
  deepEqual(
    byName.columns().map(({ name }) => name),
    ['id', 'name'],
  )
  deepEqual(fields(byName.get('roof')), { id: 7, name: 'roof' })
  equal(byName.get('nowhere'), undefined)
  // Over a network this driver sends parameters by position only.
  const numbered = db.prepare('select ?2 || ?1 || :last as text')
  deepEqual(fields(numbered.get('x', 'y', 'z')), { text: 'yxz' })
  const all = db.prepare('select name from sensors order by id')
  deepEqual(all.pluck().all(), ['roof', 'cellar'])
  deepEqual([...all.pluck(false).raw().iterate()], [['roof'], ['cellar']])
  const returning = db.prepare('update sensors set total = total + ? returning total')
  equal(returning.raw().all(1).length, 2)
  equal(db.prepare("pragma table_info('sensors')").all().length, 3)
}

function values(db: Database.Database): void {
  const echo = db.prepare('select ? as v, typeof(?) as t').raw()
  deepEqual(echo.get('ž𝄞', 'ž𝄞'), ['ž𝄞', 'text'])
  deepEqual(echo.get(null, null), [null, 'null'])
  deepEqual(echo.get(0.5, 0.5), [0.5, 'real'])
  const blob = Buffer.from([0, 255, 1, 2])
  const [bytes, type] = Object(echo.get(blob, blob)) as [Uint8Array, string]
  deepEqual([Buffer.from(bytes), type], [blob, 'blob'])
  const big = 2n ** 62n + 1n
  echo.safeIntegers(true)
  deepEqual(echo.get(big, big), [big, 'integer'])
}

function transactions(db: Database.Database): void {
  const many = db.transaction((from: number, to: number) => {
    // This driver ends the transaction after a statement that was prepared outside.
    const insert = db.prepare('insert into readings values (?, ?, ?, ?)')
    for (let number = from; number < to; number += 1) insert.run(7, number, number / 2, null)
    equal(db.inTransaction, true)
  })
  many(0, 30)
  equal(db.inTransaction, false)
  fails(() => many(29, 32), /UNIQUE constraint failed/)
  equal(scalar(db, 'select count(*) from readings'), 30)
  db.exec('begin')
  db.exec('delete from readings')
  db.exec('rollback')
  equal(scalar(db, 'select sum(number) from readings'), 435)
}

function paging(db: Database.Database): void {
  const page = db.prepare('select number from readings where number > ? order by number limit 9')
  const seen: unknown[] = []
  for (;;) {
    const numbers = page.pluck().all(seen.at(-1) ?? -1)
    if (numbers.length === 0) break
    seen.push(...numbers)
  }
  deepEqual(
    seen,
    Array.from({ length: 30 }, (_, at) => at),
  )
}

function constraints(db: Database.Database): void {
  fails(() => db.prepare("insert into sensors (name) values ('roof')").run(), /UNIQUE constraint/)
  fails(() => db.prepare('insert into readings values (99, 1, 1, null)').run(), /FOREIGN KEY/)
  fails(() => db.prepare('select * from nowhere'), /no such table/)
  db.prepare('delete from sensors where id = 7').run()
  equal(scalar(db, 'select count(*) from readings'), 0)
}

/** Each run has a sensor, whose total must be the sum of its readings. */
async function open(url: string, run: string): Promise<Work> {
  let db = new Database(url)
  const withRetry = <T>(action: () => T): Promise<T> =>
    retrying(async () => {
      try {
        return action()
      } catch (error) {
        // One connection is one stream of the server: after a failure it may be in no good state.
        db.close()
        db = new Database(url)
        throw error
      }
    }, reasonToRetry)
  await withRetry(() => db.exec(SCHEMA))
  await withRetry(() =>
    db.prepare('insert into sensors (name) values (?) on conflict do nothing').run(run),
  )
  const id = await withRetry(() => {
    return Number(scalar(db, 'select id from sensors where name = ?', run))
  })
  return {
    lanes: 1,
    step: (number) => withRetry(() => record(db, id, number)),
    done: () => withRetry(() => audit(db, id)),
    close: () => void db.close(),
  }
}

function record(db: Database.Database, sensor: number, number: number): void {
  const insert =
    'insert into readings (sensor, number, value) values (?, ?, ?) on conflict do nothing'
  db.transaction(() => {
    const { changes } = db.prepare(insert).run(sensor, number, number)
    // Had an earlier attempt succeeded after all, its reading would be here.
    if (changes === 0) return
    db.prepare('update sensors set total = total + ? where id = ?').run(number, sensor)
  }).immediate()
}

function audit(db: Database.Database, sensor: number): number[] {
  const numbers = db
    .prepare('select number from readings where sensor = ?')
    .pluck()
    .all(sensor)
    .map(Number)
  const total = scalar(db, 'select total from sensors where id = ?', sensor)
  equal(
    total,
    numbers.reduce((sum, number) => sum + number, 0),
  )
  return numbers
}

await runProgram({ check, open })
