/** `quorate status`: who leads, who follows, how far each has come. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Command } from 'commander'
import type { NodeStatus } from '../../model/status.ts'
import { clusterLines } from '../cluster-view.ts'
import { type CommonFlags, targetOf, withJson, withTarget } from '../common.ts'
import type { Target } from '../node-client.ts'
import { errorLine, print, printJson } from '../output.ts'
import { alarmsOf, type ClusterSample, sampleCluster } from '../samples.ts'
import { Screen } from '../screen.ts'
import { clip, counted, duration, type Paint, paintFor } from '../terminal.ts'

const HELP = `
Lag is how many entries of its group a node has still to apply. With several groups \`quorate groups\`
shows how they stand to each other.

Examples:
  quorate status --url http://10.0.0.1:7001
  quorate status --watch
  quorate status --json | jq .leader.name`

const WATCH_MS = 1000

export function registerStatus(root: Command): void {
  const command = root
    .command('status')
    .summary('show nodes, roles, positions, lag')
    .description('Shows the nodes of a cluster: roles, term, positions, lag.')
    .option('-w, --watch', 'show it anew every second until Ctrl-C')
  withJson(withTarget(command))
    .addHelpText('after', HELP)
    .action(async (flags: CommonFlags & { watch?: true }) => {
      const target = targetOf(flags)
      if (flags.watch) await watch(target, flags.json === true)
      else if (flags.json) printJson((await sampleCluster(target, null)).from)
      else print(...statusLines(await sampleCluster(target, null), paintFor(process.stdout)))
    })
}

/** The whole answer of `quorate status` as lines. */
export function statusLines(sample: ClusterSample, paint: Paint): string[] {
  const { from } = sample
  const cluster = from.cluster === null ? 'no cluster yet' : `cluster ${from.cluster}`
  const lines = [
    `${cluster} · ${headOf(from, paint)} · release ${from.release}`,
    '',
    ...clusterLines(sample.nodes, paint, zonesOf(from)),
  ]
  const alarms = alarmsOf(sample)
  if (alarms.length > 0) lines.push('', ...alarms.map((alarm) => paint('yellow', `! ${alarm}`)))
  const lost = sample.nodes.reduce((sum, { status }) => sum + (status?.lostFiles ?? 0), 0)
  if (lost > 0) {
    lines.push('', `${counted(lost, 'file')} of work that was taken back: quorate lost`)
  }
  return lines
}

function zonesOf({ origins }: NodeStatus): ReadonlyMap<string, string> {
  // A removed group may have had the name of one that is there.
  const groups = (origins?.groups ?? []).filter(({ standing }) => standing !== 'removed')
  return new Map(groups.flatMap(({ name, zone }) => (zone === null ? [] : [[name, zone]])))
}

/** Who leads, or what the groups are like. */
function headOf({ term, leader, origins }: NodeStatus, paint: Paint): string {
  if (origins === null) {
    return `term ${term} · ${leader === null ? paint('red', 'no leader') : `leader ${leader.name}`}`
  }
  const writing = origins.groups.filter(({ standing }) => standing !== 'removed')
  const lag = origins.stableLagMs
  return [
    `${origins.strategy}, ${counted(writing.length, 'group')}`,
    ...(lag === null || lag === 0 ? [] : [`final up to ${duration(lag)} ago`]),
    ...(origins.held ? [paint('yellow', 'writes wait for a change of the schema')] : []),
  ].join(' · ')
}

async function watch(target: Target, json: boolean): Promise<void> {
  const paint = paintFor(process.stdout)
  const screen = new Screen(process.stdout)
  let before: ClusterSample | null = null
  for (;;) {
    try {
      const sample: ClusterSample = await sampleCluster(target, before)
      if (json) print(JSON.stringify(sample.from))
      else screen.draw(statusLines(sample, paint).map((line) => clip(line, screen.width)))
      before = sample
    } catch (error) {
      // A cluster that is down is what one watches for.
      if (json) print(JSON.stringify({ error: errorLine(error) }))
      else screen.draw([paint('red', errorLine(error))])
    }
    await sleep(WATCH_MS)
  }
}
