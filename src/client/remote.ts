/**
 * A database somewhere else, with the calls of the embedded one. Speaks Hrana 3 over HTTP; what
 * Hrana has no field for travels in Quorate-… headers.
 */
import { ERRORS, QuorateError } from '../base/errors.ts'
import { firstKeyword } from '../model/sql-tokens.ts'
import { type Call, Caller } from './caller.ts'
import {
  batchRequest,
  batchResults,
  executeRequest,
  executeResult,
  parsePipeline,
  stepResult,
  toRows,
  type WirePipeline,
  type WireRequest,
} from './hrana.ts'
import { Nodes, type Topology } from './nodes.ts'
import { Session } from './session.ts'
import { RemoteTransaction } from './transaction.ts'
import { fetchTransport, type HttpReply, type Transport } from './transport.ts'
import type {
  AckLevel,
  Args,
  BatchItem,
  BatchOptions,
  CallOptions,
  ExecuteResult,
  ReadLevel,
  Row,
  Transaction,
} from './types.ts'

export interface ConnectOptions {
  /** The cluster's token, sent as `authorization: Bearer …`. */
  readonly token?: string
  /** Default read level; the nodes' default is `session`. */
  readonly read?: ReadLevel
  /** Default ack level; the nodes' default is `majority`. */
  readonly ack?: AckLevel
  /** Default of each call's timeoutMs: 10,000. */
  readonly timeoutMs?: number
  /**
   * Whether to use the cluster's other members too, at the URLs that they give themselves. False:
   * only the URLs named to connect(), for example when a proxy stands in front. Default true.
   */
  readonly discover?: boolean
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
export class RemoteDb {
  readonly #options: ConnectOptions
  readonly #session = new Session()
  readonly #caller: Caller

  /** Does not connect yet. Throws BAD_CONFIG for what is not an http or https URL. */
  constructor(urls: readonly string[], options: ConnectOptions) {
    this.#options = options
    const transport = options.transport ?? fetchTransport(options.fetch ?? globalThis.fetch)
    this.#caller = new Caller(new Nodes(urls, options.discover ?? true), transport, options.token)
  }

  /** Runs one statement, a transaction of its own. Returns its rows as lists beside the columns. */
  async execute(sql: string, args?: Args, options: CallOptions = {}): Promise<ExecuteResult> {
    const requests = [executeRequest(sql, args), CLOSE]
    return await this.#pipeline(requests, options, kindOf(sql), (pipeline) =>
      executeResult(pipeline.results[0]),
    )
  }

  /** Runs one statement and returns its rows as objects. */
  async query(sql: string, args?: Args, options: CallOptions = {}): Promise<Row[]> {
    return toRows(await this.execute(sql, args, options))
  }

  /**
   * Runs the statements as one transaction in one round trip. The first error rolls it back.
   *
   * @returns one result for each statement
   */
  async batch(items: readonly BatchItem[], options: BatchOptions = {}): Promise<ExecuteResult[]> {
    const mode = options.mode ?? 'write'
    const requests = [batchRequest(items, mode), CLOSE]
    return await this.#pipeline(requests, options, mode, (pipeline) =>
      batchResults(pipeline.results[0]),
    )
  }

  /**
   * Runs `work` between BEGIN and COMMIT on the leader; its throwing rolls back. While it is open
   * nobody else writes, so keep it short, and prefer batch() where the statements are known before.
   * It is not retried: what fails in the middle was rolled back and is thrown. A COMMIT without an
   * answer is UNKNOWN_OUTCOME.
   *
   * @param options `timeoutMs` counts for each round trip
   */
  async transaction<T>(
    work: (tx: Transaction) => Promise<T>,
    options: CallOptions = {},
  ): Promise<T> {
    const tx = new RemoteTransaction((requests, at, commits) =>
      this.#caller.call({
        ...this.#basics(options),
        headers: this.#headers(options, null),
        body: pipelineBody(requests, at?.baton ?? null),
        prefer: 'leader',
        writes: commits,
        ...(at === null ? {} : { only: at.url }),
        decode: (reply, url) => {
          const pipeline = this.#decode(reply)
          if (at === null) throwIfNoLeader(pipeline)
          return { pipeline, url }
        },
      }),
    )
    try {
      const value = await work(tx)
      await tx.commit()
      return value
    } catch (error) {
      await tx.rollback()
      throw error
    }
  }

  /** Who leads, who belongs to the cluster, and how far it is, as one node sees it. */
  async topology(options: Pick<CallOptions, 'timeoutMs' | 'signal'> = {}): Promise<Topology> {
    return await this.#caller.topology(this.#timeoutMs(options), options.signal)
  }

  /** Ends what is under way with an error and lets connections go. */
  close(): void {
    this.#caller.close()
  }

  async #pipeline<T>(
    requests: readonly WireRequest[],
    options: CallOptions,
    kind: Kind,
    read: (pipeline: WirePipeline) => T,
  ): Promise<T> {
    const started = performance.now()
    const writes = kind !== 'read'
    const id = writes ? this.#session.nameWrite(await this.#since(options)) : null
    const basics = this.#basics(options)
    return await this.#caller.call({
      ...basics,
      timeoutMs: Math.max(1, basics.timeoutMs - (performance.now() - started)),
      headers: this.#headers(options, id),
      body: pipelineBody(requests, null),
      prefer: kind === 'write' || this.#level(options) === 'strong' ? 'leader' : 'any',
      writes,
      decode: (reply) => read(this.#decode(reply)),
    })
  }

  /** Where the log stood before a write is sent: asked once, and known from every answer after. */
  async #since(options: CallOptions): Promise<number> {
    if (this.#session.since === null) {
      const { position } = await this.#caller.topology(this.#timeoutMs(options), options.signal)
      if (typeof position !== 'number') {
        throw new QuorateError('INTERNAL', 'The topology has no position.')
      }
      this.#session.sawPosition(position)
    }
    return this.#session.since ?? 0
  }

  #decode(reply: HttpReply): WirePipeline {
    const pipeline = parsePipeline(reply.body)
    this.#session.sawToken(reply.header('quorate-session'))
    return pipeline
  }

  #basics(options: CallOptions): Pick<Call<never>, 'method' | 'path' | 'timeoutMs' | 'signal'> {
    return {
      method: 'POST',
      path: '/v3/pipeline',
      timeoutMs: this.#timeoutMs(options),
      signal: options.signal,
    }
  }

  #headers(options: CallOptions, write: string | null): Record<string, string> {
    const headers: Record<string, string> = {}
    const read = this.#level(options)
    const ack = options.ack ?? this.#options.ack
    if (read !== undefined) headers['quorate-read'] = read
    if (ack !== undefined) headers['quorate-ack'] = String(ack)
    if (this.#session.token !== null) headers['quorate-session'] = this.#session.token
    if (write !== null) headers['quorate-write'] = write
    return headers
  }

  #level(options: CallOptions): ReadLevel | undefined {
    return options.read ?? this.#options.read
  }

  #timeoutMs(options: Pick<CallOptions, 'timeoutMs'>): number {
    return options.timeoutMs ?? this.#options.timeoutMs ?? 10_000
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
