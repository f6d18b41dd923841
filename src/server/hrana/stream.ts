/**
 * One Hrana stream: looks to its client like a SQLite connection, and is a series of requests to
 * the node. It knows three things between requests: stored texts, what the client has seen (so that
 * it reads its own writes), and whether a transaction is open: at the leader, or on a snapshot of
 * this replica if it only reads.
 */
import { type ErrorData, QuorateError, toErrorData } from '../../base/errors.ts'
import { LIMITS } from '../../base/limits.ts'
import type { Program, Statement, StatementResult, Step, StepResult } from '../../model/program.ts'
import type { NodeReply, SessionToken } from '../../model/request.ts'
import { firstKeyword, keyword, splitStatements, tokenize } from '../../model/sql-tokens.ts'
import { joinTokens } from '../../model/token.ts'
import type { CallOptions } from '../call.ts'
import {
  failureEntries,
  HranaCursor,
  type Portion,
  type Portions,
  stepEntries,
  toEntries,
} from './cursor.ts'
import { describe } from './describe.ts'
import { type Plan, planBatch, planSequence, planStatement } from './plan.ts'
import type {
  HranaBatch,
  HranaStatement,
  HranaStep,
  StreamOutcome,
  StreamRequest,
  StreamResponse,
} from './protocol.ts'
import { type Ask, ReadRun, StepCollector } from './read-run.ts'
import { asksForCounters, SessionCounters, withAskedNames } from './session-counters.ts'
import { SessionSettings } from './session-settings.ts'
import { StoredTexts } from './texts.ts'

type Failed = { readonly error: ErrorData }
type Ran = { readonly steps: readonly StepResult[] } | Failed

/** How long the leader may take to roll back what nobody waits for. */
const END_TIMEOUT_MS = 5_000

/**
 * `open`: at the leader. `reading`: on a snapshot here. `lost`: the transaction ended without the client's doing. Nothing may run until it says ROLLBACK
 * (or learns it from COMMIT): its next INSERT was meant for inside the transaction.
 */
type Transaction = 'none' | 'open' | 'reading' | 'lost'

export class HranaStream {
  readonly #ask: Ask
  /** Names the stream to the node; unique in the cluster. */
  readonly #name: string
  readonly #texts = new StoredTexts()
  readonly #settings = new SessionSettings()
  readonly #counters = new SessionCounters()
  #transaction: Transaction = 'none'
  /** The client's COMMIT failed because the transaction is gone. In SQLite it would still be open. */
  #endFailed = false
  /** The snapshot of a transaction that only reads. */
  #snapshot: ReadRun | null = null
  #token: SessionToken | null = null
  #answered: SessionToken | null = null
  #closed = false
  #renamed = 0

  constructor(name: string, ask: Ask) {
    this.#name = name
    this.#ask = ask
  }

  /** What a client has seen that has seen all answers so far. */
  get token(): SessionToken | null {
    return this.#token
  }

  /** The same without what the client told: nobody can forge it. */
  get answered(): SessionToken | null {
    return this.#answered
  }

  get closed(): boolean {
    return this.#closed
  }

  /** The client has seen this elsewhere. */
  sawToken(token: SessionToken): void {
    this.#token = laterOf(this.#token, token)
  }

