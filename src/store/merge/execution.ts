/**
 * Runs transactions where they stand in the order, and takes them back: many as one and as they were
 * made where everything is as it was there, by the rules where it is not.
 */
import type { DatabaseSync } from 'node:sqlite'
import { QuorateError } from '../../base/errors.ts'
import type { KeyIndex } from '../../core/order/clock/key-index.ts'
import { KeySet } from '../../core/order/clock/key-set.ts'
import type { ClockTime, Origin } from '../../core/order/clock/stamp.ts'
import { hasDeletes, readExactly } from '../../model/changeset.ts'
import { asStored, type Catalog, grown, tableOf } from './catalog.ts'
import { type Conflict, type Deleted, staysOpen } from './conflict.ts'
import type { MergeTables, Ran, Transaction } from './merge-tables.ts'
import type { MergeParts } from './parts.ts'
import { beyond, type Placed } from './placed.ts'
import type { Reading } from './reading.ts'
import type { MergeRules } from './rules.ts'
import { pick } from './table-rows.ts'
import { applyInverses } from './take-back.ts'

/** Transactions applied as one; fewer after one did not fit, and more again. */
const BATCH_MAX = 512
const BATCH_MIN = 8

export class Execution {
  /** To be replaced when the schema or the rules have changed. */
  reading: Reading
  readonly #db: DatabaseSync
  readonly #tables: MergeTables
  readonly #parts: MergeParts
  #batchMax = BATCH_MAX

  constructor(db: DatabaseSync, tables: MergeTables, parts: MergeParts, reading: Reading) {
    this.#db = db
    this.#tables = tables
    this.#parts = parts
    this.reading = reading
  }

  /**
   * As if they had never run.
   *
   * @param undo the latest first
   * @throws QuorateError LOG_CORRUPT
   */
  takeBack(undo: readonly Ran[]): void {
    const inverses = undo.map(({ changes, effect }) => this.#parts.invert(effect ?? changes))
    if (inverses.length > 0 && !applyInverses(this.#db, inverses, this.reading.catalog)) {
      const detail = `Transactions from ${undo.at(-1)?.stamp.time} on can't be taken back: rows have changed.`
      throw new QuorateError('LOG_CORRUPT', detail)
    }
    for (const { stamp } of undo) this.#tables.remove(stamp, this.#parts.withdraws)
  }

  /**
   * Runs transactions in their order.
   *
   * @param undone what has just been taken back
   * @param index of what is here; null: not needed
   * @returns those that did not run as they were made, with what they met besides their own
   */
  run(
    run: readonly Placed[],
    undone: readonly Placed[],
    index: KeyIndex | null,
  ): readonly Placed[] {
    const reached: Placed[] = []
    // What writes where something was taken back will hardly find everything as it was.
    const disputed = new KeySet()
    for (const { footprint } of undone) disputed.addAll(footprint.written)
    let batch = this.#parts.createBatch()
    let some: Placed[] = []
    for (const each of run) {
      const doubtful =
        disputed.hasAny(each.own.written) ||
        index?.hasUnseen(each.own.written, each.stamp.origin, each.seen)
      if (doubtful || some.length >= this.#batchMax || !batch.mayTake(each.own)) {
        this.#runSome(some, reached)
        batch = this.#parts.createBatch()
        some = []
      }
      if (doubtful) {
        this.#runSome([each], reached)
        continue
      }
      batch.take(each.own)
      some.push(each)
    }
    this.#runSome(some, reached)
    return reached
  }

  /**
   * The same of those that can only run as they were made.
   *
   * @returns false: one can't, and some have run
   */
  runAsMade(run: readonly Placed[]): boolean {
    let batch = this.#parts.createBatch()
    let some: Placed[] = []
    for (const each of run) {
      if (some.length >= BATCH_MAX || !batch.mayTake(each.own)) {
        if (!this.#applySome(some)) return false
        batch = this.#parts.createBatch()
        some = []
      }
      batch.take(each.own)
      some.push(each)
    }
    return this.#applySome(some)
  }

  #applySome(some: readonly Placed[]): boolean {
    if (some.length === 0) return true
    const { context } = this.reading
    const checks = {
      foreignKeys: some.some(({ own }) => own.foreign) ? context.foreignKeys : null,
      exactly: some.some(({ own }) => own.loose) ? context : null,
    }
    const changesets = some.map(({ changes }) => changes)
    return this.#parts.applyNatively(this.#db, changesets, checks)
  }

  /** As one if that works; else in halves, in their order. */
  #runSome(some: readonly Placed[], reached: Placed[]): void {
    if (some.length === 0) return
    const [only] = some
    if (only?.own.narrow && only.own.deletes) {
      // Its changes could not be taken back: they lack what was in the columns added since.
      reached.push(this.#runByRules(only))
      return
    }
    if (this.#applySome(some)) {
      this.#batchMax = Math.min(this.#batchMax * 2, BATCH_MAX)
      for (const each of some) this.note(each, false)
      return
    }
    if (some.length === 1 && only !== undefined) reached.push(this.#runByRules(only))
    else {
      this.#batchMax = Math.max(this.#batchMax >> 1, BATCH_MIN)
      const half = some.length >> 1
      this.#runSome(some.slice(0, half), reached)
      this.#runSome(some.slice(half), reached)
    }
  }

  #runByRules(each: Placed): Placed {
    const { context, footprints, catalog, rules } = this.reading
    const findDeleted = this.#parts.findDeleted((table, key) =>
      this.#tables.findDeleted(table, key, each),
    )
    const { conflicts, deleted, effect, touched } = this.#parts.runByRules(
      { ...context, findDeleted },
      each.changes,
    )
    const reached = beyond(footprints.ofRows(touched), each.own)
    this.#tables.add({ ...each, effect, reached })
    this.#tables.bury(each, deleted)
    for (const [i, conflict] of conflicts.entries()) {
      this.#tables.report(each.stamp, i, conflict, isOpen(conflict, rules, catalog))
    }
    return { ...each, footprint: reached }
  }

