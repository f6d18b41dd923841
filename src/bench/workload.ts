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

/** Keys of one of several who write different ones, but for a part of all writes. */
export interface KeyShare {
  readonly at: number
  readonly of: number
  /** Which part of the writes may meet those of others. */
  readonly overlap: number
}

const ALL_KEYS: KeyShare = { at: 0, of: 1, overlap: 1 }

export function upsertArgs(share: KeyShare = ALL_KEYS): [key: number, value: string] {
  const any = randomKey()
  const isShared = share.overlap > 0 && Math.random() < share.overlap
  const key = isShared ? any : any - (any % share.of) + share.at
  return [key, VALUES[any % VALUES.length] ?? '']
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
