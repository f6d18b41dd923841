/**
 * Runs transactions where they stand in the order, and takes them back: many as one and as they were
 * made where everything is as it was there, by the rules where it is not.
 */
import type { DatabaseSync } from 'node:sqlite'
import { QuorateError } from '../../base/errors.ts'
import type { KeyIndex } from '../../core/order/clock/key-index.ts'
import { KeySet } from '../../core/order/clock/key-set.ts'
import { readExactly } from '../../model/changeset.ts'
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

  /** As one if that works; else in halves, in their order. */
  #runSome(some: readonly Placed[], reached: Placed[]): void {
    if (some.length === 0) return
    const [only] = some
    if (only?.own.narrow && only.own.deletes) {
      // Its changes could not be taken back: they lack what was in the columns added since.
      reached.push(this.#runByRules(only))
      return
    }
    const { context } = this.reading
    const checks = {
      foreignKeys: some.some(({ own }) => own.foreign) ? context.foreignKeys : null,
      exactly: some.some(({ own }) => own.loose) ? context : null,
    }
    const changesets = some.map(({ changes }) => changes)
    if (this.#parts.applyNatively(this.#db, changesets, checks)) {
      this.#batchMax = Math.min(this.#batchMax * 2, BATCH_MAX)
      for (const each of some) this.note(each, each.own.deletes)
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

  /** Notes a transaction that has run exactly as it was made. */
  note(transaction: Transaction, deletes: boolean): void {
    this.#tables.add({ ...transaction, effect: null, reached: null })
    if (deletes) this.#tables.bury(transaction, deletedBy(transaction, this.reading.catalog))
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
