/**
 * Tells which transaction of a batch touches which row, by TEMP triggers on the writer's connection,
 * so that one session can record many transactions. A row that an earlier transaction has touched
 * stops the statement: the session then has to end before it. The triggers also keep NULL out of keys,
 * because SQLite's sessions do not record such rows.
 *
 * REPLACE deletes rows without firing triggers, so what may do that is recorded by itself.
 */
import { type KeyName, type KeyValue, keyName } from '../../model/changeset-split.ts'
import type { Connection } from '../connections.ts'
import { type TriggerText, TriggerWatch } from '../execute/trigger-watch.ts'
import { quote } from '../quote.ts'

/** A table whose rows are told apart by their PRIMARY KEY. */
export interface KeyTable {
  readonly name: string
  /** Its columns as SQL, in the order of the table. */
  readonly key: readonly string[]
  /** Those of them that SQLite lets be NULL. */
  readonly nullable: readonly string[]
  /** Keys that are equal are identical, so that a row has one name. */
  readonly byBytes: boolean
}

const MET = '_quorate_met'
/** Rows that are noted at most: what writes more gains nothing from sharing a session. */
const NOTED_MAX = 20_000
const PREFIX = '_quorate_key_'

export class KeyWatch extends TriggerWatch<KeyTable> {
  /** By table, then by row: the transaction that touched it; null: nobody wants to know. */
  #owners: Map<KeyName, number>[] | null = null
  #transaction = 0
  #met = false
  #noted = 0

  constructor(writer: Connection) {
    super(writer, PREFIX)
    const options = { directOnly: true, useBigIntArguments: true, varargs: true }
    writer.db.function(MET, options, (table, ...key) => {
      const owners = this.#owners
      if (owners === null) return 0
      return this.#meets(owners, Number(table), keyName(key as KeyValue[])) ? 1 : 0
    })
  }

  #meets(owners: Map<KeyName, number>[], table: number, row: KeyName): boolean {
    let rows = owners[table]
    if (rows === undefined) {
      rows = new Map()
      owners[table] = rows
    }
    const owner = rows.get(row)
    if (owner === undefined) {
      rows.set(row, this.#transaction)
      this.#noted += 1
    }
    this.#met ||= this.isFull || (owner !== undefined && owner !== this.#transaction)
    return this.#met
  }

  /** Forgets what was touched and begins to note anew. */
  start(): void {
    this.#owners = []
    this.#noted = 0
  }

  /** So many rows are noted that statements are stopped for that. */
  get isFull(): boolean {
    return this.#noted > NOTED_MAX
  }

  /** The number under which rows are noted from here on. */
  transaction(number: number): void {
    this.#transaction = number
    this.#met = false
  }

  /** A statement was stopped since `transaction`. */
  get met(): boolean {
    return this.#met
  }

  /** Which transaction touched a row; undefined: none did. */
  ownerOf(table: string, row: KeyName): number | undefined {
    const number = this.numberOf(table)
    return number === undefined ? undefined : this.#owners?.[number]?.get(row)
  }

  /** Nothing is noted, and nobody is stopped. */
  stop(): void {
    this.#owners = null
    this.#met = false
  }

  protected override *triggersOf(table: KeyTable, number: number): Generator<TriggerText> {
    const { name, key, nullable } = table
    const met = (row: string) =>
      `${MET}(${number}, ${key.map((column) => `${row}.${column}`).join(', ')})`
    const stop = (condition: string) => `when ${condition} then raise(abort, '${MET}')`
    const empty = nullable.map((column) => {
      const sentence = `NOT NULL constraint failed: ${name}.${plain(column)}, which names rows among several leaders`
      return `when new.${column} is null then raise(abort, ${text(sentence)})`
    })
    const moved = key.map((column) => `new.${column} is not old.${column}`).join(' or ')
    const make = (event: string, whens: readonly string[]) => {
      const trigger = `${PREFIX}${event}_${number}`
      const body = `select case ${whens.join(' ')} end`
      return [
        trigger,
        `${trigger} after ${event} on main.${quote(name)} begin ${body}; end`,
      ] as const
    }
    yield make('insert', [...empty, stop(met('new'))])
    yield make('delete', [stop(met('old'))])
    yield make('update', [...empty, stop(met('old')), stop(`(${moved}) and ${met('new')}`)])
  }
}

function plain(quoted: string): string {
  return quoted.slice(1, -1).replaceAll('""', '"')
}

function text(sentence: string): string {
  return `'${sentence.replaceAll("'", "''")}'`
}
