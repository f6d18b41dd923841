/**
 * The demo without a person: load, SIGKILL of the leader at half time, restart, recovery, and then
 * whether every acknowledged write is there exactly once on every replica.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Strategy } from '../../model/origin-entry.ts'
import { count, milliseconds, type Paint } from '../terminal.ts'
import { type CheckResult, checkCluster } from './check.ts'
import type { DemoCluster } from './cluster.ts'
import type { Load } from './load.ts'

/** What `demo --seconds N --json` prints. Also the exit code is read off it. */
export interface ScriptReport {
  readonly strategy: Strategy
  /** In each group if there are several, and all of them among peers. */
  readonly nodes: number
  readonly groups: number
  readonly acknowledged: number
  /** Acknowledged and missing on at least one replica. */
  readonly lost: number
  /** On a replica more than once. */
  readonly repeated: number
  /** On a replica although refused. */
  readonly refusedButThere: number
  readonly countersWrong: number
  /** Reads that did not show what their own session had written. */
  readonly staleReads: number
  /** No answer in time: counted neither as done nor as refused. */
  readonly unknown: number
  readonly refused: number
  readonly reads: number
  /** Last answer before the kill to the first acknowledged write begun after it; null: none came. */
  readonly failoverMs: number | null
  readonly identical: boolean
  readonly problems: readonly string[]
  readonly tps: number
  readonly p50Ms: number
  readonly p99Ms: number
  /** With several groups: rows of quorate_conflicts. */
  readonly conflicts?: number
  /** Acknowledged writes of each group while it was cut off from the others. */
  readonly writesDuringCut?: Readonly<Record<string, number>>
  /** From the end of the cut until all groups held the same, under load. */
  readonly healMs?: number | null
}

const RESTART_AFTER_MS_MAX = 3_000
/** How long to wait for a write after the kill before saying that none came. */
const FAILOVER_MS_MAX = 20_000

/**
 * Runs the script on a cluster that is up.
 *
 * @param tell gets a line about each step
 */
export async function runScript(
  cluster: DemoCluster,
  load: Load,
  seconds: number,
  tell: (line: string) => void,
): Promise<ScriptReport> {
  await load.start()
  tell(`load for ${seconds} s: ${cluster.urls.join(', ')}`)
  await sleep(seconds * 500)
  const killed = cluster.leader ?? 'a'
  const failoverMs = await killLeader(cluster, load, killed, 0)
  const first = failoverMs === null ? 'no write' : `first write after ${milliseconds(failoverMs)}`
  tell(`kill -9 of the leader, ${killed}: ${first}`)
  const spare = seconds * 500 - (failoverMs ?? 0)
  await sleep(Math.max(0, Math.min(RESTART_AFTER_MS_MAX, spare / 2)))
  await Promise.all([
    cluster.restart(killed).then(() => load.spread([cluster.urls])),
    sleep(Math.max(0, seconds * 1000 - load.seconds * 1000)),
  ])
  await load.stop()
  tell(`load ended: ${count(load.counts.acknowledged)} writes acknowledged; comparing replicas`)
  return reportOf('leader', cluster, load, failoverMs, await checkCluster(cluster, load.records))
}

/**
 * Kills the leader of a group.
 *
 * @param group its index among the groups
 * @param next what is done as soon as it is gone
 * @returns time without a write of that group in ms; null: no write came after it
 */
export async function killLeader(
  cluster: DemoCluster,
  load: Load,
  name: string,
  group: number,
  next: () => Promise<void> = async () => {},
): Promise<number | null> {
  const last = load.lastAckAt ?? performance.now()
  await cluster.kill(name)
  // From the moment that the process is gone: nothing begun now can be answered by the dead one.
  const [first] = await Promise.all([
    Promise.race([load.firstAckFromNow(group), sleep(FAILOVER_MS_MAX, null, { ref: false })]),
    next(),
  ])
  return first === null ? null : Math.round(first - last)
}

/** What the load and the check say, as the report has it. */
export function reportOf(
  strategy: Strategy,
  cluster: DemoCluster,
  load: Load,
  failoverMs: number | null,
  check: CheckResult,
): ScriptReport {
  const { acknowledged, unknown, refused, reads, staleReads } = load.counts
  const { lost, repeated, refusedButThere, countersWrong, identical, problems } = check
  const hundredths = (ms: number): number => Math.round(ms * 100) / 100
  return {
    strategy,
    nodes:
      strategy === 'peer' ? cluster.names.length : cluster.names.length / cluster.groups.length,
    groups: cluster.groups.length,
    acknowledged,
    lost,
    repeated,
    refusedButThere,
    countersWrong,
    staleReads,
    unknown,
    refused,
    reads,
    failoverMs,
    identical,
    problems,
    tps: Math.round(acknowledged / load.seconds),
    p50Ms: hundredths(load.latencies.quantile(0.5)),
    p99Ms: hundredths(load.latencies.quantile(0.99)),
  }
}

/** Whether everything that was promised was kept. */
export function isGood(report: ScriptReport): boolean {
  return (
    report.identical &&
    report.problems.length === 0 &&
    report.failoverMs !== null &&
    report.healMs !== null &&
    wroteDuringCut(report) &&
    report.lost +
      report.repeated +
      report.refusedButThere +
      report.countersWrong +
      report.staleReads ===
      0
  )
}

/** Among peers the smaller side has no quorum, and rightly takes nothing. */
function wroteDuringCut({ strategy, writesDuringCut }: ScriptReport): boolean {
  const writes = Object.values(writesDuringCut ?? {})
  const wrote = writes.filter((each) => each > 0).length
  return strategy === 'peer' ? wrote * 2 > writes.length : wrote === writes.length
}

/** The report for people. */
export function reportLines(report: ScriptReport, paint: Paint): string[] {
  const bad = (value: number): string => (value === 0 ? '0' : paint('red', count(value)))
  const { failoverMs } = report
  const same = report.identical ? paint('green', 'identical') : paint('red', 'NOT identical')
  return [
    '',
    `acknowledged   ${count(report.acknowledged)} writes, ${count(report.tps)}/s, ` +
      `p50 ${milliseconds(report.p50Ms)}, p99 ${milliseconds(report.p99Ms)}`,
    `lost           ${bad(report.lost)}`,
    `run twice      ${bad(report.repeated)}`,
    `refused        ${count(report.refused)}, of which there all the same: ${bad(report.refusedButThere)}`,
    `unknown        ${count(report.unknown)}`,
    `counters wrong ${bad(report.countersWrong)}`,
    `stale reads    ${bad(report.staleReads)} of ${count(report.reads)} reads`,
    `failover       ${failoverMs === null ? paint('red', 'no write after it') : milliseconds(failoverMs)}`,
    ...cutLines(report),
    `replicas       ${same}`,
    ...report.problems.map((problem) => paint('red', `! ${problem}`)),
  ]
}

function cutLines({ writesDuringCut, healMs, conflicts }: ScriptReport): string[] {
  if (writesDuringCut === undefined) return []
  const writes = Object.entries(writesDuringCut).map(([group, n]) => `${group} ${count(n)}`)
  const healed = healMs == null ? 'not in time' : milliseconds(healMs)
  return [
    `during the cut ${writes.join(', ')} writes acknowledged; all level again after ${healed}`,
    `conflicts      ${count(conflicts ?? 0)} in quorate_conflicts`,
  ]
}
