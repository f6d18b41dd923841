/**
 * What a level asks of the groups of a cluster: so many of some of them, to hold a write or to be
 * consulted for a read. One place, so that a write and a read that are to meet count alike.
 */
import { quorumOf } from '../leader/commit.ts'
import type { Origin } from './stamp.ts'

/**
 * So many of all groups, more than half of them, all of them, more than half of those in one's own
 * zone, more than half of those in each zone.
 */
export type Reach = number | 'quorum' | 'all' | 'local-quorum' | 'each-quorum'

/** Where a group is; null: it was not said. Those without a zone are one together. */
export type Zone = string | null

export interface Quorum {
  /** Undefined: it is of all zones. */
  readonly zone: Zone | undefined
  readonly of: readonly Origin[]
  /** So many of these; more than there are if it can't be met. */
  readonly count: number
}

/**
 * What must be met, all of it.
 *
 * @param groups those that count, with their zones
 * @param zone that of whoever asks
 */
export function quorumsOf(
  reach: Reach,
  groups: ReadonlyMap<Origin, Zone>,
  zone: Zone,
): readonly Quorum[] {
  if (reach === 'local-quorum') return [inZone(groups, zone)]
  if (reach === 'each-quorum') return [...new Set(groups.values())].map((z) => inZone(groups, z))
  const of = [...groups.keys()]
  const count = reach === 'quorum' ? quorumOf(of.length) : reach === 'all' ? of.length : reach
  return [{ zone: undefined, of, count }]
}

function inZone(groups: ReadonlyMap<Origin, Zone>, zone: Zone): Quorum {
  const of = [...groups].filter(([, each]) => each === zone).map(([origin]) => origin)
  return { zone, of, count: quorumOf(of.length) }
}

/**
 * What must be met besides while not all are known to know of a change of zones. A write at one of
 * `local-quorum` and `each-quorum` and a read at the other meet in the zone of whoever asks at the
 * first; so that is asked for longer than it is there, and before it was the one that was there.
 *
 * @param groups those that count, with their zones
 * @param before the same before the change
 * @param self who asks
 */
export function passingQuorums(
  reach: Reach,
  groups: ReadonlyMap<Origin, Zone>,
  before: ReadonlyMap<Origin, Zone>,
  self: Origin,
): readonly Quorum[] {
  const [now, then] = [new Set(groups.values()), new Set(before.values())]
  if (reach === 'each-quorum') {
    return [...then].filter((zone) => !now.has(zone)).map((zone) => inZone(before, zone))
  }
  const isNew = reach === 'local-quorum' && !then.has(groups.get(self) ?? null)
  return isNew ? [inZone(before, before.get(self) ?? null)] : []
}

/**
 * Whether so many groups as each quorum asks for do what is asked of them.
 *
 * @param isEnough replaced by tests that count wrongly
 */
export function areMet(
  quorums: readonly Quorum[],
  does: (origin: Origin) => boolean,
  isEnough: (count: number, wanted: number) => boolean = (count, wanted) => count >= wanted,
): boolean {
  return quorums.every(({ of, count }) => isEnough(of.filter(does).length, count))
}
