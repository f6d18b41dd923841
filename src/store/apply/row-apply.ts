/**
 * Puts `rows` operations into the database: rows of the tables of row-tables.ts, named by rowid or
 * by key (see model/entry.ts). What is deleted goes first and what is inserted last, so that no row is in
 * another's way; every change must find what it expects.
 */
import type { DatabaseSync, SQLInputValue, StatementSync } from 'node:sqlite'
import { type RowChange, readExactly } from '../../model/changeset.ts'
import type { ExactValue, RawText } from '../../model/exact-value.ts'
import type { Connection } from '../connections.ts'
import { binding } from '../exact-rows.ts'
import { quote } from '../quote.ts'
import { type RowTable, readRowTables } from '../schema/row-tables.ts'

type Row = readonly (ExactValue | undefined)[]
type Changes = RowChange<string | RawText>

/** Statements kept: there is one for each set of columns that an UPDATE changes. */
const STATEMENTS_MAX = 500

/** A row is not as an operation expects it. Nothing was changed for that row. */
export class RowMisfit extends Error {
  override readonly name = 'RowMisfit'
}

export class RowApplier {
  readonly #connection: Connection
  readonly #db: DatabaseSync
  #tables: ReadonlyMap<string, RowTable> | null = null
  #version = -1
  readonly #statements = new Map<string, StatementSync>()

  constructor(connection: Connection) {
    this.#connection = connection
    this.#db = connection.db
  }

  /** Throws RowMisfit, and SQLite's errors for what breaks a constraint; LOG_CORRUPT. */
  apply(bytes: Uint8Array): void {
    this.#refresh()
    const changes = [...readExactly(bytes)]
    for (const change of changes) if (change.op === 'delete') this.#delete(change)
    for (const change of changes) if (change.op === 'update') this.#update(change)
    for (const change of changes) if (change.op === 'insert') this.#insert(change)
  }

  #refresh(): void {
    const version = this.#connection.schemaVersion()
    if (version === this.#version && this.#tables !== null) return
    const { watched, loose } = readRowTables(this.#connection)
    this.#tables = new Map([...watched, ...loose].map((table) => [table.name, table]))
    this.#version = version
    this.#statements.clear()
  }

  /** What was seen of the schema may have been rolled back. */
  forget(): void {
    this.#tables = null
  }

  #delete({ table: name, before }: Changes): void {
    const table = this.#table(name, before)
    const where = new Terms(table.parts, before ?? [])
    const done = this.#run(`delete from main.${quote(name)} where ${where.sql(' is ', ' and ')}`, [
      ...where.args,
    ])
    // Of the key alone, it makes room.
    const keys = table.key.filter((place) => place > 0).length
    if (done !== 1 && where.args.length > (table.rowid === null ? keys : 1)) throw misfit(name)
  }

  #update({ table: name, before, after }: Changes): void {
    const table = this.#table(name, before)
    const names = table.parts
    const set = new Terms(names, after ?? [])
    const where = new Terms(names, before ?? [])
    const sql = `update or abort main.${quote(name)} set ${set.sql(' = ', ', ')}
      where ${where.sql(' is ', ' and ')}`
    if (this.#run(sql, [...set.args, ...where.args]) !== 1) throw misfit(name)
  }

  #insert({ table: name, after }: Changes): void {
    const values = new Terms(this.#table(name, after).parts, after ?? [])
    const sql = `insert or abort into main.${quote(name)} (${values.names.join(', ')})
      values (${values.places.join(', ')})`
    this.#run(sql, values.args)
  }

  #table(name: string, row: Row | null): RowTable {
    const table = this.#tables?.get(name)
    if (table !== undefined && row?.length === table.key.length) return table
    throw new RowMisfit(`table ${name} is not as expected`)
  }

  /** Returns how many rows changed. */
  #run(sql: string, args: readonly SQLInputValue[]): number {
    let statement = this.#statements.get(sql)
    if (statement === undefined) {
      if (this.#statements.size >= STATEMENTS_MAX) this.#statements.clear()
      // The rowid that run() tells, unasked, may be too large for a number.
      statement = this.#db.prepare(sql, { readBigInts: true })
      this.#statements.set(sql, statement)
    }
    return Number(statement.run(...args).changes)
  }
}

function misfit(table: string): RowMisfit {
  return new RowMisfit(`a row of table ${table} is not as expected`)
}

/** The values of a record that are there, as parts of SQL. */
class Terms {
  readonly names: string[] = []
  readonly places: string[] = []
  readonly args: SQLInputValue[] = []

  constructor(names: readonly string[], row: Row) {
    for (const [i, value] of row.entries()) {
      if (value === undefined) continue
      const { sql, arg } = binding(value)
      this.names.push(names[i] ?? '')
      this.places.push(sql)
      this.args.push(arg)
    }
  }

  sql(operator: string, separator: string): string {
    return this.names.map((name, i) => `${name}${operator}${this.places[i]}`).join(separator)
  }
}
