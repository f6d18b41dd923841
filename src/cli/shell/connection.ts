/**
 * The shell's line to a cluster, which looks like one SQLite connection: BEGIN and SAVEPOINT open an
 * interactive stream at one node, PRAGMAs that belong to a connection are said again for each
 * stream, and everything else is a request of its own, which any node may answer.
 */
import { ERRORS, type ErrorCode, QuorateError } from '../../base/errors.ts'
import { type Call, Caller } from '../../client/caller.ts'
import {
  executeRequest,
  executeResult,
  parsePipeline,
  stepResult,
  type WirePipeline,
  type WireRequest,
} from '../../client/hrana.ts'
import { sendNamed } from '../../client/named-write.ts'
import { nodeTransport } from '../../client/node-transport.ts'
import { Nodes, type Topology } from '../../client/nodes.ts'
import { Session } from '../../client/session.ts'
import type { Statement, StatementResult } from '../../model/program.ts'
import type { AckLevel, ReadLevel } from '../../model/request.ts'
import { firstKeyword, tokenize } from '../../model/sql-tokens.ts'
import type { Target } from '../node-client.ts'
import type { Patience } from '../patience.ts'

/**
 * `lost`: a transaction went without the user's doing. What follows was meant for inside of it, so
 * nothing runs until ROLLBACK or COMMIT.
 */
export type TransactionState = 'none' | 'open' | 'lost'

export interface Levels {
  readonly read?: ReadLevel
  readonly ack?: AckLevel
  readonly timeoutMs: number
}

/** What became of statements that were sent together: how many ran, and what stopped the next. */
export interface Ran {
  readonly done: number
  readonly error: unknown
}

