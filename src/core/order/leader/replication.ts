/** How a leader brings its peers' logs in line with its own, and what it learns from their answers. */
import { unreachable } from '../../../base/assert.ts'
import type { LogIndex, NodeId } from '../../../base/brand.ts'
import { next as after, previous, toLogIndex } from '../../../base/brand.ts'
import { LIMITS } from '../../../base/limits.ts'
import type { EntryId } from '../../../model/entry.ts'
import type { RaftMessage } from '../../../model/message.ts'
import type { Progress } from './progress.ts'
import { fly, matched, mayFly, newProgress, toProbe, toReplicate, toSnapshot } from './progress.ts'
import type { State } from './state.ts'

type AppendReply = Extract<RaftMessage, { readonly kind: 'appendReply' }>

/** Heartbeats that an unacknowledged append may outlive before it is taken for lost. */
const STALL_HEARTBEATS = 3
const STALL_GROWTH_MAX = 16

function stallTicks(s: State): number {
  return STALL_HEARTBEATS * s.options.heartbeatTicks
}

/** Gives every member a progress, and marks those that are members no more. */
export function trackMembers(s: State): void {
  const { progress } = s.leading
  const ids = new Set(s.log.members.members.map(({ id }) => id))
  ids.delete(s.self)
  for (const [id, peer] of progress) peer.leaving = !ids.has(id)
  for (const id of ids) {
    if (progress.has(id)) continue
    const peer = newProgress(s.log.last.index, stallTicks(s))
    progress.set(id, peer)
    probe(s, id, peer)
  }
}

/** A new round: every peer is asked to confirm leadership, and shown the commit index. */
export function broadcast(s: State): void {
  const lead = s.leading
  lead.round += 1
  lead.ticksToHeartbeat = s.options.heartbeatTicks
  for (const [id, peer] of lead.progress) {
    if (peer.state === 'probe') probe(s, id, peer)
    else order(s, id, heartbeatPrev(s, peer))
  }
}

/** Sends whatever the flow control allows to whoever lacks entries. */
export function replicate(s: State): void {
  for (const [id, peer] of s.leading.progress) sendEntries(s, id, peer)
}

/**
 * Tells peers of a new commit index that no entry has told them. Once a tick and not at once: the
 * next entries carry it, and under load a message of its own for each batch, with its answer, made
 * up half of all messages.
 */
export function announceCommit(s: State): void {
  for (const [id, peer] of s.leading.progress) announceTo(s, id, peer)
}

/** Tells one peer at once. */
export function onAnnounce(s: State, id: NodeId): void {
  const peer = s.lead?.progress.get(id)
  if (peer !== undefined) announceTo(s, id, peer)
}

function announceTo(s: State, id: NodeId, peer: Progress): void {
  if (peer.state !== 'replicate' || peer.told >= s.commit) return
  order(s, id, heartbeatPrev(s, peer))
}

/** Lets go of peers that are members no more, with a last word that says so. */
export function dismiss(s: State): void {
  const { progress } = s.leading
  for (const [id, peer] of progress) {
    if (!peer.leaving) continue
    order(s, id, heartbeatPrev(s, peer))
    progress.delete(id)
  }
}

/** @returns whether the peer is now known to hold more than before */
export function onAppendReply(s: State, from: NodeId, message: AppendReply): boolean {
  const peer = s.leading.progress.get(from)
  if (peer === undefined) return false
  peer.heard = true
  peer.lastContactTicks = 0
  if (message.round > peer.round && message.round <= s.leading.round) peer.round = message.round
  switch (message.result) {
    case 'busy':
      if (peer.state === 'replicate') toProbe(peer, after(peer.match))
      return false
    case 'mismatch':
      onMismatch(s, from, peer, message.match)
      return false
    case 'ok':
      return onMatch(s, from, peer, message.match)
    default:
      return unreachable(message.result)
  }
}

