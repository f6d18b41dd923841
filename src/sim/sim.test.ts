import { equal, notEqual, ok } from 'node:assert/strict'
import { after, test } from 'node:test'
import { Simulator } from './simulate.ts'

const simulator = new Simulator()
after(() => simulator.close())

test('worlds of thirty seeds hold what must always hold', () => {
  const totals = { ok: 0, crashes: 0, takenBack: 0, strong: 0 }
  for (let seed = 1; seed <= 30; seed += 1) {
    const { counts } = simulator.run(seed)
    for (const key of ['ok', 'crashes', 'takenBack', 'strong'] as const) {
      totals[key] += counts[key] ?? 0
    }
  }
  // A world in which nothing happens proves nothing.
  ok(totals.ok > 500 && totals.strong > 100, JSON.stringify(totals))
  ok(totals.crashes > 10 && totals.takenBack > 0, JSON.stringify(totals))
})

test('a seed is a whole run: the same one gives the same trace, another one another', () => {
  const digests = [101, 102, 103].map((seed) => {
    const { digest } = simulator.run(seed)
    equal(simulator.run(seed).digest, digest, `seed ${seed}`)
    return digest
  })
  notEqual(digests[0], digests[1])
  notEqual(digests[1], digests[2])
})
