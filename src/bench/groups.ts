/**
 * `quorate bench --strategy multi-leader`: in one run on one machine, what a single leader's
 * application does, alone, with as many copies as two groups make, and beside another one that it has
 * nothing to do with; what two do at once that each lead a group of their own and exchange what
 * they write; and how long they take to be level again after a cut.
 *
 * They take turns: a machine that others use too may be half as fast a minute later.
 */
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { present } from '../base/assert.ts'
import type { NodeStatus } from '../model/status.ts'
import { Application } from './application.ts'
import { allVote, type BenchReport, machineOf, statusOf } from './bench.ts'
import { ChildNode, freePort, until } from './child-node.ts'
import { hasApplied, type Made, madeBy } from './levelling.ts'
import type { Rate } from './measure.ts'
import type { KeyShare } from './workload.ts'

export interface GroupsBenchOptions {
  /** Clients of each application. */
  readonly clients: number
  /** Of each group. */
  readonly nodes: number
  /** For each figure, in ROUNDS turns. */
  readonly seconds: number
}

export interface GroupsBenchReport extends Pick<BenchReport, 'versions' | 'processor'> {
  readonly strategy: 'multi-leader'
  readonly ack: 'majority'
  readonly clients: number
  readonly nodes: number
  readonly seconds: number
  /** In so many turns was each of the following measured. */
  readonly rounds: number
  /** One leader, nothing else at work on the machine. */
  readonly single: Rate
  /** One leader whose group has as many nodes as both groups have: as many copies of each write. */
  readonly replicated: Rate
  /** Two leaders at once that know nothing of each other: each has half of the machine. */
  readonly apart: readonly Rate[]
  /** Both at once, each rate also as a part of those above. */
  readonly leaders: readonly LeaderRate[]
  /** Both wrote while cut off from each other for `seconds`; one in a hundred may meet the other's. */
  readonly heal: { readonly writes: number; readonly entries: number; readonly ms: number }
}

export interface LeaderRate extends Rate {
  readonly group: string
  readonly ofSingle: number
  readonly ofReplicated: number
  /** Of what the two do on average. */
  readonly ofApart: number
}

const GROUPS = ['a', 'b'] as const
const ROUNDS = 5
const LEVEL_MS = 120_000
/** Part of the writes during the cut that may meet the other side's. */
const OVERLAP = 0.01

/** One group: an application that leads it, and its followers. */
class Group {
  readonly application: Application
  readonly #followers: ChildNode[] = []

  private constructor(application: Application) {
    this.application = application
  }

  /** @param group its name where there are several; `join` then: a node of the cluster, if any */
  static async start(
    dir: string,
    nodes: number,
    group: string | null,
    join_: string | null,
  ): Promise<Group> {
    mkdirSync(dir, { recursive: true })
    const base = group ?? 'single'
    const strategy = { strategy: 'multi-leader', group: base } as const
    const application = new Application({
      file: join(dir, `${base}1.db`),
      name: `${base}1`,
      port: await freePort(),
      options: {
        ...(group === null ? {} : strategy),
        ...(join_ === null ? {} : { join: [join_] }),
      },
    })
    const started = new Group(application)
    await application.opened()
    for (let at = 2; at <= nodes; at += 1) {
      const node = new ChildNode({
        dir,
        name: `${base}${at}`,
        port: await freePort(),
        join: [application.url],
        flags: group === null ? [] : ['--strategy', 'multi-leader', '--group', group],
      })
      started.#followers.push(node)
      node.start()
      await node.ready()
    }
    await allVote(application.url, nodes)
    return started
  }

  async writes(clients: number, seconds: number, share?: KeyShare): Promise<Rate> {
    const task = { kind: 'writes', clients, seconds, ack: 'majority' } as const
    return await this.application.writes(share === undefined ? task : { ...task, share })
  }

