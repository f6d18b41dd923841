/**
 * Bugs of several origins planted on purpose, each one that another system had (numbers are those
 * of the research on multi-leader replication), to prove that the simulator would find it. They are
 * put in from outside, by replacing parts of a node.
 */
import { prngFromSeed } from '../../base/prng.ts'
import { Exchange } from '../../core/order/clock/exchange/exchange.ts'
import { RULES, type Rules } from '../../core/order/clock/exchange/rules.ts'
import { changesetTables } from '../../model/changeset.ts'
import { decodeOriginOperations, encodeOriginOperations } from '../../model/origin-codec.ts'
import type { MergeOperation, OriginEntry } from '../../model/origin-entry.ts'
import type { NodeRequest } from '../../model/request.ts'
import { type MergeParts, PARTS } from '../../store/merge/parts.ts'
import { MUTATIONS as MERGE_MUTATIONS } from '../../store/merge/testing/mutations.ts'
import type { StoreCommand, StoreReply } from '../../store/types.ts'
import type { Parts } from '../node.ts'
import type { RunsCommands } from '../store-port.ts'
import type { OriginsProfile } from './profile.ts'

export interface OriginsMutation {
  readonly parts: Parts
  /** What the simulator says of it. */
  readonly finds: RegExp
  /** The kind of world in which it shows soon. */
  readonly world?: (profile: OriginsProfile) => OriginsProfile
}

// Kinds of bug

function merging(parts: Partial<MergeParts>): Parts {
  return { openOptions: () => ({ mergeParts: { ...PARTS, ...parts } }) }
}

/** One of those that the merge's own histories find. */
function likeMerge(name: string): Parts {
  return merging(MERGE_MUTATIONS[name]?.parts ?? {})
}

export function exchanging(rules: Partial<Rules>): Parts {
  return {
    driver: {
      createExchange: (options, clock, members, state) => {
        return new Exchange(options, clock, members, state, { ...RULES, ...rules })
      },
    },
  }
}

/** The store is told something else, or it answers something else. */
function storing(
  change: (command: StoreCommand) => StoreCommand,
  answer: (reply: StoreReply) => StoreReply = (reply) => reply,
): Parts {
  return {
    wrapStore: (store: RunsCommands) => ({ run: (command) => answer(store.run(change(command))) }),
  }
}

function mergeOperations(
  change: (operations: readonly MergeOperation[]) => readonly MergeOperation[],
): Parts {
  return storing((command) => {
    if (command.kind !== 'merge') return command
    return { ...command, operations: change(command.operations) }
  })
}

/** What others are given is not what is here. */
function serving(change: (entries: readonly OriginEntry[]) => readonly OriginEntry[]): Parts {
  return storing(
    (command) => command,
    (reply) => {
      if (reply.kind !== 'originEntries') return reply
      return { ...reply, entries: change(reply.entries) }
    },
  )
}

function asking(change: (request: NodeRequest) => NodeRequest): Parts {
  return { wrapRequest: change }
}

/** Its own group's answer is taken for everybody's. */
function acksAtMajority(level: 'stable' | 'others'): Parts {
  return asking((request) => {
    if (request.kind !== 'write' && request.kind !== 'stream') return request
    const others = request.ack === 'quorum' || request.ack === 'all' || Number(request.ack) > 1
    const hit = level === 'stable' ? request.ack === 'stable' : others
    return hit ? { ...request, ack: 'majority' } : request
  })
}

/** A group's own zone is taken for each. */
function knowsItsOwnZoneOnly(kind: 'write' | 'read'): Parts {
  return asking((request) => {
    if (request.kind === 'write' && kind === 'write' && request.ack === 'each-quorum') {
      return { ...request, ack: 'local-quorum' }
    }
    if (request.kind === 'read' && kind === 'read' && request.level === 'each-quorum') {
      return { ...request, level: 'local-quorum' }
    }
    return request
  })
}

function reads(change: (read: Extract<NodeRequest, { kind: 'read' }>) => NodeRequest): Parts {
  return asking((request) => (request.kind === 'read' ? change(request) : request))
}

// Kinds of world

