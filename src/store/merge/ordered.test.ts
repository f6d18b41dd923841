/** Whatever arrives in whatever order, every replica has the rows of the twin. See testing/world.ts. */
import { ok } from 'node:assert/strict'
import { test } from 'node:test'
import { CONFLICT_KINDS } from './conflict.ts'
import { PARTS } from './parts.ts'
import { runEvolution } from './testing/evolution.ts'
import { STATEMENTS } from './testing/schema.ts'
import { Coverage, runHistory, runPermutations } from './testing/world.ts'

/** Together they reach everything that is counted; `npm run merge` runs as many as one likes. */
const FIRST = 277
const HISTORIES = 80
const SETS = 3

function each(first: number, count: number, run: (seed: number) => void, mode = ''): void {
  for (let seed = first; seed < first + count; seed += 1) {
    try {
      run(seed)
    } catch (error) {
      throw new Error(`seed ${seed}; again: npm run merge -- --seed ${seed}${mode}`, {
        cause: error,
      })
    }
  }
}

test('every order of arrival gives the rows of the twin', () => {
  const coverage = new Coverage()
  each(FIRST, HISTORIES, (seed) => runHistory(seed, coverage))
  const { counts } = coverage
  const missing = [
    ...CONFLICT_KINDS.map((kind) => `conflict ${kind}`),
    ...STATEMENTS.map((sql) => `statement ${sql}`),
    ...['merged', 'taken back', 'by rules', 'refused at commit', 'lost'],
  ].filter((what) => (counts.get(what) ?? 0) === 0)
  ok(missing.length === 0, `nothing of ${missing.join(', ')}`)
})

test('so it does where the tail is read, because its index would be too large', () => {
  each(1, 20, (seed) =>
    runHistory(seed, new Coverage(), { ...PARTS, keysMax: seed % 2 === 0 ? 0 : 30 }),
  )
})

test('and where the schema and the rules change meanwhile', () => {
  const coverage = new Coverage()
  each(26, 22, (seed) => runEvolution(seed, coverage), ' --evolution')
  const changes = [...coverage.counts.keys()].filter((what) => /^(schema|rule):/.test(what))
  ok(changes.length >= 15, changes.join())
})

test('every permutation of a few transactions does', () => {
  const coverage = new Coverage()
  each(1, SETS, (seed) => runPermutations(seed, coverage), ' --permutations')
  ok((coverage.counts.get('permutations') ?? 0) >= 120 * (SETS - 1))
})
