import type { LogIndex, NodeId, Term } from '../../../base/brand.ts'
import type { ErrorData } from '../../../base/errors.ts'
import type { Entry, EntryId, EntryKind } from '../../../model/entry.ts'
import type { MemberChange, Members } from '../../../model/members.ts'
import type { RaftMessage } from '../../../model/message.ts'

export const ROLES = ['follower', 'preCandidate', 'candidate', 'leader'] as const
export type Role = (typeof ROLES)[number]

/** What must survive a crash before anything that follows from it is said. */
export interface HardState {
  readonly term: Term
  readonly vote: NodeId | null
}

/** The stored log as the core needs it: no bodies, only where terms begin and members change. */
export interface LogState {
  /** The entry just before the first one kept; what a snapshot or compaction left. */
  readonly base: EntryId
  readonly last: EntryId
  /** For base and each later change of term: the first index (base.index for the base) of it. */
  readonly terms: readonly EntryId[]
  /** Members as of base, then each `members` entry after it, by index. Never empty. */
  readonly members: readonly { readonly index: LogIndex; readonly members: Members }[]
  /** What the database file contains; may be above `commit` on a node that led before. */
  readonly applied: LogIndex
  /** Highest index known to be committed when last saved; a hint, 0 if unknown. */
  readonly commit: LogIndex
}

/**
 * A write to the store that is under way. Tickets only grow. The store does its work in the order
 * of the tickets, so "flushed through ticket t" says which of it is durable, also when an index was
 * written, cut off and written again (the ABA race of asynchronous storage).
 */
export type Ticket = number

/** Everything that can happen to the core. One entrance, no callbacks, no promises. */
export type Input =
  | { readonly kind: 'tick' }
  | { readonly kind: 'message'; readonly from: NodeId; readonly message: RaftMessage }
  /** The link to a peer broke or came back; breaking of the leader's hastens the election. */
  | { readonly kind: 'link'; readonly peer: NodeId; readonly up: boolean }
  /**
   * The driver is about to let the store make entries of its own (a batch, a noop, a config).
   * Until `executed` comes, a deposed leader must not take entries from its successor: the store
   * may still add to the log.
   */
  | { readonly kind: 'executing'; readonly ticket: Ticket }
  /** What the store made: in the log, not yet durable. Empty if every transaction failed. */
  | { readonly kind: 'executed'; readonly ticket: Ticket; readonly entries: readonly Entry[] }
  /** Everything done under tickets up to and including this one is durable. */
  | { readonly kind: 'flushed'; readonly ticket: Ticket }
  /**
   * Leader: a peer is about to be given an answer whose position it must know to be committed, or
   * its clients could not read their own writes there without waiting for the next tick.
   */
  | { readonly kind: 'announce'; readonly peer: NodeId }
  /** The store has applied committed entries through this index. */
  | { readonly kind: 'applied'; readonly index: LogIndex }
  /** The store dropped entries through `base`. */
  | { readonly kind: 'compacted'; readonly base: EntryId }
  /** A snapshot from the leader is in place and durable: forget the old log. */
  | { readonly kind: 'installed'; readonly log: LogState }
  /** Leader: the snapshot transfer to a peer ended; `last` null if it failed. */
  | { readonly kind: 'snapshotEnded'; readonly peer: NodeId; readonly last: EntryId | null }
  | { readonly kind: 'changeMembers'; readonly id: number; readonly change: MemberChange }
  | { readonly kind: 'transfer'; readonly id: number; readonly to: NodeId | null }
  /** A strong read wants an index at or above everything acknowledged before now. Ids are fresh. */
  | { readonly kind: 'read'; readonly id: number }

/** An append as the core orders it; the driver fills in the entries first..last from log or cache. */
export interface AppendOrder {
  readonly kind: 'append'
  readonly term: Term
  readonly prev: EntryId
  /** Empty range when last < first (heartbeat). */
  readonly first: LogIndex
  readonly last: LogIndex
  readonly commit: LogIndex
  readonly round: number
}

export type Outgoing = AppendOrder | Exclude<RaftMessage, { readonly kind: 'append' }>

/**
 * What the driver owes the core after one step, in the order of the fields:
 * 1. `hardState` is made durable before anything below is done (synchronous; elections only).
 * 2. `truncate` then `append` are handed to the store under `ticket`, in that order.
 * 3. `send` leaves; nothing in it claims more than is durable: the core waits for `flushed` itself.
 * 4. `commit`: entries through it may be applied and acknowledged.
 * 5. the rest are answers and news.
 */
export interface Effects {
  readonly hardState: HardState | null
  /** Ticket of truncate and append together, if there are any. Drawn by the core. */
  readonly ticket: Ticket | null
  /** Take back and drop every entry above this index. */
  readonly truncate: LogIndex | null
  readonly append: readonly Entry[]
  readonly send: readonly { readonly to: NodeId; readonly message: Outgoing }[]
  /** The commit index, when it moved. */
  readonly commit: LogIndex | null
  /** Entries the leader wants made: the driver has the store make them in this order. */
  readonly propose: readonly { readonly kind: EntryKind; readonly members: Members | null }[]
  /** A peer needs a snapshot: what it lacks is no longer in the log. */
  readonly snapshotTo: readonly NodeId[]
  /** Strong reads that may be answered from a state at or above the index; null: failed, try again. */
  readonly reads: readonly { readonly id: number; readonly index: LogIndex | null }[]
  /** Member changes and transfers that ended. */
  readonly replies: readonly { readonly id: number; readonly error: ErrorData | null }[]
  /** Role, term or known leader changed. */
  readonly changed: boolean
}

export interface LeaderOrderOptions {
  readonly self: NodeId
  /** All in ticks. heartbeat < electionMin, and electionMin at least three heartbeats. */
  readonly heartbeatTicks: number
  /** Timeouts are drawn from [electionTicks, 2 * electionTicks). */
  readonly electionTicks: number
}
