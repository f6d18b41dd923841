/**
 * Bugs planted on purpose, one at a time, in all origins and not in the twin, to prove that random
 * histories would find them.
 */
import { constants } from 'node:sqlite'
import { compareStamps } from '../../../core/order/clock/stamp.ts'
import { concatenate } from '../../../model/changeset-bytes.ts'
import { type Catalog, type MergeTable, readCatalog } from '../catalog.ts'
import { Footprints } from '../footprint.ts'
import { ForeignKeys } from '../foreign-keys.ts'
import { applyNatively, Batch } from '../native.ts'
import { type MergeParts, PARTS } from '../parts.ts'
import { decide } from '../rules.ts'

export interface Mutation {
  readonly parts: Partial<MergeParts>
  /** A history that finds it; others may as well. */
  readonly seed: number
}

/** The tables with something changed. */
function altered(catalog: Catalog, alter: (table: MergeTable) => Partial<MergeTable>): Catalog {
  return new Map([...catalog].map(([name, table]) => [name, { ...table, ...alter(table) }]))
}

/** Footprints of a schema with something left out. */
function seesWithout(alter: (table: MergeTable) => Partial<MergeTable>): Partial<MergeParts> {
  return { createFootprints: (catalog) => new Footprints(altered(catalog, alter)) }
}

/** What SQLite is told to do when a row is not as expected, or is there already. */
function onConflict(answer: number): Partial<MergeParts> {
  const { SQLITE_CHANGESET_DATA, SQLITE_CHANGESET_CONFLICT, SQLITE_CHANGESET_ABORT } = constants
  return {
    applyNatively: (db, changesets) =>
      db.applyChangeset(concatenate(changesets), {
        onConflict: (kind) =>
          kind === SQLITE_CHANGESET_DATA || kind === SQLITE_CHANGESET_CONFLICT
            ? answer
            : SQLITE_CHANGESET_ABORT,
      }),
  }
}

class NoOrphans extends ForeignKeys {
  override orphaned(): null {
    return null
  }
}
class NoRelease extends ForeignKeys {
  override release(): boolean {
    return false
  }
}
class NoneLeft extends ForeignKeys {
  override left(): readonly [] {
    return []
  }
}
class NoGuard extends Batch {
  override mayTake(footprint: Parameters<Batch['mayTake']>[0]): boolean {
    return super.mayTake({ ...footprint, guarded: [], checked: [] })
  }
}
class LateParents extends Batch {
  override mayTake(footprint: Parameters<Batch['mayTake']>[0]): boolean {
    return super.mayTake({ ...footprint, added: [] })
  }
}

