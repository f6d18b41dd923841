import type { ErrorData } from '../base/errors.ts'
import type { Cluster, GroupNode, RuleChange } from './origin-entry.ts'
import type { Column, Program, ProgramResult, Value } from './program.ts'

/** More than half of the groups of the own zone, and of the groups of each zone. */
export type ZoneLevel = 'local-quorum' | 'each-quorum'
/**
 * How far a write must have come before its caller is answered. With one leader a number counts
 * voters. With several origins `majority` is the writer's own group; a number counts groups that
 * hold it, `quorum` is more than half of them, a ZoneLevel is that by zone, `all` is all of them and
 * every voter of one's own group; `stable`: its place in the order is final here.
 */
export type AckLevel = 'local' | 'majority' | 'all' | 'quorum' | ZoneLevel | 'stable' | number
/** What a read may miss. */
export const READ_LEVELS = [
  'local',
  'session',
  'quorum',
  'local-quorum',
  'each-quorum',
  'strong',
] as const
/** With several origins: everything that so many groups hold, more than half, or that by zone. */
export type ReadLevel = (typeof READ_LEVELS)[number] | number

/** What a session has seen: the entry at `index` was made in `term`, in this cluster. */
export interface SessionToken {
  readonly cluster: string
  readonly term: number
  readonly index: number
  /** With several origins: whose log `term` and `index` are of, and what of all of them was seen. */
  readonly origins?: {
    readonly self: string
    readonly seen: readonly (readonly [origin: string, sequence: number])[]
  }
}

/** What a node can be asked for by a client, an embedded application or a fellow node. */
export type NodeRequest = TravellingRequest | CursorRequest

/** Requests that another node may be asked for. */
export type TravellingRequest =
  /** Run at the leader; forwarded there if need be. */
  | {
      readonly kind: 'write'
      readonly program: Program
      readonly ack: AckLevel
      /** Milliseconds from now. */
      readonly timeoutMs: number
    }
  /** Run on a replica's read-only connection; WRITE_NEEDED in `outcome` if it is not a read. */
  | {
      readonly kind: 'read'
      readonly program: Program
      readonly level: ReadLevel
      readonly token: SessionToken | null
      readonly timeoutMs: number
    }
  /**
   * One round of an interactive stream, run at the leader's writer. `stream` is the caller's, unique
   * in the cluster. `end`: close the stream after this round, rolling an open transaction back.
   */
  | {
      readonly kind: 'stream'
      readonly stream: string
      /**
       * The caller has a transaction open on the stream (the last reply's `open`). If the leader
       * has not (it changed, or time ran out): TRANSACTION_CLOSED, nothing run, instead of half of it.
       */
      readonly open: boolean
      readonly program: Program | null
      readonly end: boolean
      readonly ack: AckLevel
      readonly timeoutMs: number
    }
  | { readonly kind: 'admin'; readonly command: AdminCommand; readonly timeoutMs: number }

/**
 * Rows pulled piece by piece from one snapshot of this replica, so that a result may be of any size:
 * `cursor`, then `fetch` until the reply's `cursor` is null or `done` is true. Never forwarded: a
 * cursor is a connection of this process, and its name means nothing elsewhere.
 *
 * One request on a cursor at a time. A cursor that is not fetched from for LIMITS.cursorIdleMs is
 * closed, because it keeps SQLite's WAL from being used anew; after that, and after a restart of
 * the reading thread, `fetch` is answered with CURSOR_CLOSED. Whoever stops early says closeCursor.
 */
export type CursorRequest =
  /**
   * Begins a program of reads. The reply is `chunk` with what fits into it; a small result is
   * whole in this first reply and leaves no cursor behind. `writeNeeded` if it is not a read.
   * Levels and token as with `read`; what the first chunk saw is safe, so all later ones are.
   * A chunk may hold fewer rows than fit, or none, if rows are slow to find: `done` tells the end.
   */
  | {
      readonly kind: 'cursor'
      readonly program: Program
      readonly level: ReadLevel
      readonly token: SessionToken | null
      /** About how much a chunk may hold, LIMITS.chunkBytesMax at most; at least one row goes. */
      readonly chunkBytes: number
      /**
       * Keep the snapshot for the next program, until COMMIT or ROLLBACK runs: a transaction that
       * only reads. What writes in it is an error of its step.
       */
      readonly keep: boolean
      /** For each request: until its chunk must be there, ms. */
      readonly timeoutMs: number
    }
  /**
   * The next chunk. With a program (only on a kept cursor) it begins that one, in the same snapshot,
   * and forgets what is left of the one before.
   */
  | {
      readonly kind: 'fetch'
      readonly cursor: string
      readonly program: Program | null
      readonly chunkBytes: number
      readonly timeoutMs: number
    }
  /** Answered with `closed`, also if there is no such cursor. */
  | { readonly kind: 'closeCursor'; readonly cursor: string; readonly timeoutMs: number }

