/**
 * Stamps: the total order of transactions among several origins. A stamp is later than anything its
 * writer had seen, so the order extends happens-before; origins that know nothing of each other are
 * ordered by their clocks, and at last by origin.
 *
 * Hybrid logical clock: Kulkarni et al., "Logical Physical Clocks and Consistent Snapshots in
 * Globally Distributed Databases" (2014). Time and counter are one number, microseconds: a thousand
 * transactions a millisecond before it runs ahead of the wall clock, and exact in a double until
 * the year 2255.
 */
import { assert } from '../../../base/assert.ts'

/** Identifies whoever appends entries under one name, one life of it; never reused. */
export type Origin = string
/** Microseconds since 1970, as a hybrid logical clock counts them. */
export type ClockTime = number

export interface Stamp {
  readonly time: ClockTime
  readonly origin: Origin
}

/** Below zero: `a` is earlier. Zero only for equal stamps. */
export function compareStamps(a: Stamp, b: Stamp): number {
  if (a.time !== b.time) return a.time - b.time
  if (a.origin === b.origin) return 0
  return a.origin < b.origin ? -1 : 1
}

/** Times above this are damage or a lie: they would use up the numbers that are exact. */
const TIME_MAX = Number.MAX_SAFE_INTEGER - 1_000_000_000_000

/** Whether a number from elsewhere can be the time of a stamp. */
export function isClockTime(time: number): boolean {
  return Number.isSafeInteger(time) && time >= 0 && time <= TIME_MAX
}

/** The time of the next stamp of a writer whose last one, or the latest it has seen, was `last`. */
export function nextTime(last: ClockTime, wallMs: number): ClockTime {
  assert(isClockTime(last), () => `not a clock time: ${last}`)
  return Math.max(last + 1, Math.floor(wallMs * 1_000))
}

/** What is to become of an entry, by how far its stamp is ahead of the wall clock here. */
export type Admission =
  | { readonly kind: 'now' }
  /** Kept and handed on, but not applied before its time; `aheadMs` is for the alarm. */
  | { readonly kind: 'wait'; readonly aheadMs: number }

/** Judges a stamp from elsewhere: a clock that is far ahead must not drag all others with it. */
export function admit(time: ClockTime, wallMs: number, driftMaxMs: number): Admission {
  const aheadMs = time / 1_000 - wallMs
  return aheadMs <= driftMaxMs ? { kind: 'now' } : { kind: 'wait', aheadMs: Math.ceil(aheadMs) }
}
