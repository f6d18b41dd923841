/**
 * Records what a transaction on the writer does, as the operations of an entry: SQLite's changeset
 * for rows with an INTEGER PRIMARY KEY or without rowid, and beside it what the session extension
 * leaves out: rows of the other tables (row-capture.ts), sqlite_sequence (so that an
 * AUTOINCREMENT id is not given twice after a failover), two PRAGMAs, and DDL.
 */
import type { Session } from 'node:sqlite'
import { assert, present } from '../../base/assert.ts'
import { withoutTables } from '../../model/changeset.ts'
import { concatenate, type Section, sectionsOf } from '../../model/changeset-bytes.ts'
import type { Operation } from '../../model/entry.ts'
import type { Connection, Connections, Internal } from '../connections.ts'
import type { RowTable } from '../schema/row-tables.ts'
import type { Schema } from '../schema/schema.ts'
import { RowCapture, type Touched, touch } from './row-capture.ts'

type PragmaName = 'user_version' | 'application_id'
type SequenceRows = Extract<Operation, { kind: 'sequence' }>['rows']
/** What of sqlite_sequence there was; null: there is no such table. */
type Sequence = ReadonlyMap<string, bigint> | null

/** What happens between two moments of a transaction. */
class Segment {
  readonly #host: Host
  /** Null: there is nothing that it would be needed for. */
  readonly #session: Session | null
  readonly touched: Touched = new Map()
  #open = true
  readonly #sequence: Sequence
  readonly #pragmas = new Map<PragmaName, number>()

  /** @param records rows, by a session */
  constructor(host: Host, records = true) {
    this.#host = host
    this.#session = records && host.hasRecorded() ? host.writer.db.createSession() : null
    this.#sequence = host.sequence()
  }

