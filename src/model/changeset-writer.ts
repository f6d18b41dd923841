/**
 * Writes sections of changesets from rows: for tables whose changes SQLite's session extension
 * does not record, or records wrongly. The inverse of what changeset.ts reads.
 */
import {
  BLOB,
  DELETE,
  INSERT,
  INTEGER,
  NULL,
  REAL,
  TABLE,
  TEXT,
  UNDEFINED,
  UPDATE,
} from './changeset-format.ts'
import { type ExactValue, identical, RawText } from './exact-value.ts'

export type ExactRow = readonly ExactValue[]

/** One row before and after; either may be missing. */
export interface Change {
  readonly before: ExactRow | null
  readonly after: ExactRow | null
}

/** A table as a changeset sees it. */
export interface SectionTable {
  readonly name: string
  /** For each column its place in the key, from 1; 0 if it is not part of it. */
  readonly key: readonly number[]
  /**
   * For each column whether a row in which it changes is deleted and inserted again instead of
   * updated: all of the key, and whatever else may collide with another row.
   */
  readonly fixed: readonly boolean[]
}

/**
 * A section with what changed, deletes first, then updates, then inserts, so that no row is ever in
 * another's way. Empty if nothing did.
 */
export function encodeSection(table: SectionTable, changes: readonly Change[]): Uint8Array {
  const deleted: ExactRow[] = []
  const inserted: ExactRow[] = []
  const updated: { before: ExactRow; after: ExactRow }[] = []
  for (const { before, after } of changes) {
    const fate = fateOf(before, after, table)
    if (fate === 'none') continue
    if (fate === 'update' && before !== null && after !== null) updated.push({ before, after })
    else {
      if (before !== null) deleted.push(before)
      if (after !== null) inserted.push(after)
    }
  }
  if (deleted.length + updated.length + inserted.length === 0) return NOTHING
  out.begin(table)
  for (const row of deleted) out.row(DELETE, row)
  for (const { before, after } of updated) out.update(before, after, table.key)
  for (const row of inserted) out.row(INSERT, row)
  return out.finish()
}

/** What is to be at a key; null: nothing. */
export interface Image {
  /** The values of the key's columns, in the order of the table. */
  readonly key: ExactRow
  readonly row: ExactRow | null
}

/**
 * A section that puts rows in place whatever was there: each key is made free by a DELETE that has
 * the key alone, and gets its row if it has one. It has no inverse.
 */
export function encodeImages(table: SectionTable, images: readonly Image[]): Uint8Array {
  if (images.length === 0) return NOTHING
  out.begin(table)
  for (const { key } of images) out.keyOnly(key, table.key)
  for (const { row } of images) if (row !== null) out.row(INSERT, row)
  return out.finish()
}

const NOTHING = new Uint8Array()

function fateOf(
  before: ExactRow | null,
  after: ExactRow | null,
  { fixed }: SectionTable,
): 'none' | 'update' | 'replace' {
  if (before === null || after === null) return before === after ? 'none' : 'replace'
  let fate: 'none' | 'update' = 'none'
  for (const [i, value] of before.entries()) {
    if (identical(value, after[i] ?? null)) continue
    if (fixed[i] === true) return 'replace'
    fate = 'update'
  }
  return fate
}

/** Bytes of the output kept for the next section. */
const KEPT = 64 * 1024

/** Bytes that grow as they are written. */
class Output {
  #bytes = new Uint8Array(KEPT)
  #view = new DataView(this.#bytes.buffer)
  #at = 0

  begin({ name, key }: SectionTable): void {
    this.#at = 0
    this.#room(16 + key.length)
    this.#byte(TABLE)
    this.#varint(key.length)
    for (const place of key) this.#byte(place)
    this.#utf8(name, 0)
    this.#room(1)
    this.#byte(0)
  }

