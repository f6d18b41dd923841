/**
 * Notices which rows of tables with rowids of their own a transaction touches, by TEMP triggers on
 * the writer's connection that call a function of this process. They see every row that any
 * statement, trigger or foreign-key action writes, never get into the file, and change nothing
 * that a client can see: no row is written, so changes() and total_changes() stay as they are.
 *
 * REPLACE deletes rows without firing triggers (unless recursive_triggers is on, which would change
 * what the user's triggers do); so before a row comes, those that it might replace are noted. To
 * note too much is harmless: what is the same before and after has not changed.
 */
import type { Connection, Internal } from './connections.ts'
import { quote } from './quote.ts'
import type { RowTable } from './row-tables.ts'

const TOUCHED = '_quorate_touched'
const TRIGGERS = `select name, tbl_name, sql from sqlite_temp_schema
  where type = 'trigger' and name like '\\_quorate\\_watch\\_%' escape '\\'`

export class RowWatch {
  readonly #writer: Connection
  readonly #all: Internal
  /** What is told of each row: its table and its rowid before or after. */
  onTouch: (table: string, rowid: bigint) => void = () => {}
  readonly #numbers = new Map<string, number>()
  readonly #names: string[] = []
  /** Tables whose triggers are in place for certain, by name. */
  readonly #watched = new Map<string, RowTable>()
  /** Counts up whenever triggers may have gone. */
  generation = 0
  /** Triggers came or went in the transaction that is open. */
  #changed = false

  constructor(writer: Connection) {
    this.#writer = writer
    this.#all = writer.internal(TRIGGERS)
    writer.db.function(TOUCHED, { directOnly: true, useBigIntArguments: true }, (table, rowid) => {
      const name = this.#names[Number(table)]
      if (name !== undefined && typeof rowid === 'bigint') this.onTouch(name, rowid)
      return null
    })
  }

  /** Sees to it that these tables are watched. */
  watch(tables: readonly RowTable[]): void {
    for (const table of tables) {
      if (this.#watched.get(table.name) === table) continue
      this.#set(table)
      this.#watched.set(table.name, table)
    }
  }

  #set(table: RowTable): void {
    const wanted = new Map(triggersOf(table, this.#number(table.name)))
    const there: string[] = []
    for (const [name, sql] of this.#triggers(table.name)) {
      // SQLite keeps the text from the name on.
      if (wanted.get(name) === sql.slice('CREATE TRIGGER '.length)) there.push(name)
      else this.#drop(name)
    }
    if (there.length === wanted.size) this.#refresh(wanted, there)
    for (const name of there) wanted.delete(name)
    for (const sql of wanted.values()) {
      this.#writer.db.exec(`create temp trigger ${sql}`)
      this.#changed = true
    }
  }

  /**
   * They came back with a rollback, which SQLite may not have noticed (a failed ALTER makes it read
   * the schema anew in between): statements may be compiled without them. Any change of the TEMP
   * schema makes SQLite compile all of them again.
   */
  #refresh(triggers: ReadonlyMap<string, string>, [name = '']: readonly string[]): void {
    this.#writer.db.exec(`drop trigger temp.${quote(name)};
      create temp trigger ${triggers.get(name)}`)
  }

  /** Name and text of those that are there for a table, or for any. */
  #triggers(table?: string): readonly (readonly [string, string])[] {
    const same = (name: unknown) => String(name).toLowerCase() === table?.toLowerCase()
    return this.#all
      .rows()
      .filter(([, of]) => table === undefined || same(of))
      .map(([name, , sql]) => [String(name), String(sql)])
  }

  /** Notes every row that a table has. */
  touchAll({ name, rowid }: RowTable): void {
    const rows = this.#writer.db.prepare(`select ${rowid} from main.${quote(name)}`, {
      readBigInts: true,
      returnArrays: true,
    })
    for (const [one] of rows.all() as unknown as bigint[][]) {
      if (one !== undefined) this.onTouch(name, one)
    }
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
      this.#writer.db.exec(`drop trigger temp.${quote(trigger)}`)
    } catch {
      // Another process has dropped its table: SQLite has forgotten it already.
    }
  }

  #number(table: string): number {
    const known = this.#numbers.get(table)
    if (known !== undefined) return known
    const number = this.#names.push(table) - 1
    this.#numbers.set(table, number)
    return number
  }
}

/** Name and text of each trigger that a table needs. */
function* triggersOf(table: RowTable, number: number): Generator<readonly [string, string]> {
  const { rowid, unique } = table
  const on = `on main.${quote(table.name)}`
  const touched = (row: string) => `${TOUCHED}(${number}, ${row}.${rowid})`
  const make = (kind: string, event: string, body: readonly string[]) => {
    const name = `_quorate_watch_${kind}_${number}`
    return [name, `${name} ${event} ${on} begin ${body.join('; ')}; end`] as const
  }
  yield make('inserted', 'after insert', [`select ${touched('new')}`])
  yield make('deleted', 'after delete', [`select ${touched('old')}`])
  const moved = `case when new.${rowid} <> old.${rowid} then ${touched('new')} end`
  yield make('updated', 'after update', [`select ${touched('old')}, ${moved}`])
  if (unique.length === 0) return
  const replaced = unique.map(
    ({ condition }) =>
      `select ${touched(quote(table.name))} from main.${quote(table.name)} where ${condition}`,
  )
  yield make('inserting', 'before insert', replaced)
  const columns = unique.flatMap((index) => index.columns ?? [])
  const any = unique.some((index) => index.columns === null)
  const which = any ? '' : ` of ${[...new Set(columns)].join(', ')}`
  yield make('updating', `before update${which}`, replaced)
}
