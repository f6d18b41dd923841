/**
 * Puts entries into the database as they are, and takes them back out.
 *
 * A changeset holds every effect of its transaction, those of triggers and foreign-key actions
 * included, so none of these may fire again. The applier has foreign keys off. For triggers SQLite
 * has a switch too (SQLITE_DBCONFIG_ENABLE_TRIGGER), but node:sqlite does not offer it. What works
 * instead: inside a transaction delete the triggers from sqlite_schema, let the connection load
 * that schema, and roll back. The file never changes, while the connection keeps its schema
 * without triggers in memory, and believes in it, because the schema's version in the file equals
 * the one it has. When the version changes (DDL, by any connection), SQLite loads the real schema
 * again, and it is done once more. DDL itself must see the real schema:
 * `pragma writable_schema = reset` loads that.
 */
import { constants, type DatabaseSync } from 'node:sqlite'
import { assert } from '../../base/assert.ts'
import { type LogIndex, next } from '../../base/brand.ts'
import { QuorateError } from '../../base/errors.ts'
import type { ClockTime } from '../../core/order/clock/stamp.ts'
import { invertChangeset } from '../../model/changeset.ts'
import { concatenate } from '../../model/changeset-bytes.ts'
import type { Entry, Operation } from '../../model/entry.ts'
import { decodeBatch } from '../../model/entry-codec.ts'
import type { Connection, Connections } from '../connections.ts'
import type { Log } from '../log.ts'
import { OriginApplier } from '../origins/origin-apply.ts'
import type { Origins } from '../origins/origins.ts'
import type { Merged, OriginsState } from '../types.ts'
import { RowApplier, RowMisfit } from './row-apply.ts'
import { SequenceTable } from './sequence-table.ts'

/** One `apply` command goes on until it has done this much: without a clock, counted. */
const SLICE_BYTES = 8 * 1024 * 1024
const SLICE_ENTRIES = 2_000
/**
 * How much dearer a byte of a `merge` entry is than one of a changeset that is applied as it is. Where
 * more is taken back than arrives, larger slices take less of it back in all.
 */
const MERGING_MAX = 12

const HIDE_TRIGGERS = `savepoint _quorate_hide; pragma writable_schema = on;
  delete from sqlite_schema where type = 'trigger'; pragma writable_schema = reset`

/** A changeset that waits to be applied together with its neighbours. */
interface Waiting {
  readonly entry: Entry
  readonly bytes: Uint8Array
}

/** What one `apply` command did. */
export interface AppliedSlice {
  /** The last entry applied. */
  readonly index: LogIndex
  /** What is known of the origins, if it changed. */
  readonly origins: OriginsState | null
  readonly merged: Merged | null
}

export class Applier {
  readonly #origins: Origins
  readonly #merging: OriginApplier
  readonly #applier: Connection
  readonly #rows: RowApplier
  readonly #log: Log
  readonly #beforeDdl: () => void
  /** The schema version at which triggers were hidden; null if they may be visible. */
  #hiddenAt: number | null = null
  /** How often what is in the TEMP schema had been made then. */
  #hiddenWith = 0
  #dearness = MERGING_MAX
  #waiting: Waiting[] = []
  /** Rows that wait. No table has rows both here and in changesets, so that their order is free. */
  #waitingRows: Waiting[] = []
  /** What waits to be set in sqlite_sequence. */
  readonly #sequences = new Map<string, bigint | null>()
  readonly #sequenceTable: SequenceTable

