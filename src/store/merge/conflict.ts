/** What merging reports: nothing that an application wrote may go without a trace. */
import type { ColumnRule, MergeRules } from './rules.ts'
import type { Cells, Row } from './table-rows.ts'

export const CONFLICT_KINDS = [
  /** Two inserted a row with one key. */
  'insert-insert',
  /** Both changed a column. */
  'update-update',
  /** A deleted row was changed: it is back. */
  'update-deleted',
  /** A row was changed that nobody has: its insert was left out. */
  'update-missing',
  /** A changed row was deleted. */
  'delete-updated',
  /** It would break a UNIQUE, NOT NULL or CHECK constraint. */
  'constraint',
  /** It would leave a foreign key without its parent. */
  'foreign-key',
  /** A row went, or lost its parent, because its parent went or changed. */
  'cascade',
  /** Left out with its whole transaction, which met a conflict in a table whose rule is abort. */
  'aborted',
] as const
export type ConflictKind = (typeof CONFLICT_KINDS)[number]

export interface Conflict {
  readonly kind: ConflictKind
  readonly table: string
  readonly key: Row
  /** The columns that it is about; empty: the whole row. */
  readonly columns: readonly string[]
  /** What is there now, and what nobody sees any more; null: no row, the loser was a delete. */
  readonly kept: Row | null
  readonly lost: Cells | null
}

/** A row as it was when it was deleted, in case that a later change brings it back. */
export interface Deleted {
  readonly table: string
  readonly key: Row
  readonly row: Row
}

/** What running a transaction leaves to be noted. */
export interface Notes {
  readonly conflicts: Conflict[]
  readonly deleted: Deleted[]
}

/** Whether somebody has to deal with a conflict before it may be forgotten. */
export function staysOpen(
  { kind, table, columns }: Conflict,
  rules: MergeRules,
  all: readonly string[],
): boolean {
  if (kind === 'aborted') return true
  const isBoth = (rule: ColumnRule) => rule === 'both'
  return (columns.length > 0 ? columns : all).some((column) => isBoth(rules.rule(table, column)))
}
