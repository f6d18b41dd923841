/** What a cluster of several groups promises, survives and stops at: each a sentence with numbers. */
import { type Quorum, quorumsOf } from '../core/order/clock/quorums.ts'
import type { NodeStatus, OriginsStatus } from '../model/status.ts'
import { cutSentences } from '../node/origins/origins-status.ts'
import { counted } from './terminal.ts'

export interface GroupsExplanation {
  readonly strategy: 'multi-leader' | 'peer'
  /** Those that take writes. */
  readonly groups: readonly string[]
  /** In which zone each of them is, by name; empty: none is in any. */
  readonly zones: Readonly<Record<string, string>>
  /** The one that was asked, and its voters. */
  readonly group: string
  readonly voters: readonly string[]
  readonly learners: readonly string[]
  /** Of the group's voters. */
  readonly majority: number
  /** Voters of the group that may fail at once with its writes going on, and from now on. */
  readonly survives: number
  readonly survivesNow: number
  /** How many groups are more than half of them. */
  readonly quorum: number
  /** The group that orders changes of schema, rules and groups. */
  readonly keeper: string
  readonly promises: readonly string[]
  readonly stops: readonly string[]
  readonly advice: readonly string[]
}

/** A cluster, as far as promises hang on it. */
export type GroupsShape = Omit<GroupsExplanation, 'promises' | 'stops' | 'advice' | 'quorum'>

/** Reads the promises off the groups. */
export function explainGroups(status: NodeStatus, origins: OriginsStatus): GroupsExplanation {
  const voters = status.members.filter(({ role }) => role === 'voter')
  const learners = status.members.filter(({ role }) => role === 'learner')
  const writing = origins.groups.filter(({ standing }) => standing === 'writes')
  const majority = Math.floor(voters.length / 2) + 1
  const up = voters.filter((member) => member.connected || member.id === status.id).length
  const shape = {
    strategy: origins.strategy,
    groups: writing.map(({ name }) => name),
    zones: Object.fromEntries(
      writing.flatMap(({ name, zone }) => (zone === null ? [] : [[name, zone]])),
    ),
    group: origins.group,
    voters: voters.map(({ name }) => name),
    learners: learners.map(({ name }) => name),
    majority,
    survives: voters.length - majority,
    survivesNow: up - majority,
    keeper: origins.keeper,
  }
  const away = writing.filter(({ name, linked }) => name !== origins.group && linked === false)
  return explainShape(
    shape,
    away.flatMap((group) => {
      const cuts = cutSentences(group, origins.group)
      return cuts.length > 0
        ? cuts
        : [`The leader of group ${group.name} can't be reached from here.`]
    }),
  )
}

/** @param notes what is to be said besides, of this moment */
export function explainShape(shape: GroupsShape, notes: readonly string[]): GroupsExplanation {
  const quorum = Math.floor(shape.groups.length / 2) + 1
  return {
    ...shape,
    quorum,
    promises: [...promises(shape, quorum), ...levels(shape, quorum), ...levelsByZone(shape)],
    stops: [...stops(shape, quorum), ...stopsByZone(shape)],
    advice: [...notes, ...advice(shape, quorum)],
  }
}

function promises({ voters, majority, strategy }: GroupsShape, quorum: number): string[] {
  const disks =
    strategy === 'peer'
      ? "on this peer's disk"
      : `on the disks of ${majority} of ${counted(voters.length, 'voter')} of its group`
  const usual = strategy === 'peer' ? `ack quorum (${quorum} peers) and read quorum` : ''
  return [
    'Every group takes writes by itself and asks no other, also while it is cut off.',
    `A write answered at ack majority is ${disks}; it is never lost, but may still be reordered.`,
    'All groups run all writes in one order, by their stamps. Until an order is final, a write of ' +
      'another group may come in before ours, and a rule decides what stays (`quorate rules`).',
    'What a rule discards is in quorate_conflicts, on every replica (`quorate conflicts`).',
    'Every constraint of the schema holds on every replica, whatever the order.',
    'Groups that hold the same writes hold the same rows; `quorate verify` checks it.',
    ...(usual === '' ? [] : [`Calls that name no level have ${usual}.`]),
  ]
}

function levels({ groups }: GroupsShape, quorum: number): string[] {
  const all = groups.length
  const enough = `${quorum} of ${counted(all, 'group')}`
  return [
    `ack quorum: held by ${enough}, for a round trip to the nearest; read quorum sees all of those.`,
    `ack all: held by all ${counted(all, 'group')} and by every voter of the own group.`,
    'ack stable: its place in the order is final, for a round trip to the farthest group.',
    'read session: what its session wrote or saw before, on any node; it may show an order that is ' +
      'not final (event `reordered`).',
    'read strong: everything acknowledged at ack stable before it began and nothing that is not ' +
      'final, for a round trip to the farthest group and the writer of its node while it reads.',
    'ack stable with read strong is linearizable, and stops when any group is away.',
  ]
}

