/**
 * Quorum arithmetic: pure functions, because everything that must not be lost hangs on them. The
 * test beside this file has an obvious twin for each.
 */
import { assert } from '../../../base/assert.ts'

/** How many of so many voters are a majority. */
export function quorumOf(voters: number): number {
  return Math.floor(voters / 2) + 1
}

/** The highest number that a majority has reached (or passed). @param reached one for each voter */
export function quorumReached<T extends number>(reached: readonly T[]): T {
  assert(reached.length > 0, () => 'a quorum of no voters')
  const falling = [...reached].sort((a, b) => b - a)
  const value = falling[quorumOf(reached.length) - 1]
  assert(value !== undefined, () => `no quorum in [${reached.join(', ')}]`)
  return value
}

/** Whether a majority of the voters is in the set. */
export function hasQuorum<T>(voters: readonly T[], among: (voter: T) => boolean): boolean {
  return voters.filter(among).length >= quorumOf(voters.length)
}
