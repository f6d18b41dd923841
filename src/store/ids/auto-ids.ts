/**
 * Automatic ids on the writer's connection where several origins write: statements and triggers that
 * leave an id to SQLite get one from NextId instead. With one leader nothing of this has any effect.
 */
import { constants } from 'node:sqlite'
import type { Token } from '../../model/sql-tokens.ts'
import type { Connection } from '../connections.ts'
import type { Prepared } from '../execute/statement.ts'
import { ArmedTriggers } from './armed-triggers.ts'
import { triggerWithIds, withIds } from './automatic-ids.ts'
import { type IdTable, readIdTables } from './id-tables.ts'
import { NextId } from './next-id.ts'

export class AutoIds {
  readonly #writer: Connection
  readonly #slot: () => number | null
  readonly #next: NextId
  readonly #triggers: ArmedTriggers
  #tables: ReadonlyMap<string, IdTable> | null = null
  /** Whether a trigger of a statement inserts where ids are automatic. */
  #nested = new WeakMap<Prepared, boolean>()

  /**
   * @param slot of the origin that writes here; null: there is one leader
   * @param compiled see ArmedTriggers
   */
  constructor(writer: Connection, slot: () => number | null, compiled: () => number) {
    this.#writer = writer
    this.#slot = slot
    this.#next = new NextId(writer, slot)
    const rewrite = (sql: string) => triggerWithIds(sql, this.#find)
    this.#triggers = new ArmedTriggers(writer, rewrite, compiled)
  }

  /** The text to run instead of a client's statement; null: it is fine as it is. */
  rewrite(sql: string, tokens: readonly Token[]): string | null {
    return this.#slot() === null ? null : withIds(sql, tokens, this.#find)
  }

  /** A statement is about to run, in a transaction: sees to it that its triggers give ids. */
  watchFor(prepared: Prepared): void {
    if (this.#slot() === null) return
    let nested = this.#nested.get(prepared)
    if (nested === undefined) {
      nested = prepared.actions.some(
        ({ code, first, within }) =>
          code === constants.SQLITE_INSERT && within !== null && this.#find(first ?? '') !== null,
      )
      this.#nested.set(prepared, nested)
    }
    this.#next.begin(nested)
    if (nested) this.#triggers.arm()
  }

  /** The schema may be another now. */
  forget(): void {
    this.#tables = null
    this.#nested = new WeakMap()
    this.#triggers.forget()
  }

  readonly #find = (name: string): IdTable | null => {
    this.#tables ??= readIdTables(this.#writer, (table, id, remembers) =>
      this.#next.numberOf(table, id, remembers),
    )
    return this.#tables.get(name.toLowerCase()) ?? null
  }
}
