/**
 * Outcomes of programs on their way from the store's thread. Most are of one small write, and five
 * nested objects for each would cost more to copy than the write itself.
 */
import { assert } from '../base/assert.ts'
import { toLogIndex } from '../base/brand.ts'
import type { ProgramOutcome } from './types.ts'

/** Numbers of one outcome: changes (null: see `others`), rowid (null: none), index (null: none). */
const WIDTH = 3

export interface CompactOutcomes {
  readonly numbers: readonly (number | null)[]
  /** Those that don't fit into numbers, in order. */
  readonly others: readonly ProgramOutcome[]
}

export function compactOutcomes(outcomes: readonly ProgramOutcome[]): CompactOutcomes {
  const numbers: (number | null)[] = []
  const others: ProgramOutcome[] = []
  for (const outcome of outcomes) {
    const write = writeOf(outcome)
    if (write === null) {
      others.push(outcome)
      numbers.push(null, null, null)
    } else {
      numbers.push(write.changes, write.rowid, outcome.index)
    }
  }
  return { numbers, others }
}

/** The inverse of compactOutcomes. */
export function expandOutcomes({ numbers, others }: CompactOutcomes): readonly ProgramOutcome[] {
  const outcomes: ProgramOutcome[] = []
  let taken = 0
  for (let at = 0; at < numbers.length; at += WIDTH) {
    const [changes, rowid, index] = numbers.slice(at, at + WIDTH)
    if (changes === null || changes === undefined) {
      const other = others[taken]
      assert(other !== undefined, () => `outcome ${taken} of ${others.length} is missing`)
      outcomes.push(other)
      taken += 1
      continue
    }
    const lastInsertRowid = rowid === null || rowid === undefined ? null : BigInt(rowid)
    const ok = { columns: [], rows: [], changes, lastInsertRowid }
    const logged = index === null || index === undefined ? null : toLogIndex(index)
    outcomes.push({ result: { steps: [{ ok }], autocommit: true }, index: logged })
  }
  return outcomes
}

function writeOf({ result }: ProgramOutcome): { changes: number; rowid: number | null } | null {
  const [step, second] = result.steps
  if (!result.autocommit || second !== undefined) return null
  if (step === undefined || step === null || 'error' in step) return null
  const { columns, changes, lastInsertRowid } = step.ok
  if (columns.length > 0) return null
  const rowid = lastInsertRowid === null ? null : Number(lastInsertRowid)
  return rowid === null || Number.isSafeInteger(rowid) ? { changes, rowid } : null
}
