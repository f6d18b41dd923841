/**
 * Gathers what the exchange orders of the store into `merge` entries of the group's log. At once
 * when nobody writes here; while local writes wait, seldom: each such entry costs them a commit,
 * since they must see what was merged.
 */
import type { StoreOrder } from '../../core/order/clock/exchange/types.ts'
import type { MergeOperation } from '../../model/origin-entry.ts'
import type { Merged } from '../../store/types.ts'
import {
  BEHIND_MS,
  BEHIND_SHARE,
  CONFLICTS_KEPT,
  FORGET_MS,
  GATHER_MS_MAX,
  MERGE_BYTES,
  MERGE_BYTES_MAX,
  MERGE_MS,
  MERGE_OPERATIONS_MAX,
  TURN_MS,
} from './settings.ts'

/** What the writer does for clients here, and when it is. */
export interface LocalWrites {
  /** Monotonic, ms. */
  readonly now: number
  readonly wallMs: number
  readonly queued: number
  /** When a batch was last seen to start or to be under way, monotonic ms. */
  readonly activeAt: number
  /** Somebody here waits for what others wrote, or until the order is final, which that decides. */
  isAwaited(): boolean
}

export class Intake {
  #orders: StoreOrder[] = []
  #bytes = 0
  #stable = 0
  #forgotten = 0
  #forgottenAt = Number.NEGATIVE_INFINITY
  #startedAt = Number.NEGATIVE_INFINITY
  #endedAt = Number.NEGATIVE_INFINITY
  /** Orders that somebody waits for our answer to. */
  #asked = 0
  #isHot = false
  /** An entry is on its way into the log, or not yet applied. */
  #busy = false

  /** Everything that was ordered is in the data. */
  get atRest(): boolean {
    return !this.#busy && this.#orders.length === 0
  }

  add(orders: readonly StoreOrder[]): void {
    for (const order of orders) {
      this.#orders.push(order)
      if (isAsked(order)) this.#asked += 1
      if (order.kind === 'take') this.#bytes += order.entry.bytes
    }
  }

  /** The order is final through a time. */
  stable(time: number): void {
    this.#stable = time
  }

  /**
   * The operations of the next entry, if it is time for one; `done` is to be called when they are
   * applied.
   */
  take(writes: LocalWrites): readonly MergeOperation[] | null {
    const { now } = writes
    if (this.#busy) return null
    const forgets = this.#stable > this.#forgotten && now - this.#forgottenAt >= FORGET_MS
    if (this.#orders.length === 0 && !forgets) return null
    const gatherMs = Math.min(this.#tookMs, GATHER_MS_MAX)
    if (this.#isHot && !this.#isUrgent(writes) && now - this.#endedAt < gatherMs) return null
    const isContended = writes.queued > 0 || now - writes.activeAt < TURN_MS
    if (isContended && !this.#isDue(writes)) return null
    const operations: MergeOperation[] = this.#cut()
    if (forgets) {
      const conflictsUntil = Math.max(0, this.#stable - CONFLICTS_KEPT)
      operations.push({ kind: 'forget', stable: this.#stable, conflictsUntil })
      this.#forgotten = this.#stable
      this.#forgottenAt = now
    }
    this.#busy = true
    this.#startedAt = now
    return operations
  }

  /**
   * Where more is taken back than arrives, all that came later runs again for each entry: the next
   * one gathers for a while and takes all that there is, so that there are few of them.
   */
  merged({ transactions, takenBack }: Pick<Merged, 'transactions' | 'takenBack'>): void {
    this.#isHot = takenBack > transactions
  }

  /** @param now monotonic, ms */
  done(now: number): void {
    this.#busy = false
    this.#endedAt = now
  }

  /**
   * Turn by turn: what waits here had its turn last, if no batch has run since, and has as much time
   * as the last merge took, or a part of that if we are behind: then more written here would be more
   * to put in order, and we might never be level. Not for ever: what holds the writer up may be just
   * what is to be merged.
   */
  #isDue(writes: LocalWrites): boolean {
    const { now, queued, activeAt } = writes
    const isTheirTurn = queued > 0 && activeAt < this.#endedAt
    if (isTheirTurn && now - this.#endedAt < TURN_MS) return false
    if (this.#isUrgent(writes)) return true
    const turnMs = this.#isBehind(writes) ? this.#tookMs / BEHIND_SHARE : this.#tookMs
    if (now - this.#endedAt < turnMs) return false
    return this.#bytes >= MERGE_BYTES || now - this.#startedAt >= MERGE_MS
  }

  get #tookMs(): number {
    return this.#endedAt - this.#startedAt
  }

  /** What is merged next was written long ago. */
  #isBehind({ wallMs }: LocalWrites): boolean {
    const [first] = this.#orders
    return first?.kind === 'take' && first.entry.time / 1_000 < wallMs - BEHIND_MS
  }

  /** Somebody waits for what one of them tells, here or, for our answer to it, elsewhere. */
  #isUrgent(writes: LocalWrites): boolean {
    return this.#asked > 0 || (this.#orders.length > 0 && writes.isAwaited())
  }

  /** What goes into one entry: at least one order. */
  #cut(): MergeOperation[] {
    const [bytesMax, countMax] = this.#isHot
      ? [Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY]
      : [MERGE_BYTES_MAX, MERGE_OPERATIONS_MAX]
    let bytes = 0
    let count = 0
    for (const order of this.#orders) {
      const size = order.kind === 'take' ? order.entry.bytes : 0
      const isFull = bytes + size > bytesMax || count >= countMax
      if (count > 0 && isFull) break
      bytes += size
      count += 1
    }
    this.#bytes -= bytes
    const cut = this.#orders.splice(0, count)
    this.#asked -= cut.filter(isAsked).length
    return cut
  }
}

function isAsked(order: StoreOrder): boolean {
  return order.kind === 'take' && order.entry.answer === 'now'
}
