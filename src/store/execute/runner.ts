/**
 * Runs programs: step by step, under their conditions, with the transactions that they ask for.
 * What a transaction is to SQLite is the scope's business.
 */
import { present } from '../../base/assert.ts'
import { type ErrorData, QuorateError, toErrorData } from '../../base/errors.ts'
import type {
  Program,
  ProgramResult,
  Statement,
  StatementResult,
  Step,
  StepResult,
} from '../../model/program.ts'
import type { Connection } from '../connections.ts'
import { quote } from '../quote.ts'
import type { Paused } from '../types.ts'
import { type Classified, REMEDY_VIRTUAL, type Statements } from './classify.ts'
import { describeProgram } from './describe.ts'
import { runRows } from './run-rows.ts'
import type { Scope } from './scope.ts'
import { conditionHolds, failKeepsRows, ResultRoom, runPrepared } from './statement.ts'

/** Where a stream of statements stands; a program of its own begins with a new one. */
export class TransactionState {
  open = false
  /** The client's savepoints in it; the first may be what opened it. */
  savepoints: { readonly name: string; readonly mark: number }[] = []
  bySavepoint = false
  /** Something was written in it. */
  wrote = false

  closed(): void {
    this.open = false
    this.savepoints = []
    this.bySavepoint = false
    this.wrote = false
  }
}

const EMPTY: StatementResult = { columns: [], rows: [], changes: 0, lastInsertRowid: null }
const EMPTY_STEP: StepResult = { ok: EMPTY }

/**
 * What a client is told about an error. Errors that are no statement's fault (a full disk, a bug)
 * are thrown on: the whole command fails.
 */
export function toStepError(error: unknown): ErrorData {
  if (!(error instanceof QuorateError)) throw error
  if (error.code === 'LOG_CORRUPT' && corruptVirtual(error.cause)) {
    return { code: 'SQL_ERROR', detail: error.detail, facts: { sqlite: 'SQLITE_CORRUPT' } }
  }
  if (['INTERNAL', 'LOG_CORRUPT', 'FILE_IN_USE'].includes(error.code)) throw error
  return toErrorData(error)
}

/** SQLITE_CORRUPT_VTAB: what FTS5 answers to commands that don't fit its content. */
function corruptVirtual(cause: unknown): boolean {
  return (cause as { errcode?: number } | undefined)?.errcode === 267
}

/** One program on its way. */
export class ProgramRun {
  readonly #writer: Connection
  readonly #statements: Statements
  readonly #scope: Scope
  readonly #state: TransactionState
  readonly #program: Program
  readonly #room: ResultRoom
  readonly steps: StepResult[]
  /** Transactions with writes that committed. */
  written = 0
  /** The step before which it stopped, to go on when what it did is committed; null: it is done. */
  pausedAt: number | null = null
  readonly #from: number
  /** What ended the program as a whole, not only a step of it. */
  #lost: unknown = null
  /** Rows that the latest change in the program changed. */
  #changes = 0

  constructor(
    writer: Connection,
    statements: Statements,
    scope: Scope,
    state: TransactionState,
    program: Program,
    resume?: Paused,
  ) {
    this.#writer = writer
    this.#statements = statements
    this.#scope = scope
    this.#state = state
    this.#program = program
    this.#room = new ResultRoom(program.resultBytesMax)
    this.#from = resume?.at ?? 0
    this.steps = resume?.steps.slice() ?? new Array<StepResult>(program.steps.length).fill(null)
  }

