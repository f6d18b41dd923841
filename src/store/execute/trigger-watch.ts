/**
 * Keeps TEMP triggers of ours on tables of the writer's connection, for as long as the schema, and
 * rollbacks, let them be. They call functions of this process and write nothing, so they never get
 * into the file and change nothing that a client can see.
 */
import type { Connection, Internal } from '../connections.ts'
import { quote } from '../quote.ts'

/** Name and text of a trigger, the text from the name on, as SQLite keeps it. */
export type TriggerText = readonly [name: string, sql: string]

export abstract class TriggerWatch<T extends { readonly name: string }> {
  protected readonly writer: Connection
  readonly #all: Internal
  readonly #numbers = new Map<string, number>()
  /** Names of tables by their numbers, under which triggers speak of them. */
  protected readonly names: string[] = []
  /** Tables whose triggers are in place for certain, by name. */
  readonly #watched = new Map<string, T>()
  /** Counts up whenever triggers may have gone. */
  generation = 0
  /** Triggers came or went in the transaction that is open. */
  #changed = false

  /** @param prefix what names of these triggers, and of no others, begin with */
  constructor(writer: Connection, prefix: string) {
    this.writer = writer
    this.#all = writer.internal(`select name, tbl_name, sql from sqlite_temp_schema
      where type = 'trigger' and name like '${prefix.replaceAll('_', '\\_')}%' escape '\\'`)
  }

  /** The triggers that a table needs. */
  protected abstract triggersOf(table: T, number: number): Iterable<TriggerText>

  /** Sees to it that these tables are watched. */
  watch(tables: readonly T[]): void {
    for (const table of tables) {
      if (this.#watched.get(table.name) === table) continue
      this.#set(table)
      this.#watched.set(table.name, table)
    }
  }

  #set(table: T): void {
    const wanted = new Map(this.triggersOf(table, this.#number(table.name)))
    const there: string[] = []
    for (const [name, sql] of this.#triggers(table.name)) {
      // SQLite keeps the text from the name on.
      if (wanted.get(name) === sql.slice('CREATE TRIGGER '.length)) there.push(name)
      else this.#drop(name)
    }
    if (there.length === wanted.size) this.#refresh(wanted, there)
    for (const name of there) wanted.delete(name)
    for (const sql of wanted.values()) {
      this.writer.db.exec(`create temp trigger ${sql}`)
      this.#changed = true
    }
  }

  /**
   * They came back with a rollback, which SQLite may not have noticed (a failed ALTER makes it read
   * the schema anew in between): statements may be compiled without them. Any change of the TEMP
   * schema makes SQLite compile all of them again.
   */
  #refresh(triggers: ReadonlyMap<string, string>, [name = '']: readonly string[]): void {
    if (name === '') return
    this.writer.db.exec(`drop trigger temp.${quote(name)};
      create temp trigger ${triggers.get(name)}`)
  }

  /** Name and text of those that are there for a table, or for any. */
  #triggers(table?: string): readonly TriggerText[] {
    const same = (name: unknown) => String(name).toLowerCase() === table?.toLowerCase()
    return this.#all
      .rows()
      .filter(([, of]) => table === undefined || same(of))
      .map(([name, , sql]) => [String(name), String(sql)])
  }

  /** A transaction begins. The one before may have been rolled back. */
  begun(): void {
    this.rolledBack()
    this.#changed = false
  }

  /** A part of the transaction was rolled back, and with it perhaps triggers. */
  rolledBack(): void {
    if (this.#changed) this.forget()
  }

  /** The schema may be another now. */
  forget(): void {
    this.#watched.clear()
    this.generation += 1
  }

  /** Stops watching a table, or all, before something that triggers would be in the way of. */
  clear(table?: string): void {
    for (const [name] of this.#triggers(table)) this.#drop(name)
    this.forget()
  }

  #drop(trigger: string): void {
    this.#changed = true
    try {
      this.writer.db.exec(`drop trigger temp.${quote(trigger)}`)
    } catch {
      // Another process has dropped its table: SQLite has forgotten it already.
    }
  }

  #number(table: string): number {
    const known = this.#numbers.get(table)
    if (known !== undefined) return known
    const number = this.names.push(table) - 1
    this.#numbers.set(table, number)
    return number
  }

  /** The number under which triggers speak of a table; undefined: it was never watched. */
  protected numberOf(table: string): number | undefined {
    return this.#numbers.get(table)
  }
}
