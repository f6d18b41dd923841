/** Bugs planted on purpose are found by the same histories that the real code passes. */
import { ok } from 'node:assert/strict'
import { test } from 'node:test'
import { PARTS } from './parts.ts'
import { MUTATIONS } from './testing/mutations.ts'
import { Coverage, runHistory } from './testing/world.ts'

/** If the hint does not find it any more, one of so many must. */
const SEEDS_MAX = 100

function finds(seed: number, parts: (typeof MUTATIONS)[string]['parts']): boolean {
  try {
    runHistory(seed, new Coverage(), { ...PARTS, ...parts })
    return false
  } catch {
    return true
  }
}

for (const [name, { parts, seed }] of Object.entries(MUTATIONS)) {
  test(`${name} is found`, () => {
    const seeds = [seed, ...Array.from({ length: SEEDS_MAX }, (_, i) => i + 1)]
    const found = seeds.find((each) => finds(each, parts))
    ok(found !== undefined, `not in ${SEEDS_MAX} histories`)
    runHistory(found, new Coverage())
  })
}
