/**
 * The tables whose rows SQLite's session extension does not record, or not as they can be put in
 * place elsewhere. Their rows travel in `rows` operations (row-capture.ts, row-apply.ts).
 *
 * Watched, by rowid: tables with rowids of their own, all but WITHOUT ROWID ones and those whose
 * INTEGER PRIMARY KEY is the rowid. The rowid shows, in `select rowid` and in the order of rows, but
 * is not in a changeset; tables without a PRIMARY KEY and rows with NULL in it aren't either.
 *
 * Loose, by key: WITHOUT ROWID tables with keys that are equal in more ways than one. 'b' and 'B' are
 * one key under NOCASE, 1 and 1.0 in a column without a type; the session extension tells them apart
 * by their bytes. When such a key changes to its twin, its changeset can't be applied.
 *
 * Tables with a conflict clause are one or the other too: SQLite obeys the clause when it applies
 * a changeset, so that ON CONFLICT IGNORE would lose a row without a word. So are tables with rowids
 * and columns without a type: they can hold -0.0, which the session extension takes for 0.0.
 */
import { ROWID_PLACE } from '../../model/changeset.ts'
import type { Connection, Internal } from '../connections.ts'
import { quote } from '../quote.ts'
import { type Column, toColumn, type UniqueIndex, uniqueIndex } from './unique-index.ts'

export interface RowTable {
  readonly name: string
  /** A name for the rowid, as SQL; null: rows are told apart by key. */
  readonly rowid: string | null
  /** As SQL what a record of a row consists of: the rowid, if any, and the columns stored. */
  readonly parts: readonly string[]
  /** For each part ROWID_PLACE or its place in the PRIMARY KEY, from 1; 0 if it names no row. */
  readonly key: readonly number[]
  /** For each part whether another row may be in the way of its value. */
  readonly fixed: readonly boolean[]
  readonly unique: readonly UniqueIndex[]
}

/** What readRowTables finds. */
interface RowTables {
  readonly watched: readonly RowTable[]
  readonly loose: readonly RowTable[]
  /** There are tables that are not watched. */
  readonly hasRecorded: boolean
  /** Tables that can't be followed, each with the reason as a sentence. */
  readonly problems: readonly { readonly table: string; readonly sentence: string }[]
}

const ROWID_NAMES = ['_rowid_', 'rowid', 'oid'] as const

const TABLES = `select l.name, l.wr, s.sql like '%conflict%',
    exists (select 1 from pragma_table_info(l.name, 'main') where type in ('', 'ANY')),
    (select count(*) from pragma_table_info(l.name, 'main') where pk > 0) = 1
      and not exists (select 1 from pragma_index_list(l.name, 'main') where origin = 'pk')
  from pragma_table_list l join main.sqlite_schema s on s.type = 'table' and s.name = l.name
  where l.schema = 'main' and l.type = 'table'
    and l.name not like 'sqlite\\_%' escape '\\' and l.name not like '\\_quorate\\_%' escape '\\'
  order by l.name`
/** With those inside of virtual tables, and statistics. */
const COUNT = `select count(*) from main.sqlite_schema where type = 'table' and rootpage > 0
  and name <> 'sqlite_sequence' and name not like '\\_quorate\\_%' escape '\\'`
const COLUMNS = `select name, type, hidden, "notnull", dflt_value, pk
  from pragma_table_xinfo(?, 'main') order by cid`
const INDEXES = `select name, origin from pragma_index_list(?, 'main') where "unique" = 1`
const INDEX_TEXTS =
  "select name, sql from main.sqlite_schema where type = 'index' and sql is not null"
const PARTS = `select cid, coll from pragma_index_xinfo(?, 'main') where key = 1 order by seqno`

/** Looks through the user's tables. */
export function readRowTables(connection: Connection): RowTables {
  const reader = new Reader(connection)
  const watched: RowTable[] = []
  const loose: RowTable[] = []
  const problems: { table: string; sentence: string }[] = []
  for (const row of connection.internal(TABLES).rows()) {
    const [given, withoutRowid, hasClause, isUntyped, isAlias] = row
    const name = String(given)
    const clause = Number(hasClause) === 1
    if (Number(withoutRowid) === 1) {
      const table = reader.loose(name, clause)
      if (table !== null) loose.push(table)
    } else if (Number(isAlias) === 0 || clause || Number(isUntyped) === 1) {
      const table = reader.watched(name, Number(isAlias) === 1)
      if (typeof table === 'string') problems.push({ table: name, sentence: table })
      else watched.push(table)
    }
  }
  const all = Number(connection.internal(COUNT).row()?.[0])
  return { watched, loose, hasRecorded: all > watched.length, problems }
}

