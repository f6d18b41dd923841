/**
 * The tables whose ids SQLite gives by itself: those with an INTEGER PRIMARY KEY that is the rowid,
 * AUTOINCREMENT or not.
 */
import { identifier, keyword, type Token, tokenize } from '../../model/sql-tokens.ts'
import type { Connection } from '../connections.ts'

export interface IdTable {
  /** What the function that gives ids knows it by. */
  readonly number: number
  /** The id's name. */
  readonly column: string
  /** Where the id is among the columns of an INSERT that names none, from 0. */
  readonly place: number
  /** How many those are. */
  readonly columns: number
  /** Triggers run before a row comes, and may look at its id. */
  readonly isAwaited: boolean
  /** Whether a name in a column list means the id. */
  isId(name: Token): boolean
}

/** With whether it remembers the highest id that it ever had. */
const TABLES = `select l.name, s.sql like '%autoincrement%'
      and exists (select 1 from main.sqlite_schema where name = 'sqlite_sequence')
  from pragma_table_list l join main.sqlite_schema s on s.type = 'table' and s.name = l.name
  where l.schema = 'main' and l.type = 'table' and l.wr = 0
    and l.name not like 'sqlite\\_%' escape '\\' and l.name not like '\\_quorate\\_%' escape '\\'
    and (select count(*) from pragma_table_info(l.name, 'main') where pk > 0) = 1
    and not exists (select 1 from pragma_index_list(l.name, 'main') where origin = 'pk')`
const COLUMNS = `select name, pk, hidden from pragma_table_xinfo(?, 'main') order by cid`
const TRIGGERS = "select tbl_name, sql from main.sqlite_schema where type = 'trigger'"
const ROWID_NAMES: ReadonlySet<string> = new Set(['rowid', 'oid', '_rowid_'])

/**
 * Reads them, by name in lower case.
 *
 * @param numberOf the number of a table, always the same for a name
 */
export function readIdTables(
  connection: Connection,
  numberOf: (name: string, id: string, remembers: boolean) => number,
): ReadonlyMap<string, IdTable> {
  const columns = connection.internal(COLUMNS)
  const triggers = connection.internal(TRIGGERS).rows()
  const before = triggers.filter(([, sql]) => isBeforeInsert(String(sql)))
  const awaited = new Set(before.map(([table]) => String(table).toLowerCase()))
  const tables = connection.internal(TABLES).rows()
  return new Map(
    tables.map(([given, remembers]) => {
      const name = String(given)
      const found = columnsOf(columns.rows(name))
      const number = numberOf(name, found.column, Number(remembers) === 1)
      const key = name.toLowerCase()
      return [key, { ...found, number, isAwaited: awaited.has(key) }] as const
    }),
  )
}

/** SQLite keeps a trigger's text as CREATE TRIGGER, its name and what follows; BEFORE may be left out. */
function isBeforeInsert(sql: string): boolean {
  const words: string[] = []
  for (const token of tokenize(sql)) {
    if (words.push(keyword(token)) === 5) break
  }
  return words[3] === 'INSERT' || (words[3] === 'BEFORE' && words[4] === 'INSERT')
}

function columnsOf(rows: readonly (readonly unknown[])[]) {
  const all = rows.map(([column]) => String(column).toLowerCase())
  // Generated columns have no place in an INSERT.
  const given = rows.filter(([, , hidden]) => Number(hidden) === 0)
  const place = given.findIndex(([, key]) => Number(key) > 0)
  const column = String(given[place]?.[0])
  const isId = (token: Token) => {
    const one = identifier(token).toLowerCase()
    return one === column.toLowerCase() || (ROWID_NAMES.has(one) && !all.includes(one))
  }
  return { column, place, columns: given.length, isId }
}
