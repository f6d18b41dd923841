/**
 * How statements outside a transaction are given to the node: as a read, as a write in one round
 * trip, or as a round of an interactive stream, which holds the writer while its transaction is
 * open and is therefore the last resort. Only first words are looked at; a read that turns out to
 * write is sent again as a write.
 */
import { present } from '../../base/assert.ts'
import type { Condition, Program, Statement, Step } from '../../model/program.ts'
import { firstKeyword } from '../../model/sql-tokens.ts'

export interface Plan {
  /**
   * `read`: try a replica first, the leader if it turns out to write. `write`: the leader. `stream`:
   * it may leave a transaction open. `snapshot`: it begins a transaction that only reads, on a
   * replica. `readOnly`: a replica, and a write is an error.
   */
  readonly via: 'read' | 'write' | 'stream' | 'snapshot' | 'readOnly'
  readonly program: Program
}

const READS: ReadonlySet<string> = new Set(['SELECT', 'VALUES', 'WITH', 'EXPLAIN', 'PRAGMA'])
const CONTROLS: ReadonlySet<string> = new Set([
  ...['BEGIN', 'COMMIT', 'END', 'ROLLBACK', 'SAVEPOINT', 'RELEASE'],
])

/** A single statement. */
export function planStatement(statement: Statement): Plan {
  const keyword = firstKeyword(statement.sql)
  const steps = [{ statement }]
  if (isBeginReadOnly(statement)) return planSnapshot(steps)
  if (CONTROLS.has(keyword)) return { via: 'stream', program: { atomic: false, steps } }
  // Many PRAGMAs do nothing inside a transaction, so theirs is none.
  const atomic = keyword !== 'PRAGMA'
  return { via: READS.has(keyword) ? 'read' : 'write', program: { atomic, steps } }
}

/** A batch with conditions. */
export function planBatch(steps: readonly Step[]): Plan {
  const [first] = steps
  if (first !== undefined && first.condition === undefined) {
    if (steps.length === 1) return planStatement(first.statement)
    if (isBeginReadOnly(first.statement)) return planSnapshot(steps)
  }
  const program = { atomic: false, steps }
  const keywords = steps.map(({ statement }) => firstKeyword(statement.sql))
  if (keywords.some((keyword) => CONTROLS.has(keyword))) {
    return { via: closesItself(steps, keywords) ? 'write' : 'stream', program }
  }
  return { via: keywords.every((keyword) => READS.has(keyword)) ? 'read' : 'write', program }
}

/** Statements of a script, which ends at the first error. */
export function planSequence(statements: readonly Statement[]): Plan {
  const steps = statements.map((statement, at): Step => {
    return at === 0 ? { statement } : { statement, condition: { kind: 'ok', step: at - 1 } }
  })
  return planBatch(steps)
}

/**
 * Whether a batch surely leaves no transaction open, whatever fails in it: one BEGIN, one COMMIT,
 * and a ROLLBACK unless the COMMIT succeeded. libSQL clients send batches so.
 */
function closesItself(steps: readonly Step[], keywords: readonly string[]): boolean {
  const controls = keywords.flatMap((keyword, at) => (CONTROLS.has(keyword) ? [at] : []))
  const [begin = -1, commit = -1, rollback = -1] = controls
  if (controls.length !== 3 || keywords[begin] !== 'BEGIN') return false
  if (keywords[commit] !== 'COMMIT' && keywords[commit] !== 'END') return false
  const { statement, condition } = present(steps[rollback], () => `step ${rollback}`)
  if (!/^\s*rollback(\s+transaction)?\s*;?\s*$/i.test(statement.sql)) return false
  return isUnless(condition, commit)
}

function isUnless(condition: Condition | undefined, step: number): boolean {
  return condition?.kind === 'not' && isOk(condition.condition, step)
}

function isOk(condition: Condition, step: number): boolean {
  return condition.kind === 'ok' && condition.step === step
}

/** SQLite does not know the word, or takes it for a name: to it, this is a BEGIN like any other. */
function planSnapshot([begin, ...steps]: readonly Step[]): Plan {
  const plain = { ...begin, statement: { sql: 'BEGIN' } }
  return { via: 'snapshot', program: { atomic: false, steps: [plain, ...steps] } }
}

/** libSQL promises that nothing is written, and a replica's reader keeps that promise. */
function isBeginReadOnly({ sql }: Statement): boolean {
  return /^\s*begin(\s+(deferred|transaction))*\s+readonly(\s+transaction)?\s*;?\s*$/i.test(sql)
}