  /**
   * Runs one request. Requests of a stream run one after the other: the caller sees to that.
   * Rejects with BAD_REQUEST for what breaks the protocol; the stream must then be closed.
   */
  async run(request: StreamRequest, call: CallOptions): Promise<StreamOutcome> {
    if (this.#closed) throw new QuorateError('BAD_REQUEST', 'Stream for this baton was closed')
    switch (request.type) {
      case 'execute':
        return this.#execute(this.#statement(request.statement), call)
      case 'batch': {
        const ran = await this.#runPlan(this.#planBatch(this.#steps(request.steps)), call)
        return 'error' in ran ? ran : { ok: { type: 'batch', steps: ran.steps } }
      }
      case 'sequence':
        return this.#sequence(this.#texts.text(request.source), call)
      case 'describe':
        return this.#describe(this.#texts.text(request.source), call)
      default:
        return { ok: this.#runLocal(request) }
    }
  }

  /**
   * Begins a batch whose rows are taken piece by piece. The stream is busy until the cursor is done
   * or closed. Throws as `run` rejects.
   */
  openCursor({ steps }: HranaBatch, call: CallOptions): HranaCursor {
    if (this.#closed) throw new QuorateError('BAD_REQUEST', 'Stream for this baton was closed')
    return new HranaCursor(this.#portions(this.#planBatch(this.#steps(steps)), call))
  }

  /** Rolls back what is open. Never rejects; the leader ends a silent stream by itself, later. */
  close(): void {
    this.#closed = true
    this.#texts.clear()
    if (this.#transaction === 'open') this.#end()
    this.#snapshot?.close()
    this.#snapshot = null
    this.#transaction = 'none'
  }

  #runLocal(request: StreamRequest): StreamResponse {
    switch (request.type) {
      case 'close':
        this.close()
        return { type: 'close' }
      case 'store_sql':
        this.#texts.store(request.sqlId, request.sql)
        return { type: 'store_sql' }
      case 'close_sql':
        this.#texts.close(request.sqlId)
        return { type: 'close_sql' }
      default:
        return { type: 'get_autocommit', isAutocommit: this.#transaction === 'none' }
    }
  }

  #statement({ source, args, named, wantRows }: HranaStatement): Statement {
    const sql = this.#texts.text(source)
    // What is as usual is left out: every field costs on the way to a thread or another node.
    const statement = wantRows ? { sql, args } : { sql, args, wantRows }
    return named === null ? statement : { ...statement, named }
  }

  #steps(steps: readonly HranaStep[]): readonly Step[] {
    return steps.map(({ statement, condition }) => {
      const resolved = this.#statement(statement)
      return condition === null ? { statement: resolved } : { statement: resolved, condition }
    })
  }

  // Requests that reach the node

  /** Inside a transaction every step must run as it is, also a nonsensical BEGIN. */
  #planBatch(steps: readonly Step[]): Plan {
    if (this.#transaction === 'none') return planBatch(steps)
    return { via: 'stream', program: { atomic: false, steps } }
  }

  async #execute(statement: Statement, call: CallOptions): Promise<StreamOutcome> {
    const ran = await this.#runPlan(planStatement(statement), call)
    if ('error' in ran) return ran
    const [step] = ran.steps
    if (step && 'ok' in step) return { ok: { type: 'execute', result: step.ok } }
    return { error: step?.error ?? notRun() }
  }

  async #sequence(sql: string, call: CallOptions): Promise<StreamOutcome> {
    const statements = splitStatements(sql).map((each) => ({ sql: each, wantRows: false }))
    const ran = await this.#runPlan(planSequence(statements), call)
    if ('error' in ran) return ran
    const failed = ran.steps.find((step) => step !== null && 'error' in step)
    return failed && 'error' in failed ? failed : { ok: { type: 'sequence' } }
  }

  async #describe(sql: string, call: CallOptions): Promise<StreamOutcome> {
    try {
      const description = await describe(sql, async (program) => {
        const ran = await this.#runPlan({ via: 'readOnly', program }, call)
        return 'error' in ran ? ran : (ran.steps[0] ?? { error: notRun() })
      })
      return { ok: { type: 'describe', description } }
    } catch (error) {
      if (!(error instanceof QuorateError)) throw error
      return { error: toErrorData(error) }
    }
  }

  async #runPlan(asked: Plan, call: CallOptions): Promise<Ran> {
    const wanted = capped(asked)
    const plan = { ...wanted, program: this.#counters.before(wanted.program) }
    const filled = plan.program !== wanted.program
    if (plan.program.steps.length === 0) return { steps: [] }
    const ended = plan.program.describe ? null : this.#afterEnd(plan.program)
    if (ended !== null) return ended
    if (this.#reads(plan, call)) return this.#runReading(plan.program, call)
    const inside = this.#transaction === 'open'
    // A plan that only reads needs none, and on a replica it could not have them.
    const settings = inside || plan.via === 'readOnly' ? 0 : this.#settings.count
    const reply = inside
      ? await this.#askStream(inTransaction(plan.program), call)
      : await this.#askOutside(settings > 0 ? this.#withSettings(plan) : plan, call)
    switch (reply.kind) {
      case 'result': {
        this.#answeredAt(reply.token)
        const steps = reply.result.steps.slice(settings)
        this.#settings.saw(plan.program, steps, inside)
        this.#counters.saw(plan.program, steps, this.#transaction === 'open')
        return { steps: filled ? withAskedNames(steps) : steps }
      }
      case 'writeNeeded':
        return { error: READ_ONLY }
      case 'error':
        // Whatever kept it from the leader, the transaction is not committed.
        return inside && isRollback(plan.program) ? ROLLED_BACK : { error: reply.error }
      default:
        throw new Error(`a ${reply.kind} reply to a program`)
    }
  }

  #answeredAt(token: SessionToken): void {
    this.sawToken(token)
    this.#answered = laterOf(this.#answered, token)
  }

