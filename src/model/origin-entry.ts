/**
 * What origins tell each other: entries of transactions, and what few other things must be agreed on
 * among them. Types only; origin-codec.ts has the bytes.
 */

/** Origin to the highest sequence number held, with all before it. */
type Known = ReadonlyMap<string, number>

export const ANSWER_LEVELS = ['none', 'soon', 'now'] as const

/** An entry of an origin as it travels and as it is logged: core's EntryHead and its content. */
export interface OriginEntry {
  readonly origin: string
  /** From 1, without gaps. */
  readonly sequence: number
  /** Of its last transaction; hybrid logical time, microseconds. */
  readonly time: number
  readonly dependencies: Known
  readonly epoch: number
  readonly answer: (typeof ANSWER_LEVELS)[number]
  /** Encoded operations, see encodeOriginOperations. */
  readonly body: Uint8Array
}

/** What an entry of an origin does, in this order. */
export type OriginOperation =
  /** A transaction with the changes that others need (SQLite's changeset). */
  | { readonly kind: 'transaction'; readonly time: number; readonly changes: Uint8Array }
  /** Only of the keeper, as all that follow but `nodes` and `closed`. */
  | { readonly kind: 'ddl'; readonly sql: string }
  /** PRAGMA user_version or application_id. */
  | { readonly kind: 'pragma'; readonly name: PragmaName; readonly value: number }
  /** Nobody makes transactions until `release`, which is what makes a change of schema safe. */
  | { readonly kind: 'hold' }
  | { readonly kind: 'release' }
  | { readonly kind: 'cluster'; readonly cluster: Cluster }
  | { readonly kind: 'rule'; readonly rule: RuleChange }
  /** Where the nodes of the origin's group are. */
  | { readonly kind: 'nodes'; readonly nodes: readonly GroupNode[] }
  /** Somebody has dealt with a conflict whose place is final. */
  | {
      readonly kind: 'closed'
      readonly time: number
      readonly origin: string
      readonly number: number
    }

export type PragmaName = 'user_version' | 'application_id'

export interface GroupNode {
  readonly id: string
  readonly name: string
  readonly url: string
}

export const STRATEGIES = ['leader', 'multi-leader', 'peer'] as const
export type Strategy = (typeof STRATEGIES)[number]

/** The cluster as all origins know it; `epoch` grows with every change. */
export interface Cluster {
  readonly strategy: Exclude<Strategy, 'leader'>
  readonly epoch: number
  /** The origin whose log orders changes of members, schema and rules. */
  readonly keeper: string
  readonly origins: readonly ClusterOrigin[]
  /** See ExchangeMembers. */
  readonly floor: Known
  /** Origins that the keeper, or one before it, took over from because they were gone. */
  readonly takenFrom?: readonly string[]
  /** So many groups must know of the last take-over before it can come to its end. */
  readonly agreeing?: number
  /** See ExchangeMembers. */
  readonly moved?: { readonly origin: string; readonly zone?: string; readonly since: number }
}

export interface ClusterOrigin {
  readonly origin: string
  /** What people call the group. */
  readonly name: string
  /**
   * Id of the node that founds the group: the one that asked first. Nobody else ever may, since two
   * logs under one origin would be two histories; should it be lost before it did, the group is
   * removed and joins anew.
   */
  readonly founder: string
  /** Makes its ids disjoint from all others'; from 0, below ID_SLOTS, never used again. */
  readonly slot: number
  /** What ack and read levels may count by; those without one are a zone together. */
  readonly zone?: string
  readonly standing:
    | { readonly kind: 'writes'; readonly since: number }
    | { readonly kind: 'frozen' }
    | { readonly kind: 'removed'; readonly last: number }
}

/** How many origins a cluster can have in its life. */
export const ID_SLOTS = 1024
/** Transaction i of entry s has the number s * TRANSACTIONS_MAX + i; so many fit into an entry. */
export const TRANSACTIONS_MAX = 4096

export interface RuleChange {
  readonly table: string
  /** Empty: all columns of the table that have no rule of their own. */
  readonly column: string
  /** One of COLUMN_RULES, `abort` for a table, or `function:NAME`; empty: none any more. */
  readonly rule: string
}

/**
 * An operation of a `merge` entry, which is the group's own affair: what it took from others. Nobody
 * applies it before it is committed, and everybody does so alike.
 */
export type MergeOperation =
  /** Keep it, and with `apply` put it into the data; without, its time has not come. */
  | { readonly kind: 'take'; readonly entry: OriginEntry; readonly apply: boolean }
  /** Put one into the data that was kept. */
  | { readonly kind: 'apply'; readonly origin: string; readonly sequence: number }
  /** Forget what can't matter any more, see OrderedTransactions.forget. */
  | { readonly kind: 'forget'; readonly stable: number; readonly conflictsUntil: number }

/** A conflict as those who listen are told of it; its rows are in quorate_conflicts. */
export interface ConflictNotice {
  readonly time: number
  readonly origin: string
  readonly number: number
  readonly kind: string
  readonly table: string
}
