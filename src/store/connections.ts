/**
 * The two connections that write a replica's file, opened the same way everywhere.
 *
 * The writer runs what clients send: triggers fire, foreign keys are enforced. The applier puts
 * changesets and log rows in place: their effects are complete, so neither triggers (see apply.ts)
 * nor foreign-key actions nor CHECK may act there, and shadow tables of FTS5 must be writable.
 */
import { DatabaseSync, type Session, type StatementSync } from 'node:sqlite'
import { present } from '../base/assert.ts'
import { QuorateError } from '../base/errors.ts'
import { registerQuorateId, type UuidInputs, UuidSource } from './ids/uuid.ts'
import type { MergeParts } from './merge/parts.ts'
import type { MergeFunctions } from './merge/rule-book.ts'

/** How internal statements read: plain numbers, rows as arrays. */
const INTERNAL = { readBigInts: false, returnArrays: true } as const

/**
 * SQLite takes "text" for a string where no such column exists, unless told not to. Its shell and
 * libSQL have it so, and schemas that exist rely on it.
 */
export const DIALECT = { enableDoubleQuotedStringLiterals: true } as const

const SET_STATE = `insert into _quorate_state (key, value) values (?, ?)
  on conflict (key) do update set value = excluded.value where value is not excluded.value`

/** Page cache of each connection in KiB; negative is SQLite's way to say KiB. */
const CACHE = 'pragma cache_size = -16384'

export interface OpenOptions {
  /** How long a connection waits for another process's lock, in milliseconds. */
  readonly busyTimeoutMs?: number
  /** With several origins: the application's merge functions, by name. */
  readonly functions?: MergeFunctions
  /** For tests that plant faults. */
  readonly mergeParts?: MergeParts
  /** What quorate_id() makes its ids of; the system's clock and chance if not given. */
  readonly uuids?: UuidInputs
}

/** One internal statement, prepared when it is first used, because its table may come later. */
export class Internal {
  readonly #db: DatabaseSync
  readonly #sql: string
  #statement: StatementSync | null = null

  constructor(db: DatabaseSync, sql: string) {
    this.#db = db
    this.#sql = sql
  }

  get statement(): StatementSync {
    this.#statement ??= this.#db.prepare(this.#sql, INTERNAL)
    return this.#statement
  }

  run(...args: (number | string | bigint | Uint8Array | null)[]): void {
    // Not `run`: it tells the client's last rowid as a number, and throws if that is too large.
    this.statement.all(...args)
  }

  /** The first row, or undefined. */
  row(...args: (number | string)[]): readonly unknown[] | undefined {
    return this.statement.get(...args) as unknown as readonly unknown[] | undefined
  }

  rows(...args: (number | string)[]): readonly (readonly unknown[])[] {
    return this.statement.all(...args) as unknown as readonly (readonly unknown[])[]
  }
}

/** A connection with the statements that every transaction on it needs. */
export class Connection {
  readonly db: DatabaseSync
  readonly #begin: Internal
  readonly #commit: Internal
  readonly #schemaVersion: Internal
  readonly #dataVersion: Internal
  readonly #setState: Internal

  constructor(db: DatabaseSync) {
    this.db = db
    this.#begin = new Internal(db, 'begin immediate')
    this.#commit = new Internal(db, 'commit')
    this.#schemaVersion = new Internal(db, 'pragma schema_version')
    this.#dataVersion = new Internal(db, 'pragma data_version')
    this.#setState = new Internal(db, SET_STATE)
  }

  begin(): void {
    this.#begin.run()
  }

  commit(): void {
    this.#commit.run()
  }

  /** Rolls an open transaction back; no effect if SQLite did so already. */
  rollback(): void {
    if (this.db.isTransaction) this.db.exec('rollback')
  }

