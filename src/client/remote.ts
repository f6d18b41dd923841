/**
 * A database somewhere else, with the calls of the embedded one. Speaks Hrana 3 over HTTP; what
 * Hrana has no field for travels in Quorate-… headers.
 */
import { ERRORS, QuorateError } from '../base/errors.ts'
import type { Statement, StatementResult } from '../model/program.ts'
import { firstKeyword } from '../model/sql-tokens.ts'
import { type Call, Caller, type Retrying } from './caller.ts'
import { Emitter } from './emitter.ts'
import {
  batchRequest,
  batchResults,
  cursorBody,
  executeRequest,
  executeResult,
  type Mode,
  parsePipeline,
  stepResult,
  type WirePipeline,
  type WireRequest,
} from './hrana.ts'
import { placeOf, sendNamed } from './named-write.ts'
import { Nodes, type Topology } from './nodes.ts'
import { cursorRows } from './remote-cursor.ts'
import { RemoteEvents } from './remote-events.ts'
import { remoteLine, type SendOnStream } from './remote-line.ts'
import { type Place, Session } from './session.ts'
import { LineTransaction, runTransaction } from './transaction.ts'
import { fetchTransport, type HttpReply, type Transport } from './transport.ts'
import type {
  AckLevel,
  Args,
  BatchItem,
  BatchOptions,
  BeginOptions,
  CallOptions,
  Db,
  DbEvents,
  ExecuteResult,
  Listener,
  NodeStatus,
  OpenTransaction,
  ReadLevel,
  Row,
  StreamOptions,
  Transaction,
  TransactionOptions,
  ValueOptions,
} from './types.ts'
import { FOREIGN_KEYS_OFF, toExecuteResult, toRows, toStatement } from './values.ts'

export interface ConnectOptions extends ValueOptions {
  /** The cluster's token, sent as `authorization: Bearer …`. */
  readonly token?: string
  /** Default read level; else that of the nodes: `session`, with strategy peer `quorum`. */
  readonly read?: ReadLevel
  /** Default ack level; else that of the nodes: `majority`, with strategy peer `quorum`. */
  readonly ack?: AckLevel
  /** Default of each call's timeoutMs: 10,000. */
  readonly timeoutMs?: number
  /**
   * Whether to use the cluster's other members too, at the URLs that they give themselves. False:
   * only the URLs named to connect(), for example when a proxy stands in front. Default true.
   */
  readonly discover?: boolean
  /** Called when an attempt failed and another one follows: with the error, and the ms that are left. */
  readonly retrying?: Retrying
  /** In place of the global fetch. */
  readonly fetch?: typeof fetch
  /** In place of fetch altogether, for example nodeTransport(). */
  readonly transport?: Transport
}

/**
 * One client session on a cluster. Reads see at least what this object wrote or read before; a write
 * whose answer was lost is sent again under the same number and runs once. Every error is a
 * QuorateError, except that an aborted call rejects with its signal's reason.
 */
export class RemoteDb implements Db {
  readonly #options: ConnectOptions
  readonly #session = new Session()
  readonly #caller: Caller
  readonly #events: Emitter<DbEvents>
  readonly #sources: RemoteEvents

  /** Does not connect yet. Throws BAD_CONFIG for what is not an http or https URL. */
  constructor(urls: readonly string[], options: ConnectOptions) {
    this.#options = options
    const transport = options.transport ?? fetchTransport(options.fetch ?? globalThis.fetch)
    const nodes = new Nodes(urls, options.discover ?? true)
    this.#caller = new Caller(nodes, transport, options.token, options.retrying)
    this.#events = new Emitter((name, wanted) => this.#sources.want(name, wanted))
    const source = {
      open: (path: string, signal: AbortSignal) =>
        this.#caller.open({ ...this.#basics({ signal }), ...this.#get(path) }),
      failed: (url: string) => this.#caller.failed(url),
      place: () => this.#place(),
      status: () => this.status(),
    }
    this.#sources = new RemoteEvents(source, this.#events, this.#bigints({}))
  }

