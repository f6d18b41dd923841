/** `quorate demo`: a cluster on this machine, real data, steady load, and what failures do to it. */
import { mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve as resolvePath } from 'node:path'
import { type Command, Option } from 'commander'
import { STRATEGIES, type Strategy } from '../../model/origin-entry.ts'
import { whole } from '../arguments.ts'
import { type City, loadCities } from '../demo/cities.ts'
import { DemoCluster, type DemoEvent } from '../demo/cluster.ts'
import { buildDataset } from '../demo/dataset.ts'
import { runLive } from '../demo/live.ts'
import { Load } from '../demo/load.ts'
import { isGood, reportLines, runScript } from '../demo/script.ts'
import { COUNTERS, runGroupsScript } from '../demo/script-groups.ts'
import { EXIT_FAILURE, exitCodeOfSignal, print, printJson, usageError } from '../output.ts'
import { count, counted, paintFor } from '../terminal.ts'

const HELP = `
The live view has keys: k kills the leader, 1-9 kill or start a node, c cuts the leader off, h heals,
a adds a node, t hands leadership over, q quits. Ctrl-C ends the nodes and removes their files.

With several leaders c cuts the last group off from the others.

With --seconds nobody is needed: load, SIGKILL of the leader at half time, restart, and then a check
that every acknowledged write is on every replica exactly once. With several leaders the last group is cut off for a third of the time,
and all of them go on. Exit code 1 if anything is missing or differs.

Examples:
  quorate demo
  quorate demo --nodes 5 --keep /tmp/demo
  quorate demo --seconds 20 --json
  quorate demo --strategy multi-leader --groups 2 --nodes 3
  quorate demo --strategy peer --seconds 20`

const CLIENTS = 16
const THINK_MS = 2
const NODES_MAX = 7

/** With several groups what is started is groups times nodes. */
const PROCESSES_MAX = 12

interface DemoFlags {
  readonly strategy: Strategy
  readonly nodes: number
  readonly groups?: number
  readonly seconds?: number
  readonly json?: true
  readonly keep?: string
}

export function registerDemo(root: Command): void {
  root
    .command('demo')
    .summary('three nodes on this machine, a live view')
    .description('Runs a cluster on this machine with real data, under load, with a live view.')
    .addOption(
      new Option('--strategy <name>', 'how the order of writes is decided')
        .choices(STRATEGIES)
        .default('leader'),
    )
    .addOption(
      new Option('--nodes <count>', `nodes to start, of each group if there are several`)
        .argParser(whole(1, NODES_MAX))
        .default(3),
    )
    .addOption(
      new Option(
        '--groups <count>',
        'groups with a leader each; multi-leader only, default 2',
      ).argParser(whole(2, NODES_MAX)),
    )
    .addOption(
      new Option('--seconds <count>', 'run the scripted form for so long').argParser(
        whole(2, 86_400),
      ),
    )
    .option('--json', 'with --seconds: print the result as one JSON object')
    .option('--keep <dir>', 'put the files in this empty folder and leave them there')
    .addHelpText('after', HELP)
    .action(async (flags: DemoFlags) => {
      checkFlags(flags)
      await demo(flags)
    })
}

function checkFlags(flags: DemoFlags): void {
  const { strategy, groups, seconds, nodes } = flags
  if (groups !== undefined && strategy !== 'multi-leader') {
    throw usageError('--groups goes with --strategy multi-leader only.')
  }
  const { groups: all, nodes: each } = sizesOf(flags)
  if (all * each > PROCESSES_MAX) {
    throw usageError(`${all} groups of ${each} nodes are more than ${PROCESSES_MAX} processes.`)
  }
  if (flags.json && seconds === undefined) throw usageError('--json needs --seconds.')
  if (seconds !== undefined && strategy !== 'multi-leader' && nodes < 3) {
    throw usageError('The scripted form kills the leader, which needs at least --nodes 3.')
  }
}

/** Each node is a group of its own among peers. */
function sizesOf({ strategy, groups, nodes }: DemoFlags): { groups: number; nodes: number } {
  if (strategy === 'peer') return { groups: nodes, nodes: 1 }
  return { groups: strategy === 'leader' ? 1 : (groups ?? 2), nodes }
}

