/** What the generator knows of the schema that it writes statements for: read from plain SQLite. */
import type { DatabaseSync } from 'node:sqlite'
import { VARYING } from './content.ts'
import type { Feature } from './features.ts'

export type Affinity = 'integer' | 'real' | 'text' | 'blob' | 'numeric'

export interface ColumnView {
  readonly name: string
  readonly affinity: Affinity
  readonly notNull: boolean
  /** Position in the PRIMARY KEY from 1; 0 if it is not in it. */
  readonly key: number
  /** It is the rowid itself. */
  readonly rowid: boolean
  /** It takes no other type. */
  readonly strict: boolean
  readonly generated: boolean
}

/** `content`: what an FTS5 table with external content indexes; `varying`: see content.ts. */
export type TableKind = 'table' | 'view' | 'fts5' | 'rtree' | 'content' | 'varying'

export interface TableView {
  readonly name: string
  readonly kind: TableKind
  readonly sql: string
  readonly columns: readonly ColumnView[]
  readonly withoutRowid: boolean
  /** Groups of columns that are unique, the PRIMARY KEY among them. */
  readonly unique: readonly (readonly string[])[]
  /** Those that the table itself declares, which no DROP INDEX takes away. */
  readonly declared: readonly (readonly string[])[]
  /** Reached by any change of its rows. */
  readonly features: readonly Feature[]
  /** Reached by a change that has further effects. */
  readonly onInsert: readonly Feature[]
  readonly onUpdate: readonly Feature[]
  readonly onDelete: readonly Feature[]
  /** By a foreign key. */
  readonly refersToItself: boolean
  readonly rows: number
}

export interface SchemaView {
  readonly tables: readonly TableView[]
  readonly indexes: readonly string[]
  readonly triggers: readonly string[]
  /** Tables that foreign keys refer to. */
  readonly parents: ReadonlySet<string>
}

interface Reference {
  readonly child: string
  readonly parent: string
  readonly onUpdate: string
  readonly onDelete: string
}

interface Trigger {
  readonly name: string
  readonly table: string
  readonly feature: Feature
  readonly verb: string
}

type Row = Record<string, unknown>

/** Reads the schema with the number of rows in each table. */
export function readSchema(db: DatabaseSync): SchemaView {
  const all = (sql: string, ...args: string[]): Row[] => db.prepare(sql).all(...args)
  const objects = all('select type, name, tbl_name, sql from sqlite_schema where sql is not null')
  const shadow = new Set(
    all("select name from pragma_table_list where schema = 'main' and type = 'shadow'").map(nameOf),
  )
  const tables = objects.filter(
    ({ type, name }) =>
      (type === 'table' || type === 'view') &&
      !shadow.has(String(name)) &&
      !String(name).startsWith('sqlite_'),
  )
  const references = tables.flatMap(({ name }) => referencesOf(all, String(name)))
  const triggers = objects.filter(({ type }) => type === 'trigger').flatMap(toTrigger)
  const ofType = (type: string) => objects.filter((one) => one['type'] === type).map(nameOf)
  return {
    tables: tables.flatMap((one) => toTable(db, all, one, references, triggers)),
    indexes: ofType('index'),
    triggers: ofType('trigger'),
    parents: new Set(references.map(({ parent }) => parent)),
  }
}

const nameOf = ({ name }: Row): string => String(name)

type All = (sql: string, ...args: string[]) => Row[]

function referencesOf(all: All, child: string): Reference[] {
  return all('select "table", on_update, on_delete from pragma_foreign_key_list(?)', child).map(
    (row) => ({
      child,
      parent: String(row['table']).toLowerCase(),
      onUpdate: String(row['on_update']).toLowerCase(),
      onDelete: String(row['on_delete']).toLowerCase(),
    }),
  )
}

function toTrigger({ name, tbl_name: table, sql }: Row): Trigger[] {
  const match = /\b(before|after|instead of)\s+(insert|update|delete)\b/i.exec(String(sql))
  if (match === null) return []
  const [, when = '', verb = ''] = match
  const feature = `trigger: ${when} ${verb}`.toLowerCase() as Feature
  return [{ name: String(name), table: String(table).toLowerCase(), feature, verb }]
}

function toTable(
  db: DatabaseSync,
  all: All,
  { name: given, type, sql: text }: Row,
  references: readonly Reference[],
  triggers: readonly Trigger[],
): TableView[] {
  const name = String(given)
  const sql = String(text)
  const withoutRowid = /without rowid/i.test(sql)
  const isRowid = !withoutRowid && /integer primary key/i.test(sql)
  const columns = columnsOf(all, name, isRowid, /\)[^)]*\bstrict\b[^)]*$/i.test(sql))
  // A view that its tables have left behind can't be asked.
  if (columns === null) return []
  const kind = kindOf(String(type), name, sql)
  const own = triggers.filter(({ table }) => table === name.toLowerCase())
  const on = (verb: string) => own.filter((one) => one.verb === verb).map(({ feature }) => feature)
  const referring = references.filter(({ parent }) => parent === name.toLowerCase())
  const key = columns.filter((one) => one.key > 0)
  return [
    {
      name,
      kind,
      sql,
      columns,
      withoutRowid,
      unique: uniqueOf(all, name, key, ''),
      declared: uniqueOf(all, name, key, " and origin <> 'c'"),
      features: tableFeatures(kind, sql, columns),
      onInsert: on('insert'),
      onUpdate: [
        ...on('update'),
        ...actions(
          'update',
          referring.map((one) => one.onUpdate),
        ),
      ],
      onDelete: [
        ...on('delete'),
        ...actions(
          'delete',
          referring.map((one) => one.onDelete),
        ),
      ],
      refersToItself: referring.some(({ child }) => child === name),
      rows: rowsOf(db, kind, name),
    },
  ]
}

