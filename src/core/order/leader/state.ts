/**
 * The state that the parts of the leader order share. What only a leader has lives in `lead`, which
 * is null otherwise, so that nothing of one leadership can leak into the next.
 */
import { present } from '../../../base/assert.ts'
import type { LogIndex, NodeId, Term } from '../../../base/brand.ts'
import { toLogIndex } from '../../../base/brand.ts'
import type { Prng } from '../../../base/prng.ts'
import type { EntryId } from '../../../model/entry.ts'
import type { Member } from '../../../model/members.ts'
import { Durability } from './durability.ts'
import { LogView } from './log-view.ts'
import { Outbox } from './outbox.ts'
import type { Progress } from './progress.ts'
import type { Rules } from './rules.ts'
import type { HardState, LeaderOrderOptions, LogState, Role, Ticket } from './types.ts'

/** Whoever asked a leader for a read index: a caller here, or a peer on behalf of one. */
export interface Reader {
  readonly from: NodeId
  readonly id: number
  readonly waitedTicks: number
}

/** A quorum round under way, or over and waiting for its index to be committed. */
export interface ReadRound {
  readonly round: number
  readonly index: LogIndex
  readonly readers: readonly Reader[]
}

export interface PendingChange {
  /** Of the request; null when the leader changes the members by itself. */
  readonly id: number | null
  /** Null until the store has made the entry. */
  readonly index: LogIndex | null
}

export interface Lead {
  readonly progress: Map<NodeId, Progress>
  /** First entry of the own term; nothing is executed before it is committed and applied. */
  noop: LogIndex | null
  ticksToHeartbeat: number
  /** Numbers the broadcasts; an answer to round r proves leadership after r began. */
  round: number
  queuedReads: Reader[]
  readRound: ReadRound | null
  /** Confirmed rounds whose index is not committed yet. */
  confirmedReads: ReadRound[]
  change: PendingChange | null
  /** Ticks for which a better leader has been ready; negative: not again so soon. */
  takeoverTicks: number
}

/** Leadership on its way to another; lives on after stepping down, until it is known who leads. */
export interface Transfer {
  /** Null when the leader hands over by itself. */
  readonly id: number | null
  readonly to: NodeId
  readonly remainingTicks: number
  /** The term in which it was asked for: who leads a later one decides what came of it. */
  readonly term: Term
}

export interface Votes {
  readonly granted: Set<NodeId>
  readonly refused: Set<NodeId>
}

export class State {
  readonly self: NodeId
  readonly options: LeaderOrderOptions
  readonly prng: Prng
  readonly rules: Rules
  readonly out = new Outbox()
  log: LogView
  readonly durability: Durability

  /** Replaced as a whole, so that a step sees by identity whether it must be saved. */
  hard: HardState
  role: Role = 'follower'
  leader: NodeId | null = null
  commit: LogIndex
  applied: LogIndex
  lead: Lead | null = null
  transfer: Transfer | null = null

  /**
   * Store work announced by `executing` whose `executed` has not come; oldest first. Only what
   * was announced by a leader (of `term`) may make entries.
   */
  executing: { readonly ticket: Ticket; readonly term: Term | null }[] = []

  // Elections
  votes: Votes = { granted: new Set(), refused: new Set() }
  elapsedTicks = 0
  timeoutTicks = 1
  /** The timeout was cut short because the link to the leader broke. */
  hurried = false
  /** Since a leader of the current term was last heard. */
  leaderSilentTicks = Number.MAX_SAFE_INTEGER

  // Following
  /** Entries through here are equal to the log of the leader of this term. */
  verified: LogIndex
  /** Something verified is not durable yet, so the leader awaits a further answer. */
  answerOwed = false
  /** Highest round heard from the leader of this term. */
  heardRound = 0
  /** Strong reads asked of the leader, by the number they travel under. */
  readonly askedReads = new Map<number, { readonly id: number; readonly waitedTicks: number }>()
  nextAsk: number
  /** Where a leader contradicted what is committed here; refused, and for a person to look at. */
  conflict: EntryId | null = null

  readonly linksDown = new Set<NodeId>()

  constructor(
    options: LeaderOrderOptions,
    prng: Prng,
    hard: HardState,
    log: LogState,
    rules: Rules,
  ) {
    this.self = options.self
    this.options = options
    this.prng = prng
    this.rules = rules
    this.log = new LogView(log)
    this.durability = new Durability(log.last.index)
    // A founder's or a restored file may know a term that this node never voted in.
    this.hard = hard.term >= log.last.term ? hard : { term: log.last.term, vote: null }
    this.commit = startCommit(log)
    this.applied = log.applied
    this.verified = this.commit
    // Numbers of an earlier run of this node may still be on their way back to it.
    this.nextAsk = prng.intInclusive(1, 2 ** 40)
  }

  get term(): Term {
    return this.hard.term
  }

  get voters(): readonly NodeId[] {
    return this.log.members.members.filter(({ role }) => role === 'voter').map(({ id }) => id)
  }

  member(id: NodeId): Member | null {
    return this.log.members.members.find((member) => member.id === id) ?? null
  }

  get isVoter(): boolean {
    return this.member(this.self)?.role === 'voter'
  }

  /** For code that only runs on a leader. */
  get leading(): Lead {
    return present(this.lead, () => `leadership of ${this.self} in term ${this.term}`)
  }

  /** The leader has committed an entry of its own term, so it knows everything committed. */
  get knowsCommit(): boolean {
    return this.lead !== null && this.log.termAt(this.commit) === this.term
  }
}

/** The saved commit index is a hint from before a crash that may have cost the end of the log. */
export function startCommit(log: LogState): LogIndex {
  return toLogIndex(Math.min(log.last.index, Math.max(log.base.index, log.commit)))
}
