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
import { constants } from 'node:sqlite'
import { assert } from '../base/assert.ts'
import { type LogIndex, next } from '../base/brand.ts'
import { QuorateError } from '../base/errors.ts'
import { invertChangeset } from '../model/changeset.ts'
import type { Entry, Operation } from '../model/entry.ts'
import { decodeBatch } from '../model/entry-codec.ts'
import type { Connection, Connections } from './connections.ts'
import type { Log } from './log.ts'

/** One `apply` command goes on until it has done this much: without a clock, counted. */
const SLICE_BYTES = 8 * 1024 * 1024
const SLICE_ENTRIES = 2_000

const HIDE_TRIGGERS = `savepoint _quorate_hide; pragma writable_schema = on;
  delete from sqlite_schema where type = 'trigger'; pragma writable_schema = reset`

export class Applier {
  readonly #connections: Connections
  readonly #applier: Connection
  readonly #log: Log
  /** The schema version at which triggers were hidden; null if they may be visible. */
  #hiddenAt: number | null = null

  constructor(connections: Connections, log: Log) {
    this.#connections = connections
    this.#applier = connections.applier
    this.#log = log
  }

  /**
   * Applies logged entries through `to`, or as many as make a good slice; stops right after a
   * `verify` entry. Returns the last index applied.
   *
   * Throws LOG_CORRUPT if an entry does not fit the data: replicas would differ.
   */
  apply(to: LogIndex): LogIndex {
    const log = this.#log
    let bytes = 0
    let count = 0
    let applied = log.applied
    this.#connections.transaction(this.#applier, () => {
      if (applied >= to) return
      for (const entry of log.entries(next(applied), to)) {
        this.#entry(entry)
        applied = entry.index
        bytes += entry.body.length
        count += 1
        if (entry.kind === 'verify' || entry.kind === 'schema') break
        if (bytes >= SLICE_BYTES || count >= SLICE_ENTRIES) break
      }
      log.saveApplied(this.#applier, applied)
      // What may be applied is committed; the hint spares a restarted node some waiting.
      if (to > log.state.log.commit) log.saveCommit(to)
    })
    log.notedApplied(applied)
    if (to > log.state.log.commit) log.notedCommit(to)
    return applied
  }

  #entry(entry: Entry): void {
    if (entry.kind !== 'data' && entry.kind !== 'schema') return
    try {
      for (const operation of decodeBatch(entry.body).operations) this.#do(operation)
    } catch (cause) {
      // A rollback may follow, and it would bring the real schema back unnoticed.
      this.#hiddenAt = null
      throw cannot('apply', entry, cause)
    }
  }

  /** Takes an applied `data` entry back, within the transaction that is open. */
  undo(entry: Entry): void {
    if (entry.kind !== 'data') {
      assert(entry.kind !== 'schema', () => `schema entry ${entry.index} applied uncommitted`)
      return
    }
    try {
      const { operations } = decodeBatch(entry.body)
      for (const operation of operations.toReversed()) this.#do(inverse(operation))
    } catch (cause) {
      this.#hiddenAt = null
      throw cannot('undo', entry, cause)
    }
  }

  #do(operation: Operation): void {
    switch (operation.kind) {
      case 'changeset':
        this.#hideTriggers()
        applyChangeset(this.#applier, operation.bytes)
        break
      case 'ddl':
        this.#applier.db.exec('pragma writable_schema = reset')
        this.#hiddenAt = null
        this.#applier.db.exec(operation.sql)
        break
      case 'sequence':
        for (const { table, after } of operation.rows) setSequence(this.#applier, table, after)
        break
      case 'pragma':
        this.#applier.db.exec(`pragma ${operation.name} = ${operation.after}`)
        break
    }
  }

  #hideTriggers(): void {
    const version = this.#applier.schemaVersion()
    if (this.#hiddenAt === version) return
    const { db } = this.#applier
    db.exec(HIDE_TRIGGERS)
    // Any statement on a table loads the whole schema, now without triggers.
    db.prepare('select 1 from _quorate_state').get()
    db.exec('rollback to _quorate_hide; release _quorate_hide')
    this.#hiddenAt = version
  }
}

function inverse(operation: Operation): Operation {
  switch (operation.kind) {
    case 'changeset':
      return { kind: 'changeset', bytes: invertChangeset(operation.bytes) }
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

/** Throws LOG_CORRUPT at the first row that is not as the changeset expects it. */
function applyChangeset(applier: Connection, bytes: Uint8Array): void {
  let table = ''
  let conflict: number | null = null
  const done = applier.db.applyChangeset(bytes, {
    filter: (name) => {
      table = name
      return true
    },
    onConflict: (type) => {
      conflict = type
      return constants.SQLITE_CHANGESET_ABORT
    },
  })
  if (done) return
  throw new QuorateError(
    'LOG_CORRUPT',
    `A row of table ${table} is not as expected (conflict ${conflict ?? 'unknown'}).`,
  )
}

function setSequence(applier: Connection, table: string, value: bigint | null): void {
  if (value === null) {
    applier.internal('delete from sqlite_sequence where name = ?').run(table)
    return
  }
  const there = applier.internal('select 1 from sqlite_sequence where name = ?').row(table)
  const sql =
    there === undefined
      ? 'insert into sqlite_sequence (seq, name) values (?, ?)'
      : 'update sqlite_sequence set seq = ? where name = ?'
  applier.internal(sql).run(value, table)
}

function cannot(verb: 'apply' | 'undo', entry: Entry, cause: unknown): QuorateError {
  const why = cause instanceof QuorateError ? cause.detail : String(cause)
  const detail = `Can't ${verb} entry ${entry.index} of term ${entry.term}: ${why}`
  return new QuorateError('LOG_CORRUPT', detail, {}, { cause })
}
