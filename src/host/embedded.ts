/** `open`: a replica inside an application. The node runs in threads of its own. */
import { AsyncLocalStorage } from 'node:async_hooks'
import { hostname } from 'node:os'
import { fromErrorData, QuorateError } from '../base/errors.ts'
import { Emitter } from '../client/emitter.ts'
import { LineTransaction, runTransaction } from '../client/transaction.ts'
import type {
  Args,
  BatchItem,
  BatchOptions,
  BeginOptions,
  CallOptions,
  Cell,
  Db,
  DbEvents,
  ExecuteResult,
  Listener,
  NodeStatus,
  OpenTransaction,
  Row,
  StreamOptions,
  Transaction,
  TransactionOptions,
  ValueOptions,
} from '../client/types.ts'
import { toCells, toExecuteResult, toRows, toStatement } from '../client/values.ts'
import { toAckLevel, toReadLevel } from '../model/levels.ts'
import type { Program, ProgramResult, Statement, StatementResult } from '../model/program.ts'
import type { AckLevel } from '../model/request.ts'
import { firstKeyword } from '../model/sql-tokens.ts'
import { NODE_DEFAULTS, type NodeOptions } from '../node/options.ts'
import { Reader } from '../store/read/reader.ts'
import { batchOf, resultOf } from './local-batch.ts'
import { type CursorCall, snapshotLine, streamRows } from './local-cursor.ts'
import { LocalEvents } from './local-events.ts'
import { LocalSession, single } from './local-session.ts'
import { writerLine } from './local-writer.ts'
import { type NodeLink, startNodeThread } from './node-link.ts'

/** How `open` may be told what `quorate serve` is told; all optional. */
export type OpenOptions = Partial<Omit<NodeOptions, 'file' | 'join'>> &
  ValueOptions & {
    readonly join?: string | readonly string[]
    /** Default of each call's timeoutMs: 10,000. */
    readonly timeoutMs?: number
  }

/** How querySync gives its rows. */
export interface SyncOptions extends ValueOptions {
  /** Rows as lists of values instead of objects. */
  readonly raw?: boolean
}

const DEFAULT_TIMEOUT_MS = 10_000
/** What may be a read; the database has the last word. */
const MAY_READ = new Set(['SELECT', 'VALUES', 'WITH', 'EXPLAIN', 'PRAGMA'])

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
  const { join = [], bigints = false, timeoutMs = DEFAULT_TIMEOUT_MS, ...rest } = options
  const full: NodeOptions = {
    ...NODE_DEFAULTS,
    name: hostname(),
    listen: '127.0.0.1:0',
    ...rest,
    file,
    join: typeof join === 'string' ? join.split(',') : join,
  }
  const link = await startNodeThread(full)
  return new Database(link, full, { bigints, timeoutMs })
}

/** A replica that the application holds. One object is one session. */
export class Database implements Db {
  readonly #link: NodeLink
  readonly #options: NodeOptions
  readonly #defaults: Required<ValueOptions> & { readonly timeoutMs: number }
  readonly #session: LocalSession
  readonly #events: Emitter<DbEvents>
  readonly #sources: LocalEvents
  /** The transaction whose function is running, in whatever it has called. */
  readonly #inside = new AsyncLocalStorage<LineTransaction>()
  #reader: Reader | null = null
  #closed = false

  constructor(
    link: NodeLink,
    options: NodeOptions,
    defaults: Required<ValueOptions> & { readonly timeoutMs: number },
  ) {
    this.#link = link
    this.#options = options
    this.#defaults = defaults
    this.#session = new LocalSession(link)
    this.#events = new Emitter((name, wanted) => this.#sources.want(name, wanted))
    this.#sources = new LocalEvents(link, this.#events, defaults.bigints)
  }

  /** Where this node listens. */
  get url(): string {
    return this.#link.url
  }

