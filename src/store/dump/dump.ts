/**
 * A database as SQL text that sqlite3 and `quorate sql` read back exactly: every value with its type
 * and bits, rowids, generated ids, and the schema in an order in which nothing fires or fails.
 *
 * Ordinary tables come first, then what looks at them (indexes, views), then virtual tables, then
 * triggers. A virtual table is written as statements that fill it again where that gives the same
 * content (see dump-virtual.ts); Quorate's own tables are left out.
 */
import type { DatabaseSync } from 'node:sqlite'
import { QuorateError } from '../../base/errors.ts'
import { quote } from '../quote.ts'
import { isReserved } from '../schema/schema-guard.ts'
import { insertRows, literal, readRows } from './dump-values.ts'
import { dumpVirtual, isRebuilt } from './dump-virtual.ts'

/** What to write; by default everything. */
export interface DumpOptions {
  readonly schema?: boolean
  readonly data?: boolean
  /** Only these tables and views, with their indexes and triggers. Empty: all. */
  readonly tables?: readonly string[]
}

/** One row of sqlite_schema. */
interface SchemaItem {
  readonly type: string
  readonly name: string
  readonly table: string
  readonly sql: string
  readonly kind: 'ordinary' | 'virtual' | 'shadow' | 'other'
}

/**
 * Writes a database as SQL, piece by piece. The caller sees to it that nobody changes it meanwhile,
 * for example by a read transaction on the connection.
 *
 * @returns pieces of text, each some whole statements with their line ends
 * @throws QuorateError BAD_USAGE if a table in `tables` does not exist
 */
export function* dumpSql(db: DatabaseSync, options: DumpOptions = {}): Generator<string, void> {
  const { schema = true, data = true, tables = [] } = options
  const all = readSchema(db)
  const items = tables.length === 0 ? all : chosen(all, tables)
  const ordinary = items.filter(({ type, kind }) => type === 'table' && kind === 'ordinary')
  const virtual = items.filter(({ kind }) => kind === 'virtual')
  yield 'PRAGMA foreign_keys=OFF;\nBEGIN TRANSACTION;\n'
  for (const item of ordinary) {
    if (schema) yield statement(item.sql)
    if (data) yield* insertRows(readRows(db, item.name))
  }
  if (data && tables.length === 0) yield* sequence(db)
  if (schema) yield* created(items, ['index', 'view'])
  const raw = virtual.filter((item) => !isRebuilt(db, item.name, item.sql))
  for (const item of virtual) {
    if (raw.includes(item)) continue
    if (schema) yield statement(item.sql)
    if (data) yield* dumpVirtual(db, item.name, item.sql)
  }
  yield* rawVirtual(db, raw, all, schema, data)
  if (schema) yield* created(items, ['trigger'])
  if (schema && tables.length === 0) yield* settings(db)
  yield 'COMMIT;\n'
  if (schema && data && tables.length === 0 && hasTable(db, 'sqlite_stat1')) yield 'ANALYZE;\n'
}

/** A statement on lines of its own; the text may end in a comment. */
function statement(sql: string): string {
  return `${sql}${/--[^\n]*$/.test(sql) ? '\n' : ''};\n`
}

/** The user's part of sqlite_schema in the order of making. */
function readSchema(db: DatabaseSync): readonly SchemaItem[] {
  const kinds = new Map<string, string>()
  for (const row of db
    .prepare("select name, type from pragma_table_list where schema = 'main'")
    .all()) {
    kinds.set(String(row['name']), String(row['type']))
  }
  const rows = db
    .prepare('select type, name, tbl_name, sql from sqlite_schema where sql is not null')
    .all()
  return rows.flatMap((row): SchemaItem[] => {
    const { type, name, tbl_name: table, sql } = row as Record<string, string>
    if (type === undefined || name === undefined || sql === undefined) return []
    if (/^sqlite_/i.test(name) || isReserved(name)) return []
    return [{ type, name, table: table ?? name, sql, kind: kindOf(type, kinds.get(name)) }]
  })
}

function kindOf(type: string, listed: string | undefined): SchemaItem['kind'] {
  if (type !== 'table') return 'other'
  return listed === 'virtual' || listed === 'shadow' ? listed : 'ordinary'
}

/** What belongs to the named tables and views. Shadow tables come with their virtual table. */
function chosen(all: readonly SchemaItem[], names: readonly string[]): readonly SchemaItem[] {
  const wanted = new Set(names.map((name) => name.toLowerCase()))
  for (const name of wanted) {
    const there = all.some((item) => /table|view/.test(item.type) && named(item.name, name))
    if (!there) throw new QuorateError('BAD_USAGE', `There is no table or view ${name}.`)
  }
  return all.filter(
    ({ name, table }) => wanted.has(name.toLowerCase()) || wanted.has(table.toLowerCase()),
  )
}

function named(name: string, wanted: string): boolean {
  return name.toLowerCase() === wanted
}

function* created(items: readonly SchemaItem[], types: readonly string[]): Generator<string> {
  for (const type of types) {
    for (const item of items) if (item.type === type) yield statement(item.sql)
  }
}

/** AUTOINCREMENT goes on where it was. */
function* sequence(db: DatabaseSync): Generator<string> {
  if (!hasTable(db, 'sqlite_sequence')) return
  const rows = db.prepare('select name, seq from sqlite_sequence order by rowid').all()
  yield 'DELETE FROM sqlite_sequence;\n'
  for (const { name, seq } of rows) {
    const text = `${literal(Buffer.from(String(name)))},${String(seq)}`
    yield `INSERT INTO sqlite_sequence(name,seq) VALUES(${text});\n`
  }
}

function* settings(db: DatabaseSync): Generator<string> {
  for (const name of ['user_version', 'application_id']) {
    const value = Number(db.prepare(`pragma ${name}`).get()?.[name])
    if (value !== 0) yield `PRAGMA ${name}=${value};\n`
  }
}

/**
 * Virtual tables of which only the tables behind them are known, as the sqlite3 shell writes them:
 * an entry in sqlite_schema and the rows behind. sqlite3 reads it; Quorate refuses it.
 */
function* rawVirtual(
  db: DatabaseSync,
  raw: readonly SchemaItem[],
  all: readonly SchemaItem[],
  schema: boolean,
  data: boolean,
): Generator<string> {
  if (raw.length === 0) return
  const shadows = all.filter(
    ({ kind, name }) => kind === 'shadow' && raw.some((item) => name.startsWith(`${item.name}_`)),
  )
  if (schema) {
    yield 'PRAGMA writable_schema=ON;\n'
    for (const { name, sql } of raw) {
      const [text, create] = [literal(Buffer.from(name)), literal(Buffer.from(sql))]
      yield `INSERT INTO sqlite_schema(type,name,tbl_name,rootpage,sql) VALUES('table',${text},${text},0,${create});\n`
    }
    yield 'PRAGMA writable_schema=RESET;\n'
  }
  for (const shadow of shadows) {
    if (schema)
      yield statement(shadow.sql.replace(/^CREATE TABLE /i, 'CREATE TABLE IF NOT EXISTS '))
    if (data) {
      yield `DELETE FROM ${quote(shadow.name)};\n`
      yield* insertRows(readRows(db, shadow.name))
    }
  }
}

function hasTable(db: DatabaseSync, name: string): boolean {
  return db.prepare('select 1 from sqlite_schema where name = ?').get(name) !== undefined
}
