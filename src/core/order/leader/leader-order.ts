/**
 * The leader order: Raft as a pure state machine. `step` is its only entrance; the same inputs give
 * the same effects on every machine. The parts are in the files beside this one; DESIGN.md in
 * src/core says where they leave the Raft paper, and checks.ts what always holds.
 */
import { assert, unreachable } from '../../../base/assert.ts'
import type { LogIndex, NodeId, Term } from '../../../base/brand.ts'
import type { Prng } from '../../../base/prng.ts'
import type { EntryId } from '../../../model/entry.ts'
import type { Members } from '../../../model/members.ts'
import type { RaftMessage } from '../../../model/message.ts'
import { check } from './checks.ts'
import {
  onLeaderLink,
  onPreVote,
  onPreVoteReply,
  onTimeoutNow,
  onVote,
  onVoteReply,
  tickElection,
} from './election.ts'
import { answerOwed, onAppend } from './follow.ts'
import { advance, onExecuted, tickLeader, votersHolding } from './leading.ts'
import { LogView } from './log-view.ts'
import { onChangeMembers } from './membership.ts'
import { higher, lower } from './positions.ts'
import type { Progress } from './progress.ts'
import { onRead, onReadIndex, onReadIndexReply, tickReads } from './reads.ts'
import { onAnnounce, onAppendReply, onPeerLink, onSnapshotEnded } from './replication.ts'
import { becomeFollower, resetTimeout } from './roles.ts'
import { RULES, type Rules } from './rules.ts'
import { State, startCommit } from './state.ts'
import { advanceTransfer, onTransfer, tickTransfer } from './transfer.ts'
import type {
  Effects,
  HardState,
  Input,
  LeaderOrderOptions,
  LogState,
  Role,
  Ticket,
} from './types.ts'

export class LeaderOrder {
  readonly #state: State

