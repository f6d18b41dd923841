/**
 * Takes changesets apart into their records, as bytes, and puts records together: for reordering
 * and repairing them. What the values mean is changeset.ts's business.
 */
import { QuorateError } from '../base/errors.ts'
import type { Value } from './program.ts'

const TABLE = 0x54
const INSERT = 18
const DELETE = 9
const UPDATE = 23
const KINDS: readonly number[] = [DELETE, UPDATE, INSERT]

/** The changes of one table in a changeset. */
export interface Section {
  readonly table: string
  /** 'T', the number of columns, which of them are the key, the name. */
  readonly header: Uint8Array
  /** Header and records. */
  readonly bytes: Uint8Array
  readonly records: readonly Uint8Array[]
}

const utf8 = new TextDecoder('utf-8', { ignoreBOM: true })

function corrupt(at: number): QuorateError {
  return new QuorateError('LOG_CORRUPT', `A changeset is malformed at byte ${at}.`)
}

/** Where a value that begins at `at` ends: a type, then nothing, 8 bytes, or length and bytes. */
function valueEnd(bytes: Uint8Array, at: number): number {
  const type = bytes[at]
  if (type === 0 || type === 5) return at + 1
  if (type === 1 || type === 2) return at + 9
  if (type !== 3 && type !== 4) throw corrupt(at)
  let length = 0
  for (let i = at + 1; i < at + 6; i += 1) {
    const byte = bytes[i] ?? 0
    length = length * 128 + (byte & 127)
    if (byte < 128) return i + 1 + length
  }
  throw corrupt(at)
}

/** Where the number of columns ends, and the number. */
function columnsAt(bytes: Uint8Array, at: number): { end: number; columns: number } {
  const [first, second] = [bytes[at + 1] ?? 0, bytes[at + 2] ?? 0]
  if (first < 128) return { end: at + 2, columns: first }
  if (second >= 128) throw corrupt(at)
  return { end: at + 3, columns: (first & 127) * 128 + second }
}

function recordEnd(bytes: Uint8Array, at: number, columns: number): number {
  const kind = bytes[at] ?? 0
  if (!KINDS.includes(kind)) throw corrupt(at)
  let end = at + 2
  for (let i = kind === UPDATE ? columns * 2 : columns; i > 0; i -= 1) end = valueEnd(bytes, end)
  if (end > bytes.length) throw corrupt(at)
  return end
}

/** The sections of a changeset in their order. Throws LOG_CORRUPT. */
export function sectionsOf(bytes: Uint8Array): readonly Section[] {
  const sections: Section[] = []
  let at = 0
  while (at < bytes.length) {
    if (bytes[at] !== TABLE) throw corrupt(at)
    const { end: flags, columns } = columnsAt(bytes, at)
    const nul = bytes.indexOf(0, flags + columns)
    if (nul === -1) throw corrupt(at)
    const records: Uint8Array[] = []
    let end = nul + 1
    while (end < bytes.length && bytes[end] !== TABLE) {
      const start = end
      end = recordEnd(bytes, start, columns)
      records.push(bytes.subarray(start, end))
    }
    sections.push({
      table: utf8.decode(bytes.subarray(flags + columns, nul)),
      header: bytes.subarray(at, nul + 1),
      bytes: bytes.subarray(at, end),
      records,
    })
    at = end
  }
  return sections
}

/**
 * The same changes, for each table DELETEs first, then UPDATEs, then INSERTs. Always allowed: each
 * key is in a changeset at most once. Needed where what are two keys to the session extension is
 * one to the table (see store/loose-keys.ts). Throws LOG_CORRUPT.
 */
export function deletesFirst(bytes: Uint8Array): Uint8Array {
  return concatenate(
    sectionsOf(bytes).flatMap(({ header, records }) => [
      header,
      ...KINDS.flatMap((kind) => records.filter(([first]) => first === kind)),
    ]),
  )
}

/** Without UPDATEs that change a key, which SQLite can't apply. Throws LOG_CORRUPT. */
export function withoutKeyUpdates(bytes: Uint8Array): Uint8Array {
  return concatenate(
    sectionsOf(bytes).flatMap(({ header, records }) => [
      header,
      ...records.filter((record) => !changesKey(header, record)),
    ]),
  )
}

/** Whether a record is an UPDATE with a new value in a key column. */
export function changesKey(header: Uint8Array, record: Uint8Array): boolean {
  if (record[0] !== UPDATE) return false
  const { end: flags, columns } = columnsAt(header, 0)
  let at = 2
  for (let i = 0; i < columns; i += 1) at = valueEnd(record, at)
  for (let i = 0; i < columns; i += 1) {
    if (header[flags + i] !== 0 && record[at] !== 0) return true
    at = valueEnd(record, at)
  }
  return false
}

export function concatenate(pieces: readonly Uint8Array[]): Uint8Array {
  const joined = new Uint8Array(pieces.reduce((sum, { length }) => sum + length, 0))
  let at = 0
  for (const piece of pieces) {
    joined.set(piece, at)
    at += piece.length
  }
  return joined
}

/** A record that deletes or inserts a whole row. */
export function wholeRow(op: 'delete' | 'insert', row: readonly Value[]): Uint8Array {
  const start = Uint8Array.of(op === 'delete' ? DELETE : INSERT, 0)
  return concatenate([start, ...row.map(encode)])
}

/** A record that changes what differs between two rows with one key. */
export function changedRow(
  before: readonly Value[],
  after: readonly Value[],
  isKey: (column: number) => boolean,
): Uint8Array {
  const old = before.map(encode)
  const now = after.map(encode)
  const same = old.map((value, i) => equal(value, now[i] ?? ABSENT))
  return concatenate([
    Uint8Array.of(UPDATE, 0),
    ...old.map((value, i) => (same[i] && !isKey(i) ? ABSENT : value)),
    ...now.map((value, i) => (same[i] || isKey(i) ? ABSENT : value)),
  ])
}

/** Whether two values are the same to the last bit and type. */
export function identical(a: Value, b: Value): boolean {
  return equal(encode(a), encode(b))
}

const ABSENT = Uint8Array.of(0)

function equal(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, i) => byte === b[i])
}

function encode(value: Value): Uint8Array {
  if (value === null) return Uint8Array.of(5)
  if (typeof value === 'bigint' || typeof value === 'number') {
    const view = new DataView(new ArrayBuffer(9))
    view.setUint8(0, typeof value === 'bigint' ? 1 : 2)
    if (typeof value === 'bigint') view.setBigInt64(1, value)
    else view.setFloat64(1, value)
    return new Uint8Array(view.buffer)
  }
  const text = typeof value === 'string'
  const bytes = text ? new TextEncoder().encode(value) : value
  return concatenate([Uint8Array.of(text ? 3 : 4, ...varint(bytes.length)), bytes])
}

/** Big-endian groups of seven bits; all but the last have the high bit. */
function varint(value: number): readonly number[] {
  const groups = [value & 127]
  for (let rest = Math.floor(value / 128); rest > 0; rest = Math.floor(rest / 128)) {
    groups.unshift((rest % 128) | 128)
  }
  return groups
}
