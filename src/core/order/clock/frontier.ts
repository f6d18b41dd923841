/**
 * Frontiers: how much of each origin's log somebody holds. A version vector (Parker et al., 1983)
 * whose entries have no gaps. It compares replicas, is what a session has seen, and says what a
 * transaction could know.
 */
import { assert } from '../../../base/assert.ts'
import type { Origin } from './stamp.ts'

/** Origin to the highest sequence number held, with all before it; absent: nothing, 0. */
export type Frontier = ReadonlyMap<Origin, number>

export const NOTHING: Frontier = new Map()

/** Whether whoever holds `frontier` holds entry `sequence` of `origin`. */
export function holds(frontier: Frontier, origin: Origin, sequence: number): boolean {
  return (frontier.get(origin) ?? 0) >= sequence
}

/** Whether `a` holds everything that `b` does. */
export function covers(a: Frontier, b: Frontier): boolean {
  if (a === b) return true
  for (const [origin, sequence] of b) if (!holds(a, origin, sequence)) return false
  return true
}

/** `concurrent`: each holds something that the other does not. */
export function compareFrontiers(
  a: Frontier,
  b: Frontier,
): 'equal' | 'before' | 'after' | 'concurrent' {
  const [after, before] = [covers(a, b), covers(b, a)]
  if (after) return before ? 'equal' : 'after'
  return before ? 'before' : 'concurrent'
}

/** What both together hold. */
export function join(a: Frontier, b: Frontier): Frontier {
  const joined = new Map(a)
  for (const [origin, sequence] of b) {
    if (!holds(joined, origin, sequence)) joined.set(origin, sequence)
  }
  return joined
}

/** What both hold. */
export function meet(a: Frontier, b: Frontier): Frontier {
  const met = new Map<Origin, number>()
  for (const [origin, sequence] of a) {
    const both = Math.min(sequence, b.get(origin) ?? 0)
    if (both > 0) met.set(origin, both)
  }
  return met
}

/** With the next entry of an origin. Fails on a gap: entries of an origin come in their order. */
export function extend(frontier: Frontier, origin: Origin, sequence: number): Frontier {
  const held = frontier.get(origin) ?? 0
  assert(sequence === held + 1, () => `entry ${sequence} of ${origin} after ${held}`)
  return new Map(frontier).set(origin, sequence)
}

/** Entries first to last of an origin. */
export interface Range {
  readonly origin: Origin
  readonly first: number
  readonly last: number
}

/** What `there` holds and `here` does not, by origin. */
export function missing(here: Frontier, there: Frontier): readonly Range[] {
  return [...there]
    .map(([origin, last]) => ({ origin, first: (here.get(origin) ?? 0) + 1, last }))
    .filter(({ first, last }) => first <= last)
}
