/**
 * What a transaction of a program is to SQLite. Most are savepoints of the batch's transaction
 * (BatchScope). Some need a SQLite transaction to themselves (OwnScope): interactive ones, those
 * that SQLite may roll back as a whole, those whose foreign keys are checked at COMMIT, and DDL.
 */
import { unreachable } from '../base/assert.ts'
import { QuorateError } from '../base/errors.ts'
import { LIMITS } from '../base/limits.ts'
import type { Entry, Operation, WriteRecord } from '../model/entry.ts'
import type { Capture } from './capture.ts'
import type { Classified } from './classify.ts'
import type { Connection, Connections, Internal } from './connections.ts'
import type { Schema } from './schema.ts'
import { checkTables, dropNullGuards, quote } from './schema-guard.ts'
import { mapSqliteError } from './statement.ts'

export interface Scope {
  begin(): void
  /** Throws what COMMIT says; the transaction is open still. */
  commit(): void
  rollback(): void
  /** The client set a savepoint: what `rolledBackTo` needs to know of it. */
  mark(): number
  rolledBackTo(mark: number): void
  beforePragma(name: 'user_version' | 'application_id'): void
  ddl(statement: Classified): void
  setForeignKeys(on: boolean): void
  deferForeignKeys(on: boolean): void
  /** SQLite has rolled its transaction back on its own, as OR ROLLBACK does. */
  lost(): void
}

/** Everybody's transaction was rolled back for one program's sake: run them one by one. */
export class BatchLost extends Error {
  override readonly name = 'BatchLost'
}

/** Transactions as savepoints of one SQLite transaction that somebody else begins and ends. */
export class BatchScope implements Scope {
  readonly #capture: Capture
  readonly #savepoint: Internal
  readonly #release: Internal
  readonly #rollbackTo: Internal

  constructor({ writer }: Connections, capture: Capture) {
    this.#capture = capture
    this.#savepoint = writer.internal('savepoint _quorate_tx')
    this.#release = writer.internal('release _quorate_tx')
    this.#rollbackTo = writer.internal('rollback to _quorate_tx')
  }

  begin(): void {
    this.#savepoint.run()
  }

  commit(): void {
    this.#release.run()
  }

  rollback(): void {
    this.#rollbackTo.run()
    this.#release.run()
  }

  /** SQLite's session forgets what was rolled back; without DDL nothing else has to. */
  mark(): number {
    return 0
  }

  rolledBackTo(): void {}

  beforePragma(name: 'user_version' | 'application_id'): void {
    this.#capture.beforePragma(name)
  }

  ddl(statement: Classified): void {
    unreachable(statement as never)
  }

  setForeignKeys(on: boolean): void {
    unreachable(on as never)
  }

  deferForeignKeys(on: boolean): void {
    unreachable(on as never)
  }

  lost(): void {
    throw new BatchLost('SQLite rolled the batch back')
  }
}

/** What an OwnScope hands its entries to. */
export interface Outlet {
  /** Logs and applies within the transaction that is open. */
  data(operations: readonly Operation[], write: WriteRecord | null): Entry
  /** The transaction has committed. */
  committed(entry: Entry): void
  /** Logs without applying, in a transaction of its own. */
  schema(operations: readonly Operation[], transactions: number, write: WriteRecord | null): Entry
}

/**
 * SQLite transactions of one program's or stream's own. Each that commits becomes an entry at once,
 * unless it holds DDL: then it is only tried. Its SQLite transaction stays open until the program
 * ends (so that later statements see it), is rolled back, and becomes a `schema` entry.
 */
export class OwnScope implements Scope {
  readonly entries: Entry[] = []
  readonly #connections: Connections
  readonly #schema: Schema
  readonly #capture: Capture
  readonly #outlet: Outlet
  /** The result so far, to be logged with what it did; set by whoever runs the program. */
  record: () => WriteRecord | null = () => null
  /** Tried transactions in the SQLite transaction that is open. */
  #tried = 0
  /** Where in the captured operations the transaction that is open began. */
  #start = 0
  #hasDdl = false
  #deferNext = false
  /** Whether something may have been broken that foreign keys would find at COMMIT. */
  #deferred = false

