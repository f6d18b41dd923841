/** What a leader does when time passes, when the store made entries, and when more is held. */
import { assert } from '../../../base/assert.ts'
import type { LogIndex, NodeId } from '../../../base/brand.ts'
import { toLogIndex } from '../../../base/brand.ts'
import type { Entry } from '../../../model/entry.ts'
import { quorumReached } from './commit.ts'
import { hearsQuorum } from './election.ts'
import { changeLogged, promoteReady } from './membership.ts'
import { advanceReads } from './reads.ts'
import {
  announceCommit,
  broadcast,
  dismiss,
  replicate,
  tickPeers,
  trackMembers,
} from './replication.ts'
import { becomeFollower } from './roles.ts'
import type { State } from './state.ts'
import { advanceTransfer, bestVoter } from './transfer.ts'
import type { Ticket } from './types.ts'

export function tickLeader(s: State): void {
  const { lead } = s
  if (lead === null) return
  tickPeers(s)
  if (!hearsQuorum(s)) {
    becomeFollower(s, s.term, null)
    return
  }
  lead.ticksToHeartbeat -= 1
  if (lead.ticksToHeartbeat <= 0) broadcast(s)
  announceCommit(s)
  promoteReady(s)
}

/** What the store made is in the log, here or (of an earlier term) on a node that leads no more. */
export function onExecuted(s: State, ticket: Ticket, entries: readonly Entry[]): void {
  const open = s.executing.shift()
  assert(open?.ticket === ticket, () => `L11: executed ${ticket}, the oldest is ${open?.ticket}`)
  for (const entry of entries) {
    assert(
      entry.term === open.term,
      () => `L11: executed under term ${open.term} made term ${entry.term} at ${entry.index}`,
    )
  }
  if (entries.length > 0) logged(s, ticket, entries)
  advanceTransfer(s)
}

/** Commits what a majority of the voters holds, and does what waited for it. */
export function advance(s: State): void {
  if (s.lead === null) return
  const index = heldByQuorum(s)
  // Entries of earlier terms are committed only along with one of our own (paper 5.4.2, figure 8).
  if (index > s.commit && s.rules.commitsByCount(s.log.idAt(index).term, s.term)) {
    s.commit = index
    changeCommitted(s)
  }
  if (s.lead !== null) advanceReads(s)
}

/** How many voters hold an entry durably, this node included if it votes. */
export function votersHolding(s: State, index: LogIndex): number {
  return s.voters.filter((voter) => heldBy(s, voter) >= index).length
}

function logged(s: State, ticket: Ticket, entries: readonly Entry[]): void {
  const membersBefore = s.log.membersIndex
  s.log.append(entries)
  s.durability.wrote(ticket, s.log.last.index)
  for (const { kind, index } of entries) {
    // These are applied when committed; all else the database contains already, if it contained
    // what is before.
    const waits = kind === 'schema' || kind === 'merge'
    if (!waits && s.applied === index - 1) s.applied = index
  }
  const { lead } = s
  if (lead === null) return
  const noop = entries.find(({ kind, term }) => kind === 'noop' && term === s.term)
  if (lead.noop === null && noop !== undefined) lead.noop = noop.index
  if (s.log.membersIndex > membersBefore) {
    trackMembers(s)
    if (s.log.termAt(s.log.membersIndex) === s.term) changeLogged(s)
  }
  replicate(s)
  advance(s)
}

function heldByQuorum(s: State): LogIndex {
  const counted = s.log.members.members.filter(s.rules.counts)
  if (counted.length === 0) return toLogIndex(0)
  return quorumReached(counted.map(({ id }) => heldBy(s, id)))
}

function heldBy(s: State, voter: NodeId): LogIndex {
  if (voter === s.self) return s.rules.acknowledges(s.log.last.index, s.durability.durable)
  return s.lead?.progress.get(voter)?.match ?? toLogIndex(0)
}

/** A change of the members is over once its entry is committed; a leader that it removed leaves. */
function changeCommitted(s: State): void {
  const lead = s.leading
  const { change } = lead
  if (change !== null && change.index !== null && change.index <= s.commit) {
    lead.change = null
    s.out.done(change.id)
  }
  if (s.log.membersIndex > s.commit) return
  dismiss(s)
  if (s.isVoter) return
  const heir = bestVoter(s)
  if (heir !== null) s.out.send(heir, { kind: 'timeoutNow', term: s.term })
  becomeFollower(s, s.term, null)
}
