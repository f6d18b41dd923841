/**
 * Transactions that have run here as they were made and whose place may still change, in memory. Most
 * become final within a second and never meet anything: writing each to the file and deleting it
 * again would cost more than running it. Whoever opens the file finds them in the log.
 */
import { assert } from '../../base/assert.ts'
import {
  type ClockTime,
  compareStamps,
  type Origin,
  type Stamp,
} from '../../core/order/clock/stamp.ts'
import type { Transaction } from './merge-tables.ts'

/** What a transaction takes in memory beside its changes, about. */
const OVERHEAD_BYTES = 200

export class RecentTransactions {
  /** Of each origin in its order: later ones have later stamps. */
  readonly #queues = new Map<Origin, Queue>()
  #bytes = 0

  get bytes(): number {
    return this.#bytes
  }

  get isEmpty(): boolean {
    return this.#bytes === 0
  }

  /** The lowest place in the log that one of them has; null: there are none. */
  get first(): number | null {
    let first: number | null = null
    for (const { at } of this.#queues.values()) first = Math.min(first ?? at, at)
    return first
  }

  add(transaction: Transaction): void {
    const { origin } = transaction.stamp
    let queue = this.#queues.get(origin)
    if (queue === undefined) {
      queue = new Queue()
      this.#queues.set(origin, queue)
    }
    queue.push(transaction)
    this.#bytes += sizeOf(transaction)
  }

  /** Whether it may be added: the log has it, and nothing of its origin here is later. */
  mayAdd({ stamp, at }: Transaction): boolean {
    const last = this.#queues.get(stamp.origin)?.last
    if (at === undefined) return false
    return last === undefined || (last.stamp.time < stamp.time && (last.at ?? 0) <= at)
  }

  get({ time, origin }: Stamp): Transaction | null {
    const queue = this.#queues.get(origin)
    const found = queue?.get(queue.from(time))
    return found?.stamp.time === time ? found : null
  }

  /** Whether one of them is not before this stamp. */
  hasFrom(stamp: Stamp): boolean {
    for (const { last } of this.#queues.values()) {
      if (last !== undefined && compareStamps(last.stamp, stamp) >= 0) return true
    }
    return false
  }

  /**
   * Those after one stamp and before another, in their order.
   *
   * @param backwards the latest first
   */
  *between(after: Stamp, before: Stamp, backwards: boolean): Generator<Transaction> {
    const cursors = [...this.#queues].map(([origin, queue]) => {
      let from = queue.from(after.time)
      if (queue.get(from)?.stamp.time === after.time && origin <= after.origin) from += 1
      let to = queue.from(before.time)
      if (queue.get(to)?.stamp.time === before.time && origin < before.origin) to += 1
      return { queue, from, to }
    })
    const sign = backwards ? -1 : 1
    for (;;) {
      let best: Transaction | null = null
      let chosen: (typeof cursors)[number] | null = null
      for (const cursor of cursors) {
        if (cursor.from >= cursor.to) continue
        const head = cursor.queue.get(backwards ? cursor.to - 1 : cursor.from)
        if (head === undefined) continue
        if (best !== null && compareStamps(head.stamp, best.stamp) * sign >= 0) continue
        best = head
        chosen = cursor
      }
      if (best === null || chosen === null) return
      if (backwards) chosen.to -= 1
      else chosen.from += 1
      yield best
    }
  }

  /** Takes out all through a time, those of an origin in its order. */
  takeThrough(time: ClockTime): Transaction[] {
    const taken: Transaction[] = []
    for (const [origin, queue] of this.#queues) {
      this.#take(queue, queue.from(time + 1), taken)
      if (queue.last === undefined) this.#queues.delete(origin)
    }
    return taken
  }

  /** Takes out what the log has first, until no more than so many bytes are left. */
  takeAbove(bytes: number): Transaction[] {
    const taken: Transaction[] = []
    while (this.#bytes > bytes) {
      const { first } = this
      for (const [origin, queue] of this.#queues) {
        if (queue.at === first) this.#take(queue, queue.runLength, taken)
        if (queue.last === undefined) this.#queues.delete(origin)
      }
    }
    return taken
  }

  #take(queue: Queue, count: number, taken: Transaction[]): void {
    for (const transaction of queue.shift(count)) {
      this.#bytes -= sizeOf(transaction)
      taken.push(transaction)
    }
  }
}

function sizeOf({ changes }: Transaction): number {
  return changes.length + OVERHEAD_BYTES
}

/** Those of one origin; what was taken out of it in front is cleared away now and then. */
class Queue {
  #items: Transaction[] = []
  #start = 0

  get last(): Transaction | undefined {
    return this.#items.length > this.#start ? this.#items.at(-1) : undefined
  }

  /** Where the log has the first. */
  get at(): number {
    return this.get(0)?.at ?? Number.POSITIVE_INFINITY
  }

  /** How many are at the same place as the first. */
  get runLength(): number {
    let end = 0
    while (this.get(end)?.at === this.at) end += 1
    return end
  }

  push(transaction: Transaction): void {
    const { stamp, at = 0 } = transaction
    const { last } = this
    assert(last === undefined || last.stamp.time < stamp.time, () => {
      return `transaction of ${stamp.time} after ${last?.stamp.time}`
    })
    // Whoever asks for the first of all must not find an earlier one behind it.
    assert(at > 0 && at >= (last?.at ?? 0), () => `at ${at} after ${last?.at}`)
    this.#items.push(transaction)
  }

  get(place: number): Transaction | undefined {
    return this.#items[this.#start + place]
  }

  /** The place of the first that is not before a time. */
  from(time: ClockTime): number {
    let [low, high] = [this.#start, this.#items.length]
    while (low < high) {
      const middle = (low + high) >>> 1
      if ((this.#items[middle]?.stamp.time ?? 0) < time) low = middle + 1
      else high = middle
    }
    return low - this.#start
  }

  shift(count: number): readonly Transaction[] {
    const end = this.#start + count
    const shifted = this.#items.slice(this.#start, end)
    this.#start = end
    if (this.#start * 2 > this.#items.length) {
      this.#items = this.#items.slice(this.#start)
      this.#start = 0
    }
    return shifted
  }
}
