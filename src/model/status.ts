import type { MemberRole } from './members.ts'
import type { GroupNode } from './origin-entry.ts'

/** One member as the answering node sees it. */
export interface MemberStatus {
  readonly id: string
  readonly name: string
  readonly url: string
  readonly role: MemberRole
  readonly wants: MemberRole
  readonly priority: number
  readonly leader: boolean
  /** A link to it is up (true for the node itself). */
  readonly connected: boolean
  /** Leader only: highest entry known to be durable there; null elsewhere. */
  readonly held: number | null
  /** Leader only: probe, replicate or snapshot; null elsewhere. */
  readonly progress: string | null
}

/** A group as the answering node knows it. */
export interface GroupStatus {
  readonly name: string
  readonly origin: string
  readonly standing: 'writes' | 'frozen' | 'removed'
  /** What levels by zone count it in; null: none, which is one zone as well. */
  readonly zone: string | null
  /** Where it told us that its nodes are; empty: it has not written yet. */
  readonly nodes: readonly GroupNode[]
  /** Entries of it that are in the data here. */
  readonly applied: number
  /**
   * The rest only at the leader of a group, null elsewhere: a link to its leader is up. Null also if
   * this group was told to leave it out.
   */
  readonly linked: boolean | null
  /** Told not to exchange anything with it. */
  readonly cut: boolean | null
  /** Its leader was told not to exchange anything with this group. */
  readonly cutThere: boolean | null
  /** Groups that are not known to know of it: until they are it neither writes nor counts for levels. */
  readonly unknownTo: readonly string[] | null
  /** Entries that some group is known to hold and this one has not applied. */
  readonly behind: number | null
}

/** With several origins. */
export interface OriginsStatus {
  readonly strategy: 'multi-leader' | 'peer'
  /** Own group, and the one that orders changes of members, schema and rules. */
  readonly group: string
  readonly keeper: string
  readonly epoch: number
  readonly groups: readonly GroupStatus[]
  /** Nobody may write: the schema or the rules are about to change. */
  readonly held: boolean
  /**
   * How far behind the wall clock the order is final, ms; 0 if nothing waits for that. Leader only,
   * null elsewhere.
   */
  readonly stableLagMs: number | null
}

/** As whom the node's own group writes; null: there is one leader, or it is not known yet. */
export function ownOrigin(origins: OriginsStatus | null): string | null {
  if (origins === null) return null
  // A name may have been that of a group that was removed.
  const own = origins.groups.filter(({ name }) => name === origins.group)
  return (own.find(({ standing }) => standing !== 'removed') ?? own.at(-1))?.origin ?? null
}

/** What GET /status answers, and db.status() returns. Positions are entries, times milliseconds. */
export interface NodeStatus {
  readonly name: string
  readonly id: string
  readonly url: string
  readonly cluster: string | null
  readonly release: string
  /** Can serve its default levels now. */
  readonly ready: boolean
  readonly role: 'leader' | 'follower' | 'candidate' | 'learner' | 'joining'
  readonly term: number
  readonly leader: { readonly name: string; readonly url: string } | null
  readonly log: {
    readonly first: number
    readonly last: number
    readonly durable: number
    readonly committed: number
    readonly applied: number
  }
  readonly members: readonly MemberStatus[]
  /** Null: one leader for all. */
  readonly origins: OriginsStatus | null
  /** Since the node started. */
  readonly counters: {
    readonly writes: number
    readonly reads: number
    readonly batches: number
    readonly elections: number
    readonly snapshotsSent: number
    readonly snapshotsInstalled: number
    readonly takenBack: number
  }
  /** Tails that were taken back and are kept for `quorate lost`. */
  readonly lostFiles: number
  /** Sentences about what needs a person. Empty is good. */
  readonly alarms: readonly string[]
  readonly memoryBytes: number
  readonly databaseBytes: number
  readonly walBytes: number
  readonly uptimeMs: number
}
