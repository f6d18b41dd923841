/**
 * The simulator's command line.
 *
 *     node src/sim/run.ts --seed N [--trace]        one world; --trace prints what happens in it
 *     node src/sim/run.ts --seeds A..B [--jobs 2]   many
 *     node src/sim/run.ts --origins …               worlds of several groups that all write
 *     node src/sim/run.ts --ci                      the 2,000 of CI, and 60 with several groups
 */
import { spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { CI_SEED, parseSeed } from '../base/seed-fixture.ts'
import { type Kind, SimulationError, Simulator } from './simulate.ts'

const CI_SEEDS: Readonly<Record<Kind, number>> = { leader: 2_000, origins: 60 }
/** After so many failures the rest would only say the same. */
const FAILURES_MAX = 5

const { values } = parseArgs({
  options: {
    seed: { type: 'string' },
    seeds: { type: 'string' },
    /** Every so many of the seeds: how a job gets its share. */
    stride: { type: 'string', default: '1' },
    jobs: { type: 'string', default: '1' },
    origins: { type: 'boolean', default: false },
    trace: { type: 'boolean', default: false },
    ci: { type: 'boolean', default: false },
  },
})

interface Range {
  readonly from: number
  readonly to: number
}

function rangeOf(kind: Kind): Range {
  if (values.ci) {
    const from = CI_SEED
    return { from, to: from + CI_SEEDS[kind] - 1 }
  }
  if (values.seed !== undefined) {
    const from = parseSeed(values.seed)
    return { from, to: from }
  }
  const [from = '1', to = from] = (values.seeds ?? '1..100').split('..')
  return { from: parseSeed(from), to: parseSeed(to) }
}

function runAll(kind: Kind, { from, to }: Range, stride: number): number {
  const simulator = new Simulator()
  const started = performance.now()
  const totals = new Map<string, number>()
  let failures = 0
  let runs = 0
  for (let seed = from; seed <= to && failures < FAILURES_MAX; seed += stride) {
    runs += 1
    try {
      const print = values.trace ? (line: string) => console.log(line) : undefined
      const options = print === undefined ? {} : { print }
      const outcome =
        kind === 'origins' ? simulator.runOrigins(seed, options) : simulator.run(seed, options)
      for (const [key, n] of Object.entries(outcome.counts)) {
        totals.set(key, (totals.get(key) ?? 0) + n)
      }
      if (from === to) console.log(`seed ${seed}: ${outcome.digest}`)
    } catch (error) {
      failures += 1
      console.error(error instanceof SimulationError ? error.message : error)
      if (from === to && error instanceof Error) console.error(error.cause)
    }
  }
  simulator.close()
  const seconds = ((performance.now() - started) / 1000).toFixed(1)
  const sums = [...totals].map(([key, n]) => `${key} ${n}`).join(', ')
  console.log(`${runs} seeds of ${kind} from ${from}, ${failures} failed, ${seconds} s; ${sums}`)
  return failures
}

/** Gives each job every n-th seed, in a process of its own. */
async function runJobs(kind: Kind, { from, to }: Range, jobs: number): Promise<number> {
  const file = fileURLToPath(import.meta.url)
  const codes = await Promise.all(
    Array.from({ length: jobs }, (_, i) => {
      const args = [file, `--seeds=${from + i}..${to}`, `--stride=${jobs}`]
      if (kind === 'origins') args.push('--origins')
      const child = spawn(process.execPath, args, { stdio: 'inherit' })
      return new Promise<number>((resolve) => child.on('exit', (code) => resolve(code ?? 1)))
    }),
  )
  return codes.filter((code) => code !== 0).length
}

const kinds: readonly Kind[] = values.ci
  ? ['leader', 'origins']
  : [values.origins ? 'origins' : 'leader']
const jobs = values.ci && values.jobs === '1' ? 2 : Number(values.jobs)
let failed = 0
for (const kind of kinds) {
  const range = rangeOf(kind)
  failed += jobs > 1 ? await runJobs(kind, range, jobs) : runAll(kind, range, Number(values.stride))
}
process.exitCode = failed > 0 ? 1 : 0
