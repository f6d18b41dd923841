/**
 * Runs a whole program of reads on a connection that is at the state to be read, in a transaction of
 * the caller's: the reader's connections, and the applier's when it shows a state of the past.
 */
import type { Program, ProgramResult, Step, StepResult } from '../../model/program.ts'
import { describeProgram } from '../execute/describe.ts'
import {
  conditionHolds,
  ResultRoom,
  runPrepared,
  type StatementCache,
} from '../execute/statement.ts'
import { NOTHING, stepError } from './reader-cursor.ts'
import { checkControl, type Plan, planReads } from './reader-plan.ts'

/**
 * Errors of statements are in their steps.
 *
 * @returns null: at least one statement is not a read, and nothing was run
 */
export function runReads(cache: StatementCache, program: Program): ProgramResult | null {
  if (program.describe) return { steps: describeProgram(program, cache), autocommit: true }
  const plans = planReads(cache, program.steps)
  return plans === null ? null : runAll(cache, program, plans)
}

function runAll(cache: StatementCache, program: Program, plans: readonly Plan[]): ProgramResult {
  const results: StepResult[] = []
  const room = new ResultRoom(program.resultBytesMax)
  let autocommit = true
  let ended = false
  for (const [i, step] of program.steps.entries()) {
    const plan = plans[i]
    const skip = ended || !conditionHolds(step.condition, results, autocommit)
    if (skip || plan === undefined) {
      results.push(null)
      continue
    }
    const result = runStep(cache, step, plan, autocommit, room)
    if (plan.kind === 'control' && 'ok' in result) autocommit = plan.word !== 'BEGIN'
    ended = program.atomic && 'error' in result
    results.push(result)
  }
  return { steps: results, autocommit }
}

function runStep(
  cache: StatementCache,
  step: Step,
  plan: Plan,
  autocommit: boolean,
  room: ResultRoom,
): Exclude<StepResult, null> {
  try {
    if (plan.kind === 'error') return { error: plan.error }
    if (plan.kind === 'run') return { ok: runPrepared(cache, plan.prepared, step.statement, room) }
    checkControl(plan.word, autocommit)
    return { ok: NOTHING }
  } catch (error) {
    return { error: stepError(error) }
  }
}
