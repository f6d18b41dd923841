/**
 * Read index (Ongaro's thesis, 6.4): the leader notes how far its log reaches, proves by a round of
 * answers in its own term that nobody else leads, and only then says the index. No clock is trusted.
 *
 * One round is under way at a time; reads that arrive meanwhile share the next one. The index is not
 * the commit index but the end of what is durable here, because a write acknowledged at level
 * `local` counts as acknowledged; the answer waits until that much is committed.
 */
import type { LogIndex, NodeId } from '../../../base/brand.ts'
import type { RaftMessage } from '../../../model/message.ts'
import { hasQuorum } from './commit.ts'
import { higher } from './positions.ts'
import { broadcast } from './replication.ts'
import type { Lead, Reader, State } from './state.ts'

type ReadIndex = Extract<RaftMessage, { readonly kind: 'readIndex' }>
type ReadIndexReply = Extract<RaftMessage, { readonly kind: 'readIndexReply' }>

/** A caller here wants an index; a follower asks its leader. */
export function onRead(s: State, id: number): void {
  if (s.lead !== null) {
    enqueue(s, s.lead, { from: s.self, id, waitedTicks: 0 })
  } else if (s.leader === null) {
    s.out.read(id, null)
  } else {
    const ask = s.nextAsk
    s.nextAsk += 1
    s.askedReads.set(ask, { id, waitedTicks: 0 })
    s.out.send(s.leader, { kind: 'readIndex', term: s.term, id: ask })
  }
}

/** A peer asks; only the leader of the very same term may answer with an index. */
export function onReadIndex(s: State, from: NodeId, message: ReadIndex): void {
  const { id, term } = message
  if (s.lead !== null && term === s.term) enqueue(s, s.lead, { from, id, waitedTicks: 0 })
  else s.out.send(from, { kind: 'readIndexReply', term: s.term, id, index: null })
}

export function onReadIndexReply(s: State, from: NodeId, message: ReadIndexReply): void {
  const asked = s.askedReads.get(message.id)
  // Asked questions end with the term or the leader, so what is left was asked of this one.
  if (asked === undefined || from !== s.leader || message.term !== s.term) return
  s.askedReads.delete(message.id)
  s.out.read(asked.id, message.index)
}

/** The leader they were sent to leads no more: ask again elsewhere. */
export function dropAskedReads(s: State): void {
  for (const { id } of s.askedReads.values()) s.out.read(id, null)
  s.askedReads.clear()
}

/** Leadership ends: what it has not confirmed it never will. */
export function dropLeaderReads(s: State, lead: Lead): void {
  const rounds = lead.readRound === null ? [] : [lead.readRound]
  for (const round of [...lead.confirmedReads, ...rounds]) answer(s, round.readers, null)
  answer(s, lead.queuedReads, null)
}

/** Something that a round waits for may have happened: an answer, or a commit. */
export function advanceReads(s: State): void {
  const lead = s.leading
  endRound(s, lead)
  startRound(s, lead)
  const ready = lead.confirmedReads.filter(({ index }) => index <= s.commit)
  if (ready.length === 0) return
  lead.confirmedReads = lead.confirmedReads.filter(({ index }) => index > s.commit)
  for (const { readers, index } of ready) answer(s, readers, index)
}

/** Gives up what waited for an election timeout: the caller asks again, maybe someone else. */
export function tickReads(s: State): void {
  for (const [ask, { id, waitedTicks }] of s.askedReads) {
    if (waitedTicks + 1 < s.options.electionTicks) {
      s.askedReads.set(ask, { id, waitedTicks: waitedTicks + 1 })
    } else {
      s.askedReads.delete(ask)
      s.out.read(id, null)
    }
  }
  if (s.lead !== null) tickLeaderReads(s, s.lead)
}

function tickLeaderReads(s: State, lead: Lead): void {
  const aged = (readers: readonly Reader[]): Reader[] => {
    const older = readers.map((reader) => ({ ...reader, waitedTicks: reader.waitedTicks + 1 }))
    const late = older.filter(({ waitedTicks }) => waitedTicks >= s.options.electionTicks)
    answer(s, late, null)
    return older.filter((reader) => !late.includes(reader))
  }
  lead.queuedReads = aged(lead.queuedReads)
  if (lead.readRound !== null) {
    const readers = aged(lead.readRound.readers)
    lead.readRound = readers.length === 0 ? null : { ...lead.readRound, readers }
  }
  lead.confirmedReads = lead.confirmedReads
    .map((round) => ({ ...round, readers: aged(round.readers) }))
    .filter(({ readers }) => readers.length > 0)
  startRound(s, lead)
}

function enqueue(s: State, lead: Lead, reader: Reader): void {
  lead.queuedReads.push(reader)
  advanceReads(s)
}

function startRound(s: State, lead: Lead): void {
  // Before an own entry is committed, entries of earlier terms may be committed unknown to us.
  if (lead.readRound !== null || lead.queuedReads.length === 0 || !s.knowsCommit) return
  const index = higher(s.durability.durable, s.commit)
  broadcast(s)
  lead.readRound = { round: lead.round, index, readers: lead.queuedReads }
  lead.queuedReads = []
  endRound(s, lead) // A sole voter needs nobody else.
}

function endRound(s: State, lead: Lead): void {
  const under = lead.readRound
  if (under === null) return
  const answered = (voter: NodeId): boolean =>
    voter === s.self || (lead.progress.get(voter)?.round ?? 0) >= under.round
  if (!s.rules.confirmsRead(hasQuorum(s.voters, answered))) return
  lead.readRound = null
  lead.confirmedReads.push(under)
}

function answer(s: State, readers: readonly Reader[], index: LogIndex | null): void {
  for (const { from, id } of readers) {
    if (from === s.self) s.out.read(id, index)
    else s.out.send(from, { kind: 'readIndexReply', term: s.term, id, index })
  }
}