  async kill(): Promise<void> {
    this.application.kill()
    await Promise.all(this.#followers.map((node) => node.kill()))
  }
}

/** Measures and cleans up. Throws the first error of any request. */
export async function runGroupsBench(options: GroupsBenchOptions): Promise<GroupsBenchReport> {
  const dir = mkdtempSync(join(tmpdir(), 'quorate-bench-'))
  const started: Group[] = []
  const start: StartGroup = async (...given) => {
    const group = await Group.start(join(dir, `${started.length}`), ...given)
    started.push(group)
    return group
  }
  try {
    return await measure(await startSetups(start, options.nodes), options)
  } finally {
    await Promise.all(started.map((group) => group.kill()))
    rmSync(dir, { recursive: true, force: true })
  }
}

type StartGroup = (nodes: number, group: string | null, join: string | null) => Promise<Group>

/** What is compared: each idle while another one is measured. `leaders` are of one cluster. */
const SETUPS = ['single', 'replicated', 'apart', 'leaders'] as const
type Setups = Readonly<Record<(typeof SETUPS)[number], readonly Group[]>>

async function startSetups(start: StartGroup, nodes: number): Promise<Setups> {
  const single = [await start(nodes, null, null)]
  const replicated = [await start(nodes * GROUPS.length, null, null)]
  const apart = [await start(nodes, null, null), await start(nodes, null, null)]
  for (const { application } of [...single, ...replicated, ...apart]) {
    await application.ask({ kind: 'fill' })
  }
  const first = await start(nodes, 'a', null)
  const leaders = [first, await start(nodes, 'b', first.application.url)]
  await first.application.ask({ kind: 'fill' })
  await level(leaders)
  return { single, replicated, apart, leaders }
}

async function measure(setups: Setups, options: GroupsBenchOptions): Promise<GroupsBenchReport> {
  const { clients, nodes, seconds } = options
  const { release } = await statusOf(first(setups.leaders).application.url)
  // With several threads on few cores it takes seconds until all code is compiled.
  for (const name of SETUPS) await measureOnce(setups[name], clients, seconds)
  const rounds = { single: [], replicated: [], apart: [], leaders: [] } as Record<
    keyof Setups,
    (readonly Rate[])[]
  >
  for (let round = 0; round < ROUNDS; round += 1) {
    for (const name of round % 2 === 0 ? SETUPS : SETUPS.toReversed()) {
      rounds[name].push(await measureOnce(setups[name], clients, seconds / ROUNDS))
    }
  }
  const single = first(together(rounds.single))
  const replicated = first(together(rounds.replicated))
  const apart = together(rounds.apart)
  const half = apart.reduce((sum, { tps }) => sum + tps, 0) / apart.length
  return {
    strategy: 'multi-leader',
    ack: 'majority',
    clients,
    nodes,
    seconds,
    rounds: ROUNDS,
    single,
    replicated,
    apart,
    leaders: together(rounds.leaders).map((rate, at) => ({
      group: GROUPS[at] ?? '',
      ...rate,
      ofSingle: partOf(rate, single.tps),
      ofReplicated: partOf(rate, replicated.tps),
      ofApart: partOf(rate, half),
    })),
    heal: await healed(setups.leaders, options),
    ...machineOf(release),
  }
}

/** All at once, each its own keys; ends when all of them have what the others wrote. */
async function measureOnce(groups: readonly Group[], clients: number, seconds: number) {
  const rates = await writesOfAll(groups, clients, seconds, 0)
  await level(groups)
  return rates
}

/** Of each group all rounds as one. */
function together(rounds: readonly (readonly Rate[])[]): Rate[] {
  return first(rounds).map((_, at) => {
    const rates = rounds.map((round) => present(round[at], () => `the rate of group ${at}`))
    const total = rates.reduce((sum, { tps }) => sum + tps, 0)
    return {
      tps: Math.round(total / rates.length),
      p50Ms: middle(rates.map(({ p50Ms }) => p50Ms)),
      p99Ms: middle(rates.map(({ p99Ms }) => p99Ms)),
    }
  })
}

function middle(figures: readonly number[]): number {
  const sorted = figures.toSorted((a, b) => a - b)
  return present(sorted[Math.floor(sorted.length / 2)], () => 'the middle of some figures')
}

function first<T>(items: readonly T[]): T {
  return present(items[0], () => 'the first of several')
}

function partOf(rate: Rate, whole: number): number {
  return Math.round((rate.tps / whole) * 100) / 100
}

/** All at once, each its own keys but for `overlap`. */
async function writesOfAll(
  groups: readonly Group[],
  clients: number,
  seconds: number,
  overlap: number,
): Promise<Rate[]> {
  const of = groups.length
  return await Promise.all(
    groups.map((group, at) => group.writes(clients, seconds, { at, of, overlap })),
  )
}

async function healed(groups: readonly Group[], { clients, seconds }: GroupsBenchOptions) {
  await setCut(groups, true)
  const before = madeBy(await statuses(groups))
  const rates = await writesOfAll(groups, clients, seconds, OVERLAP)
  const after = madeBy(await statuses(groups))
  const began = performance.now()
  await setCut(groups, false)
  await level(groups)
  return {
    // Those of the warm-up come on top.
    writes: rates.reduce((sum, { tps }) => sum + tps * seconds, 0),
    entries: sum(after) - sum(before),
    ms: Math.round(performance.now() - began),
  }
}

function sum(counts: Made): number {
  return [...counts.values()].reduce((all, one) => all + one, 0)
}

async function setCut(groups: readonly Group[], cut: boolean): Promise<void> {
  await Promise.all(
    groups.map(async ({ application }, at) => {
      const response = await fetch(`${application.url}/admin/group-cut`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ group: GROUPS[1 - at], cut }),
      })
      if (!response.ok) throw new Error(`cut: HTTP ${response.status} ${await response.text()}`)
    }),
  )
}

/** Waits until every group has applied what all of them had made when it began. */
async function level(groups: readonly Group[]): Promise<void> {
  const goal = madeBy(await statuses(groups))
  await until('the groups are level', LEVEL_MS, async () =>
    (await statuses(groups)).every((status) => hasApplied(status, goal)),
  )
}

async function statuses(groups: readonly Group[]): Promise<readonly NodeStatus[]> {
  return await Promise.all(groups.map(({ application }) => statusOf(application.url)))
}
