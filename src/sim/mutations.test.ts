import { equal, ok } from 'node:assert/strict'
import { after, test } from 'node:test'
import { unreachable } from '../base/assert.ts'
import type { Mutation } from './mutations.ts'
import { MUTATIONS, mutated } from './mutations.ts'
import type { Fault, Profile } from './profile.ts'
import { FAULTS } from './profile.ts'
import { SimulationError, Simulator } from './simulate.ts'

/** A planted bug is found within so many seeds, or the simulator has become blind to it. */
const SEEDS_MAX = 40

const simulator = new Simulator()
after(() => simulator.close())

function only(faults: Partial<Record<Fault, number>>): Profile['faults'] {
  const none = Object.fromEntries(FAULTS.map((fault) => [fault, 0])) as Record<Fault, number>
  return { ...none, ...faults }
}

/** The kind of world in which a bug shows soon; the seed draws the rest. */
function worldFor(mutation: Mutation, drawn: Profile): Profile {
  switch (mutation) {
    case 'ackBeforeFlush':
    case 'countLearners':
      return { ...drawn, voters: 3, learners: 2 }
    case 'countOldTerms':
    case 'skipInverse':
      return {
        ...drawn,
        voters: 3,
        faultEveryUs: 400_000,
        faults: only({ isolateLeader: 3, crash: 2, heal: 4 }),
      }
    case 'forgetVote':
      // Votes travel for long, and whoever has cast one crashes and is back at once.
      return {
        ...drawn,
        voters: 3,
        learners: 0,
        network: {
          ...drawn.network,
          lossPercent: 0,
          delay: { usual: 100_000, max: 100_000, longPercent: 0 },
        },
        faultEveryUs: 200_000,
        faults: only({ isolateLeader: 1, heal: 4, crash: 1 }),
        restartUsMax: 5_000,
        linkUsMax: 2_000,
        crashAfterVotePercent: 50,
        tickPercentMin: 40,
        tickPercentMax: 60,
      }
    case 'readWithoutQuorum':
      // A leader with a slow clock is cut off, and does not know it for long.
      return {
        ...drawn,
        voters: 3,
        learners: 0,
        clients: 5,
        thinkUs: 20_000,
        faultEveryUs: 500_000,
        faults: only({ isolateLeader: 1, heal: 1 }),
        tickPercentMin: 50,
        tickPercentMax: 400,
      }
    default:
      return unreachable(mutation)
  }
}

/** The first seed that finds it, and what it says; null if none does. */
function search(mutation: Mutation): SimulationError | null {
  for (let seed = 1; seed <= SEEDS_MAX; seed += 1) {
    try {
      simulator.run(seed, {
        parts: mutated(mutation),
        adjust: (drawn) => worldFor(mutation, drawn),
      })
    } catch (error) {
      ok(error instanceof SimulationError)
      return error
    }
  }
  return null
}

const EXPECTED: Record<Mutation, RegExp> = {
  ackBeforeFlush: /S3/,
  countLearners: /S3/,
  countOldTerms: /S6/,
  forgetVote: /S1/,
  skipInverse: /R1|R2|LOG_CORRUPT/,
  readWithoutQuorum: /H2|H3/,
}

for (const mutation of MUTATIONS) {
  test(`${mutation}: the simulator finds it, and the real code passes the same world`, () => {
    const found = search(mutation)
    ok(found !== null, `not found in ${SEEDS_MAX} seeds`)
    ok(EXPECTED[mutation].test(found.message), found.message)
    const { counts } = simulator.run(found.seed, {
      adjust: (drawn) => worldFor(mutation, drawn),
    })
    equal(typeof counts['ok'], 'number')
  })
}
