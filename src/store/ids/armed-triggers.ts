/**
 * Makes the writer run triggers whose INSERTs are rewritten as clients' are (automatic-ids.ts),
 * while the file keeps them as they were made. SQLite believes in the schema that it has in memory
 * as long as its version is the file's: so inside a transaction the new texts are put into
 * sqlite_schema, loaded, and replaced by the old ones again. apply.ts hides triggers in much the
 * same way.
 *
 * SQLite loads the file's schema again after any change of the schema, and after a rollback of one,
 * of TEMP objects too. That shows: a statement prepared before is compiled anew then.
 */
import { QuorateError } from '../../base/errors.ts'
import type { Connection, Internal } from '../connections.ts'

const TRIGGERS = "select rowid, sql from main.sqlite_schema where type = 'trigger'"
const SET_TEXT = 'update main.sqlite_schema set sql = ? where rowid = ?'

export class ArmedTriggers {
  readonly #writer: Connection
  readonly #rewrite: (sql: string) => string | null
  readonly #compiled: () => number
  readonly #triggers: Internal
  readonly #setText: Internal
  /** Compiled when the triggers were put in place. */
  readonly #sentinel: Internal
  #armed = false

  /**
   * @param rewrite the text that runs instead; null: the trigger is fine as it is
   * @param compiled counts whatever statements of the connection do while they are compiled
   */
  constructor(writer: Connection, rewrite: (sql: string) => string | null, compiled: () => number) {
    this.#writer = writer
    this.#rewrite = rewrite
    this.#compiled = compiled
    this.#triggers = writer.internal(TRIGGERS)
    this.#setText = writer.internal(SET_TEXT)
    this.#sentinel = writer.internal('select 1 from main.sqlite_schema limit 0')
  }

  /** What they should be may have changed. */
  forget(): void {
    this.#armed = false
  }

  /** Sees to it that they are in place. In a transaction; nothing of the file changes. */
  arm(): void {
    if (this.#armed && !this.#isCompiledAnew()) return
    const triggers = this.#triggers.rows().flatMap(([rowid, sql]) => {
      const original = String(sql)
      const text = this.#rewrite(original)
      return text === null ? [] : [{ rowid: Number(rowid), original, text }]
    })
    if (triggers.length > 0) this.#replace(triggers)
    this.#isCompiledAnew()
    this.#armed = true
  }

  #isCompiledAnew(): boolean {
    const before = this.#compiled()
    this.#sentinel.rows()
    return this.#compiled() !== before
  }

  #replace(triggers: readonly { rowid: number; original: string; text: string }[]): void {
    const { db } = this.#writer
    db.enableDefensive(false)
    db.exec('savepoint _quorate_arm; pragma writable_schema = on')
    try {
      for (const { rowid, text } of triggers) this.#setText.run(text, rowid)
      db.exec('pragma writable_schema = reset')
      this.#load()
      db.exec('pragma writable_schema = on')
      for (const { rowid, original } of triggers) this.#setText.run(original, rowid)
      db.exec('pragma writable_schema = off; release _quorate_arm')
    } catch (error) {
      db.exec('rollback to _quorate_arm; release _quorate_arm; pragma writable_schema = reset')
      throw error
    } finally {
      db.enableDefensive(true)
    }
  }

  /** Any statement on a table makes SQLite read the whole schema. */
  #load(): void {
    try {
      this.#writer.db.prepare('select 1 from main._quorate_state').get()
    } catch (cause) {
      const reason = cause instanceof Error ? cause.message : String(cause)
      const detail = `A trigger inserts rows in a form that can't be given ids (${reason}). Name the columns, the id among them.`
      throw new QuorateError('SQL_REFUSED', detail, {}, { cause })
    }
  }
}
