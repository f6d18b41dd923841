/**
 * Elections: pre-vote (thesis 9.6) so that a node cut off doesn't come back with a high term,
 * stickiness (thesis 6.4, etcd's CheckQuorum) so that one that lost only its own link to the leader
 * doesn't depose it, and a leader that steps down by itself when no majority answers.
 */
import type { NodeId } from '../../../base/brand.ts'
import { toTerm } from '../../../base/brand.ts'
import type { EntryId } from '../../../model/entry.ts'
import type { Members } from '../../../model/members.ts'
import type { RaftMessage } from '../../../model/message.ts'
import { hasQuorum } from './commit.ts'
import {
  becomeCandidate,
  becomeFollower,
  becomeLeader,
  becomePreCandidate,
  hurry,
  resetTimeout,
  setLeader,
} from './roles.ts'
import type { State } from './state.ts'

type Message<K extends RaftMessage['kind']> = Extract<RaftMessage, { readonly kind: K }>

/** One tick of a node that does not lead. */
export function tickElection(s: State): void {
  s.elapsedTicks += 1
  s.leaderSilentTicks += 1
  const alone = s.voters.length === 1 && s.voters[0] === s.self
  if (s.elapsedTicks < s.timeoutTicks && !alone) return
  if (mayCampaign(s)) {
    preCampaign(s)
  } else {
    if (s.role !== 'follower') becomeFollower(s, s.term, null)
    setLeader(s, null)
    resetTimeout(s)
  }
}

export function onPreVote(s: State, from: NodeId, message: Message<'preVote'>): void {
  const granted = message.term > s.term && !isSticky(s) && isUpToDate(s, message.last)
  // A grant names the term asked for; a refusal our own, so that one left behind can catch up.
  const term = granted ? message.term : s.term
  s.out.send(from, { kind: 'preVoteReply', term, granted })
}

export function onPreVoteReply(s: State, from: NodeId, message: Message<'preVoteReply'>): void {
  const { term, granted } = message
  if (!granted && term > s.term) {
    becomeFollower(s, term, null)
    return
  }
  if (s.role !== 'preCandidate' || (granted && term !== s.term + 1)) return
  count(s, from, granted)
  if (isElected(s)) campaign(s, false)
}

/**
 * Everyone votes, members or not, learners or not: the entry that made this node a voter may be
 * committed without having reached it, and then its vote is needed.
 */
export function onVote(s: State, from: NodeId, message: Message<'vote'>): void {
  if (message.term > s.term) {
    if (isSticky(s) && !message.transfer) return
    becomeFollower(s, message.term, null)
  }
  const free = s.hard.vote === null ? s.leader === null : s.hard.vote === from
  const granted = message.term === s.term && free && isUpToDate(s, message.last)
  if (granted) {
    if (s.hard.vote === null) s.hard = { term: s.term, vote: from }
    resetTimeout(s)
  }
  s.out.send(from, { kind: 'voteReply', term: s.term, granted })
}

export function onVoteReply(s: State, from: NodeId, message: Message<'voteReply'>): void {
  if (message.term > s.term) {
    becomeFollower(s, message.term, null)
    return
  }
  if (s.role !== 'candidate' || message.term !== s.term) return
  count(s, from, message.granted)
  if (isElected(s)) becomeLeader(s)
}

/** The leader hands over: no pre-vote, it has stopped executing and expects this. */
export function onTimeoutNow(s: State, from: NodeId, message: Message<'timeoutNow'>): void {
  if (message.term !== s.term || s.leader !== from || s.role === 'leader') return
  if (mayCampaign(s)) campaign(s, true)
}

/** A broken link to the leader is noticed long before its silence. */
export function onLeaderLink(s: State, peer: NodeId, up: boolean): void {
  if (up || s.lead !== null || s.leader !== peer) return
  setLeader(s, null)
  hurry(s)
}

/** Whether a majority of the voters has answered within an election timeout. */
export function hearsQuorum(s: State): boolean {
  const { progress } = s.leading
  const silentTicks = (id: NodeId): number =>
    progress.get(id)?.lastContactTicks ?? Number.MAX_SAFE_INTEGER
  return hasQuorum(s.voters, (id) => id === s.self || silentTicks(id) < s.options.electionTicks)
}

/**
 * A voter of the configuration in force, or of the last one that is known to be committed: while its
 * own removal is in its log only, others may lack the entry, and then nobody but this node can win
 * and commit it (thesis 4.2.2).
 */
function mayCampaign(s: State): boolean {
  const votes = ({ members }: Members): boolean =>
    members.some(({ id, role, priority }) => id === s.self && role === 'voter' && priority > 0)
  return votes(s.log.members) || votes(s.log.membersAt(s.commit))
}

function preCampaign(s: State): void {
  becomePreCandidate(s)
  if (isElected(s)) {
    campaign(s, false)
    return
  }
  ask(s, { kind: 'preVote', term: toTerm(s.term + 1), last: s.log.last })
}

function campaign(s: State, transfer: boolean): void {
  becomeCandidate(s)
  if (isElected(s)) becomeLeader(s)
  else ask(s, { kind: 'vote', term: s.term, last: s.log.last, transfer })
}

function ask(s: State, message: Message<'vote'> | Message<'preVote'>): void {
  for (const voter of s.voters) if (voter !== s.self) s.out.send(voter, message)
}

function count(s: State, from: NodeId, granted: boolean): void {
  if (granted) s.votes.granted.add(from)
  else s.votes.refused.add(from)
}

function isElected(s: State): boolean {
  return hasQuorum(s.voters, (voter) => s.votes.granted.has(voter))
}

/** Believes that somebody leads: then nobody else gets help to disturb. */
function isSticky(s: State): boolean {
  if (s.lead !== null) return true
  return s.leader !== null && s.leaderSilentTicks < s.options.electionTicks
}

/** Raft's election restriction (paper 5.4.1): whoever wins holds everything committed. */
function isUpToDate(s: State, last: EntryId): boolean {
  const own = s.log.last
  return last.term > own.term || (last.term === own.term && last.index >= own.index)
}
