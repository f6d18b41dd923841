/** What the benchmark runs: upserts and point reads of one row of about 200 bytes, random keys. */
import type { RemoteDb } from '../client/index.ts'

/** A name that no application has: in a cluster given by URL the table is dropped at the end. */
const TABLE = 'benchmark_by_quorate'

export const KEYS = 100_000
export const UPSERT = `insert into ${TABLE} (key, value) values (?, ?)
  on conflict (key) do update set value = excluded.value`
export const POINT_READ = `select value from ${TABLE} where key = ?`

const ROW_BYTES = 200
/** Rows written in one statement while the table is filled: a few MB of changes each. */
const FILL_ROWS = 10_000

/** Distinct values, made before anything is timed. */
const VALUES = Array.from({ length: 64 }, (_, at) => String.fromCharCode(48 + at).repeat(ROW_BYTES))

export function randomKey(): number {
  return 1 + Math.floor(Math.random() * KEYS)
}

export function upsertArgs(): [key: number, value: string] {
  const key = randomKey()
  return [key, VALUES[key % VALUES.length] ?? '']
}

/** Makes the table with all its keys, so that every upsert meets a row. */
export async function fillTable(db: Pick<RemoteDb, 'execute'>): Promise<void> {
  const options = { timeoutMs: 60_000 }
  const create = `create table ${TABLE} (key integer primary key, value text not null)`
  await db.execute(`drop table if exists ${TABLE}`, [], options)
  await db.execute(create, [], options)
  const fill = `insert into ${TABLE} with recursive keys (key) as (
      select ?1 union all select key + 1 from keys where key < ?2)
    select key, ?3 from keys`
  for (let first = 1; first <= KEYS; first += FILL_ROWS) {
    await db.execute(fill, [first, first + FILL_ROWS - 1, VALUES[0] ?? ''], options)
  }
}

export async function dropTable(db: Pick<RemoteDb, 'execute'>): Promise<void> {
  await db.execute(`drop table if exists ${TABLE}`)
}
