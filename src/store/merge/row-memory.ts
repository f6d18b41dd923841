/**
 * Rows as they will be once everything that waits to be applied is in place, so that what comes next
 * can be told without asking SQLite: a row that both sides wrote ten thousand times is read once.
 */
import { type Key, KeySet } from '../../core/order/clock/key-set.ts'
import type { MergeTable } from './catalog.ts'
import { rowToJson } from './row-json.ts'
import type { Row, TableRows } from './table-rows.ts'

/** Rows kept at most; when there are more, all are forgotten and read again. */
const ROWS_MAX = 50_000

type Name = bigint | string

export class RowMemory {
  readonly #rows: Pick<TableRows, 'find'>
  readonly #known = new Map<MergeTable, Map<Name, Row | null>>()
  #keys = new KeySet()
  #size = 0

  constructor(rows: Pick<TableRows, 'find'>) {
    this.#rows = rows
  }

  get isEmpty(): boolean {
    return this.#size === 0
  }

  get isFull(): boolean {
    return this.#size >= ROWS_MAX
  }

  /** The row with this key as it will be, or null. What is not known yet is read. */
  find(table: MergeTable, key: Row): Row | null {
    const rows = this.#of(table)
    const name = nameOf(key)
    const known = rows.get(name)
    if (known !== undefined) return known
    const row = this.#rows.find(table, key)
    rows.set(name, row)
    this.#size += 1
    return row
  }

  /** A row that is known will be so. */
  put(table: MergeTable, key: Row, row: Row | null): void {
    this.#of(table).set(nameOf(key), row)
  }

  /** It has been changed behind this. */
  drop(table: MergeTable, key: Row): void {
    if (this.#known.get(table)?.delete(nameOf(key))) this.#size -= 1
  }

  /** Rows with these keys of footprints may be known from now on. */
  learn(keys: readonly Key[]): void {
    this.#keys.addAll(keys)
  }

  /** False: no row with one of these keys is known. */
  mayKnow(keys: readonly Key[]): boolean {
    return this.#size > 0 && this.#keys.hasAny(keys)
  }

  clear(): void {
    this.#known.clear()
    this.#keys = new KeySet()
    this.#size = 0
  }

  #of(table: MergeTable): Map<Name, Row | null> {
    let rows = this.#known.get(table)
    if (rows === undefined) {
      rows = new Map()
      this.#known.set(table, rows)
    }
    return rows
  }
}

/** Of two keys of a table equal only if they are. */
function nameOf(key: Row): Name {
  const [only] = key
  return key.length === 1 && typeof only === 'bigint' ? only : rowToJson(key)
}
