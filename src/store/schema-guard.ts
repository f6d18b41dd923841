/**
 * Keeps out what replicas could not follow: the session extension silently skips tables without a
 * PRIMARY KEY and rows with NULL in a key column, and virtual tables may keep their content
 * anywhere. Tables are checked when a file is adopted and after DDL, NULLs when a row is written.
 *
 * NULL keys are caught by TEMP triggers on the writer's connection. They see every row that any
 * statement, trigger or foreign-key action writes, cost nothing to look up, never get into the
 * file and don't exist on the applier. (Looking for NULLs after each transaction would scan the
 * index of a compound key.)
 */
import { QuorateError } from '../base/errors.ts'
import { identifier, keyword, tokenize } from '../model/sql-tokens.ts'
import type { Connection } from './connections.ts'

/** Ours: internal tables, and what later releases will show to users. */
const RESERVED = /^_?quorate_/i
/** Virtual tables whose whole content is in shadow tables with keys. */
const VIRTUAL: ReadonlySet<string> = new Set(['fts5', 'rtree', 'rtree_i32'])
const INTERNAL: ReadonlySet<string> = new Set(['_quorate_log', '_quorate_state'])
const NULL_MESSAGE = 'NULL in PRIMARY KEY of table '

export function isReserved(name: string): boolean {
  return RESERVED.test(name)
}

export function isSupportedModule(name: string): boolean {
  return VIRTUAL.has(name.toLowerCase())
}

/** An identifier as SQL. */
export function quote(name: string): string {
  return `"${name.replaceAll('"', '""')}"`
}

interface NullableKey {
  readonly table: string
  readonly columns: readonly string[]
}

/** A table in which keys that differ as bytes may be equal; columns without generated ones. */
export interface LooseTable {
  readonly table: string
  readonly columns: readonly string[]
  /** Positions of the key's columns. */
  readonly key: readonly number[]
}

/** What the store must know about a schema. Names of tables are in lower case. */
export interface SchemaFacts {
  /** Tables that can't be followed, each with the reason as a sentence. */
  readonly problems: readonly { readonly table: string; readonly sentence: string }[]
  /** Key columns that SQLite would let be NULL. */
  readonly nullable: readonly NullableKey[]
  readonly loose: ReadonlyMap<string, LooseTable>
  readonly hasSequence: boolean
  readonly hasVirtual: boolean
  /** Tables at either end of a DEFERRABLE foreign key. */
  readonly deferred: ReadonlySet<string>
  /** Tables that a foreign key refers to. */
  readonly parents: ReadonlySet<string>
  /** A table or trigger says FAIL: an error may leave a statement's earlier rows in place. */
  readonly fails: boolean
}

interface SchemaRow {
  readonly type: string
  readonly name: string
  readonly sql: string
  readonly words: ReadonlySet<string>
}

/** Reads the schema's facts. Works on any connection that sees the schema in question. */
export function readFacts(connection: Connection): SchemaFacts {
  const rows = schemaRows(connection)
  const shadow = shadowTables(connection)
  const tables = rows.filter(({ type, name }) => type === 'table' && !shadow.has(name))
  const virtual = tables.filter(({ words }) => words.has('VIRTUAL'))
  const problems = [...virtual.flatMap(moduleProblem), ...reservedNames(connection)]
  const nullable: NullableKey[] = []
  const loose = new Map<string, LooseTable>()
  const { deferred, parents } = foreignKeys(connection, tables)
  for (const { name } of tables.filter((table) => !virtual.includes(table))) {
    const columns = nullableColumns(connection, name)
    if (columns === null) {
      problems.push({ table: name, sentence: `Table ${name} has no PRIMARY KEY.` })
      continue
    }
    if (columns.length > 0) nullable.push({ table: name, columns })
    const looseTable = looseKey(connection, name)
    if (looseTable !== null) loose.set(name.toLowerCase(), looseTable)
  }
  return {
    problems,
    nullable,
    loose,
    hasSequence: connection.internal(SEQUENCE_TABLE).row() !== undefined,
    hasVirtual: virtual.length > 0,
    deferred,
    parents,
    fails: rows.some(({ words }) => words.has('FAIL')),
  }
}

const SEQUENCE_TABLE = "select 1 from sqlite_schema where name = 'sqlite_sequence'"

/** Names that only we may give, on things that are not ours. */
function reservedNames(connection: Connection) {
  const names = connection.internal('select name from sqlite_schema').rows()
  return names.flatMap(([given]) => {
    const name = String(given)
    if (!isReserved(name) || INTERNAL.has(name)) return []
    return [{ table: name, sentence: `The name ${name} is reserved for Quorate.` }]
  })
}

/** The user's part of sqlite_schema. */
function schemaRows(connection: Connection): readonly SchemaRow[] {
  const rows: SchemaRow[] = []
  const all = connection.internal('select type, name, sql from sqlite_schema where sql is not null')
  for (const [type, name, sql] of all.rows()) {
    const given = { type: String(type), name: String(name), sql: String(sql) }
    if (isReserved(given.name) || given.name.toLowerCase().startsWith('sqlite_')) continue
    rows.push({ ...given, words: new Set([...tokenize(given.sql)].map(keyword)) })
  }
  return rows
}

function shadowTables(connection: Connection): ReadonlySet<string> {
  const sql = "select name from pragma_table_list where schema = 'main' and type = 'shadow'"
  return new Set(
    connection
      .internal(sql)
      .rows()
      .map(([name]) => String(name)),
  )
}