const READS: ReadonlySet<string> = new Set(['SELECT', 'VALUES', 'EXPLAIN'])
const BEGINS: ReadonlySet<string> = new Set(['BEGIN', 'SAVEPOINT'])
const ENDS: ReadonlySet<string> = new Set(['COMMIT', 'END', 'ROLLBACK'])
/** These end a transaction without the user's doing. */
const LOSSES: ReadonlySet<ErrorCode> = new Set([
  'TRANSACTION_TIMEOUT',
  'TRANSACTION_CLOSED',
  'TAKEN_BACK',
  'NO_LEADER',
  'NOT_READY',
  'STREAM_EXPIRED',
])
/** PRAGMAs that a connection keeps. */
const SETTING =
  /^\s*pragma\s+(?:main\s*\.\s*)?(foreign_keys|recursive_triggers|case_sensitive_like|ignore_check_constraints|legacy_alter_table|reverse_unordered_selects)\s*[=(]/i
const CLOSE: WireRequest = { type: 'close' }
const AUTOCOMMIT = { type: 'get_autocommit' } as const
type Request = WireRequest | typeof AUTOCOMMIT

export class ShellConnection {
  levels: Levels
  readonly #session = new Session()
  readonly #caller: Caller
  readonly #patience: Patience | undefined
  /** PRAGMAs by name as the user last gave them. */
  readonly #settings = new Map<string, string>()
  #at: { readonly baton: string; readonly url: string } | null = null
  #state: TransactionState = 'none'

  /** Does not connect yet. */
  constructor(target: Target, levels: Levels, patience?: Patience) {
    this.levels = levels
    this.#patience = patience
    const nodes = new Nodes(target.urls, true)
    const { token } = target
    this.#caller = new Caller(nodes, nodeTransport(), token ?? undefined, patience?.retrying)
  }

  get state(): TransactionState {
    return this.#state
  }

  close(): void {
    if (this.#at !== null) this.#closeStream(this.#at)
    this.#caller.close()
  }

  /** Runs one statement. Throws what the node says, or the signal's reason. */
  async run(statement: Statement, signal?: AbortSignal): Promise<StatementResult> {
    this.#patience?.begin()
    const first = firstKeyword(statement.sql)
    if (this.#state === 'lost') return this.#afterLoss(first)
    if (this.#state === 'open') return await this.#inside(statement, signal)
    if (BEGINS.has(first)) return await this.#open(statement, signal)
    const result = await this.#alone(statement, !READS.has(first), signal)
    const setting = SETTING.exec(statement.sql)?.[1]?.toLowerCase()
    if (setting !== undefined) this.#settings.set(setting, statement.sql)
    return result
  }

  /** Runs statements inside the open transaction in one round trip, until the first error. */
  async runAll(statements: readonly Statement[], signal?: AbortSignal): Promise<Ran> {
    this.#patience?.begin()
    if (this.#state !== 'open') return { done: 0, error: gone() }
    const pipeline = await this.#exchange([batchOf(statements)], signal)
    const answer = pipeline.results[0]
    try {
      stepResult(answer, 0)
      return { done: statements.length, error: null }
    } catch (error) {
      this.#noteLoss(error)
      return { done: failedAt(answer), error }
    }
  }

  /** A transaction begins. Nothing has happened yet, so another node may be asked. */
  async #open(statement: Statement, signal?: AbortSignal): Promise<StatementResult> {
    const all = [...this.#settings.values()].map((sql) => ({ sql }))
    const { pipeline, url } = await this.#send([batchOf([...all, statement]), AUTOCOMMIT], {
      ...{ signal, prefer: 'leader', writes: false, write: null },
      check: (answered) => retryable(answered),
    })
    const result = stepResult(pipeline.results[0], all.length)
    this.#follow(pipeline, url)
    if (result === null) throw gone()
    return result
  }

  async #inside(statement: Statement, signal?: AbortSignal): Promise<StatementResult> {
    const pipeline = await this.#exchange([executeRequest(statement)], signal)
    try {
      return executeResult(pipeline.results[0])
    } catch (error) {
      this.#noteLoss(error)
      throw error
    }
  }

  /** Some errors say that the transaction went, though its stream waits for a ROLLBACK. */
  #noteLoss(error: unknown): void {
    if (this.#at === null || !(error instanceof QuorateError) || !LOSSES.has(error.code)) return
    this.#closeStream(this.#at)
    this.#at = null
    this.#state = 'lost'
  }

  /** One request on the open stream; whatever breaks it loses the transaction. */
  async #exchange(requests: readonly Request[], signal?: AbortSignal): Promise<WirePipeline> {
    const at = this.#at
    if (at === null) throw gone()
    this.#at = null
    this.#state = 'lost'
    const { pipeline, url } = await this.#send([...requests, AUTOCOMMIT], {
      ...{ signal, prefer: 'leader', writes: true, write: null, at },
    })
    this.#follow(pipeline, url)
    return pipeline
  }

  /** Keeps the stream while a transaction is open on it. */
  #follow(pipeline: WirePipeline, url: string): void {
    const { baton, base_url } = pipeline
    const at = baton === null ? null : { baton, url: base_url ?? url }
    const last = pipeline.results.at(-1)
    const ended = last?.type === 'ok' && isAutocommit(last.response)
    this.#state = ended ? 'none' : at === null ? 'lost' : 'open'
    this.#at = ended ? null : at
    if (ended && at !== null) this.#closeStream(at)
  }

  async #alone(
    statement: Statement,
    mayWrite: boolean,
    signal?: AbortSignal,
  ): Promise<StatementResult> {
    const settings = [...this.#settings.values()].map((sql) => ({ sql }))
    const plain = settings.length === 0
    const request = plain ? executeRequest(statement) : batchOf([...settings, statement])
    const strong = this.levels.read === 'strong'
    const read = (pipeline: WirePipeline): StatementResult => {
      if (plain) return executeResult(pipeline.results[0])
      const result = stepResult(pipeline.results[0], settings.length)
      if (result === null) throw gone()
      return result
    }
    const send = async (write: string | null): Promise<StatementResult> => {
      const { pipeline } = await this.#send([request, CLOSE], {
        ...{ signal, prefer: mayWrite || strong ? 'leader' : 'any', writes: mayWrite, write },
        check: read,
      })
      return read(pipeline)
    }
    if (!mayWrite) return await send(null)
    const ask = (): Promise<Topology> => this.#caller.topology(this.levels.timeoutMs, signal)
    return await sendNamed(this.#session, ask, send)
  }

  async #send(
    requests: readonly Request[],
    how: {
      readonly signal: AbortSignal | undefined
      readonly prefer: Call<never>['prefer']
      readonly writes: boolean
      readonly write: string | null
      readonly at?: { readonly baton: string; readonly url: string }
      /** Throws what another attempt may cure. */
      readonly check?: (pipeline: WirePipeline) => unknown
    },
  ): Promise<{ readonly pipeline: WirePipeline; readonly url: string }> {
    const { signal, prefer, writes, at } = how
    return await this.#caller.call({
      ...{ method: 'POST', path: '/v3/pipeline', signal, prefer, writes },
      timeoutMs: this.levels.timeoutMs,
      headers: this.#headers(how.write),
      body: JSON.stringify({ baton: at?.baton ?? null, requests }),
      ...(at === undefined ? {} : { only: at.url }),
      decode: (reply, url) => {
        const pipeline = parsePipeline(reply.body)
        this.#session.sawToken(reply.header('quorate-session'))
        how.check?.(pipeline)
        return { pipeline, url }
      },
    })
  }

  #headers(write: string | null): Record<string, string> {
    const { read, ack } = this.levels
    const { token } = this.#session
    return {
      ...(read === undefined ? {} : { 'quorate-read': String(read) }),
      ...(ack === undefined ? {} : { 'quorate-ack': String(ack) }),
      ...(token === null ? {} : { 'quorate-session': token }),
      ...(write === null ? {} : { 'quorate-write': write }),
    }
  }

  /** Nobody waits for it: a stream that falls silent is closed by its node. */
  #closeStream(at: { readonly baton: string; readonly url: string }): void {
    const how = { signal: undefined, prefer: 'any', writes: false, write: null, at } as const
    this.#send([CLOSE], how).catch(() => {})
  }

  #afterLoss(first: string): StatementResult {
    if (!ENDS.has(first)) throw gone()
    this.#state = 'none'
    if (first !== 'ROLLBACK') throw gone()
    return { columns: [], rows: [], changes: 0, lastInsertRowid: null }
  }
}

