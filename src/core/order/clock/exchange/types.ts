/**
 * What the exchange is told and what it orders: entries of all origins between replica groups.
 * Types only; exchange.ts is the machine.
 */
import type { Frontier, Range } from '../frontier.ts'
import type { Reach } from '../quorums.ts'
import type { Mark } from '../stability.ts'
import type { ClockTime, Origin } from '../stamp.ts'

/**
 * Whether others shall answer an entry with one of their own, so that it becomes stable: `soon`
 * for data, `now` if somebody waits for it, `none` for what is itself only an answer. Answers ask
 * for no answers, so a cluster without writes falls silent.
 */
export const ANSWERS = ['none', 'soon', 'now'] as const
export type Answer = (typeof ANSWERS)[number]

/** An entry without its content. */
export interface EntryHead {
  readonly origin: Origin
  /** From 1, without gaps. */
  readonly sequence: number
  /** Later than that of every entry its writer had made or applied; so it is a promise as well. */
  readonly time: ClockTime
  /** What its writer had applied of the other origins. Its own entries before it are implied. */
  readonly dependencies: Frontier
  /** Version of the members that its writer knew. */
  readonly epoch: number
  readonly answer: Answer
  /** Of the body. */
  readonly bytes: number
  /**
   * The time of its first transaction, its own if it has none. Not known: it may be any after the
   * entry before.
   */
  readonly first?: ClockTime | undefined
}

export interface ExchangeEntry extends EntryHead {
  readonly body: Uint8Array
}

/** What an origin may do, by agreement of the cluster. */
export type Standing =
  /** `since`: the epoch in which it joined; it writes once everyone is known to know that. */
  | { readonly kind: 'writes'; readonly since: number }
  /**
   * On its way out: no more of it is taken anywhere, but what somebody who stays says to hold, while
   * its last entry is agreed on. Each member and every replica that follows says what it holds once
   * its store is at rest. Those removed before of which a member that stays lacks something are
   * frozen again with it: it may be the only one to hold that.
   */
  | { readonly kind: 'frozen' }
  /** `last`: the last entry of it that counts, the highest that any member held when frozen. */
  | { readonly kind: 'removed'; readonly last: number }

/** The members as the cluster log has them; `epoch` grows with every change. */
export interface ExchangeMembers {
  readonly epoch: number
  readonly origins: ReadonlyMap<Origin, Standing>
  /**
   * What the members that stayed held when the last one was removed, together: every read that
   * consults others shows at least this, since some of them held it only beside the one removed.
   */
  readonly floor: Frontier
  /** In which zone each is; those that are not in here are one together. */
  readonly zones: ReadonlyMap<Origin, string>
  /** The last that was put in another zone. */
  readonly moved?: Moved | undefined
}

/** A change of zones. */
export interface Moved {
  readonly origin: Origin
  /** Where it was before; undefined: nobody had said it. */
  readonly zone?: string | undefined
  /** The epoch that began with it. */
  readonly since: number
}

/** What the store opened with: all of it durable. */
export interface ExchangeState {
  /** Entries in the log, or below its beginning. */
  readonly held: Frontier
  /** Those of them that are in the data. */
  readonly applied: Frontier
  /** Entries that the log does not have any more. */
  readonly base: Frontier
  /** The last entry held of each origin, also where the log has forgotten it. */
  readonly latest: readonly EntryHead[]
  /** The last entry applied of each origin that asks for an answer. */
  readonly wanted: ReadonlyMap<Origin, Mark>
  /** Held, not applied, in the order in which they came. */
  readonly unapplied: readonly EntryHead[]
  /** The highest time that was announced as stable. */
  readonly stable: ClockTime
}

export interface AskMessage {
  readonly kind: 'ask'
  readonly request: number
  readonly ranges: readonly Range[]
  readonly bytesMax: number
  readonly entriesMax: number
}

/** Between two groups. Every number in here is another machine's: gate.ts looks at it first. */
export type ExchangeMessage =
  /** What the sender holds durably, and what it knows that the receiver holds. */
  | {
      readonly kind: 'digest'
      readonly held: Frontier
      readonly seen: Frontier
      /** Whom the sender talks to: entries that they push need not be pushed to it again. */
      readonly links: readonly Origin[]
      /** The sender does not know that the receiver knows `held`. */
      readonly answer: boolean
    }
  | AskMessage
  /** In an order in which dependencies come first. `request` null: sent without being asked. */
  | {
      readonly kind: 'entries'
      readonly request: number | null
      readonly held: Frontier
      readonly entries: readonly ExchangeEntry[]
    }
  /** The sender's log begins after what was asked for. */
  | { readonly kind: 'gone'; readonly request: number; readonly base: Frontier }
  /** What do you hold now? For reads that consult several replicas. */
  | { readonly kind: 'probe'; readonly id: number }
  | { readonly kind: 'probed'; readonly id: number; readonly held: Frontier }

/**
 * An `entries` message as the exchange orders it. The driver fills in what the log has of the
 * ranges, in the order of the log, which is a causal one: at least one entry, and no more than the
 * limits.
 */
export interface EntriesOrder {
  readonly kind: 'entries'
  readonly request: number | null
  readonly held: Frontier
  readonly ranges: readonly Range[]
  readonly bytesMax: number
  readonly entriesMax: number
}

export type Outgoing = EntriesOrder | Exclude<ExchangeMessage, { readonly kind: 'entries' }>

