/** Where two transactions can meet, read off a transaction's changeset and the schema. */
import { present } from '../../base/assert.ts'
import type { Footprint, Key } from '../../core/order/clock/key-set.ts'
import { type KeyLayout, type RowVisitor, visitRows } from '../../model/changeset.ts'
import { type ExactValue, identical, type RawText } from '../../model/exact-value.ts'
import type { Catalog, MergeTable } from './catalog.ts'
import { checkWidth, tableOf } from './catalog.ts'
import { addNumber, addValue, endKey, keyOf, type Seed, seedOf, startKey } from './key-hash.ts'
import type { Cells, Row } from './table-rows.ts'

/** A footprint, and what decides whether a transaction may be applied together with others. */
export interface MergeFootprint extends Footprint {
  /** Of `written`: values and rows that a constraint looks at. */
  readonly guarded: readonly Key[]
  /** Rows that change and that a CHECK looks at; not in `guarded`. */
  readonly checked: readonly CheckedRow[]
  /** Of `guarded`: values of unique indexes that it takes or gives up. */
  readonly values: readonly Key[]
  /** Of `written`: keys that foreign keys may refer to from now on, and no longer. */
  readonly added: readonly Key[]
  readonly removed: readonly Key[]
  /** A row went. */
  readonly deletes: boolean
  /** A foreign key of it has to be checked. */
  readonly foreign: boolean
  /** SQLite may take a row for unchanged that is not. */
  readonly loose: boolean
  /**
   * What it needs can't be told from what it changes, or it is of a time with fewer columns, so it is
   * not applied with others, and not taken back with others.
   */
  readonly alone: boolean
  /** It is of a time with fewer columns: what it deletes may hold more than it knows of. */
  readonly narrow: boolean
}

/** A row of `written`, and columns of it that change for sure: what SQLite takes for equal is none. */
export interface CheckedRow {
  readonly key: Key
  readonly columns: readonly number[]
}

/** A row before and after; null: it was not there. An undefined cell did not change. */
export interface RowImages {
  readonly table: MergeTable
  readonly before: Cells | null
  readonly after: Cells | null
}

/** A row before and after, both known as a whole. */
export function imagesOf(table: MergeTable, before: Row | null, after: Row | null): RowImages {
  if (before === null || after === null) return { table, before, after }
  const same = (value: ExactValue, i: number) => identical(value, before[i] ?? null)
  return { table, before, after: after.map((value, i) => (same(value, i) ? undefined : value)) }
}

interface KeyPlan {
  readonly columns: readonly number[]
  readonly seed: Seed
  /** For any value. */
  readonly whole: Key
}

interface TablePlan {
  readonly table: MergeTable
  /** No two transactions may change one row and be applied as one. */
  readonly guarded: boolean
  /** That is because of a CHECK or a generated column alone. */
  readonly checked: boolean
  /** Its rows meet others by their keys only: what is beside them does not matter. Null: not so. */
  readonly layout: KeyLayout | null
  readonly row: Seed
  readonly uniques: readonly KeyPlan[]
  /** Unique indexes whose values can't be told from a row. */
  readonly opaque: readonly { readonly whole: Key; readonly mentions: readonly number[] | null }[]
  readonly parents: readonly KeyPlan[]
  readonly references: readonly KeyPlan[]
}

export class Footprints {
  readonly #plans = new Map<string, TablePlan>()
  readonly #catalog: Catalog
  readonly #reader = new Reader((name) => this.#planOf(name))

  constructor(catalog: Catalog) {
    this.#catalog = catalog
  }

  /** The footprint of a changeset. Throws LOG_CORRUPT if it is none, or of another schema. */
  of(bytes: Uint8Array): MergeFootprint {
    return this.#reader.read(bytes)
  }

