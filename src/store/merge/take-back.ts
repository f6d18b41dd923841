/** Takes back what a transaction did, as if it had never run. */
import { constants, type DatabaseSync } from 'node:sqlite'
import { readExactly } from '../../model/changeset.ts'
import { joinByTable, sectionsOf } from '../../model/changeset-bytes.ts'
import { identical } from '../../model/exact-value.ts'
import { type Catalog, tableOf } from './catalog.ts'
import { type Cells, pick, type Row, TableRows } from './table-rows.ts'

/**
 * Applies inverse changesets one after the other, in a savepoint of the caller's.
 *
 * @returns false: rows are not as they were left; then something of it may be done
 */
export function applyInverses(
  db: DatabaseSync,
  inverses: readonly Uint8Array[],
  catalog: Catalog,
): boolean {
  const onConflict = () => constants.SQLITE_CHANGESET_ABORT
  const asOne = inverses.length === 1 || !inverses.some((each) => isNarrow(each, catalog))
  if (asOne && db.applyChangeset(joinByTable(inverses), { onConflict })) return true
  if (inverses.length > 1) return inverses.every((each) => applyInverses(db, [each], catalog))
  // SQLite puts rows in place one by one, and one may be in the way of another.
  return inverses.every((each) => applyByRows(each, catalog, new TableRows(db)))
}

/**
 * Whether it is of a time when a table had fewer columns. Such changesets are never applied as one
 * with others: SQLite would take the columns of the first one's tables for all.
 */
function isNarrow(bytes: Uint8Array, catalog: Catalog): boolean {
  return sectionsOf(bytes).some(({ table, columns }) => {
    return columns < tableOf(catalog, table).columns.length
  })
}

/** All rows go before any comes. */
function applyByRows(bytes: Uint8Array, catalog: Catalog, rows: TableRows): boolean {
  const coming: (() => void)[] = []
  for (const { table: name, before, after } of readExactly(bytes)) {
    const table = tableOf(catalog, name)
    const key = pick(before ?? after ?? [], table.key)
    const now = rows.find(table, key)
    if (!isAs(now, before)) return false
    if (now !== null) rows.delete(table, key)
    if (after === null) continue
    const row = after.map((value, i) => (value === undefined ? (now?.[i] ?? null) : value))
    coming.push(() => rows.insert(table, row))
  }
  try {
    for (const put of coming) put()
    return true
  } catch {
    return false
  }
}

/** Whether a row is what a change expects; columns that it does not tell may be anything. */
function isAs(now: Row | null, before: Cells | null): boolean {
  if (now === null || before === null) return now === before
  return before.every((value, i) => value === undefined || identical(value, now[i] ?? null))
}
