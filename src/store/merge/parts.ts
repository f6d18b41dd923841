/**
 * The parts that convergence hangs on. They are passed in so that a test can break one on purpose
 * and show that its checks would notice; nothing else may replace them.
 */
import type { DatabaseSync } from 'node:sqlite'
import { place } from '../../core/order/clock/placement.ts'
import { invertChangeset } from '../../model/changeset.ts'
import { type RuleContext, type RuleOutcome, runByRules } from './by-rules.ts'
import { type Catalog, readCatalog } from './catalog.ts'
import type { FindDeleted } from './deciding.ts'
import { Footprints } from './footprint.ts'
import { foresee } from './forecast.ts'
import { ForeignKeys } from './foreign-keys.ts'
import { applyNatively, Batch } from './native.ts'
import { decide } from './rules.ts'
import type { TableRows } from './table-rows.ts'

export interface MergeParts {
  readonly readCatalog: (db: DatabaseSync) => Catalog
  readonly createFootprints: (catalog: Catalog) => Pick<Footprints, 'of' | 'ofRows'>
  readonly createForeignKeys: (catalog: Catalog, rows: TableRows) => ForeignKeys
  readonly createBatch: () => Pick<Batch, 'mayTake' | 'take'>
  readonly place: typeof place
  readonly applyNatively: typeof applyNatively
  readonly foresee: typeof foresee
  readonly runByRules: (context: RuleContext, changes: Uint8Array) => RuleOutcome
  readonly decide: typeof decide
  readonly invert: (changes: Uint8Array) => Uint8Array
  /** Wraps the look-up of what rows were when they were deleted. */
  readonly findDeleted: (find: FindDeleted) => FindDeleted
  /** Which conflicts of a transaction are noted, and whether those of one taken back go. */
  readonly withdraws: boolean
  /** How many keys the index of the tail may have before the tail is read instead. */
  readonly keysMax: number
}

export const PARTS: MergeParts = {
  readCatalog,
  createFootprints: (catalog) => new Footprints(catalog),
  createForeignKeys: (catalog, rows) => new ForeignKeys(catalog, rows),
  createBatch: () => new Batch(),
  place,
  applyNatively,
  foresee,
  runByRules,
  decide,
  invert: invertChangeset,
  findDeleted: (find) => find,
  withdraws: true,
  // Some 500 MB.
  keysMax: 2 ** 24,
}
