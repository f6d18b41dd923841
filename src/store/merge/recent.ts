/**
 * Transactions that have run here as they were made and whose place may still change, in memory. Most
 * become final within a second and never meet anything: writing each to the file and deleting it
 * again would cost more than running it. Whoever opens the file finds them in the log.
 */
import { assert, present } from '../../base/assert.ts'
import { doubled } from '../../base/flat-arrays.ts'
import type { Frontier } from '../../core/order/clock/frontier.ts'
import {
  type ClockTime,
  compareStamps,
  type Origin,
  type Stamp,
} from '../../core/order/clock/stamp.ts'
import type { Transaction } from './merge-tables.ts'

/** What a transaction takes in memory beside its changes, about. */
const OVERHEAD_BYTES = 50
const ROOM_MIN = 64

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
    for (const { firstAt } of this.#queues.values()) first = Math.min(first ?? firstAt, firstAt)
    return first
  }

  /** @param mayDelete false: it deletes no row */
  add(transaction: Transaction, mayDelete = true): void {
    const { origin } = transaction.stamp
    let queue = this.#queues.get(origin)
    if (queue === undefined) {
      queue = new Queue(origin)
      this.#queues.set(origin, queue)
    }
    queue.push(transaction, mayDelete)
    this.#bytes += transaction.changes.length + OVERHEAD_BYTES
  }

  /** Whether it may be added: the log has it, and nothing of its origin here is later. */
  mayAdd({ stamp, at }: Transaction): boolean {
    const queue = this.#queues.get(stamp.origin)
    if (at === undefined) return false
    return queue === undefined || (queue.lastTime < stamp.time && queue.lastAt <= at)
  }

  get({ time, origin }: Stamp): Transaction | null {
    const queue = this.#queues.get(origin)
    if (queue === undefined) return null
    const place = queue.from(time)
    return queue.timeOf(place) === time ? queue.get(place) : null
  }

  /** Whether one of them is not before this stamp. */
  hasFrom({ time, origin }: Stamp): boolean {
    for (const [own, { lastTime }] of this.#queues) {
      if (compareStamps({ time: lastTime, origin: own }, { time, origin }) >= 0) return true
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
      if (queue.timeOf(from) === after.time && origin <= after.origin) from += 1
      let to = queue.from(before.time)
      if (queue.timeOf(to) === before.time && origin < before.origin) to += 1
      return { queue, from, to }
    })
    const sign = backwards ? -1 : 1
    for (;;) {
      let best: Stamp | null = null
      let chosen: (typeof cursors)[number] | null = null
      for (const cursor of cursors) {
        const { queue, from, to } = cursor
        if (from >= to) continue
        const stamp = { time: queue.timeOf(backwards ? to - 1 : from), origin: queue.origin }
        if (best !== null && compareStamps(stamp, best) * sign >= 0) continue
        best = stamp
        chosen = cursor
      }
      if (chosen === null) return
      yield chosen.queue.get(backwards ? chosen.to - 1 : chosen.from)
      if (backwards) chosen.to -= 1
      else chosen.from += 1
    }
  }

  /** Drops all through a time. */
  passThrough(time: ClockTime): Passed {
    const last = new Map<Origin, number>()
    const deleting: Transaction[] = []
    for (const queue of this.#queues.values()) {
      const count = queue.from(time + 1)
      if (count === 0) continue
      last.set(queue.origin, queue.sequenceOf(count - 1))
      for (let place = 0; place < count; place += 1) {
        if (queue.mayDelete(place)) deleting.push(queue.get(place))
      }
      this.#drop(queue, count)
    }
    return { last, deleting }
  }

  /** Takes out what the log has first, until no more than so many bytes are left. */
  takeAbove(bytes: number): Transaction[] {
    const taken: Transaction[] = []
    while (this.#bytes > bytes) {
      const { first } = this
      for (const queue of this.#queues.values()) {
        if (queue.firstAt !== first) continue
        const count = queue.runLength
        for (let place = 0; place < count; place += 1) taken.push(queue.get(place))
        this.#drop(queue, count)
      }
    }
    return taken
  }

  #drop(queue: Queue, count: number): void {
    this.#bytes -= queue.bytesOf(count) + count * OVERHEAD_BYTES
    queue.drop(count)
    if (queue.isEmpty) this.#queues.delete(queue.origin)
  }
}

/** What was dropped because it is final. */
export interface Passed {
  /** Of each origin the number of the last one. */
  readonly last: ReadonlyMap<Origin, number>
  /** Those that may have deleted rows, those of an origin in its order. */
  readonly deleting: readonly Transaction[]
}

/** What transactions of one entry have in common. */
interface Source {
  readonly buffer: ArrayBufferLike
  readonly seen: Frontier
  /** Where the log has it. */
  readonly at: number
}

/**
 * Those of one origin, in flat arrays: tens of thousands that live for a moment are work for the garbage
 * collector, each of which it would move twice. What was dropped in front is cleared away now and then.
 */
