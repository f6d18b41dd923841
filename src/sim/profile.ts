/**
 * How hostile a world is, drawn from its seed before anything runs: some worlds lose no packet,
 * some lose a third; some have one node, some five. A narrow world finds what an evenly bad one
 * hides, so each kind of trouble is switched on or off as a whole first.
 */
import type { Prng } from '../base/prng.ts'

/** A span of delays, µs. Most are short, a few percent come from the whole span. */
export interface DelayUs {
  readonly usual: number
  readonly max: number
  /** Chance of one from the whole span, percent. */
  readonly longPercent: number
}

export interface Profile {
  readonly voters: number
  readonly learners: number
  readonly clients: number
  /** Virtual µs of the hostile phase. */
  readonly hostileUs: number
  readonly network: {
    readonly delay: DelayUs
    readonly lossPercent: number
    readonly duplicatePercent: number
  }
  readonly disk: {
    readonly store: DelayUs
    readonly flush: DelayUs
    readonly checkpointPercent: number
  }
  /** Mean µs between one fault and the next; 0: none. */
  readonly faultEveryUs: number
  /** What crashed is started again within so long. */
  readonly restartUsMax: number
  /** Connections break and come back within so long. */
  readonly linkUsMax: number
  /** Chance that a node crashes just after it has saved its vote. */
  readonly crashAfterVotePercent: number
  /** Weights of the kinds of fault, 0: never. */
  readonly faults: Readonly<Record<Fault, number>>
  /** Entries that a node keeps: few, and followers need snapshots. */
  readonly retainEntries: number
  /** Mean µs that a client thinks between requests. */
  readonly thinkUs: number
  readonly clockSkewMs: number
  /** How much faster or slower wall clocks run, at most. */
  readonly clockDriftPermille: number
  /** How far one is set forward or back, at most. */
  readonly clockJumpMs: number
  /** How fast and how slow the clocks run that elections go by, percent of a tick. */
  readonly tickPercentMin: number
  readonly tickPercentMax: number
  /** Of each voter's priority as leader. */
  readonly priorityMax: number
  readonly levels: {
    readonly localAckPercent: number
    readonly allAckPercent: number
  }
  readonly ddl: boolean
  readonly streams: boolean
}

export const FAULTS = [
  'crash',
  'crashMany',
  'pause',
  'partition',
  'cutOneWay',
  'isolateLeader',
  'heal',
  'transfer',
  'members',
  'clockJump',
  'checkpoint',
  'verify',
] as const
export type Fault = (typeof FAULTS)[number]

/** Draws a delay. */
export function drawDelay(prng: Prng, delay: DelayUs): number {
  const max = prng.percent(delay.longPercent) ? delay.max : delay.usual
  return prng.intInclusive(Math.min(20, max), max)
}

/** Draws the world of a seed: most have a bit of everything, some much of what rarely meets. */
export function drawProfile(prng: Prng): Profile {
  const drawn = drawAny(prng)
  const style = prng.intInclusive(1, 100)
  if (style <= 12) return withElections(drawn)
  return style <= 27 ? withContest(drawn) : drawn
}

/** Votes that travel for long, between nodes that crash and are back before the next vote. */
function withElections(drawn: Profile): Profile {
  return {
    ...drawn,
    voters: Math.max(3, drawn.voters),
    clients: 2,
    network: { ...drawn.network, delay: { usual: 60_000, max: 200_000, longPercent: 20 } },
    faultEveryUs: 120_000,
    faults: { ...drawn.faults, crash: 8, crashMany: 2, isolateLeader: 2, heal: 3 },
    restartUsMax: 40_000,
    linkUsMax: 4_000,
    crashAfterVotePercent: 20,
    tickPercentMin: 40,
    tickPercentMax: 110,
  }
}

/** Leadership that comes and goes under writes that nobody else has yet, on slow stores. */
function withContest(drawn: Profile): Profile {
  return {
    ...drawn,
    voters: 3,
    clients: 5,
    thinkUs: 20_000,
    disk: { ...drawn.disk, store: { usual: 15_000, max: 100_000, longPercent: 5 } },
    faultEveryUs: 350_000,
    faults: { ...drawn.faults, isolateLeader: 6, partition: 2, heal: 8 },
    levels: { localAckPercent: 50, allAckPercent: 2 },
  }
}

export function drawAny(prng: Prng): Profile {
  const sometimes = (percent: number, min: number, max: number): number =>
    prng.percent(percent) ? prng.intInclusive(min, max) : 0
  const voters = prng.pick([1, 2, 3, 3, 3, 3, 3, 4, 5, 5])
  const slowNet = prng.percent(20)
  const slowDisk = prng.percent(20)
  const unevenClocks = prng.percent(30)
  return {
    voters,
    learners: sometimes(30, 1, 2),
    clients: prng.intInclusive(2, 5),
    hostileUs: prng.intInclusive(3, 9) * 1_000_000,
    network: {
      delay: {
        usual: slowNet ? 20_000 : 500,
        max: slowNet ? 400_000 : 50_000,
        longPercent: prng.pick([0, 1, 5, 20]),
      },
      lossPercent: sometimes(40, 1, 30),
      duplicatePercent: sometimes(40, 1, 20),
    },
    disk: {
      store: {
        usual: slowDisk ? 10_000 : 200,
        max: slowDisk ? 1_500_000 : 50_000,
        longPercent: prng.pick([0, 1, 3]),
      },
      flush: {
        usual: slowDisk ? 50_000 : 2_000,
        max: slowDisk ? 800_000 : 100_000,
        longPercent: prng.pick([0, 2, 10]),
      },
      checkpointPercent: sometimes(30, 5, 20),
    },
    faultEveryUs: prng.pick([0, 300_000, 600_000, 1_000_000, 1_000_000, 2_000_000]),
    linkUsMax: prng.pick([5_000, 300_000]),
    crashAfterVotePercent: sometimes(10, 1, 20),
    restartUsMax: prng.pick([30_000, 2_000_000, 2_000_000]),
    faults: {
      crash: sometimes(70, 1, 6),
      crashMany: sometimes(25, 1, 3),
      pause: sometimes(30, 1, 4),
      partition: sometimes(50, 1, 4),
      cutOneWay: sometimes(40, 1, 4),
      isolateLeader: sometimes(50, 1, 4),
      heal: prng.intInclusive(1, 4),
      transfer: sometimes(30, 1, 3),
      members: sometimes(30, 1, 4),
      clockJump: sometimes(30, 1, 2),
      checkpoint: sometimes(30, 1, 3),
      verify: sometimes(30, 1, 3),
    },
    retainEntries: prng.percent(40) ? prng.intInclusive(4, 30) : 100_000,
    thinkUs: prng.pick([20_000, 60_000, 60_000, 150_000]),
    clockSkewMs: sometimes(50, 1, 100_000),
    clockDriftPermille: 0,
    clockJumpMs: 100_000,
    tickPercentMin: unevenClocks ? 50 : 90,
    tickPercentMax: unevenClocks ? 300 : 110,
    priorityMax: prng.percent(20) ? 3 : 1,
    levels: { localAckPercent: sometimes(50, 5, 60), allAckPercent: sometimes(30, 2, 10) },
    ddl: prng.percent(50),
    streams: prng.percent(50),
  }
}