function zoneQuorums(
  { groups, zones, group }: GroupsShape,
  level: 'local-quorum' | 'each-quorum',
): readonly Quorum[] {
  const zoned = groups.map((name) => [name, zones[name] ?? null] as const)
  return quorumsOf(level, new Map(zoned), zones[group] ?? null)
}

/** `2 of 3 groups of zone eu (a, b, c)` */
function share({ zone, of, count }: Quorum): string {
  const where = zone == null ? 'without a zone' : `of zone ${zone}`
  return `${count} of ${counted(of.length, 'group')} ${where} (${of.join(', ')})`
}

/** How many may be lost, whoever they are, and one that has it is left. */
function lost(quorums: readonly Quorum[]): string {
  const [most = 0] = quorums.map(({ count }) => count - 1)
  return most === 0 ? 'none' : `any ${most}`
}

function levelsByZone(shape: GroupsShape): string[] {
  if (Object.keys(shape.zones).length === 0) return []
  const own = zoneQuorums(shape, 'local-quorum')
  const each = zoneQuorums(shape, 'each-quorum')
  return [
    `ack local-quorum: held by ${own.map(share).join()}, for a round trip within the zone; it ` +
      `survives the loss of ${lost(own)} of these, not of all; read local-quorum sees what was ` +
      'acknowledged so in the same zone.',
    `ack each-quorum: held by ${each.map(share).join(', ')}, for a round trip to the farthest zone; ` +
      'it survives the loss of all zones but one; read local-quorum sees it in every zone.',
    'read each-quorum: everything acknowledged at local-quorum or each-quorum, in whatever zone.',
  ]
}

function stopsByZone(shape: GroupsShape): string[] {
  if (Object.keys(shape.zones).length === 0) return []
  const own = zoneQuorums(shape, 'local-quorum')
  return [
    `Fewer than ${own.map(share).join()} in reach: ack and read local-quorum fail here.`,
    'Fewer than most groups of any zone in reach: ack and read each-quorum fail.',
  ]
}

function stops(shape: GroupsShape, quorum: number): string[] {
  const { groups, voters, majority, keeper, strategy } = shape
  return [
    strategy === 'peer'
      ? 'A peer that is down takes no writes; the others go on.'
      : `Fewer than ${counted(majority, 'voter')} of the ${voters.length} of a group up: ` +
        'its nodes take no writes; the other groups go on.',
    'Any group away: ack stable, ack all and read strong wait, then fail; nothing becomes final, and ' +
      'what is kept for undoing grows until it is back or removed (`quorate groups remove`).',
    `Fewer than ${quorum} of ${counted(groups.length, 'group')} in reach: ack quorum is refused ` +
      '(of writes that were under way it ends as unknown), and read quorum fails.',
    `Group ${keeper} away: no change of schema, rules or groups.`,
    'Any group away: no change of the schema that takes something away or forbids something, and no ' +
      'change of rules. New tables, columns and plain indexes need group ' +
      `${keeper} only.`,
  ]
}

function advice({ groups, voters, strategy }: GroupsShape, quorum: number): string[] {
  const list: string[] = []
  if (groups.length === 1) {
    list.push('There is one group only: start a node with --join and another --group.')
  }
  if (strategy === 'multi-leader' && voters.length === 1) {
    list.push(
      'The group has one voter: what it acknowledges at ack majority is on one disk until another ' +
        'group has it. Join more nodes to it, or write at ack quorum.',
    )
  }
  if (groups.length === quorum && groups.length > 1) {
    list.push(`A quorum of ${groups.length} groups is all of them; three make one that survives.`)
  }
  return list
}

/** Who there is, in the lines above the promises. */
export function groupsHead(explanation: GroupsExplanation): string[] {
  const { strategy, groups, zones, group, voters, learners, majority, quorum } = explanation
  const { survives, survivesNow } = explanation
  const named = groups.map((name) => {
    const zone = zones[name]
    return zone === undefined ? name : `${name} in ${zone}`
  })
  const several = `${counted(groups.length, 'group')} (${named.join(', ')})`
  if (strategy === 'peer') {
    return [`Equal peers, ${several}`, `Quorum: ${counted(quorum, 'peer')}.`]
  }
  const following =
    learners.length > 0 ? `, ${counted(learners.length, 'learner')} (${learners.join(', ')})` : ''
  return [
    `Several leaders, ${several}`,
    `Group ${group}: ${counted(voters.length, 'voter')} (${voters.join(', ')})${following}`,
    `Majority of the group: ${majority}. May fail at once: ${mayFail(survives)}. ` +
      `From now on: ${mayFail(survivesNow)}. Quorum of groups: ${quorum}.`,
  ]
}

/** How many voters may fail, in words. */
export function mayFail(count: number): string {
  if (count < 0) return 'there is no majority'
  return count === 0 ? 'none' : counted(count, 'voter')
}
