/** What of a schema decides how transactions of several origins go together, read from the schema. */
import type { DatabaseSync } from 'node:sqlite'
import { assert, present } from '../../base/assert.ts'
import { QuorateError } from '../../base/errors.ts'
import type { ExactValue } from '../../model/exact-value.ts'
import { tokenize } from '../../model/sql-tokens.ts'
import { quote } from '../quote.ts'
import { defaultOf } from './column-default.ts'

/** What becomes of children when their parent goes, or its key changes. */
export type ForeignKeyAction = 'NO ACTION' | 'RESTRICT' | 'SET NULL' | 'SET DEFAULT' | 'CASCADE'

export interface ForeignKey {
  readonly child: string
  readonly columns: readonly number[]
  readonly parent: string
  readonly parentColumns: readonly number[]
  /** Of the parent's columns, which decide what is equal. */
  readonly collations: readonly string[]
  readonly onDelete: ForeignKeyAction
  readonly onUpdate: ForeignKeyAction
}

export interface UniqueIndex {
  readonly name: string
  /** Of the table, by position; null: it has an expression, or covers some rows only. */
  readonly columns: readonly number[] | null
  /** Which columns it looks at; null: it may be any. */
  readonly mentions: readonly number[] | null
}

export interface MergeTable {
  readonly name: string
  /** Those that are stored, as a changeset has them: generated ones are not. */
  readonly columns: readonly string[]
  /** What SET DEFAULT puts into each column. */
  readonly defaults: readonly ExactValue[]
  readonly key: readonly number[]
  /** For each column its place in the key, from 1; 0 if it is not part of it. */
  readonly places: readonly number[]
  /** It has constraints that look at several columns of a row at once. */
  readonly guarded: boolean
  /** Columns that keep every number as REAL. */
  readonly reals: ReadonlySet<number>
  /** Columns that keep an INTEGER as it is, and those that keep a TEXT. */
  readonly integers: ReadonlySet<number>
  readonly texts: ReadonlySet<number>
  /** Values of it may be equal though they are not identical: 'a' and 'A', 1 and 1.0. */
  readonly loose: boolean
  readonly uniques: readonly UniqueIndex[]
  /** Foreign keys of this table. */
  readonly references: readonly ForeignKey[]
  /** Foreign keys of other tables, and of this one, to this table. */
  readonly referencedBy: readonly ForeignKey[]
  /** Columns that a key, a unique index or a foreign key may look at. */
  readonly tied: ReadonlySet<number>
}

export type Catalog = ReadonlyMap<string, MergeTable>

type Cell = null | number | string | Uint8Array
type Query = (sql: string, ...args: string[]) => Readonly<Record<string, Cell>>[]

/**
 * Reads all tables of the application; by name in lower case.
 *
 * Throws NOT_ADOPTABLE if the tables of several origins could not be kept alike.
 */
export function readCatalog(db: DatabaseSync): Catalog {
  const query: Query = (sql, ...args) =>
    db.prepare(sql).all(...args) as unknown as ReturnType<Query>
  const list = query(`select l.name, l.wr, s.sql from pragma_table_list l
    join main.sqlite_schema s on s.type = 'table' and s.name = l.name
    where l.schema = 'main' and l.type = 'table' and l.name not like 'sqlite\\_%' escape '\\'
    and l.name not like '\\_quorate\\_%' escape '\\' and l.name not like 'quorate\\_%' escape '\\'
    order by l.name`)
  const problems: string[] = []
  const tables = new Map<string, MergeTable>()
  for (const { name, sql } of list) {
    const problem = problemOf(String(name), String(sql), query)
    if (problem !== null) problems.push(problem)
    else tables.set(String(name).toLowerCase(), readTable(String(name), String(sql), query))
  }
  if (problems.length > 0) throw new QuorateError('NOT_ADOPTABLE', problems.join(' '))
  return withForeignKeys(tables, query)
}

/** The catalog's entry for a table. Throws LOG_CORRUPT if a changeset speaks of another one. */
export function tableOf(catalog: Catalog, name: string): MergeTable {
  const table = catalog.get(name.toLowerCase())
  if (table !== undefined) return table
  throw new QuorateError('LOG_CORRUPT', `A transaction changes ${name}, which is no table here.`)
}

/** Throws LOG_CORRUPT if a change is of a time when the table had more columns. */
export function checkWidth({ name, columns }: MergeTable, width: number): void {
  if (width <= columns.length) return
  const detail = `A transaction changes ${width} columns of ${name}, which has ${columns.length}.`
  throw new QuorateError('LOG_CORRUPT', detail)
}

