/**
 * Records the transactions of a batch each for itself, as several origins need them. A session for
 * each would take as long as everything else together, so transactions of one statement share one
 * for as long as they touch different rows, and its changeset is split among them by rows.
 */
import type { Session } from 'node:sqlite'
import { withoutTables } from '../../model/changeset.ts'
import { splitChangeset } from '../../model/changeset-split.ts'
import type { Connection, Internal } from '../connections.ts'
import type { Schema } from '../schema/schema.ts'

/** A session that is open. */
interface Recording {
  readonly session: Session
  /** It records transactions that touch different rows; else one. */
  readonly shared: boolean
}

export class OwnCapture {
  readonly #writer: Connection
  readonly #schema: Schema
  #recording: Recording | null = null
  /** Transactions so far, those without effect included. */
  #count = 0
  /** By number of the transaction. */
  #changes: Uint8Array[] = []
  #lost = false
  #started = false
  /** Transactions before the session that is open. */
  #from = 0
  /** So many statements are recorded by themselves though they might share. */
  #alone = 0
  /** The program that runs shares a session. */
  #sharing = false
  /** A statement of it touched a row of another transaction. */
  #stopped = false
  readonly #savepoint: Internal
  readonly #release: Internal

  constructor(writer: Connection, schema: Schema) {
    this.#writer = writer
    this.#schema = schema
    this.#savepoint = writer.internal('savepoint _quorate_program')
    this.#release = writer.internal('release _quorate_program')
  }

  start(): void {
    this.#count = 0
    this.#changes = []
    this.#lost = false
    this.#started = true
    this.#sharing = false
    this.#alone = 0
  }

  /**
   * Runs one statement as a transaction.
   *
   * @param shares triggers see every row that it touches, so that it may share a session with its
   *   neighbours
   */
  statement<T>(shares: boolean, run: () => T): T {
    if (shares && this.#alone === 0) return this.#shared(run)
    if (shares) this.#alone -= 1
    this.begin()
    const result = run()
    this.commit()
    return result
  }

  /**
   * If it touches a row of a neighbour's, SQLite takes it back, and it runs once more under a new
   * session, which the next ones share.
   */
  #shared<T>(run: () => T): T {
    const { keys } = this.#schema
    if (this.#recording?.shared !== true) this.#open(true)
    this.#count += 1
    keys.transaction(this.#count)
    try {
      return run()
    } catch (error) {
      if (!keys.met) throw error
    }
    // All want the same row: running them twice would be for nothing.
    if (this.#count - this.#from <= 2) this.#alone = ALONE
    this.#open(!keys.isFull)
    keys.transaction(this.#count)
    return run()
  }

  /**
   * The same of a program with any number of transactions, each told by `begin` and `commit`: it is
   * rolled back and runs once more as a whole, each of its transactions recorded by itself.
   */
  sharedProgram<T>(run: () => T): T {
    if (this.#recording?.shared !== true) this.#open(true)
    this.#schema.keys.transaction(this.#count)
    this.#savepoint.run()
    this.#sharing = true
    this.#stopped = false
    const result = run()
    this.#sharing = false
    const again = this.#stopped || this.#schema.keys.met
    if (again) this.#writer.db.exec('rollback to _quorate_program')
    this.#release.run()
    if (!again) return result
    this.#schema.rolledBack()
    return run()
  }

  /** A transaction begins. Without `start` nothing is recorded. */
  begin(): void {
    if (!this.#started) return
    const { keys } = this.#schema
    this.#stopped ||= keys.met
    if (!this.#sharing) this.#open(false)
    this.#count += 1
    keys.transaction(this.#count)
  }

  commit(): void {
    if (!this.#sharing) this.#close()
  }

  /** The transaction that has begun is no more. */
  rollback(): void {
    if (!this.#sharing) this.#drop()
  }

  /**
   * What each transaction that had an effect changed, in their order. Null: that can't be told,
   * because something was changed that no trigger saw; then run them one by one.
   */
  finish(): readonly Uint8Array[] | null {
    this.#close()
    if (this.#lost) return null
    return this.#changes.filter(({ length }) => length > 0)
  }

  /** Ends recording, also after an error. */
  end(): void {
    this.#drop()
    this.#changes = []
    this.#started = false
  }

  /** Ends the session that is open, if any, so the next transaction must not be counted yet. */
  #open(shared: boolean): void {
    this.#close()
    this.#recording = { session: this.#writer.db.createSession(), shared }
    this.#from = this.#count
    if (shared) this.#schema.keys.start()
  }

  #close(): void {
    if (this.#recording === null) return
    const { session, shared } = this.#recording
    const changeset = session.changeset()
    const without = this.#schema.facts.merging?.shadow ?? NO_TABLES
    if (!shared) {
      this.#changes[this.#count] =
        without.size === 0 ? changeset : withoutTables(changeset, without)
    } else this.#split(changeset, without)
    this.#drop()
  }

  #split(changeset: Uint8Array, without: ReadonlySet<string>): void {
    const { keys } = this.#schema
    const parts = splitChangeset(changeset, (table, row) => keys.ownerOf(table, row), without)
    if (parts === null) this.#lost = true
    else for (const [number, changes] of parts) this.#changes[number] = changes
  }

  #drop(): void {
    this.#recording?.session.close()
    this.#recording = null
    this.#schema.keys.stop()
  }
}

const ALONE = 16
const NO_TABLES: ReadonlySet<string> = new Set()