function moduleProblem({ name, sql }: SchemaRow) {
  const tokens = [...tokenize(sql)]
  const module = identifier(tokens[tokens.findIndex((token) => keyword(token) === 'USING') + 1])
  if (isSupportedModule(module)) return []
  const sentence = `Virtual table ${name} uses the module ${module}, which is not replicated.`
  return [{ table: name, sentence }]
}

/** Key columns that may hold NULL; null if the table has no key at all. */
function nullableColumns(connection: Connection, table: string): string[] | null {
  const columns = connection
    .internal('select name, "notnull" from pragma_table_info(?) where pk > 0 order by pk')
    .rows(table)
  if (columns.length === 0) return null
  const origin = "select 1 from pragma_index_list(?) where origin = 'pk'"
  // Without an index for its key, the table is its own: an alias of the rowid, which is never NULL.
  if (connection.internal(origin).row(table) === undefined) return []
  const withoutRowid = "select wr from pragma_table_list where schema = 'main' and name = ?"
  if (Number(connection.internal(withoutRowid).row(table)?.[0]) === 1) return []
  return columns.filter(([, notNull]) => Number(notNull) === 0).map(([name]) => String(name))
}

/** SQLite's rule for a column's affinity, as far as it leaves values as they are. */
function keepsType(declared: string): boolean {
  const type = declared.toUpperCase()
  return (
    type === '' || type === 'ANY' || (type.includes('BLOB') && !/INT|CHAR|CLOB|TEXT/.test(type))
  )
}

/** The table if its key is compared by more than bytes; null otherwise. */
function looseKey(connection: Connection, table: string): LooseTable | null {
  const columns = connection
    .internal('select name, type, pk from pragma_table_info(?) order by cid')
    .rows(table)
  const key = columns.flatMap(([, , pk], i) => (Number(pk) > 0 ? [i] : []))
  const collations = connection.internal(
    `select x.coll from pragma_index_list(?) i join pragma_index_xinfo(i.name) x
     where i.origin = 'pk' and x.key = 1`,
  )
  const collated = collations.rows(table)
  if (collated.length === 0) return null
  const byBytes =
    collated.every(([collation]) => collation === 'BINARY') &&
    key.every((column) => !keepsType(String(columns[column]?.[1])))
  if (byBytes) return null
  return { table, columns: columns.map(([name]) => String(name)), key }
}

function foreignKeys(connection: Connection, tables: readonly SchemaRow[]) {
  const deferred = new Set<string>()
  const parents = new Set<string>()
  const query = connection.internal('select "table" from pragma_foreign_key_list(?)')
  for (const { name, words } of tables) {
    if (!words.has('REFERENCES')) continue
    const deferrable = words.has('DEFERRABLE')
    if (deferrable) deferred.add(name.toLowerCase())
    for (const [parent] of query.rows(name)) {
      parents.add(String(parent).toLowerCase())
      if (deferrable) deferred.add(String(parent).toLowerCase())
    }
  }
  return { deferred, parents }
}

/** Throws TABLE_WITHOUT_KEY or SQL_REFUSED if the schema has a table that can't be followed. */
export function checkTables(facts: SchemaFacts): void {
  const [problem] = facts.problems
  if (problem === undefined) return
  const code = problem.sentence.includes('PRIMARY KEY') ? 'TABLE_WITHOUT_KEY' : 'SQL_REFUSED'
  throw new QuorateError(code, problem.sentence)
}

/** Distinguishes the guards of one time from those of another. */
let guards = 0

/** Removes the guards against NULL keys, before DDL that they could get in the way of. */
export function dropNullGuards(writer: Connection): void {
  const names = writer.internal(
    "select name from sqlite_temp_schema where type = 'trigger' and name like '\\_quorate\\_null%' escape '\\'",
  )
  for (const [name] of names.rows()) {
    try {
      writer.db.exec(`drop trigger temp.${quote(String(name))}`)
    } catch {
      // Another process has dropped its table: SQLite has forgotten it already.
    }
  }
}

/** Puts the guards in place that the schema needs now. */
export function setNullGuards(writer: Connection, facts: SchemaFacts): void {
  dropNullGuards(writer)
  for (const { table, columns } of facts.nullable) {
    const anyNull = columns.map((column) => `new.${quote(column)} is null`).join(' or ')
    const message = `'${(NULL_MESSAGE + table).replaceAll("'", "''")}'`
    for (const event of ['insert', `update of ${columns.map(quote).join(', ')}`]) {
      guards += 1
      writer.db.exec(`create temp trigger _quorate_null_${guards}
        before ${event} on main.${quote(table)}
        when ${anyNull} begin select raise(abort, ${message}); end`)
    }
  }
}

/** NULL_IN_KEY for what a guard raised; null for any other message. */
export function nullKeyError(message: string): QuorateError | null {
  if (!message.startsWith(NULL_MESSAGE)) return null
  const table = message.slice(NULL_MESSAGE.length).replace(/\.$/, '')
  return new QuorateError('NULL_IN_KEY', `A row of table ${table} has NULL in its PRIMARY KEY.`)
}

/**
 * Everything that keeps a database from being adopted, each as a sentence with the table's name.
 * Looks through the keys of tables whose key may be NULL, so it takes time on large ones.
 */
export function checkAdoptable(connection: Connection): readonly string[] {
  const facts = readFacts(connection)
  const problems = facts.problems.map(({ sentence }) => sentence)
  for (const { table, columns } of facts.nullable) {
    const anyNull = columns.map((column) => `${quote(column)} is null`).join(' or ')
    const found = connection.internal(`select count(*) from main.${quote(table)} where ${anyNull}`)
    const count = Number(found.row()?.[0])
    if (count > 0) {
      problems.push(`Table ${table} has ${count} rows with NULL in its PRIMARY KEY.`)
    }
  }
  return problems
}
