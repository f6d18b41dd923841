/** Answers to peers that ask for entries: one at a time each, and no larger than our own limits. */
import { holds, type Range } from '../frontier.ts'
import type { Peer } from './peer.ts'
import type { State } from './state.ts'
import type { AskMessage } from './types.ts'

export function onAsk(s: State, peer: Peer, message: AskMessage): void {
  if (peer.serving) peer.queued = message
  else serve(s, peer, message)
}

export function onServed(s: State, peer: Peer): void {
  const { queued } = peer
  peer.serving = false
  peer.queued = null
  if (queued !== null) serve(s, peer, queued)
}

function serve(s: State, peer: Peer, { request, ranges, bytesMax, entriesMax }: AskMessage): void {
  const gone = ranges.filter(({ origin, first }) => holds(s.base, origin, first))
  if (gone.length > 0) {
    const base = new Map(gone.map(({ origin }) => [origin, s.base.get(origin) ?? 0]))
    s.out.send(peer.id, { kind: 'gone', request, base })
    return
  }
  peer.serving = true
  s.out.send(peer.id, {
    kind: 'entries',
    request,
    held: s.held,
    ranges: ranges.map((range) => clip(s, range)).filter(({ first, last }) => first <= last),
    bytesMax: Math.min(bytesMax, s.options.askBytesMax),
    entriesMax: Math.min(entriesMax, s.options.askEntriesMax),
  })
}

function clip(s: State, { origin, first, last }: Range): Range {
  return { origin, first, last: Math.min(last, s.held.get(origin) ?? 0) }
}
