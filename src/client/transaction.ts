/**
 * What embedded and remote transactions share: one statement after the other, an end that comes
 * once, and what may be tried again when a transaction is lost with its leader.
 */
import { type ErrorCode, QuorateError } from '../base/errors.ts'
import type { Statement, StatementResult } from '../model/program.ts'
import type {
  Args,
  ExecuteResult,
  OpenTransaction,
  Row,
  Transaction,
  TransactionOptions,
  ValueOptions,
} from './types.ts'
import { toExecuteResult, toRows, toStatement } from './values.ts'

/** The way to where a transaction lives. Calls come one at a time, and none after `end`. */
export interface TransactionLine {
  /** Runs a statement, the first one after BEGIN. Rejects with what went wrong. */
  run(statement: Statement): Promise<StatementResult>
  /** Ends the transaction; false rolls back and never rejects. */
  end(commit: boolean): Promise<void>
}

/** The transaction went, and nothing of it happened if COMMIT had not been sent. */
const LOST: ReadonlySet<ErrorCode> = new Set([
  'NO_LEADER',
  'NOT_READY',
  'TAKEN_BACK',
  'TRANSACTION_CLOSED',
  'STREAM_EXPIRED',
  'CURSOR_CLOSED',
  'UNREACHABLE',
  'UNKNOWN_OUTCOME',
])
/** These say so even of a COMMIT. */
const LOST_AT_COMMIT: ReadonlySet<ErrorCode> = new Set(['TAKEN_BACK', 'TRANSACTION_CLOSED'])

export class LineTransaction implements OpenTransaction {
  readonly #line: TransactionLine
  readonly #bigints: boolean
  /** One thing at a time; calls queue here. */
  #last: Promise<unknown> = Promise.resolve()
  #ended = false
  #lost = false

  constructor(line: TransactionLine, bigints: boolean) {
    this.#line = line
    this.#bigints = bigints
  }

  /** Neither committed nor rolled back yet. */
  get open(): boolean {
    return !this.#ended
  }

  /** It went by itself, without any effect: the same work may be begun again. */
  get lost(): boolean {
    return this.#lost
  }

  async execute(sql: string, args?: Args, options: ValueOptions = {}): Promise<ExecuteResult> {
    return toExecuteResult(await this.#run(sql, args), options.bigints ?? this.#bigints)
  }

  async query<T extends object = Row>(
    sql: string,
    args?: Args,
    options: ValueOptions = {},
  ): Promise<T[]> {
    return toRows<T>(await this.#run(sql, args), options.bigints ?? this.#bigints)
  }

  async first<T extends object = Row>(
    sql: string,
    args?: Args,
    options: ValueOptions = {},
  ): Promise<T | null> {
    const [row] = await this.query<T>(sql, args, options)
    return row ?? null
  }

  commit(): Promise<void> {
    return this.#inTurn(async () => {
      this.#end()
      // What a statement before told of the transaction is no longer all that matters.
      this.#lost = false
      await this.#noting(LOST_AT_COMMIT, () => this.#line.end(true))
    })
  }

  rollback(): Promise<void> {
    return this.#inTurn(async () => {
      if (this.#ended) return
      this.#end()
      await this.#line.end(false)
    })
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.rollback()
  }

  #run(sql: string, args: Args | undefined): Promise<StatementResult> {
    return this.#inTurn(async () => {
      if (this.#ended) throw closed()
      const statement = toStatement(sql, args)
      return await this.#noting(LOST, () => this.#line.run(statement))
    })
  }

  #end(): void {
    if (this.#ended) throw closed()
    this.#ended = true
  }

  async #noting<T>(codes: ReadonlySet<ErrorCode>, work: () => Promise<T>): Promise<T> {
    try {
      return await work()
    } catch (error) {
      if (error instanceof QuorateError && codes.has(error.code)) this.#lost = true
      throw error
    }
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#last.then(work, work)
    this.#last = result.catch(() => {})
    return result
  }
}

function closed(): QuorateError {
  return new QuorateError('TRANSACTION_CLOSED', 'The transaction has ended.')
}

/**
 * Runs `work` in a transaction, and again in another one as often as `retries` allows where the
 * transaction was lost without effect. What `work` throws is thrown unchanged.
 *
 * @param inside runs a function such that nested calls can be noticed
 */
export async function runTransaction<T>(
  begin: () => Promise<LineTransaction>,
  work: (transaction: Transaction) => Promise<T>,
  { retries = 0, signal }: Pick<TransactionOptions, 'retries' | 'signal'>,
  inside: (transaction: LineTransaction, run: () => Promise<T>) => Promise<T> = (_, run) => run(),
): Promise<T> {
  for (let left = retries; ; left -= 1) {
    signal?.throwIfAborted()
    const transaction = await begin()
    try {
      const value = await inside(transaction, () => work(transaction))
      await transaction.commit()
      return value
    } catch (error) {
      await transaction.rollback()
      if (left <= 0 || !transaction.lost) throw error
    }
  }
}