  /** Runs one statement, a transaction of its own. Returns its rows as lists beside the columns. */
  async execute(sql: string, args?: Args, options: CallOptions = {}): Promise<ExecuteResult> {
    return toExecuteResult(await this.#one(sql, args, options), this.#bigints(options))
  }

  /** Runs one statement and returns its rows as objects. */
  async query<T extends object = Row>(
    sql: string,
    args?: Args,
    options: CallOptions = {},
  ): Promise<T[]> {
    return toRows<T>(await this.#one(sql, args, options), this.#bigints(options))
  }

  /** Like query, and returns the first row; null if there is none. */
  async first<T extends object = Row>(
    sql: string,
    args?: Args,
    options: CallOptions = {},
  ): Promise<T | null> {
    const [row] = await this.query<T>(sql, args, options)
    return row ?? null
  }

  /**
   * Runs the statements as one transaction in one round trip. The first error rolls it back.
   *
   * @returns one result for each statement
   */
  async batch(items: readonly BatchItem[], options: BatchOptions = {}): Promise<ExecuteResult[]> {
    const mode = options.mode ?? 'write'
    const statements = items.map((item) =>
      typeof item === 'string' ? toStatement(item) : toStatement(item[0], item[1]),
    )
    const before = options.foreignKeys === false ? [FOREIGN_KEYS_OFF] : []
    const requests = [batchRequest(statements, mode, before), CLOSE]
    const results = await this.#pipeline(requests, options, mode, (pipeline) =>
      batchResults(pipeline.results[0], before.length),
    )
    return results.map((result) => toExecuteResult(result, this.#bigints(options)))
  }

  /**
   * Runs `work` between BEGIN and COMMIT; its rejecting rolls back, and is passed on. While one that
   * writes is open nobody else writes, so keep it short, never await another write inside, and
   * prefer batch() where the statements are known before. A COMMIT without an answer is
   * UNKNOWN_OUTCOME.
   *
   * @param options `timeoutMs` counts for each round trip
   */
  async transaction<T>(
    work: (transaction: Transaction) => Promise<T>,
    options: TransactionOptions = {},
  ): Promise<T> {
    return await runTransaction(async () => this.#begin(options), work, options)
  }

  /** Begins a transaction that the caller ends. BEGIN travels with its first statement. */
  async begin(options: BeginOptions = {}): Promise<OpenTransaction> {
    return this.#begin(options)
  }

  /**
   * Reads rows one by one from one snapshot, no faster than they are taken. Leaving the loop early
   * ends the statement.
   *
   * @throws QuorateError CURSOR_CLOSED when the node broke off, and what `query` throws
   */
  async *stream<T extends object = Row>(
    sql: string,
    args?: Args,
    options: StreamOptions = {},
  ): AsyncGenerator<T, void, undefined> {
    const reply = await this.#caller.open({
      ...this.#basics(options),
      path: '/v3/cursor',
      headers: this.#headers(options, null),
      body: cursorBody(toStatement(sql, args)),
      prefer: this.#prefer(options),
    })
    this.#session.sawToken(reply.header('quorate-session'))
    const close = (baton: string): void => this.#closeStream(baton, reply.url)
    yield* cursorRows<T>(reply, this.#timeoutMs(options), this.#bigints(options), close)
  }

  on<Name extends keyof DbEvents>(name: Name, listener: Listener<DbEvents[Name]>): () => void {
    return this.#events.on(name, listener)
  }

  off<Name extends keyof DbEvents>(name: Name, listener: Listener<DbEvents[Name]>): void {
    this.#events.off(name, listener)
  }

  /** How the node that answers sees itself and its group. */
  async status(options: Pick<CallOptions, 'timeoutMs' | 'signal'> = {}): Promise<NodeStatus> {
    return await this.#caller.call<NodeStatus>({
      ...this.#basics(options),
      ...this.#get('/status'),
      writes: false,
      decode: (reply) => JSON.parse(reply.body) as NodeStatus,
    })
  }

  /** Who leads, who belongs to the cluster, and how far it is, as one node sees it. */
  async topology(options: Pick<CallOptions, 'timeoutMs' | 'signal'> = {}): Promise<Topology> {
    return await this.#caller.topology(this.#timeoutMs(options), options.signal)
  }

  /** Ends what is under way with an error and lets connections go. */
  async close(): Promise<void> {
    this.#sources.close()
    this.#caller.close()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  async #one(sql: string, args: Args | undefined, options: CallOptions): Promise<StatementResult> {
    const statement: Statement = toStatement(sql, args)
    return await this.#pipeline(
      [executeRequest(statement), CLOSE],
      options,
      kindOf(sql),
      (pipeline) => executeResult(pipeline.results[0]),
    )
  }