  finish(): Uint8Array {
    const made = this.#bytes.slice(0, this.#at)
    if (this.#bytes.length > KEPT) this.#bytes = new Uint8Array(KEPT)
    this.#view = new DataView(this.#bytes.buffer)
    return made
  }

  row(op: number, row: ExactRow): void {
    this.#op(op)
    for (const value of row) this.#value(value)
  }

  update(before: ExactRow, after: ExactRow, key: readonly number[]): void {
    this.#op(UPDATE)
    const same = before.map((value, i) => identical(value, after[i] ?? null))
    for (const [i, value] of before.entries()) {
      if (same[i] && key[i] === 0) this.#absent()
      else this.#value(value)
    }
    for (const [i, value] of after.entries()) {
      if (same[i] || key[i] !== 0) this.#absent()
      else this.#value(value)
    }
  }

  keyOnly(key: ExactRow, places: readonly number[]): void {
    this.#op(DELETE)
    let next = 0
    for (const place of places) {
      const value = place === 0 ? undefined : key[next]
      if (place !== 0) next += 1
      if (value === undefined) this.#absent()
      else this.#value(value)
    }
  }

  #op(op: number): void {
    this.#room(2)
    this.#byte(op)
    // Not made by a trigger: what SQLite calls indirect.
    this.#byte(0)
  }

  #absent(): void {
    this.#room(1)
    this.#byte(UNDEFINED)
  }

  #value(value: ExactValue): void {
    this.#room(9)
    if (value === null) this.#byte(NULL)
    else if (typeof value === 'bigint') {
      this.#byte(INTEGER)
      this.#view.setBigInt64(this.#at, value)
      this.#at += 8
    } else if (typeof value === 'number') {
      this.#byte(REAL)
      this.#view.setFloat64(this.#at, value)
      this.#at += 8
    } else if (typeof value === 'string') {
      this.#byte(TEXT)
      this.#text(value)
    } else if (value instanceof RawText) {
      this.#byte(TEXT)
      this.#blob(value.bytes)
    } else {
      this.#byte(BLOB)
      this.#blob(value)
    }
  }

  #text(value: string): void {
    // Most are short enough for a length of one byte, which is then put in front.
    if (value.length < 128) {
      const written = this.#utf8(value, 1)
      const start = this.#at - written
      if (written < 128) this.#bytes[start - 1] = written
      else {
        this.#bytes.copyWithin(start + 1, start, this.#at)
        this.#bytes[start - 1] = 128 + (written >> 7)
        this.#bytes[start] = written & 127
        this.#at += 1
      }
    } else this.#blob(utf8.encode(value))
  }

  /** Leaves `gap` bytes free, and writes the text; returns its length in bytes. */
  #utf8(value: string, gap: number): number {
    this.#room(value.length * 3 + gap + 1)
    this.#at += gap
    const { written } = utf8.encodeInto(value, this.#bytes.subarray(this.#at))
    this.#at += written
    return written
  }

  #blob(bytes: Uint8Array): void {
    this.#room(bytes.length + 5)
    this.#varint(bytes.length)
    this.#bytes.set(bytes, this.#at)
    this.#at += bytes.length
  }

  /** Big-endian groups of seven bits; all but the last have the high bit. */
  #varint(value: number): void {
    let shift = 0
    while (shift < 28 && value >>> (shift + 7) > 0) shift += 7
    for (; shift > 0; shift -= 7) this.#byte(((value >>> shift) & 127) | 128)
    this.#byte(value & 127)
  }

  #byte(value: number): void {
    this.#bytes[this.#at] = value
    this.#at += 1
  }

  #room(bytes: number): void {
    if (this.#at + bytes <= this.#bytes.length) return
    const larger = new Uint8Array(Math.max(this.#bytes.length * 2, this.#at + bytes))
    larger.set(this.#bytes)
    this.#bytes = larger
    this.#view = new DataView(larger.buffer)
  }
}

const utf8 = new TextEncoder()
/** Used again and again: allocating costs more than writing. */
const out = new Output()