/** Few groups that write the same rows all the time, cut off from each other again and again. */
export function disputes(profile: OriginsProfile): OriginsProfile {
  return {
    ...profile,
    groups: [1, 1, 1].map((voters) => ({ voters, learners: 0 })),
    topology: 'mesh',
    clients: 6,
    thinkUs: 10_000,
    roamPercent: 10,
    beyondPercent: 10,
    levels: { localAckPercent: 0, allAckPercent: 0 },
    hostileUs: 1_500_000,
    network: { ...profile.network, lossPercent: 0, duplicatePercent: 0 },
    disk: {
      store: { usual: 200, max: 200, longPercent: 0 },
      flush: { usual: 500, max: 500, longPercent: 0 },
      checkpointPercent: 0,
    },
    far: { usual: 40_000, max: 150_000, longPercent: 20 },
    clockSkewMs: 20,
    clockDriftPermille: 0,
    faultEveryUs: 0,
    groupFaultEveryUs: 200_000,
    groupFaults: { ...NONE, isolate: 3, split: 2, healGroups: 3 },
    peopleEveryUs: 0,
    ddl: false,
    streams: false,
  }
}

/** The same, and nodes crash. */
function crashes(profile: OriginsProfile): OriginsProfile {
  return {
    ...disputes(profile),
    disk: {
      store: { usual: 200, max: 200, longPercent: 0 },
      flush: { usual: 30_000, max: 60_000, longPercent: 10 },
      checkpointPercent: 0,
    },
    restartUsMax: 20_000,
    groupFaults: { ...NONE, crashGroup: 4, healGroups: 1 },
  }
}

/** Somebody's clock is far ahead. */
function skewed(profile: OriginsProfile): OriginsProfile {
  return { ...disputes(profile), driftMaxMs: 500, clockSkewMs: 5_000, faults: profile.faults }
}

/** The same, and all write seldom: what comes is merged and answered at once. */
function skewedAtEase(profile: OriginsProfile): OriginsProfile {
  return { ...skewed(profile), thinkUs: 20_000 }
}

/** Many requests ask what other groups hold. */
function leveled(profile: OriginsProfile): OriginsProfile {
  const far = { usual: 20_000, max: 150_000, longPercent: 20 }
  return { ...disputes(profile), far, roamPercent: 100, beyondPercent: 60 }
}

/** The same in two zones. */
function zoned(profile: OriginsProfile): OriginsProfile {
  const groups = ['east', 'east', 'west'].map((zone) => ({ voters: 1, learners: 0, zone }))
  return { ...leveled(profile), groups }
}

/** Of two zones one has only one group, which is put in the other while it is cut off. */
function rezoned(profile: OriginsProfile): OriginsProfile {
  const groups = [{ zone: 'east' }, { zone: 'east' }, { zone: 'west' }, {}].map((where) => {
    return { voters: 1, learners: 0, ...where }
  })
  return {
    ...leveled(profile),
    ...{ groups, byZonePercent: 100, beyondPercent: 100 },
    hostileUs: 3_000_000,
    far: { usual: 5_000, max: 50_000, longPercent: 10 },
    groupFaultEveryUs: 150_000,
    groupFaults: { ...NONE, healGroups: 3, changeZone: 6 },
  }
}

/** Clocks half a second apart, while nothing else fails and messages are slow. */
function apart(profile: OriginsProfile): OriginsProfile {
  const groups = Array.from({ length: 3 }, () => ({ voters: 1, learners: 0 }))
  const far = { usual: 30_000, max: 400_000, longPercent: 30 }
  const clocks = { clockSkewMs: 500, driftMaxMs: 5_000 }
  const calm = { groupFaultEveryUs: 0, faultEveryUs: 0, hostileUs: 5_000_000 }
  return { ...leveled(profile), ...clocks, ...calm, far, groups, thinkUs: 5_000, beyondPercent: 90 }
}

function chained(profile: OriginsProfile): OriginsProfile {
  return { ...disputes(profile), topology: 'chain' }
}

function changing(profile: OriginsProfile): OriginsProfile {
  const none = { ...NONE, isolate: 1, healGroups: 6 }
  const far = { usual: 100_000, max: 200_000, longPercent: 50 }
  const all = { ...disputes(profile), far, groupFaults: none, hostileUs: 3_000_000 }
  return { ...all, ddl: true, schemaPercent: 30 }
}

