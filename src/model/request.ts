import type { ErrorData } from '../base/errors.ts'
import type { Column, Program, ProgramResult, Value } from './program.ts'

/** How far a write must have come before its caller is answered; a number counts voters. */
export type AckLevel = 'local' | 'majority' | 'all' | number
/** What a read may miss. */
export const READ_LEVELS = ['local', 'session', 'strong'] as const
export type ReadLevel = (typeof READ_LEVELS)[number]

/** What a session has seen: the entry at `index` was made in `term`, in this cluster. */
export interface SessionToken {
  readonly cluster: string
  readonly term: number
  readonly index: number
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
  /** Between nodes: this replica's checksums as of the `verify` entry at this index. */
  | { readonly kind: 'verified'; readonly index: number }

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
