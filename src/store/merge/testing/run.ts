/**
 * Merge histories from the command line.
 *
 *     npm run merge -- --seed N
 *     npm run merge -- --seeds A..B [--permutations | --evolution]
 */
import { parseArgs } from 'node:util'
import { parseSeed } from '../../../base/seed-fixture.ts'
import { runEvolution } from './evolution.ts'
import { Coverage, runHistory, runPermutations } from './world.ts'

const { values } = parseArgs({
  options: {
    seed: { type: 'string' },
    seeds: { type: 'string', default: '1..1000' },
    /** Every order of arrival of up to five transactions, instead of random ones of many. */
    permutations: { type: 'boolean', default: false },
    /** The schema and the rules change meanwhile. */
    evolution: { type: 'boolean', default: false },
  },
})

const [from = '1', to = from] = (values.seed ?? values.seeds).split('..')
const [mode, run] = values.permutations
  ? [' --permutations', runPermutations]
  : values.evolution
    ? [' --evolution', runEvolution]
    : ['', runHistory]
const coverage = new Coverage()
const started = performance.now()
let runs = 0
for (let seed = parseSeed(from); seed <= parseSeed(to); seed += 1) {
  try {
    run(seed, coverage)
  } catch (error) {
    console.log(`seed ${seed} failed; again: npm run merge -- --seed ${seed}${mode}`)
    console.log(error)
    process.exitCode = 1
    break
  }
  runs += 1
}
const seconds = ((performance.now() - started) / 1_000).toFixed(1)
for (const [what, count] of [...coverage.counts].sort()) {
  if (!what.startsWith('statement')) console.log(`${what}: ${count}`)
}
console.log(`${runs} histories in ${seconds} s`)
