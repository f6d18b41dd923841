/**
 * When to start the next batch. Bigger batches cost less for each write: one message between
 * threads, one flush and one round to the peers whatever their size. Measured with 64 callers in a
 * closed loop: starting as soon as the store was free gave batches of 20 and took a third more
 * processor time for each write than what is done here.
 *
 * 1. While a batch is under way the next one gathers, unless the round takes longer than it does
 *    between machines that are near: waiting would then cost more than it saves.
 * 2. When a batch is answered, its callers most likely come back with their next write at once. The
 *    next batch waits for as many as were answered, a few milliseconds at most. If they did not come,
 *    the next one does not wait, and longer and longer no batch does while they never come: one
 *    stall of a busy machine says nothing, callers that are not in a loop will not come again.
 */

/** How long a batch waits for callers to come back, ms; with 6, 16 callers of three nodes did less. */
export const LINGER_MS = 3
/** A batch that is under way for longer is not waited for, ms. */
export const ROUND_MS = 10
/** Batches at most that start without waiting after one that waited in vain. */
const PAUSE_BATCHES_MAX = 32
/** Nearly all is good enough: a caller more or less must not cost a millisecond. */
const ENOUGH = 0.9

export interface BatchState {
  /** Programs that wait. */
  readonly queued: number
  /** Something that was executed is not committed yet: the last batch, or only what is no batch. */
  readonly underWay: 'batch' | 'other' | null
  /** Monotonic ms. */
  readonly now: number
}

export class BatchTiming {
  /** Size of the batch under way, or of the last one. */
  #size = 0
  #startedAt = Number.NEGATIVE_INFINITY
  #activeAt = Number.NEGATIVE_INFINITY
  /** Callers that the next batch waits for; null: a batch is under way. */
  #expected: number | null = 0
  #lingerUntil = 0
  /** Batches that start without waiting from here, and after the next one that waited in vain. */
  #pause = 0
  #nextPause = 1

  /** When the last batch started, or was seen under way, monotonic ms. */
  get activeAt(): number {
    return this.#activeAt
  }

  /** Whether to start now; `wait` is to be asked again after LINGER_MS at the latest. */
  look({ queued, underWay, now }: BatchState): 'start' | 'wait' {
    if (underWay === 'batch') {
      this.#activeAt = now
      return this.#isLong(queued, now) ? 'start' : 'wait'
    }
    if (this.#expected === null) {
      this.#expected = (this.#size + queued) * ENOUGH
      this.#lingerUntil = now + LINGER_MS
    }
    if (underWay === 'other') {
      // It may be what other groups wrote: the callers' time to come back begins after it.
      this.#lingerUntil = now + LINGER_MS
      return this.#isLong(queued, now) ? 'start' : 'wait'
    }
    if (queued === 0) return 'wait'
    if (this.#pause > 0) return 'start'
    if (queued >= this.#expected) {
      if (this.#size > 1) this.#nextPause = 1
      return 'start'
    }
    if (now < this.#lingerUntil) return 'wait'
    // This one counts too.
    this.#pause = this.#nextPause + 1
    this.#nextPause = Math.min(this.#nextPause * 2, PAUSE_BATCHES_MAX)
    return 'start'
  }

  #isLong(queued: number, now: number): boolean {
    return queued > 0 && now - this.#startedAt >= ROUND_MS
  }

  started(size: number, now: number): void {
    this.#size = size
    this.#startedAt = now
    this.#activeAt = now
    this.#expected = null
    if (this.#pause > 0) this.#pause -= 1
  }
}
