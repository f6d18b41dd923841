import { equal, notEqual, ok } from 'node:assert/strict'
import { after, test } from 'node:test'
import { prngFromSeed } from '../../base/prng.ts'
import { Simulator } from '../simulate.ts'
import { NOBODY, type OriginsProfile, withPeople } from './profile.ts'

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

test('groups come, go and are taken over, and nothing is lost', () => {
  const totals = { joined: 0, removed: 0, takenOver: 0, returned: 0, handedIn: 0, unshipped: 0 }
  for (let seed = 1; seed <= 8; seed += 1) {
    const adjust = (profile: OriginsProfile) => withPeople(profile, prngFromSeed(seed))
    const { counts } = simulator.runOrigins(seed, { adjust })
    for (const key of Object.keys(totals) as (keyof typeof totals)[]) {
      totals[key] += counts[key] ?? 0
    }
  }
  ok(totals.joined > 3 && totals.removed > 0 && totals.takenOver > 0, JSON.stringify(totals))
  ok(totals.returned > 1 && totals.handedIn > 0 && totals.unshipped > 0, JSON.stringify(totals))
})

test('two sides of a cut that took each other for gone say so, and people choose one', () => {
  const adjust = (profile: OriginsProfile) => ({
    ...withPeople(profile, prngFromSeed(1)),
    ...({ strategy: 'peer', hostileUs: 15_000_000, thinkUs: 300_000 } as const),
    groups: Array.from({ length: 4 }, () => ({ voters: 1, learners: 0 })),
    ...{ faultEveryUs: 0, groupFaultEveryUs: 0, peopleEveryUs: 200_000 },
    people: { ...NOBODY, partForGood: 1 },
  })
  const { counts } = simulator.runOrigins(3, { adjust })
  equal(counts['parted'], 1)
  ok((counts['split'] ?? 0) > 0 && (counts['unshipped'] ?? 0) > 0, JSON.stringify(counts))
})

test('a seed is a whole run of several groups too', () => {
  const digests = [101, 102].map((seed) => {
    const { digest } = simulator.runOrigins(seed)
    equal(simulator.runOrigins(seed).digest, digest, `seed ${seed}`)
    return digest
  })
  notEqual(digests[0], digests[1])
})
