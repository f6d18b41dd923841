/** sqlite_sequence as the applier keeps it: rows that come into a table move it, and must not. */
import type { Connection, Internal } from '../connections.ts'

/** Null: the table has no row. */
type Sequences = Map<string, bigint | null>

export class SequenceTable {
  readonly #there: Internal
  readonly #all: Internal
  readonly #add: Internal
  readonly #change: Internal
  readonly #remove: Internal

  constructor(applier: Connection) {
    this.#there = applier.internal("select 1 from sqlite_schema where name = 'sqlite_sequence'")
    // As text, because internal statements read numbers, and ids may be larger.
    this.#all = applier.internal('select name, cast(seq as text) from sqlite_sequence')
    this.#add = applier.internal('insert into sqlite_sequence (seq, name) values (?, ?)')
    this.#change = applier.internal('update sqlite_sequence set seq = ? where name = ?')
    this.#remove = applier.internal('delete from sqlite_sequence where name = ?')
  }

  /** Null: there is no AUTOINCREMENT table. */
  read(): Sequences | null {
    if (this.#there.row() === undefined) return null
    const rows = this.#all.rows()
    return new Map(rows.map(([name, seq]) => [String(name), BigInt(String(seq ?? 0))]))
  }

  restore(wanted: ReadonlyMap<string, bigint | null>): void {
    const now = this.read() ?? new Map<string, bigint | null>()
    for (const table of new Set([...now.keys(), ...wanted.keys()])) {
      const value = wanted.get(table) ?? null
      if ((now.get(table) ?? null) === value) continue
      if (value === null) this.#remove.run(table)
      else (now.has(table) ? this.#change : this.#add).run(value, table)
    }
  }
}
