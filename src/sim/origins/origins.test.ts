import { equal, notEqual, ok } from 'node:assert/strict'
import { after, test } from 'node:test'
import { Simulator } from '../simulate.ts'

const simulator = new Simulator()
after(() => simulator.close())

test('worlds of several groups hold what must always hold', () => {
  const totals = { ok: 0, strong: 0, quorum: 0, taken: 0, crashes: 0, forgot: 0 }
  for (let seed = 1; seed <= 8; seed += 1) {
    const { counts } = simulator.runOrigins(seed)
    for (const key of Object.keys(totals) as (keyof typeof totals)[]) {
      totals[key] += counts[key] ?? 0
    }
  }
  // A world in which nothing happens proves nothing.
  ok(totals.ok > 80 && totals.taken > 200, JSON.stringify(totals))
  ok(totals.strong > 3 && totals.quorum > 5 && totals.forgot > 20, JSON.stringify(totals))
})

test('a seed is a whole run of several groups too', () => {
  const digests = [101, 102].map((seed) => {
    const { digest } = simulator.runOrigins(seed)
    equal(simulator.runOrigins(seed).digest, digest, `seed ${seed}`)
    return digest
  })
  notEqual(digests[0], digests[1])
})
