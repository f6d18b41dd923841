/**
 * A replica's transactions in stamp order, and its rows as running them in that order leaves them.
 * What arrives late is put in its place: the later ones that meet it are taken back and run again,
 * all in one SQLite transaction, so that a reader never sees the middle. Works on a connection
 * without triggers and with foreign keys off.
 */
import type { DatabaseSync } from 'node:sqlite'
import { assert } from '../../base/assert.ts'
import { QuorateError } from '../../base/errors.ts'
import { type Frontier, meet } from '../../core/order/clock/frontier.ts'
import { KeySet } from '../../core/order/clock/key-set.ts'
import type { Footprint } from '../../core/order/clock/placement.ts'
import {
  type ClockTime,
  compareStamps,
  type Origin,
  type Stamp,
} from '../../core/order/clock/stamp.ts'
import { readExactly } from '../../model/changeset.ts'
import type { RuleContext } from './by-rules.ts'
import { type Catalog, grown, tableOf } from './catalog.ts'
import { type Conflict, type Deleted, staysOpen } from './conflict.ts'
import { Derived } from './derived.ts'
import type { MergeFootprint } from './footprint.ts'
import { MergeTables, type Ran, type Transaction } from './merge-tables.ts'
import { type MergeParts, PARTS } from './parts.ts'
import { type MergeFunctions, readRules } from './rule-book.ts'
import type { MergeRules } from './rules.ts'
import { pick, TableRows } from './table-rows.ts'
import { applyInverses } from './take-back.ts'

export interface MergeReport {
  /** Transactions that were not here yet. */
  readonly merged: number
  /** Those that had to be taken back for them, and have run again. */
  readonly takenBack: number
  /** Those of both that could not run as they were made. */
  readonly byRules: number
}

/** One that is here or to be, with what it can meet others at. */
interface Placed extends Ran {
  readonly own: MergeFootprint
  readonly footprint: Footprint
}

/** By stamp: what transactions turned out to meet. */
type Wider = Map<string, Footprint>

/** What depends on the schema and the rules. */
interface Reading {
  readonly catalog: Catalog
  readonly rules: MergeRules
  readonly footprints: ReturnType<MergeParts['createFootprints']>
  readonly context: Omit<RuleContext, 'findDeleted'>
  readonly derived: Derived
}

/** Transactions applied as one; fewer after one did not fit, and more again. */
const BATCH_MAX = 512
const BATCH_MIN = 8
const NOBODY: Footprint = { written: [], needed: [] }

export class OrderedTransactions {
  readonly #db: DatabaseSync
  readonly #functions: MergeFunctions
  readonly #parts: MergeParts
  readonly #tables: MergeTables
  #reading: Reading
  #batchMax = BATCH_MAX

  /**
   * Makes its tables if they are not there.
   *
   * Throws NOT_ADOPTABLE for tables that can't be merged, MERGE_FUNCTION_MISSING.
   */
  constructor(db: DatabaseSync, functions: MergeFunctions = new Map(), parts: MergeParts = PARTS) {
    this.#db = db
    this.#functions = functions
    this.#parts = parts
    this.#tables = new MergeTables(db)
    this.#reading = this.#read()
  }

  /** The schema or the rules have changed. */
  reread(): void {
    this.#reading = this.#read()
  }

  /** The changes of a transaction as they travel: without what each replica derives by itself. */
  travelling(changes: Uint8Array): Uint8Array {
    return this.#reading.derived.without(changes)
  }

  /**
   * Puts transactions in their place, in a SQLite transaction that is open. Those that are here
   * already are ignored.
   *
   * @throws QuorateError LOG_CORRUPT if one comes too late for its place, or something that ran
   *   can't be taken back; then the SQLite transaction must be rolled back
   */
  merge(arrivals: readonly Transaction[]): MergeReport {
    const coming = this.#fresh(arrivals)
    const [earliest] = coming
    if (earliest === undefined) return { merged: 0, takenBack: 0, byRules: 0 }
    const enforced = this.#db.prepare('pragma foreign_keys').get()?.['foreign_keys']
    assert(enforced === 0, () => 'SQLite would act on foreign keys while transactions are merged')
    return this.#reading.derived.follow(() => this.#putInPlace(coming, earliest.stamp))
  }