function actions(verb: 'update' | 'delete', names: readonly string[]): Feature[] {
  return names
    .filter((name) => name === 'cascade' || name.startsWith('set'))
    .map((name) => `foreign key: on ${verb} ${name}` as Feature)
}

function columnsOf(
  all: All,
  table: string,
  isRowid: boolean,
  strict: boolean,
): ColumnView[] | null {
  try {
    const rows = all('select name, type, "notnull", pk, hidden from pragma_table_xinfo(?)', table)
    return rows
      .filter(({ hidden }) => hidden !== 1)
      .map(({ name, type, notnull, pk, hidden }) => ({
        name: String(name),
        affinity: affinityOf(String(type)),
        notNull: notnull === 1,
        key: Number(pk),
        rowid: isRowid && Number(pk) > 0,
        strict: strict && String(type).toLowerCase() !== 'any',
        generated: hidden === 2 || hidden === 3,
      }))
  } catch {
    return null
  }
}

function affinityOf(type: string): Affinity {
  const name = type.toUpperCase()
  if (name.includes('INT')) return 'integer'
  if (/CHAR|CLOB|TEXT/.test(name)) return 'text'
  if (name === '' || name.includes('BLOB') || name === 'ANY') return 'blob'
  return /REAL|FLOA|DOUB/.test(name) ? 'real' : 'numeric'
}

function kindOf(type: string, name: string, sql: string): TableKind {
  if (name === 'doc') return 'content'
  if (VARYING.test(name)) return 'varying'
  if (type === 'view') return 'view'
  if (/^create virtual table .* using fts5/is.test(sql)) return 'fts5'
  return /^create virtual table/i.test(sql) ? 'rtree' : 'table'
}

function uniqueOf(all: All, table: string, key: readonly ColumnView[], only: string): string[][] {
  const indexes = all(
    `select name from pragma_index_list(?) where "unique" = 1 and partial = 0${only}`,
    table,
  )
  const groups = indexes.map(({ name }) =>
    all('select name from pragma_index_info(?)', String(name)).map((row) => row['name']),
  )
  const named = groups.filter((group): group is string[] => group.every((one) => one !== null))
  if (key.length === 1) named.push(key.map(({ name }) => name))
  return named
}

function rowsOf(db: DatabaseSync, kind: TableKind, name: string): number {
  if (kind === 'view') return 0
  const row = db.prepare(`select count(*) as n from "${name.replaceAll('"', '""')}"`).get()
  return Number(row?.['n'])
}

/** What the text of a table says about it. */
const WORDS: readonly (readonly [RegExp, Feature])[] = [
  [/\bautoincrement\b/i, 'autoincrement'],
  [/\bas \(.*\) virtual/i, 'generated column: virtual'],
  [/\bas \(.*\) stored/i, 'generated column: stored'],
  [/\bstrict\b/i, 'strict'],
  [/\bany\b.*\bstrict\b/is, 'strict: any'],
  [/\bwithout rowid\b/i, 'without rowid'],
  [/\bcollate nocase\b/i, 'collation: nocase'],
  [/\bcollate rtrim\b/i, 'collation: rtrim'],
  [/\bcheck\b/i, 'check constraint'],
  [/\bon conflict\b/i, 'conflict clause of a column'],
  [/\bforeign key \(/i, 'foreign key: of several columns'],
]

function tableFeatures(kind: TableKind, sql: string, columns: readonly ColumnView[]): Feature[] {
  if (kind === 'view') return []
  if (kind === 'fts5') return [ftsFeature(sql)]
  if (kind === 'rtree') return sql.includes('+') ? ['rtree', 'rtree: auxiliary columns'] : ['rtree']
  const features = WORDS.flatMap(([pattern, feature]) => (pattern.test(sql) ? [feature] : []))
  const key = columns.filter((one) => one.key > 0)
  if (key.length === 0) features.push('primary key: none')
  if (key.length > 1) features.push('primary key: of several columns')
  if (key.length === 1 && !key[0]?.rowid) features.push('primary key: text')
  return features
}

function ftsFeature(sql: string): Feature {
  if (sql.includes('contentless_delete')) return 'fts5: contentless_delete'
  if (/content\s*=\s*''/.test(sql)) return 'fts5: contentless'
  return /content\s*=/.test(sql) ? 'fts5: external content' : 'fts5'
}
