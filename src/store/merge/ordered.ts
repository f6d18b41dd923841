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
import type { Footprint } from '../../core/order/clock/key-set.ts'
import type { Tail } from '../../core/order/clock/placement.ts'
import {
  type ClockTime,
  compareStamps,
  type Origin,
  type Stamp,
} from '../../core/order/clock/stamp.ts'
import { hasDeletes } from '../../model/changeset.ts'
import type { ConflictNotice } from '../../model/origin-entry.ts'
import { tableOf, widened } from './catalog.ts'
import { releaseDerived } from './derived.ts'
import { Execution } from './execution.ts'
import { type Keyed, MergeTables, type Ran, type Transaction } from './merge-tables.ts'
import { type MergeParts, PARTS } from './parts.ts'
import { isEmpty, joined, NOBODY, nameOf, type Placed } from './placed.ts'
import { type Reading, read } from './reading.ts'
import type { MergeFunctions } from './rule-book.ts'
import { TailIndex } from './tail-index.ts'
import { applyInverses } from './take-back.ts'

export interface MergeReport {
  /** Transactions that were not here yet. */
  readonly merged: number
  /** Those that had to be taken back for them, and have run again. */
  readonly takenBack: number
  /** Those of both that could not run as they were made. */
  readonly byRules: number
  /** Conflicts that were not there before. */
  readonly conflicts: readonly ConflictNotice[]
}

/** By stamp: what transactions turned out to meet. */
type Wider = Map<string, Footprint>

const NOTHING_MERGED: MergeReport = { merged: 0, takenBack: 0, byRules: 0, conflicts: [] }
/** Transactions read for the index, or forgotten, in one go. */
const READ_MAX = 65_536
const FORGET_MAX = 50_000
/** So much need not be in the file: some 100 ms of work where it has to be. */
const RECENT_BYTES_MAX = 8 * 1024 * 1024

