/** Single rows of tables, read and put in place with nothing lost, by statements prepared once. */
import type { DatabaseSync, SQLInputValue, StatementSync } from 'node:sqlite'
import { type ExactValue, RawText } from '../../model/exact-value.ts'
import { binding, ExactQuery } from '../exact-rows.ts'
import { quote } from '../quote.ts'
import { columnSql, type ForeignKey, type MergeTable } from './catalog.ts'
import { PreparedTexts } from './prepared-texts.ts'

export type Row = readonly ExactValue[]
/** A row of which some columns are not known: undefined. */
export type Cells = readonly (ExactValue | undefined)[]

export class TableRows {
  readonly #db: DatabaseSync
  readonly #queries = new Map<string, ExactQuery>()
  readonly #statements: PreparedTexts
  // Making their text takes as long as running them.
  readonly #finds = new Map<MergeTable, ExactQuery>()
  readonly #parents = new Map<ForeignKey, ExactQuery>()
  readonly #children = new Map<ForeignKey, ExactQuery>()
  readonly #inserts = new Map<MergeTable, StatementSync>()
  readonly #deletes = new Map<MergeTable, StatementSync>()

  constructor(db: DatabaseSync) {
    this.#db = db
    this.#statements = new PreparedTexts(db)
  }

  /** The row with this key, or null. */
  find(table: MergeTable, key: Row): Row | null {
    const { args, query } = ready(this.#finds, table, key, (sqls) =>
      this.#query(columnList(table), table, terms(table, table.key, sqls, [])),
    )
    return query.all(...args)[0] ?? null
  }

  /** Whether a parent's key is there; child values are compared as SQLite compares them. */
  hasParent(parent: MergeTable, foreignKey: ForeignKey, values: Row): boolean {
    const { args, query } = ready(this.#parents, foreignKey, values, (sqls) =>
      this.#query(['1'], parent, terms(parent, foreignKey.parentColumns, sqls, [])),
    )
    return query.all(...args).length > 0
  }

  /** The rows that refer to a parent's key, in the order of their own keys. */
  children(child: MergeTable, foreignKey: ForeignKey, values: Row): readonly Row[] {
    const { columns, collations } = foreignKey
    const { args, query } = ready(this.#children, foreignKey, values, (sqls) =>
      this.#query(columnList(child), child, terms(child, columns, sqls, collations)),
    )
    return query.all(...args)
  }

  /** Throws SQLite's error if a constraint forbids it. */
  insert(table: MergeTable, row: Row): void {
    const { args, query } = ready(this.#inserts, table, row, (sqls) =>
      this.#statements.get(`insert into main.${quote(table.name)} (${columnList(table).join(', ')})
        values (${sqls.join(', ')})`),
    )
    query.run(...args)
  }

  delete(table: MergeTable, key: Row): void {
    const { args, query } = ready(this.#deletes, table, key, (sqls) => {
      const where = terms(table, table.key, sqls, [])
      return this.#statements.get(`delete from main.${quote(table.name)} where ${where}`)
    })
    query.run(...args)
  }

  #query(what: readonly string[], table: MergeTable, where: string): ExactQuery {
    const order = table.key.map((column) => columnSql(table, column)).join(', ')
    const rest = `from main.${quote(table.name)} where ${where} order by ${order}`
    const text = `${what.join(', ')} ${rest}`
    let query = this.#queries.get(text)
    if (query === undefined) {
      query = new ExactQuery(this.#db, what, rest)
      this.#queries.set(text, query)
    }
    return query
  }
}

/** A query about something, made when it is first asked for, and its arguments. */
function ready<About, Query>(
  known: Map<About, Query>,
  about: About,
  values: Row,
  make: (sqls: readonly string[]) => Query,
): { readonly query: Query; readonly args: readonly SQLInputValue[] } {
  const all = values.map(binding)
  const args = all.map(({ arg }) => arg)
  // Such a value has SQL of its own.
  if (values.some((value) => value instanceof RawText)) {
    return { query: make(all.map(({ sql }) => sql)), args }
  }
  let query = known.get(about)
  if (query === undefined) {
    query = make(all.map(({ sql }) => sql))
    known.set(about, query)
  }
  return { query, args }
}

function columnList(table: MergeTable): string[] {
  return table.columns.map(quote)
}

/** `a is ? and b is ?` for some columns. */
function terms(
  table: MergeTable,
  columns: readonly number[],
  sqls: readonly string[],
  collations: readonly string[],
): string {
  return columns
    .map((column, i) => {
      const collation = collations[i]
      const collate = collation === undefined ? '' : ` collate ${quote(collation)}`
      return `${columnSql(table, column)}${collate} is ${sqls[i] ?? '?'}`
    })
    .join(' and ')
}

/** The values of some columns. */
export function pick(row: Cells, columns: readonly number[]): ExactValue[] {
  return columns.map((column) => row[column] ?? null)
}
