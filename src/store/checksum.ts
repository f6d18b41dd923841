/**
 * Checksums of a database's content, to compare replicas: one for each table over its rows in key
 * order, with their rowids where these show, one for the schema. Physical differences (free pages, the order of pages, statistics) do
 * not show; types do: 1, 1.0, '1' and x'31' differ.
 */
import { createHash, type Hash } from 'node:crypto'
import type { DatabaseSync } from 'node:sqlite'
import { toLogIndex } from '../base/brand.ts'
import type { Value } from '../model/program.ts'
import { Connection } from './connections.ts'
import { quote } from './quote.ts'
import { readRowTables } from './schema/row-tables.ts'
import type { Verified } from './types.ts'

const PROBLEMS_MAX = 10
const RAW = { readBigInts: true, returnArrays: true } as const

type Row = readonly Value[]

/**
 * Checksums and problems of what the connection sees, which should be one read transaction. The
 * shadow tables of FTS5 and R*Tree are tables like others; virtual tables themselves and
 * SQLite's statistics are not content; `_quorate_` tables differ between replicas by right.
 *
 * With several origins rowids that are no key and shadow tables are each replica's own; instead of
 * these, what virtual tables show is compared. `quorate_conflicts` is content: it is the same
 * everywhere once everything is final everywhere, as far as it has not been forgotten. Of what is
 * compared, `sqlite_sequence` is the same within a group only.
 */
export function verifyDatabase(db: DatabaseSync): Verified {
  const tables: Record<string, string> = { schema: digestOfSchema(db) }
  const merges = isThere(db, '_quorate_entries')
  const watched = merges ? [] : readRowTables(new Connection(db)).watched
  const rowids = new Map(watched.map((table) => [table.name, table.parts[0]]))
  const shadows = new Set(merges ? named(db, SHADOW) : [])
  for (const name of tableNames(db)) {
    if (!shadows.has(name)) tables[name] = digestOfTable(db, name, rowids.get(name))
  }
  for (const name of merges ? named(db, VIRTUAL) : []) {
    tables[name] = digestOfTable(db, name, 'rowid')
  }
  const problems = [...integrityProblems(db), ...foreignKeyProblems(db)].slice(0, PROBLEMS_MAX)
  return { index: appliedIn(db), tables, problems }
}

/** The entry that the content is at, as the connection sees it; 0 if it belongs to no cluster. */
export function appliedIn(db: DatabaseSync): Verified['index'] {
  if (!isThere(db, '_quorate_state')) return toLogIndex(0)
  const row = db.prepare("select value from _quorate_state where key = 'applied'").get()
  return toLogIndex(Number(row?.['value'] ?? 0))
}

const SHADOW = "select name from pragma_table_list where schema = 'main' and type = 'shadow'"
/** Those that have content of their own. */
const VIRTUAL = `select v.name from pragma_table_list v where v.schema = 'main' and v.type = 'virtual'
  and exists (select 1 from pragma_table_list s where s.schema = 'main' and s.type = 'shadow'
    and lower(substr(s.name, 1, length(v.name) + 1)) = lower(v.name) || '_')
  order by v.name`

function named(db: DatabaseSync, sql: string): readonly string[] {
  const rows = db.prepare(sql).all()
  return rows.map(({ name }) => String(name))
}

function isThere(db: DatabaseSync, table: string): boolean {
  return db.prepare('select 1 from sqlite_schema where name = ?').get(table) !== undefined
}

/** Names of the tables that hold content, sorted. */
function tableNames(db: DatabaseSync): readonly string[] {
  return named(
    db,
    `select name from sqlite_schema
    where type = 'table' and rootpage > 0 and name not like '\\_quorate\\_%' escape '\\'
      and (name not like 'sqlite\\_%' escape '\\' or name = 'sqlite_sequence')
    order by name`,
  )
}

/** @param rowid the name of the table's rowid, if it has one of its own */
function digestOfTable(db: DatabaseSync, name: string, rowid: string | undefined): string {
  const columns = rowid === undefined ? '*' : `${rowid}, *`
  const order = rowid ?? keyOf(db, name)
  const statement = db.prepare(`select ${columns} from ${quote(name)} order by ${order}`, RAW)
  return digestOfRows(statement.iterate() as unknown as Iterable<Row>)
}

