/**
 * What merging keeps beside the application's rows, in tables of the same file: transactions whose
 * place may still change, rows that were deleted, and conflicts.
 */
import type { DatabaseSync, StatementSync } from 'node:sqlite'
import { assert } from '../../base/assert.ts'
import { type Frontier, holds } from '../../core/order/clock/frontier.ts'
import type { Footprint } from '../../core/order/clock/key-set.ts'
import {
  type ClockTime,
  compareStamps,
  type Origin,
  type Stamp,
} from '../../core/order/clock/stamp.ts'
import { hasDeletes } from '../../model/changeset.ts'
import type { ExactValue } from '../../model/exact-value.ts'
import type { ConflictNotice } from '../../model/origin-entry.ts'
import type { Conflict, Deleted } from './conflict.ts'
import { RecentTransactions } from './recent.ts'
import { cellsFromJson, rowToJson } from './row-json.ts'
import type { Cells, Row } from './table-rows.ts'

/** A transaction as it travels between origins. */
export interface Transaction {
  readonly stamp: Stamp
  /** Its number among those of its origin: a later one has a higher one. */
  readonly sequence: number
  /** What its writer held of other origins, as numbers of transactions. */
  readonly seen: Frontier
  /** What it changed where it first ran. */
  readonly changes: Uint8Array
  /** Which entry of the group's log has it. Without one it must be in the file at once. */
  readonly at?: number | undefined
}

/** A transaction that has run here. */
export interface Ran extends Transaction {
  /** What it changed here; null: the same. */
  readonly effect: Uint8Array | null
  /** What it met beside the keys of its changes; null: nothing. */
  readonly reached: Footprint | null
}

/** What decides whom a transaction that has run here meets. */
export type Keyed = Pick<Ran, 'stamp' | 'sequence' | 'changes' | 'reached'>

const TABLES = `
  create table if not exists _quorate_transactions (
    time integer not null, origin text not null, sequence integer not null,
    seen text not null, changes blob not null, effect blob, reached blob,
    primary key (time, origin)
  ) without rowid;
  create table if not exists _quorate_forgotten (
    origin text not null primary key, number integer not null
  ) without rowid;
  create table if not exists _quorate_deleted (
    name text not null, key text not null, time integer not null, origin text not null,
    sequence integer not null, row text not null, primary key (name, key, time, origin)
  ) without rowid;
  create index if not exists _quorate_deleted_by on _quorate_deleted (time, origin);
  create table if not exists quorate_conflicts (
    time integer not null, origin text not null, number integer not null, kind text not null,
    name text not null, key text not null, columns text not null, kept text, lost text,
    open integer not null, primary key (time, origin, number)
  ) without rowid;`

