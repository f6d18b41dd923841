/**
 * Acknowledgement and read levels: what callers wait for. Giving up after a time, and what is said
 * then, is the driver's affair.
 */
import { unreachable } from '../../../../base/assert.ts'
import { covers, type Frontier } from '../frontier.ts'
import { areMet } from '../quorums.ts'
import type { Origin } from '../stamp.ts'
import type { Peer } from './peer.ts'
import type { State, Waiting } from './state.ts'
import type { ExchangeMessage, Wait } from './types.ts'

export function onWait(s: State, id: number, wait: Wait): void {
  const waiting = { wait, consulted: new Map<Origin, Frontier>() }
  s.waits.set(id, waiting)
  for (const peer of s.peers.values()) probe(s, peer, id, waiting)
}

export function tickProbes(s: State): void {
  if (s.waits.size === 0) return
  for (const peer of s.peers.values()) {
    if (s.nowMs < peer.probeAtMs) continue
    peer.probeAtMs = s.nowMs + s.options.digestMs
    probeAgain(s, peer)
  }
}

/** Asks a peer for every read that still consults: the link is new, or something may be lost. */
export function probeAgain(s: State, peer: Peer): void {
  for (const [id, waiting] of s.waits) probe(s, peer, id, waiting)
}

function probe(s: State, peer: Peer, id: number, { wait, consulted }: Waiting): void {
  if (wait.kind !== 'read' || consulted.has(peer.id)) return
  const isAsked = s.quorums(wait.consulted).some(({ of }) => of.includes(peer.id))
  if (isAsked) s.out.send(peer.id, { kind: 'probe', id })
}

/** Whoever has not joined may lack what was acknowledged before anyone counted it. */
export function onProbe(s: State, peer: Peer, id: number): void {
  if (!s.joined) return
  s.out.send(peer.id, { kind: 'probed', id, held: s.rules.tells(s.held, s.handed) })
}

export function onProbed(
  s: State,
  peer: Peer,
  { id, held }: Extract<ExchangeMessage, { readonly kind: 'probed' }>,
): void {
  s.heard(peer, held)
  const waiting = s.waits.get(id)
  if (waiting === undefined || !s.active.includes(peer.id)) return
  waiting.consulted.set(peer.id, held)
}

export function settleWaits(s: State): void {
  for (const [id, waiting] of s.waits) {
    if (!isOver(s, waiting)) continue
    s.waits.delete(id)
    s.out.done(id)
  }
}

function isOver(s: State, { wait, consulted }: Waiting): boolean {
  switch (wait.kind) {
    case 'copies':
      return areMet(
        s.quorums(wait.copies),
        (member) => s.isCopied(wait.sequence, member),
        s.rules.copied,
      )
    case 'stable':
      return s.stable >= wait.time
    case 'applied':
      return covers(s.applied, wait.frontier)
    case 'read': {
      if (!consulted.has(s.self) && s.joined) consulted.set(s.self, s.held)
      const quorums = s.quorums(wait.consulted)
      if (!areMet(quorums, (member) => consulted.has(member), s.rules.consulted)) return false
      // What was acknowledged with the help of a frozen member is known when it is removed.
      if (s.isAnyFrozen) return false
      const asked = new Set(quorums.flatMap(({ of }) => of))
      const told = [...consulted].filter(([member]) => asked.has(member)).map(([, held]) => held)
      return [s.members.floor, ...told].every((held) => covers(s.applied, counting(s, held)))
    }
    default:
      return unreachable(wait)
  }
}

/** Without what a removed origin had made after its agreed last entry. */
function counting(s: State, held: Frontier): Frontier {
  const counted = [...held].map(([origin, sequence]): [Origin, number] => {
    const standing = s.standing(origin)
    return [origin, standing?.kind === 'removed' ? Math.min(sequence, standing.last) : sequence]
  })
  return new Map(counted.filter(([, sequence]) => sequence > 0))
}
