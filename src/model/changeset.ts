/**
 * Reads and inverts the changesets of SQLite's session extension.
 *
 * Undo rests on the inverse, and Node has no call for it. The format (sqlite3session.c,
 * "CHANGESET FORMAT") makes it possible on the bytes: an inverse has the length of its original,
 * so inverting is a copy in which op bytes flip and the values of an UPDATE change places. No
 * reordering is needed: a changeset holds each row at most once.
 *
 * Bytes come from disk and peers, so what is malformed is LOG_CORRUPT, never an assertion.
 */
import { QuorateError } from '../base/errors.ts'
import { concatenate, copyPiece } from './changeset-bytes.ts'
import {
  BLOB,
  DELETE,
  INSERT,
  INTEGER,
  NULL,
  PATCHSET_TABLE,
  REAL,
  TABLE,
  TEXT,
  UNDEFINED,
  UPDATE,
} from './changeset-format.ts'
import { exactText, type RawText } from './exact-value.ts'
import type { Value } from './program.ts'
import { tableName } from './table-name.ts'

export type RowOp = 'insert' | 'update' | 'delete'

/**
 * In a table's header, among the places of the key's columns from 1: the first column is the rowid.
 * SQLite knows no such sections; they are in operations of kind `rows` (see entry.ts).
 */
export const ROWID_PLACE = 0xff

/** One row that changed. `T` is what texts are read as. */
export interface RowChange<T = string> {
  readonly table: string
  readonly op: RowOp
  /** The first value is the rowid, and the table's columns come after it. */
  readonly byRowid: boolean
  /** Which columns are the PRIMARY KEY, by position in the table, ascending. */
  readonly keyColumns: readonly number[]
  /** Values before, by column; null for an insert. Undefined: an update left it as it was. */
  readonly before: readonly (Value | T | undefined)[] | null
  /** Values after, by column; null for a delete. Undefined: as before (always so for the key). */
  readonly after: readonly (Value | T | undefined)[] | null
}

/** SQLite's own upper bound (SQLITE_MAX_COLUMN can't be compiled higher). */
const COLUMNS_MAX = 32_767

// A byte order mark is content here.
const utf8 = new TextDecoder('utf-8', { ignoreBOM: true })

/** Where a scan stands: the current table's header and the next byte to look at. */
interface Cursor {
  readonly bytes: Uint8Array
  at: number
  columns: number
  /** Offset of the current table's key flags, one byte a column. */
  flags: number
  /** Offset of the current table's name. */
  name: number
}

function corrupt(at: number, what: string): QuorateError {
  return new QuorateError('LOG_CORRUPT', `A changeset is malformed at byte ${at}: ${what}.`)
}

/** Reads a varint at the cursor (big-endian groups of 7 bits), which must fit in 31 bits. */
function readVarint(cursor: Cursor): number {
  const { bytes } = cursor
  let value = 0
  for (let i = 0; i < 5; i += 1) {
    const byte = bytes[cursor.at]
    if (byte === undefined) throw corrupt(cursor.at, 'it ends within a number')
    cursor.at += 1
    value = value * 128 + (byte & 0x7f)
    if (byte < 0x80 && value <= 0x7fff_ffff) return value
  }
  throw corrupt(cursor.at, 'a length is too large')
}

/** Reads a table header whose 'T' was just passed. */
function readTable(cursor: Cursor): void {
  const columns = readVarint(cursor)
  if (columns === 0 || columns > COLUMNS_MAX) throw corrupt(cursor.at, `${columns} columns`)
  cursor.columns = columns
  cursor.flags = cursor.at
  cursor.name = cursor.at + columns
  // Most names are short: not worth a call into V8.
  let end = cursor.name
  while (end < cursor.bytes.length && cursor.bytes[end] !== 0) end += 1
  if (end >= cursor.bytes.length) throw corrupt(cursor.flags, 'a table name does not end')
  cursor.at = end + 1
}

