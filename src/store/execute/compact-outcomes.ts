/** Outcomes of programs on their way from the store's thread, see model/small-write.ts. */
import { assert } from '../../base/assert.ts'
import { toLogIndex } from '../../base/brand.ts'
import { fromSmallWrite, toSmallWrite } from '../../model/small-write.ts'
import type { ProgramOutcome } from '../types.ts'

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
    const write = toSmallWrite(outcome.result)
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
    const [changes, rowid = null, index] = numbers.slice(at, at + WIDTH)
    if (changes === null || changes === undefined) {
      const other = others[taken]
      assert(other !== undefined, () => `outcome ${taken} of ${others.length} is missing`)
      outcomes.push(other)
      taken += 1
      continue
    }
    const logged = index === null || index === undefined ? null : toLogIndex(index)
    outcomes.push({ result: fromSmallWrite({ changes, rowid }), index: logged })
  }
  return outcomes
}
