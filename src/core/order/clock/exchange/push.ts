/**
 * New entries are pushed to peers that have everything before them, so that they are one hop away
 * and not a round trip. Whoever has fallen behind asks instead, at its own pace. Each entry should
 * reach a peer once: entries of others are left to whoever is linked to both.
 */
import { holds, type Range } from '../frontier.ts'
import { bytesInFlight, type Peer } from './peer.ts'
import type { State } from './state.ts'
import type { Recent } from './window.ts'

/** A peer that lacks no more than this of the latest entries needs not ask for them. */
const LEVEL_ENTRIES_MAX = 64

/** Looks, after a peer told what it holds, whether pushing may begin. */
export function mayBeLevel(s: State, peer: Peer): void {
  if (peer.level) return
  const { window } = s
  let first = window.end
  for (let at = window.end - 1; at >= window.start; at -= 1) {
    const { origin, sequence } = window.get(at).head
    if (!holds(peer.known, origin, sequence)) first = at
    if (window.end - first > LEVEL_ENTRIES_MAX) return
  }
  // What it lacks must be in the window, or pushes would have nothing to stand on.
  const inWindow = new Map<string, number>()
  for (let at = first; at < window.end; at += 1) {
    const { origin, sequence } = window.get(at).head
    if (!inWindow.has(origin)) inWindow.set(origin, sequence)
  }
  for (const [origin, last] of s.held) {
    const lowest = inWindow.get(origin) ?? last + 1
    if (!holds(peer.known, origin, lowest - 1)) return
  }
  peer.level = true
  peer.cursor = first
  peer.flights = []
}

/**
 * Pushes to every level peer what it lacks, as far as there is room: at once, but then not again
 * for a while, so that many entries share a message, unless somebody waits for an answer.
 */
export function push(s: State): void {
  for (const peer of s.peers.values()) {
    if (peer.level && (isTime(s, peer) || isUrgent(s, peer))) pushTo(s, peer)
  }
}

/** Whether enough may have gathered for another message. */
export function isTime(s: State, peer: Peer): boolean {
  return s.nowMs - peer.pushedAtMs >= s.options.pushMs
}

/**
 * Somebody waits: here for what others say, or elsewhere for what follows its entry. Or the window
 * might move on without the peer.
 */
function isUrgent(s: State, { cursor }: Peer): boolean {
  if (s.waits.size > 0 || s.window.end - cursor > s.options.windowEntriesMax / 2) return true
  for (const [origin, { now }] of s.wanted) if (now && origin !== s.self) return true
  for (let at = Math.max(cursor, s.window.start); at < s.window.end; at += 1) {
    if (s.window.get(at).head.answer === 'now') return true
  }
  return false
}

function pushTo(s: State, peer: Peer): void {
  if (peer.cursor < s.window.start) {
    peer.level = false
    peer.flights = []
    return
  }
  const ranges: Range[] = []
  let [bytes, entries] = [0, 0]
  let inFlight = peer.cursor < s.window.end ? bytesInFlight(peer) : 0
  for (; peer.cursor < s.window.end; peer.cursor += 1) {
    const recent = s.window.get(peer.cursor)
    if (!isForUs(s, peer, recent)) continue
    const { origin, sequence, bytes: size } = recent.head
    if (peer.flights.length > 0 && inFlight + size > s.options.pushBytesMax) break
    peer.flights.push({ origin, sequence, bytes: size })
    inFlight += size
    bytes += size
    entries += 1
    append(ranges, origin, sequence)
  }
  if (entries === 0) return
  peer.pushedAtMs = s.nowMs
  // Its message says what is held.
  peer.ackDue = false
  const held = s.rules.tells(s.held, s.handed)
  const limits = { bytesMax: bytes, entriesMax: entries }
  s.out.send(peer.id, { kind: 'entries', request: null, held, ranges, ...limits })
}

/** Whether it is on us to push an entry to a peer. */
function isForUs(s: State, peer: Peer, { head, via }: Recent): boolean {
  const { origin, sequence } = head
  if (origin === peer.id || via === peer.id || holds(peer.known, origin, sequence)) return false
  return origin === s.self || !(peer.links.has(origin) || peer.links.has(via))
}

function append(ranges: Range[], origin: string, sequence: number): void {
  const latest = ranges.at(-1)
  if (latest?.origin === origin && latest.last === sequence - 1) {
    ranges[ranges.length - 1] = { ...latest, last: sequence }
  } else ranges.push({ origin, first: sequence, last: sequence })
}