/** Moves the cursor behind one value. */
function skipValue(cursor: Cursor): void {
  const type = cursor.bytes[cursor.at]
  cursor.at += 1
  if (type === NULL || type === UNDEFINED) return
  if (type === INTEGER || type === REAL) cursor.at += 8
  else if (type === TEXT || type === BLOB) {
    // One-byte lengths are the rule; not calling for them is a fifth of the whole time.
    const short = cursor.bytes[cursor.at] ?? 0x80
    const length = short < 0x80 ? short : readVarint(cursor)
    cursor.at += short < 0x80 ? length + 1 : length
  } else if (type !== undefined) throw corrupt(cursor.at - 1, `value type ${type}`)
  if (cursor.at > cursor.bytes.length) throw corrupt(cursor.bytes.length, 'it ends within a value')
}

function skipRecord(cursor: Cursor): void {
  for (let i = 0; i < cursor.columns; i += 1) skipValue(cursor)
}

/** Moves behind one record and notes where each of its values begins, and where it ends. */
function skipRecordNoting(cursor: Cursor, starts: Int32Array): void {
  for (let i = 0; i < cursor.columns; i += 1) {
    starts[i] = cursor.at
    skipValue(cursor)
  }
  starts[cursor.columns] = cursor.at
}

/**
 * Moves to the next row change: reads table headers on the way, stops behind the op and indirect
 * bytes. Returns the op byte, or 0 at the end.
 */
function nextChange(cursor: Cursor): number {
  const { bytes } = cursor
  while (cursor.at < bytes.length) {
    const op = bytes[cursor.at]
    cursor.at += 1
    if (op === INSERT || op === DELETE || op === UPDATE) {
      if (cursor.columns === 0) throw corrupt(cursor.at - 1, 'a row comes before any table')
      cursor.at += 1
      return op
    }
    if (op === PATCHSET_TABLE) throw corrupt(cursor.at - 1, 'it is a patchset')
    if (op !== TABLE) throw corrupt(cursor.at - 1, `record type ${op}`)
    readTable(cursor)
  }
  return 0
}

function startOf(bytes: Uint8Array): Cursor {
  return { bytes, at: 0, columns: 0, flags: 0, name: 0 }
}

/** Starts of the values of an UPDATE's two records; grown as wide tables come. */
class UpdateLayout {
  old = new Int32Array(64)
  new = new Int32Array(64)

  read(cursor: Cursor): void {
    if (this.old.length <= cursor.columns) {
      this.old = new Int32Array(cursor.columns + 1)
      this.new = new Int32Array(cursor.columns + 1)
    }
    skipRecordNoting(cursor, this.old)
    skipRecordNoting(cursor, this.new)
  }
}

/** Used again and again: a million small changesets are inverted after a long cut. */
const layout = new UpdateLayout()

/** Writes the inverse of the UPDATE that `layout` describes over its copy in `target`. */
function swapUpdate(target: Uint8Array, cursor: Cursor): void {
  const { bytes, columns, flags } = cursor
  let out = layout.old[0] as number
  for (const [forKey, forRest] of [
    [layout.old, layout.new],
    [layout.new, layout.old],
  ] as const) {
    for (let i = 0; i < columns; i += 1) {
      const starts = bytes[flags + i] === 0 ? forRest : forKey
      out = copyPiece(target, out, bytes, starts[i] as number, starts[i + 1] as number)
    }
  }
}

/**
 * The changeset that undoes this one: inserts become deletes and the reverse; an update keeps its
 * key in the old record and exchanges all other values. Its own inverse is the original.
 *
 * Throws LOG_CORRUPT if the bytes are not a changeset.
 */
export function invertChangeset(bytes: Uint8Array): Uint8Array {
  const inverse = new Uint8Array(bytes)
  const cursor = startOf(bytes)
  for (let op = nextChange(cursor); op !== 0; op = nextChange(cursor)) {
    if (op === UPDATE) {
      layout.read(cursor)
      swapUpdate(inverse, cursor)
    } else {
      inverse[cursor.at - 2] = op === INSERT ? DELETE : INSERT
      skipRecord(cursor)
    }
  }
  return inverse
}

/**
 * Names of the tables that have a header in the changeset, each once, in order.
 *
 * Throws LOG_CORRUPT if the bytes are not a changeset.
 */
export function changesetTables(bytes: Uint8Array): readonly string[] {
  const names = new Set<string>()
  const cursor = startOf(bytes)
  let seen = -1
  for (let op = nextChange(cursor); op !== 0; op = nextChange(cursor)) {
    if (cursor.name !== seen) names.add(tableName(cursor.bytes, cursor.name))
    seen = cursor.name
    skipRecord(cursor)
    if (op === UPDATE) skipRecord(cursor)
  }
  return [...names]
}

