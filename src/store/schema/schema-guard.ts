/**
 * What the store must know about a schema, and what of it replicas could not follow: virtual tables
 * that may keep their content anywhere, names that are Quorate's, tables whose rows can't be told
 * apart. Checked when a file is adopted and after DDL.
 */
import { QuorateError } from '../../base/errors.ts'
import { identifier, keyword, tokenize } from '../../model/sql-tokens.ts'
import type { Connection } from '../connections.ts'
import { checkRows, type MergeFacts, readMergeFacts } from '../origins/merge-facts.ts'
import { type RowTable, readRowTables } from './row-tables.ts'

/** Ours: internal tables, and what later releases will show to users. */
const RESERVED = /^_?quorate_/i
/** Virtual tables whose whole content is in shadow tables, or that only show another's. */
const VIRTUAL: ReadonlySet<string> = new Set([
  ...['fts3', 'fts4', 'fts5', 'rtree', 'rtree_i32', 'geopoly'],
  ...['fts3tokenize', 'fts4aux', 'fts5vocab'],
])
const INTERNAL = /^_quorate_(log|state)$/
/** Ours with several origins, and their indexes. */
const OF_ORIGINS =
  /^(_quorate_(entries|kept|inherited|transactions|deleted|forgotten|rules|keys|origin)(_.*)?|quorate_conflicts)$/

export function isReserved(name: string): boolean {
  return RESERVED.test(name)
}

export function isSupportedModule(name: string): boolean {
  return VIRTUAL.has(name.toLowerCase())
}

/** What the store must know about a schema. */
export interface SchemaFacts {
  /** Tables that can't be followed, each with the reason as a sentence. */
  readonly problems: readonly { readonly table: string; readonly sentence: string }[]
  /** See row-tables.ts. */
  readonly watched: readonly RowTable[]
  readonly loose: readonly RowTable[]
  readonly hasRecorded: boolean
  readonly hasSequence: boolean
  readonly hasVirtual: boolean
  /** Tables at either end of a DEFERRABLE foreign key, in lower case. */
  readonly deferred: ReadonlySet<string>
  /** Tables that a foreign key refers to, in lower case. */
  readonly parents: ReadonlySet<string>
  /** A table or trigger says FAIL: an error may leave a statement's earlier rows in place. */
  readonly fails: boolean
  /** With several origins; null: there is one leader. */
  readonly merging: MergeFacts | null
}

export interface SchemaRow {
  readonly type: string
  readonly name: string
  readonly sql: string
  readonly words: ReadonlySet<string>
}

/**
 * Reads the schema's facts. Works on any connection that sees the schema in question.
 *
 * @param merges the rows are those of several origins: then all tables are told apart by their keys,
 *   and none has rowids of its own to follow
 */
export function readFacts(connection: Connection, merges = false): SchemaFacts {
  const rows = schemaRows(connection)
  const shadow = shadowTables(connection)
  const tables = rows.filter(({ type, name }) => type === 'table' && !shadow.has(name))
  // SQLite writes these words itself; VIRTUAL elsewhere is a generated column.
  const virtual = tables.filter(({ sql }) => sql.startsWith('CREATE VIRTUAL TABLE'))
  const merging = merges ? readMergeFacts(connection, rows, shadow) : null
  const byKey = { watched: [], loose: [], hasRecorded: true, problems: merging?.problems ?? [] }
  const byRow = merges ? byKey : readRowTables(connection)
  const { watched, loose, hasRecorded } = byRow
  const problems = [
    ...[...virtual.flatMap(moduleProblem), ...reservedNames(connection, merges)],
    ...byRow.problems,
  ]
  const { deferred, parents } = foreignKeys(connection, tables)
  return {
    problems,
    watched,
    loose,
    hasRecorded,
    hasSequence: connection.internal(SEQUENCE_TABLE).row() !== undefined,
    hasVirtual: virtual.length > 0,
    deferred,
    parents,
    fails: rows.some(({ words }) => words.has('FAIL')),
    merging,
  }
}

const SEQUENCE_TABLE = "select 1 from sqlite_schema where name = 'sqlite_sequence'"

/** Names that only we may give, on things that are not ours. */
function reservedNames(connection: Connection, merges: boolean) {
  const rows = connection.internal('select name from sqlite_schema').rows()
  const names = rows.map(([name]) => String(name))
  const ofOrigins = merges && names.includes('_quorate_state') ? OF_ORIGINS : INTERNAL
  return names.flatMap((name) => {
    if (!isReserved(name) || INTERNAL.test(name) || ofOrigins.test(name)) return []
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

/** Throws SQL_REFUSED if the schema has a table that can't be followed. */
export function checkTables(facts: SchemaFacts): void {
  const [problem] = facts.problems
  if (problem !== undefined) throw new QuorateError('SQL_REFUSED', problem.sentence)
}

/**
 * Everything that keeps a database from being adopted, each as a sentence with the table's name.
 *
 * @param merges by a cluster with several leaders; then it looks at rows as well
 */
export function checkAdoptable(connection: Connection, merges = false): readonly string[] {
  const { problems, merging } = readFacts(connection, merges)
  const ofRows = merging === null || problems.length > 0 ? [] : checkRows(connection, merging)
  return [...problems.map(({ sentence }) => sentence), ...ofRows]
}
