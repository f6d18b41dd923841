/**
 * What is to become of a row that a transaction wants to change and that is not as it saw it: a
 * function of the row, the change and the rules. Constraints have their say elsewhere.
 */
import { present } from '../../base/assert.ts'
import type { RowChange } from '../../model/changeset.ts'
import { type ExactValue, identical, type RawText } from '../../model/exact-value.ts'
import { asStored, type Catalog, grown, type MergeTable, widened } from './catalog.ts'
import type { Conflict, ConflictKind } from './conflict.ts'
import type { decide, MergeRules } from './rules.ts'
import { type Cells, pick, type Row } from './table-rows.ts'

/** The row as it was when it was last deleted unknown to the transaction's writer, or null. */
export type FindDeleted = (table: string, key: Row) => Row | null

export interface DecisionContext {
  readonly catalog: Catalog
  readonly rules: MergeRules
  readonly decide: typeof decide
  readonly findDeleted: FindDeleted
}

export type Change = RowChange<string | RawText>

/** Columns of a change that are left out; all: the whole change. */
export type LeftOut = ReadonlySet<number> | 'all'

/** A change, where it is to be made, and what is there. */
export interface Wish {
  readonly table: MergeTable
  readonly change: Change
  readonly key: Row
  readonly now: Row | null
  readonly leftOut: LeftOut
}

type Report = (kind: ConflictKind, rest: Partial<Conflict>) => void

/** A change with its values as the table stores them. */
export function storedChange(table: MergeTable, change: Change): Change {
  if (table.reals.size === 0) return change
  return {
    ...change,
    before: asStored(table, change.before),
    after: asStored(table, change.after),
  }
}

/**
 * What is to be there, before constraints have their say.
 *
 * @param conflicts where it goes what nobody will see any more
 * @returns the same object as `now`: it stays
 */
export function decideRow(
  context: DecisionContext,
  { table, change, key, now, leftOut }: Wish,
  conflicts: Conflict[],
): Row | null {
  if (leftOut === 'all') return now
  const report: Report = (kind, rest) => {
    const about = { kind, table: table.name, key, columns: [], kept: null, lost: null }
    conflicts.push({ ...about, ...rest })
  }
  const target = targetOf(context, table, change, now, leftOut, report)
  return now !== null && target !== null && sameRow(now, target) ? now : target
}

function targetOf(
  context: DecisionContext,
  table: MergeTable,
  change: Change,
  now: Row | null,
  leftOut: ReadonlySet<number>,
  report: Report,
): Row | null {
  if (change.op === 'delete') {
    if (now !== null && !isStill(change.before, now)) report('delete-updated', { lost: now })
    return null
  }
  if (change.op === 'insert') {
    const row = grown(table, change.after ?? [])
    if (now === null || sameRow(now, row)) return row
    const target = bothInserted(context, table, now, row)
    report('insert-insert', { kept: target, lost: sameRow(target, now) ? row : now })
    return target
  }
  const base = now ?? context.findDeleted(table.name, keyOf(change, table))
  if (base === null) {
    report('update-missing', { lost: wantedBy(change, table) })
    return null
  }
  const target = updated(context, table, change, base, leftOut, report)
  if (now === null) report('update-deleted', { kept: target })
  return target
}

/** Of two rows with one key the later is taken whole, unless a column has a rule of its own. */
function bothInserted(context: DecisionContext, table: MergeTable, now: Row, row: Row): Row {
  return row.map((value, column) => {
    if (table.key.includes(column)) return value
    const rule = context.rules.rule(table.name, table.columns[column] ?? '')
    if (rule === 'last' || rule === 'both') return value
    if (rule === 'first') return now[column] ?? null
    return context.decide(rule, null, now[column] ?? null, value).value
  })
}

function updated(
  context: DecisionContext,
  table: MergeTable,
  { before, after }: Change,
  base: Row,
  leftOut: ReadonlySet<number>,
  report: Report,
): Row {
  // It may have been deleted when the table had fewer columns.
  const target = [...grown(table, base)]
  const lost: (ExactValue | undefined)[] = target.map(() => undefined)
  const columns: string[] = []
  for (const [column, theirs] of (after ?? []).entries()) {
    if (theirs === undefined || leftOut.has(column)) continue
    const name = table.columns[column] ?? ''
    const rule = context.rules.rule(table.name, name)
    const ours = target[column] ?? null
    const decision = context.decide(rule, before?.[column] ?? null, ours, theirs)
    target[column] = decision.value
    if (decision.lost === undefined) continue
    lost[column] = decision.lost
    columns.push(name)
  }
  if (columns.length > 0) report('update-update', { columns, kept: target, lost })
  return target
}

/** What a change brings, as wide as the table is now. */
export function wantedBy({ after }: Change, table: MergeTable): Cells | null {
  return after === null ? null : widened(table, after)
}

export function keyOf({ op, before, after }: Change, table: MergeTable): Row {
  return pick(
    present(op === 'insert' ? after : before, () => `a row of ${table.name}`),
    table.key,
  )
}

/** Whether a row is as it was seen, as far as that is known. */
function isStill(seen: Cells | null, now: Row): boolean {
  return (seen ?? []).every((value, i) => identical(value ?? null, now[i] ?? null))
}

function sameRow(a: Row, b: Row): boolean {
  return a.every((value, i) => identical(value, b[i] ?? null))
}
