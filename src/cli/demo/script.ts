/**
 * The demo without a person: load, SIGKILL of the leader at half time, restart, recovery, and then
 * whether every acknowledged write is there exactly once on every replica.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { count, milliseconds, type Paint } from '../terminal.ts'
import { type CheckResult, checkCluster } from './check.ts'
import type { DemoCluster } from './cluster.ts'
import type { Load } from './load.ts'

/** What `demo --seconds N --json` prints. Also the exit code is read off it. */
export interface ScriptReport {
  readonly strategy: 'leader'
  readonly nodes: number
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
  const failoverMs = await killLeader(cluster, load, killed)
  const first = failoverMs === null ? 'no write' : `first write after ${milliseconds(failoverMs)}`
  tell(`kill -9 of the leader, ${killed}: ${first}`)
  const spare = seconds * 500 - (failoverMs ?? 0)
  await sleep(Math.max(0, Math.min(RESTART_AFTER_MS_MAX, spare / 2)))
  await Promise.all([
    cluster.restart(killed).then(() => load.spread(cluster.urls)),
    sleep(Math.max(0, seconds * 1000 - load.seconds * 1000)),
  ])
  await load.stop()
  tell(`load ended: ${count(load.counts.acknowledged)} writes acknowledged; comparing replicas`)
  return reportOf(cluster, load, failoverMs, await checkCluster(cluster, load.records))
}

async function killLeader(cluster: DemoCluster, load: Load, name: string): Promise<number | null> {
  const last = load.lastAckAt ?? performance.now()
  await cluster.kill(name)
  // From the moment that the process is gone: nothing begun now can be answered by the dead one.
  const first = await Promise.race([
    load.firstAckFromNow(),
    sleep(FAILOVER_MS_MAX, null, { ref: false }),
  ])
  return first === null ? null : Math.round(first - last)
}

function reportOf(
  cluster: DemoCluster,
  load: Load,
  failoverMs: number | null,
  check: CheckResult,
): ScriptReport {
  const { acknowledged, unknown, refused, reads, staleReads } = load.counts
  const { lost, repeated, refusedButThere, countersWrong, identical, problems } = check
  const hundredths = (ms: number): number => Math.round(ms * 100) / 100
  return {
    strategy: 'leader',
    nodes: cluster.names.length,
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
    report.lost +
      report.repeated +
      report.refusedButThere +
      report.countersWrong +
      report.staleReads ===
      0
  )
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
    `replicas       ${same}`,
    ...report.problems.map((problem) => paint('red', `! ${problem}`)),
  ]
}
