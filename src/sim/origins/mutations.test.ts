/** Each planted bug is found soon, or the simulator has become blind to it. */
import { ok } from 'node:assert/strict'
import { after, test } from 'node:test'
import { SimulationError, Simulator } from '../simulate.ts'
import { MEMBERSHIP_MUTATIONS } from './membership-mutations.ts'
import { MUTATIONS, type OriginsMutation, worldOf } from './mutations.ts'

const SEEDS_MAX = 20

const simulator = new Simulator()
after(() => simulator.close())

/** What the first seed that finds it says; null if none does. */
function search(mutation: OriginsMutation): SimulationError | null {
  const { parts } = mutation
  for (let seed = 1; seed <= SEEDS_MAX; seed += 1) {
    try {
      simulator.runOrigins(seed, { parts, adjust: worldOf(mutation) })
    } catch (error) {
      ok(error instanceof SimulationError)
      return error
    }
  }
  return null
}

for (const [name, mutation] of Object.entries({ ...MUTATIONS, ...MEMBERSHIP_MUTATIONS })) {
  test(`${name}: the simulator finds it`, () => {
    const found = search(mutation)
    ok(found !== null, `not found in ${SEEDS_MAX} seeds`)
    ok(mutation.finds.test(found.message), found.message)
  })
}
