/**
 * Worlds full of changes of the schema, half of them asked of the group that is not the keeper, while
 * leaders of both come and go: what is handed on runs once.
 */
import { ok, throws } from 'node:assert/strict'
import { after, test } from 'node:test'
import type { Program } from '../../model/program.ts'
import type { Parts } from '../node.ts'
import { Simulator } from '../simulate.ts'
import type { OriginsProfile } from './profile.ts'

const SEEDS = 6

const simulator = new Simulator()
after(() => simulator.close())

/** Disks are slow, so that leaders often change while something is under way. */
function handing(profile: OriginsProfile): OriginsProfile {
  return {
    ...profile,
    strategy: 'multi-leader',
    groups: [
      { voters: 3, learners: 0 },
      { voters: 3, learners: 1 },
    ],
    topology: 'mesh',
    clients: 6,
    thinkUs: 5_000,
    roamPercent: 100,
    beyondPercent: 40,
    hostileUs: 3_000_000,
    levels: { localAckPercent: 0, allAckPercent: 0 },
    network: {
      delay: { usual: 1_000, max: 20_000, longPercent: 2 },
      lossPercent: 0,
      duplicatePercent: 0,
    },
    disk: {
      store: { usual: 5_000, max: 50_000, longPercent: 5 },
      flush: { usual: 30_000, max: 60_000, longPercent: 10 },
      checkpointPercent: 0,
    },
    far: { usual: 5_000, max: 50_000, longPercent: 5 },
    faultEveryUs: 250_000,
    faults: {
      ...profile.faults,
      isolateLeader: 6,
      crash: 3,
      transfer: 3,
      pause: 2,
      heal: 8,
      members: 0,
    },
    groupFaultEveryUs: 0,
    ddl: true,
    schemaPercent: 25,
  }
}

/** What came from the other group. */
function isHandedOn({ id }: Program): boolean {
  return id?.session.startsWith(':') === true
}

/** Looks at all programs that run, or changes them. */
function running(change: (program: Program) => Program): Parts {
  return {
    wrapStore: (store) => ({
      run: (command) => {
        if (command.kind !== 'execute') return store.run(command)
        return store.run({ ...command, programs: command.programs.map(change) })
      },
    }),
  }
}

test('what is handed on to the keeper runs once, whoever leads', () => {
  let count = 0
  const parts = running((program) => {
    if (isHandedOn(program)) count += 1
    return program
  })
  for (let seed = 1; seed <= SEEDS; seed += 1) {
    simulator.runOrigins(seed, { adjust: handing, parts })
  }
  // A world in which nothing happens proves nothing.
  ok(count > 2 * SEEDS, `${count} programs were handed on`)
})

test('a keeper that forgets what it ran for others is found', () => {
  const parts = running((program) => {
    const { id: _, ...forgotten } = program
    return isHandedOn(program) ? forgotten : program
  })
  throws(() => {
    for (let seed = 1; seed <= SEEDS; seed += 1) {
      simulator.runOrigins(seed, { adjust: handing, parts })
    }
  }, /H1|write \d+ in entry/)
})