class Reader {
  readonly #connection: Connection
  readonly #columns: Internal
  readonly #indexes: Internal
  readonly #parts: Internal
  /** CREATE INDEX of each index that is not made by a constraint. */
  readonly #texts: ReadonlyMap<string, string>

  constructor(connection: Connection) {
    this.#connection = connection
    this.#columns = connection.internal(COLUMNS)
    this.#indexes = connection.internal(INDEXES)
    this.#parts = connection.internal(PARTS)
    const texts = connection.internal(INDEX_TEXTS).rows()
    this.#texts = new Map(texts.map(([name, sql]) => [String(name), String(sql)]))
  }

  /**
   * A sentence if it can't be followed.
   *
   * @param isAlias its INTEGER PRIMARY KEY is the rowid
   */
  watched(name: string, isAlias: boolean): RowTable | string {
    const columns = this.#columns.rows(name).map(toColumn)
    const taken = new Set(columns.map((column) => column.name.toLowerCase()))
    const alias = isAlias ? columns.find(({ place }) => place > 0)?.quoted : undefined
    const rowid = ROWID_NAMES.find((one) => !taken.has(one)) ?? alias
    if (rowid === undefined) {
      return `Table ${name} has columns named rowid, oid and _rowid_, which hide its rowid. Rename one, or make one the INTEGER PRIMARY KEY.`
    }
    const unique = this.#unique(name, columns)
    if (!this.#understands(name, columns, unique)) {
      return `Table ${name} has a UNIQUE index with an expression that can't be followed. Use columns, or a generated column.`
    }
    return rowTable(name, rowid, columns, unique)
  }

  /** Null if SQLite's changesets will do. */
  loose(name: string, hasClause: boolean): RowTable | null {
    const columns = this.#columns.rows(name).map(toColumn)
    const primary = this.#indexes.rows(name).find(([, origin]) => origin === 'pk')
    const collations = this.#parts.rows(String(primary?.[0])).map(([, collation]) => collation)
    const byBytes =
      collations.every((collation) => collation === 'BINARY') &&
      columns.every(({ place, type }) => place === 0 || !isMixed(type))
    if (byBytes && !hasClause) return null
    return rowTable(name, null, columns, this.#unique(name, columns))
  }

  #unique(table: string, columns: readonly Column[]): readonly UniqueIndex[] {
    return this.#indexes.rows(table).map(([name]) => {
      const parts = this.#parts.rows(String(name)).map(([cid, collation]) => ({
        column: columns[Number(cid)] ?? null,
        collation: quote(String(collation)),
      }))
      return uniqueIndex(table, columns, parts, this.#texts.get(String(name)) ?? null)
    })
  }

  /** Whether SQLite can make sense of the conditions; else every write would fail. */
  #understands(table: string, columns: readonly Column[], unique: readonly UniqueIndex[]): boolean {
    if (unique.every((index) => index.columns !== null)) return true
    const row = columns.map(({ quoted }) => `null as ${quoted}`).join(', ')
    const rows = unique.map(
      ({ condition }) => `(select 1 from main.${quote(table)} where ${condition})`,
    )
    try {
      this.#connection.db.prepare(`select ${rows.join(', ')} from (select ${row}) as new`)
      return true
    } catch {
      return false
    }
  }
}

function rowTable(
  name: string,
  rowid: string | null,
  columns: readonly Column[],
  unique: readonly UniqueIndex[],
): RowTable {
  const stored = columns.filter(({ generated }) => !generated)
  const isFixed = ({ quoted, place }: Column) =>
    place > 0 || unique.some((index) => index.columns?.includes(quoted) ?? true)
  const front = rowid === null ? [] : [rowid]
  return {
    name,
    rowid,
    parts: [...front, ...stored.map(({ quoted }) => quoted)],
    key: [...front.map(() => ROWID_PLACE), ...stored.map(({ place }) => place)],
    fixed: [...front.map(() => true), ...stored.map(isFixed)],
    unique,
  }
}

/**
 * Whether equal values of a column may differ as bytes, by SQLite's rules for affinity: because it
 * leaves 1 and 1.0 as they are, or because REAL is 1 on disk and 1.0 outside.
 */
function isMixed(type: string): boolean {
  if (type === '' || type === 'ANY') return true
  return /BLOB|REAL|FLOA|DOUB/.test(type) && !/INT|CHAR|CLOB|TEXT/.test(type)
}
