/**
 * Splits a changeset among the transactions that it was recorded over, where each row was changed
 * by one of them only. One session for many small transactions costs a fraction of one for each.
 */
import { columnsAt, concatenate, corrupt, valueEnd } from './changeset-bytes.ts'
import {
  BLOB,
  DELETE,
  INSERT,
  INTEGER,
  NULL,
  REAL,
  TABLE,
  TEXT,
  UPDATE,
} from './changeset-format.ts'
import { tableName } from './table-name.ts'

/** The values that name a row, as one value for a Map. */
export type KeyName = bigint | number | string

/** A value of a key, as SQLite gives it. */
export type KeyValue = bigint | number | string | Uint8Array | null

/** The name of a row by its key; rows that are not the same have different names. */
export function keyName(values: readonly KeyValue[]): KeyName {
  const [only = null] = values
  if (values.length === 1 && (typeof only === 'bigint' || typeof only === 'number')) return only
  let name = ''
  for (const value of values) {
    const text = textOf(value)
    name += `${text.length}:${text}`
  }
  return name
}

function textOf(value: KeyValue): string {
  if (value === null) return ''
  if (typeof value === 'string') return `t${value}`
  if (typeof value === 'bigint') return `i${value}`
  return typeof value === 'number' ? `r${value}` : `b${value.toHex()}`
}

/**
 * The changes of each owner. Null if there is a row that is nobody's.
 *
 * @param ownerOf of the row of a table with this name
 * @param without tables whose rows are left out
 *
 * Throws LOG_CORRUPT if it is no changeset.
 */
export function splitChangeset(
  bytes: Uint8Array,
  ownerOf: (table: string, row: KeyName) => number | undefined,
  without: ReadonlySet<string>,
): ReadonlyMap<number, Uint8Array> | null {
  const pieces = new Map<number, Uint8Array[]>()
  const cursor = new Cursor(bytes)
  while (cursor.more()) {
    const { name, bytes: header } = cursor.header()
    const skipped = without.has(name)
    const begun = new Set<number>()
    while (cursor.moreRecords()) {
      const { row, bytes: record } = cursor.record()
      if (skipped) continue
      const owner = ownerOf(name, row)
      if (owner === undefined) return null
      const own = pieces.get(owner)
      if (own === undefined) pieces.set(owner, [header, record])
      else if (begun.has(owner)) own.push(record)
      else own.push(header, record)
      begun.add(owner)
    }
  }
  return new Map([...pieces].map(([owner, parts]) => [owner, concatenate(parts)]))
}

// As sqlite3_value_text gives it to a function of ours; what is damaged finds no owner.
const utf8 = new TextDecoder('utf-8', { ignoreBOM: true })

/** Where in a changeset one is, and the columns of the section. */
class Cursor {
  readonly #bytes: Uint8Array
  readonly #view: DataView
  #at = 0
  #columns = 0
  /** By column its place in the key; 0: it is not in it. */
  #places: Uint8Array = new Uint8Array()

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  }

  more(): boolean {
    return this.#at < this.#bytes.length
  }

  moreRecords(): boolean {
    return this.more() && this.#bytes[this.#at] !== TABLE
  }

  header(): { readonly name: string; readonly bytes: Uint8Array } {
    const start = this.#at
    if (this.#bytes[start] !== TABLE) throw corrupt(start)
    const { end, columns } = columnsAt(this.#bytes, start)
    const nul = this.#bytes.indexOf(0, end + columns)
    if (nul === -1) throw corrupt(start)
    this.#columns = columns
    this.#places = this.#bytes.subarray(end, end + columns)
    this.#at = nul + 1
    const name = tableName(this.#bytes, end + columns)
    return { name, bytes: this.#bytes.subarray(start, nul + 1) }
  }

  record(): { readonly row: KeyName; readonly bytes: Uint8Array } {
    const [bytes, start] = [this.#bytes, this.#at]
    const kind = bytes[start]
    if (kind !== INSERT && kind !== UPDATE && kind !== DELETE) throw corrupt(start)
    const key: KeyValue[] = []
    let at = start + 2
    for (let column = 0; column < this.#columns; column += 1) {
      const end = valueEnd(bytes, at)
      if (end > bytes.length) throw corrupt(at)
      if (this.#places[column] !== 0) key.push(this.#value(at, end))
      at = end
    }
    for (let left = kind === UPDATE ? this.#columns : 0; left > 0; left -= 1) {
      at = valueEnd(bytes, at)
    }
    if (at > bytes.length) throw corrupt(start)
    this.#at = at
    return { row: keyName(key), bytes: bytes.subarray(start, at) }
  }

  #value(at: number, end: number): KeyValue {
    switch (this.#bytes[at]) {
      case INTEGER:
        return this.#view.getBigInt64(at + 1)
      case REAL:
        return this.#view.getFloat64(at + 1)
      case TEXT:
        return utf8.decode(this.#content(at, end))
      case BLOB:
        return this.#content(at, end)
      case NULL:
        return null
      default:
        throw corrupt(at)
    }
  }

  /** Without type and length. */
  #content(at: number, end: number): Uint8Array {
    let start = at + 1
    while ((this.#bytes[start] ?? 0) >= 128) start += 1
    return this.#bytes.subarray(start + 1, end)
  }
}
