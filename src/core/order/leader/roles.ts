/** The ways from one role to another, and everything that has to end or begin with them. */
import { assert } from '../../../base/assert.ts'
import type { NodeId, Term } from '../../../base/brand.ts'
import { toTerm } from '../../../base/brand.ts'
import { dropChange } from './membership.ts'
import { dropAskedReads, dropLeaderReads } from './reads.ts'
import { trackMembers } from './replication.ts'
import type { State } from './state.ts'
import { settleTransfer } from './transfer.ts'

/** @param leader of `term`, or null if not known yet */
export function becomeFollower(s: State, term: Term, leader: NodeId | null): void {
  assert(term >= s.term, () => `L8: term ${term} after ${s.term}`)
  endLeadership(s)
  s.role = 'follower'
  if (term > s.term) enterTerm(s, term, null)
  setLeader(s, leader)
  resetTimeout(s)
}

export function becomePreCandidate(s: State): void {
  s.role = 'preCandidate'
  setLeader(s, null)
  s.votes = { granted: new Set([s.self]), refused: new Set() }
  resetTimeout(s)
}

export function becomeCandidate(s: State): void {
  enterTerm(s, toTerm(s.term + 1), s.self)
  s.role = 'candidate'
  setLeader(s, null)
  s.votes = { granted: new Set([s.self]), refused: new Set() }
  resetTimeout(s)
}

export function becomeLeader(s: State): void {
  assert(s.role === 'candidate', () => `L6: from ${s.role} to leader in term ${s.term}`)
  s.role = 'leader'
  s.lead = {
    progress: new Map(),
    noop: null,
    ticksToHeartbeat: s.options.heartbeatTicks,
    round: 0,
    queuedReads: [],
    readRound: null,
    confirmedReads: [],
    change: null,
    takeoverTicks: 0,
  }
  setLeader(s, s.self)
  trackMembers(s)
  s.out.propose({ kind: 'noop', members: null })
}

/** Someone valid leads this term. */
export function setLeader(s: State, leader: NodeId | null): void {
  if (leader !== s.leader) {
    s.leader = leader
    dropAskedReads(s)
    settleTransfer(s)
  }
}

/** A leader of this term was heard: no election for now. */
export function heardLeader(s: State): void {
  s.elapsedTicks = 0
  s.leaderSilentTicks = 0
  if (s.hurried) resetTimeout(s)
}

/**
 * Draws a new timeout. A follower waits [E, 2E), and longer the more voters are preferred to it, so
 * that these go first. A candidate that got no answer tries again sooner: nobody leads, and the
 * draws must only keep rivals apart.
 */
export function resetTimeout(s: State): void {
  const { electionTicks, heartbeatTicks } = s.options
  s.elapsedTicks = 0
  s.hurried = false
  if (s.role === 'follower') {
    const spread = s.prng.intInclusive(electionTicks, 2 * electionTicks - 1)
    s.timeoutTicks = spread + Math.ceil((rankOf(s) * electionTicks) / 2)
  } else {
    const least = Math.max(heartbeatTicks, Math.floor(electionTicks / 2))
    s.timeoutTicks = s.prng.intInclusive(least, electionTicks) + rankOf(s) * heartbeatTicks
  }
}

/** The link to the leader broke, so it is most likely gone: campaign soon, preferred voters first. */
export function hurry(s: State): void {
  const { heartbeatTicks } = s.options
  const soon = s.prng.intInclusive(1, heartbeatTicks) + rankOf(s) * heartbeatTicks
  s.timeoutTicks = Math.min(s.timeoutTicks, s.elapsedTicks + soon)
  s.hurried = true
}

/** How many distinct priorities among the voters are above this node's. */
function rankOf(s: State): number {
  const own = s.member(s.self)?.priority ?? 0
  const above = s.log.members.members.filter((m) => m.role === 'voter' && m.priority > own)
  return new Set(above.map(({ priority }) => priority)).size
}

function enterTerm(s: State, term: Term, vote: NodeId | null): void {
  s.hard = { term, vote }
  s.verified = s.commit
  s.answerOwed = false
  s.heardRound = 0
}

function endLeadership(s: State): void {
  const { lead } = s
  if (lead === null) return
  s.lead = null
  s.leaderSilentTicks = Number.MAX_SAFE_INTEGER
  dropLeaderReads(s, lead)
  dropChange(s, lead)
}
