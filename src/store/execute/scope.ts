/**
 * What a transaction of a program is to SQLite. Most are savepoints of the batch's transaction
 * (BatchScope). Some need a SQLite transaction to themselves (OwnScope): interactive ones, those
 * that SQLite may roll back as a whole, those whose foreign keys are checked at COMMIT, and DDL.
 */
import { unreachable } from '../../base/assert.ts'
import { QuorateError } from '../../base/errors.ts'
import { LIMITS } from '../../base/limits.ts'
import type { Entry, Operation, WriteRecord } from '../../model/entry.ts'
import type { Connections, Internal } from '../connections.ts'
import type { OwnCapture } from '../origins/own-capture.ts'
import { Ddl, type Writing } from '../schema/ddl.ts'
import { foreignKeyViolations } from '../schema/foreign-keys.ts'
import type { Schema } from '../schema/schema.ts'
import type { Capture } from './capture.ts'
import { ChangeCount } from './change-count.ts'
import type { Classified } from './classify.ts'
import type { ReplicatedPragma, SettingName } from './pragmas.ts'
import type { Settings } from './settings.ts'
import { mapSqliteError } from './statement.ts'

export interface Scope {
  /** What the program did so far is not committed, though to the program it is. */
  readonly pending: boolean
  begin(): void
  /** Throws what COMMIT says; the transaction is open still. */
  commit(): void
  rollback(): void
  /** The client set a savepoint: what `rolledBackTo` needs to know of it. */
  mark(): number
  rolledBackTo(mark: number): void
  beforePragma(name: ReplicatedPragma): void
  ddl(statement: Classified): void
  set(name: SettingName, on: boolean): void
  deferForeignKeys(on: boolean): void
  /** A statement is about to ask for changes(), which should be this. */
  beforeCount(changes: number): void
  /** SQLite has rolled its transaction back on its own, as OR ROLLBACK does. */
  lost(): void
}

/** Everybody's transaction was rolled back for one program's sake: run them one by one. */
export class BatchLost extends Error {
  override readonly name = 'BatchLost'
}

/** Transactions as savepoints of one SQLite transaction that somebody else begins and ends. */
export class BatchScope implements Scope {
  readonly pending = false
  readonly #capture: Capture
  readonly #own: OwnCapture
  readonly #savepoint: Internal
  readonly #release: Internal
  readonly #rollbackTo: Internal

  /** @param own records each transaction, if there are several origins */
  constructor({ writer }: Connections, capture: Capture, own: OwnCapture) {
    this.#capture = capture
    this.#own = own
    this.#savepoint = writer.internal('savepoint _quorate_tx')
    this.#release = writer.internal('release _quorate_tx')
    this.#rollbackTo = writer.internal('rollback to _quorate_tx')
  }

  begin(): void {
    this.#own.begin()
    this.#savepoint.run()
  }

  commit(): void {
    this.#release.run()
    this.#own.commit()
  }

  rollback(): void {
    this.#rollbackTo.run()
    this.#release.run()
    this.#own.rollback()
    this.#capture.rolledBack()
  }

  /** SQLite's session forgets what was rolled back; without DDL little else has to. */
  mark(): number {
    return 0
  }

  rolledBackTo(): void {
    this.#capture.rolledBack()
  }

  beforePragma(name: ReplicatedPragma): void {
    this.#capture.beforePragma(name)
  }

  ddl(statement: Classified): void {
    unreachable(statement as never)
  }

  set(name: SettingName): void {
    unreachable(name as never)
  }

  deferForeignKeys(on: boolean): void {
    unreachable(on as never)
  }

  /** Nothing is logged while the batch runs. */
  beforeCount(): void {}

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
  readonly #settings: Settings
  readonly #ddl: Ddl
  readonly #outlet: Outlet
  readonly interactive: boolean
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

  /** @param interactive it may stay open between programs */
  constructor(writing: Writing, outlet: Outlet, interactive: boolean) {
    const { connections, schema, capture, settings } = writing
    this.interactive = interactive
    this.#connections = connections
    this.#schema = schema
    this.#capture = capture
    this.#settings = settings
    this.#ddl = new Ddl(writing)
    this.#outlet = outlet
  }

  /**
   * A transaction with DDL has been tried. On a stream, whose transaction answers before it
   * commits, data of an earlier one count as well.
   */
  get pending(): boolean {
    return this.#tried > 0 || (this.interactive && this.entries.length > 0)
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
    if (this.#isUnguarded()) this.#checkForeignKeys()
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
    if (this.#deferred || this.#schema.facts.deferred.size > 0 || this.#isUnguarded()) {
      this.#checkForeignKeys()
    }
    if (this.#tried > 0) writer.db.exec('release _quorate_tx')
    this.#tried += 1
  }

  /**
   * Foreign keys are off where they must hold in the end: other origins keep them, and would leave out
   * what breaks them.
   */
  #isUnguarded(): boolean {
    return this.#schema.facts.merging !== null && !this.#settings.isOn('foreign_keys')
  }

  /** No new violations. The applier still sees the database as it was before. */
  #checkForeignKeys(): void {
    const { writer, applier } = this.#connections
    if (!this.#settings.isOn('foreign_keys') && !this.#isUnguarded()) return
    const after = foreignKeyViolations(writer)
    if (after === 0 || after <= foreignKeyViolations(applier)) return
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

  /** Among several origins it is a change of the schema. */
  beforePragma(name: ReplicatedPragma): void {
    this.#capture.beforePragma(name)
    if (this.#schema.facts.merging !== null) this.#hasDdl = true
  }

  ddl(statement: Classified): void {
    const { effect, deletedParents } = this.#ddl.run(statement)
    this.#hasDdl ||= effect
    this.#deferred ||= deletedParents
  }

  set(name: SettingName, on: boolean): void {
    if (name === 'ignore_check_constraints' && on && this.#schema.facts.merging !== null) {
      throw new QuorateError(
        'SQL_REFUSED',
        'With several leaders CHECK constraints stay on: the other origins would leave out what breaks them.',
      )
    }
    this.#settings.set(name, on)
    this.#schema.statements.clear()
  }

  deferForeignKeys(on: boolean): void {
    const { db } = this.#connections.writer
    if (db.isTransaction) {
      db.exec(`pragma defer_foreign_keys = ${on ? 'on' : 'off'}`)
      this.#deferred ||= on
    } else this.#deferNext = on
  }

  beforeCount(changes: number): void {
    if (this.entries.length > 0) new ChangeCount(this.#connections.writer).set(changes)
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

function sizeOf(operations: readonly Operation[]): number {
  return operations.reduce(
    (sum, operation) => sum + ('bytes' in operation ? operation.bytes.length : 0),
    0,
  )
}
