/**
 * How statements outside a transaction are given to the node: as a read, as a write in one round
 * trip, or as a round of an interactive stream, which holds the writer while its transaction is
 * open and is therefore the last resort. Only first words are looked at; a read that turns out to
 * write is sent again as a write.
 */
import { present } from '../../base/assert.ts'
import type {
  Condition,
  Program,
  Statement,
  StatementResult,
  Step,
  StepResult,
} from '../../model/program.ts'
import { firstKeyword } from '../../model/sql-tokens.ts'

export interface Plan {
  /**
   * `read`: try a replica first, the leader if it turns out to write. `write`: the leader. `stream`:
   * it may leave a transaction open. `readOnly`: a replica, and a write is an error.
   */
  readonly via: 'read' | 'write' | 'stream' | 'readOnly'
  readonly program: Program
  /** The results that the caller expects, from those of the program. */
  readonly results?: (steps: readonly StepResult[]) => readonly StepResult[]
}

const READS: ReadonlySet<string> = new Set(['SELECT', 'VALUES', 'WITH', 'EXPLAIN', 'PRAGMA'])
const CONTROLS: ReadonlySet<string> = new Set([
  ...['BEGIN', 'COMMIT', 'END', 'ROLLBACK', 'SAVEPOINT', 'RELEASE'],
])

/** A single statement. */
export function planStatement(statement: Statement): Plan {
  const keyword = firstKeyword(statement.sql)
  const steps = [{ statement }]
  if (CONTROLS.has(keyword)) return { via: 'stream', program: { atomic: false, steps } }
  // Many PRAGMAs do nothing inside a transaction, so theirs is none.
  const atomic = keyword !== 'PRAGMA'
  return { via: READS.has(keyword) ? 'read' : 'write', program: { atomic, steps } }
}

/** A batch with conditions. */
export function planBatch(steps: readonly Step[]): Plan {
  const [only] = steps
  if (steps.length === 1 && only !== undefined && only.condition === undefined) {
    return planStatement(only.statement)
  }
  const program = { atomic: false, steps }
  const keywords = steps.map(({ statement }) => firstKeyword(statement.sql))
  if (!keywords.some((keyword) => CONTROLS.has(keyword))) {
    return { via: keywords.every((keyword) => READS.has(keyword)) ? 'read' : 'write', program }
  }
  const commit = closingCommit(steps, keywords)
  if (commit === null) return { via: 'stream', program }
  return isReadOnly(steps, commit) ? planReadOnly(steps) : { via: 'write', program }
}

/** Statements of a script, which ends at the first error. */
export function planSequence(statements: readonly Statement[]): Plan {
  const steps = statements.map((statement, at): Step => {
    return at === 0 ? { statement } : { statement, condition: { kind: 'ok', step: at - 1 } }
  })
  return planBatch(steps)
}

/**
 * Where the COMMIT is in a batch that surely leaves no transaction open, whatever fails in it: one
 * BEGIN, one COMMIT, and a ROLLBACK unless the COMMIT succeeded. libSQL clients send batches so.
 */
function closingCommit(steps: readonly Step[], keywords: readonly string[]): number | null {
  const controls = keywords.flatMap((keyword, at) => (CONTROLS.has(keyword) ? [at] : []))
  const [begin = -1, commit = -1, rollback = -1] = controls
  if (controls.length !== 3 || keywords[begin] !== 'BEGIN') return null
  if (keywords[commit] !== 'COMMIT' && keywords[commit] !== 'END') return null
  const { statement, condition } = present(steps[rollback], () => `step ${rollback}`)
  if (!/^\s*rollback(\s+transaction)?\s*;?\s*$/i.test(statement.sql)) return null
  return isUnless(condition, commit) ? commit : null
}

function isUnless(condition: Condition | undefined, step: number): boolean {
  return condition?.kind === 'not' && isOk(condition.condition, step)
}

function isOk(condition: Condition, step: number): boolean {
  return condition.kind === 'ok' && condition.step === step
}

/**
 * BEGIN … READONLY around statements that each wait for the one before. SQLite takes the word for a
 * name; libSQL promises that nothing is written, and a replica's reader keeps that promise.
 */
function isReadOnly(steps: readonly Step[], commit: number): boolean {
  const [begin] = steps
  if (begin === undefined || !/\breadonly\b/i.test(begin.statement.sql)) return false
  if (begin.condition !== undefined || commit !== steps.length - 2) return false
  return steps.slice(1, -1).every(({ condition }, at) => isAfter(condition, at))
}

/** ok(step), alone or together with not(autocommit), as version 3 clients add. */
function isAfter(condition: Condition | undefined, step: number): boolean {
  if (condition === undefined) return false
  if (condition.kind !== 'and') return isOk(condition, step)
  const others = condition.conditions.filter((each) => !isOk(each, step))
  const inside = others.every((each) => each.kind === 'not' && each.condition.kind === 'autocommit')
  return inside && others.length < condition.conditions.length
}

/** A read program is one transaction anyway: BEGIN, COMMIT and ROLLBACK need not travel. */
function planReadOnly(steps: readonly Step[]): Plan {
  const inner = steps.slice(1, -2).map(({ statement }) => ({ statement }))
  return {
    via: 'readOnly',
    program: { atomic: true, steps: inner },
    results: (results) => {
      const done = results.every((result) => result !== null && 'ok' in result)
      return [EMPTY, ...results, done ? EMPTY : null, done ? null : EMPTY]
    },
  }
}

/** What BEGIN, COMMIT and ROLLBACK return. */
const EMPTY: { readonly ok: StatementResult } = {
  ok: { columns: [], rows: [], changes: 0, lastInsertRowid: null },
}