export class OrderedTransactions {
  readonly #db: DatabaseSync
  readonly #functions: MergeFunctions
  readonly #parts: MergeParts
  readonly #tables: MergeTables
  readonly #tail: TailIndex
  readonly #execution: Execution
  #areSettingsRight = false
  /** Of each origin that has been asked for: the highest number that may be here. */
  readonly #latest = new Map<Origin, number>()
  /** At most so many are not in the index of the tail. */
  #unread = Number.POSITIVE_INFINITY

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
    this.#execution = new Execution(db, this.#tables, parts, this.#read())
    this.#tail = new TailIndex(db, this.#tables, this.#keysOf.bind(this), parts.keysMax)
    // Several writers together may break what each of them has kept.
    db.exec('pragma ignore_check_constraints = off')
  }

  /**
   * The schema or the rules have changed. In the SQLite transaction in which they did: it may write to
   * quorate_conflicts, whose rows are as wide as their tables.
   */
  reread(): void {
    this.#execution.reading = this.#read()
    this.#dropIndex()
  }

  /**
   * The schema is about to change: what is made for the old one must not be in the way. In a SQLite
   * transaction that is open.
   */
  release(): void {
    this.save()
    releaseDerived(this.#db)
  }

  /** The changes of a transaction as they travel: without what each replica derives by itself. */
  travelling(changes: Uint8Array): Uint8Array {
    return this.#execution.reading.derived.without(changes)
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
    if (earliest === undefined) return NOTHING_MERGED
    this.#checkSettings()
    while (!this.#cover(earliest.stamp, READ_MAX));
    const { derived } = this.#execution.reading
    try {
      return derived.follow(() => this.#putInPlace(coming, earliest.stamp))
    } catch (error) {
      // It may know of what will be rolled back.
      this.#dropIndex()
      throw error
    }
  }

  /**
   * Does some of what a `merge` will have to do once: after a long cut the first of the others'
   * transactions come before all that was written here meanwhile, which has to be read. In a SQLite
   * transaction or in none.
   *
   * @param first the stamps of what is first in each part of the arrivals; asked for only if much has
   *   not been read
   * @param most how many transactions it may read; 10,000 take some 40 ms
   * @returns false: call it again, or `merge` will take as long as the rest takes
   */
  prepare(first: () => readonly Stamp[], most: number): boolean {
    if (this.#unread < most) return true
    const stamps = first().toSorted(compareStamps)
    const earliest = stamps.find((stamp) => !this.#tables.has(stamp))
    return earliest === undefined || this.#cover(earliest, most)
  }

  #cover(after: Stamp, most: number): boolean {
    const covered = this.#tail.cover(after, most)
    if (covered && this.#tail.isCurrent) this.#unread = 0
    return covered
  }

  /**
   * Notes transactions that have run here by themselves, in their order, all later than everything
   * that is here. What they meet is found out if anything comes before them, or right now while that
   * happens all the time.
   */
  adopt(transactions: readonly Transaction[]): void {
    const [first] = transactions
    if (first === undefined) return
    const { time } = first.stamp
    assert(!this.#tables.hasFrom(first.stamp), () => `adopted at ${time}, before something here`)
    const { index, isCurrent } = this.#tail
    if (index === null || !isCurrent) {
      for (const each of transactions) {
        this.#execution.note(each, true, hasDeletes(each.changes))
      }
      this.#unread += transactions.length
    } else {
      const { footprints } = this.#execution.reading
      for (const each of transactions) {
        const own = footprints.of(each.changes)
        this.#execution.note(each, true, own.deletes)
        this.#tail.add(each, own)
      }
      this.#tail.changed()
    }
    this.#passed(transactions)
    this.#limit()
  }

  /**
   * Where the log must be read from when the file is opened anew, with `remember` for what is found
   * there: the first entry with a transaction that is not in the file. Null: all are.
   */
  get firstUnsaved(): number | null {
    return this.#tables.recent.first
  }

  /** Puts everything into the file, in a SQLite transaction that is open. */
  save(): void {
    this.#execution.save()
  }

  /** After the file was opened: what had run, and may not be in it. */
  remember(transactions: readonly Transaction[]): void {
    for (const each of transactions) {
      const { stamp, sequence } = each
      if (sequence <= this.#tables.forgotten(stamp.origin) || this.#tables.has(stamp)) continue
      this.#execution.note(each, true)
      this.#passed([each])
    }
  }

  #limit(): void {
    // Half of it at a time: what is about to become final need not be written.
    if (this.#tables.recent.bytes > RECENT_BYTES_MAX) this.#execution.save(RECENT_BYTES_MAX / 2)
  }

  /**
   * Runs what has run at the leader of the group, in its order, where everything is as it was there.
   * Cheaper than `merge`, which does the same.
   *
   * @throws QuorateError LOG_CORRUPT, as `merge`
   */
  repeat(transactions: readonly Transaction[]): void {
    const changesets = transactions.map(({ changes }) => changes)
    const checks = { foreignKeys: null, exactly: null }
    const { derived } = this.#execution.reading
    const fits = derived.follow(() => this.#parts.applyNatively(this.#db, changesets, checks))
    // SQLite can't swap the values of a unique index row by row, and does nothing then.
    if (fits) this.adopt(transactions)
    else this.merge(transactions)
  }

  /**
   * Takes back the last ones that ran here, each as it was made, in a SQLite transaction that is open,
   * as if they had never run: rows, what is derived from them, and all that is noted of them.
   *
   * @param last in their order; nothing that is here is later than one of them
   * @throws QuorateError LOG_CORRUPT if something else is later, or rows are not as they left them;
   *   then the SQLite transaction must be rolled back
   */
  withdraw(last: readonly Transaction[]): void {
    const { catalog, derived } = this.#execution.reading
    const inverses = last.toReversed().map(({ changes }) => this.#parts.invert(changes))
    const [first] = last
    if (first === undefined) return
    this.#checkSettings()
    this.#dropIndex()
    this.save()
    const fits = derived.follow(() => applyInverses(this.#db, inverses, catalog))
    if (!fits) {
      const detail = `Transactions from ${first.stamp.time} on can't be taken back: rows have changed.`
      throw new QuorateError('LOG_CORRUPT', detail)
    }
    for (const each of last) {
      this.#tables.remove(each, false)
      this.#tables.withdraw(each.stamp)
    }
    if (!this.#tables.hasFrom(first.stamp)) return
    const detail = `Transactions from ${first.stamp.time} on can't be taken back: others have run after them.`
    throw new QuorateError('LOG_CORRUPT', detail)
  }

  /**
   * Does work on the rows as they were when nothing later than a time had run, or than what is final
   * by now if that is later. All that is later is taken back for that, in a SQLite transaction that is
   * open and that the caller must roll back in the end: nothing else remembers it.
   *
   * @throws QuorateError LOG_CORRUPT if something that ran can't be taken back; all must have been
   *   saved
   */
  asOf<T>(time: ClockTime, work: () => T): T {
    const through = Math.max(time, this.#tables.final())
    const later = [...this.#tables.later({ time: through + 1, origin: '' })]
    if (later.length > 0) {
      this.#checkSettings()
      const { derived } = this.#execution.reading
      derived.follow(() => this.#execution.takeBack(later.toReversed()))
      this.#tables.watch()
    }
    return work()
  }

  /**
   * Forgets what can't matter any more, the oldest first and not all at once, so that it takes some
   * tens of milliseconds at most. What is left behind does no harm and goes with the next calls.
   *
   * @param stable the time through which the order is final here
   * @param seen of each origin that may write, what its latest entry up to that time had seen
   * @param conflictsUntil conflicts up to this time go, unless somebody has to deal with them
   * @returns false: there is more to forget
   */
  forget(
    stable: ClockTime,
    seen: ReadonlyMap<Origin, Frontier>,
    conflictsUntil: ClockTime = 0,
  ): boolean {
    const frontiers = [...seen.values()]
    const all = frontiers.length === 0 ? new Map() : frontiers.reduce(meet)
    this.#tail.forget(stable)
    this.#execution.passRecent(stable)
    const isDone = this.#tables.forgetRest(stable, all, conflictsUntil, FORGET_MAX)
    return this.#tables.forget(stable, FORGET_MAX) && isDone
  }

  #dropIndex(): void {
    this.#tail.drop()
    this.#unread = Number.POSITIVE_INFINITY
  }

  /** Foreign keys would act where nobody sees it; CHECK has to be kept among several writers. */
  #checkSettings(): void {
    if (this.#areSettingsRight) return
    const [enforced, ignored] = ['foreign_keys', 'ignore_check_constraints'].map(
      (name) => Object.values(this.#db.prepare(`pragma ${name}`).get() ?? {})[0],
    )
    assert(enforced === 0, () => 'SQLite would act on foreign keys while transactions are merged')
    assert(ignored === 0, () => 'SQLite would not check rows while transactions are merged')
    this.#areSettingsRight = true
  }

  /** What a transaction can meet others at. */
  #keysOf({ changes, reached }: Keyed): Footprint {
    return joined(this.#execution.reading.footprints.of(changes), reached)
  }

  #read(): Reading {
    const reading = read(this.#db, this.#functions, this.#parts)
    const { catalog } = reading
    this.#tables.widen(
      (name) => catalog.get(name.toLowerCase())?.columns.length ?? 0,
      (name, cells) => widened(tableOf(catalog, name), cells),
    )
    return reading
  }

  // What arrives

  /** Those that are not here, in stamp order. */
  #fresh(arrivals: readonly Transaction[]): readonly Placed[] {
    const sorted = arrivals.toSorted((a, b) => compareStamps(a.stamp, b.stamp))
    const [first] = sorted
    if (first === undefined) return []
    const final = this.#tables.final()
    const forgotten = new Map<Origin, number>()
    const fresh: Placed[] = []
    let [writer, gone, latest]: [Origin | null, number, number] = [null, 0, 0]
    for (const each of sorted) {
      const { stamp, sequence } = each
      const { origin } = stamp
      if (origin !== writer) {
        writer = origin
        gone = forgotten.get(origin) ?? this.#tables.forgotten(origin)
        forgotten.set(origin, gone)
        latest = this.#latestOf(origin)
      }
      if (sequence <= gone) continue
      if (sequence <= latest && this.#tables.has(stamp)) continue
      const before = fresh.at(-1)
      if (before !== undefined && compareStamps(before.stamp, stamp) === 0) continue
      if (stamp.time <= final) {
        const detail = `Transaction ${sequence} of ${origin} comes after its place became final.`
        throw new QuorateError('LOG_CORRUPT', detail)
      }
      fresh.push(this.#arrived(each))
    }
    return fresh
  }

  /** No transaction of an origin with a higher number is here. */
  #latestOf(origin: Origin): number {
    const known = this.#latest.get(origin)
    if (known !== undefined) return known
    const latest = this.#tables.latestOf(origin)
    this.#latest.set(origin, latest)
    return latest
  }

  #passed(some: readonly Pick<Transaction, 'stamp' | 'sequence'>[]): void {
    let before: Origin | null = null
    // The last one of a run of an origin has the highest number.
    for (const { stamp, sequence } of some.toReversed()) {
      if (stamp.origin === before) continue
      before = stamp.origin
      if (sequence > this.#latestOf(before)) this.#latest.set(before, sequence)
    }
  }

  #arrived({ stamp, sequence, seen, changes, at }: Transaction): Placed {
    const own = this.#execution.reading.footprints.of(changes)
    const [effect, reached, footprint] = [null, null, own]
    return { stamp, sequence, seen, changes, at, effect, reached, own, footprint }
  }

  #placed(ran: Ran, wider: Wider): Placed {
    const own = this.#execution.reading.footprints.of(ran.changes)
    const more = wider.size === 0 ? null : wider.get(nameOf(ran.stamp))
    return { ...ran, own, footprint: joined(own, ran.reached, more) }
  }

  // Placement

  #putInPlace(coming: readonly Placed[], earliest: Stamp): MergeReport {
    if (this.#runAsMade(coming, earliest)) {
      this.#noteArrivals(coming)
      this.#limit()
      return { ...NOTHING_MERGED, merged: coming.length }
    }
    this.save()
    return this.#runInOrder(coming, earliest)
  }

  /** The common case: nothing that is here meets them, and each finds all as it was where it ran. */
  #runAsMade(coming: readonly Placed[], earliest: Stamp): boolean {
    const { index, isCurrent } = this.#tail
    if (coming.some(({ own }) => own.narrow && own.deletes)) return false
    if (index !== null && isCurrent) {
      if (coming.some(({ stamp, seen, own }) => index.meets(stamp, seen, own))) return false
    } else if (this.#tables.hasFrom(earliest)) return false
    if (!this.#execution.runAsMade(coming)) return false
    for (const each of coming) this.#execution.note(each, true, each.own.deletes)
    return true
  }

  #noteArrivals(coming: readonly Placed[]): void {
    this.#passed(coming)
    for (const each of coming) this.#tail.add(each, each.own)
    if (!this.#tail.isCurrent) this.#unread += coming.length
    this.#tail.changed()
  }

  /** Again and again until nothing that stayed would have met something that ran. */
  #runInOrder(coming: readonly Placed[], earliest: Stamp): MergeReport {
    const wider: Wider = new Map()
    for (let before = -1; ; ) {
      const arrivals = coming.map((each) => this.#widened(each, wider))
      const { undo, run } = this.#parts.place(arrivals, this.#later(earliest, wider, NO_STAMPS))
      assert(undo.length > before, () => `takes back ${undo.length} again, after ${before}`)
      before = undo.length
      this.#tables.watch()
      this.#db.exec('savepoint _quorate_place')
      this.#execution.takeBack(undo)
      const reached = this.#execution.run(run, undo, this.#tail.index)
      const isDone = !this.#meetsOthers(reached, run, earliest)
      for (const each of reached) if (!isEmpty(each.footprint)) this.#tail.add(each, each.footprint)
      if (isDone) {
        this.#db.exec('release _quorate_place')
        this.#noteArrivals(coming)
        const conflicts = this.#tables.news()
        const counts = { takenBack: undo.length, byRules: reached.length }
        return { merged: coming.length, ...counts, conflicts }
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

  /** All that has run here after a stamp. */
  #later(stamp: Stamp, wider: Wider, except: ReadonlySet<string>): Tail<Placed> {
    const { index, isCurrent } = this.#tail
    if (index === null || !isCurrent) return this.#stream(stamp, wider, except)
    const load = (found: Stamp): Placed | null => {
      const ran = except.has(nameOf(found)) ? null : this.#tables.get(found)
      return ran === null ? null : this.#placed(ran, wider)
    }
    return { index, load }
  }

  *#stream(stamp: Stamp, wider: Wider, except: ReadonlySet<string>): Generator<Placed> {
    for (const ran of this.#tables.later(stamp)) {
      if (except.size === 0 || !except.has(nameOf(ran.stamp))) yield this.#placed(ran, wider)
    }
  }

  #meetsOthers(reached: readonly Placed[], run: readonly Placed[], earliest: Stamp): boolean {
    if (reached.every(({ footprint }) => isEmpty(footprint))) return false
    const except = new Set(run.map(({ stamp }) => nameOf(stamp)))
    return this.#parts.place(reached, this.#later(earliest, new Map(), except)).undo.length > 0
  }
}

const NO_STAMPS: ReadonlySet<string> = new Set()