  #begin(options: BeginOptions): LineTransaction {
    const mode: Mode = options.mode ?? 'write'
    const send: SendOnStream = (requests, at, commits) =>
      this.#caller.call({
        ...this.#basics(options),
        headers: this.#headers(options, null),
        body: pipelineBody(requests, at?.baton ?? null),
        prefer: mode === 'write' ? 'leader' : this.#prefer(options),
        writes: commits && mode === 'write',
        ...(at === null ? {} : { only: at.url }),
        decode: (reply, url) => {
          const pipeline = this.#decode(reply)
          if (at === null) throwIfNoLeader(pipeline)
          return { pipeline, url }
        },
      })
    return new LineTransaction(remoteLine(send, mode), this.#bigints(options))
  }

  /** A stream that a node keeps without need would be closed by itself in a while. */
  #closeStream(baton: string, url: string): void {
    const call = {
      ...this.#basics({}),
      headers: {},
      body: pipelineBody([CLOSE], baton),
      prefer: 'any',
      writes: false,
      only: url,
      decode: () => null,
    } as const
    this.#caller.call(call).catch(() => {})
  }

  async #pipeline<T>(
    requests: readonly WireRequest[],
    options: CallOptions,
    kind: Kind,
    read: (pipeline: WirePipeline) => T,
  ): Promise<T> {
    const started = performance.now()
    const writes = kind !== 'read'
    const basics = this.#basics(options)
    const leftMs = (): number => Math.max(1, basics.timeoutMs - (performance.now() - started))
    const send = (name: string | null): Promise<T> =>
      this.#caller.call({
        ...basics,
        timeoutMs: leftMs(),
        headers: this.#headers(options, name),
        body: pipelineBody(requests, null),
        prefer: kind === 'write' ? 'leader' : this.#prefer(options),
        writes,
        decode: (reply) => read(this.#decode(reply)),
      })
    if (!writes) return await send(null)
    const ask = (): Promise<Topology> => this.#caller.topology(leftMs(), options.signal)
    return await sendNamed(this.#session, ask, send)
  }

  /** Where changes begin that this session makes from now on. */
  async #place(): Promise<Place> {
    const ask = (): Promise<Topology> => this.#caller.topology(this.#timeoutMs({}))
    return this.#session.place ?? (await placeOf(this.#session, ask))
  }

  #decode(reply: HttpReply): WirePipeline {
    const pipeline = parsePipeline(reply.body)
    this.#session.sawToken(reply.header('quorate-session'))
    return pipeline
  }

  #basics(
    options: Pick<CallOptions, 'timeoutMs' | 'signal'>,
  ): Pick<Call<never>, 'method' | 'path' | 'timeoutMs' | 'signal'> {
    return {
      method: 'POST',
      path: '/v3/pipeline',
      timeoutMs: this.#timeoutMs(options),
      signal: options.signal,
    }
  }

  #get(path: string): Pick<Call<never>, 'method' | 'path' | 'headers' | 'body' | 'prefer'> {
    return { method: 'GET', path, headers: {}, body: null, prefer: 'any' }
  }

  #headers(options: CallOptions, write: string | null): Record<string, string> {
    const headers: Record<string, string> = {}
    const read = this.#level(options)
    const ack = options.ack ?? this.#options.ack
    if (read !== undefined) headers['quorate-read'] = String(read)
    if (ack !== undefined) headers['quorate-ack'] = String(ack)
    if (this.#session.token !== null) headers['quorate-session'] = this.#session.token
    if (write !== null) headers['quorate-write'] = write
    return headers
  }

  #prefer(options: Pick<CallOptions, 'read'>): 'leader' | 'any' {
    return this.#level(options) === 'strong' ? 'leader' : 'any'
  }

  #level(options: Pick<CallOptions, 'read'>): ReadLevel | undefined {
    return options.read ?? this.#options.read
  }

  #timeoutMs(options: Pick<CallOptions, 'timeoutMs'>): number {
    return options.timeoutMs ?? this.#options.timeoutMs ?? 10_000
  }

  #bigints(options: ValueOptions): boolean {
    return options.bigints ?? this.#options.bigints ?? false
  }
}

const CLOSE: WireRequest = { type: 'close' }

/** Where BEGIN failed for want of a leader the call is not over yet: another attempt may work. */
function throwIfNoLeader(pipeline: WirePipeline): void {
  try {
    stepResult(pipeline.results[0], 0)
  } catch (error) {
    if (error instanceof QuorateError && ERRORS[error.code].retry !== 'never') throw error
  }
}

function pipelineBody(requests: readonly WireRequest[], baton: string | null): string {
  return JSON.stringify({ baton, requests })
}

/** Statements that surely write nothing. All others get a name: being wrong that way costs little. */
const READS: ReadonlySet<string> = new Set(['SELECT', 'VALUES', 'EXPLAIN'])
/** Those that may do either, and may be asked of any node, which hands them on if need be. */
const MAY_READ: ReadonlySet<string> = new Set(['WITH', 'PRAGMA'])

type Kind = 'read' | 'mayRead' | 'write'

function kindOf(sql: string): Kind {
  const first = firstKeyword(sql)
  if (READS.has(first)) return 'read'
  return MAY_READ.has(first) ? 'mayRead' : 'write'
}
