/**
 * What a transaction did to the tables of row-tables.ts. Of watched ones RowWatch tells which rowids
 * it touched, of loose ones the changeset tells which keys. What happened to the rows is read from
 * the two states: before the transaction, which the other connection still sees, and after.
 */
import { readExactly } from '../../model/changeset.ts'
import type { Section } from '../../model/changeset-bytes.ts'
import {
  type ExactRow,
  encodeImages,
  encodeSection,
  type Image,
} from '../../model/changeset-writer.ts'
import { type ExactValue, RawText } from '../../model/exact-value.ts'
import type { Connection } from '../connections.ts'
import { binding, ExactQuery } from '../exact-rows.ts'
import { quote } from '../quote.ts'
import type { RowTable } from '../schema/row-tables.ts'

/** Rows asked for in one query. */
const AT_ONCE = 10_000

/** Rowids by the name of their table. */
export type Touched = Map<string, Set<bigint>>

/** Notes a row. */
export function touch(touched: Touched, table: string, rowid: bigint): void {
  const rowids = touched.get(table)
  if (rowids === undefined) touched.set(table, new Set([rowid]))
  else rowids.add(rowid)
}

/** Reads rows of a table in one of the two states. */
interface Reader {
  byRowid(rowids: readonly bigint[]): ReadonlyMap<bigint, ExactRow>
  byKey(key: ExactRow): ExactRow | null
}

/** Reads what was touched on the writer and on the other connection. */
export class RowCapture {
  readonly #before: Readers
  readonly #after: Readers

  /**
   * @param before sees the state before the transaction
   * @param after sees the state in it
   */
  constructor(before: Connection, after: Connection) {
    this.#before = new Readers(before)
    this.#after = new Readers(after)
  }

  /** What has changed by rowid, so that it can be undone; empty if nothing has. */
  changes(table: RowTable, touched: ReadonlySet<bigint>): Uint8Array {
    const rowids = [...touched]
    const before = this.#before.of(table).byRowid(rowids)
    const after = this.#after.of(table).byRowid(rowids)
    return encodeSection(
      table,
      rowids.map((rowid) => ({
        before: before.get(rowid) ?? null,
        after: after.get(rowid) ?? null,
      })),
    )
  }

  /** How the rows with these rowids are now. It can't be undone. */
  images(table: RowTable, touched: ReadonlySet<bigint>): Uint8Array {
    const rowids = [...touched]
    const now = this.#after.of(table).byRowid(rowids)
    return encodeImages(
      table,
      rowids.map((rowid) => ({ key: [rowid], row: now.get(rowid) ?? null })),
    )
  }

  /** As `changes`, of the keys that a section of a loose table names. */
  looseChanges(table: RowTable, section: Section): Uint8Array {
    const [before, after] = [this.#before.of(table), this.#after.of(table)]
    const changes = new Map<string, { before: ExactRow | null; after: ExactRow | null }>()
    for (const key of keysOf(section, table)) {
      const change = { before: before.byKey(key), after: after.byKey(key) }
      const stored = (row: ExactRow | null) => (row === null ? 'none' : nameOf(keyOf(row, table)))
      changes.set(`${stored(change.before)} ${stored(change.after)}`, change)
    }
    return encodeSection(table, [...changes.values()])
  }

  /** As `images`, of the keys that a section of a loose table names. */
  looseImages(table: RowTable, section: Section): Uint8Array {
    const after = this.#after.of(table)
    const images = new Map<string, Image>()
    const gone: Image[] = []
    for (const key of keysOf(section, table)) {
      const row = after.byKey(key)
      if (row === null) gone.push({ key, row })
      else images.set(nameOf(keyOf(row, table)), { key, row })
    }
    return encodeImages(table, [...gone, ...images.values()])
  }
}

/** Readers of one connection, for as long as the tables are the same objects. */
class Readers {
  readonly #connection: Connection
  readonly #known = new WeakMap<RowTable, TableReader>()

  constructor(connection: Connection) {
    this.#connection = connection
  }

  of(table: RowTable): Reader {
    const known = this.#known.get(table) ?? new TableReader(this.#connection, table)
    this.#known.set(table, known)
    return known
  }
}

class TableReader implements Reader {
  readonly #connection: Connection
  readonly #table: RowTable
  readonly #queries = new Map<string, ExactQuery>()

  constructor(connection: Connection, table: RowTable) {
    this.#connection = connection
    this.#table = table
  }

  byRowid(rowids: readonly bigint[]): ReadonlyMap<bigint, ExactRow> {
    const query = this.#query(`json_each(?) as j cross join main.${quote(this.#table.name)} as x
      on x.${this.#table.rowid} = j.value`)
    const rows = new Map<bigint, ExactRow>()
    for (let i = 0; i < rowids.length; i += AT_ONCE) {
      for (const row of query.all(`[${rowids.slice(i, i + AT_ONCE).join(',')}]`)) {
        rows.set(row[0] as bigint, row)
      }
    }
    return rows
  }

  byKey(key: ExactRow): ExactRow | null {
    const bound = key.map(binding)
    const columns = keyOf(this.#table.parts, this.#table)
    const terms = columns.map((column, i) => `x.${column} = ${bound[i]?.sql}`)
    const query = this.#query(`main.${quote(this.#table.name)} as x where ${terms.join(' and ')}`)
    return query.all(...bound.map(({ arg }) => arg))[0] ?? null
  }

  #query(from: string): ExactQuery {
    const known = this.#queries.get(from)
    if (known !== undefined) return known
    const parts = this.#table.parts.map((part) => `x.${part}`)
    const query = new ExactQuery(this.#connection.db, parts, `from ${from}`)
    this.#queries.set(from, query)
    return query
  }
}

/** Every key that the section names. */
function keysOf(section: Section, table: RowTable): readonly ExactRow[] {
  const keys = new Map<string, ExactRow>()
  for (const { before, after } of readExactly(section.bytes)) {
    for (const row of [before, after]) {
      if (row === null) continue
      const key = keyOf(row, table)
      // Of an unchanged key an UPDATE has the old values only.
      const whole = key.filter((value) => value !== undefined)
      if (whole.length === key.length) keys.set(nameOf(whole), whole)
    }
  }
  return [...keys.values()]
}

/** What of a record belongs to the key. */
function keyOf<T>(row: readonly T[], table: RowTable): T[] {
  return row.filter((_, i) => table.key[i] !== 0)
}

/** Tells keys apart as bytes would. */
function nameOf(key: ExactRow): string {
  return JSON.stringify(
    key.map((value: ExactValue) => {
      if (value instanceof Uint8Array) return ['b', value.toBase64()]
      if (value instanceof RawText) return ['t', value.bytes.toBase64()]
      if (typeof value === 'bigint') return ['i', String(value)]
      return typeof value === 'number' ? ['r', String(value)] : value
    }),
  )
}
