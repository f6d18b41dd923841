/** An interactive transaction of the application, at the leader's writer. */
import { assert } from '../base/assert.ts'
import { fromErrorData, QuorateError } from '../base/errors.ts'
import type { TransactionLine } from '../client/transaction.ts'
import type { ProgramResult, Statement, StatementResult, Step } from '../model/program.ts'
import type { AckLevel } from '../model/request.ts'
import type { LocalSession } from './local-session.ts'

export interface WriterCall {
  readonly ack: AckLevel
  /** For each round trip. */
  readonly timeoutMs: number
  readonly signal: AbortSignal | undefined
}

const BEGIN: Step = { statement: { sql: 'BEGIN IMMEDIATE' } }

/** BEGIN goes with the first statement: one round trip less. */
export function writerLine(session: LocalSession, call: WriterCall): TransactionLine {
  const stream = crypto.randomUUID()
  const { ack, timeoutMs } = call
  let open = false
  let used = false

  async function round(steps: readonly Step[]): Promise<ProgramResult> {
    const program = { atomic: false, steps }
    const request = { kind: 'stream', stream, open, program, end: false, ack, timeoutMs } as const
    const reply = session.result(await session.call(request, call.signal))
    open = reply.open
    return reply.result
  }

  return {
    async run(statement: Statement): Promise<StatementResult> {
      if (used) {
        if (open) return last(await round([{ statement }]))
        throw new QuorateError('TRANSACTION_CLOSED', 'The transaction has ended by itself.')
      }
      used = true
      return last(await round([BEGIN, { statement, condition: { kind: 'ok', step: 0 } }]))
    },
    async end(commit: boolean): Promise<void> {
      if (!used) return
      if (!commit) {
        const rest = { program: null, end: true, ack: 'local', timeoutMs } as const
        await session.tell({ kind: 'stream', stream, open: true, ...rest })
        return
      }
      if (!open) {
        throw new QuorateError('TRANSACTION_CLOSED', 'The transaction has ended by itself.')
      }
      last(await round([{ statement: { sql: 'COMMIT' } }]))
    },
  }
}

/** The last step's result; throws the first error. */
function last(result: ProgramResult): StatementResult {
  for (const step of result.steps) {
    if (step !== null && 'error' in step) throw fromErrorData(step.error)
  }
  const step = result.steps.at(-1) ?? null
  assert(step !== null && 'ok' in step, () => 'a step without result and error')
  return step.ok
}