/** A row of a time when the table had fewer columns, with the defaults of those added since. */
export function grown(
  { columns, defaults }: MergeTable,
  cells: readonly (ExactValue | undefined)[],
): readonly ExactValue[] {
  return columns.map((_, i) => (i < cells.length ? cells[i] : defaults[i]) ?? null)
}

/**
 * Cells as the table stores them: SQLite's session extension tells a default that was never written,
 * because the column came later, as INTEGER where the row shows REAL.
 */
export function asStored(
  { reals }: MergeTable,
  cells: readonly (ExactValue | undefined)[] | null,
): readonly (ExactValue | undefined)[] | null {
  if (cells === null || reals.size === 0) return cells
  return cells.map((value, i) =>
    typeof value === 'bigint' && reals.has(i) ? Number(value) : value,
  )
}

/** The same of what is known of a row: whether it is the whole row shows in that nothing is unknown. */
export function widened(
  table: MergeTable,
  cells: readonly (ExactValue | undefined)[],
): readonly (ExactValue | undefined)[] {
  if (!cells.includes(undefined)) return grown(table, cells)
  return table.columns.map((_, i) => cells[i])
}

/** Why rows of a table can't be told apart on all replicas alike, as a sentence. */
function problemOf(name: string, sql: string, query: Query): string | null {
  const key = query('select type from pragma_table_xinfo(?) where pk > 0', name)
  if (key.length === 0) {
    return `Table ${name} has no PRIMARY KEY, so its rows have no name that all replicas share. Make one of the columns that tell them apart, or of a new INTEGER column.`
  }
  if (/\bon\s+conflict\b/i.test(sql)) {
    return `Table ${name} has an ON CONFLICT clause, which SQLite would obey when it merges, too. Leave it out of the table, and say OR REPLACE or ON CONFLICT in the statements.`
  }
  const [primary] = query(`select name from pragma_index_list(?) where origin = 'pk'`, name)
  if (primary === undefined) return null
  const parts = query(
    `select coll from pragma_index_xinfo(?) where key = 1 and coll <> 'BINARY'`,
    String(primary['name']),
  )
  if (parts.length === 0 && !key.some(({ type }) => isMixed(String(type)))) return null
  return `Table ${name} has a PRIMARY KEY whose equal values may be spelled in several ways; make its columns INTEGER or TEXT that compares by bytes.`
}

/** Whether a column keeps 1 and 1.0 apart though they are equal, by SQLite's rules for affinity. */
function isMixed(type: string): boolean {
  if (/INT|CHAR|CLOB|TEXT/i.test(type)) return false
  return type === '' || /^ANY$|BLOB|REAL|FLOA|DOUB/i.test(type)
}

const NEVER = /(?!)/

function readTable(name: string, sql: string, query: Query): MergeTable {
  const all = query('select * from pragma_table_xinfo(?)', name)
  const stored = all.filter(({ hidden }) => hidden === 0)
  const columns = stored.map((column) => String(column['name']))
  const places = stored.map(({ pk }) => Number(pk))
  const key = places.flatMap((place, i) => (place > 0 ? [i] : []))
  const [list] = query(
    `select strict from pragma_table_list where schema = 'main' and name = ?`,
    name,
  )
  const isStrict = list?.['strict'] === 1
  const defaults = stored.map(({ type, dflt_value: text }) =>
    text === null ? null : defaultOf(String(type), String(text), isStrict),
  )
  const generates = all.length > stored.length
  const isLoose = ({ type }: Readonly<Record<string, Cell>>) =>
    isMixed(String(type)) && !/REAL|FLOA|DOUB/i.test(String(type))
  const loose = /\bcollate\b/i.test(sql) || stored.some(isLoose)
  const guarded = generates || /\bcheck\b/i.test(sql)
  const uniques = readUniques(name, columns, generates, query)
  const typed = (wanted: RegExp, not: RegExp) =>
    new Set(
      stored.flatMap(({ type }, i) =>
        wanted.test(String(type)) && !not.test(String(type)) ? [i] : [],
      ),
    )
  const reals = typed(/REAL|FLOA|DOUB/i, /INT|CHAR|CLOB|TEXT|BLOB/i)
  const integers = typed(/INT/i, NEVER)
  const texts = typed(/CHAR|CLOB|TEXT/i, /INT/i)
  const kinds = { reals, integers, texts, loose, guarded }
  const about = { name, columns, defaults, key, places, uniques, ...kinds }
  return { ...about, references: [], referencedBy: [], tied: new Set() }
}

