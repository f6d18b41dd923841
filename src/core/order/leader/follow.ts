/** What a follower does with its leader's appends, and when it may say that it holds them. */
import type { LogIndex, NodeId } from '../../../base/brand.ts'
import { next as after, previous, toLogIndex } from '../../../base/brand.ts'
import { QuorateError } from '../../../base/errors.ts'
import type { Entry, EntryId } from '../../../model/entry.ts'
import { decodeMembers } from '../../../model/entry-codec.ts'
import type { RaftMessage } from '../../../model/message.ts'
import { higher, lower } from './positions.ts'
import { becomeFollower, heardLeader, setLeader } from './roles.ts'
import type { State } from './state.ts'

type Append = Extract<RaftMessage, { readonly kind: 'append' }>
type Result = Extract<RaftMessage, { readonly kind: 'appendReply' }>['result']

/** An append without what lies at or below the commit index, where nothing is left to decide. */
interface Slice {
  readonly prev: EntryId
  readonly entries: readonly Entry[]
}

export function onAppend(s: State, from: NodeId, message: Append): void {
  if (!isWellFormed(message)) return
  if (message.term < s.term) {
    // An old leader, or one that a node with a higher term can't follow: it must learn of that term.
    const { term } = s
    s.out.send(from, { kind: 'appendReply', term, round: 0, result: 'mismatch', match: zero })
    return
  }
  if (message.term > s.term) {
    becomeFollower(s, message.term, from)
  } else if (s.role === 'preCandidate' || s.role === 'candidate') {
    becomeFollower(s, s.term, from)
  }
  if (s.leader === null) setLeader(s, from)
  if (s.leader !== from) return // Two leaders in a term: the peer's mistake, not ours to follow.
  heardLeader(s)
  if (message.round > s.heardRound) s.heardRound = message.round
  take(s, from, message)
}

/** More of the log is durable: the answer that waited for it. */
export function answerOwed(s: State): void {
  if (s.answerOwed && s.leader !== null && s.lead === null) answerHeld(s, s.leader)
}

function take(s: State, from: NodeId, message: Append): void {
  s.verified = higher(s.verified, s.commit)
  const slice = aboveCommit(s, message)
  if (slice === null) {
    // A leader that wants a committed entry replaced is refused (C4): one of us is broken.
    s.conflict = message.prev
    answer(s, from, 'busy', zero)
    return
  }
  if (!s.log.has(slice.prev)) {
    const hint = s.log.hintBelow(slice.prev)
    answer(s, from, 'mismatch', higher(hint, s.commit))
    return
  }
  const differs = slice.entries.findIndex((entry) => !s.log.has(entry))
  const fresh = differs === -1 ? [] : slice.entries.slice(differs)
  if (fresh.length > 0 && s.executing.length > 0) {
    answer(s, from, 'busy', zero)
    return
  }
  if (fresh.length > 0) write(s, fresh)
  verify(s, toLogIndex(slice.prev.index + slice.entries.length), message.commit)
  const held = s.rules.acknowledges(s.verified, s.durability.durable) >= s.verified
  if (message.entries.length === 0 || held) answerHeld(s, from)
  else s.answerOwed = true
}

/** @returns null if the message contradicts an entry that is committed here */
function aboveCommit(s: State, { prev, entries }: Append): Slice | null {
  const { commit, log } = s
  if (prev.index >= commit) {
    return prev.index === commit && !log.has(prev) ? null : { prev, entries }
  }
  const contradicts = (id: EntryId): boolean =>
    id.index >= log.base.index && id.index <= commit && !log.has(id)
  if (contradicts(prev) || entries.some(contradicts)) return null
  return { prev: log.idAt(commit), entries: entries.slice(commit - prev.index) }
}

function write(s: State, fresh: readonly Entry[]): void {
  const ticket = s.durability.draw()
  const cut = previous(fresh[0]?.index ?? after(s.log.last.index))
  const cuts = cut < s.log.last.index
  if (cuts) truncate(s, cut)
  s.log.append(fresh)
  s.durability.wrote(ticket, s.log.last.index)
  s.out.write(ticket, cuts ? cut : null, fresh)
}

function truncate(s: State, to: LogIndex): void {
  s.log.truncate(to)
  s.durability.truncated(to)
  s.applied = lower(s.applied, to)
  s.verified = lower(s.verified, to)
}

function verify(s: State, through: LogIndex, leaderCommit: LogIndex): void {
  s.verified = higher(s.verified, through)
  s.commit = higher(s.commit, lower(leaderCommit, s.verified))
}

function answerHeld(s: State, to: NodeId): void {
  const { durable } = s.durability
  s.answerOwed = durable < s.verified
  answer(s, to, 'ok', s.rules.acknowledges(s.verified, durable))
}

function answer(s: State, to: NodeId, result: Result, match: LogIndex): void {
  const { term, heardRound: round } = s
  s.out.send(to, { kind: 'appendReply', term, round, result, match })
}

const zero = toLogIndex(0)

/** A gapless run of one leader's log, with contents that can be read. If not, the peer is broken. */
function isWellFormed({ term, prev, entries }: Append): boolean {
  let before = prev
  for (const entry of entries) {
    if (entry.index !== before.index + 1 || entry.term < before.term) return false
    if (entry.kind === 'members' && !isMembers(entry)) return false
    before = entry
  }
  return before.term <= term
}

function isMembers(entry: Entry): boolean {
  try {
    return decodeMembers(entry.body).members.length > 0
  } catch (error) {
    if (error instanceof QuorateError) return false
    throw error
  }
}
