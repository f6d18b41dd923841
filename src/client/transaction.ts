/**
 * The client's side of an interactive transaction: a Hrana stream, tied together by batons, that
 * lives at one node. BEGIN travels with the first statement.
 */
import { QuorateError } from '../base/errors.ts'
import {
  executeRequest,
  executeResult,
  insideRequest,
  openRequest,
  stepResult,
  toRows,
  type WirePipeline,
  type WireRequest,
} from './hrana.ts'
import type { Args, ExecuteResult, Row, Transaction } from './types.ts'

/** Where the stream goes on. */
export interface StreamAt {
  readonly baton: string
  readonly url: string
}

/** Sends requests on the stream, or opens one when `at` is null. */
export type SendOnStream = (
  requests: readonly WireRequest[],
  at: StreamAt | null,
  commits: boolean,
) => Promise<{ readonly pipeline: WirePipeline; readonly url: string }>

type State = 'unopened' | 'open' | 'ended'

export class RemoteTransaction implements Transaction {
  readonly #send: SendOnStream
  #state: State = 'unopened'
  #at: StreamAt | null = null
  /** A stream does one thing at a time; calls queue here. */
  #last: Promise<unknown> = Promise.resolve()

  constructor(send: SendOnStream) {
    this.#send = send
  }

  execute(sql: string, args?: Args): Promise<ExecuteResult> {
    return this.#inTurn(() => this.#execute(sql, args))
  }

  async query(sql: string, args?: Args): Promise<Row[]> {
    return toRows(await this.execute(sql, args))
  }

  commit(): Promise<void> {
    return this.#inTurn(async () => {
      if (this.#state === 'ended') throw closed()
      const opened = this.#state === 'open'
      this.#state = 'ended'
      if (!opened) return
      const { pipeline } = await this.#send(
        [executeRequest('COMMIT', undefined), CLOSE],
        this.#at,
        true,
      )
      executeResult(pipeline.results[0])
    })
  }

  /** Never throws: a stream that can't be told is rolled back by its node when it falls silent. */
  rollback(): Promise<void> {
    return this.#inTurn(async () => {
      const opened = this.#state === 'open'
      this.#state = 'ended'
      if (opened) await this.#send([CLOSE], this.#at, false).catch(() => {})
    })
  }

  async #execute(sql: string, args: Args | undefined): Promise<ExecuteResult> {
    if (this.#state === 'ended') throw closed()
    const opens = this.#state === 'unopened'
    const request = opens ? openRequest(sql, args) : insideRequest(sql, args)
    const { pipeline, url } = await this.#exchange([request])
    const { baton } = pipeline
    if (baton === null) this.#state = 'ended'
    else {
      this.#state = 'open'
      this.#at = { baton, url: pipeline.base_url ?? url }
    }
    const result = stepResult(pipeline.results[0], opens ? 1 : 0)
    if (result === null) throw closed()
    return result
  }

  async #exchange(requests: readonly WireRequest[]): ReturnType<SendOnStream> {
    try {
      return await this.#send(requests, this.#at, false)
    } catch (error) {
      this.#state = 'ended'
      throw error
    }
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#last.then(work, work)
    this.#last = result.catch(() => {})
    return result
  }
}

const CLOSE: WireRequest = { type: 'close' }

function closed(): QuorateError {
  return new QuorateError('TRANSACTION_CLOSED', 'The transaction has ended.')
}