  /** Notes a transaction that has just run here by itself, later than everything that is here. */
  adopt(transaction: Transaction): void {
    const { stamp, changes } = transaction
    assert(!this.#tables.hasFrom(stamp), () => `adopted at ${stamp.time}, before something here`)
    this.#note(transaction, this.#reading.footprints.of(changes))
  }

  /**
   * Forgets what can't matter any more.
   *
   * @param stable the time through which the order is final here
   * @param seen of each origin that may write, what its latest entry up to that time had seen
   * @param conflictsUntil conflicts up to this time go, unless somebody has to deal with them
   */
  forget(
    stable: ClockTime,
    seen: ReadonlyMap<Origin, Frontier>,
    conflictsUntil: ClockTime = 0,
  ): void {
    const frontiers = [...seen.values()]
    const all = frontiers.length === 0 ? new Map() : frontiers.reduce(meet)
    this.#tables.forget(stable, all, conflictsUntil)
  }

  // What arrives

  /** Those that are not here, in stamp order. */
  #fresh(arrivals: readonly Transaction[]): readonly Placed[] {
    const known = new Map<Origin, { readonly last: number; readonly forgotten: number }>()
    const final = this.#tables.final()
    const fresh = new Map<string, Transaction>()
    for (const each of arrivals) {
      const { stamp, sequence } = each
      const { origin } = stamp
      let about = known.get(origin)
      if (about === undefined) {
        about = { last: this.#tables.lastOf(origin), forgotten: this.#tables.forgotten(origin) }
        known.set(origin, about)
      }
      if (sequence <= about.forgotten) continue
      if (sequence <= about.last && this.#tables.has(origin, sequence)) continue
      if (stamp.time <= final) {
        const detail = `Transaction ${sequence} of ${origin} comes after its place became final.`
        throw new QuorateError('LOG_CORRUPT', detail)
      }
      fresh.set(nameOf(stamp), each)
    }
    return [...fresh.values()]
      .sort((a, b) => compareStamps(a.stamp, b.stamp))
      .map((each) => this.#placed({ ...each, effect: null, reached: null }, new Map()))
  }

  #placed(ran: Ran, wider: Wider): Placed {
    const own = this.#reading.footprints.of(ran.changes)
    const more = wider.size === 0 ? null : wider.get(nameOf(ran.stamp))
    return { ...ran, own, footprint: joined(own, ran.reached, more) }
  }

  // Placement

  /** Again and again until nothing that stayed would have met something that ran. */
  #putInPlace(coming: readonly Placed[], earliest: Stamp): MergeReport {
    const wider: Wider = new Map()
    for (let before = -1; ; ) {
      const arrivals = coming.map((each) => this.#widened(each, wider))
      const { undo, run } = this.#parts.place(arrivals, this.#later(earliest, wider, NO_STAMPS))
      assert(undo.length > before, () => `takes back ${undo.length} again, after ${before}`)
      before = undo.length
      this.#db.exec('savepoint _quorate_place')
      this.#takeBack(undo)
      const reached = this.#runAll(run, undo)
      if (!this.#meetsOthers(reached, run, earliest)) {
        this.#db.exec('release _quorate_place')
        return { merged: coming.length, takenBack: undo.length, byRules: reached.length }
      }
      this.#db.exec('rollback to _quorate_place; release _quorate_place')
      for (const { stamp, footprint } of reached) {
        const name = nameOf(stamp)
        wider.set(name, joined(wider.get(name) ?? NOBODY, footprint))
      }
    }
  }

  #widened(each: Placed, wider: Wider): Placed {
    const more = wider.get(nameOf(each.stamp))
    return more === undefined ? each : { ...each, footprint: joined(each.footprint, more) }
  }

  *#later(stamp: Stamp, wider: Wider, except: ReadonlySet<string>): Generator<Placed> {
    for (const ran of this.#tables.later(stamp)) {
      if (except.size === 0 || !except.has(nameOf(ran.stamp))) yield this.#placed(ran, wider)
    }
  }

