/**
 * The command line of the equivalence test.
 *
 *     npm run equivalence -- --seed N          one seed; a failure is shortened and printed
 *     npm run equivalence -- --seeds A..B      many
 *     npm run equivalence -- --statements N    seeds from 1 on until so many statements have run
 *     npm run equivalence -- --script FILE     a script that an earlier run saved
 *     … --report                               how often each feature was reached
 *     … --save FILE                            keeps the shortened script of a failure
 */
import { readFileSync, writeFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { parseSeed } from '../../base/seed-fixture.ts'
import { describeFailure, errorOf, type Failure, runSeed, runStatements } from './campaign.ts'
import { Coverage } from './features.ts'
import { scriptFromJson, scriptToJson } from './script.ts'

const { values } = parseArgs({
  options: {
    seed: { type: 'string' },
    seeds: { type: 'string' },
    statements: { type: 'string' },
    script: { type: 'string' },
    save: { type: 'string' },
    report: { type: 'boolean', default: false },
  },
})

function run(coverage: Coverage): Failure | null {
  if (values.statements !== undefined) {
    return runStatements(parseSeed(values.seed ?? '1'), Number(values.statements), coverage)
  }
  const [from = '1', to = from] = (values.seed ?? values.seeds ?? '1..20').split('..')
  for (let seed = parseSeed(from); seed <= parseSeed(to); seed += 1) {
    const failure = runSeed(seed, coverage)
    if (failure !== null) return failure
  }
  return null
}

function runFile(file: string): void {
  const error = errorOf(scriptFromJson(readFileSync(file, 'utf8')))
  if (error === null) return
  process.exitCode = 1
  console.error(error)
}

function runSeeds(): void {
  const coverage = new Coverage()
  const started = performance.now()
  const failure = run(coverage)
  const seconds = ((performance.now() - started) / 1000).toFixed(1)
  if (values.report) console.log(coverage.report())
  console.log(`${coverage.statements} statements, ${seconds} s`)
  if (failure === null) return
  process.exitCode = 1
  console.error(describeFailure(failure))
  if (values.save !== undefined) writeFileSync(values.save, scriptToJson(failure.script))
}

if (values.script === undefined) runSeeds()
else runFile(values.script)
