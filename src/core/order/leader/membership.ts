/**
 * Changes of the configuration, one member at a time through the log (Ongaro's thesis, 4.1), with
 * the condition that its erratum adds: only a leader that has committed an entry of its own term may
 * begin one, or two leaders' changes could have majorities that do not overlap.
 */
import { unreachable } from '../../../base/assert.ts'
import type { NodeId } from '../../../base/brand.ts'
import type { ErrorCode } from '../../../base/errors.ts'
import { LIMITS } from '../../../base/limits.ts'
import type { Member, MemberChange, Members } from '../../../model/members.ts'
import { quorumOf } from './commit.ts'
import type { Progress } from './progress.ts'
import type { Lead, State } from './state.ts'

/** How many entries short of the leader's log a learner may be to count as caught up. */
const CAUGHT_UP_ENTRIES = 64

export interface Refusal {
  readonly code: ErrorCode
  readonly detail: string
}

/** What the validation needs to know about the nodes. */
export interface Reach {
  /** In contact with the leader now (the leader itself included). */
  readonly reachable: (id: NodeId) => boolean
  readonly caughtUp: (id: NodeId) => boolean
}

const refusal = (code: ErrorCode, detail: string): Refusal => ({ code, detail })

/**
 * The configuration that a change leads to, or why it may not be made. Equal to `now` (the same
 * object) if there is nothing to do.
 */
export function planChange(now: Members, change: MemberChange, reach: Reach): Members | Refusal {
  if (change.kind === 'add') return planAdd(now, change.member, reach)
  const member = now.members.find(({ id }) => id === change.id)
  if (member === undefined) return refusal('MEMBER_UNKNOWN', `No member has the id ${change.id}.`)
  switch (change.kind) {
    case 'remove':
      return safe(now, without(now, member.id), reach)
    case 'promote':
      return planPromote(now, member, reach)
    case 'demote':
      if (member.role === 'learner' && member.wants === 'learner') return now
      return safe(now, replaced(now, { ...member, role: 'learner', wants: 'learner' }), reach)
    case 'update': {
      const { url, priority } = change
      if (member.url === url && member.priority === priority) return now
      return safe(now, replaced(now, { ...member, url, priority }), reach)
    }
    default:
      return unreachable(change)
  }
}

/** Everyone begins as a learner, so that a voter without data never makes majorities harder. */
function planAdd(now: Members, member: Member, reach: Reach): Members | Refusal {
  const known = now.members.find(({ id }) => id === member.id)
  const namesake = now.members.find(({ id, name }) => name === member.name && id !== member.id)
  if (namesake !== undefined) {
    return refusal('NAME_IN_USE', `The name ${member.name} belongs to ${namesake.id}.`)
  }
  if (known !== undefined) {
    // A node that asks again to be let in, maybe from another address.
    const { url, priority, name } = member
    if (known.url === url && known.priority === priority && known.name === name) return now
    return safe(now, replaced(now, { ...known, url, priority, name }), reach)
  }
  if (now.members.length >= LIMITS.membersMax) {
    return refusal('BAD_REQUEST', `A group has at most ${LIMITS.membersMax} members.`)
  }
  const wants = member.role === 'voter' ? 'voter' : member.wants
  return sorted(now, [...now.members, { ...member, role: 'learner', wants }])
}

/** A learner that is behind is marked instead, and promoted once it has caught up. */
function planPromote(now: Members, member: Member, reach: Reach): Members | Refusal {
  if (member.role === 'voter') return now
  if (votersOf(now).length >= LIMITS.votersMax) {
    return refusal('BAD_REQUEST', `A group has at most ${LIMITS.votersMax} voters.`)
  }
  if (reach.caughtUp(member.id)) {
    return safe(now, replaced(now, { ...member, role: 'voter', wants: 'voter' }), reach)
  }
  return member.wants === 'voter' ? now : replaced(now, { ...member, wants: 'voter' })
}

