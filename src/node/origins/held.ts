/** What origins hold, as nodes tell each other in answers and as the store knows of others. */
import type { ExchangeState } from '../../core/order/clock/exchange/types.ts'
import { type Frontier, meet, NOTHING } from '../../core/order/clock/frontier.ts'
import { known } from '../../model/fields.ts'
import type { Cluster } from '../../model/origin-entry.ts'

/** Pairs of origin and sequence, as another machine told them; null: they are not that. */
export function toFrontier(value: unknown): Frontier | null {
  try {
    return known(value, 'held')
  } catch {
    return null
  }
}

/** What every member is known to hold by the last entry of each that is here. */
export function heldByMembers({ held, latest }: ExchangeState, { origins }: Cluster): Frontier {
  const members = origins.filter(({ standing }) => standing.kind !== 'removed')
  const heads = new Map(latest.map((head) => [head.origin, head]))
  const each = members.map(({ origin }): Frontier => {
    const head = heads.get(origin)
    return head === undefined ? NOTHING : new Map(head.dependencies).set(origin, head.sequence)
  })
  return each.reduce(meet, held)
}