export const MUTATIONS: Readonly<Record<string, Mutation>> = {
  // Where transactions meet
  forgetsUniqueValues: {
    parts: seesWithout(({ uniques }) => ({
      uniques: uniques.filter(({ columns }) => columns === null),
    })),
    seed: 6,
  },
  forgetsPartialIndexes: {
    parts: seesWithout(({ uniques }) => ({
      uniques: uniques.filter(({ columns }) => columns !== null),
    })),
    seed: 7,
  },
  forgetsParents: { parts: seesWithout(() => ({ referencedBy: [] })), seed: 41 },
  forgetsChildren: { parts: seesWithout(() => ({ references: [] })), seed: 3 },
  forgetsWhatWasReached: {
    parts: {
      createFootprints: (catalog) => {
        const real = new Footprints(catalog)
        return { of: (bytes) => real.of(bytes), ofRows: () => real.ofRows([]) }
      },
    },
    seed: 17,
  },
  forgetsNeeds: {
    parts: {
      createFootprints: (catalog) => {
        const real = new Footprints(catalog)
        return {
          of: (bytes) => Object.assign(real.of(bytes), { needed: [] }),
          ofRows: (rows) => Object.assign(real.ofRows(rows), { needed: [] }),
        }
      },
    },
    seed: 3,
  },
  // Placement
  takesNothingBack: {
    parts: {
      place: (arrivals) => ({
        undo: [],
        run: arrivals.toSorted((a, b) => compareStamps(a.stamp, b.stamp)),
      }),
    },
    seed: 1,
  },
  takesBackOnlyTheFirst: {
    parts: {
      place: (arrivals, tail) => {
        const { undo } = PARTS.place(arrivals, tail)
        const first = undo.slice(-1)
        const run = [...arrivals, ...first]
        return { undo: first, run: run.sort((a, b) => compareStamps(a.stamp, b.stamp)) }
      },
    },
    seed: 1,
  },
  runsArrivalsLast: {
    parts: {
      place: (arrivals, tail) => {
        const { undo } = PARTS.place(arrivals, tail)
        return { undo, run: [...undo.toReversed(), ...arrivals] }
      },
    },
    seed: 1,
  },
  takesBackInOrder: {
    parts: {
      place: (arrivals, tail) => {
        const { undo, run } = PARTS.place(arrivals, tail)
        return { undo: undo.toReversed(), run }
      },
    },
    seed: 1,
  },
  // The native way
  looksAtNoForeignKey: {
    parts: {
      applyNatively: (db, changesets, checks) =>
        applyNatively(db, changesets, { ...checks, foreignKeys: null }),
    },
    seed: 3,
  },
  takesEqualForIdentical: {
    parts: {
      applyNatively: (db, changesets, checks) =>
        applyNatively(db, changesets, { ...checks, exactly: null }),
    },
    seed: 348,
  },
  replacesWhatIsThere: { parts: onConflict(constants.SQLITE_CHANGESET_REPLACE), seed: 1 },
  omitsWhatDoesNotFit: { parts: onConflict(constants.SQLITE_CHANGESET_OMIT), seed: 1 },
  batchesOverConstraints: { parts: { createBatch: () => new NoGuard() }, seed: 147 },
  batchesOverForeignKeys: { parts: { createBatch: () => new LateParents() }, seed: 812 },
  // Rules
  firstWriterWins: {
    parts: {
      decide: (rule, base, ours, theirs) =>
        decide(rule === 'last' ? 'first' : rule, base, ours, theirs),
    },
    seed: 2,
  },
  countersAreAssigned: {
    parts: {
      decide: (rule, base, ours, theirs) =>
        decide(rule === 'add' ? 'last' : rule, base, ours, theirs),
    },
    seed: 5,
  },
  countersForgetTheirBase: {
    parts: {
      decide: (rule, base, ours, theirs) => decide(rule, rule === 'add' ? 0n : base, ours, theirs),
    },
    seed: 5,
  },
  maximumIsMinimum: {
    parts: {
      decide: (rule, base, ours, theirs) =>
        decide(rule === 'max' ? 'min' : rule, base, ours, theirs),
    },
    seed: 5,
  },
  setsForgetRemovals: {
    parts: {
      decide: (rule, base, ours, theirs) =>
        decide(rule, rule === 'union' ? '[]' : base, ours, theirs),
    },
    seed: 5,
  },
  neverAborts: {
    parts: {
      runByRules: (context, changes) =>
        PARTS.runByRules({ ...context, rules: { ...context.rules, aborts: () => false } }, changes),
    },
    seed: 5,
  },
  dropsConflicts: {
    parts: {
      runByRules: (context, changes) => ({ ...PARTS.runByRules(context, changes), conflicts: [] }),
    },
    seed: 1,
  },
  // What is foreseen
  foreseesNoConflicts: {
    parts: {
      foresee: (...about) => {
        const forecast = PARTS.foresee(...about)
        return forecast.kind === 'decided' ? { ...forecast, conflicts: [] } : forecast
      },
    },
    seed: 1,
  },
  foreseesNoAbort: {
    parts: {
      foresee: (context, memory, changes) => {
        const rules = { ...context.rules, aborts: () => false }
        return PARTS.foresee({ ...context, rules }, memory, changes)
      },
    },
    seed: 5,
  },
  foreseesFromOldRows: {
    parts: {
      foresee: (context, memory, changes) => {
        const old = { find: memory.find.bind(memory), put: () => {} }
        return PARTS.foresee(context, old, changes)
      },
    },
    seed: 1,
  },
  // Undo
  invertsNothing: { parts: { invert: (changes) => changes }, seed: 1 },
  takesBackWhatWasMeant: {
    parts: {
      runByRules: (context, changes) => ({
        ...PARTS.runByRules(context, changes),
        effect: changes,
      }),
    },
    seed: 1,
  },
  takesBackNothingOfRules: {
    parts: {
      runByRules: (context, changes) => ({
        ...PARTS.runByRules(context, changes),
        effect: new Uint8Array(),
      }),
    },
    seed: 1,
  },
  keepsConflictsOfTheUndone: { parts: { withdraws: false }, seed: 1 },
  // Deleted rows
  knowsNoDeletedRows: { parts: { findDeleted: () => () => null }, seed: 1 },
  buriesOnlyNatively: {
    parts: {
      runByRules: (context, changes) => ({ ...PARTS.runByRules(context, changes), deleted: [] }),
    },
    seed: 1,
  },
  // Constraints
  letsOrphansIn: {
    parts: { createForeignKeys: (catalog, rows) => new NoOrphans(catalog, rows) },
    seed: 4,
  },
  neverReleasesChildren: {
    parts: { createForeignKeys: (catalog, rows) => new NoRelease(catalog, rows) },
    seed: 3,
  },
  leavesChildrenBehind: {
    parts: { createForeignKeys: (catalog, rows) => new NoneLeft(catalog, rows) },
    seed: 3,
  },
  alwaysCascades: {
    parts: {
      readCatalog: (db) =>
        altered(readCatalog(db), ({ referencedBy }) => ({
          referencedBy: referencedBy.map((each) => ({ ...each, onDelete: 'CASCADE' as const })),
        })),
    },
    seed: 3,
  },
  neverSetsNull: {
    parts: {
      readCatalog: (db) =>
        altered(readCatalog(db), ({ referencedBy }) => ({
          referencedBy: referencedBy.map((each) => ({
            ...each,
            onDelete: each.onDelete === 'SET NULL' ? ('RESTRICT' as const) : each.onDelete,
          })),
        })),
    },
    seed: 3,
  },
  comparesChildrenByBytes: {
    parts: {
      readCatalog: (db) =>
        altered(readCatalog(db), ({ referencedBy }) => ({
          referencedBy: referencedBy.map((each) => ({
            ...each,
            collations: each.collations.map(() => 'BINARY'),
          })),
        })),
    },
    seed: 46,
  },
}
