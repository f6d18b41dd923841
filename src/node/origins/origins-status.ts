/** What a node says of the groups of its cluster, and what about them needs a person. */
import type { Exchange } from '../../core/order/clock/exchange/exchange.ts'
import type { Alarm } from '../../core/order/clock/exchange/types.ts'
import type { ClusterOrigin } from '../../model/origin-entry.ts'
import type { GroupStatus, OriginsStatus } from '../../model/status.ts'
import type { Origins } from './origins.ts'

/** @param wallMs now, ms since 1970 */
export function originsStatusOf(origins: Origins | null, wallMs: number): OriginsStatus | null {
  if (origins === null) return null
  const { cluster, held } = origins.state
  const exchange = origins.leading?.exchanging.exchange ?? null
  return {
    strategy: cluster.strategy,
    group: origins.nameOf(origins.self),
    keeper: origins.nameOf(cluster.keeper),
    epoch: cluster.epoch,
    groups: cluster.origins.map((each) => groupOf(origins, each)),
    held,
    stableLagMs: exchange === null ? null : lagOf(exchange, wallMs),
  }
}

/** Whoever has nothing that could change is not behind, however long ago the last write was. */
function lagOf({ isFinal, stable }: Exchange, wallMs: number): number {
  return isFinal ? 0 : Math.max(0, Math.round(wallMs - stable / 1_000))
}

function groupOf(origins: Origins, { origin, name, standing, zone }: ClusterOrigin): GroupStatus {
  const exchange = origins.leading?.exchanging.exchange ?? null
  const applied = origins.applied.get(origin) ?? 0
  const common = {
    name,
    origin,
    standing: standing.kind,
    zone: zone ?? null,
    nodes: origins.state.nodes.get(origin) ?? [],
    applied,
  }
  if (exchange === null) {
    const unknown = { linked: null, cut: null, cutThere: null, unknownTo: null, behind: null }
    return { ...common, ...unknown }
  }
  const members = [...exchange.members.origins.keys()]
  const known = members.map((member) => exchange.heldBy(member).get(origin) ?? 0)
  return {
    ...common,
    linked: origin === origins.self || linkedTo(origins, origin),
    cut: origins.links.cuts.has(origin),
    cutThere: origins.links.isCutBy(origin),
    unknownTo: exchange.unawareOf(origin).map((each) => origins.nameOf(each)),
    behind: Math.max(0, ...known.map((held) => held - applied)),
  }
}

/** Null: this group was told to leave it out, and gets its entries from others. */
function linkedTo(origins: Origins, origin: string): boolean | null {
  return origins.mayExchange(origin) ? origins.links.up.has(origin) : null
}

/**
 * That nothing is exchanged with a group by command, at whose, and how that ends.
 *
 * @param own the name of the group that says so
 */
export function cutSentences(group: GroupStatus, own: string): readonly string[] {
  const { name, nodes, standing, cut, cutThere } = group
  if (standing === 'removed') return []
  const nothing = `Nothing is exchanged with group ${name}, as was asked for`
  const [node] = nodes
  const at = node === undefined ? '' : ` --url ${node.url}`
  return [
    ...(cut === true ? [`${nothing}: quorate groups heal ${name}.`] : []),
    ...(cutThere === true ? [`${nothing} there: quorate groups heal ${own}${at}`] : []),
  ]
}

/** Sentences about what needs a person. */
export function originAlarmsOf(origins: Origins): readonly string[] {
  const alarms: string[] = []
  if (origins.isRemoved) {
    alarms.push(
      'This group is not one of the cluster any more: it must join anew, see docs/groups.md.',
    )
  }
  const exchanging = origins.leading?.exchanging
  if (exchanging === undefined) return alarms
  const { exchange } = exchanging
  const split = [...(origins.leading?.office.splitFrom ?? [])].map((each) => origins.nameOf(each))
  if (split.length > 0) {
    alarms.push(
      `Removed here and writing on in a cluster of their own: ${split.join(', ')}. There this group ` +
        'was removed. Nothing goes from one to the other: one side must be given up, see docs/groups.md.',
    )
  }
  const { unshipped } = exchange
  if (unshipped !== null) {
    const count = unshipped.last - unshipped.first + 1
    alarms.push(
      `The last ${count} entries of this group were made when it was removed: nobody has them.`,
    )
  }
  const own = origins.nameOf(origins.self)
  for (const each of origins.state.cluster.origins) {
    alarms.push(...cutSentences(groupOf(origins, each), own))
  }
  for (const origin of exchange.members.origins.keys()) {
    const away = exchange.unawareOf(origin).filter((each) => !exchange.inReach.has(each))
    if (away.length > 0) alarms.push(notYetKnown(origins, origin, away))
  }
  for (const alarm of exchange.alarms) {
    // It may not answer, whoever else is away.
    const isWaiting = exchange.unawareOf(alarm.origin).length > 0
    if (alarm.kind !== 'silent' || !isWaiting) alarms.push(sentenceOf(origins, alarm))
  }
  return alarms
}

function notYetKnown(origins: Origins, origin: string, away: readonly string[]): string {
  const names = away.map((each) => origins.nameOf(each)).join(', ')
  return (
    `Group ${origins.nameOf(origin)} neither writes nor counts for levels before it is known to ${names}, and ` +
    `nothing becomes final: bring ${names} back, or remove either.`
  )
}

function sentenceOf(origins: Origins, { kind, origin }: Alarm): string {
  const group = `Group ${origins.nameOf(origin)}`
  switch (kind) {
    case 'ahead':
      return `${group} has a clock that is ahead: its writes wait until their time has come.`
    case 'gap':
      return `Entries of group ${origins.nameOf(origin)} are missing, and nobody in contact has given them.`
    case 'silent':
      return `${group} does not answer: nothing becomes stable, and logs grow, until it does or is removed.`
    case 'broken':
      return `${group} broke the order of its own entries: nothing of it is taken any more. Remove it.`
    case 'forked':
      return 'Others hold entries of this group that it has not: an old copy of its file. It does not write.'
    case 'tooFarBehind':
      return (
        `${group} has dropped from its log what this group has said that it holds, and lacks: ` +
        'its file is an older one. Remove this group, and join anew.'
      )
    case 'contradicted':
      return `More of group ${origins.nameOf(origin)} is held here than was agreed on: remove this group, and join anew.`
  }
}
