/**
 * The client's side of an interactive transaction: a Hrana stream, tied together by batons, that
 * lives at one node. BEGIN travels with the first statement.
 */
import { QuorateError } from '../base/errors.ts'
import type { Statement, StatementResult } from '../model/program.ts'
import {
  executeRequest,
  executeResult,
  insideRequest,
  type Mode,
  openRequest,
  stepResult,
  type WirePipeline,
  type WireRequest,
} from './hrana.ts'
import type { TransactionLine } from './transaction.ts'

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

const CLOSE: WireRequest = { type: 'close' }
const COMMIT: Statement = { sql: 'COMMIT' }

export function remoteLine(send: SendOnStream, mode: Mode): TransactionLine {
  /** null: not opened yet, or ended. */
  let at: StreamAt | null = null
  let used = false

  async function exchange(request: WireRequest): Promise<WirePipeline> {
    const from = at
    // Until the answer is here there is nothing to go on from.
    at = null
    const { pipeline, url } = await send([request], from, false)
    const { baton } = pipeline
    if (baton !== null) at = { baton, url: pipeline.base_url ?? url }
    return pipeline
  }

  return {
    async run(statement: Statement): Promise<StatementResult> {
      if (used && at === null) throw gone()
      const opens = !used
      used = true
      const request = opens ? openRequest(statement, mode) : insideRequest(statement)
      const pipeline = await exchange(request)
      const result = stepResult(pipeline.results[0], opens ? 1 : 0)
      if (result === null) throw gone()
      return result
    },
    async end(commit: boolean): Promise<void> {
      const from = at
      at = null
      if (!commit) {
        // A stream that can't be told is rolled back by its node when it falls silent.
        if (from !== null) await send([CLOSE], from, false).catch(() => {})
        return
      }
      if (!used) return
      if (from === null) throw gone()
      const { pipeline } = await send([executeRequest(COMMIT), CLOSE], from, true)
      executeResult(pipeline.results[0])
    },
  }
}

function gone(): QuorateError {
  return new QuorateError('TRANSACTION_CLOSED', 'The transaction has ended by itself.')
}
