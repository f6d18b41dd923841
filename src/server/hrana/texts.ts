/** SQL texts that a client stores under ids of its own, to send each only once. */
import { bad } from '../../model/fields.ts'
import type { HranaStep, SqlSource } from './protocol.ts'

/** Above what clients keep (30 and 100 texts, each under 5,000 characters). */
const TEXTS_MAX = 150
const CHARACTERS_MAX = 1_000_000

export class StoredTexts {
  readonly #texts = new Map<number, string>()
  #characters = 0

  /** Throws BAD_REQUEST if the id is taken or there is no room. */
  store(sqlId: number, sql: string): void {
    if (this.#texts.has(sqlId)) throw bad('sql_id', 'a new one', sqlId)
    const characters = this.#characters + sql.length
    if (this.#texts.size >= TEXTS_MAX || characters > CHARACTERS_MAX) {
      throw bad('store_sql', `within ${TEXTS_MAX} texts`, this.#texts.size)
    }
    this.#characters = characters
    this.#texts.set(sqlId, sql)
  }

  /** An unknown id is no error. */
  close(sqlId: number): void {
    this.#characters -= this.#texts.get(sqlId)?.length ?? 0
    this.#texts.delete(sqlId)
  }

  /** Throws BAD_REQUEST for an id that is not stored. */
  text(source: SqlSource): string {
    if ('sql' in source) return source.sql
    const sql = this.#texts.get(source.sqlId)
    if (sql === undefined) throw bad('sql_id', 'a stored one', source.sqlId)
    return sql
  }

  /** The same steps with their texts in place. Throws as `text`. */
  resolve(steps: readonly HranaStep[]): readonly HranaStep[] {
    return steps.map((step) => {
      const { statement } = step
      if ('sql' in statement.source) return step
      return { ...step, statement: { ...statement, source: { sql: this.text(statement.source) } } }
    })
  }

  clear(): void {
    this.#texts.clear()
    this.#characters = 0
  }
}