function readUniques(
  table: string,
  columns: readonly string[],
  generates: boolean,
  query: Query,
): readonly UniqueIndex[] {
  const indexes = query(
    `select i.name, i.partial, s.sql from pragma_index_list(?) i
     left join main.sqlite_schema s on s.type = 'index' and s.name = i.name
     where i."unique" and i.origin <> 'pk'`,
    table,
  )
  return indexes.map(({ name, partial, sql }): UniqueIndex => {
    const parts = query('select name from pragma_index_info(?)', String(name))
    const places = parts.map((part) => indexOf(columns, String(part['name'])))
    const plain = partial === 0 && !places.includes(-1)
    if (plain) return { name: String(name), columns: places, mentions: places }
    return { name: String(name), columns: null, mentions: generates ? null : named(sql, columns) }
  })
}

/** The columns whose names occur in an index's SQL. */
function named(sql: Cell | undefined, columns: readonly string[]): readonly number[] {
  const words = new Set(
    [...tokenize(String(sql))].map(({ text }) => text.replace(/^["'`[]|["'`\]]$/g, '')),
  )
  const lower = new Set([...words].map((word) => word.toLowerCase()))
  return columns.flatMap((column, i) => (lower.has(column.toLowerCase()) ? [i] : []))
}

function withForeignKeys(tables: ReadonlyMap<string, MergeTable>, query: Query): Catalog {
  const all = [...tables.values()].flatMap((table) => foreignKeysOf(table, tables, query))
  const is = (a: string, b: string) => a.toLowerCase() === b.toLowerCase()
  return new Map(
    [...tables].map(([name, table]) => {
      const references = all.filter(({ child }) => is(child, name))
      const referencedBy = all.filter(({ parent }) => is(parent, name))
      const tied = tiedColumns({ ...table, references, referencedBy })
      return [name, { ...table, references, referencedBy, tied }]
    }),
  )
}

function tiedColumns({ columns, key, uniques, references, referencedBy }: MergeTable) {
  const all = columns.map((_, i) => i)
  return new Set([
    ...key,
    ...uniques.flatMap(({ mentions }) => mentions ?? all),
    ...references.flatMap((reference) => reference.columns),
    ...referencedBy.flatMap(({ parentColumns }) => parentColumns),
  ])
}

function foreignKeysOf(
  table: MergeTable,
  tables: ReadonlyMap<string, MergeTable>,
  query: Query,
): ForeignKey[] {
  const list = query('select * from pragma_foreign_key_list(?) order by id, seq', table.name)
  return [...Map.groupBy(list, ({ id }) => id).values()].flatMap((parts) => {
    const [first] = parts
    assert(first !== undefined, () => `a foreign key of ${table.name} without columns`)
    const parent = tables.get(String(first['table']).toLowerCase())
    if (parent === undefined) return []
    const named = parts.map((part) => part['to'] ?? null)
    const parentColumns = named.includes(null)
      ? parent.key
      : named.map((name) => indexOf(parent.columns, String(name)))
    return [
      {
        child: table.name,
        columns: parts.map((part) => indexOf(table.columns, String(part['from']))),
        parent: parent.name,
        parentColumns,
        collations: collationsOf(parent, parentColumns, query),
        onDelete: String(first['on_delete']) as ForeignKeyAction,
        onUpdate: String(first['on_update']) as ForeignKeyAction,
      },
    ]
  })
}

/** As the unique index has them that makes the columns a parent's key; a rowid has none. */
function collationsOf(parent: MergeTable, columns: readonly number[], query: Query): string[] {
  const indexes = query('select name from pragma_index_list(?) where "unique"', parent.name)
  for (const { name } of indexes) {
    const parts = query(
      'select name, coll from pragma_index_xinfo(?) where key = 1',
      String(name),
    ).map((part) => [indexOf(parent.columns, String(part['name'])), String(part['coll'])] as const)
    const found = new Map(parts)
    if (parts.length !== columns.length || !columns.every((column) => found.has(column))) continue
    return columns.map((column) => found.get(column) ?? 'BINARY')
  }
  return columns.map(() => 'BINARY')
}

/** SQLite compares names of columns without their case. */
function indexOf(columns: readonly string[], name: string): number {
  return columns.findIndex((column) => column.toLowerCase() === name.toLowerCase())
}

/** A column of a table as SQL. */
export function columnSql(table: MergeTable, column: number): string {
  return quote(present(table.columns[column], () => `column ${column} of ${table.name}`))
}
