import { deepEqual } from 'node:assert/strict'
import { test } from 'node:test'
import { toLogIndex } from '../../base/brand.ts'
import type { ProgramOutcome } from '../types.ts'
import { compactOutcomes, expandOutcomes } from './compact-outcomes.ts'

function written(changes: number, rowid: bigint | null, index: number | null): ProgramOutcome {
  const ok = { columns: [], rows: [], changes, lastInsertRowid: rowid }
  return {
    result: { steps: [{ ok }], autocommit: true },
    index: index === null ? null : toLogIndex(index),
  }
}

test('outcomes of all kinds arrive as they were, in order', () => {
  const failed: ProgramOutcome = {
    result: { steps: [{ error: { code: 'SQL_ERROR', detail: 'No.' } }], autocommit: true },
    index: null,
  }
  const two: ProgramOutcome = {
    result: { steps: [...written(1, 1n, 9).result.steps, null], autocommit: true },
    index: toLogIndex(9),
  }
  const outcomes = [
    written(1, 5n, 9),
    failed,
    written(0, null, null),
    two,
    written(3, 2n ** 62n, 9),
    written(1, -4n, 9),
  ]
  deepEqual(expandOutcomes(compactOutcomes(outcomes)), outcomes)
})
