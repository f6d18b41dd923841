/**
 * What is known of one linked peer. It is forgotten when the link breaks, except for what counts as
 * evidence of copies, which the state keeps.
 */
import type { Frontier, Range } from '../frontier.ts'
import { holds, NOTHING } from '../frontier.ts'
import type { Origin } from '../stamp.ts'
import type { AskMessage } from './types.ts'

/** A question on its way: nobody else is asked for these origins meanwhile. */
export interface Ask {
  readonly request: number
  readonly ranges: readonly Range[]
  readonly deadlineMs: number
}

interface Flight {
  readonly origin: Origin
  readonly sequence: number
  readonly bytes: number
}

export interface Peer {
  readonly id: Origin
  /** It holds this durably. */
  known: Frontier
  /** It knows that we hold this. */
  seen: Frontier
  /** Its log begins after this. */
  base: Frontier
  /** Whom it talks to. */
  links: ReadonlySet<Origin>
  /** When it is told our frontier, unless it has been seen to know it. */
  digestAtMs: number
  /** When it is asked again for the reads that consult it. */
  probeAtMs: number
  /** It gave us entries, so it wants to know when they are durable. */
  owesAck: boolean
  /** They are, and it has not been told. */
  ackDue: boolean

  // Pushing
  /** It lacks nothing before `cursor` that is not on its way to it. */
  level: boolean
  cursor: number
  pushedAtMs: number
  flights: Flight[]

  // Asking
  ask: Ask | null
  failures: number
  pausedUntilMs: number

  // Serving
  serving: boolean
  /** Asked while the last answer had not left; only the latest counts. */
  queued: AskMessage | null
}

export function newPeer(id: Origin, nowMs: number, cursor: number): Peer {
  return {
    id,
    known: NOTHING,
    seen: NOTHING,
    base: NOTHING,
    links: new Set(),
    digestAtMs: nowMs,
    probeAtMs: nowMs,
    owesAck: false,
    ackDue: false,
    level: false,
    cursor,
    pushedAtMs: Number.NEGATIVE_INFINITY,
    flights: [],
    ask: null,
    failures: 0,
    pausedUntilMs: nowMs,
    serving: false,
    queued: null,
  }
}

/** Bytes pushed to it that it is not known to hold. */
export function bytesInFlight(peer: Peer): number {
  return peer.flights.reduce((sum, { bytes }) => sum + bytes, 0)
}

/** Drops the flights that have landed. */
export function land(peer: Peer): void {
  if (peer.flights.length === 0) return
  peer.flights = peer.flights.filter((flight) => {
    return !holds(peer.known, flight.origin, flight.sequence)
  })
}

/** Whether its log, as far as is known, has the first of these. */
export function canServe(peer: Peer, { origin, first }: Range): boolean {
  return holds(peer.known, origin, first) && !holds(peer.base, origin, first)
}

/** Each failure makes the pause longer, up to 32 times. */
export function failed(peer: Peer, nowMs: number, timeoutMs: number): void {
  peer.ask = null
  peer.pausedUntilMs = nowMs + timeoutMs * 2 ** Math.min(peer.failures, 5)
  peer.failures += 1
}
