/**
 * The rules that safety hangs on, one function each. They are passed in so that a test can break
 * one on purpose and show that its checkers would notice; nothing else may replace them.
 */
import type { LogIndex, Term } from '../../../base/brand.ts'
import type { Member } from '../../../model/members.ts'
import { lower } from './positions.ts'

export interface Rules {
  /** Whose durable copy counts towards the commit of an entry. */
  readonly counts: (member: Member) => boolean
  /** Whether a leader may commit an entry because a majority holds it. */
  readonly commitsByCount: (entry: Term, own: Term) => boolean
  /** How much of what was received may be acknowledged, and what a leader may count as its own. */
  readonly acknowledges: (written: LogIndex, durable: LogIndex) => LogIndex
  /** Whether a round of a strong read is over. */
  readonly confirmsRead: (majorityAnswered: boolean) => boolean
}

export const RULES: Rules = {
  counts: ({ role }) => role === 'voter',
  // Others can still be replaced by a later leader (paper 5.4.2, figure 8).
  commitsByCount: (entry, own) => entry === own,
  acknowledges: lower,
  confirmsRead: (majorityAnswered) => majorityAnswered,
}