  // Transactions that only read, and cursors

  /** Whether the program runs on a snapshot of this replica that stays after it. */
  #reads({ via, program }: Plan, { mayWrite }: CallOptions): boolean {
    if (program.describe) return false
    if (this.#transaction !== 'none') return this.#transaction === 'reading'
    // Who may not write has no other kind of transaction.
    return via === 'snapshot' || (via === 'stream' && !mayWrite && beginsTransaction(program))
  }

  async #runReading(program: Program, call: CallOptions): Promise<Ran> {
    const run = this.#snapshot ?? new ReadRun(this.#ask, true)
    const collected = new StepCollector(program.steps.length)
    try {
      for await (const piece of run.pieces(inTransaction(program), this.#token, call)) {
        if (piece.kind !== 'piece')
          return { error: piece.kind === 'error' ? piece.error : READ_ONLY }
        this.#answeredAt(piece.token)
        collected.add(piece.entries)
      }
      return { steps: collected.steps }
    } catch (error) {
      if (!(error instanceof QuorateError)) throw error
      return { error: toErrorData(error) }
    } finally {
      this.#keepSnapshot(run, program)
    }
  }

  /** After a program: is there still a snapshot, and should there be one? */
  #keepSnapshot(run: ReadRun, program: Program): void {
    const lost = this.#transaction === 'reading' && !run.open && !endsTransaction(program)
    this.#transaction = run.open ? 'reading' : lost ? 'lost' : 'none'
    this.#snapshot = run.open ? run : null
    // The stream may have been closed while the answer was on its way.
    if (this.#closed) this.close()
  }

  async *#portions(plan: Plan, call: CallOptions): Portions {
    const keep = this.#reads(plan, call)
    const alone = this.#transaction === 'none' && plan.via === 'read'
    // What depends on the stream is not streamed.
    const own = this.#settings.count > 0 || asksForCounters(plan.program)
    if (keep || (alone && !own)) {
      const isRead = yield* this.#streamed(plan.program, call, keep)
      if (isRead) return
    }
    const ran = await this.#runPlan(alone && !own ? { ...plan, via: 'write' } : plan, call)
    const entries = 'error' in ran ? failureEntries(0, ran.error) : stepEntries(ran.steps)
    yield { entries, done: true }
  }

  /** Returns false, having yielded nothing, if the program turns out to write. */
  async *#streamed(
    program: Program,
    call: CallOptions,
    keep: boolean,
  ): AsyncGenerator<Portion, boolean, undefined> {
    const run = this.#snapshot ?? new ReadRun(this.#ask, keep)
    let step = 0
    try {
      for await (const piece of run.pieces(inTransaction(program), this.#token, call)) {
        if (piece.kind === 'writeNeeded') return false
        if (piece.kind === 'error') yield { entries: failureEntries(step, piece.error), done: true }
        else {
          this.#answeredAt(piece.token)
          for (const entry of piece.entries) {
            if (entry.kind !== 'rows') step = entry.kind === 'begin' ? entry.step : entry.step + 1
          }
          yield { entries: toEntries(piece.entries), done: piece.done }
        }
      }
      return true
    } finally {
      if (keep) this.#keepSnapshot(run, program)
      else run.close()
    }
  }

  // At the leader

  #withSettings(plan: Plan): Plan {
    return { ...plan, program: this.#settings.before(plan.program) }
  }

  async #askOutside({ via, program }: Plan, call: CallOptions): Promise<NodeReply> {
    // A caller who may not write never reaches the writer: all it sends is tried as a read.
    if (via === 'stream' && call.mayWrite) return this.#askStream(program, call)
    if (via !== 'write' || !call.mayWrite) {
      const { read: level, timeoutMs } = call
      const token = this.#token
      const reply = await this.#ask({ kind: 'read', program, level, token, timeoutMs })
      if (reply.kind !== 'writeNeeded' || via === 'readOnly') return reply
      if (!call.mayWrite) return { kind: 'error', error: MAY_NOT_WRITE }
    }
    const { ack, timeoutMs } = call
    const id = call.takeWriteId()
    const named = id === null ? program : { ...program, id }
    return this.#ask({ kind: 'write', program: named, ack, timeoutMs })
  }

  async #askStream(program: Program, call: CallOptions): Promise<NodeReply> {
    if (!call.mayWrite) return { kind: 'error', error: MAY_NOT_WRITE }
    const { ack, timeoutMs } = call
    const open = this.#transaction === 'open'
    const stream = this.#nodeStream
    const reply = await this.#ask({
      ...{ kind: 'stream', stream, open, program, end: false, ack, timeoutMs },
    })
    if (reply.kind === 'result') {
      this.#transaction = reply.open ? 'open' : 'none'
    } else {
      const ends = endsTransaction(program)
      this.#transaction = open && !ends ? 'lost' : 'none'
      this.#endFailed = open && ends
      // What became of it is not known here: make sure that nothing is left open.
      this.#end()
      // What that ends must not be a transaction that the client begins next.
      this.#renamed += 1
    }
    // The stream may have been closed while the answer was on its way.
    if (this.#closed && this.#transaction === 'open') this.#end()
    return reply
  }

  get #nodeStream(): string {
    return this.#renamed === 0 ? this.#name : `${this.#name}.${this.#renamed}`
  }

  #end(): void {
    const stream = this.#nodeStream
    const request = { stream, open: true, program: null, end: true, ack: 'local' } as const
    this.#ask({ kind: 'stream', ...request, timeoutMs: END_TIMEOUT_MS }).catch(() => {})
  }

  /**
   * What is answered without the node because the transaction is gone: to ROLLBACK, that it is; when
   * it was lost, that nothing else runs. Null: the program is to run.
   */
  #afterEnd(program: Program): Ran | null {
    const endFailed = this.#endFailed
    this.#endFailed = false
    if (this.#transaction !== 'lost') return endFailed && isRollback(program) ? ROLLED_BACK : null
    const ends = endsTransaction(program)
    if (ends) this.#transaction = 'none'
    if (isRollback(program) || isRollbackTo(program)) return ROLLED_BACK
    this.#endFailed = ends
    return { error: LOST }
  }
}