/** The transfer of a snapshot ended; `last` null if it failed. */
export function onSnapshotEnded(s: State, id: NodeId, last: EntryId | null): void {
  const peer = s.lead?.progress.get(id)
  if (peer === undefined || peer.state !== 'snapshot') return
  if (last === null) {
    peer.pauseTicks = s.options.electionTicks
    return
  }
  const next = Math.min(last.index, s.log.last.index) + 1
  toProbe(peer, toLogIndex(next))
  probe(s, id, peer)
}

/** A link to a peer broke or came back: what was in flight is lost. */
export function onPeerLink(s: State, id: NodeId, up: boolean): void {
  const peer = s.lead?.progress.get(id)
  if (peer === undefined) return
  if (peer.state === 'replicate') toProbe(peer, after(peer.match))
  if (up && peer.state === 'probe') probe(s, id, peer)
}

export function tickPeers(s: State): void {
  for (const [id, peer] of s.leading.progress) {
    peer.lastContactTicks += 1
    if (peer.flights.length > 0) tickFlights(s, id, peer)
    if (peer.pauseTicks === null) continue
    peer.pauseTicks -= 1
    if (peer.pauseTicks > 0) continue
    toProbe(peer, after(peer.match))
    probe(s, id, peer)
  }
}

/** Appends can get lost without the link noticing; then the answers never come. */
function tickFlights(s: State, id: NodeId, peer: Progress): void {
  peer.stalledTicks += 1
  if (peer.stalledTicks < peer.stallTicksMax) return
  peer.stallTicksMax = Math.min(peer.stallTicksMax * 2, stallTicks(s) * STALL_GROWTH_MAX)
  toProbe(peer, after(peer.match))
  probe(s, id, peer)
}

/** Asks whether the peer has the entry before `next`. */
function probe(s: State, id: NodeId, peer: Progress): void {
  const prev = previous(peer.next)
  const term = s.log.termAt(prev)
  if (term === null) wantSnapshot(s, id, peer)
  else order(s, id, { term, index: prev })
}

function sendEntries(s: State, id: NodeId, peer: Progress): void {
  if (peer.state !== 'replicate') return
  const { last } = s.log
  while (peer.next <= last.index && mayFly(peer)) {
    const prev = previous(peer.next)
    const term = s.log.termAt(prev)
    if (term === null) {
      wantSnapshot(s, id, peer)
      return
    }
    const first = peer.next
    const through = toLogIndex(Math.min(last.index, prev + LIMITS.appendEntriesMax))
    fly(peer, first, through)
    order(s, id, { term, index: prev }, through)
  }
}

function wantSnapshot(s: State, id: NodeId, peer: Progress): void {
  toSnapshot(peer)
  s.out.snapshotTo(id)
}

/** Orders an append after `prev`; without `last` it is empty. */
function order(s: State, to: NodeId, prev: EntryId, last: LogIndex = prev.index): void {
  const { commit, term } = s
  const { round, progress } = s.leading
  const peer = progress.get(to)
  if (peer !== undefined) peer.told = commit
  s.out.send(to, { kind: 'append', term, prev, first: after(prev.index), last, commit, round })
}

/** A place that a peer in good order has for certain, so that its commit index can follow. */
function heartbeatPrev(s: State, peer: Progress): EntryId {
  const { base } = s.log
  return peer.match > base.index ? s.log.idAt(peer.match) : base
}

function onMismatch(s: State, id: NodeId, peer: Progress, hint: LogIndex): void {
  // The hint is always below the place that was asked for; if not, it answers an older question.
  if (peer.state === 'snapshot' || hint >= previous(peer.next)) return
  const asked = peer.state === 'probe' ? peer.next : null
  toProbe(peer, after(hint))
  // A peer that denies what it acknowledged is asked again at the next heartbeat, not in a circle.
  if (peer.next !== asked) probe(s, id, peer)
}

function onMatch(s: State, id: NodeId, peer: Progress, match: LogIndex): boolean {
  if (match > s.log.last.index) return false // It can't know of what is not written: not ours.
  const advanced = matched(peer, match, stallTicks(s))
  if (peer.state !== 'replicate' && peer.match >= s.log.base.index) toReplicate(peer)
  sendEntries(s, id, peer)
  return advanced
}