  /**
   * Notes a transaction that has run exactly as it was made.
   *
   * @param mayWait it need not be in the file yet, if the log has it
   */
  note(transaction: Transaction, mayWait: boolean): void {
    const { recent } = this.#tables
    if (mayWait && recent.mayAdd(transaction)) recent.add(transaction)
    else this.#write(transaction)
  }

  /** Puts into the file what is in the log only, until no more than so many bytes are. */
  save(most = 0): void {
    for (const each of this.#tables.recent.takeAbove(most)) this.#write(each)
  }

  /** What is in the log only and is not later than a time leaves nothing but what it deleted. */
  passRecent(stable: ClockTime): void {
    const passed = new Map<Origin, number>()
    for (const each of this.#tables.recent.takeThrough(stable)) {
      this.#bury(each)
      passed.set(each.stamp.origin, each.sequence)
    }
    for (const [origin, number] of passed) this.#tables.passed(origin, number)
  }

  #write(transaction: Transaction): void {
    this.#tables.add({ ...transaction, effect: null, reached: null })
    this.#bury(transaction)
  }

  #bury(transaction: Transaction): void {
    if (!hasDeletes(transaction.changes)) return
    this.#tables.bury(transaction, deletedBy(transaction, this.reading.catalog))
  }
}

/** The rows that a transaction deletes which runs as it was made. */
function deletedBy({ changes }: Transaction, catalog: Catalog): readonly Deleted[] {
  return [...readExactly(changes)].flatMap(({ op, table: name, before }) => {
    if (op !== 'delete') return []
    const table = tableOf(catalog, name)
    const row = grown(table, asStored(table, before) ?? [])
    return [{ table: table.name, key: pick(row, table.key), row }]
  })
}

function isOpen(conflict: Conflict, rules: MergeRules, catalog: Catalog): boolean {
  return staysOpen(conflict, rules, tableOf(catalog, conflict.table).columns)
}