/** Refuses a configuration whose majority is not there to work, or that nobody could lead. */
function safe(now: Members, planned: Members, reach: Reach): Members | Refusal {
  const voters = votersOf(planned)
  if (voters.length === 0) {
    return refusal('MEMBER_CHANGE_UNSAFE', 'The last voter can not be taken away.')
  }
  if (!planned.members.some(({ role, priority }) => role === 'voter' && priority > 0)) {
    return refusal('MEMBER_CHANGE_UNSAFE', 'No voter would be left that may lead.')
  }
  const ids = new Set(votersOf(now))
  const changed = voters.length !== ids.size || voters.some((id) => !ids.has(id))
  const up = voters.filter((id) => reach.reachable(id)).length
  if (!changed || up >= quorumOf(voters.length)) return planned
  const detail = `Of the ${voters.length} voters that would be left, ${up} can be reached.`
  return refusal('MEMBER_CHANGE_UNSAFE', detail)
}

function votersOf({ members }: Members): readonly NodeId[] {
  return members.filter(({ role }) => role === 'voter').map(({ id }) => id)
}

function without(now: Members, id: NodeId): Members {
  return { ...now, members: now.members.filter((member) => member.id !== id) }
}

function replaced(now: Members, changed: Member): Members {
  return sorted(now, [...now.members.filter(({ id }) => id !== changed.id), changed])
}

function sorted(now: Members, members: readonly Member[]): Members {
  return { ...now, members: [...members].sort((a, b) => (a.id < b.id ? -1 : 1)) }
}

/** The peer has answered lately and its link is not known to be down. */
export function inContact(s: State, id: NodeId, peer: Progress): boolean {
  return peer.heard && peer.lastContactTicks < s.options.electionTicks && !s.linksDown.has(id)
}

/** Whether a peer is so close to the end of the log that it could vote, or lead, at once. */
export function isCaughtUp(s: State, id: NodeId): boolean {
  const peer = s.lead?.progress.get(id)
  if (peer === undefined || peer.state !== 'replicate' || !inContact(s, id, peer)) return false
  return peer.match + CAUGHT_UP_ENTRIES >= s.log.last.index && peer.match >= s.log.base.index
}

/** A request to change the members. Its reply comes when the change is committed, or refused. */
export function onChangeMembers(s: State, id: number | null, change: MemberChange): void {
  const { lead } = s
  if (lead === null) {
    s.out.failed(id, 'NO_LEADER', `${s.self} does not lead.`)
    return
  }
  if (!s.knowsCommit || isChanging(s, lead) || s.transfer !== null) {
    s.out.failed(id, 'MEMBER_CHANGE_BUSY', 'Another change, or a change of leader, is under way.')
    return
  }
  const now = s.log.members
  const planned = planChange(now, change, reachOf(s))
  if ('code' in planned) {
    s.out.failed(id, planned.code, planned.detail)
  } else if (planned === now) {
    s.out.done(id)
  } else {
    lead.change = { id, index: null }
    s.out.propose({ kind: 'members', members: planned })
  }
}

/** The configuration in force may still be taken back, or a new one is on its way to the log. */
function isChanging(s: State, lead: Lead): boolean {
  return lead.change !== null || s.log.membersIndex > s.commit
}

function reachOf(s: State): Reach {
  const reachable = (id: NodeId): boolean => {
    if (id === s.self) return true
    const peer = s.lead?.progress.get(id)
    return peer !== undefined && inContact(s, id, peer)
  }
  return { reachable, caughtUp: (id) => isCaughtUp(s, id) }
}

/** Promotes one learner that wants to vote and has caught up, if nothing else is under way. */
export function promoteReady(s: State): void {
  const { lead } = s
  if (lead === null || !s.knowsCommit || isChanging(s, lead) || s.transfer !== null) return
  if (s.voters.length >= LIMITS.votersMax) return
  const ready = s.log.members.members.find(
    ({ id, role, wants }) => role === 'learner' && wants === 'voter' && isCaughtUp(s, id),
  )
  if (ready !== undefined) onChangeMembers(s, null, { kind: 'promote', id: ready.id })
}

/** The store has made the entry of the change under way. */
export function changeLogged(s: State): void {
  const lead = s.leading
  lead.change = { id: lead.change?.id ?? null, index: s.log.membersIndex }
}

/** Leadership ends: the entry may or may not survive it. */
export function dropChange(s: State, lead: Lead): void {
  const detail = `${s.self} lost the leadership before the change was committed.`
  s.out.failed(lead.change?.id ?? null, 'UNKNOWN_OUTCOME', detail)
}
