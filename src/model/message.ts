import type { LogIndex, NodeId, Term } from '../base/brand.ts'
import type { ErrorData } from '../base/errors.ts'
import type { Entry, EntryId } from './entry.ts'
import type { OriginEntry } from './origin-entry.ts'

/**
 * What peers say to each other. History of PROTOCOL_VERSION:
 * 1 first release.
 * 2 several origins: `leads`, `exchange`; entries of kind `merge`; levels and tokens of origins.
 * A test fingerprints the wire shape; see wire.ts for the encoding.
 */
export const PROTOCOL_VERSION = 2

/** Messages of the leader order (Raft); `term` is the sender's unless said otherwise. */
export type RaftMessage =
  /** Would you vote for me in `term`? Changes nothing at the receiver (thesis 9.6). */
  | { readonly kind: 'preVote'; readonly term: Term; readonly last: EntryId }
  | { readonly kind: 'preVoteReply'; readonly term: Term; readonly granted: boolean }
  /** `transfer`: the old leader asked for it, so leader stickiness does not apply. */
  | {
      readonly kind: 'vote'
      readonly term: Term
      readonly last: EntryId
      readonly transfer: boolean
    }
  | { readonly kind: 'voteReply'; readonly term: Term; readonly granted: boolean }
  /** Entries after `prev`; empty: a heartbeat. `round` numbers the leader's broadcasts. */
  | {
      readonly kind: 'append'
      readonly term: Term
      readonly prev: EntryId
      readonly entries: readonly Entry[]
      readonly commit: LogIndex
      readonly round: number
    }
  /**
   * `ok`: everything through `match` is durable here and equal to the leader's log.
   * `mismatch`: no entry `prev`; `match` is the highest index at which the leader should look next.
   * `busy`: alive, can't take entries now; `match` means nothing.
   */
  | {
      readonly kind: 'appendReply'
      readonly term: Term
      readonly round: number
      readonly result: 'ok' | 'mismatch' | 'busy'
      readonly match: LogIndex
    }
  /** Campaign at once: leadership transfer. */
  | { readonly kind: 'timeoutNow'; readonly term: Term }
  | { readonly kind: 'readIndex'; readonly term: Term; readonly id: number }
  /** `index` null: not the leader, ask another. */
  | {
      readonly kind: 'readIndexReply'
      readonly term: Term
      readonly id: number
      readonly index: LogIndex | null
    }

/** A snapshot travels in pieces that the receiver asks for, so it can resume where it stopped. */
export type SnapshotMessage =
  | {
      readonly kind: 'snapshotOffer'
      readonly term: Term
      readonly snapshot: string
      readonly last: EntryId
      readonly bytes: number
      /** sha256 of the whole file, hex. */
      readonly digest: string
    }
  | {
      readonly kind: 'snapshotFetch'
      readonly term: Term
      readonly snapshot: string
      readonly offset: number
    }
  | {
      readonly kind: 'snapshotChunk'
      readonly term: Term
      readonly snapshot: string
      readonly offset: number
      readonly data: Uint8Array
      /** crc32 of data. */
      readonly checksum: number
    }
  /** Installed and durable (`error` null), or given up. */
  | {
      readonly kind: 'snapshotDone'
      readonly term: Term
      readonly snapshot: string
      readonly last: EntryId
      readonly error: ErrorData | null
    }

/**
 * A request handed on to the node that can answer it, and its answer. `body` is JSON text of the
 * request in the node's own terms (request.ts), with blobs and bigints tagged.
 */
export type ForwardMessage =
  | { readonly kind: 'forward'; readonly id: number; readonly body: Uint8Array }
  | { readonly kind: 'forwardReply'; readonly id: number; readonly body: Uint8Array }

/** Between nodes of different groups. */
export type OriginMessage =
  /** Sent to each of them when the link is up, and when it changes. */
  | {
      readonly kind: 'leads'
      readonly origin: string
      /** Of the sender's group, to tell an old leader from a new one. */
      readonly term: Term
      readonly leads: boolean
      /** Origins that it exchanges nothing with, as was asked for. Absent: none. */
      readonly cut?: readonly string[]
    }
  /** From the leader of one group to that of another: core's ExchangeMessage, whose entries are OriginEntry. */
  | { readonly kind: 'exchange'; readonly origin: string; readonly message: OriginExchange }

type Known = ReadonlyMap<string, number>

/** Core's ExchangeMessage with entries as they travel; a test compares the two types. */
export type OriginExchange =
  | {
      readonly kind: 'digest'
      readonly held: Known
      readonly seen: Known
      readonly links: readonly string[]
      readonly answer: boolean
    }
  | {
      readonly kind: 'ask'
      readonly request: number
      readonly ranges: readonly {
        readonly origin: string
        readonly first: number
        readonly last: number
      }[]
      readonly bytesMax: number
      readonly entriesMax: number
    }
  | {
      readonly kind: 'entries'
      readonly request: number | null
      readonly held: Known
      readonly entries: readonly OriginEntry[]
    }
  | { readonly kind: 'gone'; readonly request: number; readonly base: Known }
  | { readonly kind: 'probe'; readonly id: number }
  | { readonly kind: 'probed'; readonly id: number; readonly held: Known }

export type PeerMessage = RaftMessage | SnapshotMessage | ForwardMessage | OriginMessage

/** First frame each way on a /peer connection. A node answers with its own or closes with a reason. */
export interface Hello {
  readonly protocol: number
  readonly cluster: string
  readonly from: NodeId
  readonly to: NodeId
  readonly name: string
  readonly release: string
}
