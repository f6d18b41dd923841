/**
 * When to start the next batch. Bigger batches cost less for each write: one message between
 * threads, one flush and one round to the peers whatever their size. Measured with 64 callers in a
 * closed loop: starting as soon as the store was free gave batches of 20 and took a third more
 * processor time for each write than what is done here.
 *
 * 1. While a batch is under way the next one gathers, unless the round takes longer than it does
 *    between machines that are near: waiting would then cost more than it saves.
 * 2. When a batch is answered, its callers most likely come back with their next write at once. The
 *    next batch waits for as many as were answered, a millisecond at most; if they did not come, no
 *    batch waits for a while.
 */

/** How long a batch waits for callers to come back, ms. */
export const LINGER_MS = 3
/** A batch that is under way for longer is not waited for, ms. */
export const ROUND_MS = 10
/** Batches that start without waiting after one that waited in vain. */
const PAUSE_BATCHES = 32
/** Nearly all is good enough: a caller more or less must not cost a millisecond. */
const ENOUGH = 0.9

export interface BatchState {
  /** Programs that wait. */
  readonly queued: number
  /** Something that was executed is not committed yet. */
  readonly underWay: boolean
  /** Monotonic ms. */
  readonly now: number
}

export class BatchTiming {
  /** Size of the batch under way, or of the last one. */
  #size = 0
  #startedAt = Number.NEGATIVE_INFINITY
  /** Callers that the next batch waits for; null: a batch is under way. */
  #expected: number | null = 0
  #lingerUntil = 0
  #pause = 0

  /** When the last batch started, monotonic ms. */
  get startedAt(): number {
    return this.#startedAt
  }

  /** Whether to start now; `wait` is to be asked again after LINGER_MS at the latest. */
  look({ queued, underWay, now }: BatchState): 'start' | 'wait' {
    if (underWay) {
      // It may be what other groups wrote, after the last batch: the callers' time begins after it.
      this.#lingerUntil = now + LINGER_MS
      return queued > 0 && now - this.#startedAt >= ROUND_MS ? 'start' : 'wait'
    }
    if (this.#expected === null) {
      this.#expected = (this.#size + queued) * ENOUGH
      this.#lingerUntil = now + LINGER_MS
    }
    if (queued === 0) return 'wait'
    if (queued >= this.#expected || this.#pause > 0) return 'start'
    if (now < this.#lingerUntil) return 'wait'
    this.#pause = PAUSE_BATCHES
    return 'start'
  }

  started(size: number, now: number): void {
    this.#size = size
    this.#startedAt = now
    this.#expected = null
    if (this.#pause > 0) this.#pause -= 1
  }
}
