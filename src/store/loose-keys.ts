/**
 * Repairs changesets of tables whose keys are equal in more ways than one.
 *
 * The session extension tells keys apart by their bytes, the table by their collation and numeric
 * value: 'b' and 'B' are one key under NOCASE, 1 and 1.0 in a column without a type. When such a
 * key changes to its twin, SQLite's changeset holds an UPDATE of the key, which it can't apply
 * itself, and an INSERT of a row that is there; when it changes back, the INSERT alone. So for these
 * tables the changeset only says which keys were touched, and what happened to each is read from
 * the two states: before the transaction, which the other connection still sees, and after.
 */

import { readChangeset } from '../model/changeset.ts'
import {
  changedRow,
  concatenate,
  identical,
  type Section,
  sectionsOf,
  wholeRow,
} from '../model/changeset-bytes.ts'
import type { Value } from '../model/program.ts'
import type { Connection } from './connections.ts'
import { type LooseTable, quote, type SchemaFacts } from './schema-guard.ts'

type Row = readonly Value[]

/** What was one row before and is one row now; either may be missing. */
interface Change {
  readonly before: Row | null
  readonly after: Row | null
}

/**
 * The changeset as it should be.
 *
 * @param before sees the state before the transaction
 * @param after sees the state that the changeset leads to
 */
export function repairLooseKeys(
  bytes: Uint8Array,
  facts: SchemaFacts,
  before: Connection,
  after: Connection,
): Uint8Array {
  if (facts.loose.size === 0) return bytes
  const sections = sectionsOf(bytes)
  const repaired = sections.map((section) => {
    const table = facts.loose.get(section.table.toLowerCase())
    if (table === undefined) return section.bytes
    return repair(section, table, before, after)
  })
  return concatenate(repaired)
}

function repair(
  section: Section,
  table: LooseTable,
  before: Connection,
  after: Connection,
): Uint8Array {
  const keys = keysOf(section, table)
  const [read, look] = [finder(before, table), finder(after, table)]
  const changes = new Map<string, Change>()
  for (const key of keys) {
    const change = { before: read(key), after: look(key) }
    const stored = (row: Row | null) => (row === null ? 'none' : nameOf(keyOf(row, table)))
    changes.set(`${stored(change.before)} ${stored(change.after)}`, change)
  }
  const records = [...changes.values()].flatMap((change) => recordsOf(change, table))
  if (records.length === 0) return new Uint8Array()
  // DELETEs first, since one of them may be in an INSERT's way.
  const order = (record: Uint8Array) => [9, 23, 18].indexOf(record[0] ?? 0)
  return concatenate([section.header, ...records.sort((a, b) => order(a) - order(b))])
}

function recordsOf({ before, after }: Change, table: LooseTable): readonly Uint8Array[] {
  if (before === null) return after === null ? [] : [wholeRow('insert', after)]
  if (after === null) return [wholeRow('delete', before)]
  const same = (column: number) => identical(before[column] ?? null, after[column] ?? null)
  if (!table.key.every(same)) return [wholeRow('delete', before), wholeRow('insert', after)]
  if (before.every((_, column) => same(column))) return []
  return [changedRow(before, after, (column) => table.key.includes(column))]
}

/** Every key that the section names. */
function keysOf(section: Section, table: LooseTable): readonly Row[] {
  const keys = new Map<string, Row>()
  for (const { before, after } of readChangeset(section.bytes)) {
    for (const row of [before, after]) {
      if (row === null) continue
      const key = table.key.map((column) => row[column])
      // Of an unchanged key an UPDATE has the old values only.
      const whole = key.filter((value) => value !== undefined)
      if (whole.length === key.length) keys.set(nameOf(whole), whole)
    }
  }
  return [...keys.values()]
}

function keyOf(row: Row, table: LooseTable): Row {
  return table.key.map((column) => row[column] ?? null)
}

/** Tells keys apart as bytes would. */
function nameOf(key: Row): string {
  return JSON.stringify(
    key.map((value) => {
      if (value instanceof Uint8Array) return ['b', value.toBase64()]
      if (typeof value === 'bigint') return ['i', String(value)]
      return Object.is(value, -0) ? '-0' : value
    }),
  )
}

function finder(connection: Connection, table: LooseTable): (key: Row) => Row | null {
  const where = table.key.map((column) => `${quote(table.columns[column] ?? '')} = ?`)
  const sql = `select ${table.columns.map(quote).join(', ')} from main.${quote(table.table)}
    where ${where.join(' and ')}`
  const statement = connection.db.prepare(sql, { readBigInts: true, returnArrays: true })
  return (key) => (statement.get(...key) as unknown as Row | undefined) ?? null
}
