import type { MemberRole } from './members.ts'

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
