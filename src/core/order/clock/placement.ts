/**
 * Where late transactions go: which of the tentative ones must be undone before they can be put in
 * their place, and what is to be run, in which order.
 *
 * A replica's state is what running everything it holds in stamp order gives. Two transactions whose
 * footprints have nothing in common give the same in either order. So a late one may run at the end
 * unless a later one shares a key with it, or with one that must run again for its sake, and so on.
 */
import { assert } from '../../../base/assert.ts'
import { type Key, KeySet } from './key-set.ts'
import { compareStamps, type Stamp } from './stamp.ts'

/**
 * A key is whatever two transactions can meet at: a row, a value of a unique index, the row that a
 * foreign key points to. One that is only `needed` may be needed by others as well. Keys that
 * coincide though they stand for different things cost work, nothing else.
 */
export interface Footprint {
  readonly written: readonly Key[]
  readonly needed: readonly Key[]
}

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

/**
 * Plans how transactions that arrive are put in their place.
 *
 * @param arrivals in any order; none of them is in `tail`
 * @param tail what has run here and is later than the earliest arrival, in stamp order; read once,
 *   so it may be a stream. Others of it are never met, so the caller may leave them in
 */
export function place<T extends Placeable>(
  arrivals: readonly T[],
  tail: Iterable<T>,
): Placement<T> {
  const coming = arrivals.toSorted(byStamp)
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
  return { undo: undone.toReversed(), run: [...coming, ...undone].sort(byStamp) }
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
