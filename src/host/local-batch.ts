/** A batch of the application as a program of the node, and its results. */
import { assert, present } from '../base/assert.ts'
import { fromErrorData } from '../base/errors.ts'
import type { BatchOptions } from '../client/types.ts'
import { FOREIGN_KEYS_OFF } from '../client/values.ts'
import type { Program, ProgramResult, Statement, StatementResult, Step } from '../model/program.ts'

export interface Batch {
  readonly program: Program
  /** Of each statement. Throws the error that ended the batch. */
  readonly results: (result: ProgramResult) => StatementResult[]
}

export function batchOf(statements: readonly Statement[], options: BatchOptions): Batch {
  if (options.foreignKeys === false && options.mode !== 'read')
    return withoutForeignKeys(statements)
  const steps = statements.map((statement) => ({ statement }))
  return {
    program: { atomic: true, steps },
    results: (result) => stepsOf(result, 0, statements.length),
  }
}

/** Foreign keys can be switched off outside a transaction only, so it is one of the program's own. */
function withoutForeignKeys(statements: readonly Statement[]): Batch {
  const inner = [FOREIGN_KEYS_OFF, { sql: 'BEGIN' }, ...statements, { sql: 'COMMIT' }]
  const steps = inner.map((statement, at): Step => {
    return at === 0 ? { statement } : { statement, condition: { kind: 'ok', step: at - 1 } }
  })
  const committed = { kind: 'ok', step: steps.length - 1 } as const
  const rollback = { sql: 'ROLLBACK' }
  steps.push({ statement: rollback, condition: { kind: 'not', condition: committed } })
  return {
    program: { atomic: false, steps },
    results: (result) => stepsOf(result, 2, statements.length),
  }
}

/** The result of a program of one statement. */
export function resultOf(result: ProgramResult): StatementResult {
  const [only] = stepsOf(result, 0, 1)
  return present(only, () => 'result of the only step')
}

/** Results of `count` steps from `first` on. Throws the first error of the program. */
function stepsOf({ steps }: ProgramResult, first: number, count: number): StatementResult[] {
  for (const step of steps) if (step !== null && 'error' in step) throw fromErrorData(step.error)
  return steps.slice(first, first + count).map((step, at) => {
    assert(step !== null && 'ok' in step, () => `step ${first + at} has no result and no error`)
    return step.ok
  })
}