/** Tells the requests that only this process can answer. */
export function isCursorRequest(request: NodeRequest): request is CursorRequest {
  const { kind } = request
  return kind === 'cursor' || kind === 'fetch' || kind === 'closeCursor'
}

/** What happens while a program is read through a cursor, in order. A skipped step is not told. */
export type CursorEntry =
  | { readonly kind: 'begin'; readonly step: number; readonly columns: readonly Column[] }
  /** Of the step that began last; never empty. */
  | { readonly kind: 'rows'; readonly rows: readonly (readonly Value[])[] }
  /** The step succeeded. */
  | { readonly kind: 'end'; readonly step: number }
  /** The step failed: instead of `begin`, or after it and some rows. */
  | { readonly kind: 'error'; readonly step: number; readonly error: ErrorData }

export type AdminCommand =
  | {
      readonly kind: 'join'
      readonly id: string
      readonly name: string
      readonly url: string
      readonly role: 'voter' | 'learner'
      readonly priority: number
    }
  | { readonly kind: 'remove'; readonly name: string }
  | { readonly kind: 'promote'; readonly name: string }
  | { readonly kind: 'demote'; readonly name: string }
  | { readonly kind: 'transfer'; readonly name: string | null }
  /** Content checksums of every replica at one position. */
  | { readonly kind: 'verify' }
  /**
   * With several origins: lets a group in, or tells about it if it is in. Answer: GroupAdmission.
   * The node with the id `node` asks: it founds the group, in `zone`, if nobody was to before it.
   */
  | {
      readonly kind: 'joinGroup'
      readonly group: string
      readonly node: string
      readonly zone?: string
    }
  /** A group is in another zone from now on, or in none; answer: the cluster. */
  | { readonly kind: 'setZone'; readonly group: string; readonly zone: string | null }
  /** For good; it may be dead. */
  | { readonly kind: 'removeGroup'; readonly group: string }
  /**
   * Another group is to keep members, schema and rules; answer: the cluster. `force`: the one that
   * does is gone; then the group itself takes over. `alone`: though most groups can't be asked.
   */
  | {
      readonly kind: 'moveKeeper'
      readonly group: string
      readonly force: boolean
      readonly alone: boolean
    }
  | { readonly kind: 'setRule'; readonly rule: RuleChange }
  /** Somebody has dealt with a conflict. */
  | {
      readonly kind: 'closeConflict'
      readonly time: number
      readonly origin: string
      readonly number: number
    }
  /** This group's leader neither gives to the group nor takes from it until told otherwise. */
  | { readonly kind: 'cutGroup'; readonly group: string; readonly cut: boolean }
  /** Between nodes of a group: the index that shows what a read at this level must; several origins. */
  | { readonly kind: 'consult'; readonly level: ReadLevel }
  /**
   * Between leaders of groups, when one is removed: what is held here once the cluster is known as of
   * that epoch and the store is at rest. Answer: pairs of origin and sequence.
   */
  | { readonly kind: 'atRest'; readonly epoch: number }
  /**
   * Between leaders of groups, when one wants to take over: is the leader of that origin in contact?
   * Answer: `{ cluster, linked }`.
   */
  | { readonly kind: 'sees'; readonly origin: string }
  /**
   * Between leaders of groups, before a write is handed on: an index through which the log is
   * committed. Answer: `{ index }`.
   */
  | { readonly kind: 'position' }
  /** Between nodes: this replica's checksums as of the `verify` entry at this index. */
  | { readonly kind: 'verified'; readonly index: number }

/** Answer to `joinGroup`. */
export interface GroupAdmission {
  readonly origin: string
  readonly cluster: Cluster
  /** Nodes of the group that may let one in; empty: nobody has founded it yet. */
  readonly nodes: readonly GroupNode[]
}

export type NodeReply =
  | {
      readonly kind: 'result'
      readonly result: ProgramResult
      /** A position that covers what was written or seen, for the session's next request. */
      readonly token: SessionToken
      /** A transaction is still open on the stream. */
      readonly open: boolean
    }
  /** The read turned out to be a write: nothing was run. */
  | { readonly kind: 'writeNeeded' }
  | {
      readonly kind: 'chunk'
      readonly entries: readonly CursorEntry[]
      /** The program has ended. */
      readonly done: boolean
      /** For the next `fetch`; null: there is nothing more, and nothing to close. */
      readonly cursor: string | null
      /** A position that covers what the snapshot holds. */
      readonly token: SessionToken
    }
  /** To `closeCursor`. */
  | { readonly kind: 'closed' }
  | { readonly kind: 'admin'; readonly value: unknown }
  | { readonly kind: 'error'; readonly error: ErrorData }