  /** The footprint of rows that were touched. */
  ofRows(rows: readonly RowImages[]): MergeFootprint {
    const made = new Draft()
    for (const { table, before, after } of rows) made.add(this.#planOf(table.name), before, after)
    return made
  }

  #planOf(name: string): TablePlan {
    const known = this.#plans.get(name)
    if (known !== undefined) return known
    const made = planOf(tableOf(this.#catalog, name))
    this.#plans.set(name, made)
    return made
  }
}

function planOf(table: MergeTable): TablePlan {
  const keyPlan = (columns: readonly number[], ...names: string[]): KeyPlan => ({
    columns,
    seed: seedOf(...names),
    whole: keyOf(seedOf(...names, 'whole'), [], []),
  })
  const parentPlan = (parent: string, columns: readonly number[], own: readonly number[]) =>
    keyPlan(own, 'parent', parent, columns.join(','))
  // Several children may refer to the same columns.
  const parents = new Map(
    table.referencedBy.map(({ parentColumns }) => [parentColumns.join(','), parentColumns]),
  )
  const hasWideKey = table.referencedBy.some(({ parentColumns }) => parentColumns.length > 1)
  const guarded = table.guarded || table.loose || hasWideKey
  const ties = [...table.uniques, ...table.references, ...table.referencedBy]
  return {
    table,
    guarded,
    checked: table.guarded && !table.loose && !hasWideKey,
    layout: guarded || ties.length > 0 ? null : { columns: table.columns.length, key: table.key },
    row: seedOf('row', table.name),
    uniques: table.uniques.flatMap(({ name, columns }) =>
      columns === null ? [] : [keyPlan(columns, 'unique', name)],
    ),
    opaque: table.uniques.flatMap(({ name, columns, mentions }) =>
      columns === null ? [{ ...keyPlan([], 'unique', name), mentions }] : [],
    ),
    parents: [...parents.values()].map((columns) => parentPlan(table.name, columns, columns)),
    references: table.references.map(({ parent, parentColumns, columns }) =>
      parentPlan(parent, parentColumns, columns),
    ),
  }
}

/** Makes the footprint of one changeset after the other. */
class Reader implements RowVisitor {
  readonly #planOf: (name: string) => TablePlan
  #plan: TablePlan | null = null
  #made = new Draft()

  constructor(planOf: (name: string) => TablePlan) {
    this.#planOf = planOf
  }

  read(bytes: Uint8Array): MergeFootprint {
    const made = new Draft()
    this.#made = made
    visitRows(bytes, this)
    return made
  }

  table(name: string): KeyLayout | null {
    // Mostly that of the changeset before.
    if (this.#plan?.table.name !== name) this.#plan = this.#planOf(name)
    return this.#plan.layout
  }

  row(before: Cells | null, after: Cells | null): void {
    const plan = present(this.#plan, noTable)
    const made = this.#made
    // SQLite would leave the change out without a word.
    const { length } = before ?? after ?? []
    checkWidth(plan.table, length)
    // SQLite looks at the first width only where several changesets are applied as one.
    made.narrow ||= length < plan.table.columns.length
    made.alone ||= made.narrow
    made.add(plan, before, after)
  }

  startKey(): void {
    startKey(present(this.#plan, noTable).row)
  }

  keyNumber(value: number): void {
    addNumber(value)
  }

  keyValue(value: string | RawText | Uint8Array | null): void {
    addValue(value)
  }

  endKey(isDelete: boolean): void {
    const made = this.#made
    made.written = plus(made.written, endKey())
    made.deletes ||= isDelete
  }
}

/** Most footprints are a few rows and nothing else: what is empty is shared. */
const NONE: never[] = []

function plus<T>(some: T[], one: T): T[] {
  if (some === NONE) return [one]
  some.push(one)
  return some
}

const noTable = (): string => 'a table before its rows'

class Draft implements MergeFootprint {
  written: Key[] = NONE
  needed: Key[] = NONE
  guarded: Key[] = NONE
  values: Key[] = NONE
  added: Key[] = NONE
  removed: Key[] = NONE
  checked: CheckedRow[] = NONE
  deletes = false
  foreign = false
  loose = false
  alone = false
  narrow = false

  add(plan: TablePlan, before: Cells | null, after: Cells | null): void {
    const isUpdate = before !== null && after !== null
    this.deletes ||= after === null
    const row = keyOf(plan.row, before ?? after ?? [], plan.table.key)
    this.written = plus(this.written, row)
    if (plan.layout !== null) return
    this.loose ||= plan.table.loose
    for (const { whole, mentions } of plan.opaque) {
      if (!isUpdate || touches(after, mentions)) this.#write(whole)
    }
    // An update names its key as well, which never changes.
    const changes = ({ columns }: KeyPlan) => !isUpdate || touches(after, columns)
    const [uniques, parents, references] = [plan.uniques, plan.parents, plan.references].map(
      (plans) => plans.filter(changes),
    )
    // A child must not come without a parent and go again before anybody looks.
    const hasReference = (references ?? []).length > 0
    if (isUpdate && plan.checked && !hasReference) this.#check(plan.table, row, after)
    else if (plan.guarded || hasReference) this.guarded = plus(this.guarded, row)
    const now = isUpdate ? filled(after, before) : after
    for (const cells of [before, now]) {
      if (cells === null) continue
      for (const unique of uniques ?? []) this.#unique(unique, cells)
      for (const parent of parents ?? []) this.#parent(parent, cells, cells === before)
      for (const reference of references ?? []) this.#reference(reference, cells)
    }
  }

  #check({ reals }: MergeTable, key: Key, after: Cells): void {
    // Of REALs 0.0 and -0.0 are equal.
    const columns = [...after.keys()].filter((i) => after[i] !== undefined && !reals.has(i))
    this.checked = plus(this.checked, { key, columns })
  }

  #write(key: Key): void {
    this.written = plus(this.written, key)
    this.guarded = plus(this.guarded, key)
    this.values = plus(this.values, key)
  }

  /**
   * A value of a unique index is written by whoever takes it or gives it up. Where it can't be told
   * from the changed columns alone, the whole index counts as written.
   */
  #unique({ columns, seed, whole }: KeyPlan, cells: Cells): void {
    const known = knownOf(cells, columns)
    if (known === 'all') {
      this.#write(keyOf(seed, cells, columns))
      this.needed = plus(this.needed, whole)
    } else if (known === 'some') {
      this.#write(whole)
      this.alone = true
    }
  }

  /** A parent's key is written with the parent, and needed by children. */
  #parent({ columns, seed, whole }: KeyPlan, cells: Cells, was: boolean): void {
    const known = knownOf(cells, columns)
    if (known === 'none') return
    const key = known === 'all' ? keyOf(seed, cells, columns) : whole
    this.written = plus(this.written, key)
    if (known === 'all') this.needed = plus(this.needed, whole)
    if (was) this.removed = plus(this.removed, key)
    else this.added = plus(this.added, key)
    this.foreign = true
    this.alone ||= known === 'some'
  }

  #reference({ columns, seed, whole }: KeyPlan, cells: Cells): void {
    if (columns.some((column) => cells[column] === null)) return
    const known = knownOf(cells, columns)
    if (known === 'none') return
    this.foreign = true
    this.alone ||= known === 'some'
    // Whichever parents come or go may be meant.
    if (known === 'some') this.written = plus(this.written, whole)
    else this.needed = plus(plus(this.needed, keyOf(seed, cells, columns)), whole)
  }
}

/** What an update left alone is as before. */
function filled(after: Cells, before: Cells): Cells {
  return after.map((value, i) => (value === undefined ? before[i] : value))
}

/** Whether an update changes one of these columns. */
function touches(after: Cells | null, columns: readonly number[] | null): boolean {
  return columns === null || columns.some((column) => after?.[column] !== undefined)
}

function knownOf(cells: Cells, columns: readonly number[]): 'all' | 'some' | 'none' {
  let known = 0
  for (const column of columns) if (cells[column] !== undefined) known += 1
  if (known === columns.length) return 'all'
  return known === 0 ? 'none' : 'some'
}