/**
 * Whether any row is deleted.
 *
 * Throws LOG_CORRUPT if the bytes are not a changeset.
 */
export function hasDeletes(bytes: Uint8Array): boolean {
  const cursor = startOf(bytes)
  for (let op = nextChange(cursor); op !== 0; op = nextChange(cursor)) {
    if (op === DELETE) return true
    skipRecord(cursor)
    if (op === UPDATE) skipRecord(cursor)
  }
  return false
}

type DecodeText<T> = (bytes: Uint8Array) => T

function readValue<T>(
  cursor: Cursor,
  view: DataView,
  decode: DecodeText<T>,
): Value | T | undefined {
  const start = cursor.at
  const type = cursor.bytes[start]
  skipValue(cursor)
  switch (type) {
    case INTEGER:
      return view.getBigInt64(start + 1)
    case REAL:
      return view.getFloat64(start + 1)
    case TEXT:
    case BLOB: {
      const content = contentAt(cursor.bytes, start + 1, cursor.at)
      return type === TEXT ? decode(content) : content.slice()
    }
    default:
      return type === NULL ? null : undefined
  }
}

function readRecord<T>(
  cursor: Cursor,
  view: DataView,
  decode: DecodeText<T>,
): (Value | T | undefined)[] {
  const values: (Value | T | undefined)[] = []
  for (let i = 0; i < cursor.columns; i += 1) values.push(readValue(cursor, view, decode))
  return values
}

function keyColumns(cursor: Cursor): number[] {
  const keys: number[] = []
  for (let i = 0; i < cursor.columns; i += 1) {
    if (cursor.bytes[cursor.flags + i] !== 0) keys.push(i)
  }
  return keys
}

/**
 * The changed rows, in the order of the changeset. Made for display, replay and conflicts. Text
 * that is not UTF-8 reads with replacement characters.
 *
 * Throws LOG_CORRUPT when it comes to bytes that are not a changeset.
 */
export function readChangeset(bytes: Uint8Array): Generator<RowChange, void, undefined> {
  return readRows(bytes, (text) => utf8.decode(text))
}

/** As readChangeset, with nothing lost. */
export function readExactly(
  bytes: Uint8Array,
): Generator<RowChange<string | RawText>, void, undefined> {
  return readRows(bytes, exactText)
}

function* readRows<T>(
  bytes: Uint8Array,
  decode: DecodeText<T>,
): Generator<RowChange<T>, void, undefined> {
  const cursor = startOf(bytes)
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  let table = ''
  let keys: readonly number[] = []
  let byRowid = false
  let seen = -1
  for (let op = nextChange(cursor); op !== 0; op = nextChange(cursor)) {
    if (cursor.name !== seen) {
      table = tableName(cursor.bytes, cursor.name)
      keys = keyColumns(cursor)
      byRowid = bytes[cursor.flags] === ROWID_PLACE
      seen = cursor.name
    }
    const common = { table, keyColumns: keys, byRowid }
    const first = readRecord(cursor, view, decode)
    if (op === INSERT) yield { ...common, op: 'insert', before: null, after: first }
    else if (op === DELETE) yield { ...common, op: 'delete', before: first, after: null }
    else {
      const after = readRecord(cursor, view, decode)
      yield { ...common, op: 'update', before: first, after }
    }
  }
}

type ExactCells = readonly (Value | string | RawText | undefined)[]

/** How a table is expected to be whose rows are told by their keys only. */
export interface KeyLayout {
  readonly columns: number
  /** Positions of the key's columns, ascending. */
  readonly key: readonly number[]
}

/** Is given the rows of a changeset. */
export interface RowVisitor {
  /** A table begins. Null, or not as it is: its rows come as wholes. */
  table(name: string): KeyLayout | null
  /** A row, as readExactly gives it. */
  row(before: ExactCells | null, after: ExactCells | null): void
  /** The key of a row begins. */
  startKey(): void
  /** A value of it that is a number. */
  keyNumber(value: number): void
  /** A value of it that is none. */
  keyValue(value: string | RawText | Uint8Array | null): void
  endKey(isDelete: boolean): void
}

