/**
 * What a schema must be so that rows of several origins can be merged in it, and what the writer
 * needs to know of it to record transactions one by one.
 */
import { QuorateError } from '../../base/errors.ts'
import type { Connection } from '../connections.ts'
import { type Catalog, columnSql, type MergeTable, readCatalog } from '../merge/catalog.ts'
import { checkDerived, unfilledTables } from '../merge/derived.ts'
import { quote } from '../quote.ts'
import type { SchemaRow } from '../schema/schema-guard.ts'
import type { KeyTable } from './key-watch.ts'

export interface MergeFacts {
  /** Why rows can't be merged, as sentences. */
  readonly problems: readonly { readonly table: string; readonly sentence: string }[]
  readonly keyed: readonly KeyTable[]
  /** Tables inside of virtual ones, which each replica fills for itself. */
  readonly shadow: ReadonlySet<string>
  /** Virtual tables, in lower case. */
  readonly virtual: ReadonlySet<string>
  /**
   * Transactions may share a session: triggers see every row that is touched, by one name. Not where
   * a trigger says REPLACE, which deletes rows that no other trigger sees.
   */
  readonly shares: boolean
}

/** Reads them on a connection that sees the schema in question. */
export function readMergeFacts(
  connection: Connection,
  rows: readonly SchemaRow[],
  shadow: ReadonlySet<string>,
): MergeFacts {
  const { catalog, problems } = readable(connection)
  const keyed = [...catalog.values()].map((table) => keyTable(connection, table))
  const replaces = rows.some(({ type, words }) => type === 'trigger' && words.has('REPLACE'))
  return {
    problems,
    keyed,
    shadow,
    virtual: new Set(
      rows
        .filter(({ sql }) => sql.startsWith('CREATE VIRTUAL TABLE'))
        .map(({ name }) => name.toLowerCase()),
    ),
    shares: !replaces && keyed.every(({ byBytes }) => byBytes),
  }
}

function readable({ db }: Connection): { catalog: Catalog } & Pick<MergeFacts, 'problems'> {
  try {
    const catalog = readCatalog(db)
    checkDerived(db, catalog)
    return { catalog, problems: [] }
  } catch (error) {
    if (!(error instanceof QuorateError) || error.code !== 'NOT_ADOPTABLE') throw error
    return { catalog: new Map(), problems: [{ table: '', sentence: error.detail }] }
  }
}

const NOT_NULL = `select 1 from pragma_table_list l
  join pragma_table_xinfo(l.name, 'main') c on c.name = ?2 and (c."notnull" <> 0 or l.wr)
  where l.schema = 'main' and l.name = ?1`
const PRIMARY = `select name from pragma_index_list(?, 'main') where origin = 'pk'`
const SPELLED = `select 1 from pragma_index_xinfo(?, 'main') where key = 1 and coll <> 'BINARY'`

function keyTable(connection: Connection, table: MergeTable): KeyTable {
  const key = table.key.map((column) => ({
    sql: columnSql(table, column),
    name: String(table.columns[column]),
  }))
  const index = connection.internal(PRIMARY).row(table.name)?.[0]
  // Without an index the key is the rowid.
  const mayBeNull = ({ name }: { name: string }) =>
    index !== undefined && connection.internal(NOT_NULL).row(table.name, name) === undefined
  return {
    name: table.name,
    key: key.map(({ sql }) => sql),
    nullable: key.filter(mayBeNull).map(({ sql }) => sql),
    byBytes: index === undefined || connection.internal(SPELLED).row(String(index)) === undefined,
  }
}

/** What rows keep a database from being adopted, each as a sentence. */
export function checkRows(connection: Connection, { keyed }: MergeFacts): readonly string[] {
  const ofKeys = keyed.flatMap(({ name, nullable }) => {
    if (nullable.length === 0) return []
    const empty = nullable.map((column) => `${column} is null`).join(' or ')
    const sql = `select 1 from main.${quote(name)} where ${empty} limit 1`
    if (connection.internal(sql).row() === undefined) return []
    return [
      `Table ${name} has rows with NULL in their PRIMARY KEY, which give them no name. Give them keys, or delete them.`,
    ]
  })
  const unfilled = unfilledTables(connection.db).map(
    (name) =>
      `Table ${name} is virtual and no trigger fills it, so what several origins write into it can't be merged. Fill it by triggers on an ordinary table.`,
  )
  return [...ofKeys, ...unfilled]
}
