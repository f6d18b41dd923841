/**
 * How hostile a world of several groups is, drawn from its seed: what each group has to bear by
 * itself, as in a world with one leader, and what happens between groups.
 */
import type { Prng } from '../../base/prng.ts'
import { type DelayUs, drawAny, type Profile } from '../profile.ts'

export interface OriginsProfile extends Profile {
  readonly strategy: 'multi-leader' | 'peer'
  /** Voters and learners of each group. */
  readonly groups: readonly GroupSize[]
  /** Who exchanges entries with whom, by the names of graphOf. */
  readonly topology: string
  /** Between nodes of different groups. */
  readonly far: DelayUs
  /** How far ahead a stamp may be and still be merged at once. */
  readonly driftMaxMs: number
  /** How many requests go to any group, not to the client's own. */
  readonly roamPercent: number
  /** How many are at levels that other groups have a say in. */
  readonly beyondPercent: number
  /** How many of these are at levels by zone, where there are zones. */
  readonly byZonePercent: number
  /** How many writes change the schema, where any do. */
  readonly schemaPercent: number
  /** Mean µs between one fault between groups and the next; 0: none. */
  readonly groupFaultEveryUs: number
  readonly groupFaults: Readonly<Record<GroupFault, number>>
  /** Mean µs between one thing that people do to the groups and the next; 0: nothing. */
  readonly peopleEveryUs: number
  readonly people: Readonly<Record<PeopleAct, number>>
  /** How many of the groups that died are still gone when all else is healed. */
  readonly goneForGoodPercent: number
}

export interface GroupSize {
  readonly voters: number
  readonly learners: number
  readonly zone?: string
}

export const GROUP_FAULTS = [
  /** No message between one group and all others. */
  'isolate',
  /** Some groups on this side, the others on that one. */
  'split',
  /** One pair of groups, one or both ways. */
  'cutPair',
  /** As `quorate groups cut`. */
  'cutOnPurpose',
  'healGroups',
  /** All nodes of a group at once. */
  'crashGroup',
  'changeRule',
  'changeZone',
] as const
export type GroupFault = (typeof GROUP_FAULTS)[number]

export const PEOPLE_ACTS = [
  /** A node asks to be let in, and founds a group on another's file. */
  'join',
  /** A group that lives is removed, most often while it is cut off. */
  'remove',
  /** One dies, and is removed. */
  'lose',
  /** Another group keeps members, schema and rules. */
  'moveKeeper',
  /** The keeper dies or is cut off, and another group takes its place. */
  'takeOver',
  /** A group that died is started again. */
  'revive',
  /** One that was removed joins anew, with what it had not shipped. */
  'return',
  /** Two sides of a cut each take the other for gone, and remove it. */
  'partForGood',
  /** Two groups are told to exchange, if entries of some come to others by no way any more. */
  'rewire',
] as const
export type PeopleAct = (typeof PEOPLE_ACTS)[number]

export const TOPOLOGIES = ['mesh', 'ring', 'star', 'tree', 'chain'] as const

/** Draws the world of a seed: most have a bit of everything, some much of what rarely meets. */
export function drawOriginsProfile(prng: Prng): OriginsProfile {
  const drawn = drawAnyOrigins(prng)
  return prng.percent(40) ? withZones(drawStyle(drawn, prng), prng) : drawStyle(drawn, prng)
}

function drawStyle(drawn: OriginsProfile, prng: Prng): OriginsProfile {
  const style = prng.intInclusive(1, 100)
  if (style <= 20) return withDisputes(drawn)
  if (style <= 35) return withContests(drawn)
  return style <= 50 ? withPeople(drawn, prng) : drawn
}

export const ZONES = ['east', 'west'] as const

/** Whether any group is said to be somewhere. */
export function isZoned({ groups }: OriginsProfile): boolean {
  return groups.some(({ zone }) => zone !== undefined)
}

/** Some groups are in one of two zones, the others in none. In half of the worlds that changes. */
function withZones(drawn: OriginsProfile, prng: Prng): OriginsProfile {
  const groups = drawn.groups.map((size) => {
    return prng.percent(80) ? { ...size, zone: prng.pick(ZONES) } : size
  })
  const changeZone = prng.percent(50) ? prng.intInclusive(1, 8) : 0
  const groupFaultEveryUs = drawn.groupFaultEveryUs || (changeZone > 0 ? 400_000 : 0)
  return {
    ...drawn,
    groups,
    groupFaultEveryUs,
    groupFaults: { ...drawn.groupFaults, changeZone },
  }
}

