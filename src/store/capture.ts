/**
 * Records what a transaction on the writer does, as the operations of an entry: SQLite's changeset
 * for rows, and beside it what the session extension leaves out: sqlite_sequence (so that an
 * AUTOINCREMENT id is not given twice after a failover), two PRAGMAs, and DDL.
 */
import type { Session } from 'node:sqlite'
import { assert, present } from '../base/assert.ts'
import type { Operation } from '../model/entry.ts'
import type { Connection, Connections, Internal } from './connections.ts'
import { repairLooseKeys } from './loose-keys.ts'
import type { SchemaFacts } from './schema-guard.ts'

type PragmaName = 'user_version' | 'application_id'
type SequenceRows = Extract<Operation, { kind: 'sequence' }>['rows']
/** What of sqlite_sequence there was; null: there is no such table. */
type Sequence = ReadonlyMap<string, bigint> | null

/** What happens between two moments of a transaction. */
class Segment {
  readonly #host: Host
  readonly #session: Session
  #open = true
  readonly #sequence: Sequence
  readonly #pragmas = new Map<PragmaName, number>()

  constructor(host: Host) {
    this.#host = host
    this.#session = host.writer.db.createSession()
    this.#sequence = host.sequence()
  }

  beforePragma(name: PragmaName): void {
    if (!this.#pragmas.has(name)) this.#pragmas.set(name, this.#host.pragma(name))
  }

  /** The operations until now; it goes on. */
  peek(): Operation[] {
    const operations: Operation[] = []
    const bytes = this.#session.changeset()
    if (bytes.length > 0) operations.push({ kind: 'changeset', bytes })
    const rows = changedRows(this.#sequence, this.#host.sequence())
    if (rows.length > 0) operations.push({ kind: 'sequence', rows })
    for (const [name, before] of this.#pragmas) {
      const after = this.#host.pragma(name)
      if (after !== before) operations.push({ kind: 'pragma', name, before, after })
    }
    return operations
  }

  close(): void {
    if (this.#open) this.#session.close()
    this.#open = false
  }
}

/** What segments need to know of the database. */
interface Host {
  readonly writer: Connection
  sequence(): Sequence
  pragma(name: PragmaName): number
}

export class Capture {
  readonly #connections: Connections
  readonly #facts: () => SchemaFacts
  readonly #host: Host
  readonly #flushVirtual: readonly Internal[]
  /** The whole transaction, which is what counts if it has no DDL. */
  #whole: Segment | null = null
  /** Since the latest DDL or mark; only where there may be DDL. */
  #current: Segment | null = null
  /** Before `#current`. */
  #operations: Operation[] = []

  constructor(connections: Connections, facts: () => SchemaFacts) {
    this.#connections = connections
    this.#facts = facts
    const { writer } = connections
    // As text, because internal statements read numbers, and ids may be larger.
    const rows = writer.internal('select name, cast(seq as text) from sqlite_sequence')
    const sequence = (): Sequence =>
      facts().hasSequence
        ? new Map(rows.rows().map(([name, seq]) => [String(name), BigInt(String(seq ?? 0))]))
        : null
    const pragma = (name: PragmaName) => Number(writer.internal(`pragma ${name}`).row()?.[0])
    this.#host = { writer, sequence, pragma }
    this.#flushVirtual = ['savepoint _quorate_flush', 'release _quorate_flush'].map((sql) =>
      writer.internal(sql),
    )
  }

  /**
   * Begins to record, in a transaction that has done nothing yet.
   *
   * @param parts whether there may be DDL: then what lies between is recorded piece by piece as well
   */
  start(parts: boolean): void {
    assert(this.#whole === null, () => 'capture started twice')
    this.#operations = []
    this.#whole = new Segment(this.#host)
    if (parts) this.#current = new Segment(this.#host)
  }

  /** How many operations are complete; with `cut`, the way back to here. */
  mark(): number {
    this.#flush()
    this.#current = new Segment(this.#host)
    return this.#operations.length
  }

  /** After a rollback to where `mark` was called: forgets what came later. */
  cut(mark: number): void {
    this.#operations.length = mark
    this.#current?.close()
    this.#current = new Segment(this.#host)
  }

  /** Notes a PRAGMA's value before a statement that may change it. */
  beforePragma(name: PragmaName): void {
    this.#whole?.beforePragma(name)
    this.#current?.beforePragma(name)
  }

  /**
   * Runs DDL between two changesets.
   *
   * @param run tells whether it had any effect
   */
  ddl(sql: string, run: () => boolean): void {
    this.#flush()
    try {
      if (run()) this.#operations.push({ kind: 'ddl', sql })
    } finally {
      if (this.#connections.writer.db.isTransaction) this.#current = new Segment(this.#host)
    }
  }

  /** Everything recorded, of a transaction without DDL. Goes on: COMMIT can still fail. */
  peekData(): readonly Operation[] {
    this.#writeVirtual()
    const { writer, applier } = this.#connections
    const operations = present(this.#whole, () => 'a session').peek()
    const [first] = operations
    if (first?.kind !== 'changeset') return operations
    const bytes = repairLooseKeys(first.bytes, this.#facts(), applier, writer)
    const rest = operations.slice(1)
    return bytes.length === 0 ? rest : [{ kind: 'changeset', bytes }, ...rest]
  }

  /** Everything recorded, piece by piece. */
  peekParts(): readonly Operation[] {
    this.#writeVirtual()
    return [...this.#operations, ...(this.#current?.peek() ?? [])]
  }

  /** Ends recording. Whatever is written from here on is not captured. */
  end(): void {
    this.#whole?.close()
    this.#current?.close()
    this.#whole = null
    this.#current = null
  }

  #flush(): void {
    this.#writeVirtual()
    const current = present(this.#current, () => 'a segment')
    this.#operations.push(...current.peek())
    current.close()
    this.#current = null
  }

  /** FTS5 holds rows back in memory; any savepoint makes it write them. */
  #writeVirtual(): void {
    if (this.#facts().hasVirtual) for (const statement of this.#flushVirtual) statement.run()
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