const NONE: OriginsProfile['groupFaults'] = {
  isolate: 0,
  split: 0,
  cutPair: 0,
  cutOnPurpose: 0,
  healGroups: 0,
  crashGroup: 0,
  changeRule: 0,
  changeZone: 0,
}

const chance = prngFromSeed(1)
const OWN_ID = 'insert into items (session, price) values (?, ?)'
const COUNTED_ID =
  'insert into items (id, session, price) select coalesce(max(id), 0) + 1, ?, ? from items where true'

export const MUTATIONS: Readonly<Record<string, OriginsMutation>> = {
  // Convergence: 1, 2, 3, 4, 8, 58
  takesNothingBack: { parts: likeMerge('takesNothingBack'), finds: /C1|H3|H6/ },
  firstWriterWins: { parts: likeMerge('firstWriterWins'), finds: /C1/ },
  prefersItself: {
    parts: {
      openOptions: (name) => ({
        mergeParts: {
          ...PARTS,
          decide: (rule, base, ours, theirs) =>
            PARTS.decide(rule === 'last' && name < 'b' ? 'first' : rule, base, ours, theirs),
        },
      }),
    },
    finds: /C1/,
  },
  drawsLots: {
    parts: merging({
      decide: (rule, base, ours, theirs) => {
        const drawn = rule === 'last' && chance.percent(50) ? 'first' : rule
        return PARTS.decide(drawn, base, ours, theirs)
      },
    }),
    finds: /C1|R1|R2/,
  },
  // Deletes: 10, 12, 16
  knowsNoDeletedRows: { parts: likeMerge('knowsNoDeletedRows'), finds: /C1/ },
  forgetsTooEarly: {
    parts: mergeOperations((operations) =>
      operations.map((each) =>
        each.kind === 'forget' ? { ...each, stable: each.stable + 200_000 } : each,
      ),
    ),
    finds: /O4|comes after its place/,
  },
  // Stability: 14
  waitsForNobodySilent: {
    parts: exchanging({ promises: ({ kind }, held) => kind === 'writes' && held > 2 }),
    finds: /O4|O6/,
  },
  finalBeforeItIsApplied: {
    parts: exchanging({ final: (time) => time }),
    finds: /O4|X4|the log forgot entries that are not in the data/,
    world: skewedAtEase,
  },
  // Identity and time: 20, 22
  countsIdsUp: {
    parts: asking((request) => {
      if (request.kind !== 'write') return request
      const steps = request.program.steps.map((step) => {
        const sql = step.statement.sql.replace(OWN_ID, COUNTED_ID)
        return { ...step, statement: { ...step.statement, sql } }
      })
      return { ...request, program: { ...request.program, steps } }
    }),
    finds: /H7|H6/,
  },
  believesAnyClock: {
    parts: { driver: { driftMaxMs: 1e9 } },
    finds: /O7/,
    world: skewed,
  },
  // Log and delivery: 24, 26, 27, 28, 29, 32, 35
  applyFailsAndNobodyNotices: {
    parts: merging({ applyNatively: () => true }),
    finds: /C1|R1|R2|H6|H2|H10/,
  },
  shipsHalfTransactions: {
    parts: serving((entries) =>
      entries.map((entry) => {
        const operations = decodeOriginOperations(entry.body)
        if (operations.length < 2) return entry
        return { ...entry, body: encodeOriginOperations(operations.slice(0, -1)) }
      }),
    ),
    finds: /O2/,
    world: crashes,
  },
  leavesAGap: {
    parts: serving((entries) => entries.filter(({ sequence }) => sequence % 5 !== 0)),
    finds: /P: /,
    world: crashes,
  },
  waitsForItsOwnEcho: { parts: exchanging({ causal: () => false }), finds: /P: / },
  takesEffectsBeforeCauses: {
    parts: exchanging({ causal: () => true }),
    finds: /O3|X\d|missing/,
    world: chained,
  },
  tellsWhatACrashUndoes: {
    parts: exchanging({ tells: (_, handed) => handed }),
    finds: /O5|forked|H10|P: /,
    world: crashes,
  },
  // Counters: 36
  countersAreAssigned: { parts: likeMerge('countersAreAssigned'), finds: /H6|C1/ },
  retriesCountTwice: {
    parts: asking((request) => {
      if (request.kind !== 'write') return request
      const { id: _, ...program } = request.program
      return { ...request, program }
    }),
    finds: /H1/,
    world: crashes,
  },
  // Levels: 37, 38
  acksTooEarly: { parts: acksAtMajority('others'), finds: /O5|H10/, world: leveled },
  callsItStableAtOnce: { parts: acksAtMajority('stable'), finds: /O6|O4/, world: leveled },
  countsOneCopyTooMany: {
    parts: exchanging({ copied: (count, wanted) => count >= wanted - 1 }),
    finds: /O5|H10/,
    world: leveled,
  },
  readsFromTooFew: {
    parts: exchanging({ consulted: (count, wanted) => count >= wanted - 1 }),
    finds: /H10/,
    world: leveled,
  },
  acksWithoutTheOtherZones: {
    parts: knowsItsOwnZoneOnly('write'),
    finds: /O5|H10/,
    world: zoned,
  },
  readsWithoutTheOtherZones: {
    parts: knowsItsOwnZoneOnly('read'),
    finds: /H10/,
    world: zoned,
  },
  countsByTheNewZonesAtOnce: {
    parts: exchanging({ knowsZones: () => true }),
    finds: /H10/,
    world: rezoned,
  },
  forgetsTheSession: {
    parts: reads((read) => ({ ...read, token: null })),
    finds: /H2/,
    world: leveled,
  },
  readsStrongLocally: {
    parts: reads((read) => (read.level === 'strong' ? { ...read, level: 'session' } : read)),
    finds: /H3/,
    world: leveled,
  },
  showsWhatIsTentative: {
    parts: storing((command) => {
      if (command.kind !== 'readStable') return command
      return { ...command, through: Number.MAX_SAFE_INTEGER - 1 }
    }),
    finds: /H3/,
    world: apart,
  },
  // Constraints: 39, 42, 43, 44, 49
  forgetsUniqueValues: { parts: likeMerge('forgetsUniqueValues'), finds: /C1|LOG_CORRUPT|R1|R2/ },
  dropsConflicts: { parts: likeMerge('dropsConflicts'), finds: /C1/ },
  letsOrphansIn: { parts: likeMerge('letsOrphansIn'), finds: /C1|H6|R4/ },
  replacesWhatIsThere: { parts: likeMerge('replacesWhatIsThere'), finds: /C1|H3|H6/ },
  neverAborts: { parts: likeMerge('neverAborts'), finds: /C1/ },
  // Triggers: 48
  firesTriggersAgain: {
    parts: merging({
      applyNatively: (db, changesets, checks) => {
        if (!PARTS.applyNatively(db, changesets, checks)) return false
        const items = changesets.filter((each) => changesetTables(each).includes('items')).length
        if (items > 0) db.exec(`update totals set n = n + ${items}`)
        return true
      },
    }),
    finds: /C1|H6|R1|R2|LOG_CORRUPT/,
  },
  // Schema: 52
  changesTheSchemaAnywhere: {
    parts: storing((command) => {
      if (command.kind !== 'execute' || command.originating === undefined) return command
      return { ...command, originating: { ...command.originating, schema: 'any' } }
    }),
    finds: /C1|LOG_CORRUPT|can't be applied/,
    world: changing,
  },
  changesUnderWriters: {
    parts: storing((command) => {
      if (command.kind !== 'originate') return command
      return { ...command, operations: command.operations.filter(({ kind }) => kind !== 'hold') }
    }),
    finds: /C1|LOG_CORRUPT|can't be applied/,
    world: changing,
  },
  // What others need
  forgetsWhatOthersLack: {
    parts: {
      driver: {
        createExchange: (...args) => {
          class Forgetful extends Exchange {
            override get heldByAll() {
              return this.held
            }
          }
          return new Forgetful(...args)
        },
      },
    },
    finds: /P: /,
    world: (profile) => ({ ...disputes(profile), retainEntries: 4 }),
  },
  // Growth: 60
  neverForgets: {
    parts: mergeOperations((operations) => operations.filter(({ kind }) => kind !== 'forget')),
    finds: /P: forgetting/,
  },
}

/** The world in which a mutation shows. */
export function worldOf({ world = disputes }: OriginsMutation) {
  return world
}
