/**
 * `npm test`: everything that must hold, the cheap before the dear, stopping at the first stage that
 * fails. The tests of all stages are counted together, and the runner's summary is what ends it.
 *
 *   node test/all.ts [--only STAGE[,STAGE…]]
 */
import { spawn } from 'node:child_process'
import { globSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { Readable } from 'node:stream'
import { run } from 'node:test'
import { spec } from 'node:test/reporters'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'

const ROOT = fileURLToPath(new URL('..', import.meta.url))
const BIN = join(ROOT, 'node_modules', '.bin')

type Stage = { readonly name: string; readonly says: string } & (
  | { readonly command: readonly string[] }
  | { readonly tests: readonly string[]; readonly concurrency: number }
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
]

type TestEvent =
  ReturnType<typeof run> extends AsyncIterable<infer Event> ? Event & { type: string } : never

/** Counts of the runner's own summary, by its words, over all stages. */
const counts = new Map<string, number>()
let failed: string | null = null

async function* everything(only: readonly string[] | null): AsyncGenerator<TestEvent> {
  for (const stage of STAGES) {
    if (only !== null && !only.includes(stage.name)) continue
    process.stdout.write(`\n── ${stage.name}: ${stage.says}\n`)
    const started = performance.now()
    if ('command' in stage) await runCommand(stage.name, stage.command)
    else yield* runTests(stage.name, stage.tests, stage.concurrency)
    const seconds = ((performance.now() - started) / 1000).toFixed(1)
    yield diagnostic(`${stage.name} ${failed === null ? 'passed' : 'FAILED'} after ${seconds} s`)
    if (failed !== null) break
  }
  if (failed !== null) yield diagnostic(`stopped at ${failed}`)
  for (const [name, count] of counts) yield diagnostic(`${name} ${count}`)
}

async function runCommand(name: string, [program = '', ...args]: readonly string[]): Promise<void> {
  const file = program === 'node' ? process.execPath : join(BIN, program)
  const path = `${BIN}${delimiter}${process.env['PATH'] ?? ''}`
  const env = { ...process.env, PATH: path }
  const child = spawn(file, args, { cwd: ROOT, stdio: 'inherit', env })
  const code = await new Promise((resolve) => {
    child.on('error', () => resolve(127))
    child.on('close', resolve)
  })
  if (code !== 0) failed = name
}

async function* runTests(
  name: string,
  patterns: readonly string[],
  concurrency: number,
): AsyncGenerator<TestEvent> {
  const files = globSync([...patterns], { cwd: ROOT }).sort()
  if (files.length === 0) failed = name
  const stream = run({ files: files.map((file) => join(ROOT, file)), concurrency, cwd: ROOT })
  for await (const event of stream as AsyncIterable<TestEvent>) {
    if (event.type === 'test:fail') failed = name
    if (event.type === 'test:diagnostic' && tally(event)) continue
    if (event.type !== 'test:summary') yield event
  }
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

function diagnostic(message: string): TestEvent {
  return { type: 'test:diagnostic', data: { nesting: 0, message, level: 'info' } } as TestEvent
}

const { values } = parseArgs({ options: { only: { type: 'string' } } })
const only = values.only?.split(',') ?? null
const report = Readable.from(everything(only)).compose(new spec())
for await (const chunk of report) process.stdout.write(chunk)
process.exitCode = failed === null ? 0 : 1
