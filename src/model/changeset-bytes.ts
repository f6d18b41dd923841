/**
 * Takes changesets apart into the sections of their tables, as bytes. What is in them is the
 * business of changeset.ts and changeset-writer.ts.
 */
import { QuorateError } from '../base/errors.ts'
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
import { tableName } from './table-name.ts'

const KINDS: readonly number[] = [DELETE, UPDATE, INSERT]

const SAMPLES = 16
const NO_BYTES = new Uint8Array()

/** The changes of one table in a changeset. */
export interface Section {
  readonly table: string
  readonly columns: number
  /** Its header and its records. */
  readonly bytes: Uint8Array
}

export function corrupt(at: number): QuorateError {
  return new QuorateError('LOG_CORRUPT', `A changeset is malformed at byte ${at}.`)
}

/** Where a value that begins at `at` ends: a type, then nothing, 8 bytes, or length and bytes. */
export function valueEnd(bytes: Uint8Array, at: number): number {
  const type = bytes[at]
  if (type === UNDEFINED || type === NULL) return at + 1
  if (type === INTEGER || type === REAL) return at + 9
  if (type !== TEXT && type !== BLOB) throw corrupt(at)
  let length = 0
  for (let i = at + 1; i < at + 6; i += 1) {
    const byte = bytes[i] ?? 0
    length = length * 128 + (byte & 127)
    if (byte < 128) return i + 1 + length
  }
  throw corrupt(at)
}

/** Where the number of columns ends, and the number. */
export function columnsAt(bytes: Uint8Array, at: number): { end: number; columns: number } {
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
    let end = nul + 1
    while (end < bytes.length && bytes[end] !== TABLE) end = recordEnd(bytes, end, columns)
    sections.push({
      table: tableName(bytes, flags + columns),
      columns,
      bytes: bytes.subarray(at, end),
    })
    at = end
  }
  return sections
}

/**
 * Changesets as one, with all changes of a table beside each other in their order. SQLite prepares
 * statements whenever the table is another one, which for small transactions takes several times as
 * long as their rows. Where most are of one table nothing is gained, and they stay as they are.
 * Throws LOG_CORRUPT.
 */
export function joinByTable(changesets: readonly Uint8Array[]): Uint8Array {
  const [first] = changesets
  if (first !== undefined && changesets.length === 1) return first
  if (seemsOfOneTable(changesets)) return concatenate(changesets)
  const byTable = new Map<string, Uint8Array[]>()
  for (const changeset of changesets) {
    for (const { table, bytes } of sectionsOf(changeset)) {
      const pieces = byTable.get(table)
      if (pieces === undefined) byTable.set(table, [bytes])
      else pieces.push(bytes)
    }
  }
  return concatenate([...byTable.values()].flat())
}

/** Judged by some of them. */
function seemsOfOneTable(changesets: readonly Uint8Array[]): boolean {
  const step = Math.ceil(changesets.length / SAMPLES)
  const tables = new Set<string>()
  for (let at = 0; at < changesets.length; at += step) {
    const sections = sectionsOf(changesets[at] ?? NO_BYTES)
    for (const { table } of sections) tables.add(table)
    if (tables.size > 1) return false
  }
  return true
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

/**
 * Copies source[from, to) to target at `at`; most pieces are a few bytes, where a loop is fastest.
 *
 * @returns where the copy ends
 */
export function copyPiece(
  target: Uint8Array,
  at: number,
  source: Uint8Array,
  from: number,
  to: number,
): number {
  if (to - from > 48) target.set(source.subarray(from, to), at)
  else for (let i = from, o = at; i < to; i += 1, o += 1) target[o] = source[i] as number
  return at + to - from
}
