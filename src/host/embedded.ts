/** `open`: a replica inside an application. The node runs in threads of its own. */
import { EventEmitter } from 'node:events'
import { hostname } from 'node:os'
import { present } from '../base/assert.ts'
import { fromErrorData, QuorateError } from '../base/errors.ts'
import type {
  Args,
  BatchItem,
  BatchOptions,
  CallOptions,
  ExecuteResult,
  Row,
  Transaction,
} from '../client/types.ts'
import type { Program, ProgramResult, Statement, StatementResult } from '../model/program.ts'
import type { NodeReply, NodeRequest, SessionToken } from '../model/request.ts'
import { firstKeyword } from '../model/sql-tokens.ts'
import type { NodeStatus } from '../model/status.ts'
import { NODE_DEFAULTS, type NodeOptions } from '../node/options.ts'
import type { NodeEvent } from '../node/ports.ts'
import { Reader } from '../store/reader.ts'
import { type NodeLink, startNodeThread } from './node-link.ts'
import { toExecuteResult, toRows, toStatement } from './values.ts'

/** How `open` may be told what `quorate serve` is told; all optional. */
export type OpenOptions = Partial<Omit<NodeOptions, 'file' | 'join'>> & {
  readonly join?: string | readonly string[]
}

const DEFAULT_TIMEOUT_MS = 10_000
/** What may be a read; the database has the last word. */
const MAY_READ = new Set(['SELECT', 'VALUES', 'WITH', 'EXPLAIN', 'PRAGMA'])

interface Events {
  leader: [{ name: string; term: number }]
  event: [NodeEvent]
}

/**
 * Opens a SQLite file as a replica, founding or joining its cluster if it belongs to none yet.
 * Resolves when the node serves requests.
 *
 * @param file path of the SQLite file; it is made if it does not exist
 * @throws QuorateError NOT_ADOPTABLE, FILE_IN_USE, NAME_IN_USE, WRONG_CLUSTER, LOG_CORRUPT
 * @example
 * await using db = await open('shop.db', { name: 'a', listen: '127.0.0.1:7001' })
 * await db.execute('insert into orders (id, total) values (?, ?)', [id, 42], { ack: 'majority' })
 */
export async function open(file: string, options: OpenOptions = {}): Promise<Database> {
  const { join = [] } = options
  const full: NodeOptions = {
    ...NODE_DEFAULTS,
    name: hostname(),
    listen: '127.0.0.1:0',
    ...options,
    file,
    join: typeof join === 'string' ? join.split(',') : join,
  }
  const link = await startNodeThread(full)
  return new Database(link, full)
}

/** A replica that the application holds. One object is one session. */
export class Database extends EventEmitter<Events> {
  readonly #link: NodeLink
  readonly #options: NodeOptions
  #token: SessionToken | null = null
  #reader: Reader | null = null
  #streams = 0

