/**
 * Runs transactions where they stand in the order, and takes them back: many as one and as they were
 * made where everything is as it was there, by the rules where it is not.
 */
import type { DatabaseSync } from 'node:sqlite'
import { QuorateError } from '../../base/errors.ts'
import type { KeyIndex } from '../../core/order/clock/key-index.ts'
import { type Key, KeySet } from '../../core/order/clock/key-set.ts'
import type { ClockTime } from '../../core/order/clock/stamp.ts'
import { hasDeletes, readExactly } from '../../model/changeset.ts'
import type { RuleOutcome } from './by-rules.ts'
import { asStored, type Catalog, grown, tableOf } from './catalog.ts'
import { type Conflict, type Deleted, staysOpen } from './conflict.ts'
import { BatchSize, Course, type CourseHost, type Pending } from './course.ts'
import type { MergeTables, Ran, Transaction } from './merge-tables.ts'
import type { MergeParts } from './parts.ts'
import { beyond, isEmpty, type Placed } from './placed.ts'
import type { Reading } from './reading.ts'
import { RowMemory } from './row-memory.ts'
import type { MergeRules } from './rules.ts'
import { pick } from './table-rows.ts'
import { applyInverses } from './take-back.ts'

export class Execution {
  /** To be replaced when the schema or the rules have changed. */
  reading: Reading
  readonly #db: DatabaseSync
  readonly #tables: MergeTables
  readonly #parts: MergeParts
  readonly #batchSize = new BatchSize()

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
    for (const each of undo) {
      this.#tables.remove(each, each.effect === null)
      if (this.#parts.withdraws && each.effect !== null) this.#tables.withdraw(each.stamp)
    }
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
    const { context } = this.reading
    // What writes where something was taken back will hardly find everything as it was.
    const disputed = new KeySet()
    for (const { footprint } of undone) disputed.addAll(footprint.written)
    const contested = contestedOf(run)
    const hasUnseen = (keys: readonly Key[], { stamp: { origin }, seen }: Placed) =>
      index?.hasUnseen(keys, origin, seen) === true
    new Course(
      this.#hostOf(reached),
      new RowMemory(context.rows),
      this.#batchSize,
      (each) => disputed.hasAny(each.own.written) || hasUnseen(each.own.written, each),
      (each) => contested.hasAny(each.own.values) || hasUnseen(each.own.values, each),
    ).run(run)
    return reached
  }

  #hostOf(reached: Placed[]): CourseHost {
    return {
      createBatch: this.#parts.createBatch,
      foresee: (memory, { changes }) => this.#parts.foresee(this.reading.context, memory, changes),
      apply: (some) => this.#apply(some),
      applied: ({ each, forecast }) => {
        if (forecast.kind === 'as-made') this.note(each, false)
        else reached.push(this.#noteDecided(each, { ...forecast, deleted: [] }))
      },
      runByRules: (each, memory) => {
        const outcome = this.#runByRules(each)
        reached.push(this.#noteDecided(each, outcome))
        this.#dropRows(outcome.effect, memory)
      },
      forgetRows: ({ changes }, memory) => this.#dropRows(changes, memory),
    }
  }

  /** As one. */
  #apply(some: readonly Pending[]): boolean {
    const [first] = some
    // Its changes could not be taken back: they lack what was in the columns added since.
    if (some.length === 1 && first?.each.own.narrow && first.each.own.deletes) return false
    return this.#applySome(
      some.map(({ each, forecast }) => {
        return forecast.kind === 'as-made' ? each : { ...each, changes: forecast.effect }
      }),
    )
  }

  #dropRows(changes: Uint8Array, memory: RowMemory): void {
    if (memory.isEmpty) return
    for (const { table: name, before, after } of readExactly(changes)) {
      const table = tableOf(this.reading.catalog, name)
      memory.drop(table, pick(before ?? after ?? [], table.key))
    }
  }

  /**
   * The same of those that can only run as they were made.
   *
   * @returns false: one can't, and none has run
   */
  runAsMade(run: readonly Placed[]): boolean {
    const batches = this.#batchesOf(run)
    const [only] = batches
    // As one it is all or nothing already.
    if (batches.length === 1 && only !== undefined) return this.#applySome(only)
    this.#db.exec('savepoint _quorate_as_made')
    const fits = batches.every((some) => this.#applySome(some))
    const back = fits ? '' : 'rollback to _quorate_as_made; '
    this.#db.exec(`${back}release _quorate_as_made`)
    return fits
  }

  #batchesOf(run: readonly Placed[]): readonly (readonly Placed[])[] {
    const batches: Placed[][] = []
    let batch = this.#parts.createBatch()
    let some: Placed[] = []
    for (const each of run) {
      if (some.length >= BatchSize.MOST || !batch.mayTake(each.own)) {
        batches.push(some)
        batch = this.#parts.createBatch()
        some = []
      }
      batch.take(each.own)
      some.push(each)
    }
    return [...batches, some]
  }

  #applySome(some: readonly Placed[]): boolean {
    if (some.length === 0) return true
    const { context } = this.reading
    const checks = {
      foreignKeys: some.some(({ own }) => own.foreign) ? context.foreignKeys : null,
      exactly: some.some(({ own }) => own.loose) ? context : null,
    }
    const changesets = some.map(({ changes }) => changes).filter(({ length }) => length > 0)
    if (changesets.length === 0) return true
    return this.#parts.applyNatively(this.#db, changesets, checks)
  }

  #runByRules(each: Placed): RuleOutcome {
    const findDeleted = this.#parts.findDeleted((table, key) =>
      this.#tables.findDeleted(table, key, each),
    )
    return this.#parts.runByRules({ ...this.reading.context, findDeleted }, each.changes)
  }

  /** @returns it, with what it met besides its own */
  #noteDecided(each: Placed, { conflicts, deleted, effect, touched }: RuleOutcome): Placed {
    const { footprints, catalog, rules } = this.reading
    const reached = beyond(footprints.ofRows(touched), each.own)
    this.#tables.add({ ...each, effect, reached: isEmpty(reached) ? null : reached })
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
   * @param mayDelete false: it deletes no row
   */
  note(transaction: Transaction, mayWait: boolean, mayDelete = true): void {
    const { recent } = this.#tables
    if (mayWait && recent.mayAdd(transaction)) recent.add(transaction, mayDelete)
    else this.#write(transaction)
  }

  /** Puts into the file what is in the log only, until no more than so many bytes are. */
  save(most = 0): void {
    for (const each of this.#tables.recent.takeAbove(most)) this.#write(each)
  }

  /** What is in the log only and is not later than a time leaves nothing but what it deleted. */
  passRecent(stable: ClockTime): void {
    const { last, deleting } = this.#tables.recent.passThrough(stable)
    for (const each of deleting) this.#bury(each)
    for (const [origin, number] of last) this.#tables.passed(origin, number)
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

/** The values of unique indexes that more than one of them takes or gives up. */
function contestedOf(run: readonly Placed[]): KeySet {
  const [once, more] = [new KeySet(), new KeySet()]
  for (const { own } of run) {
    if (own.values.length === 0) continue
    for (const key of new Set(own.values)) (once.has(key) ? more : once).add(key)
  }
  return more
}
