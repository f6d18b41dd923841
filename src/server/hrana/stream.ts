/**
 * One Hrana stream: looks to its client like a SQLite connection, and is a series of requests to
 * the node. It knows three things between requests: stored texts, what the client has seen (so that
 * it reads its own writes), and whether a transaction is open at the leader.
 */
import { type ErrorData, QuorateError, toErrorData } from '../../base/errors.ts'
import { bad } from '../../model/fields.ts'
import type { Program, Statement, StatementResult, Step, StepResult } from '../../model/program.ts'
import type { NodeReply, NodeRequest, SessionToken } from '../../model/request.ts'
import { firstKeyword, splitStatements } from '../../model/sql-tokens.ts'
import type { CallOptions } from '../call.ts'
import { describe } from './describe.ts'
import { type Plan, planBatch, planSequence, planStatement } from './plan.ts'
import type {
  HranaStatement,
  SqlSource,
  StreamOutcome,
  StreamRequest,
  StreamResponse,
} from './protocol.ts'

type Ask = (request: NodeRequest) => Promise<NodeReply>
type Ran = { readonly steps: readonly StepResult[] }

/** Above what clients keep (30 and 100 texts, each under 5,000 characters). */
const STORED_TEXTS_MAX = 150
const STORED_CHARACTERS_MAX = 1_000_000
/** How long the leader may take to roll back what nobody waits for. */
const END_TIMEOUT_MS = 5_000

/**
 * `lost`: the transaction ended without the client's doing. Nothing may run until it says ROLLBACK
 * (or learns it from COMMIT): its next INSERT was meant for inside the transaction.
 */
type Transaction = 'none' | 'open' | 'lost'

export class HranaStream {
  readonly #ask: Ask
  /** Names the stream to the node; unique in the cluster. */
  readonly #name: string
  readonly #texts = new Map<number, string>()
  #storedCharacters = 0
  #transaction: Transaction = 'none'
  #token: SessionToken | null = null
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

  get closed(): boolean {
    return this.#closed
  }

