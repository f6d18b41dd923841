import type { ErrorData } from '../base/errors.ts'
import type { Program, ProgramResult } from './program.ts'

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
export type NodeRequest =
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
  | { readonly kind: 'admin'; readonly value: unknown }
  | { readonly kind: 'error'; readonly error: ErrorData }