class Queue {
  readonly origin: Origin
  #times = new Float64Array(ROOM_MIN)
  #sequences = new Float64Array(ROOM_MIN)
  /** Where in its source the changes begin, and how long they are. */
  #offsets = new Float64Array(ROOM_MIN)
  #lengths = new Float64Array(ROOM_MIN)
  /** By place in `list`. */
  #sources = new Float64Array(ROOM_MIN)
  /** 0: it deletes no row. */
  #deletes = new Int32Array(ROOM_MIN)
  #list: Source[] = []
  #start = 0
  #end = 0

  constructor(origin: Origin) {
    this.origin = origin
  }

  get isEmpty(): boolean {
    return this.#start === this.#end
  }

  get lastTime(): ClockTime {
    return this.#times[this.#end - 1] ?? 0
  }

  get lastAt(): number {
    return this.#list.at(-1)?.at ?? 0
  }

  /** Where the log has the first. */
  get firstAt(): number {
    return this.#sourceOf(0).at
  }

  /** How many are at the same place as the first. */
  get runLength(): number {
    let end = 1
    while (this.#start + end < this.#end && this.#sourceOf(end).at === this.firstAt) end += 1
    return end
  }

  push({ stamp, sequence, seen, changes, at = 0 }: Transaction, mayDelete: boolean): void {
    const { lastTime, lastAt, isEmpty } = this
    assert(isEmpty || lastTime < stamp.time, () => `transaction of ${stamp.time} after ${lastTime}`)
    // Whoever asks for the first of all must not find an earlier one behind it.
    assert(at > 0 && at >= lastAt, () => `at ${at} after ${lastAt}`)
    const { buffer } = changes
    const last = this.#list.at(-1)
    if (last?.buffer !== buffer || last.seen !== seen || last.at !== at) {
      this.#list.push({ buffer, seen, at })
    }
    if (this.#end === this.#times.length) this.#grow()
    const end = this.#end
    this.#times[end] = stamp.time
    this.#sequences[end] = sequence
    this.#offsets[end] = changes.byteOffset
    this.#lengths[end] = changes.length
    this.#sources[end] = this.#list.length - 1
    this.#deletes[end] = mayDelete ? 1 : 0
    this.#end = end + 1
  }

  /** No time at all: there is none at this place. */
  timeOf(place: number): ClockTime {
    const at = this.#start + place
    return at < this.#end ? (this.#times[at] ?? Number.NaN) : Number.NaN
  }

  get(place: number): Transaction {
    const at = this.#start + place
    assert(place >= 0 && at < this.#end, () => `place ${place} of ${this.#end - this.#start}`)
    const { buffer, seen, at: inLog } = this.#sourceOf(place)
    return {
      stamp: { time: this.#times[at] ?? 0, origin: this.origin },
      sequence: this.#sequences[at] ?? 0,
      seen,
      changes: new Uint8Array(buffer, this.#offsets[at], this.#lengths[at]),
      at: inLog,
    }
  }

  sequenceOf(place: number): number {
    return this.#sequences[this.#start + place] ?? 0
  }

  mayDelete(place: number): boolean {
    return this.#deletes[this.#start + place] !== 0
  }

  /** The changes of the first ones take so much. */
  bytesOf(count: number): number {
    let bytes = 0
    for (let place = 0; place < count; place += 1) bytes += this.#lengths[this.#start + place] ?? 0
    return bytes
  }

  /** The place of the first that is not before a time. */
  from(time: ClockTime): number {
    let [low, high] = [this.#start, this.#end]
    while (low < high) {
      const middle = (low + high) >>> 1
      if ((this.#times[middle] ?? 0) < time) low = middle + 1
      else high = middle
    }
    return low - this.#start
  }

  drop(count: number): void {
    this.#start += count
    // Whoever has it lets go of it when it is empty.
    if (this.isEmpty || this.#start * 2 <= this.#end) return
    const gone = this.#sources[this.#start] ?? 0
    this.#list = this.#list.slice(gone)
    for (const array of this.#arrays) array.copyWithin(0, this.#start, this.#end)
    this.#end -= this.#start
    this.#start = 0
    for (let at = 0; at < this.#end; at += 1) this.#sources[at] = (this.#sources[at] ?? 0) - gone
  }

  #sourceOf(place: number): Source {
    const source = this.#list[this.#sources[this.#start + place] ?? -1]
    return present(source, () => `place ${place} of ${this.#end - this.#start}`)
  }

  get #arrays(): readonly (Float64Array | Int32Array)[] {
    const numbers = [this.#times, this.#sequences, this.#offsets, this.#lengths, this.#sources]
    return [...numbers, this.#deletes]
  }

  #grow(): void {
    this.#times = doubled(this.#times)
    this.#sequences = doubled(this.#sequences)
    this.#offsets = doubled(this.#offsets)
    this.#lengths = doubled(this.#lengths)
    this.#sources = doubled(this.#sources)
    this.#deletes = doubled(this.#deletes)
  }
}