  get result(): ProgramResult {
    return { steps: this.steps, autocommit: !this.#state.open }
  }

  run(): void {
    if (this.#program.describe) {
      const described = describeProgram(this.#program, this.#statements.cache)
      for (const [i, step] of described.entries()) this.steps[i] = step
      return
    }
    try {
      if (this.#program.atomic) this.#runAtomic()
      else this.#runSteps()
    } catch (error) {
      // The scope gave up on everything that the program did.
      const told = { error: toStepError(error) }
      for (const [i, step] of this.steps.entries()) {
        if (step !== null && 'ok' in step) this.steps[i] = told
      }
      this.written = 0
      this.#state.closed()
    }
  }

  /** Rolls a transaction back that the program left open though it may not. */
  closeOpen(): void {
    if (!this.#state.open) return
    this.#scope.rollback()
    this.#state.closed()
    const detail = 'The program ended inside its transaction, which was rolled back.'
    const last = this.steps.findLastIndex((step) => step !== null)
    this.steps[last] = { error: { code: 'TRANSACTION_CLOSED', detail } }
  }

  /** An error that is no statement's fault ended the program after a part of it had committed. */
  stopped(error: unknown): void {
    this.#state.closed()
    const at = this.steps.findLastIndex((step) => step !== null) + 1
    this.steps[Math.min(at, this.steps.length - 1)] = { error: toErrorData(error) }
  }

  #runSteps(): void {
    for (const [i, step] of this.#program.steps.entries()) {
      if (i < this.#from) continue
      if (!conditionHolds(step.condition, this.steps, !this.#state.open)) continue
      if (this.#scope.pending && !this.#state.open && this.#needsGround(i, step)) {
        this.pausedAt = i
        return
      }
      const error = this.#attempt(() => this.#step(i, step))
      if (error === null) continue
      this.steps[i] = { error }
      if (this.#state.open && !this.#writer.db.isTransaction) this.#gone()
    }
  }

  /** Whether a step must find everything before it committed. */
  #needsGround(i: number, { statement }: Step): boolean {
    try {
      const { kind, alone, pragma } = this.#statements.get(statement.sql)
      // A setting at the end is without effect.
      if (pragma !== null) return alone && i < this.#program.steps.length - 1
      return alone || kind === 'begin' || kind === 'savepoint'
    } catch {
      // It gets its error when it runs.
      return false
    }
  }

  #runAtomic(): void {
    if (this.#state.open) {
      const detail = "An atomic program can't run inside an open transaction."
      this.steps[0] = { error: { code: 'SQL_REFUSED', detail } }
      return
    }
    this.#begin()
    let at = 0
    const error = this.#attempt(() => {
      for (const [i, step] of this.#program.steps.entries()) {
        at = i
        if (conditionHolds(step.condition, this.steps, false)) this.#step(i, step)
      }
      this.#commit()
    })
    if (error === null) return
    this.steps[at] = { error }
    this.steps.fill(null, at + 1)
    if (this.#writer.db.isTransaction) this.#rollback()
    else this.#gone()
  }

  /** Runs one thing; what goes wrong with it is the client's. */
  #attempt(run: () => void): ErrorData | null {
    try {
      run()
      return null
    } catch (error) {
      if (error === this.#lost) throw error
      return toStepError(error)
    }
  }

  /** SQLite ended the transaction by itself. */
  #gone(): void {
    this.#state.closed()
    try {
      this.#scope.lost()
    } catch (error) {
      this.#lost = error
      throw error
    }
  }

  #begin(): void {
    this.#scope.begin()
    this.#state.open = true
  }

  #commit(): void {
    this.#state.open = false
    const { wrote } = this.#state
    try {
      this.#scope.commit()
    } catch (error) {
      this.#state.open = true
      throw error
    }
    this.#state.closed()
    if (wrote) this.written += 1
  }

  #rollback(): void {
    this.#state.closed()
    this.#scope.rollback()
  }

  #step(i: number, { statement }: Step): void {
    const found = this.#statements.get(statement.sql)
    switch (found.kind) {
      case 'read':
      case 'rows':
        this.#rows(i, statement, found)
        break
      case 'ddl':
        refuseArguments(statement, found)
        this.#writes(i, () => this.#scope.ddl(found))
        break
      case 'pragma':
        refuseArguments(statement, found)
        this.#pragma(i, found)
        break
      case 'vacuum':
        if (this.#state.open) throw sqlError('cannot VACUUM from within a transaction')
        this.steps[i] = EMPTY_STEP
        break
      default:
        this.#control(i, found)
    }
  }

