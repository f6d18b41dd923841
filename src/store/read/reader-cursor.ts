/**
 * A program of reads that is run piece by piece: as many rows at a time as somebody has room for. It
 * does what Reader.read does with a whole program, in the same order and under the same conditions.
 */
import { type ErrorData, QuorateError, toErrorData } from '../../base/errors.ts'
import type { Program, StatementResult, Step, StepResult, Value } from '../../model/program.ts'
import type { CursorEntry } from '../../model/request.ts'
import {
  bindArgs,
  conditionHolds,
  mapSqliteError,
  type Prepared,
  rowBytes,
  settle,
} from '../execute/statement.ts'
import { checkControl, type Plan } from './reader-plan.ts'

/** What a step without rows returns. */
export const NOTHING: StatementResult = {
  columns: [],
  rows: [],
  changes: 0,
  lastInsertRowid: null,
}

/** What an entry without rows counts for in a chunk. */
const ENTRY_BYTES = 100

export class CursorRun {
  readonly #program: Program
  readonly #plans: readonly Plan[]
  /** Of the steps so far: what became of them, without their rows. */
  readonly #results: StepResult[] = []
  /** Of the step under way. */
  #rows: Iterator<unknown> | null = null
  #autocommit: boolean
  #ended = false
  #closed = false

  /** @param autocommit false: the program runs inside a transaction that is open already */
  constructor(program: Program, plans: readonly Plan[], autocommit: boolean) {
    this.#program = program
    this.#plans = plans
    this.#autocommit = autocommit
  }

  get done(): boolean {
    return this.#rows === null && this.#results.length === this.#plans.length
  }

  /** No transaction is open after the steps so far. */
  get autocommit(): boolean {
    return this.#autocommit
  }

  /** A COMMIT or ROLLBACK has run. */
  get closed(): boolean {
    return this.#closed
  }

  /**
   * Runs on until a chunk is full or it is enough, at least by one row.
   *
   * @param enough looked at after each row and step
   */
  next(chunkBytes: number, enough: () => boolean): readonly CursorEntry[] {
    const entries: CursorEntry[] = []
    let room = chunkBytes
    while (!this.done) {
      if (this.#rows === null) {
        this.#begin(entries)
        room -= ENTRY_BYTES
      } else room -= this.#pull(this.#rows, entries, room, enough)
      if (room <= 0 || enough()) break
    }
    return entries
  }

  /** Stops where it is; the connection is free for something else. */
  stop(): void {
    this.#rows?.return?.()
    this.#rows = null
  }

  #begin(entries: CursorEntry[]): void {
    const at = this.#results.length
    const step = this.#program.steps[at]
    const plan = this.#plans[at]
    const runs = !this.#ended && conditionHolds(step?.condition, this.#results, this.#autocommit)
    if (!runs || step === undefined || plan === undefined) {
      this.#results.push(null)
      return
    }
    try {
      if (plan.kind === 'run') this.#open(step, plan.prepared, entries)
      else this.#atOnce(plan, entries)
    } catch (error) {
      this.#fail(error, entries)
    }
  }

  #open(step: Step, prepared: Prepared, entries: CursorEntry[]): void {
    const args = bindArgs(prepared, step.statement)
    const rows = prepared.statement.iterate(...args)
    entries.push({ kind: 'begin', step: this.#results.length, columns: prepared.columns })
    this.#rows = rows
  }

  #atOnce(plan: Exclude<Plan, { kind: 'run' }>, entries: CursorEntry[]): void {
    const step = this.#results.length
    if (plan.kind === 'error') {
      this.#failed(plan.error, entries)
      return
    }
    checkControl(plan.word, this.#autocommit)
    this.#autocommit = plan.word !== 'BEGIN'
    this.#closed = this.#autocommit
    entries.push({ kind: 'begin', step, columns: [] }, { kind: 'end', step })
    this.#results.push({ ok: NOTHING })
  }

  /** @returns about how many bytes the rows take */
  #pull(
    source: Iterator<unknown>,
    entries: CursorEntry[],
    room: number,
    enough: () => boolean,
  ): number {
    const step = this.#results.length
    const wanted = this.#program.steps[step]?.statement.wantRows !== false
    const rows: Value[][] = []
    let used = 0
    let ended = false
    let failure: unknown = null
    try {
      do {
        const next = source.next()
        ended = next.done === true
        if (ended || !wanted) continue
        const row = next.value as Value[]
        rows.push(row)
        used += rowBytes(row)
      } while (!ended && used < room && !enough())
    } catch (error) {
      failure = error
      const plan = this.#plans[step]
      if (plan?.kind === 'run') settle(plan.prepared.statement)
    }
    if (rows.length > 0) entries.push({ kind: 'rows', rows })
    if (failure !== null) this.#fail(failure, entries)
    else if (ended) {
      this.#rows = null
      this.#results.push({ ok: NOTHING })
      entries.push({ kind: 'end', step })
    }
    return used
  }

  #fail(error: unknown, entries: CursorEntry[]): void {
    this.#failed(stepError(mapSqliteError(error)), entries)
  }

  #failed(error: ErrorData, entries: CursorEntry[]): void {
    this.#rows = null
    entries.push({ kind: 'error', step: this.#results.length, error })
    this.#results.push({ error })
    this.#ended = this.#program.atomic
  }
}

/** Errors that are no statement's fault are thrown on. */
export function stepError(error: unknown): ErrorData {
  if (error instanceof QuorateError) return toErrorData(error)
  throw error
}
