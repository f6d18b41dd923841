/**
 * What levels ask for in a cluster whose groups and zones change, and which reads must show which
 * writes. Whoever is told an answer can't know which version of the cluster it was judged by, so
 * there are several that it may have been, and nothing is demanded that one of them does not.
 */
import { quorumsOf, type Reach, type Zone } from '../../core/order/clock/quorums.ts'
import type { Cluster } from '../../model/origin-entry.ts'
import type { AckLevel, ReadLevel } from '../../model/request.ts'
import { zonesOf } from './membership.ts'

/** What was asked of the groups by one version of the cluster. */
interface Judgement {
  /** That of the group that was asked. */
  readonly zone: Zone
  /** So many of all groups at least. */
  readonly count: number
  readonly groups: number
}

/** A level as it was asked for, by each version that it may have been judged by. */
export interface Asked {
  readonly reach: Reach
  readonly by: readonly Judgement[]
}

/** @param origin of the group that was asked */
export function asked(
  level: AckLevel | ReadLevel,
  origin: string,
  versions: readonly Cluster[],
): Asked {
  const reach = reachOf(level)
  const by = versions.map((cluster) => {
    const zones = zonesOf(cluster)
    const zone = zones.get(origin) ?? null
    const quorums = quorumsOf(reach, zones, zone)
    const count = quorums.reduce((sum, each) => sum + each.count, 0)
    return { zone, count, groups: zones.size }
  })
  return { reach, by }
}

/**
 * Whether a read must show a write that was acknowledged before it began. By zone it must in the same
 * zone, whatever became of that meanwhile, and in all where one of the two asks each of them.
 */
export function mustShow(write: Asked, read: Asked): boolean {
  if (isMost(write.reach) && isMost(read.reach)) return true
  const isByZone = isOfZones(write.reach) && isOfZones(read.reach)
  if (isByZone && (write.reach === 'each-quorum' || read.reach === 'each-quorum')) return true
  return write.by.every((one) =>
    read.by.every((other) => {
      if (isByZone && one.zone === other.zone) return true
      return one.count + other.count > Math.max(one.groups, other.groups)
    }),
  )
}

/** So many of all groups at least, if there were at least `groups` of them. */
export function leastOf(reach: Reach, groups: number): number {
  if (typeof reach === 'number') return reach
  if (reach === 'all') return groups
  return reach === 'quorum' ? Math.floor(groups / 2) + 1 : 1
}

/** What most groups of each zone hold most of all hold. Who joins has what most had before. */
function isMost(reach: Reach): boolean {
  return reach === 'quorum' || reach === 'all' || reach === 'each-quorum'
}

function isOfZones(reach: Reach): boolean {
  return reach === 'local-quorum' || reach === 'each-quorum'
}

function reachOf(level: AckLevel | ReadLevel): Reach {
  switch (level) {
    case 'local':
    case 'session':
    case 'majority':
    case 'strong':
    // What is stable is final, but the others need not hold it yet.
    case 'stable':
      return 1
    default:
      return level
  }
}
