/**
 * `npm test`: everything that must hold, the cheap before the dear, stopping at the first stage that
 * fails. The tests of all stages are counted together, and the runner's summary is what ends it.
 *
 *   node test/all.ts [--only STAGE[,STAGE…]]
 */
import { spawn } from 'node:child_process'
import { globSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { run } from 'node:test'
import { spec } from 'node:test/reporters'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'

const ROOT = fileURLToPath(new URL('..', import.meta.url))
const BIN = join(ROOT, 'node_modules', '.bin')

interface Tests {
  readonly tests: readonly string[]
  readonly concurrency: number
  /** Run before them. */
  readonly prepare?: readonly string[]
}

type Stage = { readonly name: string; readonly says: string } & (
  | { readonly command: readonly string[] }
  | Tests
)

const STAGES: readonly Stage[] = [
  { name: 'lint', says: 'form and common mistakes', command: ['biome', 'check', '.'] },
  { name: 'types', says: 'the compiler at its strictest', command: ['tsc', '--noEmit'] },
  { name: 'dead', says: 'code and dependencies that nothing uses', command: ['knip'] },
  {
    name: 'unit',
    says: 'rules of the tree, units, golden traces, properties',
    tests: ['test/*.test.ts', 'src/**/*.test.ts'],
    concurrency: 2,
  },
  {
    name: 'sim',
    says: 'whole clusters in virtual time under faults, thousands of seeds',
    command: ['node', 'src/sim/run.ts', '--ci'],
  },
  {
    name: 'system',
    says: 'real processes: kill -9, partitions, clients, benchmark in small',
    tests: ['test/system/*.test.ts', 'test/crash/*.test.ts'],
    // Elections have real time limits: two clusters at once on two cores would disturb each other.
    concurrency: 1,
  },
  {
    name: 'clients',
    says: 'programs for official clients and ORMs, unchanged, also while leaders change',
    prepare: ['node', 'test/clients/prepare.ts'],
    tests: ['test/clients/*.test.ts'],
    concurrency: 1,
  },
]

type TestEvent =
  ReturnType<typeof run> extends AsyncIterable<infer Event> ? Event & { type: string } : never

/** Counts of the runner's own summary, by its words, over all stages. */
const counts = new Map<string, number>()
const reporter = new spec()
reporter.on('data', (text) => process.stdout.write(text))

/** Returns whether the stage passed. */
async function runStage(stage: Stage): Promise<boolean> {
  print(`── ${stage.name}: ${stage.says}`)
  const started = performance.now()
  const passed = 'command' in stage ? await runCommand(stage.command) : await runTests(stage)
  const seconds = ((performance.now() - started) / 1000).toFixed(1)
  // What the reporter was given before is on the screen before this.
  await nextTurn()
  print(`── ${stage.name} ${passed ? 'passed' : 'FAILED'} after ${seconds} s\n`)
  return passed
}

async function runCommand([program = '', ...args]: readonly string[]): Promise<boolean> {
  const file = program === 'node' ? process.execPath : join(BIN, program)
  const path = `${BIN}${delimiter}${process.env['PATH'] ?? ''}`
  const env = { ...process.env, PATH: path }
  const child = spawn(file, args, { cwd: ROOT, stdio: 'inherit', env })
  const code = await new Promise((resolve) => {
    child.on('error', () => resolve(127))
    child.on('close', resolve)
  })
  return code === 0
}

async function runTests({ tests, concurrency, prepare }: Tests): Promise<boolean> {
  if (prepare !== undefined && !(await runCommand(prepare))) return false
  const files = globSync([...tests], { cwd: ROOT }).sort()
  let passed = files.length > 0
  const stream = run({
    // A test that hangs must not hang the whole: none takes a tenth of this.
    timeout: 300_000,
    files: files.map((file) => join(ROOT, file)),
    concurrency,
    cwd: ROOT,
  })
  for await (const event of stream as AsyncIterable<TestEvent>) {
    if (event.type === 'test:fail') passed = false
    const isSummary = event.type === 'test:diagnostic' && tally(event)
    if (!isSummary && event.type !== 'test:summary') reporter.write(event)
  }
  return passed
}

/** Takes a line of one run's summary into the whole one. */
function tally(event: TestEvent): boolean {
  const { nesting, message } = event.data as { nesting?: number; message?: string }
  const match = /^([a-z_]+) ([0-9.]+)$/.exec(message ?? '')
  if (nesting !== 0 || match === null) return false
  const [, word = '', count = '0'] = match
  counts.set(word, (counts.get(word) ?? 0) + Number(count))
  return true
}

function print(line: string): void {
  process.stdout.write(`${line}\n`)
}

const { values } = parseArgs({ options: { only: { type: 'string' } } })
const only = values.only?.split(',')
const stages = STAGES.filter(({ name }) => only === undefined || only.includes(name))
let stopped: string | null = null
for (const stage of stages) {
  if (await runStage(stage)) continue
  stopped = stage.name
  break
}
for (const [name, count] of counts) {
  const data = { nesting: 0, message: `${name} ${count}`, level: 'info' }
  reporter.write({ type: 'test:diagnostic', data })
}
reporter.end()
if (stopped !== null) process.exitCode = 1
process.on('exit', () => stopped !== null && print(`stopped at stage ${stopped}`))