  /** @param beforeDdl called before each DDL statement */
  constructor(connections: Connections, log: Log, origins: Origins, beforeDdl: () => void) {
    this.#beforeDdl = beforeDdl
    this.#origins = origins
    this.#merging = new OriginApplier(origins, connections.applier.db, {
      flush: () => this.#flush(),
      run: (sql) => this.#ddl(sql),
    })
    this.#applier = connections.applier
    this.#rows = new RowApplier(connections.applier)
    this.#sequenceTable = new SequenceTable(connections.applier)
    this.#log = log
  }

  /**
   * Applies logged entries through `to`, or as many as make a good slice; stops right after a
   * `verify` entry. It may apply nothing, having only prepared to: then it is to be called again.
   *
   * Throws LOG_CORRUPT if an entry does not fit the data: replicas would differ. With several
   * origins also MERGE_FUNCTION_MISSING.
   */
  apply(to: LogIndex): AppliedSlice {
    const log = this.#log
    const before = this.#origins.state
    let applied = log.applied
    const slice = applied < to ? this.#slice(next(applied), to) : []
    if (before !== null && !this.#merging.prepare(slice)) {
      return { index: applied, origins: null, merged: null }
    }
    this.#within('apply', () => {
      // What was executed here comes before.
      if (slice.length > 0) this.#origins.note()
      for (const entry of slice) {
        this.#entry(entry)
        applied = entry.index
      }
      this.#flush()
      log.saveApplied(this.#applier, applied)
      if (before !== null) this.#finish(applied)
      // What may be applied is committed; the hint spares a restarted node some waiting.
      if (to > log.state.commit) log.saveCommit(to)
    })
    log.notedApplied(applied)
    if (to > log.state.commit) log.notedCommit(to)
    const after = this.#origins.state
    const origins = after === before ? null : after
    const merged = this.#merging.report()
    if (merged !== null) this.#weigh(merged)
    return { index: applied, origins, merged }
  }

  #weigh({ transactions, takenBack }: Merged): void {
    const dearness = takenBack > transactions ? this.#dearness / 2 : this.#dearness * 2
    this.#dearness = Math.min(MERGING_MAX, Math.max(1, dearness))
  }

  /** With several origins: what goes with the entries that have been applied. */
  #finish(applied: LogIndex): void {
    this.#origins.refresh()
    this.#merging.tidy()
    this.#origins.noted(applied)
  }

  #entry(entry: Entry): void {
    if (entry.kind === 'merge') this.#merging.merge(entry.body, entry.index)
    if (entry.kind !== 'data' && entry.kind !== 'schema') return
    const { own, operations } = decodeBatch(entry.body)
    if (own !== undefined) this.#merging.own(own, entry.index, entry.kind)
    for (const operation of operations) this.#do(entry, operation)
  }

  /** Read before anything is done: DDL finds the database locked while a SELECT is under way. */
  #slice(from: LogIndex, to: LogIndex): readonly Entry[] {
    const slice: Entry[] = []
    let bytes = 0
    for (const entry of this.#log.entries(from, to)) {
      slice.push(entry)
      bytes += entry.body.length * (entry.kind === 'merge' ? this.#dearness : 1)
      if (entry.kind === 'verify' || entry.kind === 'schema') break
      if (bytes >= SLICE_BYTES || slice.length >= SLICE_ENTRIES) break
    }
    return slice
  }

  /**
   * Takes applied entries back, the last one first, and does `also` in the same transaction.
   *
   * Throws LOG_CORRUPT if one does not fit the data; nothing has changed then.
   */
  undo(entries: readonly Entry[], also: () => void): void {
    this.#within('undo', () => {
      for (const entry of entries.toReversed()) {
        const { index, kind } = entry
        assert(kind !== 'schema' && kind !== 'merge', () => `${kind} ${index} applied uncommitted`)
        if (kind !== 'data') continue
        const { own, operations } = decodeBatch(entry.body)
        for (const operation of operations.toReversed()) this.#do(entry, inverse(operation))
        if (own !== undefined) this.#merging.undo(own)
      }
      this.#flush()
      also()
    })
  }

  /** See Origins.asOf. */
  asOf<T>(time: ClockTime, since: LogIndex, work: () => T): T | null {
    try {
      return this.#origins.asOf(time, since, () => this.#hideTriggers(), work)
    } finally {
      this.#rolledBack()
    }
  }

  /** The rollback may have brought the real schema back. */
  #rolledBack(): void {
    this.#hiddenAt = null
    this.#rows.forget()
    this.#sequenceTable.forget()
  }

  #within(verb: 'apply' | 'undo', run: () => void): void {
    try {
      this.#origins.transaction(run)
    } catch (cause) {
      this.#rolledBack()
      this.#merging.abandon()
      this.#waiting = []
      this.#waitingRows = []
      this.#sequences.clear()
      if (!(cause instanceof Misfit)) throw cause
      const { index, term } = cause.entry
      const detail = `Can't ${verb} entry ${index} of term ${term}: ${cause.message}.`
      throw new QuorateError('LOG_CORRUPT', detail, {}, { cause: cause.cause })
    }
  }

  #do(entry: Entry, operation: Operation): void {
    switch (operation.kind) {
      case 'changeset':
        this.#waiting.push({ entry, bytes: operation.bytes })
        break
      case 'rows':
        this.#waitingRows.push({ entry, bytes: operation.bytes })
        break
      case 'ddl':
        this.#flush()
        try {
          this.#ddl(operation.sql)
        } catch (cause) {
          throw new Misfit(entry, String(cause), cause)
        }
        break
      case 'sequence':
        for (const { table, after } of operation.rows) this.#sequences.set(table, after)
        break
      // Nothing else touches these, so they need not wait for the rows before them.
      case 'pragma':
        this.#applier.db.exec(`pragma ${operation.name} = ${operation.after}`)
        break
    }
  }

  #putRows(waiting: readonly Waiting[]): void {
    this.#hideTriggers()
    for (const { entry, bytes } of waiting) {
      try {
        this.#rows.apply(bytes)
      } catch (cause) {
        const constraint = ((cause as { errcode?: number }).errcode ?? 0) % 256 === 19
        if (!constraint && !(cause instanceof RowMisfit)) throw cause
        throw new Misfit(entry, (cause as Error).message, cause)
      }
    }
  }

  #ddl(sql: string): void {
    this.#beforeDdl()
    this.#origins.outdate()
    this.#applier.db.exec('pragma writable_schema = reset')
    this.#hiddenAt = null
    this.#applier.db.exec(sql)
  }

  /**
   * Applies what waits. Rows that come into an AUTOINCREMENT table move its sequence as they do in
   * any INSERT; afterwards it is what the entries say, and otherwise what it was.
   */
  #flush(): void {
    const [waiting, rows] = [this.#waiting, this.#waitingRows]
    const { waits } = this.#merging
    if (waiting.length + rows.length + this.#sequences.size === 0 && !waits) return
    this.#waiting = []
    this.#waitingRows = []
    const before = this.#sequenceTable.read()
    if (waiting.length > 0) this.#changesets(waiting)
    if (rows.length > 0) this.#putRows(rows)
    if (waits) {
      this.#origins.refresh()
      this.#hideTriggers()
      this.#merging.flush()
    }
    if (before !== null) {
      for (const [table, value] of this.#sequences) before.set(table, value)
      this.#sequenceTable.restore(before)
    }
    this.#sequences.clear()
  }

  /**
   * As one changeset: SQLite prepares statements and copies pages for each one, which for small
   * entries takes several times as long as their rows. Changesets may be concatenated, but rows
   * that meet a constraint are tried again at the end of the whole instead of their own; if later
   * ones need them before, nothing has happened, and it is done one by one.
   */
  #changesets(waiting: readonly Waiting[]): void {
    this.#hideTriggers()
    const { db } = this.#applier
    const all = waiting.map(({ bytes }) => bytes)
    if (all.length > 1 && applied(db, concatenate(all))) return
    for (const { entry, bytes } of waiting) {
      if (!applied(db, bytes)) throw new Misfit(entry, misfitOf(db, bytes))
    }
  }

  /**
   * In a transaction that has changed any schema, TEMP included, the rollback to a savepoint brings
   * triggers back; hiding them makes SQLite forget that it has.
   */
  #hideTriggers(): void {
    const version = this.#applier.schemaVersion()
    const { readings } = this.#origins
    if (this.#hiddenAt === version && this.#hiddenWith === readings) return
    const { db } = this.#applier
    db.exec(HIDE_TRIGGERS)
    // Any statement on a table loads the whole schema, now without triggers.
    db.prepare('select 1 from _quorate_state').get()
    db.exec('rollback to _quorate_hide; release _quorate_hide')
    this.#hiddenAt = version
    this.#hiddenWith = readings
  }
}