  /** Counts the schema's changes; the same for all connections. */
  schemaVersion(): number {
    return Number(this.#schemaVersion.row()?.[0])
  }

  /** Changes when another connection, of this process or any other, has committed. */
  dataVersion(): number {
    return Number(this.#dataVersion.row()?.[0])
  }

  /** Notes something of the store's own, in a transaction; no effect if it is noted already. */
  setState(key: string, value: number | string | Uint8Array): void {
    this.#setState.run(key, value)
  }

  internal(sql: string): Internal {
    return new Internal(this.db, sql)
  }
}

/** What a connection knows of the others' writes. */
interface Seen {
  version: number
  othersWrote: boolean
  /** Since it was asked for. */
  hasChanged: boolean
  /** It was looked at for a transaction that has not begun. */
  isLatest: boolean
}

/** Writer and applier, and a watch for writes of anybody else. */
export class Connections {
  readonly writer: Connection
  readonly applier: Connection
  readonly path: string
  /** Times that another process's write was noticed. */
  foreignWrites = 0
  /**
   * Records nothing. Without any session SQLite prepares a DELETE of all rows so that it clears the
   * table in one go; if it runs later, within a session, that one does not see it.
   */
  readonly #watcher: Session
  readonly #seen = new Map<Connection, Seen>()

  /** Throws FILE_IN_USE, NOT_ADOPTABLE (the file is no SQLite database). */
  constructor(path: string, options: OpenOptions = {}) {
    this.path = path
    const timeout = options.busyTimeoutMs ?? 5_000
    this.writer = open(path, { timeout })
    try {
      this.applier = open(path, { timeout, defensive: false, enableForeignKeyConstraints: false })
      // The leader has checked each row, with random() perhaps, or was told not to.
      this.applier.db.exec('pragma ignore_check_constraints = on')
    } catch (error) {
      this.writer.db.close()
      throw error
    }
    const uuids = new UuidSource(options.uuids)
    registerQuorateId(this.writer.db, uuids)
    registerQuorateId(this.applier.db, uuids)
    this.#watcher = this.writer.db.createSession({ table: '_quorate_none' })
    for (const connection of [this.writer, this.applier]) {
      const version = connection.dataVersion()
      const seen = { version, othersWrote: false, hasChanged: true, isLatest: false }
      this.#seen.set(connection, seen)
    }
  }

  close(): void {
    this.#watcher.close()
    // Whoever set an authorizer and the connection would keep each other for ever.
    this.writer.db.setAuthorizer(null)
    this.writer.db.close()
    this.applier.db.close()
  }

  /**
   * Begins a transaction, and first counts a foreign write: the file has changed though our own
   * other connection did not write. One that hides behind a write of our own goes unnoticed.
   */
  begin(connection: Connection): void {
    const seen = this.#seenBy(connection)
    if (!seen.isLatest) this.#look(connection, seen)
    seen.isLatest = false
    connection.begin()
  }

  /**
   * Whether another connection, of this process or any other, has committed since this was asked
   * last. The next `begin` spares itself the same look.
   */
  hasChanged(connection: Connection): boolean {
    const seen = this.#seenBy(connection)
    this.#look(connection, seen)
    const { hasChanged } = seen
    seen.hasChanged = false
    seen.isLatest = true
    return hasChanged
  }

  #look(connection: Connection, seen: Seen): void {
    const version = connection.dataVersion()
    if (version !== seen.version) {
      if (!seen.othersWrote) this.foreignWrites += 1
      seen.version = version
      seen.hasChanged = true
    }
    seen.othersWrote = false
  }

  #seenBy(connection: Connection): Seen {
    return present(this.#seen.get(connection), () => 'writer or applier')
  }

  /** Commits, and tells the other connection's watch to expect the change. */
  commit(connection: Connection): void {
    connection.commit()
    const other = this.#seen.get(connection === this.writer ? this.applier : this.writer)
    if (other !== undefined) other.othersWrote = true
  }

  /** Runs a function as one transaction; whatever it throws rolls back. */
  transaction<T>(connection: Connection, run: () => T): T {
    this.begin(connection)
    try {
      const result = run()
      this.commit(connection)
      return result
    } finally {
      connection.rollback()
    }
  }
}

function open(
  path: string,
  options: { timeout: number; defensive?: boolean; enableForeignKeyConstraints?: boolean },
): Connection {
  let db: DatabaseSync | null = null
  try {
    db = new DatabaseSync(path, { ...DIALECT, ...options })
    db.exec(`pragma journal_mode = wal; pragma synchronous = normal; pragma temp_store = memory;
      pragma wal_autocheckpoint = 0; ${CACHE}`)
    return new Connection(db)
  } catch (cause) {
    db?.close()
    throw openError(path, cause)
  }
}

function openError(path: string, cause: unknown): unknown {
  const code = (cause as { errcode?: number }).errcode
  if (code === 26) {
    return new QuorateError('NOT_ADOPTABLE', `${path} is not a SQLite database.`, {}, { cause })
  }
  if (code === 5) {
    return new QuorateError('FILE_IN_USE', `${path} is locked by another process.`, {}, { cause })
  }
  return cause
}
