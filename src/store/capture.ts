/**
 * Records what a transaction on the writer does, as the operations of an entry: SQLite's changeset
 * for rows, and beside it what the session extension leaves out: sqlite_sequence (so that an
 * AUTOINCREMENT id is not given twice after a failover), two PRAGMAs, and DDL.
 */
import type { Session } from 'node:sqlite'
import { assert, present } from '../base/assert.ts'
import type { Operation } from '../model/entry.ts'
import type { Connection, Internal } from './connections.ts'
import type { SchemaFacts } from './schema-guard.ts'

type PragmaName = 'user_version' | 'application_id'
type SequenceRows = Extract<Operation, { kind: 'sequence' }>['rows']
/** What of sqlite_sequence there was; null: there is no such table. */
type Sequence = ReadonlyMap<string, bigint> | null

export class Capture {
  readonly #writer: Connection
  readonly #facts: () => SchemaFacts
  #session: Session | null = null
  #operations: Operation[] = []
  #sequence: Sequence = null
  readonly #pragmas = new Map<PragmaName, number>()
  readonly #flushVirtual: readonly Internal[]
  readonly #sequenceRows: Internal

  constructor(writer: Connection, facts: () => SchemaFacts) {
    this.#writer = writer
    this.#facts = facts
    // As text, because internal statements read numbers, and ids may be larger.
    this.#sequenceRows = writer.internal('select name, cast(seq as text) from sqlite_sequence')
    this.#flushVirtual = ['savepoint _quorate_flush', 'release _quorate_flush'].map((sql) =>
      writer.internal(sql),
    )
  }

  /** Begins to record, in a transaction that has done nothing yet. */
  start(): void {
    assert(this.#session === null, () => 'capture started twice')
    this.#operations = []
    this.#pragmas.clear()
    this.#open()
  }

  get active(): boolean {
    return this.#session !== null
  }

  /** How many operations are complete; with `cut`, the way back to here. */
  mark(): number {
    this.#flush()
    return this.#operations.length
  }

  /** After a rollback to where `mark` was called: forgets what came later. */
  cut(mark: number): void {
    this.#operations.length = mark
    this.#session?.close()
    this.#session = null
    this.#open()
  }

  /** Notes a PRAGMA's value before a statement that may change it. */
  beforePragma(name: PragmaName): void {
    if (!this.#pragmas.has(name)) this.#pragmas.set(name, this.#pragma(name))
  }

  /** Runs DDL between two changesets. */
  ddl(sql: string, run: () => boolean): void {
    this.#flush()
    this.#session?.close()
    this.#session = null
    try {
      if (run()) this.#operations.push({ kind: 'ddl', sql })
    } finally {
      if (this.#writer.db.isTransaction) this.#open()
    }
  }

  /** Everything recorded until now. Recording goes on: COMMIT can still fail. */
  peek(): readonly Operation[] {
    return [...this.#operations, ...this.#recent()]
  }

  /** Ends recording. Whatever is written from here on is not captured. */
  end(): void {
    this.#session?.close()
    this.#session = null
  }

  #open(): void {
    this.#session = this.#writer.db.createSession()
    this.#sequence = this.#readSequence()
    for (const name of this.#pragmas.keys()) this.#pragmas.set(name, this.#pragma(name))
  }

  /** Turns what the session holds into operations and begins a new one. */
  #flush(): void {
    const recent = this.#recent()
    if (recent.length === 0) return
    this.#operations.push(...recent)
    this.end()
    this.#open()
  }

  #recent(): Operation[] {
    const session = present(this.#session, () => 'a session')
    // FTS5 holds rows back in memory; any savepoint makes it write them.
    if (this.#facts().hasVirtual) for (const statement of this.#flushVirtual) statement.run()
    const operations: Operation[] = []
    const bytes = session.changeset()
    if (bytes.length > 0) operations.push({ kind: 'changeset', bytes })
    const rows = changedRows(this.#sequence, this.#readSequence())
    if (rows.length > 0) operations.push({ kind: 'sequence', rows })
    for (const [name, before] of this.#pragmas) {
      const after = this.#pragma(name)
      if (after !== before) operations.push({ kind: 'pragma', name, before, after })
    }
    return operations
  }

  #readSequence(): Sequence {
    if (!this.#facts().hasSequence) return null
    const rows = this.#sequenceRows.rows()
    return new Map(rows.map(([name, seq]) => [String(name), BigInt(String(seq ?? 0))]))
  }

  #pragma(name: PragmaName): number {
    return Number(this.#writer.internal(`pragma ${name}`).row()?.[0])
  }
}

const NO_ROWS: ReadonlyMap<string, bigint> = new Map()

function changedRows(before: Sequence, after: Sequence): SequenceRows {
  const rows: SequenceRows[number][] = []
  for (const [table, value] of after ?? NO_ROWS) {
    const old = before?.get(table) ?? null
    if (old !== value) rows.push({ table, before: old, after: value })
  }
  for (const [table, value] of before ?? NO_ROWS) {
    if (after?.has(table) !== true) rows.push({ table, before: value, after: null })
  }
  return rows
}
