import type { LogIndex, Term } from '../base/brand.ts'
import type { ErrorData } from '../base/errors.ts'
import type { ExchangeState } from '../core/order/clock/exchange/types.ts'
import type { Frontier, Range } from '../core/order/clock/frontier.ts'
import type { ClockTime } from '../core/order/clock/stamp.ts'
import type { LogState, Ticket } from '../core/order/leader/types.ts'
import type { Entry, EntryId } from '../model/entry.ts'
import type { Members } from '../model/members.ts'
import type {
  Cluster,
  ConflictNotice,
  GroupNode,
  MergeOperation,
  OriginEntry,
  OriginOperation,
} from '../model/origin-entry.ts'
import type { Program, ProgramResult, StepResult } from '../model/program.ts'
import type { ChangedSettings } from './execute/pragmas.ts'
import type { ReadReply } from './read/reader.ts'

/** Who this file says it is, stored in it; null in a file that belongs to no cluster yet. */
export interface FileIdentity {
  readonly cluster: string
  readonly node: string
}

/** Some entries of the log that are next to each other. */
export interface LogPart {
  readonly last: LogIndex
  /** Of the entries' bodies. */
  readonly bytes: number
}

export interface StoreState {
  readonly identity: FileIdentity | null
  readonly log: LogState
  /** How much the log holds, in order: each part is what comes after the one before it, or the base. */
  readonly logParts: readonly LogPart[]
  /** Null: one leader for all, there are no origins. */
  readonly origins: OriginsState | null
}

/** What a replica knows of the origins, as of what it has applied. */
export interface OriginsState {
  /** The one that its own group writes as. */
  readonly self: string
  readonly cluster: Cluster
  /** Origin to the nodes of its group, as it told them itself. */
  readonly nodes: ReadonlyMap<string, readonly GroupNode[]>
  /** Nobody may make transactions: the schema or the rules are about to change. */
  readonly held: boolean
  /** What of each origin is in the data. */
  readonly applied: Frontier
}

/** How a leader of an origin runs programs. */
export interface Originating {
  /** Whether others shall answer at once, because somebody waits for it. */
  readonly answer: 'soon' | 'now'
  /** May the schema change, and how: not here, only by adding to it, or as it likes. */
  readonly schema: 'never' | 'additive' | 'any'
}

/** What every command says by which a leader makes entries. */
export interface Making {
  readonly ticket: Ticket
  readonly term: Term
  readonly at: number
  /** No other node waits for the entries: the reply may come when they are durable. */
  readonly alone?: boolean
}

/**
 * Commands to a store, done one after the other in the order given. A command with a ticket writes
 * to the file: once a flush that began after it has returned, its ticket is reported as flushed.
 */
export type StoreCommand =
  /**
   * Leader: run the programs as one batch, each transaction in its own savepoint, and log their
   * effects as entries of `term` at the next indexes. A program with DDL ends the batch before it
   * (the rest comes back in `notRun`) and runs alone as a `schema` entry, tried but not applied.
   */
  | (Making & {
      readonly kind: 'execute'
      readonly programs: readonly Program[]
      /** Where the first one goes on; it is the only one then. */
      readonly resume?: Paused
      /** With several origins only, and then always. */
      readonly originating?: Originating
    })
  /**
   * Leader: run a program on an interactive stream: it may leave a transaction open, and then the
   * writer belongs to the stream until a later program (or `streamEnd`) closes it. Everything that
   * commits becomes entries like those of `execute`.
   */
  | (Making & {
      readonly kind: 'streamRun'
      readonly stream: string
      readonly program: Program
      readonly resume?: Paused
      readonly originating?: Originating
    })
  /** Rolls an open transaction of the stream back. No effect if there is none. */
  | { readonly kind: 'streamEnd'; readonly stream: string }
  /** Leader: log an entry without SQL effect (noop, members, verify; data without operations). */
  | (Making & {
      readonly kind: 'propose'
      readonly entry: 'noop' | 'members' | 'verify' | 'data'
      readonly body: Uint8Array
    })
  /**
   * Leader of an origin: log an entry of its own that is no client's. Like a `schema` entry it is
   * applied when it is committed, here as well.
   */
  | (Making & {
      readonly kind: 'originate'
      readonly answer: OriginEntry['answer']
      readonly operations: readonly OriginOperation[]
    })
  /** Leader of an origin: log what came of others, as a `merge` entry, applied when committed. */
  | (Making & {
      readonly kind: 'merge'
      readonly operations: readonly MergeOperation[]
    })
  /** All that an exchange begins with, as of what is applied. Answered by `exchangeState`. */
  | { readonly kind: 'exchangeState' }
  /** Entries of origins in the order in which they were logged, those of the ranges only. */
  | {
      readonly kind: 'readOrigins'
      readonly ranges: readonly Range[]
      readonly bytesMax: number
      readonly entriesMax: number
    }
  /**
   * Runs a program of reads on the data as it was when nothing later than a time had run, and leaves
   * everything as it is. Not while a stream has a transaction open.
   */
  | {
      readonly kind: 'readStable'
      readonly program: Program
      /** Stable: nothing that is not here yet can be before it. */
      readonly through: ClockTime
      /** An entry of the log that was made after this one began. */
      readonly since: LogIndex
    }
  /** Follower: log entries that follow the last one; apply nothing. */
  | { readonly kind: 'append'; readonly ticket: Ticket; readonly entries: readonly Entry[] }
  /**
   * Take back and drop everything above `to`: applied entries by their inverse changesets in
   * reverse order. All or nothing. What is dropped is first written to a file for `quorate lost`.
   */
  | {
      readonly kind: 'truncate'
      readonly ticket: Ticket
      readonly to: LogIndex
      readonly at: number
    }
  /**
   * Apply logged entries through `to`, in order. May stop early after a good slice of time, also
   * before the first one, and always stops right after a `verify` entry, so that the driver can pin a snapshot there.
   */
  | { readonly kind: 'apply'; readonly to: LogIndex }
  /** Entries from..to (inclusive), stopping at bytesMax but giving at least one. */
  | {
      readonly kind: 'read'
      readonly from: LogIndex
      readonly to: LogIndex
      readonly bytesMax: number
    }
  /** Drop log entries through `to`, which must be applied and committed. */
  | { readonly kind: 'compact'; readonly ticket: Ticket; readonly to: LogIndex }
  /**
   * Make the file part of a cluster: the founder's, with its content as the first state and the log
   * based at `base`, or a joiner's, which holds nothing yet (base 0, its content must be empty).
   */
  | {
      readonly kind: 'found'
      readonly ticket: Ticket
      readonly identity: FileIdentity
      readonly base: EntryId
      readonly members: Members
      /**
       * With several origins: who its group writes as. The founder of the cluster gives the cluster
       * too. Without one the file is a snapshot of another group, from which this one begins.
       */
      readonly origin?: { readonly self: string; readonly cluster: Cluster | null }
    }
  /** Replace the whole file by a received snapshot (path), keeping this node's identity. */
  | { readonly kind: 'install'; readonly ticket: Ticket; readonly path: string }

