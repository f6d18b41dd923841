/**
 * Stability: what can't change its place in the order any more. A transaction is stable when no
 * origin can still come with an earlier one, which takes a promise of each: its *mark*, made through
 * its own log, so that no promise overtakes an entry and a new leader of the origin is bound by it.
 */
import { assert } from '../../../base/assert.ts'
import type { Frontier } from './frontier.ts'
import { holds } from './frontier.ts'
import type { ClockTime, Origin } from './stamp.ts'

/** What an origin says of itself: every entry of it after `sequence` has a stamp after `time`. */
export interface Mark {
  readonly sequence: number
  readonly time: ClockTime
}

/**
 * The latest time through which the order is final here.
 *
 * @param origins who may write: those removed by agreement no longer count
 * @param marks the latest mark known of each
 * @param held what is here; a mark counts only with all entries that it speaks of
 * @returns a time at or before every mark that counts; 0 if one origin has none
 */
export function stableTime(
  origins: Iterable<Origin>,
  marks: ReadonlyMap<Origin, Mark>,
  held: Frontier,
): ClockTime {
  let stable = Number.POSITIVE_INFINITY
  for (const origin of origins) {
    const mark = marks.get(origin)
    if (mark === undefined || !holds(held, origin, mark.sequence)) return 0
    stable = Math.min(stable, mark.time)
  }
  assert(stable !== Number.POSITIVE_INFINITY, () => 'stability of a cluster without origins')
  return stable
}

/** The origins that hold stability back: everyone whose mark is the earliest, or missing. */
export function holdingBack(
  origins: Iterable<Origin>,
  marks: ReadonlyMap<Origin, Mark>,
  held: Frontier,
): readonly Origin[] {
  const all = [...origins]
  const timeOf = (origin: Origin): ClockTime => stableTime([origin], marks, held)
  const earliest = Math.min(...all.map(timeOf))
  return all.filter((origin) => timeOf(origin) === earliest)
}