/** The ORDER BY terms of the table's key. */
function keyOf(db: DatabaseSync, name: string): string {
  if (name === 'sqlite_sequence') return 'name'
  const columns = db.prepare('select name from pragma_table_xinfo(?) where pk > 0 order by pk')
  const key = columns.all(name).map((row) => quote(String(row['name'])))
  return key.length > 0 ? key.join(', ') : 'rowid'
}

function digestOfSchema(db: DatabaseSync): string {
  const objects = `select type, name, tbl_name, sql from sqlite_schema
    where tbl_name not like '\\_quorate\\_%' escape '\\' and name not like 'sqlite\\_%' escape '\\'
    order by type, name`
  const rows = db.prepare(objects, RAW).all() as unknown as Row[]
  const pragmas = ['user_version', 'application_id'].map((name) => {
    return db.prepare(`pragma ${name}`, RAW).get() as unknown as Row
  })
  return digestOfRows([...rows, ...pragmas])
}

function integrityProblems(db: DatabaseSync): readonly string[] {
  const rows = db.prepare(`pragma integrity_check(${PROBLEMS_MAX})`).all()
  const texts = rows.map((row) => String(row['integrity_check']))
  return texts.filter((text) => text !== 'ok')
}

function foreignKeyProblems(db: DatabaseSync): readonly string[] {
  const problems: string[] = []
  try {
    for (const row of db.prepare('pragma foreign_key_check').iterate()) {
      const { table, rowid, parent } = row
      problems.push(`Row ${rowid} of ${table} refers to a row of ${parent} that does not exist.`)
      if (problems.length === PROBLEMS_MAX) break
    }
  } catch (error) {
    // A foreign key whose parent has no such key can't be checked at all.
    problems.push(`${(error as Error).message}.`)
  }
  return problems
}

function digestOfRows(rows: Iterable<Row>): string {
  const encoder = new RowHash()
  for (const row of rows) encoder.add(row)
  return encoder.digest()
}

const NULL = 0
const INTEGER = 1
const REAL = 2
const TEXT = 3
const BLOB = 4
const ROW = 5

/** Feeds rows to sha256 through one buffer of fixed size; what is longer goes there directly. */
class RowHash {
  readonly #hash: Hash = createHash('sha256')
  readonly #buffer = Buffer.allocUnsafe(64 * 1024)
  #used = 0

  add(row: Row): void {
    this.#head(ROW, row.length)
    for (const value of row) this.#value(value)
  }

  digest(): string {
    this.#flush()
    return this.#hash.digest('hex')
  }

  #value(value: Value): void {
    if (value === null) this.#head(NULL, 0)
    else if (typeof value === 'bigint') {
      this.#room(9)
      this.#buffer[this.#used] = INTEGER
      this.#buffer.writeBigInt64BE(value, this.#used + 1)
      this.#used += 9
    } else if (typeof value === 'number') {
      this.#room(9)
      this.#buffer[this.#used] = REAL
      this.#buffer.writeDoubleBE(value, this.#used + 1)
      this.#used += 9
    } else if (typeof value === 'string') this.#text(value)
    else this.#bytes(BLOB, value)
  }

  #text(value: string): void {
    // A code unit is at most three bytes of UTF-8.
    if (value.length * 3 > this.#buffer.length) {
      this.#bytes(TEXT, Buffer.from(value))
      return
    }
    const bytes = Buffer.byteLength(value)
    this.#head(TEXT, bytes)
    this.#room(bytes)
    this.#used += this.#buffer.write(value, this.#used)
  }

  #bytes(type: number, value: Uint8Array): void {
    this.#head(type, value.length)
    this.#flush()
    this.#hash.update(value)
  }

  #head(type: number, length: number): void {
    this.#room(5)
    this.#buffer[this.#used] = type
    this.#buffer.writeUInt32BE(length, this.#used + 1)
    this.#used += 5
  }

  #room(bytes: number): void {
    if (this.#used + bytes > this.#buffer.length) this.#flush()
  }

  #flush(): void {
    if (this.#used > 0) this.#hash.update(this.#buffer.subarray(0, this.#used))
    this.#used = 0
  }
}
