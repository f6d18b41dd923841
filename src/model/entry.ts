import type { LogIndex, Term } from '../base/brand.ts'
import type { OriginEntry } from './origin-entry.ts'
import type { ProgramResult, WriteId } from './program.ts'

/**
 * What an entry holds.
 * `noop`    nothing: a new leader's first entry.
 * `data`    transactions whose effects undo exactly; the leader has applied them when it logs them.
 * `schema`  one transaction with DDL. DDL has no inverse, so nobody applies it before it is
 *           committed, the leader included: it tries the transaction, rolls it back and logs it.
 * `members` the group's whole configuration; in force from the moment it is in the log.
 * `merge`   with several origins: what others wrote, see MergeOperation; applied when committed.
 * `verify`  every replica computes its content checksums as of exactly this position.
 */
export const ENTRY_KINDS = ['noop', 'data', 'schema', 'members', 'verify', 'merge'] as const
export type EntryKind = (typeof ENTRY_KINDS)[number]

/** Identifies an entry: one leader per term, and it never reuses an index. */
export interface EntryId {
  readonly term: Term
  readonly index: LogIndex
}

export interface Entry extends EntryId {
  readonly kind: EntryKind
  /** Leader's wall clock when it was made, ms since 1970. Information, never order. */
  readonly at: number
  /** Encoded content by kind, see entry-codec.ts. Empty for `noop`. */
  readonly body: Uint8Array
  /** crc32 over index, term, kind, at and body; made with the entry, checked wherever it arrives. */
  readonly checksum: number
}

export type Operation =
  /** SQLite's changeset (not patchset: old values are what makes it invertible). */
  | { readonly kind: 'changeset'; readonly bytes: Uint8Array }
  /**
   * Rows of tables that a changeset can't carry (store/schema/row-tables.ts), in its format; where rows
   * are named by rowid, that is the first column. A DELETE with the key alone only makes room: the
   * row need not exist.
   */
  | { readonly kind: 'rows'; readonly bytes: Uint8Array }
  | { readonly kind: 'ddl'; readonly sql: string }
  /** Rows of sqlite_sequence that changed: the session extension does not capture them. */
  | {
      readonly kind: 'sequence'
      readonly rows: readonly {
        readonly table: string
        readonly before: bigint | null
        readonly after: bigint | null
      }[]
    }
  /** PRAGMA user_version or application_id. */
  | {
      readonly kind: 'pragma'
      readonly name: 'user_version' | 'application_id'
      readonly before: number
      readonly after: number
    }

/** A write that can be asked for again: its id, and what it answered or where to ask for that. */
export type WriteRecord =
  | { readonly id: WriteId; readonly result: ProgramResult }
  | { readonly id: WriteId; readonly handedOn: HandedOn }

/** With several origins: the keeper is asked to run a write, and its log has the result. */
export interface HandedOn {
  /** The origin that kept then. */
  readonly keeper: string
  /** Where its group's log stood before it was asked. */
  readonly since: number
}

/** The content of a `data` or `schema` entry. */
export interface Batch {
  /** How many transactions committed together; for display and metrics. */
  readonly transactions: number
  readonly writes: readonly WriteRecord[]
  readonly operations: readonly Operation[]
  /**
   * With several origins: what the others get of it, transactions and DDL. Then `operations` has
   * only what is the group's own affair, sequences.
   */
  readonly own?: OriginEntry
}
