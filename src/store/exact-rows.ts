/**
 * Reads rows as they are stored. Text comes as strings wherever it is UTF-8; where it is not,
 * node:sqlite would put replacement characters into it, so it is read again as bytes.
 */
import type { DatabaseSync, SQLInputValue, StatementSync } from 'node:sqlite'
import { type ExactValue, exactText } from '../model/exact-value.ts'

const RAW = { readBigInts: true, returnArrays: true } as const

/** One query for rows; prepared when first used. */
export class ExactQuery {
  readonly #db: DatabaseSync
  readonly #columns: readonly string[]
  readonly #rest: string
  #plain: StatementSync | null = null
  #exact: StatementSync | null = null

  /**
   * @param columns as SQL
   * @param rest of the query, from FROM on
   */
  constructor(db: DatabaseSync, columns: readonly string[], rest: string) {
    this.#db = db
    this.#columns = columns
    this.#rest = rest
  }

  all(...args: readonly SQLInputValue[]): readonly (readonly ExactValue[])[] {
    this.#plain ??= this.#db.prepare(`select ${this.#columns.join(', ')} ${this.#rest}`, RAW)
    const rows = this.#plain.all(...args) as unknown as ExactValue[][]
    return rows.some(mayBeDamaged) ? this.#exactly(args) : rows
  }

  /** Each value beside its type, text as bytes. */
  #exactly(args: readonly SQLInputValue[]): readonly (readonly ExactValue[])[] {
    if (this.#exact === null) {
      const pairs = this.#columns.map(
        (column) => `typeof(${column}) = 'text',
          case typeof(${column}) when 'text' then cast(${column} as blob) else ${column} end`,
      )
      this.#exact = this.#db.prepare(`select ${pairs.join(', ')} ${this.#rest}`, RAW)
    }
    const rows = this.#exact.all(...args) as unknown as ExactValue[][]
    return rows.map((pairs) => {
      const values: ExactValue[] = []
      for (let i = 0; i < pairs.length; i += 2) {
        const value = pairs[i + 1] ?? null
        const text = pairs[i] === 1n && value instanceof Uint8Array
        values.push(text ? exactText(value) : value)
      }
      return values
    })
  }
}

/** It has the character that stands for what could not be read. */
function mayBeDamaged(row: readonly ExactValue[]): boolean {
  return row.some((value) => typeof value === 'string' && value.includes('\uFFFD'))
}

/** How an exact value is bound: SQL for its place, and what node:sqlite takes. */
export function binding(value: ExactValue): { readonly sql: string; readonly arg: SQLInputValue } {
  if (value === null || typeof value !== 'object' || value instanceof Uint8Array) {
    return { sql: '?', arg: value }
  }
  return { sql: 'cast(? as text)', arg: value.bytes }
}
