/**
 * Where late transactions go: which of the tentative ones must be undone before they can be put in
 * their place, and what is to be run, in which order.
 *
 * A replica's state is what running everything it holds in stamp order gives. Two transactions whose
 * footprints have nothing in common give the same in either order. So a late one may run at the end
 * unless a later one shares a key with it, or with one that must run again for its sake, and so on.
 */
import { assert } from '../../../base/assert.ts'
import type { Indexed, KeyIndex } from './key-index.ts'
import { type Footprint, type Key, KeySet } from './key-set.ts'
import { compareStamps, type Stamp } from './stamp.ts'

export interface Placeable {
  readonly stamp: Stamp
  readonly footprint: Footprint
}

export interface Placement<T> {
  /** To be taken back, the latest first. */
  readonly undo: readonly T[]
  /** To be run then, the earliest first: what arrived and what was taken back. */
  readonly run: readonly T[]
}

/** What has run here: later than the earliest arrival and in stamp order, or what finds any of it. */
export type Tail<T> = Iterable<T> | Findable<T>

/** Reading all of a long tail would cost more than looking up what is met. */
export interface Findable<T> {
  /** Of all that is later than the earliest arrival. */
  readonly index: KeyIndex
  /** Null: not here any more, or of no concern. */
  readonly load: (stamp: Stamp) => T | null
}

/**
 * Plans how transactions that arrive are put in their place.
 *
 * @param arrivals in any order; none of them is in `tail`
 * @param tail read once, so it may be a stream. Others of it are never met, so the caller may leave
 *   them in
 */
export function place<T extends Placeable>(arrivals: readonly T[], tail: Tail<T>): Placement<T> {
  const coming = arrivals.toSorted(byStamp)
  const undone = 'index' in tail ? metByIndex(coming, tail) : metInStream(coming, tail)
  return { undo: undone.toReversed(), run: [...coming, ...undone].sort(byStamp) }
}

function metInStream<T extends Placeable>(coming: readonly T[], tail: Iterable<T>): T[] {
  const touched = new Touched()
  const undone: T[] = []
  let next = 0
  let previous: T | null = null
  for (const ran of tail) {
    assert(previous === null || byStamp(previous, ran) < 0, () => 'the tail is out of order')
    previous = ran
    for (let late = coming[next]; late !== undefined; late = coming[next]) {
      if (byStamp(late, ran) >= 0) break
      touched.add(late.footprint)
      next += 1
    }
    if (!touched.meets(ran.footprint)) continue
    touched.add(ran.footprint)
    undone.push(ran)
  }
  return undone
}

function metByIndex<T extends Placeable>(coming: readonly T[], { index, load }: Findable<T>): T[] {
  const met = new Met(index)
  const undone: T[] = []
  let next = 0
  let last: Stamp | null = null
  for (;;) {
    const late = coming[next]
    const stamp = met.earliest()
    if (late !== undefined && (stamp === null || compareStamps(late.stamp, stamp) < 0)) {
      met.add(late)
      next += 1
      continue
    }
    if (stamp === null) return undone
    met.dropEarliest()
    if (last !== null && compareStamps(last, stamp) === 0) continue
    last = stamp
    const ran = load(stamp)
    if (ran === null) continue
    met.add(ran)
    undone.push(ran)
  }
}

function byStamp(a: Placeable, b: Placeable): number {
  return compareStamps(a.stamp, b.stamp)
}

/** The keys of everything that will run again. */
class Touched {
  readonly #written = new KeySet()
  readonly #needed = new KeySet()

  add({ written, needed }: Footprint): void {
    this.#written.addAll(written)
    this.#needed.addAll(needed)
  }

  meets({ written, needed }: Footprint): boolean {
    if (this.#written.hasAny(written) || this.#needed.hasAny(written)) return true
    return this.#written.hasAny(needed)
  }
}

/**
 * What those that will run again meet, the earliest first: a binary heap. Since they are added in
 * their order, whoever has a key need be looked up for the first of them only.
 */
class Met {
  readonly #index: KeyIndex
  readonly #heap: Indexed[] = []
  readonly #written = new KeySet()
  readonly #needed = new KeySet()

  constructor(index: KeyIndex) {
    this.#index = index
  }

  earliest(): Stamp | null {
    const [first] = this.#heap
    return first === undefined ? null : this.#index.stampOf(first)
  }

  add({ stamp, footprint: { written, needed } }: Placeable): void {
    for (const key of written) {
      if (!this.#written.has(key)) this.#find(key, true, stamp)
      if (!this.#written.has(key) && !this.#needed.has(key)) this.#find(key, false, stamp)
      this.#written.add(key)
    }
    for (const key of needed) {
      if (!this.#written.has(key) && !this.#needed.has(key)) this.#find(key, false, stamp)
      this.#needed.add(key)
    }
  }

  #find(key: Key, needed: boolean, after: Stamp): void {
    this.#index.eachLater(key, needed, after, (at) => this.#push(at))
  }

  #push(at: Indexed): void {
    const heap = this.#heap
    let hole = heap.push(at) - 1
    while (hole > 0) {
      const parent = (hole - 1) >>> 1
      const above = heap[parent] ?? at
      if (this.#index.compare(above, at) <= 0) break
      heap[hole] = above
      hole = parent
    }
    heap[hole] = at
  }

  dropEarliest(): void {
    const heap = this.#heap
    const moved = heap.pop()
    if (moved === undefined || heap.length === 0) return
    let hole = 0
    for (;;) {
      const left = hole * 2 + 1
      const [a, b] = [heap[left], heap[left + 1]]
      if (a === undefined) break
      const isRight = b !== undefined && this.#index.compare(b, a) < 0
      const smaller = isRight ? b : a
      if (this.#index.compare(moved, smaller) <= 0) break
      heap[hole] = smaller
      hole = isRight ? left + 1 : left
    }
    heap[hole] = moved
  }
}