  /** The client has seen this elsewhere. */
  sawToken(token: SessionToken): void {
    const known = this.#token
    if (known === null || token.cluster !== known.cluster || token.index > known.index) {
      this.#token = token
    }
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
        const ran = await this.#runPlan(this.#planBatch(this.#steps(request)), call)
        return 'error' in ran ? ran : { ok: { type: 'batch', steps: ran.steps } }
      }
      case 'sequence':
        return this.#sequence(this.#text(request.source), call)
      case 'describe':
        return this.#describe(this.#text(request.source), call)
      default:
        return { ok: this.#runLocal(request) }
    }
  }

  /** Rolls back what is open. Never rejects; the leader ends a silent stream by itself, later. */
  close(): void {
    this.#closed = true
    this.#texts.clear()
    if (this.#transaction === 'open') this.#end()
    this.#transaction = 'none'
  }

  #runLocal(request: StreamRequest): StreamResponse {
    switch (request.type) {
      case 'close':
        this.close()
        return { type: 'close' }
      case 'store_sql':
        this.#store(request.sqlId, request.sql)
        return { type: 'store_sql' }
      case 'close_sql':
        this.#storedCharacters -= this.#texts.get(request.sqlId)?.length ?? 0
        this.#texts.delete(request.sqlId)
        return { type: 'close_sql' }
      default:
        return { type: 'get_autocommit', isAutocommit: this.#transaction === 'none' }
    }
  }

  // Texts

  #store(sqlId: number, sql: string): void {
    if (this.#texts.has(sqlId)) throw bad('sql_id', 'a new one', sqlId)
    this.#storedCharacters += sql.length
    if (this.#texts.size >= STORED_TEXTS_MAX || this.#storedCharacters > STORED_CHARACTERS_MAX) {
      throw bad('store_sql', `within ${STORED_TEXTS_MAX} texts`, this.#texts.size)
    }
    this.#texts.set(sqlId, sql)
  }

  #text(source: SqlSource): string {
    if ('sql' in source) return source.sql
    const sql = this.#texts.get(source.sqlId)
    if (sql === undefined) throw bad('sql_id', 'a stored one', source.sqlId)
    return sql
  }

  #statement({ source, args, named, wantRows }: HranaStatement): Statement {
    const sql = this.#text(source)
    return named === null ? { sql, args, wantRows } : { sql, args, named, wantRows }
  }

  #steps({ steps }: Extract<StreamRequest, { type: 'batch' }>): readonly Step[] {
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
      const description = await describe(sql, async (probe) => {
        const plan: Plan = {
          via: 'readOnly',
          program: { atomic: true, steps: [{ statement: probe }] },
        }
        const ran = await this.#runPlan(plan, call)
        const step = 'error' in ran ? ran : (ran.steps[0] ?? { error: notRun() })
        return step
      })
      return { ok: { type: 'describe', description } }
    } catch (error) {
      if (!(error instanceof QuorateError)) throw error
      return { error: toErrorData(error) }
    }
  }

  async #runPlan(plan: Plan, call: CallOptions): Promise<Ran | { readonly error: ErrorData }> {
    if (plan.program.steps.length === 0) return { steps: plan.results?.([]) ?? [] }
    if (this.#transaction === 'lost') return this.#afterLoss(plan.program)
    const inside = this.#transaction === 'open'
    const reply = inside
      ? await this.#askStream(inTransaction(plan.program), call)
      : await this.#askOutside(plan, call)
    switch (reply.kind) {
      case 'result': {
        this.sawToken(reply.token)
        const { steps } = reply.result
        return { steps: plan.results?.(steps) ?? steps }
      }
      case 'writeNeeded':
        return { error: READ_ONLY }
      case 'error':
        return { error: reply.error }
      case 'admin':
        throw new Error(`a ${reply.kind} reply to a program`)
    }
  }

  async #askOutside({ via, program }: Plan, call: CallOptions): Promise<NodeReply> {
    if (via === 'stream') return this.#askStream(program, call)
    if (via !== 'write') {
      const { read: level, timeoutMs } = call
      const token = this.#token
      const reply = await this.#ask({ kind: 'read', program, level, token, timeoutMs })
      if (reply.kind !== 'writeNeeded' || via === 'readOnly') return reply
    }
    const { ack, timeoutMs } = call
    const id = call.takeWriteId()
    const named = id === null ? program : { ...program, id }
    return this.#ask({ kind: 'write', program: named, ack, timeoutMs })
  }

  async #askStream(program: Program, call: CallOptions): Promise<NodeReply> {
    const { ack, timeoutMs } = call
    const open = this.#transaction === 'open'
    const stream = this.#nodeStream
    const reply = await this.#ask({
      ...{ kind: 'stream', stream, open, program, end: false, ack, timeoutMs },
    })
    if (reply.kind === 'result') {
      this.#transaction = reply.open ? 'open' : 'none'
    } else {
      this.#transaction = open && !endsTransaction(program) ? 'lost' : 'none'
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

  /** A transaction was lost: ROLLBACK is what happened anyway, anything else is refused. */
  #afterLoss(program: Program): Ran | { readonly error: ErrorData } {
    const ends = endsTransaction(program)
    if (ends) this.#transaction = 'none'
    const [first] = program.steps
    if (ends && program.steps.length === 1 && first && isRollback(first.statement)) {
      return { steps: [{ ok: NOTHING }] }
    }
    return { error: LOST }
  }
}

const ENDS: ReadonlySet<string> = new Set(['COMMIT', 'END', 'ROLLBACK'])

function endsTransaction({ steps }: Program): boolean {
  return steps.some(({ statement }) => ENDS.has(firstKeyword(statement.sql)))
}

function isRollback({ sql }: Statement): boolean {
  return firstKeyword(sql) === 'ROLLBACK'
}

/** Inside a transaction a program can't be one of its own. */
function inTransaction(program: Program): Program {
  return program.atomic ? { ...program, atomic: false } : program
}

const NOTHING: StatementResult = { columns: [], rows: [], changes: 0, lastInsertRowid: null }

const LOST: ErrorData = {
  code: 'TRANSACTION_CLOSED',
  detail: 'The transaction was rolled back before this statement.',
}

const READ_ONLY: ErrorData = {
  code: 'SQL_ERROR',
  detail: 'attempt to write in a read-only transaction.',
  facts: { sqlite: 'SQLITE_READONLY' },
}

function notRun(): ErrorData {
  return { code: 'INTERNAL', detail: 'The statement was not run.' }
}
