/**
 * Virtual time: a queue of events in order of time, then of arrival. Everything that happens in a
 * simulated world is one of its events, so that a seed fixes the whole run.
 */
import { assert } from '../base/assert.ts'

/**
 * Whose event it is. Events of what has died don't happen; those of what is paused wait and then
 * happen all at once, in their order, like a process that the garbage collector stopped.
 */
export class Lifetime {
  #alive = true
  #paused: Event[] | null = null

  get alive(): boolean {
    return this.#alive
  }

  get paused(): boolean {
    return this.#paused !== null
  }

  end(): void {
    this.#alive = false
    this.#paused = null
  }

  pause(): void {
    this.#paused ??= []
  }

  /** Gives back what was held, for the schedule to do now. */
  resume(): readonly Event[] {
    const held = this.#paused ?? []
    this.#paused = null
    return held
  }

  /** True: the event is kept for later. */
  hold(event: Event): boolean {
    if (this.#paused === null) return false
    this.#paused.push(event)
    return true
  }
}

export interface Event {
  /** Virtual µs. */
  readonly at: number
  /** Breaks ties: events of one moment happen in the order in which they were planned. */
  readonly order: number
  readonly life: Lifetime
  readonly run: () => void
}

export class Schedule {
  /** Virtual µs since the world began. */
  now = 0
  #heap: Event[] = []
  #planned = 0

  get pending(): number {
    return this.#heap.length
  }

  /** Plans `run` to happen `delayUs` from now, unless `life` has ended by then. */
  after(delayUs: number, life: Lifetime, run: () => void): void {
    assert(delayUs >= 0, () => `delay ${delayUs}`)
    this.#plan(this.now + Math.round(delayUs), life, run)
  }

  /** Lets a paused owner go on: what it missed happens now, in the order in which it was due. */
  resume(life: Lifetime): void {
    for (const { run } of life.resume()) this.#plan(this.now, life, run)
  }

  /** Does the next event; false if there is none. */
  step(): boolean {
    for (let event = this.#pop(); event !== undefined; event = this.#pop()) {
      this.now = event.at
      if (!event.life.alive || event.life.hold(event)) continue
      event.run()
      return true
    }
    return false
  }

  #plan(at: number, life: Lifetime, run: () => void): void {
    this.#planned += 1
    this.#push({ at, order: this.#planned, life, run })
  }

  #push(event: Event): void {
    const heap = this.#heap
    let child = heap.length
    heap.push(event)
    while (child > 0) {
      const parent = (child - 1) >> 1
      const above = heap[parent] as Event
      if (!before(event, above)) break
      heap[child] = above
      child = parent
    }
    heap[child] = event
  }

  #pop(): Event | undefined {
    const heap = this.#heap
    const first = heap[0]
    const last = heap.pop()
    if (first === undefined || last === undefined || heap.length === 0) return first
    let parent = 0
    for (;;) {
      let child = 2 * parent + 1
      if (child >= heap.length) break
      const right = child + 1
      if (right < heap.length && before(heap[right] as Event, heap[child] as Event)) child = right
      if (!before(heap[child] as Event, last)) break
      heap[parent] = heap[child] as Event
      parent = child
    }
    heap[parent] = last
    return first
  }
}

function before(a: Event, b: Event): boolean {
  return a.at < b.at || (a.at === b.at && a.order < b.order)
}