export type StoreReply =
  | {
      readonly kind: 'executed'
      readonly entries: readonly Entry[]
      /** One for each program that ran, in order. */
      readonly outcomes: readonly ProgramOutcome[]
      /** How many programs at the end were not run and must be given again. */
      readonly notRun: number
      /** A transaction is open on the stream that ran. */
      readonly open: boolean
      /** The first of `notRun` wants to change the schema in a way that `originating` forbids. */
      readonly wants?: 'additive' | 'any'
    }
  | { readonly kind: 'done' }
  | { readonly kind: 'truncated'; readonly lost: LostTail | null; readonly applied: LogIndex }
  | {
      readonly kind: 'applied'
      readonly index: LogIndex
      /** With several origins, if it changed. */
      readonly origins?: OriginsState
      readonly merged?: Merged
    }
  | {
      readonly kind: 'exchangeState'
      readonly state: ExchangeState
      readonly origins: OriginsState
    }
  | { readonly kind: 'originEntries'; readonly entries: readonly OriginEntry[] }
  | {
      readonly kind: 'stableRead'
      /** `again`: the schema or the rules have changed after `since`, ask with a later one. */
      readonly read: ReadReply | { readonly kind: 'again' }
    }
  | { readonly kind: 'entries'; readonly entries: readonly Entry[] }
  | { readonly kind: 'installed'; readonly state: StoreState }
  /** The command was not carried out and changed nothing. For anything but INTERNAL, go on. */
  | { readonly kind: 'failed'; readonly error: ErrorData }

/** What putting entries of other origins in their place did. */
export interface Merged {
  /** Transactions that came. */
  readonly transactions: number
  /** Tentative ones whose place changed, so that their outcome may have. */
  readonly takenBack: number
  /** New in quorate_conflicts, the first of them. */
  readonly conflicts: readonly ConflictNotice[]
  readonly conflictCount: number
}

export interface ProgramOutcome {
  readonly result: ProgramResult
  /** Where its effects are logged; null if it changed nothing. */
  readonly index: LogIndex | null
  /** It is to be given again with this, once all that is logged is committed and applied. */
  readonly paused?: Paused
}

/**
 * A program in the middle. What it did to the schema was only tried, and what comes next needs
 * ground that is committed: a transaction of its own, or foreign keys off.
 */
export interface Paused {
  /** The step that comes next. */
  readonly at: number
  /** Results of the steps before it; null for the others. */
  readonly steps: readonly StepResult[]
  /** What it had set, see settings.ts. */
  readonly settings: ChangedSettings
}

/** Where the taken-back tail went. */
export interface LostTail {
  readonly file: string
  readonly transactions: number
  readonly first: EntryId
  readonly last: EntryId
}

/** Checksums of every table as of one position. */
export interface Verified {
  readonly index: LogIndex
  /** Table name -> hex digest of its rows in key order; `schema` -> digest of sqlite_schema. */
  readonly tables: Readonly<Record<string, string>>
  /** Violations found by integrity_check and foreign_key_check, at most ten. */
  readonly problems: readonly string[]
}