/** Each statement only where the one before succeeded. */
function batchOf(statements: readonly Statement[]): WireRequest {
  const steps = statements.map((statement, at) => {
    const request = executeRequest(statement)
    const stmt = request.type === 'execute' ? request.stmt : { sql: statement.sql }
    return at === 0 ? { stmt } : { stmt, condition: { type: 'ok', step: at - 1 } as const }
  })
  return { type: 'batch', batch: { steps } }
}

/** BEGIN at a node that has no leader may work in a moment, or elsewhere. */
function retryable(pipeline: WirePipeline): void {
  try {
    stepResult(pipeline.results[0], 0)
  } catch (error) {
    if (error instanceof QuorateError && ERRORS[error.code].retry !== 'never') throw error
  }
}

function isAutocommit(response: object): boolean {
  return 'is_autocommit' in response && response.is_autocommit === true
}

/** How many steps ran before the one that failed. */
function failedAt(answer: WirePipeline['results'][number] | undefined): number {
  if (answer?.type !== 'ok') return 0
  const { result } = answer.response
  const errors =
    typeof result === 'object' && result !== null && 'step_errors' in result
      ? result.step_errors
      : []
  return Array.isArray(errors)
    ? Math.max(
        0,
        errors.findIndex((error) => error !== null),
      )
    : 0
}

function gone(): QuorateError {
  const detail = 'The transaction was rolled back before this statement; ROLLBACK goes on.'
  return new QuorateError('TRANSACTION_CLOSED', detail)
}

/** Whether a statement gives no rows, so that a script may send it with others. */
export function isQuiet(sql: string): boolean {
  if (!/^\s*(insert|replace|update|delete)\b/i.test(sql)) return false
  if (!/returning/i.test(sql)) return true
  for (const { kind, text } of tokenize(sql)) {
    if (kind === 'word' && text.toUpperCase() === 'RETURNING') return false
  }
  return true
}
