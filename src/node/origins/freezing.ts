/** The first step of a removal: nobody takes any more of an origin, so that its last entry can be agreed on. */
import type { Exchange } from '../../core/order/clock/exchange/exchange.ts'
import type { Cluster, ClusterOrigin } from '../../model/origin-entry.ts'

/**
 * With an origin frozen, and those removed before of which somebody who stays may lack something:
 * the one who leaves may be the only one to hold that.
 *
 * @param exchange knows who holds what
 */
export function withFrozen(
  cluster: Cluster,
  leaving: string,
  exchange: Pick<Exchange, 'heldBy'>,
): Cluster {
  const staying = cluster.origins.filter(({ origin, standing }) => {
    return standing.kind === 'writes' && origin !== leaving
  })
  const isMissing = ({ origin, standing }: ClusterOrigin): boolean => {
    if (standing.kind !== 'removed') return false
    const { last } = standing
    return staying.some((other) => (exchange.heldBy(other.origin).get(origin) ?? 0) < last)
  }
  const origins = cluster.origins.map((each): ClusterOrigin => {
    const isFrozen = each.origin === leaving || isMissing(each)
    return isFrozen ? { ...each, standing: { kind: 'frozen' } } : each
  })
  return { ...cluster, epoch: cluster.epoch + 1, origins }
}