  beforePragma(name: PragmaName): void {
    if (!this.#pragmas.has(name)) this.#pragmas.set(name, this.#host.pragma(name))
  }

  changeset(): Uint8Array {
    return this.#session?.changeset() ?? NOTHING
  }

  /** The operations beside rows until now; it goes on. */
  others(): Operation[] {
    const operations: Operation[] = []
    const rows = changedRows(this.#sequence, this.#host.sequence())
    if (rows.length > 0) operations.push({ kind: 'sequence', rows })
    for (const [name, before] of this.#pragmas) {
      const after = this.#host.pragma(name)
      if (after !== before) operations.push({ kind: 'pragma', name, before, after })
    }
    return operations
  }

  close(): void {
    if (this.#open) this.#session?.close()
    this.#open = false
  }
}

/** How rows that are not in the changeset are read. */
interface Reading {
  watched(table: RowTable, touched: ReadonlySet<bigint>): Uint8Array
  loose(table: RowTable, section: Section): Uint8Array
}

/** What segments need to know of the database. */
interface Host {
  readonly writer: Connection
  /** There are tables whose changes SQLite's session extension records. */
  hasRecorded(): boolean
  sequence(): Sequence
  pragma(name: PragmaName): number
}

const NOTHING = new Uint8Array()

export class Capture {
  readonly #connections: Connections
  readonly #schema: Schema
  readonly #rows: RowCapture
  readonly #host: Host
  readonly #flushVirtual: readonly Internal[]
  /** The whole transaction, which is what counts if it has no DDL. */
  #whole: Segment | null = null
  /** Since the latest DDL or mark; only where there may be DDL. */
  #current: Segment | null = null
  /** Before `#current`. */
  #operations: Operation[] = []

  constructor(connections: Connections, schema: Schema) {
    this.#connections = connections
    this.#schema = schema
    const { writer, applier } = connections
    this.#rows = new RowCapture(applier, writer)
    schema.rows.onTouch = (table, rowid) => {
      if (this.#whole !== null) touch(this.#whole.touched, table, rowid)
      if (this.#current !== null) touch(this.#current.touched, table, rowid)
    }
    // As text, because internal statements read numbers, and ids may be larger.
    const rows = writer.internal('select name, cast(seq as text) from sqlite_sequence')
    const sequence = (): Sequence =>
      schema.facts.hasSequence
        ? new Map(rows.rows().map(([name, seq]) => [String(name), BigInt(String(seq ?? 0))]))
        : null
    const pragma = (name: PragmaName) => Number(writer.internal(`pragma ${name}`).row()?.[0])
    this.#host = { writer, hasRecorded: () => schema.facts.hasRecorded, sequence, pragma }
    this.#flushVirtual = ['savepoint _quorate_flush', 'release _quorate_flush'].map((sql) =>
      writer.internal(sql),
    )
  }

  /**
   * Begins to record, in a transaction that has done nothing yet. With several origins rows are
   * recorded only with `parts`: else OwnCapture does it.
   *
   * @param parts whether there may be DDL: then what lies between is recorded piece by piece as well
   */
  start(parts: boolean): void {
    assert(this.#whole === null, () => 'capture started twice')
    this.#operations = []
    this.#schema.begun()
    this.#whole = new Segment(this.#host, parts || this.#schema.facts.merging === null)
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
    this.rolledBack()
    this.#current?.close()
    this.#current = new Segment(this.#host)
  }

  /** After any other rollback of a part of the transaction. */
  rolledBack(): void {
    this.#schema.rolledBack()
  }

  /** Notes a PRAGMA's value before a statement that may change it. */
  beforePragma(name: PragmaName): void {
    this.#whole?.beforePragma(name)
    this.#current?.beforePragma(name)
  }

  /**
   * Runs DDL between two changesets.
   *
   * @param run says what replicas are to run; null: it had no effect
   */
  ddl(run: () => string | null): void {
    this.#flush()
    try {
      const sql = run()
      if (sql !== null) this.#operations.push({ kind: 'ddl', sql })
    } finally {
      if (this.#connections.writer.db.isTransaction) {
        this.#current = new Segment(this.#host)
      }
    }
  }

  /** Everything recorded, of a transaction without DDL. Goes on: COMMIT can still fail. */
  peekData(): readonly Operation[] {
    this.#writeVirtual()
    const whole = present(this.#whole, () => 'a session')
    const rows = this.#rows
    return this.#operationsOf(whole, {
      watched: (table, touched) => rows.changes(table, touched),
      loose: (table, section) => rows.looseChanges(table, section),
    })
  }

  /** Everything recorded, piece by piece. */
  peekParts(): readonly Operation[] {
    this.#writeVirtual()
    const pieces = [...this.#operations, ...this.#piece()]
    if (this.#schema.facts.merging === null) return pieces
    // The group's own affair, done after all that travels.
    const whole = present(this.#whole, () => 'a session')
    return [
      ...pieces.filter(({ kind }) => kind !== 'sequence'),
      ...whole.others().filter(({ kind }) => kind === 'sequence'),
    ]
  }

  /** What the current segment holds. Of the state before it nobody knows any more. */
  #piece(): readonly Operation[] {
    if (this.#current === null) return []
    const rows = this.#rows
    return this.#operationsOf(this.#current, {
      watched: (table, touched) => rows.images(table, touched),
      loose: (table, section) => rows.looseImages(table, section),
    })
  }

  #operationsOf(segment: Segment, read: Reading): Operation[] {
    const { watched, loose, merging } = this.#schema.facts
    const { touched } = segment
    let changeset = segment.changeset()
    const sections: Uint8Array[] = []
    for (const table of touched.size === 0 ? [] : watched) {
      const rowids = touched.get(table.name)
      if (rowids !== undefined) sections.push(read.watched(table, rowids))
    }
    for (const section of loose.length === 0 ? [] : sectionsOf(changeset)) {
      const table = loose.find(({ name }) => name === section.table)
      if (table !== undefined) sections.push(read.loose(table, section))
    }
    // Without a row noticed, no watched table is in the changeset, which spares the search; only
    // around DDL they may have gone unwatched for a moment.
    if (touched.size > 0 || sections.length > 0 || segment === this.#current) {
      changeset = withoutTables(changeset, new Set([...watched, ...loose].map(({ name }) => name)))
    }
    if (merging !== null) changeset = withoutTables(changeset, merging.shadow)
    const rows = concatenate(sections)
    const operations: Operation[] = []
    if (changeset.length > 0) operations.push({ kind: 'changeset', bytes: changeset })
    if (rows.length > 0) operations.push({ kind: 'rows', bytes: rows })
    return [...operations, ...segment.others()]
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
    this.#operations.push(...this.#piece())
    current.close()
    this.#current = null
  }

  /** FTS5 holds rows back in memory; any savepoint makes it write them. */
  #writeVirtual(): void {
    if (this.#schema.facts.hasVirtual) for (const statement of this.#flushVirtual) statement.run()
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