  /**
   * Runs one statement as a transaction of its own: a read on this replica, a write at the leader.
   *
   * @throws QuorateError SQL_*, UNKNOWN_OUTCOME, NO_LEADER, READ_LEVEL_UNAVAILABLE, …
   */
  async execute(sql: string, args?: Args, options: CallOptions = {}): Promise<ExecuteResult> {
    const result = await this.#one(toStatement(sql, args), options)
    return toExecuteResult(result, this.#bigints(options))
  }

  /** Like execute, and returns the rows as objects. */
  async query<T extends object = Row>(
    sql: string,
    args?: Args,
    options: CallOptions = {},
  ): Promise<T[]> {
    return toRows<T>(await this.#one(toStatement(sql, args), options), this.#bigints(options))
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

  /** Reads this replica as it is, in this thread, without waiting for anything. */
  querySync(sql: string, args: Args | undefined, options: SyncOptions & { raw: true }): Cell[][]
  querySync<T extends object = Row>(sql: string, args?: Args, options?: ValueOptions): T[]
  querySync<T extends object>(sql: string, args?: Args, options: SyncOptions = {}): T[] | Cell[][] {
    if (this.#closed) throw new QuorateError('NOT_READY', 'The database was closed.')
    this.#reader ??= new Reader(this.#options.file)
    const reply = this.#reader.read(single(toStatement(sql, args)))
    if (reply.kind === 'notRead') {
      throw new QuorateError('SQL_REFUSED', 'querySync only reads; use execute to write.')
    }
    if (reply.kind === 'failed') throw fromErrorData(reply.error)
    const result = resultOf(reply.result)
    const bigints = this.#bigints(options)
    return options.raw === true ? toCells(result, bigints) : toRows<T>(result, bigints)
  }

  /** Runs statements as one transaction in one round trip. The first error takes all back. */
  async batch(items: readonly BatchItem[], options: BatchOptions = {}): Promise<ExecuteResult[]> {
    const statements = items.map((item) =>
      typeof item === 'string' ? toStatement(item) : toStatement(item[0], item[1]),
    )
    const { program, results } = batchOf(statements, options)
    const reads = options.mode === 'read'
    const result = reads ? await this.#read(program, options) : await this.#write(program, options)
    if (result === null) {
      throw new QuorateError('SQL_REFUSED', 'A batch of mode `read` has a statement that writes.')
    }
    const bigints = this.#bigints(options)
    return results(result).map((each) => toExecuteResult(each, bigints))
  }

  /**
   * Runs an interactive transaction. Committed when the function's promise resolves, rolled back
   * when it rejects, with what it rejected with. One that writes holds the leader's writer, which
   * works for nobody else meanwhile: keep it short.
   *
   * @throws QuorateError NESTED_TRANSACTION inside the function of another one; UNKNOWN_OUTCOME when
   *   the leader was lost while it committed
   */
  async transaction<T>(
    work: (transaction: Transaction) => Promise<T>,
    options: TransactionOptions = {},
  ): Promise<T> {
    const noted = <R>(transaction: LineTransaction, run: () => Promise<R>): Promise<R> =>
      options.mode === 'read' ? run() : this.#inside.run(transaction, run)
    return await runTransaction(() => this.#begin(options), work, options, noted)
  }

  /** Begins a transaction that the caller ends: for code that can't be a function. */
  async begin(options: BeginOptions = {}): Promise<OpenTransaction> {
    return await this.#begin(options)
  }

  /**
   * Reads rows one by one from one snapshot of this replica, a piece at a time. For results that
   * are too large to hold; leaving the loop early ends the statement.
   *
   * @throws QuorateError SQL_REFUSED for what is not a read; CURSOR_CLOSED when no row was taken for
   *   ten seconds
   */
  stream<T extends object = Row>(
    sql: string,
    args?: Args,
    options: StreamOptions = {},
  ): AsyncGenerator<T, void, undefined> {
    const call = this.#cursorCall(options)
    return streamRows<T>(this.#session, toStatement(sql, args), call, this.#bigints(options))
  }

  on<Name extends keyof DbEvents>(name: Name, listener: Listener<DbEvents[Name]>): () => void {
    return this.#events.on(name, listener)
  }

  off<Name extends keyof DbEvents>(name: Name, listener: Listener<DbEvents[Name]>): void {
    this.#events.off(name, listener)
  }

  /** How this node sees itself and its group. */
  async status(): Promise<NodeStatus> {
    return this.#link.status()
  }

  /** Ends the node in order; a leader hands over first. */
  async close(): Promise<void> {
    this.#closed = true
    this.#sources.close()
    this.#reader?.close()
    this.#reader = null
    await this.#link.close()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  async #begin(options: BeginOptions): Promise<LineTransaction> {
    const reads = options.mode === 'read'
    if (!reads) this.#refuseInside()
    options.signal?.throwIfAborted()
    const line = reads
      ? snapshotLine(this.#session, this.#cursorCall(options))
      : writerLine(this.#session, {
          ack: this.#ack(options),
          timeoutMs: this.#timeoutMs(options),
          signal: options.signal,
        })
    return new LineTransaction(line, this.#bigints(options))
  }

  /** The writer waits for the transaction, and the transaction would wait for the writer. */
  #refuseInside(): void {
    if (this.#inside.getStore()?.open !== true) return
    const detail = 'The database was given a write inside the function of a transaction.'
    throw new QuorateError('NESTED_TRANSACTION', detail)
  }

  async #one(statement: Statement, options: CallOptions): Promise<StatementResult> {
    const program = single(statement)
    const read = MAY_READ.has(firstKeyword(statement.sql))
      ? await this.#read(program, options)
      : null
    return resultOf(read ?? (await this.#write(program, options)))
  }

  /** null: it is not a read. */
  async #read(program: Program, options: CallOptions): Promise<ProgramResult | null> {
    const { token } = this.#session
    const { level, timeoutMs, signal } = this.#cursorCall(options)
    const request = { kind: 'read', program, level, token, timeoutMs } as const
    const reply = await this.#session.call(request, signal)
    return reply.kind === 'writeNeeded' ? null : this.#session.result(reply).result
  }

  async #write(program: Program, options: CallOptions): Promise<ProgramResult> {
    this.#refuseInside()
    const request = { kind: 'write', program, ack: this.#ack(options) } as const
    const timeoutMs = this.#timeoutMs(options)
    const reply = await this.#session.call({ ...request, timeoutMs }, options.signal)
    return this.#session.result(reply).result
  }

  #cursorCall(options: StreamOptions): CursorCall {
    const level = toReadLevel(options.read ?? this.#link.levels.read)
    return { level, timeoutMs: this.#timeoutMs(options), signal: options.signal }
  }

  #ack(options: CallOptions): AckLevel {
    return toAckLevel(options.ack ?? this.#link.levels.ack)
  }

  #timeoutMs(options: CallOptions | StreamOptions): number {
    return options.timeoutMs ?? this.#defaults.timeoutMs
  }

  #bigints(options: ValueOptions): boolean {
    return options.bigints ?? this.#defaults.bigints
  }
}