  /**
   * @param prng this node's own stream: two nodes with the same one would campaign in step
   * @param hardState term and vote as last saved; term 0 and no vote on a new node
   * @param log as the store opened with it, all of it durable
   * @param rules for tests that break one of them; otherwise Raft's
   */
  constructor(
    options: LeaderOrderOptions,
    prng: Prng,
    hardState: HardState,
    log: LogState,
    rules: Rules = RULES,
  ) {
    const { heartbeatTicks, electionTicks } = options
    assert(heartbeatTicks >= 1, () => `heartbeatTicks ${heartbeatTicks}`)
    assert(
      electionTicks >= 3 * heartbeatTicks,
      () => `electionTicks ${electionTicks} < 3 * heartbeatTicks ${heartbeatTicks}`,
    )
    this.#state = new State(options, prng, hardState, log, rules)
    resetTimeout(this.#state)
    check(this.#state, this.#state)
  }

  /** Advances the replica by one input. Total and synchronous. */
  step(input: Input): Effects {
    const s = this.#state
    const { hard, commit, role, leader } = s
    this.#dispatch(s, input)
    check(s, { hard, commit })
    return s.out.take({
      hardState: s.hard === hard ? null : s.hard,
      commit: s.commit === commit ? null : s.commit,
      changed: s.role !== role || s.leader !== leader || s.term !== hard.term,
    })
  }

  /** The ticket for store work of the driver's own: `executing`, a compaction, an installation. */
  nextTicket(): Ticket {
    return this.#state.durability.draw()
  }

  get role(): Role {
    return this.#state.role
  }

  get term(): Term {
    return this.#state.term
  }

  /** Who leads, as far as this node knows. */
  get leader(): NodeId | null {
    return this.#state.leader
  }

  /** The entry before the first one in the log. */
  get base(): EntryId {
    return this.#state.log.base
  }

  get last(): EntryId {
    return this.#state.log.last
  }

  get commit(): LogIndex {
    return this.#state.commit
  }

  /** Highest entry that is durable on this node. */
  get durable(): LogIndex {
    return this.#state.durability.durable
  }

  /** What the database contains; above `commit` on a leader, and below a `schema` entry not run. */
  get applied(): LogIndex {
    return this.#state.applied
  }

  /** Through here everything is in the database and can't be taken back. */
  get settled(): LogIndex {
    const { commit, applied } = this.#state
    return commit < applied ? commit : applied
  }

  /** The configuration in force. Another object exactly if it changed. */
  get members(): Members {
    return this.#state.log.members
  }

  get isVoter(): boolean {
    return this.#state.isVoter
  }

  /** The leader's database is the whole committed state, and leadership is not on its way out. */
  get mayExecute(): boolean {
    const { lead, transfer, commit, applied } = this.#state
    if (lead === null || lead.noop === null || transfer !== null) return false
    return commit >= lead.noop && applied >= lead.noop
  }

  /** Leader: what it knows of each peer; empty on others. */
  get progress(): ReadonlyMap<
    NodeId,
    Readonly<Pick<Progress, 'match' | 'state' | 'lastContactTicks'>>
  > {
    return this.#state.lead?.progress ?? new Map()
  }

  /** Where a leader's log contradicted what is committed here. Null in a sound cluster. */
  get conflict(): EntryId | null {
    return this.#state.conflict
  }

  /** Leader: how many voters hold the entry durably, itself included if it votes. */
  ackedBy(index: LogIndex): number {
    return votersHolding(this.#state, index)
  }

  /** Leader: every voter holds the entry durably. Learners are not waited for. */
  heldByAll(index: LogIndex): boolean {
    return this.ackedBy(index) === this.#state.voters.length
  }

  /** The term of the entry at an index; null if the log does not hold it (any more). */
  termAt(index: LogIndex): Term | null {
    return this.#state.log.termAt(index)
  }

  #dispatch(s: State, input: Input): void {
    switch (input.kind) {
      case 'tick':
        onTick(s)
        break
      case 'message':
        onMessage(s, input.from, input.message)
        break
      case 'link':
        onLink(s, input.peer, input.up)
        break
      case 'executing':
        s.executing.push({ ticket: input.ticket, term: s.lead === null ? null : s.term })
        break
      case 'executed':
        onExecuted(s, input.ticket, input.entries)
        break
      case 'flushed':
        onFlushed(s, input.ticket)
        break
      case 'announce':
        onAnnounce(s, input.peer)
        break
      case 'applied':
        onApplied(s, input.index)
        break
      case 'compacted':
        onCompacted(s, input.base)
        break
      case 'installed':
        onInstalled(s, input.log)
        break
      case 'snapshotEnded':
        onSnapshotEnded(s, input.peer, input.last)
        break
      case 'changeMembers':
        onChangeMembers(s, input.id, input.change)
        break
      case 'transfer':
        onTransfer(s, input.id, input.to)
        break
      case 'read':
        onRead(s, input.id)
        break
      default:
        unreachable(input)
    }
  }
}

function onTick(s: State): void {
  if (s.lead === null) tickElection(s)
  else tickLeader(s)
  tickReads(s)
  tickTransfer(s)
}

function onMessage(s: State, from: NodeId, message: RaftMessage): void {
  if (from === s.self) return
  switch (message.kind) {
    case 'preVote':
      onPreVote(s, from, message)
      break
    case 'preVoteReply':
      onPreVoteReply(s, from, message)
      break
    case 'vote':
      onVote(s, from, message)
      break
    case 'voteReply':
      onVoteReply(s, from, message)
      break
    case 'append':
      onAppend(s, from, message)
      break
    case 'appendReply':
      if (!deposedBy(s, message.term)) onReply(s, from, message)
      break
    case 'timeoutNow':
      onTimeoutNow(s, from, message)
      break
    case 'readIndex':
      onReadIndex(s, from, message)
      break
    case 'readIndexReply':
      onReadIndexReply(s, from, message)
      break
    default:
      unreachable(message)
  }
}

/** A higher term in an answer to a leader: it leads no more. */
function deposedBy(s: State, term: Term): boolean {
  if (term <= s.term) return false
  becomeFollower(s, term, null)
  return true
}

function onReply(
  s: State,
  from: NodeId,
  message: Extract<RaftMessage, { readonly kind: 'appendReply' }>,
): void {
  if (s.lead === null || message.term !== s.term) return
  const advanced = onAppendReply(s, from, message)
  advance(s)
  if (advanced && s.transfer?.to === from) advanceTransfer(s)
}

function onLink(s: State, peer: NodeId, up: boolean): void {
  if (up) s.linksDown.delete(peer)
  else s.linksDown.add(peer)
  if (s.lead === null) onLeaderLink(s, peer, up)
  else onPeerLink(s, peer, up)
}

function onFlushed(s: State, ticket: Ticket): void {
  if (!s.durability.flushed(ticket)) return
  if (s.lead === null) answerOwed(s)
  else advance(s)
}

/** What is above commit the core knows better: an answer from before a cut must not count. */
function onApplied(s: State, index: LogIndex): void {
  s.applied = higher(s.applied, lower(index, s.commit))
}

function onCompacted(s: State, base: EntryId): void {
  const least = lower(s.applied, s.commit)
  assert(base.index <= least, () => `L1: compacted to ${base.index}, commit and applied ${least}`)
  s.log.compact(base)
}

/** The snapshot takes the place of everything; what it lacks of the old log is uncommitted. */
function onInstalled(s: State, log: LogState): void {
  assert(s.executing.length === 0, () => `L11: installed while ${s.executing.length} execute`)
  assert(s.lead === null, () => `L6: installed while leading term ${s.term}`)
  // Whoever holds the snapshot's last entry has nothing to gain, and may have acknowledged more.
  assert(log.last.index >= s.commit, () => `L7: ${log.last.index} installed at ${s.commit}`)
  assert(!s.log.has(log.last), () => `L7: ${log.last.index} installed, which was held`)
  // A node can get a snapshot before it has heard anything else of that term.
  if (log.last.term > s.term) becomeFollower(s, log.last.term, null)
  s.log = new LogView(log)
  s.durability.replaced(log.last.index)
  s.commit = higher(s.commit, startCommit(log))
  s.applied = log.applied
  s.verified = s.commit
  s.answerOwed = false
}
