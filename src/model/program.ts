import type { ErrorData } from '../base/errors.ts'

/**
 * A value of SQLite. Out of the database: INTEGER is a bigint, REAL a number, so the two never mix
 * on the way to a client. Into it: a bigint binds as INTEGER, a number as REAL (as node:sqlite and
 * libSQL do; a column's affinity then makes 42.0 an integer again).
 */
export type Value = null | bigint | number | string | Uint8Array

/** One SQL statement with its arguments. */
export interface Statement {
  readonly sql: string
  /** By parameter index, from the first. */
  readonly args?: readonly Value[]
  /** By name, with or without prefix. */
  readonly named?: Readonly<Record<string, Value>>
  /** False: run it, drop its rows. Default true. */
  readonly wantRows?: boolean
}

/** Whether a step runs, decided by what became of earlier ones (Hrana's batch conditions). */
export type Condition =
  | { readonly kind: 'ok'; readonly step: number }
  | { readonly kind: 'error'; readonly step: number }
  | { readonly kind: 'not'; readonly condition: Condition }
  | { readonly kind: 'and'; readonly conditions: readonly Condition[] }
  | { readonly kind: 'or'; readonly conditions: readonly Condition[] }
  | { readonly kind: 'autocommit' }

export interface Step {
  readonly statement: Statement
  readonly condition?: Condition
}

/** Names a write so that a retry is recognised: the number counts up within the session. */
export interface WriteId {
  readonly session: string
  readonly number: number
  /**
   * A position that was safe before the write was first sent: if it ran, it is after this one.
   * Whoever no longer knows the whole log after it refuses with SESSION_EXPIRED, runs nothing.
   */
  readonly since: number
}

/**
 * What a client wants run, in one round trip.
 * `atomic`: all steps are one transaction; the first error rolls it back and ends it.
 * Otherwise each statement is a transaction of its own unless BEGIN … COMMIT says otherwise, and
 * conditions decide what follows an error.
 */
export interface Program {
  readonly atomic: boolean
  readonly steps: readonly Step[]
  readonly id?: WriteId
  /** Of the rows that it may read, all steps together; default LIMITS.resultBytesMax. */
  readonly resultBytesMax?: number
  /**
   * Nothing is run, and conditions and arguments count for nothing: each result has the columns that
   * the statement would return, and `readOnly`. A program of reads, whatever is in it.
   */
  readonly describe?: true
}

export interface Column {
  readonly name: string
  /** As declared; null for an expression. */
  readonly decltype: string | null
}

export interface StatementResult {
  readonly columns: readonly Column[]
  readonly rows: readonly (readonly Value[])[]
  /** Rows changed by this statement itself; 0 for anything that is not INSERT, UPDATE or DELETE. */
  readonly changes: number
  /** Of an INSERT; null otherwise. */
  readonly lastInsertRowid: bigint | null
  /** Only of a described statement: it writes nothing, as sqlite3_stmt_readonly says. */
  readonly readOnly?: boolean
}

/** null: skipped by its condition. */
export type StepResult = { readonly ok: StatementResult } | { readonly error: ErrorData } | null

export interface ProgramResult {
  /** One for each step; after an error in an atomic program the rest are null. */
  readonly steps: readonly StepResult[]
  /** The stream is outside a transaction after the last step. */
  readonly autocommit: boolean
}
