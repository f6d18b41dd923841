/** A read-only connection to the live database, and what belongs to it. */
import type { DatabaseSync, StatementSync } from 'node:sqlite'
import { type LogIndex, toLogIndex } from '../../base/brand.ts'
import { StatementCache } from '../execute/statement.ts'
import { openLive } from '../files/live-file.ts'
import { registerQuorateId, UuidSource } from '../ids/uuid.ts'
import { mayPrepare } from './reader-plan.ts'

export class ReaderConnection {
  readonly #db: DatabaseSync
  readonly cache: StatementCache
  /** To notice that another file has taken the place of this one. */
  readonly inode: number
  readonly #begin: StatementSync
  readonly #commit: StatementSync
  readonly #schemaVersion: StatementSync
  #applied: StatementSync | null = null
  #seenSchema: unknown = null

  constructor(path: string) {
    const { db, inode } = openLive(path, { readOnly: true, timeout: 5_000 })
    this.#db = db
    this.inode = inode
    registerQuorateId(db, new UuidSource())
    this.#begin = this.#db.prepare('begin')
    this.#commit = this.#db.prepare('commit')
    this.#schemaVersion = this.#db.prepare('pragma schema_version', { returnArrays: true })
    this.cache = new StatementCache(this.#db, mayPrepare)
  }

  /**
   * Begins a read transaction: drops what another schema made stale, and says which entry the
   * database is at.
   */
  begin(): LogIndex {
    this.#begin.run()
    const [version] = this.#schemaVersion.get() as unknown as [number]
    if (version !== this.#seenSchema) {
      this.cache.clear()
      this.#seenSchema = version
      this.#applied = this.#prepareApplied()
    }
    return toLogIndex(Number(this.#applied?.get()?.['value'] ?? 0))
  }

  /** Ends the read transaction. */
  end(): void {
    if (this.#db.isTransaction) this.#commit.run()
  }

  close(): void {
    this.cache.release()
    this.#db.close()
  }

  /** null in a file that belongs to no cluster yet. */
  #prepareApplied(): StatementSync | null {
    const table = this.#db
      .prepare("select 1 from sqlite_master where name = '_quorate_state'")
      .get()
    if (table === undefined) return null
    return this.#db.prepare("select value from _quorate_state where key = 'applied'")
  }
}
