/**
 * Promises. Every entry is one: its writer makes no earlier one after it. An origin that has
 * nothing to write answers the entries of others with an empty one, a mark, so that they become
 * stable, and so that everyone learns what it holds. Marks are not answered, so traffic ends when
 * writing does.
 */
import { holds } from '../frontier.ts'
import type { State } from './state.ts'

/** Orders a mark when one is due. */
export function owe(s: State): void {
  const owed = owes(s)
  if (owed === 'none' || !s.mayWrite) {
    s.markOwedMs = null
    return
  }
  s.markOwedMs ??= s.nowMs
  const dueMs = s.markOwedMs + (owed === 'now' ? 0 : s.options.markDelayMs)
  if (s.nowMs < dueMs) return
  // The driver may fail to make one; it is asked again, but not at every step.
  if (s.markAskedMs !== null && s.nowMs < s.markAskedMs + s.options.askTimeoutMs) return
  s.markAskedMs = s.nowMs
  s.out.mark()
}

/** Whether our last entry leaves anything unanswered. */
function owes(s: State): 'none' | 'soon' | 'now' {
  const last = s.latest.get(s.self)
  let owed: 'none' | 'soon' = 'none'
  for (const [origin, { sequence, now }] of s.wanted) {
    if (origin === s.self) continue
    if (last !== undefined && holds(last.dependencies, origin, sequence)) continue
    if (now) return 'now'
    owed = 'soon'
  }
  if (s.members.origins.size === 1) return owed
  // A new member waits until everyone is seen to know of it.
  const epoch = last?.epoch ?? s.epochOf(s.self)
  return epoch < s.members.epoch ? 'soon' : owed
}

/** Announces what has become final. @returns the time, or null if it did not move */
export function finalise(s: State): number | null {
  const time = s.finalTime()
  if (time <= s.stable) return null
  s.stable = time
  return time
}
