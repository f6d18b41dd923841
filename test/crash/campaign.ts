/**
 * kill -9 of one, two or all three nodes at random moments under load, again and again; then every
 * promise is checked on every replica's file.
 *
 *   node test/crash/campaign.ts [--rounds 50] [--seed N]
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { type Prng, prngFromSeed } from '../../src/base/prng.ts'
import type { ChildNode } from '../../src/bench/child-node.ts'
import type { RemoteDb } from '../../src/client/index.ts'
import { Cluster, problemsOf, rowsOf } from '../cluster.ts'
import { type Content, disagreements, type Load, type Notes, SCHEMA, startLoad } from './load.ts'

/** A node that was down for long then needs a snapshot, and one that was not does not. */
const SHORT_LOG = ['--log-retain-entries', '1000', '--log-retain-bytes', String(4 * 1024 * 1024)]
/** Timeouts of the writers, ms: some outlast every failover, some give up and learn nothing. */
const PATIENT = [8_000, 8_000, 8_000, 8_000]
const HASTY = [150, 400]

export interface CampaignOptions {
  readonly rounds: number
  /** Decides who is killed and when; the processes' own timing is theirs. */
  readonly seed: number
  readonly log: (line: string) => void
}

export interface CampaignReport {
  readonly rounds: number
  readonly kills: number
  readonly acknowledged: number
  readonly unknown: number
  readonly refused: number
}

/** Throws with every disagreement that was found, and the seed. */
export async function runCampaign(options: CampaignOptions): Promise<CampaignReport> {
  await using cluster = await Cluster.start({ flags: SHORT_LOG })
  const prng = prngFromSeed(options.seed)
  const checker = cluster.client({ timeoutMs: 20_000 })
  for (const sql of SCHEMA) await checker.execute(sql)
  const clients = [...PATIENT, ...HASTY].map((timeoutMs) => cluster.client({ timeoutMs }))
  const load = startLoad(clients, prng.fork())
  let kills = 0
  try {
    for (let round = 1; round <= options.rounds; round += 1) {
      const killed = await crash(cluster, prng)
      kills += killed.length
      await checkRunning(cluster, checker, load)
      options.log(
        `round ${round}: killed ${killed.map((node) => node.name).join(', ')}; ` +
          `${load.notes.acknowledged.size} acknowledged, ${load.notes.unknown.size} unknown`,
      )
    }
    await load.stop()
    await checkStopped(cluster, load.notes)
  } catch (error) {
    const logs = cluster.nodes.map((node) => `${node.name}:\n${node.logTail()}`).join('\n')
    throw new Error(`seed ${options.seed}: ${error}\n${logs}`, { cause: error })
  } finally {
    await load.stop()
  }
  return report(options.rounds, kills, load.notes)
}

/** Kills some nodes, waits a moment, starts them again, waits until the cluster is whole. */
async function crash(cluster: Cluster, prng: Prng): Promise<ChildNode[]> {
  await sleep(prng.intInclusive(100, 1_000))
  const count = prng.pick([1, 1, 2, 2, 3])
  const victims = pickSome(cluster.nodes, count, prng)
  for (const victim of victims) {
    await victim.kill()
    if (prng.percent(50)) await sleep(prng.intInclusive(0, 100))
  }
  await sleep(prng.intInclusive(0, prng.percent(30) ? 5_000 : 1_500))
  for (const victim of victims) victim.start()
  await Promise.all(victims.map((victim) => victim.ready()))
  await cluster.settled()
  return victims
}

function pickSome(nodes: readonly ChildNode[], count: number, prng: Prng): ChildNode[] {
  const left = [...nodes]
  const picked: ChildNode[] = []
  while (picked.length < count) {
    const node = prng.pick(left)
    left.splice(left.indexOf(node), 1)
    picked.push(node)
  }
  return picked
}

/** What can be asked while the load goes on: nothing acknowledged is missing, replicas are equal. */
async function checkRunning(cluster: Cluster, checker: RemoteDb, load: Load): Promise<void> {
  const acknowledged = new Set(load.notes.acknowledged)
  const { rows } = await checker.execute('select id from writes', [], { read: 'strong' })
  for (const [id] of rows) acknowledged.delete(Number(id))
  if (acknowledged.size > 0) throw new Error(`lost: ${[...acknowledged].slice(0, 10)}`)
  if (load.notes.wrong.length > 0) throw new Error(load.notes.wrong.slice(0, 10).join('\n'))
  await cluster.verify()
}

async function checkStopped(cluster: Cluster, notes: Notes): Promise<void> {
  await cluster.settled()
  await cluster.verify()
  await cluster.stop()
  const found = cluster.nodes.flatMap((node) =>
    [...problemsOf(node.file), ...disagreements(notes, contentOf(node.file))].map(
      (problem) => `${node.name}: ${problem}`,
    ),
  )
  if (found.length > 0) throw new Error(found.slice(0, 20).join('\n'))
}

function contentOf(file: string): Content {
  const numbers = (sql: string): number[] => rowsOf(file, sql).map((row) => Number(row['n']))
  return {
    writes: numbers('select id as n from writes'),
    notes: numbers('select write_id as n from notes'),
    total: numbers('select n from totals')[0] ?? -1,
    counters: numbers('select n from counters order by id'),
  }
}

function report(rounds: number, kills: number, notes: Notes): CampaignReport {
  const sum = (numbers: readonly number[]): number => numbers.reduce((a, b) => a + b, 0)
  return {
    rounds,
    kills,
    acknowledged: notes.acknowledged.size + sum(notes.added),
    unknown: notes.unknown.size + sum(notes.perhapsAdded),
    refused: notes.refused.size,
  }
}

if (import.meta.main) {
  const { values } = parseArgs({
    options: {
      rounds: { type: 'string', default: '50' },
      seed: { type: 'string', default: String(Date.now() % 2 ** 31) },
    },
  })
  const seed = Number(values.seed)
  console.log(`seed ${seed}`)
  console.log(await runCampaign({ rounds: Number(values.rounds), seed, log: console.log }))
}