/** Groups come, go, die and are taken over. */
export function withPeople(drawn: OriginsProfile, prng: Prng): OriginsProfile {
  const count = prng.pick([2, 3, 3, 4, 4, 5])
  const isMulti = drawn.strategy === 'multi-leader'
  return {
    ...drawn,
    groups: Array.from({ length: count }, () => ({
      voters: isMulti ? prng.pick([1, 1, 1, 3]) : 1,
      learners: 0,
    })),
    topology: prng.percent(60) ? 'mesh' : prng.pick(TOPOLOGIES),
    hostileUs: prng.intInclusive(6, 12) * 1_000_000,
    clients: 3,
    thinkUs: prng.pick([60_000, 120_000]),
    roamPercent: prng.pick([10, 50, 100]),
    peopleEveryUs: prng.pick([500_000, 1_000_000, 2_000_000]),
    people: {
      join: prng.intInclusive(0, 2),
      remove: prng.intInclusive(1, 2),
      lose: prng.intInclusive(0, 2),
      moveKeeper: prng.intInclusive(0, 2),
      takeOver: prng.intInclusive(0, 3),
      revive: prng.intInclusive(0, 2),
      return: prng.intInclusive(1, 3),
      rewire: 1,
      partForGood: prng.percent(20) ? 1 : 0,
    },
    goneForGoodPercent: prng.pick([0, 50, 100]),
  }
}

/** Nobody does anything. */
export const NOBODY: OriginsProfile['people'] = {
  join: 0,
  remove: 0,
  lose: 0,
  moveKeeper: 0,
  takeOver: 0,
  revive: 0,
  return: 0,
  rewire: 0,
  partForGood: 0,
}

/** Everybody writes the same few rows, and hears of the others late. */
function withDisputes(drawn: OriginsProfile): OriginsProfile {
  return {
    ...drawn,
    clients: 6,
    thinkUs: 10_000,
    roamPercent: 10,
    beyondPercent: 15,
    hostileUs: 1_500_000,
    disk: { ...drawn.disk, store: { usual: 200, max: 2_000, longPercent: 5 } },
    far: { usual: 40_000, max: 200_000, longPercent: 20 },
    groupFaultEveryUs: 300_000,
    groupFaults: { ...drawn.groupFaults, isolate: 3, split: 2, healGroups: 3 },
    schemaPercent: 12,
  }
}

/** Leaders of groups change under writes that nobody else in the group has, nor anybody elsewhere. */
function withContests(drawn: OriginsProfile): OriginsProfile {
  return {
    ...drawn,
    strategy: 'multi-leader',
    groups: [
      { voters: 3, learners: 0 },
      { voters: 3, learners: 0 },
    ],
    clients: 6,
    thinkUs: 15_000,
    hostileUs: 3_000_000,
    disk: { ...drawn.disk, store: { usual: 5_000, max: 50_000, longPercent: 5 } },
    faultEveryUs: 400_000,
    faults: { ...drawn.faults, isolateLeader: 6, crash: 3, partition: 2, heal: 8 },
    levels: { localAckPercent: 40, allAckPercent: 5 },
  }
}

function drawAnyOrigins(prng: Prng): OriginsProfile {
  const sometimes = (percent: number, min: number, max: number): number =>
    prng.percent(percent) ? prng.intInclusive(min, max) : 0
  const inside = drawAny(prng)
  const peer = prng.percent(50)
  const count = peer ? prng.intInclusive(2, 5) : prng.pick([2, 2, 2, 3, 3, 4])
  const slow = prng.percent(20)
  const skewed = prng.percent(30)
  return {
    ...inside,
    strategy: peer ? 'peer' : 'multi-leader',
    groups: Array.from({ length: count }, () => ({
      voters: peer ? 1 : prng.pick([1, 1, 2, 3, 3]),
      learners: peer ? 0 : sometimes(15, 1, 1),
    })),
    topology: prng.percent(60) ? 'mesh' : prng.pick(TOPOLOGIES),
    far: {
      usual: slow ? 80_000 : prng.pick([500, 20_000]),
      max: slow ? 400_000 : 100_000,
      longPercent: prng.pick([0, 1, 5]),
    },
    driftMaxMs: prng.pick([500, 500, 5_000]),
    clockSkewMs: skewed ? prng.pick([300, 5_000]) : sometimes(60, 1, 100),
    clockDriftPermille: sometimes(30, 1, 20),
    clockJumpMs: prng.pick([100, 1_000, 5_000]),
    hostileUs: prng.intInclusive(2, 5) * 1_000_000,
    clients: prng.intInclusive(3, 6),
    // A store that takes a second for each command says little more about several groups.
    disk: { ...inside.disk, store: { ...inside.disk.store, max: 200_000 } },
    faultEveryUs: peer ? inside.faultEveryUs : inside.faultEveryUs * count,
    roamPercent: prng.pick([10, 100, 100]),
    beyondPercent: prng.pick([10, 40, 40]),
    byZonePercent: prng.pick([40, 40, 90]),
    schemaPercent: 6,
    groupFaultEveryUs: prng.pick([0, 400_000, 800_000, 800_000, 1_600_000]),
    groupFaults: {
      isolate: sometimes(60, 1, 4),
      split: sometimes(50, 1, 4),
      cutPair: sometimes(50, 1, 4),
      cutOnPurpose: sometimes(20, 1, 2),
      healGroups: prng.intInclusive(1, 4),
      crashGroup: sometimes(40, 1, 3),
      changeRule: sometimes(20, 1, 1),
      changeZone: 0,
    },
    peopleEveryUs: 0,
    people: NOBODY,
    goneForGoodPercent: 0,
  }
}
