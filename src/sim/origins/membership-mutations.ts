/**
 * Bugs of groups that come, go and are taken over, planted as those of mutations.ts are (numbers are
 * those of the research on multi-leader replication).
 */
import { rmSync } from 'node:fs'
import { Exchange } from '../../core/order/clock/exchange/exchange.ts'
import type { Effects, Input } from '../../core/order/clock/exchange/types.ts'
import type { OriginOperation } from '../../model/origin-entry.ts'
import { lostFolder } from '../../store/apply/lost-file.ts'
import { Store } from '../../store/store.ts'
import type { Parts } from '../node.ts'
import type { RunsCommands } from '../store-port.ts'
import { disputes, exchanging, type OriginsMutation } from './mutations.ts'
import { NOBODY, type OriginsProfile } from './profile.ts'

/** Changes the versions of the cluster that a keeper makes. */
function keeping(
  change: (
    operation: Extract<OriginOperation, { kind: 'cluster' }>,
    store: RunsCommands,
  ) => OriginOperation,
): Parts {
  return {
    wrapStore: (store) => ({
      run: (command) => {
        if (command.kind !== 'originate') return store.run(command)
        const operations = command.operations.map((each) => {
          return each.kind === 'cluster' ? change(each, store) : each
        })
        return store.run({ ...command, operations })
      },
    }),
  }
}

function heldOf(store: RunsCommands, origin: string): number {
  const reply = store.run({ kind: 'exchangeState' })
  return reply.kind === 'exchangeState' ? (reply.state.held.get(origin) ?? 0) : 0
}

/** Groups that write a lot are removed, die, return and join all the time. */
function peopled(profile: OriginsProfile): OriginsProfile {
  return {
    ...disputes(profile),
    groups: [1, 1, 1, 1].map((voters) => ({ voters, learners: 0 })),
    clients: 5,
    thinkUs: 20_000,
    far: { usual: 40_000, max: 200_000, longPercent: 20 },
    hostileUs: 6_000_000,
    retainEntries: 100_000,
    groupFaultEveryUs: 800_000,
    peopleEveryUs: 600_000,
    people: { ...NOBODY, join: 2, remove: 3, return: 3 },
    goneForGoodPercent: 0,
  }
}

/** Both sides of a cut take the other for gone, and only one has come to the end of that. */
function parted(profile: OriginsProfile): OriginsProfile {
  return {
    ...peopled(profile),
    hostileUs: 6_500_000,
    thinkUs: 200_000,
    groupFaultEveryUs: 0,
    peopleEveryUs: 200_000,
    people: { ...NOBODY, partForGood: 1 },
  }
}

export const MEMBERSHIP_MUTATIONS: Readonly<Record<string, OriginsMutation>> = {
  // Stability: 14
  finalWithoutThoseWhoLeave: {
    parts: exchanging({ promises: ({ kind }) => kind === 'writes' }),
    finds: /O4|O6/,
    world: peopled,
  },
  // Identity: 18
  foundsUnderTheGiversName: {
    parts: {
      wrapStore: (store) => ({
        run: (command) => {
          if (command.kind !== 'found' || !(store instanceof Store)) return store.run(command)
          const self = store.origins?.self ?? ''
          return store.run({ ...command, origin: { self, cluster: null } })
        },
      }),
    },
    finds: /O1/,
    world: peopled,
  },
  // Entering and leaving: 12, 31, 32, 38
  takesOfThoseWhoLeave: {
    parts: exchanging({
      limit: (standing, handed) => {
        if (standing === null) return handed
        return standing.kind === 'removed' ? standing.last : Number.POSITIVE_INFINITY
      },
    }),
    finds: /O8|C1|P: /,
    world: peopled,
  },
  removesByItsOwnWord: {
    parts: keeping(({ cluster, ...operation }, store) => {
      const origins = cluster.origins.map((each) => {
        if (each.standing.kind !== 'removed') return each
        return {
          ...each,
          standing: {
            ...each.standing,
            last: Math.min(each.standing.last, heldOf(store, each.origin)),
          },
        }
      })
      return { ...operation, cluster: { ...cluster, origins } }
    }),
    finds: /O8|C1|P: /,
    world: peopled,
  },
  removesAtOnce: {
    parts: keeping(({ cluster, ...operation }, store) => {
      const origins = cluster.origins.map((each) => {
        if (each.standing.kind !== 'frozen') return each
        return { ...each, standing: { kind: 'removed', last: heldOf(store, each.origin) } as const }
      })
      return { ...operation, cluster: { ...cluster, origins } }
    }),
    finds: /O\d|H\d|C1|P: /,
    world: peopled,
  },
  // Two sides that each took the other for gone
  goesOnByItsOwnVersion: {
    parts: {
      driver: {
        createExchange: (...args) => {
          class Stubborn extends Exchange {
            override step(input: Input): Effects {
              const isOlder = input.kind === 'members' && input.members.epoch < this.members.epoch
              return super.step(isOlder ? { kind: 'cancel', id: 0 } : input)
            }
          }
          return new Stubborn(...args)
        },
      },
    },
    finds: /O9/,
    world: parted,
  },
  everyoneFoundsTheGroup: {
    parts: { mayFound: () => true },
    finds: /M4|O1/,
    world: (profile) => ({
      ...peopled({ ...profile, strategy: 'multi-leader' }),
      ...{ thinkUs: 200_000, peopleEveryUs: 200_000 },
      people: { ...NOBODY, join: 1 },
      groups: [1, 1].map((voters) => ({ voters, learners: 0 })),
      hostileUs: 2_500_000,
    }),
  },
  handsNothingOn: {
    parts: {
      wrapStore: (store) => ({
        run: (command) => {
          const reply = store.run(command)
          if (reply.kind !== 'originEntries' || !(store instanceof Store)) return reply
          const self = store.origins?.self
          return { ...reply, entries: reply.entries.filter(({ origin }) => origin === self) }
        },
      }),
    },
    finds: /P: /,
    world: (profile) => ({ ...peopled(profile), topology: 'chain' }),
  },
  keepsNothingUnshipped: {
    parts: {
      wrapStore: (store) => ({
        run: (command) => {
          const reply = store.run(command)
          if (store instanceof Store)
            rmSync(lostFolder(store.path), { recursive: true, force: true })
          return reply
        },
      }),
    },
    finds: /U: /,
    world: peopled,
  },
}
