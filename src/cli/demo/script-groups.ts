/**
 * The demo without a person, with several groups: load on all of them, the connections between one
 * and the others cut for a third of the time, a leader killed meanwhile, and then whether all
 * replicas of all groups are the same and every acknowledged write is in the data or, where two
 * sides wanted the same seat, in the conflict table.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Strategy } from '../../model/origin-entry.ts'
import { count, milliseconds } from '../terminal.ts'
import { checkCluster, untilExchanged } from './check.ts'
import type { DemoCluster } from './cluster.ts'
import type { Load } from './load.ts'
import { killLeader, reportOf, type ScriptReport } from './script.ts'

/** The columns that triggers and clients count in: what both sides add is added. */
export const COUNTERS: readonly (readonly [table: string, column: string])[] = [
  ['client', 'visits'],
  ['country', 'cities'],
  ['country', 'population'],
  ['city', 'population'],
]

/**
 * Runs the script on a cluster that is up.
 *
 * @param tell gets a line about each step
 */
export async function runGroupsScript(
  strategy: Strategy,
  cluster: DemoCluster,
  load: Load,
  seconds: number,
  tell: (line: string) => void,
): Promise<ScriptReport> {
  const third = (seconds * 1_000) / 3
  const groups = cluster.groups
  const cut = groups.at(-1) ?? ''
  await load.start()
  tell(`load for ${seconds} s on groups ${groups.join(', ')}`)
  await sleep(third)
  await cluster.cutGroup(cut)
  tell(`group ${cut} is cut off from the others; all go on writing`)
  const before = load.acknowledgedByGroup
  await sleep(third / 4)
  const failoverMs = await killOne(cluster, load, groups, tell)
  await sleep(third / 2)
  const after = load.acknowledgedByGroup
  const writesDuringCut = Object.fromEntries(
    groups.map((group, at) => [group, (after[at] ?? 0) - (before[at] ?? 0)]),
  )
  const healMs = await heal(cluster)
  tell(`healed; level again after ${healMs === null ? 'too long' : milliseconds(healMs)}`)
  await sleep(Math.max(0, seconds * 1_000 - load.seconds * 1_000))
  await load.stop()
  tell(`load ended: ${count(load.counts.acknowledged)} writes acknowledged; comparing replicas`)
  const check = await checkCluster(cluster, load.records)
  const { conflicts } = check
  return {
    ...reportOf(strategy, cluster, load, failoverMs, check),
    conflicts,
    writesDuringCut,
    healMs,
  }
}

/** Kills the first group's leader, and starts it again. Of a group of one or two nobody takes over. */
async function killOne(
  cluster: DemoCluster,
  load: Load,
  groups: readonly string[],
  tell: (line: string) => void,
): Promise<number | null> {
  const [group = ''] = groups
  const killed = cluster.leaderOf(group) ?? group
  const alone = cluster.urlsOf(group).length < 3
  const failoverMs = await killLeader(cluster, load, killed, 0, async () => {
    if (alone) await cluster.restart(killed)
  })
  const first = failoverMs === null ? 'no write' : `first write after ${milliseconds(failoverMs)}`
  tell(`kill -9 of ${killed}, leader of ${group}: ${first}`)
  if (!alone) await cluster.restart(killed)
  load.spread(groups.map((each) => cluster.urlsOf(each)))
  return failoverMs
}

async function heal(cluster: DemoCluster): Promise<number | null> {
  await cluster.heal()
  const began = performance.now()
  return (await untilExchanged(cluster)) ? Math.round(performance.now() - began) : null
}