  constructor(connections: Connections, schema: Schema, capture: Capture, outlet: Outlet) {
    this.#connections = connections
    this.#schema = schema
    this.#capture = capture
    this.#outlet = outlet
  }

  /** A transaction with DDL has been tried and awaits the program's end. */
  get tried(): boolean {
    return this.#tried > 0
  }

  begin(): void {
    const { writer } = this.#connections
    if (this.#tried === 0) {
      this.#connections.begin(writer)
      this.#capture.start(true)
      this.#deferred = false
    }
    this.#start = this.#tried === 0 ? 0 : this.#capture.mark()
    if (this.#tried > 0) writer.db.exec('savepoint _quorate_tx')
    if (this.#deferNext) this.deferForeignKeys(true)
    this.#deferNext = false
  }

  commit(): void {
    if (this.#tried === 0 && !this.#hasDdl) this.#commitData()
    else this.#commitTried()
  }

  #commitData(): void {
    const { writer } = this.#connections
    const operations = this.#capture.peekData()
    const bytes = sizeOf(operations)
    if (bytes > LIMITS.entryBytesMax) {
      throw new QuorateError('TOO_LARGE', `The transaction's changes take ${bytes} bytes.`)
    }
    writer.db.exec('savepoint _quorate_commit')
    const entry = operations.length === 0 ? null : this.#outlet.data(operations, this.record())
    try {
      this.#connections.commit(writer)
    } catch (error) {
      if (writer.db.isTransaction) {
        writer.db.exec('rollback to _quorate_commit; release _quorate_commit')
      }
      throw mapSqliteError(error)
    }
    this.#capture.end()
    if (entry === null) return
    this.entries.push(entry)
    this.#outlet.committed(entry)
  }

  /** Checks what COMMIT would check, which is never reached. */
  #commitTried(): void {
    const { writer } = this.#connections
    checkTables(this.#schema.facts)
    if (this.#deferred || this.#schema.facts.deferred.size > 0) this.#checkForeignKeys()
    if (this.#tried > 0) writer.db.exec('release _quorate_tx')
    this.#tried += 1
  }

  /** No new violations. The applier still sees the database as it was before. */
  #checkForeignKeys(): void {
    const { writer, applier } = this.#connections
    if (!this.#enforces()) return
    const after = violations(writer)
    if (after === 0 || after <= violations(applier)) return
    throw new QuorateError('SQL_CONSTRAINT', 'FOREIGN KEY constraint failed.', {
      sqlite: 'SQLITE_CONSTRAINT',
    })
  }

  rollback(): void {
    const { writer } = this.#connections
    if (this.#tried === 0) this.#abandon()
    else {
      writer.db.exec('rollback to _quorate_tx; release _quorate_tx')
      this.#schema.forget()
      this.#capture.cut(this.#start)
    }
  }

  /** Rolls back everything, tried transactions too. */
  #abandon(): void {
    this.#capture.end()
    this.#connections.writer.rollback()
    if (this.#hasDdl) this.#schema.forget()
    this.#hasDdl = false
    this.#tried = 0
  }

  /** The program has ended outside a transaction: logs what was tried. */
  finish(): void {
    if (this.#tried === 0) return
    const operations = this.#capture.peekParts()
    const transactions = this.#tried
    this.#abandon()
    if (operations.length === 0) return
    this.entries.push(this.#outlet.schema(operations, transactions, this.record()))
  }

  /** Nothing of this stays open or is logged. */
  close(): void {
    this.#abandon()
  }

  mark(): number {
    return this.#capture.mark()
  }

  rolledBackTo(mark: number): void {
    if (this.#hasDdl) this.#schema.forget()
    this.#capture.cut(mark)
  }

  beforePragma(name: 'user_version' | 'application_id'): void {
    this.#capture.beforePragma(name)
  }

  ddl(statement: Classified): void {
    statement.prepare()
    // Guards on a table could get in the way of changing it; they are set again when needed.
    const dropsParent = this.#dropsParent(statement.name)
    dropNullGuards(this.#connections.writer)
    if (dropsParent) this.#dropParent(statement)
    else this.#runDdl(statement)
    this.#schema.forget()
  }

  #runDdl(statement: Classified): void {
    const { writer } = this.#connections
    this.#capture.ddl(statement.sql, () => {
      const before = writer.schemaVersion()
      try {
        writer.db.exec(statement.sql)
      } catch (error) {
        throw mapSqliteError(error)
      } finally {
        this.#schema.forget()
      }
      // IF NOT EXISTS and the like: nothing to log. ANALYZE may change statistics only.
      const effect = writer.schemaVersion() !== before || statement.keyword === 'ANALYZE'
      this.#hasDdl ||= effect
      return effect
    })
  }

  /** DROP TABLE of a table that a foreign key in force refers to. */
  #dropsParent(table: string): boolean {
    if (!this.#schema.facts.parents.has(table.toLowerCase()) || !this.#enforces()) return false
    const { writer } = this.#connections
    const there = "select 1 from sqlite_schema where type = 'table' and lower(name) = lower(?)"
    return writer.internal(there).row(table) !== undefined
  }

  #enforces(): boolean {
    return Number(this.#connections.writer.internal('pragma foreign_keys').row()?.[0]) === 1
  }

  /**
   * DROP TABLE deletes the rows first if a foreign key refers to them, with all that follows in
   * other tables. Replicas run DDL without foreign keys, so the deleting becomes a changeset.
   * Triggers don't fire when SQLite does it.
   */
  #dropParent(statement: Classified): void {
    const { writer } = this.#connections
    const mark = this.#capture.mark()
    this.#deferred = true
    writer.db.exec('savepoint _quorate_drop')
    try {
      const triggers = writer.internal(
        "select name from sqlite_schema where type = 'trigger' and lower(tbl_name) = lower(?)",
      )
      for (const [name] of triggers.rows(statement.name)) {
        writer.db.exec(`drop trigger main.${quote(String(name))}`)
      }
      writer.db.exec(`delete from main.${quote(statement.name)}`)
      this.#runDdl(statement)
    } catch (error) {
      if (writer.db.isTransaction) {
        writer.db.exec('rollback to _quorate_drop')
        this.#schema.forget()
        this.#capture.cut(mark)
      }
      throw mapSqliteError(error)
    } finally {
      if (writer.db.isTransaction) writer.db.exec('release _quorate_drop')
    }
  }

  setForeignKeys(on: boolean): void {
    const { db } = this.#connections.writer
    // SQLite ignores it inside a transaction, and so does this.
    db.exec(`pragma foreign_keys = ${on ? 'on' : 'off'}`)
  }

  deferForeignKeys(on: boolean): void {
    const { db } = this.#connections.writer
    if (db.isTransaction) {
      db.exec(`pragma defer_foreign_keys = ${on ? 'on' : 'off'}`)
      this.#deferred ||= on
    } else this.#deferNext = on
  }

  /** Throws if transactions that seemed done went with it. */
  lost(): void {
    const tried = this.#tried
    this.#abandon()
    if (tried > 0) {
      throw new QuorateError(
        'SQL_REFUSED',
        'ROLLBACK took the whole program back, because it also changes the schema.',
      )
    }
  }
}

/** Rows that refer to nothing. */
function violations(connection: Connection): number {
  try {
    return connection.internal('pragma foreign_key_check').rows().length
  } catch (error) {
    // A key that refers to columns without an index can't be checked, by COMMIT neither.
    if ((error as { errcode?: number }).errcode === 1) return 0
    throw error
  }
}

function sizeOf(operations: readonly Operation[]): number {
  return operations.reduce(
    (sum, operation) => sum + (operation.kind === 'changeset' ? operation.bytes.length : 0),
    0,
  )
}