  #pragma(i: number, found: Classified): void {
    const plan = present(found.pragma, () => 'what a PRAGMA sets')
    this.steps[i] = EMPTY_STEP
    switch (plan.kind) {
      case 'setting':
        this.#scope.set(plan.name, plan.on)
        break
      case 'deferForeignKeys':
        this.#scope.deferForeignKeys(plan.on)
        break
      case 'replicated':
        this.#writes(i, () => {
          this.#scope.beforePragma(plan.name)
          runPrepared(this.#statements.cache, found.prepare(), { sql: found.sql })
        })
        break
      default:
    }
  }

  /** Something without a result. */
  #writes(i: number, run: () => void): void {
    this.#inTransaction(i, () => {
      run()
      this.#state.wrote = true
      return EMPTY_STEP
    })
  }

  #rows(i: number, statement: Statement, found: Classified): void {
    if (found.counts) this.#scope.beforeCount(this.#changes)
    if (found.prepare().changes === null) {
      this.steps[i] = { ok: runRows(this.#writer, this.#statements, statement, found, this.#room) }
      return
    }
    this.#inTransaction(
      i,
      () => {
        // OR FAIL may have written even if it throws.
        if (found.fails) this.#state.wrote = true
        const ok = runRows(this.#writer, this.#statements, statement, found)
        this.#state.wrote = true
        this.#changes = ok.changes
        return { ok }
      },
      found.fails,
    )
  }

  /** In the transaction that is open, or in one of the statement's own. */
  #inTransaction(i: number, run: () => StepResult, keeps = false): void {
    if (this.#state.open) {
      this.steps[i] = run()
      return
    }
    this.#begin()
    try {
      this.steps[i] = run()
      this.#commit()
    } catch (error) {
      if (!this.#writer.db.isTransaction) this.#gone()
      else if (keeps && failKeepsRows(error)) throw this.#keep(i, error)
      else this.#rollback()
      throw error
    }
  }

  /**
   * What OR FAIL wrote before its error stays, as it does in SQLite, if COMMIT has nothing against
   * it. Returns the error to tell.
   */
  #keep(i: number, error: unknown): unknown {
    try {
      this.steps[i] = { error: toStepError(error) }
      this.#commit()
      return error
    } catch (objection) {
      this.#rollback()
      return objection
    }
  }

  // Transaction control

  #control(i: number, found: Classified): void {
    const { open } = this.#state
    if (this.#program.atomic && ['begin', 'commit', 'rollback'].includes(found.kind)) {
      const detail = `${found.keyword} has no place in an atomic program.`
      throw new QuorateError('SQL_REFUSED', detail)
    }
    this.steps[i] = EMPTY_STEP
    switch (found.kind) {
      case 'begin':
        if (open) throw sqlError('cannot start a transaction within a transaction')
        this.#begin()
        break
      case 'commit':
        if (!open) throw sqlError('cannot commit - no transaction is active')
        this.#commit()
        break
      case 'rollback':
        if (!open) throw sqlError('cannot rollback - no transaction is active')
        this.#rollback()
        break
      default:
        this.#savepoint(found)
    }
  }

  #savepoint({ kind, name }: Classified): void {
    const { db } = this.#writer
    if (kind === 'savepoint') {
      if (!this.#state.open) {
        this.#begin()
        this.#state.bySavepoint = true
      }
      const mark = this.#scope.mark()
      db.exec(`savepoint ${quote(name)}`)
      this.#state.savepoints.push({ name: name.toLowerCase(), mark })
      return
    }
    const { savepoints, bySavepoint } = this.#state
    const at = savepoints.findLastIndex((one) => one.name === name.toLowerCase())
    const found = savepoints[at]
    if (found === undefined) throw sqlError(`no such savepoint: ${name}`)
    if (kind === 'rollbackTo') {
      db.exec(`rollback to ${quote(name)}`)
      savepoints.length = at + 1
      this.#scope.rolledBackTo(found.mark)
    } else if (at === 0 && bySavepoint) this.#commit()
    else {
      db.exec(`release ${quote(name)}`)
      savepoints.length = at
    }
  }
}

function refuseArguments(statement: Statement, { target }: Classified): void {
  const given = (statement.args?.length ?? 0) + Object.keys(statement.named ?? {}).length
  if (given === 0) return
  const why =
    target === ''
      ? 'DDL and PRAGMA take no arguments.'
      : `Table ${target} is virtual. ${REMEDY_VIRTUAL}`
  throw new QuorateError('SQL_ARGUMENTS', why)
}

/** What SQLite itself would say. */
function sqlError(message: string): QuorateError {
  return new QuorateError('SQL_ERROR', `${message}.`, { sqlite: 'SQLITE_ERROR' })
}
