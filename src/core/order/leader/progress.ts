/**
 * What a leader knows of one peer's log, and the only functions that change its state.
 * `probe`     unknown where the logs agree: one empty append at a time asks for it.
 * `replicate` entries are sent ahead of the answers.
 * `snapshot`  what it lacks is not in the log any more.
 */
import { assert } from '../../../base/assert.ts'
import type { LogIndex } from '../../../base/brand.ts'
import { next as after, toLogIndex } from '../../../base/brand.ts'
import { LIMITS } from '../../../base/limits.ts'

export const PROGRESS_STATES = ['probe', 'replicate', 'snapshot'] as const
export type ProgressState = (typeof PROGRESS_STATES)[number]

/** An append with entries that was ordered and not answered. */
interface Flight {
  readonly first: LogIndex
  readonly last: LogIndex
}

export interface Progress {
  state: ProgressState
  /** Durable there, and equal to our log, through here. */
  match: LogIndex
  next: LogIndex
  flights: Flight[]
  /** It has answered at least once in this leadership. */
  heard: boolean
  /** Since it last answered. Starts at 0, so a new leader has time to hear of its voters. */
  lastContactTicks: number
  /** Highest round that it answered. */
  round: number
  /** Since something in flight was last acknowledged. */
  stalledTicks: number
  /** Grows with every stall without progress, so that a slow disk is not flooded. */
  stallTicksMax: number
  /** In state snapshot, when the last attempt failed: until the next. */
  pauseTicks: number | null
  /** The highest commit index that it was sent. */
  told: LogIndex
  /** No longer a member; gets the log until its removal is committed, so that it learns of it. */
  leaving: boolean
}

export function newProgress(last: LogIndex, stallTicks: number): Progress {
  return {
    state: 'probe',
    match: toLogIndex(0),
    next: after(last),
    flights: [],
    heard: false,
    lastContactTicks: 0,
    round: 0,
    stalledTicks: 0,
    stallTicksMax: stallTicks,
    pauseTicks: null,
    told: toLogIndex(0),
    leaving: false,
  }
}

export function toProbe(peer: Progress, next: LogIndex): void {
  peer.state = 'probe'
  peer.next = next > peer.match ? next : after(peer.match)
  peer.flights = []
  peer.pauseTicks = null
}

export function toSnapshot(peer: Progress): void {
  peer.state = 'snapshot'
  peer.flights = []
  peer.pauseTicks = null
}

/** From where it is known to agree. */
export function toReplicate(peer: Progress): void {
  peer.state = 'replicate'
  peer.next = after(peer.match)
  peer.flights = []
  peer.stalledTicks = 0
  peer.pauseTicks = null
}

/**
 * Whether one more append may go. The driver cuts an order of several entries at the byte limit
 * without telling the core, so nothing may be sent after it before its answer shows how much went.
 */
export function mayFly(peer: Progress): boolean {
  if (peer.flights.length >= LIMITS.appendsInFlightMax) return false
  const latest = peer.flights.at(-1)
  return latest === undefined || latest.first === latest.last
}

export function fly(peer: Progress, first: LogIndex, last: LogIndex): void {
  assert(first === peer.next, () => `L10: sent from ${first}, next is ${peer.next}`)
  if (peer.flights.length === 0) peer.stalledTicks = 0
  peer.flights.push({ first, last })
  peer.next = after(last)
}

/** It holds everything through `match`. @returns whether that is news */
export function matched(peer: Progress, match: LogIndex, stallTicks: number): boolean {
  const advanced = match > peer.match
  if (advanced) {
    peer.match = match
    peer.stalledTicks = 0
    peer.stallTicksMax = stallTicks
  }
  while (peer.flights[0] !== undefined && peer.flights[0].last <= peer.match) peer.flights.shift()
  const head = peer.flights[0]
  // The order was cut: one write there is durable as a whole, so this was all of it.
  if (head !== undefined && head.first <= peer.match) peer.flights = []
  const behind = peer.next <= peer.match
  const idle = peer.flights.length === 0 && peer.state === 'replicate'
  if (behind || idle) peer.next = after(peer.match)
  return advanced
}
