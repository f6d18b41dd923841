/** Single rows of tables, read and put in place with nothing lost, by statements prepared once. */
import type { DatabaseSync } from 'node:sqlite'
import type { ExactValue } from '../../model/exact-value.ts'
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

  constructor(db: DatabaseSync) {
    this.#db = db
    this.#statements = new PreparedTexts(db)
  }

  /** The row with this key, or null. */
  find(table: MergeTable, key: Row): Row | null {
    return this.#where(table, table.key, key, [])[0] ?? null
  }

  /** Whether a parent's key is there; child values are compared as SQLite compares them. */
  hasParent(parent: MergeTable, { parentColumns }: ForeignKey, values: Row): boolean {
    return this.#where(parent, parentColumns, values, []).length > 0
  }

  /** The rows that refer to a parent's key, in the order of their own keys. */
  children(child: MergeTable, { columns, collations }: ForeignKey, values: Row): readonly Row[] {
    return this.#where(child, columns, values, collations)
  }

  /** Throws SQLite's error if a constraint forbids it. */
  insert(table: MergeTable, row: Row): void {
    const { sqls, args } = bound(row)
    const sql = `insert into main.${quote(table.name)} (${columnList(table).join(', ')})
      values (${sqls.join(', ')})`
    this.#statements.get(sql).run(...args)
  }

  delete(table: MergeTable, key: Row): void {
    const { sqls, args } = bound(key)
    const sql = `delete from main.${quote(table.name)} where ${terms(table, table.key, sqls, [])}`
    this.#statements.get(sql).run(...args)
  }

  #where(
    table: MergeTable,
    columns: readonly number[],
    values: Row,
    collations: readonly string[],
  ): readonly Row[] {
    const { sqls, args } = bound(values)
    const order = table.key.map((column) => columnSql(table, column)).join(', ')
    const rest = `from main.${quote(table.name)}
      where ${terms(table, columns, sqls, collations)} order by ${order}`
    let query = this.#queries.get(rest)
    if (query === undefined) {
      query = new ExactQuery(this.#db, columnList(table), rest)
      this.#queries.set(rest, query)
    }
    return query.all(...args)
  }
}

function bound(values: Row) {
  const all = values.map(binding)
  return { sqls: all.map(({ sql }) => sql), args: all.map(({ arg }) => arg) }
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
