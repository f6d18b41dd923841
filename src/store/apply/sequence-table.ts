/** sqlite_sequence as the applier keeps it: rows that come into a table move it, and must not. */
import type { Connection, Internal } from '../connections.ts'

/** Null: the table has no row. */
type Sequences = Map<string, bigint | null>

export class SequenceTable {
  readonly #applier: Connection
  /** Whether there is one, at a version of the schema; null: not known. */
  #known: { readonly version: number; readonly isThere: boolean } | null = null
  readonly #there: Internal
  readonly #all: Internal
  readonly #add: Internal
  readonly #change: Internal
  readonly #remove: Internal

  constructor(applier: Connection) {
    this.#applier = applier
    this.#there = applier.internal("select 1 from sqlite_schema where name = 'sqlite_sequence'")
    // As text, because internal statements read numbers, and ids may be larger.
    this.#all = applier.internal('select name, cast(seq as text) from sqlite_sequence')
    this.#add = applier.internal('insert into sqlite_sequence (seq, name) values (?, ?)')
    this.#change = applier.internal('update sqlite_sequence set seq = ? where name = ?')
    this.#remove = applier.internal('delete from sqlite_sequence where name = ?')
  }

  /** Null: there is no AUTOINCREMENT table. */
  read(): Sequences | null {
    const version = this.#applier.schemaVersion()
    if (this.#known?.version !== version) {
      this.#known = { version, isThere: this.#there.row() !== undefined }
    }
    if (!this.#known.isThere) return null
    const rows = this.#all.rows()
    return new Map(rows.map(([name, seq]) => [String(name), BigInt(String(seq ?? 0))]))
  }

  /** A rollback may have made another schema of the same version. */
  forget(): void {
    this.#known = null
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
