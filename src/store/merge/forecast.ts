/**
 * What a transaction will do where it stands, told from rows in memory: whether it finds all as it was
 * where it was made, and if not, what the rules make of it, as far as that is certain. By SQLite it
 * takes ten times as long, which counts where both sides wrote the same few rows all the time.
 *
 * It must say the same as by-rules.ts, or nothing. So it decides updates only, of columns that no key,
 * unique index or foreign key looks at; CHECK and NOT NULL are SQLite's when it is applied, and
 * whatever SQLite does not take as it is goes by by-rules.ts after all.
 */
import { readExactly } from '../../model/changeset.ts'
import { concatenate } from '../../model/changeset-bytes.ts'
import { encodeSection, type Change as RowImage } from '../../model/changeset-writer.ts'
import { type ExactValue, identical } from '../../model/exact-value.ts'
import type { RuleContext } from './by-rules.ts'
import { type MergeTable, tableOf } from './catalog.ts'
import type { Conflict } from './conflict.ts'
import { type Change, decideRow, keyOf, type LeftOut, storedChange } from './deciding.ts'
import { imagesOf, type RowImages } from './footprint.ts'
import type { RowMemory } from './row-memory.ts'
import { isNumber } from './rules.ts'
import type { Row } from './table-rows.ts'

export type ForecastContext = Omit<RuleContext, 'findDeleted'>

/** What the rules will make of a transaction. */
export interface Decided {
  readonly kind: 'decided'
  /** What it will do: a changeset that fits the rows. */
  readonly effect: Uint8Array
  readonly conflicts: readonly Conflict[]
  /** Rows that it will change, those of which the changeset alone tells all that it meets left out. */
  readonly touched: readonly RowImages[]
  /** Not every column that its changeset tells will change. */
  readonly partly: boolean
}

/**
 * as-made: its rows are as it saw them. by-rules: they are not, and only by-rules.ts knows what follows.
 * unclear: it must be tried.
 */
export type Forecast = Certain | { readonly kind: 'by-rules' } | { readonly kind: 'unclear' }
export type Certain = Decided | { readonly kind: 'as-made' }

/** One row of it. */
interface Expected {
  readonly table: MergeTable
  readonly key: Row
  readonly now: Row | null
  readonly next: Row | null
}

type Fit = 'fits' | 'unclear' | 'differs'

/**
 * Tells what a transaction will do, and if that is certain notes in `memory` what rows will be then.
 *
 * @param changes a changeset as wide as its tables are
 */
export function foresee(
  context: ForecastContext,
  memory: Pick<RowMemory, 'find' | 'put'>,
  changes: Uint8Array,
): Forecast {
  const expected: Expected[] = []
  const conflicts: Conflict[] = []
  let [fits, deletes, decides, partly] = [true, false, true, false]
  for (const change of readExactly(changes)) {
    const table = tableOf(context.catalog, change.table)
    const key = keyOf(change, table)
    const now = memory.find(table, key)
    const fit = fitOf(change, now)
    if (fit === 'unclear') return UNCLEAR
    const stored = storedChange(table, change)
    deletes ||= change.op === 'delete'
    if (fit === 'fits') {
      expected.push({ table, key, now, next: afterOf(stored, now) })
      continue
    }
    fits = false
    const next = decides ? decided(context, { table, change: stored, key, now }, conflicts) : null
    decides &&= next !== null
    partly ||= next !== null && !changesAll(stored, now, next)
    expected.push({ table, key, now, next })
  }
  if (!fits && (deletes || !decides)) return BY_RULES
  if (conflicts.some(({ table }) => context.rules.aborts(table))) return BY_RULES
  for (const { table, key, next } of expected) memory.put(table, key, next)
  return fits ? AS_MADE : { kind: 'decided', conflicts, partly, ...effectOf(expected) }
}

export const AS_MADE: Certain = { kind: 'as-made' }
const BY_RULES: Forecast = { kind: 'by-rules' }
const UNCLEAR: Forecast = { kind: 'unclear' }
const NONE: LeftOut = new Set<number>()

/** Whether SQLite will find a row as a change expects it. */
function fitOf({ before }: Change, now: Row | null): Fit {
  if (before === null || now === null) return before === now ? 'fits' : 'differs'
  let fit: Fit = 'fits'
  for (const [i, value] of before.entries()) {
    if (value === undefined || identical(value, now[i] ?? null)) continue
    if (mayBeEqual(value, now[i] ?? null)) return 'unclear'
    fit = 'differs'
  }
  return fit
}

/** Whether SQLite may take two for equal that are not identical: 1 and 1.0, 0.0 and -0.0. */
function mayBeEqual(a: ExactValue, b: ExactValue): boolean {
  return isNumber(a) && isNumber(b) && !(a < b) && !(a > b)
}

function afterOf({ after }: Change, now: Row | null): Row | null {
  if (after === null) return null
  return after.map((value, i) => (value === undefined ? (now?.[i] ?? null) : value))
}

/** The row as the rules leave it; null: that hangs on more than the row. */
function decided(
  context: ForecastContext,
  wish: {
    readonly table: MergeTable
    readonly change: Change
    readonly key: Row
    readonly now: Row | null
  },
  conflicts: Conflict[],
): Row | null {
  const { table, change, now } = wish
  if (change.op !== 'update' || now === null) return null
  const findDeleted = () => null
  const next = decideRow({ ...context, findDeleted }, { ...wish, leftOut: NONE }, conflicts)
  if (next === null) return null
  for (const [column, value] of next.entries()) {
    if (identical(value, now[column] ?? null)) continue
    if (table.tied.has(column) || !isStorable(table, column, value, change)) return null
  }
  return next
}

function changesAll({ after }: Change, now: Row | null, next: Row): boolean {
  return next.every((value, i) => {
    return after?.[i] === undefined || !identical(value, now?.[i] ?? null)
  })
}

/** Whether the column stores this value as it is. */
function isStorable(
  { integers, texts }: MergeTable,
  column: number,
  value: ExactValue,
  { after }: Change,
): boolean {
  // It was stored elsewhere, in the same column.
  if (identical(value, after?.[column] ?? null)) return true
  if (typeof value === 'string') return texts.has(column) && value.isWellFormed()
  return typeof value === 'bigint' && integers.has(column)
}

/** Whether it changes what a unique index or a foreign key looks at. */
function isTiedIn(table: MergeTable, now: Row, next: Row): boolean {
  return next.some((value, i) => table.tied.has(i) && !identical(value, now[i] ?? null))
}

function effectOf(expected: readonly Expected[]): Pick<Decided, 'effect' | 'touched'> {
  const sections = new Map<MergeTable, RowImage[]>()
  const touched: RowImages[] = []
  for (const { table, now, next } of expected) {
    if (now === next) continue
    if (now !== null && next !== null && isTiedIn(table, now, next)) {
      touched.push(imagesOf(table, now, next))
    }
    const rows = sections.get(table)
    if (rows === undefined) sections.set(table, [{ before: now, after: next }])
    else rows.push({ before: now, after: next })
  }
  const pieces = [...sections].map(([table, rows]) => {
    return encodeSection({ name: table.name, key: table.places, fixed: [] }, rows)
  })
  return { effect: pieces.length === 1 ? (pieces[0] ?? EMPTY) : concatenate(pieces), touched }
}

const EMPTY = new Uint8Array()
