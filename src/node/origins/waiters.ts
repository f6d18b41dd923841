/** Callers that wait until something is so here, or until it is too late for them. */

interface Waiter {
  readonly isOver: () => boolean
  /** Monotonic ms. */
  readonly deadline: number
  readonly done: (isOver: boolean) => void
}

export class Waiters {
  #waiting: Waiter[] = []

  get size(): number {
    return this.#waiting.length
  }

  add(waiter: Waiter): void {
    if (waiter.isOver()) waiter.done(true)
    else this.#waiting.push(waiter)
  }

  /** Looks again; what they do when they are told may add others. */
  check(now: number): void {
    if (this.#waiting.length === 0) return
    const waiting = this.#waiting
    this.#waiting = []
    for (const waiter of waiting) {
      if (waiter.isOver()) waiter.done(true)
      else if (waiter.deadline <= now) waiter.done(false)
      else this.#waiting.push(waiter)
    }
  }
}