async function demo(flags: DemoFlags): Promise<void> {
  const dir = folder(flags.keep)
  const signals = new Signals()
  const remove = (): void => {
    if (flags.keep === undefined) rmSync(dir, { recursive: true, force: true, maxRetries: 5 })
  }
  // Also when something throws where nobody awaits it: nodes end with our stdin, files here.
  process.once('exit', remove)
  const session = new Session(flags, dir)
  try {
    await Promise.race([session.run(signals.signal), signals.ended])
  } finally {
    await session.end()
    remove()
  }
  // Not waiting for what may still hold the process: the nodes are gone and the files are removed.
  process.exit(signals.exitCode ?? process.exitCode ?? 0)
}

/** One run of the demo, from the data set to the end of the nodes. */
class Session {
  readonly #flags: DemoFlags
  readonly #dir: string
  readonly #startedAt = performance.now()
  readonly #events: DemoEvent[] = []
  readonly #cluster: DemoCluster
  #load: Load | null = null

  constructor(flags: DemoFlags, dir: string) {
    this.#flags = flags
    this.#dir = dir
    this.#cluster = new DemoCluster({
      dir,
      strategy: flags.strategy,
      ...sizesOf(flags),
      onEvent: (event) => this.#events.push(event),
    })
  }

  async run(signal: AbortSignal): Promise<void> {
    const cities = await this.#prepare()
    const cityIds = cities.map(({ id }) => id)
    const cluster = this.#cluster
    const load = new Load({
      groups: cluster.groups.map((group) => cluster.urlsOf(group)),
      cityIds,
      clients: CLIENTS,
      thinkMs: THINK_MS,
      claims: cluster.hasOrigins,
    })
    this.#load = load
    const { seconds } = this.#flags
    if (seconds !== undefined) return await this.#script(load, seconds)
    await runLive({
      cluster,
      load,
      rows: cities.length,
      dir: this.#dir,
      removed: this.#flags.keep === undefined,
      startedAt: this.#startedAt,
      signal,
      events: this.#events,
    })
    print('', 'ending the nodes …')
  }

  async end(): Promise<void> {
    this.#load?.close()
    await this.#cluster.stop()
  }

  /** Builds the data set, starts the nodes. */
  async #prepare(): Promise<readonly City[]> {
    const cities = await loadCities()
    const counts = buildDataset(this.#cluster.firstFile, cities)
    const tables = Object.entries(counts).map(([table, rows]) => `${table} ${count(rows)}`)
    this.#tell(`data set: ${tables.join(', ')} rows, with indexes, triggers and full-text search`)
    const { groups, nodes } = sizesOf(this.#flags)
    const leaders = groups > 1 ? ` in ${groups} groups` : ''
    const what = `starting ${counted(groups * nodes, 'node')}${leaders}`
    this.#tell(`${what}: the first founds the cluster, the others join it`)
    await this.#cluster.start()
    if (this.#cluster.hasOrigins) await this.#setRules()
    this.#tell(`all vote after ${((performance.now() - this.#startedAt) / 1000).toFixed(1)} s`)
    return cities
  }

  /** Both sides' counting counts. */
  async #setRules(): Promise<void> {
    for (const [table, column] of COUNTERS) {
      await this.#cluster.post('/admin/rule', { table, column, rule: 'add' })
    }
  }

  async #script(load: Load, seconds: number): Promise<void> {
    const { strategy } = this.#flags
    const tell = (line: string): void => this.#tell(line)
    const report = await (strategy === 'leader'
      ? runScript(this.#cluster, load, seconds, tell)
      : runGroupsScript(strategy, this.#cluster, load, seconds, tell))
    if (this.#flags.json) printJson(report)
    else print(...reportLines(report, paintFor(process.stdout)))
    if (!isGood(report)) process.exitCode = EXIT_FAILURE
  }

  #tell(line: string): void {
    if (!this.#flags.json) print(line)
  }
}

/** The first signal ends the demo in order; more of them change nothing, npm sends some twice. */
class Signals {
  readonly #controller = new AbortController()
  readonly ended: Promise<void>
  exitCode: number | null = null

  constructor() {
    const { promise, resolve } = Promise.withResolvers<void>()
    this.ended = promise
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
      process.on(signal, () => {
        this.exitCode ??= exitCodeOfSignal(signal)
        this.#controller.abort()
        resolve()
      })
    }
  }

  get signal(): AbortSignal {
    return this.#controller.signal
  }
}

function folder(keep: string | undefined): string {
  if (keep === undefined) return mkdtempSync(join(tmpdir(), 'quorate-demo-'))
  const dir = resolvePath(keep)
  mkdirSync(dir, { recursive: true })
  if (readdirSync(dir).length > 0) throw usageError(`--keep: ${dir} is not empty.`)
  return dir
}