  constructor(link: NodeLink, options: NodeOptions) {
    super()
    this.#link = link
    this.#options = options
    link.onEvent((event) => this.#event(event))
  }

  /** Where this node listens. */
  get url(): string {
    return this.#link.url
  }

  /**
   * Runs one statement as a transaction of its own: a read on this replica, a write at the leader.
   *
   * @throws QuorateError SQL_*, NULL_IN_KEY, UNKNOWN_OUTCOME, NO_LEADER, READ_LEVEL_UNAVAILABLE, …
   */
  async execute(sql: string, args?: Args, options: CallOptions = {}): Promise<ExecuteResult> {
    return toExecuteResult(await this.#one(toStatement(sql, args), options))
  }

  /** Like execute, and returns the rows as objects. */
  async query(sql: string, args?: Args, options: CallOptions = {}): Promise<Row[]> {
    return toRows(await this.#one(toStatement(sql, args), options))
  }

  /** Reads this replica as it is, in this thread, without waiting for anything. */
  querySync(sql: string, args?: Args): Row[] {
    this.#reader ??= new Reader(this.#options.file)
    const reply = this.#reader.read(single(toStatement(sql, args)))
    if (reply.kind === 'notRead') {
      throw new QuorateError('SQL_REFUSED', 'querySync only reads; use execute to write.')
    }
    if (reply.kind === 'failed') throw fromErrorData(reply.error)
    return toRows(firstOf(reply.result))
  }

  /** Runs statements as one transaction in one round trip. The first error takes all back. */
  async batch(items: readonly BatchItem[], options: BatchOptions = {}): Promise<ExecuteResult[]> {
    const steps = items.map((item) => ({
      statement: typeof item === 'string' ? toStatement(item) : toStatement(item[0], item[1]),
    }))
    const program = { atomic: true, steps }
    const reads = options.mode === 'read'
    const result = reads ? await this.#read(program, options) : await this.#write(program, options)
    if (result === null) {
      throw new QuorateError('SQL_REFUSED', 'A batch of mode `read` has a statement that writes.')
    }
    return result.steps.map((_, i) => toExecuteResult(stepOf(result, i)))
  }

  /**
   * Runs an interactive transaction at the leader's writer, which waits for nobody else meanwhile:
   * keep it short. Committed when the function's promise resolves, rolled back when it rejects.
   */
  async transaction<T>(
    work: (transaction: Transaction) => Promise<T>,
    options: CallOptions = {},
  ): Promise<T> {
    this.#streams += 1
    const stream = `${crypto.randomUUID()}/${this.#streams}`
    await this.#round(stream, { sql: 'BEGIN IMMEDIATE' }, false, options)
    const run = (sql: string, args?: Args): Promise<StatementResult> =>
      this.#round(stream, toStatement(sql, args), true, options)
    const transaction: Transaction = {
      execute: async (sql, args) => toExecuteResult(await run(sql, args)),
      query: async (sql, args) => toRows(await run(sql, args)),
    }
    let value: T
    try {
      value = await work(transaction)
    } catch (error) {
      await this.#rollBack(stream)
      throw error
    }
    await this.#round(stream, { sql: 'COMMIT' }, true, options)
    return value
  }

  /** How this node sees itself and its group. */
  async status(): Promise<NodeStatus> {
    return this.#link.status()
  }

  /** Ends the node in order; a leader hands over first. */
  async close(): Promise<void> {
    this.#reader?.close()
    this.#reader = null
    await this.#link.close()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  async #one(statement: Statement, options: CallOptions): Promise<StatementResult> {
    const program = single(statement)
    const read = MAY_READ.has(firstKeyword(statement.sql))
      ? await this.#read(program, options)
      : null
    return firstOf(read ?? (await this.#write(program, options)))
  }

  /** null: it is not a read. */
  async #read(program: Program, options: CallOptions): Promise<ProgramResult | null> {
    const level = options.read ?? this.#options.read
    const timeoutMs = options.timeoutMs ?? DEFAULT_TIMEOUT_MS
    const request = { kind: 'read', program, level, token: this.#token, timeoutMs } as const
    const reply = await this.#call(request, options.signal)
    return reply.kind === 'writeNeeded' ? null : this.#accept(reply).result
  }

  async #write(program: Program, options: CallOptions): Promise<ProgramResult> {
    const ack = options.ack ?? this.#options.ack
    const timeoutMs = options.timeoutMs ?? DEFAULT_TIMEOUT_MS
    const reply = await this.#call({ kind: 'write', program, ack, timeoutMs }, options.signal)
    return this.#accept(reply).result
  }

  async #round(
    stream: string,
    statement: Statement,
    open: boolean,
    options: CallOptions,
  ): Promise<StatementResult> {
    const ack = options.ack ?? this.#options.ack
    const timeoutMs = options.timeoutMs ?? DEFAULT_TIMEOUT_MS
    const program = { ...single(statement), atomic: false }
    const request = { kind: 'stream', stream, open, program, end: false, ack, timeoutMs } as const
    return firstOf(this.#accept(await this.#call(request, options.signal)).result)
  }

  async #rollBack(stream: string): Promise<void> {
    const end = { program: null, end: true, ack: 'local', timeoutMs: DEFAULT_TIMEOUT_MS } as const
    // A transaction that is gone already is rolled back: its error says nothing new.
    await this.#link.request({ kind: 'stream', stream, open: true, ...end })
  }

  #call(request: NodeRequest, signal?: AbortSignal): Promise<NodeReply> {
    const answer = this.#link.request(request)
    if (signal === undefined) return answer
    const aborted = Promise.withResolvers<never>()
    const abort = (): void => aborted.reject(signal.reason)
    if (signal.aborted) abort()
    else signal.addEventListener('abort', abort, { once: true })
    return Promise.race([answer, aborted.promise]).finally(() => {
      signal.removeEventListener('abort', abort)
    })
  }

  #accept(reply: NodeReply): Extract<NodeReply, { kind: 'result' }> {
    if (reply.kind === 'error') throw fromErrorData(reply.error)
    if (reply.kind !== 'result') {
      throw new QuorateError('INTERNAL', `The node answered ${reply.kind} to a statement.`)
    }
    if (this.#token === null || reply.token.index >= this.#token.index) this.#token = reply.token
    return reply
  }

  #event(event: NodeEvent): void {
    this.emit('event', event)
    if (event.name !== 'leader.elected' && event.name !== 'leader.following') return
    const name = String(event.facts['name'] ?? event.facts['leader'])
    this.emit('leader', { name, term: Number(event.facts['term']) })
  }
}

function single(statement: Statement): Program {
  return { atomic: true, steps: [{ statement }] }
}

function firstOf(result: ProgramResult): StatementResult {
  return stepOf(result, 0)
}

/** A step's result; throws the error that ended the program, wherever in it that was. */
function stepOf(result: ProgramResult, index: number): StatementResult {
  const step = present(result.steps[index], () => `result of step ${index}`)
  if ('error' in step) throw fromErrorData(step.error)
  return step.ok
}
