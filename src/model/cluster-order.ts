/**
 * Which of two versions of the cluster counts. Each keeper numbers its changes one by one, and hands
 * on to the next one in that row. A group that takes over from a keeper that is gone can't know the
 * last number of that row: it begins a round of its own, above all that the one before can reach,
 * and above or below that of a rival by its slot. So everybody ends with the same version, in
 * whatever order they hear of them.
 */
import type { Cluster } from './origin-entry.ts'

/** Changes in one round: more than there can be. */
const ROUND = 2 ** 32
/** Between rivals in one round. */
const SLOT = 2 ** 20

/** The number with which an origin begins when it takes over from the keeper of this cluster. */
export function takeoverEpoch({ epoch, origins }: Cluster, origin: string): number {
  const slot = origins.find((each) => each.origin === origin)?.slot ?? 0
  return (Math.floor(epoch / ROUND) + 1) * ROUND + slot * SLOT
}

/** Whether two versions are of one row: of one keeper and those that it handed on to. */
export function areOfOneRow(one: Cluster, other: Cluster): boolean {
  return Math.floor(one.epoch / SLOT) === Math.floor(other.epoch / SLOT)
}

/**
 * Whether a version that has come takes the place of the known one. Besides later ones that is every
 * one by which we are removed: all who stay have agreed to it, so ours is of nobody else's concern.
 * But none of the other side of a split.
 */
export function supersedes(next: Cluster, known: Cluster, self: string): boolean {
  if (isOtherSide(next, known, self)) return false
  if (next.epoch > known.epoch) return true
  return isRemoved(next, self) && !isRemoved(known, self)
}

/**
 * Whether a version is of a keeper that was removed where we stay: two sides took each other for gone,
 * and which one goes on is for a person to say. Somebody who had not heard the end of it may bring it;
 * to follow it would leave what our logs have dropped, since that keeper was removed, to nobody.
 */
export function isOtherSide(next: Cluster, known: Cluster, self: string): boolean {
  return isRemoved(known, next.keeper) && !isRemoved(known, self)
}

/**
 * Whether the keeper may do all that keepers do. After a take-over not before the one that it took
 * over from is removed, and all that counts of that one is in the data here.
 *
 * @param applied what of each origin is in the data
 */
export function isSettled(
  { origins, takenFrom = [] }: Cluster,
  applied: ReadonlyMap<string, number>,
): boolean {
  return takenFrom.every((from) => {
    const standing = origins.find(({ origin }) => origin === from)?.standing
    if (standing === undefined) return true
    return standing.kind === 'removed' && (applied.get(from) ?? 0) >= standing.last
  })
}

function isRemoved({ origins }: Cluster, self: string): boolean {
  return origins.some(({ origin, standing }) => origin === self && standing.kind === 'removed')
}
