/**
 * Foreign keys while transactions are put in place, with SQLite's own enforcement off: its actions
 * are in the changesets already, for the rows that the transaction knew. Here is what becomes of those
 * that it did not know.
 */

import { readExactly } from '../../model/changeset.ts'
import { type ExactValue, identical } from '../../model/exact-value.ts'
import { type Catalog, type ForeignKey, type MergeTable, tableOf } from './catalog.ts'
import type { Notes } from './conflict.ts'
import { imagesOf, type RowImages } from './footprint.ts'
import { type Cells, pick, type Row, type TableRows } from './table-rows.ts'

export class ForeignKeys {
  readonly #catalog: Catalog
  readonly #rows: TableRows

  constructor(catalog: Catalog, rows: TableRows) {
    this.#catalog = catalog
    this.#rows = rows
  }

  /** Whether all hold that changesets which were just applied could have broken. */
  holdAfter(bytes: Uint8Array): boolean {
    for (const { table: name, before, after } of readExactly(bytes)) {
      const table = tableOf(this.#catalog, name)
      const isUpdate = before !== null && after !== null
      const changed = ({ columns }: { readonly columns: readonly number[] }) =>
        !isUpdate || columns.some((column) => after[column] !== undefined)
      const isParent = table.referencedBy.some((each) => changed({ columns: each.parentColumns }))
      if (!isParent && !table.references.some(changed)) continue
      const row = this.#rows.find(table, pick(before ?? after ?? [], table.key))
      if (row !== null && this.orphaned(table, row, changed) !== null) return false
      if (before === null) continue
      const was = before.map((value, i) => (value === undefined ? (row?.[i] ?? null) : value))
      for (const each of table.referencedBy) {
        if (changed({ columns: each.parentColumns }) && this.left(each, was).length > 0)
          return false
      }
    }
    return true
  }

  /** A foreign key of a row that has no parent, of those that `matter`; or null. */
  orphaned(
    table: MergeTable,
    row: Row,
    matter: (foreignKey: ForeignKey) => boolean = () => true,
  ): ForeignKey | null {
    for (const each of table.references) {
      const values = pick(row, each.columns)
      if (values.includes(null) || !matter(each)) continue
      if (!this.#rows.hasParent(tableOf(this.#catalog, each.parent), each, values)) return each
    }
    return null
  }

  /** The children of a row that is gone, or has another key now, if nobody took its place. */
  left(foreignKey: ForeignKey, was: Row): readonly Row[] {
    const { child, parent, parentColumns } = foreignKey
    const values = pick(was, parentColumns)
    if (values.includes(null)) return []
    if (this.#rows.hasParent(tableOf(this.#catalog, parent), foreignKey, values)) return []
    return this.#rows.children(tableOf(this.#catalog, child), foreignKey, values)
  }

  /**
   * Does to children that the transaction did not know what the schema declares.
   *
   * @param is what the parent is now; null: gone
   * @param touched where rows go that were looked at or changed
   * @returns false: the schema forbids it, or they can't be so
   */
  release(
    foreignKey: ForeignKey,
    was: Row,
    is: Row | null,
    notes: Notes,
    touched: RowImages[],
  ): boolean {
    const action = is === null ? foreignKey.onDelete : foreignKey.onUpdate
    if (action === 'NO ACTION' || action === 'RESTRICT') return false
    const table = tableOf(this.#catalog, foreignKey.child)
    return this.left(foreignKey, was).every((row) => {
      const key = pick(row, table.key)
      const kept = is === null && action === 'CASCADE' ? null : freed(row, foreignKey, is, table)
      touched.push(imagesOf(table, row, kept))
      this.#rows.delete(table, key)
      if (kept !== null && !this.#put(table, kept)) return false
      const about = { kind: 'cascade', table: table.name, key, columns: [] } as const
      notes.conflicts.push({ ...about, kept, lost: row })
      if (kept === null) notes.deleted.push({ table: table.name, key, row })
      return table.referencedBy.every((each) => {
        if (kept !== null && sameIn(row, kept, each.parentColumns)) return true
        if (this.left(each, row).length === 0) return true
        return this.release(each, row, kept, notes, touched)
      })
    })
  }

  #put(table: MergeTable, row: Row): boolean {
    try {
      this.#rows.insert(table, row)
    } catch {
      return false
    }
    return this.orphaned(table, row) === null
  }
}

/** A child after its parent went or took another key. */
function freed(
  row: Row,
  { columns, parentColumns, onDelete, onUpdate }: ForeignKey,
  is: Row | null,
  table: MergeTable,
): ExactValue[] {
  const action = is === null ? onDelete : onUpdate
  const made = [...row]
  for (const [i, column] of columns.entries()) {
    if (action === 'SET NULL') made[column] = null
    else if (action === 'SET DEFAULT') made[column] = table.defaults[column] ?? null
    else made[column] = is?.[parentColumns[i] ?? -1] ?? null
  }
  return made
}

function sameIn(a: Cells, b: Cells, columns: readonly number[]): boolean {
  return columns.every((column) => identical(a[column] ?? null, b[column] ?? null))
}