function inverse(operation: Operation): Operation {
  switch (operation.kind) {
    case 'changeset':
    case 'rows':
      return { kind: operation.kind, bytes: invertChangeset(operation.bytes) }
    case 'sequence':
      return {
        kind: 'sequence',
        rows: operation.rows.map(({ table, before, after }) => ({
          table,
          before: after,
          after: before,
        })),
      }
    case 'pragma':
      return { ...operation, before: operation.after, after: operation.before }
    case 'ddl':
      throw new QuorateError('LOG_CORRUPT', 'DDL has no inverse.')
  }
}

/** False: a row is not as the changeset expects it, and nothing was applied. */
function applied(db: DatabaseSync, bytes: Uint8Array): boolean {
  return db.applyChangeset(bytes, { onConflict: () => constants.SQLITE_CHANGESET_ABORT })
}

/** What kept a changeset from being applied; runs it again to see. */
function misfitOf(db: DatabaseSync, bytes: Uint8Array): string {
  let table = ''
  let type = 0
  db.applyChangeset(bytes, {
    filter: (name) => {
      table = name
      return true
    },
    onConflict: (conflict) => {
      type = conflict
      return constants.SQLITE_CHANGESET_ABORT
    },
  })
  return `a row of table ${table} is not as expected (conflict ${type})`
}

/** An entry and the data don't go together. */
class Misfit extends Error {
  override readonly name = 'Misfit'
  readonly entry: Entry

  constructor(entry: Entry, message: string, cause?: unknown) {
    super(message, { cause })
    this.entry = entry
  }
}