/**
 * What a caller waits for. How long it does is the driver's affair: it gives up with `cancel`. How
 * many members that are, and which, is judged by those in force when it is looked at.
 */
export type Wait =
  /**
   * So many members, this one included, hold our entry durably. Those that are not linked tell it
   * by answering, so the entry, or a later one of ours, must ask for answers.
   */
  | { readonly kind: 'copies'; readonly sequence: number; readonly copies: Reach }
  /** The order is final through this time. */
  | { readonly kind: 'stable'; readonly time: ClockTime }
  /**
   * Everything of the frontier is in the data here: a session that has seen it elsewhere. Never, if
   * it has seen what a removed origin had not shipped.
   */
  | { readonly kind: 'applied'; readonly frontier: Frontier }
  /** Everything that so many members, this one included, held after the read began. */
  | { readonly kind: 'read'; readonly consulted: Reach }

/** `nowMs` never goes back and serves time limits; `wallMs` is compared with stamps. */
export interface Clock {
  readonly nowMs: number
  readonly wallMs: number
}

/** Everything that can happen. One entrance, no callbacks, no promises. */
export type Input =
  | ({ readonly kind: 'tick' } & Clock)
  | { readonly kind: 'link'; readonly peer: Origin; readonly up: boolean }
  | { readonly kind: 'message'; readonly from: Origin; readonly message: ExchangeMessage }
  /** Entries of our own, made and durable; whatever they depend on was reported before. */
  | { readonly kind: 'local'; readonly entries: readonly EntryHead[] }
  /** What was given to the store is durable through here; `applied`: and in the data. */
  | { readonly kind: 'stored'; readonly held: Frontier; readonly applied: Frontier }
  /** An `entries` order with a request has left, or failed: the next may come. */
  | { readonly kind: 'served'; readonly peer: Origin }
  | { readonly kind: 'compacted'; readonly base: Frontier }
  | { readonly kind: 'members'; readonly members: ExchangeMembers }
  | { readonly kind: 'wait'; readonly id: number; readonly wait: Wait }
  | { readonly kind: 'cancel'; readonly id: number }

/** What a person should know. Each is raised once and ended once. */
export type Alarm =
  /** Its entries are kept and handed on, but not applied before their time. */
  | { readonly kind: 'ahead'; readonly origin: Origin }
  /** An entry is needed that no linked peer has given for long. */
  | { readonly kind: 'gap'; readonly origin: Origin }
  /** It holds stability back: it has not answered entries for long. */
  | { readonly kind: 'silent'; readonly origin: Origin }
  /** It broke its promise: an entry with a stamp that it had ruled out. No more of it is taken. */
  | { readonly kind: 'broken'; readonly origin: Origin }
  /** Peers hold entries of ours that we never made: this is an old copy, and may not write. */
  | { readonly kind: 'forked'; readonly origin: Origin }
  /** Its log has dropped what we lack, and nobody else in contact has it: see pull.ts. */
  | { readonly kind: 'tooFarBehind'; readonly origin: Origin }
  /** More of it is held here than was agreed on: this replica needs a new identity. */
  | { readonly kind: 'contradicted'; readonly origin: Origin }

export type StoreOrder =
  /**
   * Log it, and with `apply` merge it into the data; without, its time has not come, or that of
   * something it depends on.
   */
  | { readonly kind: 'take'; readonly entry: ExchangeEntry; readonly apply: boolean }
  /** Merge an entry that was taken without. */
  | { readonly kind: 'apply'; readonly origin: Origin; readonly sequence: number }

/** What the driver owes after one step, in the order of the fields. */
export interface Effects {
  /** For the store, to be done in this order. */
  readonly store: readonly StoreOrder[]
  readonly send: readonly { readonly to: Origin; readonly message: Outgoing }[]
  /** Make an entry of our own without content, answer `none`: others wait for our promise. */
  readonly mark: boolean
  /** The order is final through this time, when that moved. */
  readonly stable: ClockTime | null
  /** Waits that are over. */
  readonly done: readonly number[]
  readonly alarms: readonly { readonly alarm: Alarm; readonly on: boolean }[]
}

export interface ExchangeOptions {
  readonly self: Origin
  /** How long a peer may be without our frontier before it is told again. */
  readonly digestMs: number
  /** How long something known to be missing may still come by itself. */
  readonly askDelayMs: number
  /** After this an entry is asked of another peer. */
  readonly askTimeoutMs: number
  /** How long entries of others gather before we answer them. */
  readonly markDelayMs: number
  /** How far a stamp may be ahead of the wall clock here. */
  readonly driftMaxMs: number
  /** After which a gap or a silent origin is an alarm. */
  readonly alarmMs: number
  /** One answer to a peer; a larger entry goes alone. */
  readonly askBytesMax: number
  readonly askEntriesMax: number
  /** How long entries that nobody waits for gather after the last that a peer was sent. */
  readonly pushMs: number
  /** Sent to one peer without being asked, and not known to have arrived. */
  readonly pushBytesMax: number
  /** The latest entries, which are pushed to peers that lack only some of them. */
  readonly windowEntriesMax: number
  /** Waiting for what they depend on. */
  readonly bufferBytesMax: number
  readonly bufferEntriesMax: number
  /** Given to the store and not durable yet. */
  readonly storeBytesMax: number
  readonly storeEntriesMax: number
  /** Held and not applied because their time has not come. */
  readonly keptEntriesMax: number
}
