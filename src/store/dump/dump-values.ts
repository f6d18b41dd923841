/** Rows of a table as they are stored, and values as SQL literals that SQLite reads back bit by bit. */
import { isUtf8 } from 'node:buffer'
import type { DatabaseSync } from 'node:sqlite'
import { quote } from '../quote.ts'

/** About how long one INSERT with several rows may get, in characters. */
const INSERT_LENGTH = 64 * 1024

/**
 * A value on its way into text: text is its bytes in UTF-8, which may be invalid; a blob is its hex
 * digits. So the two don't mix, and bytes that are no valid text are not lost.
 */
export type Stored = null | bigint | number | string | Uint8Array

/** A table's rows with the columns that an INSERT names; null: all of them in their order. */
export interface Rows {
  readonly table: string
  readonly columns: readonly string[] | null
  readonly values: Iterable<readonly Stored[]>
}

/** Rows of an ordinary table, with their rowids where these don't follow from a column. */
export function readRows(db: DatabaseSync, table: string): Rows {
  const infos = db.prepare('select name, hidden, pk, type from pragma_table_xinfo(?)').all(table)
  const stored = infos.filter(({ hidden }) => hidden === 0).map(({ name }) => String(name))
  const names = infos.map(({ name }) => String(name).toLowerCase())
  const rowid = hasOwnRowid(db, table)
    ? ['rowid', '_rowid_', 'oid'].find((name) => !names.includes(name))
    : undefined
  const columns = [...(rowid === undefined ? [] : [rowid]), ...stored]
  const named = rowid !== undefined || stored.length < infos.length
  const values = selectStored(db, table, columns, rowid)
  return { table, columns: named ? columns : null, values }
}

/** Whether rows have rowids that no column shows. */
function hasOwnRowid(db: DatabaseSync, table: string): boolean {
  const list = "select wr from pragma_table_list where schema = 'main' and name = ?"
  if (db.prepare(list).get(table)?.['wr'] === 1) return false
  const key = db.prepare('select type from pragma_table_xinfo(?) where pk > 0').all(table)
  if (key.length !== 1 || String(key[0]?.['type']).toUpperCase() !== 'INTEGER') return true
  // INTEGER PRIMARY KEY DESC has an index of its own and is no alias.
  return (
    db.prepare("select 1 from pragma_index_list(?) where origin = 'pk'").get(table) !== undefined
  )
}

/** Reads columns of a table, or of a virtual table, as they are stored. */
export function* selectStored(
  db: DatabaseSync,
  table: string,
  columns: readonly string[],
  order: string | undefined,
): Generator<readonly Stored[], void> {
  const utf16 = String(db.prepare('pragma encoding').get()?.['encoding'])
  const expressions = columns.map((name) => {
    const column = quote(name)
    return `case typeof(${column}) when 'text' then cast(${column} as blob)
      when 'blob' then hex(${column}) else ${column} end`
  })
  const by = order === undefined ? '' : ` order by ${quote(order)}`
  const query = db.prepare(`select ${expressions.join(', ')} from ${quote(table)}${by}`, {
    readBigInts: true,
    returnArrays: true,
  })
  const toUtf8 = utf16 === 'UTF-8' ? null : utf16 === 'UTF-16le' ? fromLittle : fromBig
  for (const row of query.iterate() as Iterable<unknown> as Iterable<readonly Stored[]>) {
    yield toUtf8 === null
      ? row
      : row.map((value) => (value instanceof Uint8Array ? toUtf8(value) : value))
  }
}

function fromLittle(bytes: Uint8Array): Uint8Array {
  return Buffer.from(Buffer.from(bytes).toString('utf16le'))
}

function fromBig(bytes: Uint8Array): Uint8Array {
  return Buffer.from(Buffer.from(bytes).swap16().toString('utf16le'))
}

/** A stored value as SQL. */
export function literal(value: Stored): string {
  switch (typeof value) {
    case 'bigint':
      // The digits of the smallest one are too large before their sign is seen.
      return value === -(2n ** 63n) ? '(-9223372036854775807-1)' : String(value)
    case 'number':
      return realLiteral(value)
    case 'string':
      return `X'${value}'`
    default:
      return value === null ? 'NULL' : textLiteral(value)
  }
}

/** The shortest text that is this number, as JavaScript writes it, and surely REAL. */
export function realLiteral(value: number): string {
  if (value === Number.POSITIVE_INFINITY) return '9e999'
  if (value === Number.NEGATIVE_INFINITY) return '-9e999'
  if (Object.is(value, -0)) return '-0.0'
  const text = String(value)
  return /[.e]/.test(text) ? text : `${text}.0`
}

/**
 * Text that a shell would not bring back unchanged is written as its bytes: NUL ends a statement,
 * a carriage return is lost at the end of a line, and what is no UTF-8 can't be written at all.
 */
function textLiteral(bytes: Uint8Array): string {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  if (!isUtf8(buffer) || buffer.includes(0) || buffer.includes(13)) {
    return `CAST(X'${buffer.toString('hex').toUpperCase()}' AS TEXT)`
  }
  return `'${buffer.toString('utf8').replaceAll("'", "''")}'`
}

/** Rows as INSERTs of several rows each. */
export function* insertRows({ table, columns, values }: Rows): Generator<string> {
  const head = insertHead(table, columns)
  let parts: string[] = []
  let length = 0
  for (const row of values) {
    const text = `(${row.map(literal).join(',')})`
    if (length > 0 && length + text.length > INSERT_LENGTH) {
      yield `${head}${parts.join(',\n')};\n`
      parts = []
      length = 0
    }
    parts.push(text)
    length += text.length
  }
  if (parts.length > 0) yield `${head}${parts.join(',\n')};\n`
}

function insertHead(table: string, columns: readonly string[] | null): string {
  const list = columns === null ? '' : `(${columns.map(quote).join(',')})`
  return `INSERT INTO ${quote(table)}${list} VALUES`
}
