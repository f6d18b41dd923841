/** Callers that wait for what the exchange will tell: copies, stability, what others have seen. */
import type { Wait } from '../../core/order/clock/exchange/types.ts'

interface Waiting {
  readonly wait: Wait
  /** Monotonic ms. */
  readonly deadline: number
  readonly done: (end: WaitEnd) => void
}

/** `late` and `gone` (leadership is): it is not known to be so; `wait` is what was waited for. */
export type WaitEnd = 'reached' | 'late' | 'gone'

export class Waits {
  readonly #waiting = new Map<number, Waiting>()
  #lastId = 0

  /** Whether anybody waits until the order is final. */
  get isForFinality(): boolean {
    for (const { wait } of this.#waiting.values()) if (wait.kind === 'stable') return true
    return false
  }

  /** @returns the id under which the exchange is to wait */
  add(wait: Wait, deadline: number, done: (end: WaitEnd) => void): number {
    this.#lastId += 1
    this.#waiting.set(this.#lastId, { wait, deadline, done })
    return this.#lastId
  }

  /** The exchange says that one is over. */
  reached(id: number): void {
    const waiting = this.#waiting.get(id)
    this.#waiting.delete(id)
    waiting?.done('reached')
  }

  /** @returns the ids of those that have waited too long, which are told so */
  expire(now: number): readonly number[] {
    const late = [...this.#waiting].filter(([, { deadline }]) => deadline <= now)
    for (const [id, { done }] of late) {
      this.#waiting.delete(id)
      done('late')
    }
    return late.map(([id]) => id)
  }

  /** There is no exchange any more. */
  abandon(): void {
    const all = [...this.#waiting.values()]
    this.#waiting.clear()
    for (const { done } of all) done('gone')
  }
}
