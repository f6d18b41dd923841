/** What the parts of a driver share: the order, the ports and the bookkeeping that crosses them. */
import type { LogIndex, NodeId, Term } from '../base/brand.ts'
import type { ErrorCode, ErrorData, ErrorFacts } from '../base/errors.ts'
import type { LeaderOrder } from '../core/order/leader/leader-order.ts'
import type { Input } from '../core/order/leader/types.ts'
import type { NodeReply, SessionToken } from '../model/request.ts'
import type { StoreCommand, StoreReply } from '../store/types.ts'
import type { Origins } from './origins/origins.ts'
import type { NodeEvent, Ports } from './ports.ts'
import type { Fate, HoldLevel, Waiting } from './waiting.ts'
import type { WriteIds } from './write-ids.ts'

export interface DriverOptions {
  readonly self: NodeId
  readonly name: string
  readonly cluster: string
  /** An interactive transaction that nobody uses for this long is rolled back, ms. */
  readonly transactionIdleMs: number
  /** Log entries that every node keeps for others to catch up from; older ones may go. */
  readonly retainEntries: number
  /** The log is cut to this size even if a member needs more: it then gets a snapshot. */
  readonly retainBytes: number
}

/** Counts since the node started, for status and metrics. */
export interface Counters {
  writes: number
  reads: number
  batches: number
  elections: number
  snapshotsSent: number
  snapshotsInstalled: number
  takenBack: number
}

export interface Context {
  readonly options: DriverOptions
  readonly ports: Ports
  readonly order: LeaderOrder
  readonly waiting: Waiting
  readonly writeIds: WriteIds
  readonly counters: Counters
  /** Grows whenever entries are taken back or the file is replaced: what was read before is void. */
  readonly epoch: number
  /** The database still holds what was taken back: the store has not got there yet. */
  readonly takingBack: boolean
  /** The ids of earlier writes are not all known yet: no numbered write may be taken. */
  readonly recalling: boolean
  /** This node's part among several groups; null: one leader for all. */
  readonly origins: Origins | null
  /** Monotonic ms. */
  now(): number
  /**
   * Gives the core an input and carries out what it answers; from inside such carrying out, the
   * input waits until that is done.
   */
  step(input: Input): void
  /** Has the store do what can fail only by a broken disk or our own mistake: then the node halts. */
  submit(command: StoreCommand, done: (reply: StoreReply) => void): void
  /** The store could not do what must be done: the node halts. */
  giveUp(command: string, error: ErrorData): void
  /** Names of voters that this node has no link to, for messages. */
  unreachable(): readonly string[]
  emit(name: string, level: NodeEvent['level'], facts: NodeEvent['facts']): void
  token(index: LogIndex): SessionToken
}

/** A reply that says why not. */
export function refusal(code: ErrorCode, detail: string, facts: ErrorFacts = {}): NodeReply {
  return { kind: 'error', error: { code, detail, facts } }
}

/**
 * Holds an answer back until entry `index` has come as far as `ack` asks for.
 *
 * @param term the term of the entry at index, as the answer saw it
 */
export function hold(
  context: Context,
  index: LogIndex,
  term: Term,
  ack: HoldLevel,
  deadline: number,
  done: (fate: Fate) => void,
): void {
  context.waiting.add({ index, term, ack, deadline, done })
  context.waiting.check(context.order)
}
