/**
 * Splits a changeset among the transactions that it was recorded over, where each row was changed
 * by one of them only. One session for many small transactions costs a fraction of one for each.
 */
import { columnsAt, copyPiece, corrupt, valueEnd } from './changeset-bytes.ts'
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
  if (values.length === 1 && typeof only === 'bigint') return integerName(only)
  if (values.length === 1 && typeof only === 'number') return only
  let name = ''
  for (const value of values) {
    const text = textOf(value)
    name += `${text.length}:${text}`
  }
  return name
}

/** A REAL that is equal is the same row; as numbers they are found faster. */
function integerName(value: bigint): KeyName {
  const number = Number(value)
  return number >= -(2 ** 52) && number < 2 ** 52 ? number : value
}

function textOf(value: KeyValue): string {
  if (value === null) return ''
  if (typeof value === 'string') return `t${value}`
  if (typeof value === 'bigint') return `i${value}`
  return typeof value === 'number' ? `r${value}` : `b${value.toHex()}`
}

/** What an owner gets of a changeset. */
interface Part {
  bytes: number
  /** Where in `joined` the next piece of it goes. */
  at: number
  /** The last section of which it has a row. */
  section: number
}

/**
 * The changes of each owner. Null if there is a row that is nobody's.
 *
 * @param ownerOf of the row of a table with this name
 * @param without tables whose rows are left out
 * @returns views of one buffer, since one for each would take longer than all the rest
 *
 * Throws LOG_CORRUPT if it is no changeset.
 */
export function splitChangeset(
  bytes: Uint8Array,
  ownerOf: (table: string, row: KeyName) => number | undefined,
  without: ReadonlySet<string>,
): ReadonlyMap<number, Uint8Array> | null {
  const parts = new Map<number, Part>()
  const pieces = new Pieces(bytes)
  const cursor = new Cursor(bytes)
  let total = 0
  for (let section = 1; cursor.more(); section += 1) {
    const header = cursor.at
    const name = cursor.header()
    const headerEnd = cursor.at
    const skipped = without.has(name)
    while (cursor.moreRecords()) {
      const start = cursor.at
      const row = cursor.record()
      if (skipped) continue
      const owner = ownerOf(name, row)
      if (owner === undefined) return null
      const part = parts.get(owner) ?? { bytes: 0, at: 0, section: 0 }
      if (part.bytes === 0) parts.set(owner, part)
      const before = part.bytes
      if (part.section !== section) part.bytes += pieces.add(part, header, headerEnd)
      part.bytes += pieces.add(part, start, cursor.at)
      part.section = section
      total += part.bytes - before
    }
  }
  return pieces.joined(parts, total)
}

/** Pieces of a changeset, in flat arrays. */
class Pieces {
  readonly #bytes: Uint8Array
  readonly #owners: Part[] = []
  /** Of each where it begins and where it ends. */
  readonly #bounds: number[] = []

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes
  }

  /** @returns its length */
  add(owner: Part, start: number, end: number): number {
    this.#owners.push(owner)
    this.#bounds.push(start, end)
    return end - start
  }

  /** Those of each owner behind each other. */
  joined(parts: ReadonlyMap<number, Part>, total: number): ReadonlyMap<number, Uint8Array> {
    const joined = new Uint8Array(total)
    const result = new Map<number, Uint8Array>()
    let end = 0
    for (const [owner, part] of parts) {
      part.at = end
      end += part.bytes
      result.set(owner, joined.subarray(part.at, end))
    }
    let bound = 0
    for (const part of this.#owners) {
      const start = this.#bounds[bound] ?? 0
      const end = this.#bounds[bound + 1] ?? 0
      part.at = copyPiece(joined, part.at, this.#bytes, start, end)
      bound += 2
    }
    return result
  }
}

// As sqlite3_value_text gives it to a function of ours; what is damaged finds no owner.
const utf8 = new TextDecoder('utf-8', { ignoreBOM: true })

/** Where in a changeset one is, and the columns of the section. */
class Cursor {
  at = 0
  readonly #bytes: Uint8Array
  readonly #view: DataView
  #columns = 0
  /** Where it says of each column its place in the key; 0: it is not in it. */
  #places = 0

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  }

  more(): boolean {
    return this.at < this.#bytes.length
  }

  moreRecords(): boolean {
    return this.more() && this.#bytes[this.at] !== TABLE
  }

  /** Moves behind a section's header, and gives the name of its table. */
  header(): string {
    const start = this.at
    if (this.#bytes[start] !== TABLE) throw corrupt(start)
    const { end, columns } = columnsAt(this.#bytes, start)
    const nul = this.#bytes.indexOf(0, end + columns)
    if (nul === -1) throw corrupt(start)
    this.#columns = columns
    this.#places = end
    this.at = nul + 1
    return tableName(this.#bytes, end + columns)
  }

  /** Moves behind a record, and gives the name of its row. */
  record(): KeyName {
    const [bytes, start] = [this.#bytes, this.at]
    const kind = bytes[start]
    if (kind !== INSERT && kind !== UPDATE && kind !== DELETE) throw corrupt(start)
    let first = 0
    let keys: KeyValue[] | null = null
    let at = start + 2
    for (let column = 0; column < this.#columns; column += 1) {
      const end = valueEnd(bytes, at)
      if (end > bytes.length) throw corrupt(at)
      if (bytes[this.#places + column] !== 0) {
        if (first === 0) first = at
        else {
          keys ??= [this.#value(first)]
          keys.push(this.#value(at))
        }
      }
      at = end
    }
    for (let left = kind === UPDATE ? this.#columns : 0; left > 0; left -= 1) {
      at = valueEnd(bytes, at)
    }
    if (at > bytes.length) throw corrupt(start)
    this.at = at
    if (keys !== null) return keyName(keys)
    return first === 0 ? keyName([]) : this.#only(first)
  }

  /** The name of a row whose key is one value. */
  #only(at: number): KeyName {
    const high = this.#bytes[at] === INTEGER ? this.#view.getInt32(at + 1) : Number.NaN
    // Mostly a small integer, for which no other is to be made on the way.
    if (high >= -(2 ** 20) && high < 2 ** 20) {
      return high * 2 ** 32 + this.#view.getUint32(at + 5)
    }
    return keyName([this.#value(at)])
  }

  #value(at: number): KeyValue {
    switch (this.#bytes[at]) {
      case INTEGER:
        return this.#view.getBigInt64(at + 1)
      case REAL:
        return this.#view.getFloat64(at + 1)
      case TEXT:
        return utf8.decode(this.#content(at))
      case BLOB:
        return this.#content(at)
      case NULL:
        return null
      default:
        throw corrupt(at)
    }
  }

  /** Without type and length. */
  #content(at: number): Uint8Array {
    const end = valueEnd(this.#bytes, at)
    let start = at + 1
    while ((this.#bytes[start] ?? 0) >= 128) start += 1
    return this.#bytes.subarray(start + 1, end)
  }
}
