/**
 * The result of one small write, the commonest of all, as two numbers: between threads, five nested
 * objects would cost more to copy than the write itself.
 */
import type { ProgramResult } from './program.ts'

export interface SmallWrite {
  readonly changes: number
  /** Null: not an INSERT. */
  readonly rowid: number | null
}

/** Null if the result does not fit: more than one step, an error, rows, a rowid beyond 2^53. */
export function toSmallWrite(result: ProgramResult): SmallWrite | null {
  const [step, second] = result.steps
  if (!result.autocommit || second !== undefined) return null
  if (step === undefined || step === null || 'error' in step) return null
  const { columns, changes, lastInsertRowid, readOnly } = step.ok
  if (columns.length > 0 || readOnly !== undefined) return null
  const rowid = lastInsertRowid === null ? null : Number(lastInsertRowid)
  return rowid === null || Number.isSafeInteger(rowid) ? { changes, rowid } : null
}

/** The inverse of toSmallWrite. */
export function fromSmallWrite({ changes, rowid }: SmallWrite): ProgramResult {
  const lastInsertRowid = rowid === null ? null : BigInt(rowid)
  const ok = { columns: [], rows: [], changes, lastInsertRowid }
  return { steps: [{ ok }], autocommit: true }
}
