/**
 * One go through transactions in their order. As many as possible are applied as one changeset: those
 * that will find all as it was where they were made, and those of which it is certain what the rules
 * make of them. What is doubtful is foreseen from rows in memory (forecast.ts); what can't be foreseen
 * runs alone.
 */
import { KeySet } from '../../core/order/clock/key-set.ts'
import { AS_MADE, type Certain, type Forecast } from './forecast.ts'
import { type Batch, partly } from './native.ts'
import type { Placed } from './placed.ts'
import type { RowMemory } from './row-memory.ts'

/** One that waits to be applied with its neighbours, and what it will do. */
export interface Pending {
  readonly each: Placed
  readonly forecast: Certain
}

/** What carries it out. */
export interface CourseHost {
  createBatch(): Pick<Batch, 'mayTake' | 'take'>
  foresee(memory: RowMemory, each: Placed): Forecast
  /** As one. False: one can't be as foreseen, and nothing has changed. */
  apply(some: readonly Pending[]): boolean
  /** Notes what has been applied. */
  applied(pending: Pending): void
  runByRules(each: Placed, memory: RowMemory): void
  /** Transactions that ran as they were made without having been foreseen. */
  forgetRows(each: Placed, memory: RowMemory): void
}

/** How many are applied as one: fewer after one did not fit, and more again. */
export class BatchSize {
  static readonly MOST = 512
  static readonly #LEAST = 8
  #size = BatchSize.MOST

  get size(): number {
    return this.#size
  }

  fitted(): void {
    this.#size = Math.min(this.#size * 2, BatchSize.MOST)
  }

  failed(): void {
    this.#size = Math.max(this.#size >> 1, BatchSize.#LEAST)
  }
}

export class Course {
  readonly #host: CourseHost
  readonly #memory: RowMemory
  readonly #batchSize: BatchSize
  readonly #isDoubtful: (each: Placed) => boolean
  readonly #isContested: (each: Placed) => boolean
  #pending: Pending[] = []
  #batch: Pick<Batch, 'mayTake' | 'take'>
  /** Keys of rows that what waits will change, and that are not in memory. */
  #unread = new KeySet()

  /**
   * @param isDoubtful whether one may find something not as it was; it must not say no of what others
   *   that are foreseen have changed
   * @param isContested whether one may break a constraint
   */
  constructor(
    host: CourseHost,
    memory: RowMemory,
    batchSize: BatchSize,
    isDoubtful: (each: Placed) => boolean,
    isContested: (each: Placed) => boolean,
  ) {
    this.#host = host
    this.#memory = memory
    this.#batchSize = batchSize
    this.#isDoubtful = isDoubtful
    this.#isContested = isContested
    this.#batch = host.createBatch()
  }

  run(transactions: readonly Placed[]): void {
    for (const each of transactions) this.#next(each)
    this.#flush()
  }

  #next(each: Placed): void {
    const { own } = each
    const isKnown = this.#memory.mayKnow(own.written)
    const isDoubtful = isKnown || this.#isDoubtful(each)
    if (this.#pending.length >= this.#batchSize.size || !this.#batch.mayTake(own)) this.#flush()
    if (isDoubtful && (own.alone || this.#isContested(each))) {
      this.#flush()
      this.#alone(each, false)
      return
    }
    const forecast: Forecast = isDoubtful ? this.#foresee(each) : AS_MADE
    if (forecast.kind === 'by-rules' || forecast.kind === 'unclear') {
      const isAsForeseen = this.#flush()
      this.#alone(each, isAsForeseen && forecast.kind === 'by-rules')
      return
    }
    if (!isDoubtful) this.#unread.addAll(own.written)
    const effective = forecast.kind === 'decided' && forecast.partly ? partly(own) : own
    if (effective !== own && !this.#batch.mayTake(effective) && !this.#flush()) {
      this.#alone(each, false)
      return
    }
    this.#batch.take(effective)
    this.#pending.push({ each, forecast })
  }

  #foresee(each: Placed): Forecast {
    const { written } = each.own
    if (this.#memory.isFull || this.#unread.hasAny(written)) this.#flush()
    if (this.#memory.isFull) this.#memory.clear()
    this.#memory.learn(written)
    return this.#host.foresee(this.#memory, each)
  }

  #alone(each: Placed, differs: boolean): void {
    const pending: Pending = { each, forecast: AS_MADE }
    if (!differs && this.#host.apply([pending])) {
      this.#host.applied(pending)
      this.#host.forgetRows(each, this.#memory)
    } else this.#host.runByRules(each, this.#memory)
  }

  /** False: not all was as foreseen, though all has run by now. */
  #flush(): boolean {
    const pending = this.#pending
    const [only] = pending
    this.#pending = []
    this.#batch = this.#host.createBatch()
    this.#unread = new KeySet()
    if (only === undefined) return true
    if (this.#host.apply(pending)) {
      this.#batchSize.fitted()
      for (const each of pending) this.#host.applied(each)
      return true
    }
    // What was foreseen of later ones counts on these.
    this.#memory.clear()
    if (pending.length === 1) this.#host.runByRules(only.each, this.#memory)
    else {
      this.#batchSize.failed()
      const half = pending.length >> 1
      this.run(pending.slice(0, half).map(({ each }) => each))
      this.run(pending.slice(half).map(({ each }) => each))
    }
    return false
  }
}