const SQL = {
  transactions: 'select 1 from _quorate_transactions limit 1',
  rows: 'select 1 from _quorate_deleted limit 1',
  conflicts: 'select 1 from quorate_conflicts limit 1',
  later: `select time, origin, sequence, seen, changes, effect, reached from _quorate_transactions
    where (time, origin) > (?, ?) order by time, origin`,
  from: 'select 1 from _quorate_transactions where (time, origin) >= (?, ?) limit 1',
  get: `select time, origin, sequence, seen, changes, effect, reached from _quorate_transactions
    where time = ? and origin = ?`,
  has: 'select 1 from _quorate_transactions where time = ? and origin = ?',
  latest: `select sequence from _quorate_transactions where origin = ?
    order by time desc limit 1`,
  between: `select time, origin, sequence, changes, reached from _quorate_transactions
    where (time, origin) > (?, ?) and (time, origin) < (?, ?) order by time, origin limit ?`,
  betweenLast: `select time, origin, sequence, changes, reached from _quorate_transactions
    where (time, origin) > (?, ?) and (time, origin) < (?, ?) order by time desc, origin desc limit ?`,
  add: `insert into _quorate_transactions
    (time, origin, sequence, seen, changes, effect, reached) values (?, ?, ?, ?, ?, ?, ?)`,
  remove: 'delete from _quorate_transactions where time = ? and origin = ?',
  bury: `insert into _quorate_deleted (name, key, time, origin, sequence, row)
    values (?, ?, ?, ?, ?, ?)`,
  unbury: 'delete from _quorate_deleted where time = ? and origin = ?',
  deleted: `select origin, sequence, row from _quorate_deleted where name = ? and key = ?
    order by time desc, origin desc`,
  report: `insert into quorate_conflicts
    (time, origin, number, kind, name, key, columns, kept, lost, open)
    values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
  withdraw: `delete from quorate_conflicts where time = ? and origin = ?
    returning number, kind, name`,
  widths: `select name, min(json_array_length(kept)) as kept, min(json_array_length(lost)) as lost
    from quorate_conflicts group by name`,
  images: `select time, origin, number, kept, lost from quorate_conflicts
    where name = ? and (json_array_length(kept) < ? or json_array_length(lost) < ?)`,
  widen: `update quorate_conflicts set kept = ?, lost = ?
    where time = ? and origin = ? and number = ?`,
  passed: `insert into _quorate_forgotten (origin, number) values (?, ?)
    on conflict (origin) do update set number = max(number, excluded.number)`,
  forgotten: 'select number from _quorate_forgotten where origin = ?',
  oldest: `select time, origin from _quorate_transactions where time <= ?
    order by time, origin limit 1 offset ?`,
  forgetting: `insert into _quorate_forgotten (origin, number)
    select origin, max(sequence) from _quorate_transactions where (time, origin) < (?, ?)
    group by origin on conflict (origin) do update set number = max(number, excluded.number)`,
  forget: 'delete from _quorate_transactions where (time, origin) < (?, ?)',
  forgetDeleted: `delete from _quorate_deleted where (name, key, time, origin) in
    (select name, key, time, origin from _quorate_deleted
      where origin = ? and sequence <= ? and time <= ? limit ?)`,
  forgetConflicts: 'delete from quorate_conflicts where time <= ? and open = 0',
} as const

/** What transactions had seen, in memory: read again and again where many are taken back. */
const FRONTIERS_MAX = 256

export class MergeTables {
  /** What is not in the file yet. */
  readonly recent = new RecentTransactions()
  readonly #statements: Readonly<Record<keyof typeof SQL, StatementSync>>
  /**
   * False: there are none in the file, so it need not be asked. Mostly so; each question costs as
   * much as a transaction, because SQLite prepares all statements anew after it applied a changeset.
   */
  readonly #mayHold: { transactions: boolean; rows: boolean; conflicts: boolean }
  /** What is known of `_quorate_forgotten`. */
  readonly #forgotten = new Map<Origin, number>()
  #seen: Frontier | null = null
  #seenText = ''
  /** Frontiers by their text. */
  readonly #frontiers = new Map<string, Frontier>()
  /** Conflicts since `watch`, by their whole content: reported now, and those that were there. */
  #reported = new Map<string, ConflictNotice>()
  #withdrawn = new Set<string>()

  /** Makes them if they are not there. */
  constructor(db: DatabaseSync) {
    db.exec(TABLES)
    const entries = Object.entries(SQL).map(([name, sql]) => [name, db.prepare(sql)])
    this.#statements = Object.fromEntries(entries) as Record<keyof typeof SQL, StatementSync>
    const [transactions, rows] = [this.#holds('transactions'), this.#holds('rows')]
    this.#mayHold = { transactions, rows, conflicts: this.#holds('conflicts') }
  }

  /**
   * What has run here after a stamp, in order, as a stream: nothing may be written meanwhile, and
   * nothing may be recent.
   */
  *later({ time, origin }: Stamp): Generator<Ran, void, undefined> {
    assert(this.recent.isEmpty, () => `${this.recent.bytes} bytes are not in the file`)
    for (const row of this.#statements.later.iterate(time, origin)) {
      yield this.#ran(row as unknown as Stored)
    }
  }

  get(stamp: Stamp): Ran | null {
    const recent = this.recent.get(stamp)
    if (recent !== null) return { ...recent, effect: null, reached: null }
    if (!this.#mayHold.transactions) return null
    const row = this.#statements.get.get(stamp.time, stamp.origin)
    return row === undefined ? null : this.#ran(row as unknown as Stored)
  }

  #ran({ time, origin, sequence, seen, changes, effect, reached }: Stored): Ran {
    const met = reached === null ? null : unpack(reached)
    const stamp = { time, origin }
    return { stamp, sequence, seen: this.#frontierOf(seen), changes, effect, reached: met }
  }

  /** Those of one entry have seen the same. */
  #frontierOf(text: string): Frontier {
    const known = this.#frontiers.get(text)
    if (known !== undefined) return known
    const made = new Map(JSON.parse(text) as [Origin, number][])
    if (this.#frontiers.size >= FRONTIERS_MAX) this.#frontiers.clear()
    this.#frontiers.set(text, made)
    return made
  }

  /**
   * Some of what has run here after one stamp and before another, as a stream.
   *
   * @param last the latest of these first, instead of the earliest
   */
  *between(after: Stamp, before: Stamp, last: boolean, most: number): Generator<Keyed> {
    let left = most
    const recent = this.recent.between(after, before, last)
    let next = recent.next()
    for (const keyed of this.#between(after, before, last, most)) {
      for (; left > 0 && !next.done; next = recent.next()) {
        const apart = compareStamps(next.value.stamp, keyed.stamp)
        if (last ? apart < 0 : apart > 0) break
        yield { ...next.value, reached: null }
        left -= 1
      }
      if (left === 0) return
      yield keyed
      left -= 1
    }
    for (; left > 0 && !next.done; next = recent.next()) {
      yield { ...next.value, reached: null }
      left -= 1
    }
  }

  *#between(after: Stamp, before: Stamp, last: boolean, most: number): Generator<Keyed> {
    if (!this.#mayHold.transactions) return
    const statement = last ? this.#statements.betweenLast : this.#statements.between
    const bounds = [after.time, after.origin, before.time, before.origin]
    for (const row of statement.iterate(...bounds, most)) {
      const { time, origin, sequence, changes, reached } = row as unknown as Stored
      const met = reached === null ? null : unpack(reached)
      yield { stamp: { time, origin }, sequence, changes, reached: met }
    }
  }

  /** Whether something has run here that is not before this stamp. */
  hasFrom(stamp: Stamp): boolean {
    if (this.recent.hasFrom(stamp)) return true
    if (!this.#mayHold.transactions) return false
    return this.#statements.from.get(stamp.time, stamp.origin) !== undefined
  }

  has(stamp: Stamp): boolean {
    if (this.recent.get(stamp) !== null) return true
    if (!this.#mayHold.transactions) return false
    return this.#statements.has.get(stamp.time, stamp.origin) !== undefined
  }

  /** The highest number of an origin in the file; 0: none. */
  latestOf(origin: Origin): number {
    const row = this.#statements.latest.get(origin) as { sequence: number } | undefined
    return row?.sequence ?? 0
  }

  /** The highest number of an origin that has been forgotten; 0: none. */
  forgotten(origin: Origin): number {
    const known = this.#forgotten.get(origin)
    if (known !== undefined) return known
    const row = this.#statements.forgotten.get(origin) as { number: number } | undefined
    const number = row?.number ?? 0
    this.#forgotten.set(origin, number)
    return number
  }

  /** The time through which everything has been forgotten. */
  final(): ClockTime {
    return this.forgotten('')
  }

  add({ stamp: { time, origin }, sequence, seen, changes, effect, reached }: Ran): void {
    const packed = reached === null ? null : pack(reached)
    this.#mayHold.transactions = true
    // Those of one entry have seen the same.
    if (seen !== this.#seen) this.#seenText = JSON.stringify([...seen])
    this.#seen = seen
    this.#statements.add.run(time, origin, sequence, this.#seenText, changes, effect, packed)
  }

  bury({ stamp: { time, origin }, sequence }: Transaction, deleted: readonly Deleted[]): void {
    this.#mayHold.rows ||= deleted.length > 0
    for (const { table, key, row } of deleted) {
      const [name, image] = [rowToJson(key), rowToJson(row)]
      this.#statements.bury.run(table, name, time, origin, sequence, image)
    }
  }

  report({ time, origin }: Stamp, number: number, conflict: Conflict, open: boolean): void {
    const { kind, table, key, columns, kept, lost } = conflict
    const [keptText, lostText] = [kept, lost].map((row) => (row === null ? null : rowToJson(row)))
    const texts = [kind, table, rowToJson(key), JSON.stringify(columns)]
    const rows = [keptText ?? null, lostText ?? null]
    this.#mayHold.conflicts = true
    this.#statements.report.run(time, origin, number, ...texts, ...rows, open ? 1 : 0)
    const notice = { time, origin, number, kind, table }
    this.#reported.set(JSON.stringify(notice), notice)
  }

  /** Forgets which conflicts were reported: from now on, or because it was all rolled back. */
  watch(): void {
    this.#reported = new Map()
    this.#withdrawn = new Set()
  }

  /** Conflicts that were not there before `watch`. */
  news(): readonly ConflictNotice[] {
    return [...this.#reported].flatMap(([key, notice]) =>
      this.#withdrawn.has(key) ? [] : [notice],
    )
  }

  /**
   * Makes what is reported of tables as wide as these are by now, as it is where a transaction arrives
   * after they have got more columns.
   *
   * @param widthOf 0: there is no such table
   */
  widen(widthOf: (table: string) => number, widen: (table: string, cells: Cells) => Cells): void {
    const all = this.#statements.widths.all() as unknown as Width[]
    for (const { name, kept, lost } of all) {
      const width = widthOf(name)
      if ((kept ?? width) >= width && (lost ?? width) >= width) continue
      for (const row of this.#statements.images.all(name, width, width)) {
        const { time, origin, number, ...images } = row as unknown as Images
        const [now, gone] = [images.kept, images.lost].map((text) =>
          text === null ? null : rowToJson(widen(name, cellsFromJson(text))),
        )
        this.#statements.widen.run(now ?? null, gone ?? null, time, origin, number)
      }
    }
  }

  /**
   * Forgets that a transaction has run, and what it left.
   *
   * @param asMade it ran as it was made: then there is no conflict of it
   */
  remove({ stamp: { time, origin }, changes }: Transaction, asMade: boolean): void {
    this.#statements.remove.run(time, origin)
    if (!asMade || hasDeletes(changes)) this.#statements.unbury.run(time, origin)
  }

  /** Forgets the conflicts of a transaction. */
  withdraw({ time, origin }: Stamp): void {
    for (const { number, kind, name: table } of this.#statements.withdraw.all(time, origin)) {
      const notice = { time, origin, number, kind, table }
      const key = JSON.stringify(notice)
      if (!this.#reported.delete(key)) this.#withdrawn.add(key)
    }
  }

  /**
   * A row as it was when it was last deleted by somebody whom the writer of a transaction had not
   * heard of yet; or null. Deletes that it knew of don't count, because they may be forgotten.
   */
  findDeleted(name: string, key: Row, { stamp, sequence, seen }: Transaction): Row | null {
    for (const found of this.#statements.deleted.iterate(name, rowToJson(key))) {
      const { origin, sequence: number, row } = found as unknown as StoredDeleted
      if (origin === stamp.origin ? number < sequence : holds(seen, origin, number)) continue
      return cellsFromJson(row).map((value): ExactValue => value ?? null)
    }
    return null
  }

  /**
   * Makes the order final through a time, and forgets the oldest transactions up to it.
   *
   * @returns false: there are more of them
   */
  forget(stable: ClockTime, most: number): boolean {
    this.passed('', stable)
    if (!this.#mayHold.transactions) return true
    const more = this.#statements.oldest.get(this.final(), most) as Stamp | undefined
    const { time, origin } = more ?? { time: this.final() + 1, origin: '' }
    this.#statements.forgetting.run(time, origin)
    this.#statements.forget.run(time, origin)
    this.#forgotten.clear()
    this.#mayHold.transactions = this.#holds('transactions')
    return more === undefined
  }

  #holds(what: 'transactions' | 'rows' | 'conflicts'): boolean {
    return this.#statements[what].get() !== undefined
  }

  /** Notes that transactions of an origin through a number have been forgotten. */
  passed(origin: Origin, number: number): void {
    this.#statements.passed.run(origin, number)
    const known = this.#forgotten.get(origin)
    if (known !== undefined) this.#forgotten.set(origin, Math.max(known, number))
  }

  /** Forgets old conflicts, and deletes that everybody has seen. False: there are more of these. */
  forgetRest(stable: ClockTime, seen: Frontier, conflicts: ClockTime, most: number): boolean {
    if (this.#mayHold.conflicts) {
      this.#statements.forgetConflicts.run(Math.min(stable, conflicts))
      this.#mayHold.conflicts = this.#holds('conflicts')
    }
    if (!this.#mayHold.rows) return true
    let left = most
    for (const [origin, sequence] of seen) {
      left -= Number(this.#statements.forgetDeleted.run(origin, sequence, stable, left).changes)
    }
    this.#mayHold.rows = this.#holds('rows')
    return left > 0
  }
}

/** Of the narrowest images of a table's rows; null: there are none. */
interface Width {
  readonly name: string
  readonly kept: number | null
  readonly lost: number | null
}

interface Images {
  readonly time: ClockTime
  readonly origin: Origin
  readonly number: number
  readonly kept: string | null
  readonly lost: string | null
}

interface StoredDeleted {
  readonly origin: Origin
  readonly sequence: number
  readonly row: string
}

interface Stored {
  readonly time: ClockTime
  readonly origin: Origin
  readonly sequence: number
  readonly seen: string
  readonly changes: Uint8Array
  readonly effect: Uint8Array | null
  readonly reached: Uint8Array | null
}

/** Keys as doubles: how many are written, those, and those needed. */
function pack({ written, needed }: Footprint): Uint8Array {
  return new Uint8Array(Float64Array.from([written.length, ...written, ...needed]).buffer)
}

function unpack(bytes: Uint8Array): Footprint {
  const [count = 0, ...keys] = new Float64Array(bytes.slice().buffer)
  return { written: keys.slice(0, count), needed: keys.slice(count) }
}
