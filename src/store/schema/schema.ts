/** The writer's view of the schema: its facts and its statements, for as long as it stays as it is. */

import type { Connection } from '../connections.ts'
import { isWrite, Statements } from '../execute/classify.ts'
import { RowWatch } from '../execute/row-watch.ts'
import type { Prepared } from '../execute/statement.ts'
import { AutoIds } from '../ids/auto-ids.ts'
import { KeyWatch } from '../origins/key-watch.ts'
import { quote } from '../quote.ts'
import { readFacts, type SchemaFacts } from './schema-guard.ts'

export class Schema {
  readonly statements: Statements
  readonly rows: RowWatch
  readonly keys: KeyWatch
  readonly #ids: AutoIds
  readonly #writer: Connection
  readonly #slot: () => number | null
  #facts: SchemaFacts | null = null
  /** At which generation of `rows` and `keys` a statement's tables were watched. */
  readonly #ready = new WeakMap<Prepared, number>()
  #version = -1

  /**
   * @param slot of the origin that writes here, see AutoIds; null: there is one leader, which may be
   *   so until some moment only
   */
  constructor(writer: Connection, slot: () => number | null) {
    this.#writer = writer
    this.#slot = slot
    this.rows = new RowWatch(writer)
    this.keys = new KeyWatch(writer)
    this.#ids = new AutoIds(writer, slot, () => this.statements.judged)
    this.statements = new Statements(writer.db, () => this.facts, {
      watchFor: (prepared) => {
        this.#watchFor(prepared)
        this.#ids.watchFor(prepared)
      },
      copying: (table, run) => this.#copying(table, run),
      rewrite: (sql, tokens) => this.#ids.rewrite(sql, tokens),
    })
  }

  /** Read when first asked for. */
  get facts(): SchemaFacts {
    if (this.#facts === null) {
      this.#facts = readFacts(this.#writer, this.#slot() !== null)
      this.#version = this.#writer.schemaVersion()
    }
    return this.#facts
  }

  /** Forgets what another connection's DDL made wrong. Outside a transaction. */
  refresh(): void {
    if (this.#writer.schemaVersion() !== this.#version) this.forget()
    this.facts
  }

  /** Sees to it that changes of rows are noticed that the session extension doesn't record. */
  watch(): void {
    this.rows.watch(this.facts.watched)
    this.keys.watch(this.facts.merging?.keyed ?? [])
  }

  /** As `watch`, of the tables that a statement may write, itself or by triggers and foreign keys. */
  #watchFor(prepared: Prepared): void {
    const { watched, merging } = this.facts
    const keyed = merging?.keyed ?? []
    const generation = this.rows.generation + this.keys.generation
    if (watched.length + keyed.length === 0 || this.#ready.get(prepared) === generation) return
    const written = new Set(prepared.actions.filter(isWrite).map(({ first }) => first))
    this.rows.watch(watched.filter(({ name }) => written.has(name)))
    this.keys.watch(keyed.filter(({ name }) => written.has(name)))
    this.#ready.set(prepared, generation)
  }

  /**
   * SQLite copies a table into an empty one without looking at the rows, so that they keep their
   * rowids, but not if there are triggers. So it does it unwatched, and all rows are new.
   */
  #copying<T>(name: string, run: () => T): T {
    const same = (one: string) => one.toLowerCase() === name.toLowerCase()
    const table = this.facts.watched.find((one) => same(one.name))
    if (table === undefined || !this.#isEmpty(table.name)) return run()
    this.rows.clear(table.name)
    try {
      return run()
    } finally {
      this.rows.touchAll(table)
    }
  }

  #isEmpty(table: string): boolean {
    return this.#writer.internal(`select 1 from main.${quote(table)} limit 1`).row() === undefined
  }

  /** A transaction begins. */
  begun(): void {
    this.rows.begun()
    this.keys.begun()
  }

  /** A part of the transaction was rolled back. */
  rolledBack(): void {
    this.rows.rolledBack()
    this.keys.rolledBack()
  }

  /** Takes triggers of ours off a table, or off all, which DDL would take for parts of them. */
  unwatch(table?: string): void {
    this.rows.clear(table)
    this.keys.clear(table)
  }

  /** The schema may have changed, also back by a rollback. */
  forget(): void {
    this.#facts = null
    this.#version = -1
    this.statements.clear()
    this.rows.forget()
    this.keys.forget()
    this.#ids.forget()
  }

  /** Another connection is about to run DDL: its tables must not have triggers then. */
  release(): void {
    this.forget()
    this.unwatch()
  }
}
