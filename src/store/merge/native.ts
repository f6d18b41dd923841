/**
 * The common way: changesets that find everything as it was where they were made are applied by
 * SQLite itself, many at once.
 */
import { constants, type DatabaseSync } from 'node:sqlite'
import { type Key, KeySet } from '../../core/order/clock/key-set.ts'
import { readExactly } from '../../model/changeset.ts'
import { joinByTable } from '../../model/changeset-bytes.ts'
import { type ExactValue, identical } from '../../model/exact-value.ts'
import { type Catalog, tableOf } from './catalog.ts'
import type { CheckedRow, MergeFootprint } from './footprint.ts'
import type { ForeignKeys } from './foreign-keys.ts'
import { pick, type TableRows } from './table-rows.ts'

/** What else must be so than SQLite looks at. */
export interface Checks {
  /** To be looked at afterwards; null: none can have been broken. */
  readonly foreignKeys: ForeignKeys | null
  /** Whether rows must be identical to what was there, beyond what SQLite takes for equal. */
  readonly exactly: { readonly catalog: Catalog; readonly rows: TableRows } | null
}

/**
 * Applies changesets as one, of which no two change the same row of a table that must be checked
 * exactly. False: something was not as expected; nothing changed.
 */
export function applyNatively(
  db: DatabaseSync,
  changesets: readonly Uint8Array[],
  { foreignKeys, exactly }: Checks,
): boolean {
  // No constraint spans tables but for foreign keys, which are looked at afterwards.
  const bytes = joinByTable(changesets)
  if (exactly !== null && !isAsBefore(bytes, exactly.catalog, exactly.rows)) return false
  const onConflict = () => constants.SQLITE_CHANGESET_ABORT
  if (foreignKeys === null) return db.applyChangeset(bytes, { onConflict })
  db.exec('savepoint _quorate_native')
  const fits = db.applyChangeset(bytes, { onConflict }) && foreignKeys.holdAfter(bytes)
  db.exec(fits ? 'release _quorate_native' : 'rollback to _quorate_native; release _quorate_native')
  return fits
}

function isAsBefore(bytes: Uint8Array, catalog: Catalog, rows: TableRows): boolean {
  for (const { table: name, before } of readExactly(bytes)) {
    const table = tableOf(catalog, name)
    if (before === null || !table.loose) continue
    const now = rows.find(table, pick(before, table.key))
    if (now === null) return false
    const isSame = (value: ExactValue | undefined, i: number) =>
      value === undefined || identical(value, now[i] ?? null)
    if (!before.every(isSame)) return false
  }
  return true
}

/**
 * Transactions that may be applied as one changeset because that can only succeed if each succeeds
 * by itself. A constraint must not be looked at later than it would be alone: SQLite puts off a
 * change that breaks one and tries again at the end, and foreign keys are looked at after all.
 */
export class Batch {
  readonly #guarded = new KeySet()
  /** The columns that change last of rows that a CHECK looks at. */
  readonly #checked = new Map<Key, readonly number[]>()
  readonly #needed = new KeySet()
  readonly #removed = new KeySet()
  #alone = false

  mayTake({ guarded, checked, needed, added, alone }: MergeFootprint): boolean {
    if (alone || this.#alone) return false
    // Most have nothing that a constraint looks at.
    if (guarded.length + checked.length + needed.length + added.length === 0) return true
    if (this.#guarded.hasAny(guarded)) return false
    if (guarded.some((key) => this.#checked.has(key))) return false
    if (!checked.every((row) => this.#mayChange(row))) return false
    // A parent that comes too late for an earlier child, or comes back; a child that goes too late.
    if (this.#needed.hasAny(added) || this.#removed.hasAny(added)) return false
    return !this.#removed.hasAny(needed)
  }

  take({ guarded, checked, needed, removed, alone }: MergeFootprint): void {
    this.#alone ||= alone
    this.#guarded.addAll(guarded)
    for (const { key, columns } of checked) this.#checked.set(key, columns)
    this.#needed.addAll(needed)
    this.#removed.addAll(removed)
  }

  /**
   * Of two changes of a row that have a column in common the later can't be made without the earlier:
   * if SQLite puts that off, the later one finds another value, and nothing is applied at all.
   */
  #mayChange({ key, columns }: CheckedRow): boolean {
    if (this.#guarded.has(key)) return false
    const last = this.#checked.get(key)
    return last === undefined || columns.some((column) => last.includes(column))
  }
}

/** The same of a transaction that will not change all columns that its changeset tells. */
export function partly(own: MergeFootprint): MergeFootprint {
  const guarded = [...own.guarded, ...own.checked.map(({ key }) => key)]
  return { ...own, guarded, checked: [] }
}
