/** `quorate bench`: what a cluster does on this machine. The measuring is in src/bench. */
import { type Command, Option } from 'commander'
import { LIMITS } from '../../base/limits.ts'
import type { BenchReport, BenchTransport } from '../../bench/bench.ts'
import type { GroupsBenchReport } from '../../bench/groups.ts'
import type { Rate } from '../../bench/measure.ts'
import type { AckLevel } from '../../model/request.ts'
import { toAck, whole } from '../arguments.ts'
import { withJson } from '../common.ts'
import { print, printJson, usageError } from '../output.ts'
import { count, counted, milliseconds, type Paint, paintFor, tableLines } from '../terminal.ts'

const HELP = `
Without --url it starts nodes of its own in a temporary folder; all of them share this machine's
cores and disk. With --url it uses a table of its own in that cluster and drops it at the end.

With --strategy multi-leader: what a single leader does, then two groups of so many nodes that write
at once, and how long they take to be level again after a cut.

Examples:
  quorate bench
  quorate bench --clients 64 --seconds 10 --json
  quorate bench --clients 64 --transport ws
  quorate bench --strategy multi-leader --clients 64 --nodes 1
  quorate bench --url http://10.0.0.1:7001 --ack all`

interface BenchFlags {
  readonly clients: readonly number[]
  readonly ack: AckLevel
  readonly nodes: number
  readonly seconds: number
  readonly transport: BenchTransport
  readonly strategy: 'leader' | 'multi-leader'
  readonly url?: string
  readonly token?: string
  readonly json?: true
}

export function registerBench(root: Command): void {
  const command = root
    .command('bench')
    .summary('measure writes and reads')
    .description('Measures single-row upserts and point reads, embedded and over the network.')
    .addOption(
      new Option('--clients <list>', 'how many at once, one run for each')
        .argParser((text) => text.split(',').map(whole(1, 10_000)))
        .default([1, 16, 64], '1,16,64'),
    )
    .addOption(new Option('--ack <level>', 'ack level').argParser(toAck).default('majority'))
    .addOption(
      new Option('--nodes <count>', 'nodes to start')
        .argParser(whole(1, LIMITS.votersMax))
        .default(3),
    )
    .addOption(
      new Option('--seconds <count>', 'for each figure').argParser(whole(1, 3600)).default(5),
    )
    .addOption(
      new Option('--transport <name>', 'over the network').choices(['http', 'ws']).default('http'),
    )
    .addOption(
      new Option('--strategy <name>', 'how the order of writes is decided')
        .choices(['leader', 'multi-leader'])
        .default('leader'),
    )
    .addOption(new Option('--url <url>', 'an existing cluster').env('QUORATE_URL'))
    .addOption(new Option('--token <secret>', "the cluster's token").env('QUORATE_TOKEN'))
  withJson(command)
    .addHelpText('after', HELP)
    .action(async (flags: BenchFlags) => {
      if (flags.strategy === 'multi-leader') {
        await benchGroups(flags)
        return
      }
      const { runBench } = await import('../../bench/bench.ts')
      const { json, ...options } = flags
      const report = await runBench(options)
      if (json) printJson(report)
      else print(...benchLines(report, paintFor(process.stdout)))
    })
}

async function benchGroups({ clients, nodes, seconds, url, json }: BenchFlags): Promise<void> {
  if (url !== undefined) throw usageError('--strategy multi-leader starts nodes of its own.')
  const { runGroupsBench } = await import('../../bench/groups.ts')
  const most = Math.max(...clients)
  const report = await runGroupsBench({ clients: most, nodes, seconds })
  if (json) printJson(report)
  else print(...groupsBenchLines(report, paintFor(process.stdout)))
}

/** The report of several leaders for people. */
export function groupsBenchLines(report: GroupsBenchReport, paint: Paint): string[] {
  const { single, replicated, apart, leaders, heal, clients, nodes } = report
  const { seconds, rounds, versions, processor } = report
  const [alone, together] = [nodes, nodes * leaders.length].map((some) => counted(some, 'node'))
  const columns = [
    { title: 'embedded writes' },
    { title: 'tx/s', align: 'right' },
    { title: 'p50', align: 'right' },
    { title: 'p99', align: 'right' },
    { title: `of ${alone}`, align: 'right' },
    { title: `of ${together}`, align: 'right' },
    { title: 'of apart', align: 'right' },
  ] as const
  const row = (what: string, rate: Rate, ...of: number[]): string[] => {
    const parts = of.map((part) => `${Math.round(part * 100)} %`)
    const figures = [count(rate.tps), milliseconds(rate.p50Ms), milliseconds(rate.p99Ms)]
    return [what, ...figures, ...columns.slice(4).map((_, i) => parts[i] ?? '')]
  }
  const rows = [
    row(`a single leader, ${alone}`, single),
    row(`a single leader, ${together}`, replicated),
    ...apart.map((rate, at) => row(`leader ${at + 1} of two apart, ${alone}`, rate)),
    ...leaders.map((rate) =>
      row(`leader of ${rate.group}`, rate, rate.ofSingle, rate.ofReplicated, rate.ofApart),
    ),
  ]
  const circumstances =
    `${clients} clients each, groups of ${counted(nodes, 'node')}, ack majority, ` +
    `${seconds} s each in ${rounds} turns; ` +
    `quorate ${versions.quorate}, node ${versions.node}, sqlite ${versions.sqlite}; ${processor}`
  return [
    ...tableLines(columns, rows, paint),
    '',
    `level again    ${milliseconds(heal.ms)} after a cut with ${count(heal.writes)} writes, 1 % of which may meet others`,
    '',
    paint('dim', circumstances),
  ]
}

/** The report for people: a table of writes, then a line for each other figure. */
export function benchLines(report: BenchReport, paint: Paint): string[] {
  const columns = [
    { title: 'writes' },
    { title: 'clients', align: 'right' },
    { title: 'tx/s', align: 'right' },
    { title: 'p50', align: 'right' },
    { title: 'p99', align: 'right' },
    { title: 'answered once it is' },
  ] as const
  const promise = guarantee(report)
  const rows = report.writes.map((rate) => [
    rate.mode,
    String(rate.clients),
    count(rate.tps),
    milliseconds(rate.p50Ms),
    milliseconds(rate.p99Ms),
    promise,
  ])
  const { localReads, networkReads, memory, transport, versions } = report
  const peaks = Object.entries(memory).map(([name, mib]) => `${name} ${mib ?? '?'} MiB`)
  return [
    ...tableLines(columns, rows, paint),
    '',
    ...(localReads === null
      ? []
      : [`local reads    ${count(localReads)} /s  this replica as it is, in the application`]),
    `network reads  ${count(networkReads)} /s  this replica as it is, 16 clients over ${transport}`,
    ...(peaks.length === 0 ? [] : [`peak memory    ${peaks.join(', ')}`]),
    '',
    paint(
      'dim',
      `${counted(report.nodes, 'node')}, ack ${report.ack}, ${report.seconds} s each; ` +
        `quorate ${versions.quorate}, node ${versions.node}, sqlite ${versions.sqlite}; ` +
        report.processor,
    ),
  ]
}

/** What an answer to a write promised: without it a rate says nothing. */
function guarantee({ ack, nodes }: BenchReport): string {
  if (ack === 'local') return "on the leader's disk (local)"
  if (ack === 'all') return `on the disks of all ${nodes} (all)`
  if (ack === 'majority')
    return `on the disks of ${Math.floor(nodes / 2) + 1} of ${nodes} (majority)`
  return `on the disks of ${ack} of ${nodes}`
}