function endsTransaction(program: Program): boolean {
  if (program.describe) return false
  return program.steps.some(({ statement }) => {
    const first = firstKeyword(statement.sql)
    if (first === 'ROLLBACK') return !goesBackTo(statement)
    return first === 'COMMIT' || first === 'END'
  })
}

function beginsTransaction({ steps: [first] }: Program): boolean {
  return first !== undefined && firstKeyword(first.statement.sql) === 'BEGIN'
}

/** ROLLBACK and nothing else. */
function isRollback(program: Program): boolean {
  const [only, more] = program.steps
  if (only === undefined || more !== undefined || program.describe) return false
  return firstKeyword(only.statement.sql) === 'ROLLBACK' && !goesBackTo(only.statement)
}

/** ROLLBACK TO and nothing else. */
function isRollbackTo({ steps: [only, more] }: Program): boolean {
  return only !== undefined && more === undefined && goesBackTo(only.statement)
}

/** Whether it is a ROLLBACK TO: the transaction goes on after it. */
function goesBackTo({ sql }: Statement): boolean {
  if (firstKeyword(sql) !== 'ROLLBACK') return false
  const [, second, third] = [...tokenize(sql)].map(keyword)
  return second === 'TO' || (second === 'TRANSACTION' && third === 'TO')
}

/**
 * What is not streamed is held in memory, here and by the client. A single write has no rows that
 * it reads, and is spared what would travel with it.
 */
function capped(plan: Plan): Plan {
  const { via, program } = plan
  if (via === 'write' && program.steps.length === 1) return plan
  return { ...plan, program: { ...program, resultBytesMax: LIMITS.networkResultBytesMax } }
}

/** Inside a transaction a program can't be one of its own. */
function inTransaction(program: Program): Program {
  return program.atomic ? { ...program, atomic: false } : program
}

/** What a client has seen that has seen both. */
export function laterOf(known: SessionToken | null, token: SessionToken): SessionToken {
  if (known?.origins !== undefined && token.origins !== undefined) return joinTokens(known, token)
  const later = known === null || token.cluster !== known.cluster || token.index > known.index
  return later ? token : known
}

const NOTHING: StatementResult = { columns: [], rows: [], changes: 0, lastInsertRowid: null }
const ROLLED_BACK: Ran = { steps: [{ ok: NOTHING }] }

const LOST: ErrorData = {
  code: 'TRANSACTION_CLOSED',
  detail: 'The transaction was rolled back before this statement.',
}

const READ_ONLY: ErrorData = {
  code: 'SQL_ERROR',
  detail: 'attempt to write in a read-only transaction.',
  facts: { sqlite: 'SQLITE_READONLY' },
}

const MAY_NOT_WRITE: ErrorData = { code: 'FORBIDDEN', detail: 'The token allows reading only.' }

function notRun(): ErrorData {
  return { code: 'INTERNAL', detail: 'The statement was not run.' }
}
