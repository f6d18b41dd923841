/**
 * Asking for what is missing. What one peer asks of another comes in the order of the other's log,
 * which is causal; so as much as possible is asked of one peer, and each origin's entries of one
 * peer at a time. Silence or an answer without use makes it another's turn. What is in nobody's
 * log any more is for a person.
 */
import { holds, join, type Range } from '../frontier.ts'
import type { Origin } from '../stamp.ts'
import { arrive } from './intake.ts'
import { canServe, failed, type Peer } from './peer.ts'
import { mayBeLevel } from './push.ts'
import type { Dropped, State } from './state.ts'
import type { ExchangeMessage } from './types.ts'

export function onEntries(
  s: State,
  peer: Peer,
  { request, held, entries }: Extract<ExchangeMessage, { readonly kind: 'entries' }>,
): void {
  s.heard(peer, held)
  mayBeLevel(s, peer)
  if (entries.length > 0) peer.owesAck = true
  const progress = arrive(s, peer.id, entries)
  const { ask } = peer
  if (ask === null || ask.request !== request) return
  if (!progress && s.unheld.length === 0) {
    failed(peer, s.nowMs, s.options.askTimeoutMs)
    return
  }
  peer.ask = null
  // It may be the store here that has no room yet, which is not the peer's fault.
  if (!progress) peer.pausedUntilMs = s.nowMs + s.options.askDelayMs
  peer.failures = Math.max(0, peer.failures - 1)
  askAtOnce(s, ask.ranges)
}

export function onGone(
  s: State,
  peer: Peer,
  { request, base }: Extract<ExchangeMessage, { readonly kind: 'gone' }>,
): void {
  const { ask } = peer
  if (ask === null || ask.request !== request) return
  peer.base = join(peer.base, base)
  if (ask.ranges.some((range) => !canServe(peer, range))) peer.ask = null
  else failed(peer, s.nowMs, s.options.askTimeoutMs)
  askAtOnce(s, ask.ranges)
}

/** Gives up what was not answered in time; another peer is asked at once. */
export function tickAsks(s: State): void {
  for (const peer of s.peers.values()) {
    if (peer.ask === null || s.nowMs < peer.ask.deadlineMs) continue
    askAtOnce(s, peer.ask.ranges)
    failed(peer, s.nowMs, s.options.askTimeoutMs)
  }
}

/** These need not be given time to come by themselves. */
export function askAtOnce(s: State, ranges: readonly Range[]): void {
  for (const { origin } of ranges) {
    s.lacks.set(origin, { sinceMs: s.nowMs, ...s.lacks.get(origin), dueMs: s.nowMs })
  }
}

/** Asks for everything that is due. */
export function pull(s: State): void {
  const lacking = rangesLacking(s)
  if (lacking.length === 0 && s.dropped === null) return
  s.dropped = droppedOf(s, lacking)
  if (s.dropped !== null) return
  const { storeBytesMax, storeEntriesMax } = s.options
  if (s.unheldBytes >= storeBytesMax || s.unheld.length >= storeEntriesMax) return
  const underWay = new Set(
    [...s.peers.values()].flatMap(({ ask }) => ask?.ranges.map(({ origin }) => origin) ?? []),
  )
  let due = lacking.filter(({ origin }) => {
    return !underWay.has(origin) && s.nowMs >= (s.lacks.get(origin)?.dueMs ?? 0)
  })
  while (due.length > 0) {
    const peer = bestFor(s, due)
    if (peer === null) return
    ask(
      s,
      peer,
      due.filter((range) => canServe(peer, range)),
    )
    due = due.filter((range) => !canServe(peer, range))
  }
}

/** What linked peers hold and we don't, by origin: the first piece of each that is not buffered. */
function rangesLacking(s: State): readonly Range[] {
  const lacking: Range[] = []
  for (const origin of s.members.origins.keys()) {
    const handed = s.handed.get(origin) ?? 0
    const last = Math.min(highestKnown(s, origin), s.limit(origin))
    if (origin === s.self || last <= handed) {
      s.lacks.delete(origin)
      continue
    }
    if (!s.lacks.has(origin)) {
      const dueMs = s.nowMs + s.options.askDelayMs
      s.lacks.set(origin, { sinceMs: s.nowMs, dueMs })
    }
    const gap = s.buffer.gap(origin, handed + 1, last)
    if (gap !== null) lacking.push({ origin, ...gap })
  }
  return lacking
}

export function highestKnown(s: State, origin: Origin): number {
  let highest = 0
  for (const { known } of s.peers.values()) highest = Math.max(highest, known.get(origin) ?? 0)
  return highest
}

/** Of those that are free: who can give most, has failed least, and comes first by name. */
function bestFor(s: State, due: readonly Range[]): Peer | null {
  let best: { readonly peer: Peer; readonly serves: number } | null = null
  for (const peer of [...s.peers.values()].sort((a, b) => (a.id < b.id ? -1 : 1))) {
    if (peer.ask !== null || s.nowMs < peer.pausedUntilMs) continue
    const serves = due.filter((range) => canServe(peer, range)).length
    if (serves === 0) continue
    const isBetter =
      best === null ||
      peer.failures < best.peer.failures ||
      (peer.failures === best.peer.failures && serves > best.serves)
    if (isBetter) best = { peer, serves }
  }
  return best?.peer ?? null
}

function ask(s: State, peer: Peer, wanted: readonly Range[]): void {
  const { askBytesMax, askEntriesMax, askTimeoutMs, storeBytesMax, storeEntriesMax } = s.options
  const ranges = wanted.map((range) => {
    return { ...range, last: Math.min(range.last, peer.known.get(range.origin) ?? 0) }
  })
  const request = s.nextRequest
  s.nextRequest += 1
  // Who has failed may just be slow.
  peer.ask = { request, ranges, deadlineMs: s.nowMs + askTimeoutMs * (1 + peer.failures) }
  // No more than the store has room for: the rest would come for nothing.
  const limits = {
    bytesMax: Math.min(askBytesMax, storeBytesMax - s.unheldBytes),
    entriesMax: Math.min(askEntriesMax, storeEntriesMax - s.unheld.length),
  }
  s.out.send(peer.id, { kind: 'ask', request, ranges, ...limits })
}

/**
 * What is in no log any more, if anything. Logs keep what a member is not known to hold, so we once
 * said that we held it: our file is an older one. Or we were removed, and don't know.
 */
function droppedOf(s: State, lacking: readonly Range[]): Dropped | null {
  const peers = [...s.peers.values()]
  const isServed = (range: Range): boolean => peers.some((peer) => canServe(peer, range))
  if (s.dropped !== null) {
    const { range } = s.dropped
    // Who dropped it may be out of reach meanwhile, which makes it no better.
    if (range.first <= s.limit(range.origin) && !isServed(range)) return s.dropped
  }
  for (const range of lacking) {
    const holder = peers.find(({ known }) => holds(known, range.origin, range.first))
    if (holder !== undefined && !isServed(range)) return { by: holder.id, range }
  }
  return null
}