  #meetsOthers(reached: readonly Placed[], run: readonly Placed[], earliest: Stamp): boolean {
    if (
      reached.every(({ footprint }) => footprint.written.length + footprint.needed.length === 0)
    ) {
      return false
    }
    const except = new Set(run.map(({ stamp }) => nameOf(stamp)))
    return this.#parts.place(reached, this.#later(earliest, new Map(), except)).undo.length > 0
  }

  // Running

  #takeBack(undo: readonly Placed[]): void {
    const inverses = undo.map(({ changes, effect }) => this.#parts.invert(effect ?? changes))
    if (inverses.length > 0 && !applyInverses(this.#db, inverses, this.#reading.catalog)) {
      const detail = `Transactions from ${undo.at(-1)?.stamp.time} on can't be taken back: rows have changed.`
      throw new QuorateError('LOG_CORRUPT', detail)
    }
    for (const { stamp } of undo) this.#tables.remove(stamp, this.#parts.withdraws)
  }

  /** @returns those that did not run as they were made, with what they met besides their own */
  #runAll(run: readonly Placed[], undone: readonly Placed[]): readonly Placed[] {
    const reached: Placed[] = []
    // What writes where something was taken back will hardly find everything as it was.
    const disputed = new KeySet()
    for (const { footprint } of undone) disputed.addAll(footprint.written)
    let batch = this.#parts.createBatch()
    let some: Placed[] = []
    for (const each of run) {
      const doubtful = disputed.hasAny(each.own.written)
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
    const { context } = this.#reading
    const checks = {
      foreignKeys: some.some(({ own }) => own.foreign) ? context.foreignKeys : null,
      exactly: some.some(({ own }) => own.loose) ? context : null,
    }
    const changesets = some.map(({ changes }) => changes)
    if (this.#parts.applyNatively(this.#db, changesets, checks)) {
      this.#batchMax = Math.min(this.#batchMax * 2, BATCH_MAX)
      for (const each of some) this.#note(each, each.own)
      return
    }
    const [only] = some
    if (some.length === 1 && only !== undefined) reached.push(this.#runByRules(only))
    else {
      this.#batchMax = Math.max(this.#batchMax >> 1, BATCH_MIN)
      const half = some.length >> 1
      this.#runSome(some.slice(0, half), reached)
      this.#runSome(some.slice(half), reached)
    }
  }

  /** Notes a transaction that has run exactly as it was made. */
  #note(transaction: Transaction, { deletes }: MergeFootprint): void {
    this.#tables.add({ ...transaction, effect: null, reached: null })
    if (deletes) this.#tables.bury(transaction, deletedBy(transaction, this.#reading.catalog))
  }

  #runByRules(each: Placed): Placed {
    const { context, footprints, catalog, rules } = this.#reading
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

  #read(): Reading {
    const [db, parts] = [this.#db, this.#parts]
    const catalog = parts.readCatalog(db)
    const rules = readRules(db, catalog, this.#functions)
    const rows = new TableRows(db)
    const foreignKeys = parts.createForeignKeys(catalog, rows)
    const { decide } = parts
    return {
      catalog,
      rules,
      footprints: parts.createFootprints(catalog),
      context: { db, catalog, rows, foreignKeys, rules, decide },
      derived: new Derived(db, catalog),
    }
  }
}

const NO_STAMPS: ReadonlySet<string> = new Set()

function nameOf({ time, origin }: Stamp): string {
  return `${time} ${origin}`
}

function joined(...footprints: readonly (Footprint | null | undefined)[]): Footprint {
  const [first, ...others] = footprints.filter((each) => each !== null && each !== undefined)
  if (first !== undefined && others.length === 0) return first
  const all = first === undefined ? [] : [first, ...others]
  return {
    written: all.flatMap(({ written }) => written),
    needed: all.flatMap(({ needed }) => needed),
  }
}

/** The keys of `more` that `own` does not have. */
function beyond(more: Footprint, own: Footprint): Footprint {
  const [written, any] = [new KeySet(), new KeySet()]
  written.addAll(own.written)
  any.addAll(own.written)
  any.addAll(own.needed)
  return {
    written: [...new Set(more.written)].filter((key) => !written.has(key)),
    needed: [...new Set(more.needed)].filter((key) => !any.has(key)),
  }
}

/** The rows that a transaction deletes which runs as it was made. */
function deletedBy({ changes }: Transaction, catalog: Catalog): readonly Deleted[] {
  return [...readExactly(changes)].flatMap(({ op, table: name, before }) => {
    if (op !== 'delete') return []
    const table = tableOf(catalog, name)
    const row = grown(table, before ?? [])
    return [{ table: table.name, key: pick(row, table.key), row }]
  })
}

function isOpen(conflict: Conflict, rules: MergeRules, catalog: Catalog): boolean {
  return staysOpen(conflict, rules, tableOf(catalog, conflict.table).columns)
}
