/**
 * Rows as they will be once everything that waits to be applied is in place, so that what comes next
 * can be told without asking SQLite: a row that both sides wrote ten thousand times is read once.
 */
import { type Key, KeySet } from '../../core/order/clock/key-set.ts'
import { RawText } from '../../model/exact-value.ts'
import type { MergeTable } from './catalog.ts'
import { rowToJson } from './row-json.ts'
import type { Row, TableRows } from './table-rows.ts'

/** Above it all are forgotten and read again. */
const BYTES_MAX = 16 * 1024 * 1024
/** What a row takes beside its texts and blobs, about. */
const OVERHEAD_BYTES = 200

type Name = bigint | string

export class RowMemory {
  readonly #rows: Pick<TableRows, 'find'>
  readonly #known = new Map<MergeTable, Map<Name, Row | null>>()
  #keys = new KeySet()
  #size = 0
  /** Of all that has been noted since it was empty. */
  #bytes = 0

  constructor(rows: Pick<TableRows, 'find'>) {
    this.#rows = rows
  }

  get isEmpty(): boolean {
    return this.#size === 0
  }

  get isFull(): boolean {
    return this.#bytes >= BYTES_MAX
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
    this.#bytes += sizeOf(row)
    return row
  }

  /** A row that is known will be so. */
  put(table: MergeTable, key: Row, row: Row | null): void {
    this.#of(table).set(nameOf(key), row)
    this.#bytes += sizeOf(row)
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
    this.#bytes = 0
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

function sizeOf(row: Row | null): number {
  let bytes = OVERHEAD_BYTES
  for (const value of row ?? []) {
    if (typeof value === 'string') bytes += value.length * 2
    else if (value instanceof RawText) bytes += value.bytes.length
    else if (value instanceof Uint8Array) bytes += value.length
  }
  return bytes
}
