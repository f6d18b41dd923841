/**
 * What merging keeps beside the application's rows, in tables of the same file: transactions whose
 * place may still change, rows that were deleted, and conflicts.
 */
import type { DatabaseSync, StatementSync } from 'node:sqlite'
import { type Frontier, holds } from '../../core/order/clock/frontier.ts'
import type { Footprint } from '../../core/order/clock/placement.ts'
import type { ClockTime, Origin, Stamp } from '../../core/order/clock/stamp.ts'
import type { ExactValue } from '../../model/exact-value.ts'
import type { Conflict, Deleted } from './conflict.ts'
import { cellsFromJson, rowToJson } from './row-json.ts'
import type { Row } from './table-rows.ts'

/** A transaction as it travels between origins. */
export interface Transaction {
  readonly stamp: Stamp
  /** Its number among those of its origin, from 1 without gaps. */
  readonly sequence: number
  /** What its writer held of other origins. */
  readonly seen: Frontier
  /** What it changed where it first ran. */
  readonly changes: Uint8Array
}

/** A transaction that has run here. */
export interface Ran extends Transaction {
  /** What it changed here; null: the same. */
  readonly effect: Uint8Array | null
  /** What it met beside the keys of its changes; null: nothing. */
  readonly reached: Footprint | null
}

const TABLES = `
  create table if not exists _quorate_transactions (
    time integer not null, origin text not null, sequence integer not null,
    seen text not null, changes blob not null, effect blob, reached blob,
    primary key (time, origin)
  ) without rowid;
  create unique index if not exists _quorate_transactions_of
    on _quorate_transactions (origin, sequence);
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
  later: `select time, origin, sequence, seen, changes, effect, reached from _quorate_transactions
    where (time, origin) > (?, ?) order by time, origin`,
  from: 'select 1 from _quorate_transactions where (time, origin) >= (?, ?) limit 1',
  last: 'select max(sequence) as sequence from _quorate_transactions where origin = ?',
  has: 'select 1 from _quorate_transactions where origin = ? and sequence = ?',
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
  withdraw: 'delete from quorate_conflicts where time = ? and origin = ?',
  forgotten: 'select number from _quorate_forgotten where origin = ?',
  forgetting: `insert or replace into _quorate_forgotten (origin, number)
    select origin, max(sequence) from _quorate_transactions where time <= ? group by origin`,
  final: `insert into _quorate_forgotten (origin, number) values ('', ?)
    on conflict (origin) do update set number = max(number, excluded.number)`,
  forget: 'delete from _quorate_transactions where time <= ?',
  forgetDeleted: 'delete from _quorate_deleted where origin = ? and sequence <= ? and time <= ?',
  forgetConflicts: 'delete from quorate_conflicts where time <= ? and open = 0',
} as const

export class MergeTables {
  readonly #statements: Readonly<Record<keyof typeof SQL, StatementSync>>

  /** Makes them if they are not there. */
  constructor(db: DatabaseSync) {
    db.exec(TABLES)
    const entries = Object.entries(SQL).map(([name, sql]) => [name, db.prepare(sql)])
    this.#statements = Object.fromEntries(entries) as Record<keyof typeof SQL, StatementSync>
  }

  /** What has run here after a stamp, in order, as a stream: nothing may be written meanwhile. */
  *later({ time, origin }: Stamp): Generator<Ran, void, undefined> {
    for (const row of this.#statements.later.iterate(time, origin)) {
      const stored = row as unknown as Stored
      const { sequence, changes, effect, reached } = stored
      const stamp = { time: stored.time, origin: stored.origin }
      const seen = new Map(JSON.parse(stored.seen) as [Origin, number][])
      const met = reached === null ? null : unpack(reached)
      yield { stamp, sequence, seen, changes, effect, reached: met }
    }
  }

  /** Whether something has run here that is not before this stamp. */
  hasFrom({ time, origin }: Stamp): boolean {
    return this.#statements.from.get(time, origin) !== undefined
  }

  /** The highest number of an origin that is here; 0: none. */
  lastOf(origin: Origin): number {
    const row = this.#statements.last.get(origin) as { sequence: number | null } | undefined
    return row?.sequence ?? 0
  }

  has(origin: Origin, sequence: number): boolean {
    return this.#statements.has.get(origin, sequence) !== undefined
  }

  /** The highest number of an origin that has been forgotten; 0: none. */
  forgotten(origin: Origin): number {
    const row = this.#statements.forgotten.get(origin) as { number: number } | undefined
    return row?.number ?? 0
  }

  /** The time through which everything has been forgotten. */
  final(): ClockTime {
    return this.forgotten('')
  }

  add({ stamp: { time, origin }, sequence, seen, changes, effect, reached }: Ran): void {
    const packed = reached === null ? null : pack(reached)
    const known = JSON.stringify([...seen])
    this.#statements.add.run(time, origin, sequence, known, changes, effect, packed)
  }

  bury({ stamp: { time, origin }, sequence }: Transaction, deleted: readonly Deleted[]): void {
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
    this.#statements.report.run(time, origin, number, ...texts, ...rows, open ? 1 : 0)
  }

  /** Forgets that a transaction has run, and what it left. */
  remove({ time, origin }: Stamp, withConflicts: boolean): void {
    this.#statements.remove.run(time, origin)
    this.#statements.unbury.run(time, origin)
    if (withConflicts) this.#statements.withdraw.run(time, origin)
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

  /** Forgets transactions up to a time, deletes that everybody has seen, and old conflicts. */
  forget(stable: ClockTime, seen: Frontier, conflicts: ClockTime): void {
    this.#statements.final.run(stable)
    this.#statements.forgetting.run(stable)
    this.#statements.forget.run(stable)
    for (const [origin, sequence] of seen) {
      this.#statements.forgetDeleted.run(origin, sequence, stable)
    }
    this.#statements.forgetConflicts.run(Math.min(stable, conflicts))
  }
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