/**
 * As readExactly, but makes nothing of what the visitor does not want: of rows that are told by their
 * keys only the rest is skipped. Integers of keys are rounded to doubles.
 *
 * Throws LOG_CORRUPT when it comes to bytes that are not a changeset.
 */
export function visitRows(bytes: Uint8Array, visitor: RowVisitor): void {
  const cursor = startOf(bytes)
  let view: DataView | null = null
  let keysOnly = false
  let seen = -1
  for (let op = nextChange(cursor); op !== 0; op = nextChange(cursor)) {
    if (cursor.name !== seen) {
      const layout = visitor.table(tableName(bytes, cursor.name))
      keysOnly = layout !== null && isLaidOut(cursor, layout)
      seen = cursor.name
    }
    if (keysOnly) {
      visitor.startKey()
      visitKey(cursor, visitor)
      visitor.endKey(op === DELETE)
      if (op === UPDATE) skipRecord(cursor)
      continue
    }
    view ??= new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    const first = readRecord(cursor, view, exactText)
    if (op === INSERT) visitor.row(null, first)
    else visitor.row(first, op === DELETE ? null : readRecord(cursor, view, exactText))
  }
}

function isLaidOut({ bytes, columns, flags }: Cursor, layout: KeyLayout): boolean {
  if (columns !== layout.columns) return false
  let found = 0
  for (let i = 0; i < columns; i += 1) {
    if (bytes[flags + i] === 0) continue
    if (layout.key[found] !== i) return false
    found += 1
  }
  return found === layout.key.length
}

function visitKey(cursor: Cursor, visitor: RowVisitor): void {
  const { bytes, columns, flags } = cursor
  for (let i = 0; i < columns; i += 1) {
    const { at } = cursor
    skipValue(cursor)
    if (bytes[flags + i] === 0) continue
    switch (bytes[at]) {
      case INTEGER:
        visitor.keyNumber(int32At(bytes, at + 1) * 2 ** 32 + (int32At(bytes, at + 5) >>> 0))
        break
      case REAL:
        visitor.keyNumber(doubleAt(bytes, at + 1))
        break
      case TEXT:
        visitor.keyValue(exactText(contentAt(bytes, at + 1, cursor.at)))
        break
      case BLOB:
        visitor.keyValue(contentAt(bytes, at + 1, cursor.at))
        break
      default:
        visitor.keyValue(null)
    }
  }
}

function int32At(bytes: Uint8Array, at: number): number {
  const high = ((bytes[at] ?? 0) << 24) | ((bytes[at + 1] ?? 0) << 16)
  return high | ((bytes[at + 2] ?? 0) << 8) | (bytes[at + 3] ?? 0)
}

const double = new DataView(new ArrayBuffer(8))

function doubleAt(bytes: Uint8Array, at: number): number {
  double.setInt32(0, int32At(bytes, at))
  double.setInt32(4, int32At(bytes, at + 4))
  return double.getFloat64(0)
}

/** What follows a length. */
function contentAt(bytes: Uint8Array, at: number, end: number): Uint8Array {
  const body = startOf(bytes)
  body.at = at
  readVarint(body)
  return bytes.subarray(body.at, end)
}

/**
 * The changeset without the sections of some tables.
 *
 * @param tables names as the schema has them
 *
 * Throws LOG_CORRUPT if the bytes are not a changeset.
 */
export function withoutTables(bytes: Uint8Array, tables: ReadonlySet<string>): Uint8Array {
  const kept: Uint8Array[] = []
  const cursor = startOf(bytes)
  let seen = -1
  let keeps = false
  let start = 0
  for (let op = nextChange(cursor); op !== 0; op = nextChange(cursor)) {
    if (cursor.name !== seen) {
      // Two bytes of the record are behind the cursor already; the header is before them.
      const header = cursor.flags - (cursor.columns < 128 ? 2 : 3)
      if (keeps) kept.push(bytes.subarray(start, header))
      start = header
      keeps = !tables.has(tableName(cursor.bytes, cursor.name))
      seen = cursor.name
    }
    skipRecord(cursor)
    if (op === UPDATE) skipRecord(cursor)
  }
  if (keeps) kept.push(bytes.subarray(start))
  return concatenate(kept)
}
