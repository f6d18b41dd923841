/**
 * Frontiers, told and heard. A peer is told ours when it gave us entries, and again and again,
 * slowly, until it says that it knows: so what was lost comes to light, and a cluster at rest is
 * silent.
 */
import { covers, join } from '../frontier.ts'
import type { Peer } from './peer.ts'
import { isTime, mayBeLevel } from './push.ts'
import type { State } from './state.ts'
import type { ExchangeMessage } from './types.ts'

type Digest = Extract<ExchangeMessage, { readonly kind: 'digest' }>

export function onDigest(s: State, peer: Peer, { held, seen, links, answer }: Digest): void {
  peer.links = new Set(links)
  s.heard(peer, held)
  peer.seen = join(peer.seen, seen)
  mayBeLevel(s, peer)
  if (answer) tell(s, peer, false)
}

export function tell(s: State, peer: Peer, answer: boolean): void {
  peer.owesAck = false
  peer.ackDue = false
  s.out.send(peer.id, {
    kind: 'digest',
    held: s.rules.tells(s.held, s.handed),
    seen: peer.known,
    links: [...s.peers.keys()],
    answer,
  })
}

/**
 * What peers gave us has become durable. They are told with the next entries, or when the next would
 * be due: a message for each time would cost more than what is in it. At once if somebody waits.
 */
export function acknowledge(s: State, isAwaited: boolean): void {
  for (const peer of s.peers.values()) {
    if (!peer.owesAck) continue
    peer.owesAck = false
    peer.ackDue = true
    if (isAwaited) tell(s, peer, false)
  }
}

/** The entries that were due with a tick have left. */
export function acknowledgeRest(s: State): void {
  for (const peer of s.peers.values()) if (peer.ackDue && isTime(s, peer)) tell(s, peer, false)
}

export function tickDigests(s: State): void {
  for (const peer of s.peers.values()) {
    const isTold = covers(peer.seen, s.held)
    if (!isTold && s.nowMs < peer.digestAtMs) continue
    if (!isTold) tell(s, peer, true)
    peer.digestAtMs = s.nowMs + s.options.digestMs
  }
}
