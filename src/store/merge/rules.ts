/**
 * Conflict rules: what becomes of a column that a transaction wants to change from a value that is
 * not there any more. Pure. The transaction that runs is always the later one in stamp order, so no
 * rule needs to be commutative: every replica asks the same question with the same values.
 */
import { type ExactValue, identical, RawText } from '../../model/exact-value.ts'

export const COLUMN_RULES = ['last', 'first', 'add', 'max', 'min', 'union', 'both'] as const

/**
 * A merge function of the application: three values in, one out. It must give the same for the same
 * values everywhere and for ever. What it throws counts as `last`, with the loser reported.
 */
export type MergeFunction = (base: ExactValue, ours: ExactValue, theirs: ExactValue) => ExactValue

/**
 * last: the later writer wins. first: the earlier does. add: the difference is applied (counters).
 * max, min: the larger or smaller of both. union: JSON arrays as sets. both: as last, and the loser
 * stays in the conflict table until somebody has dealt with it.
 */
export type ColumnRule = (typeof COLUMN_RULES)[number] | MergeFunction

/** The rules of all tables. */
export interface MergeRules {
  rule(table: string, column: string): ColumnRule
  /** Whether a transaction that meets a conflict in this table is left out as a whole. */
  aborts(table: string): boolean
}

export interface Decision {
  readonly value: ExactValue
  /** The value that nobody will see any more; undefined: nothing was lost. */
  readonly lost: ExactValue | undefined
}

/**
 * Decides one column.
 *
 * @param base what the transaction saw; null for a row that it made
 * @param ours what is there now, put by an earlier transaction
 * @param theirs what the transaction wrote
 */
export function decide(
  rule: ColumnRule,
  base: ExactValue,
  ours: ExactValue,
  theirs: ExactValue,
): Decision {
  if (identical(ours, base)) return { value: theirs, lost: undefined }
  const last = { value: theirs, lost: ours }
  if (typeof rule === 'function') return merged(rule, base, ours, theirs) ?? last
  if (identical(ours, theirs) && rule !== 'add') return { value: ours, lost: undefined }
  switch (rule) {
    case 'last':
    case 'both':
      return last
    case 'first':
      return { value: ours, lost: theirs }
    case 'add':
      return added(base, ours, theirs) ?? last
    case 'max':
      return { value: order(ours, theirs) >= 0 ? ours : theirs, lost: undefined }
    case 'min':
      return { value: order(ours, theirs) <= 0 ? ours : theirs, lost: undefined }
    case 'union':
      return united(base, ours, theirs) ?? last
  }
}

/** Null: it failed, or gave something that SQLite can't store. */
function merged(
  merge: MergeFunction,
  base: ExactValue,
  ours: ExactValue,
  theirs: ExactValue,
): Decision | null {
  try {
    const value: unknown = merge(base, ours, theirs)
    return isStorable(value) ? { value, lost: undefined } : null
  } catch {
    return null
  }
}

function isStorable(value: unknown): value is ExactValue {
  if (typeof value === 'bigint') return value <= INTEGER_MAX && value >= INTEGER_MIN
  if (typeof value === 'number') return !Number.isNaN(value)
  if (value === null || typeof value === 'string') return true
  return value instanceof Uint8Array || value instanceof RawText
}

const INTEGER_MAX = 2n ** 63n - 1n
const INTEGER_MIN = -(2n ** 63n)

/** Null: not numbers, or the sum is none. NULL counts as 0. */
function added(base: ExactValue, ours: ExactValue, theirs: ExactValue): Decision | null {
  const [from, now, to] = [base ?? 0n, ours ?? 0n, theirs]
  if (typeof from === 'bigint' && typeof to === 'bigint' && typeof now === 'bigint') {
    const sum = now + (to - from)
    if (sum > INTEGER_MAX || sum < INTEGER_MIN) return null
    return { value: sum, lost: undefined }
  }
  if (!isNumber(from) || !isNumber(to) || !isNumber(now)) return null
  const sum = Number(now) + (Number(to) - Number(from))
  return Number.isFinite(sum) ? { value: sum, lost: undefined } : null
}

/** INTEGER or REAL. */
export function isNumber(value: ExactValue): value is bigint | number {
  return typeof value === 'bigint' || typeof value === 'number'
}

/** As three-way merge of sets: what either side added is in, what either removed is out. */
function united(base: ExactValue, ours: ExactValue, theirs: ExactValue): Decision | null {
  const [was, here, there] = [listOf(base), listOf(ours), listOf(theirs)]
  if (was === null || here === null || there === null) return null
  const keep = (item: string): boolean => {
    const [inHere, inThere] = [here.has(item), there.has(item)]
    return was.has(item) ? inHere && inThere : inHere || inThere
  }
  const items = [...new Set([...here, ...there])].filter(keep)
  return { value: `[${items.join(',')}]`, lost: undefined }
}

/** The items of a JSON array, each as JSON text; null: it is none. NULL is an empty one. */
function listOf(value: ExactValue): ReadonlySet<string> | null {
  if (value === null) return new Set()
  if (typeof value !== 'string') return null
  try {
    const parsed: unknown = JSON.parse(value)
    return Array.isArray(parsed) ? new Set(parsed.map((item) => JSON.stringify(item))) : null
  } catch {
    return null
  }
}

/** SQLite's order of storage classes, then of values; texts and blobs by their bytes. */
function order(a: ExactValue, b: ExactValue): number {
  const [left, right] = [rank(a), rank(b)]
  if (left !== right) return left - right
  if (isNumber(a) && isNumber(b)) return a < b ? -1 : a > b ? 1 : 0
  return Buffer.compare(bytesOf(a), bytesOf(b))
}

function rank(value: ExactValue): number {
  if (value === null) return 0
  if (isNumber(value)) return 1
  return typeof value === 'string' || value instanceof RawText ? 2 : 3
}

function bytesOf(value: ExactValue): Uint8Array {
  if (value instanceof RawText) return value.bytes
  return value instanceof Uint8Array ? value : Buffer.from(String(value ?? ''))
}
