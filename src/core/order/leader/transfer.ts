/**
 * Handing leadership on (Ongaro's thesis, 3.10): stop executing, bring the target up to date, tell
 * it to campaign at once. Also by itself, when a voter with a higher priority could lead.
 */
import type { NodeId } from '../../../base/brand.ts'
import { inContact, isCaughtUp } from './membership.ts'
import type { Lead, State } from './state.ts'

/** A leader is left alone for this many election timeouts while a better one is ready, and … */
const TAKEOVER_ELECTIONS = 4
/** … this many after an attempt that failed, so that leadership does not flap. */
const TAKEOVER_PAUSE_ELECTIONS = 16

export function onTransfer(s: State, id: number, to: NodeId | null): void {
  if (s.lead === null) {
    s.out.failed(id, 'NO_LEADER', `${s.self} does not lead.`)
  } else if (s.transfer !== null) {
    s.out.failed(id, 'TRANSFER_FAILED', `Leadership is on its way to ${s.transfer.to} already.`)
  } else if (to === s.self) {
    s.out.done(id)
  } else if (to !== null && s.member(to) === null) {
    s.out.failed(id, 'MEMBER_UNKNOWN', `No member has the id ${to}.`)
  } else {
    const target = to ?? bestVoter(s)
    if (target === null || !mayLead(s, target)) {
      s.out.failed(id, 'TRANSFER_FAILED', `${target ?? 'No other voter'} can not lead now.`)
    } else {
      begin(s, id, target)
    }
  }
}

/** The voter to hand over to: in contact, of the highest priority, with the most of the log. */
export function bestVoter(s: State): NodeId | null {
  const rank = (id: NodeId): readonly [number, number] => [
    s.member(id)?.priority ?? 0,
    s.leading.progress.get(id)?.match ?? 0,
  ]
  const better = (a: NodeId, b: NodeId): number => {
    const [x, y] = [rank(a), rank(b)]
    return y[0] - x[0] || y[1] - x[1]
  }
  return s.voters.filter((id) => mayLead(s, id)).sort(better)[0] ?? null
}

/** Sends the target off once it holds everything and nothing more is being made. */
export function advanceTransfer(s: State): void {
  const { lead, transfer } = s
  if (lead === null || transfer === null || s.executing.length > 0) return
  const match = lead.progress.get(transfer.to)?.match ?? 0
  if (match < s.log.last.index) return
  s.out.send(transfer.to, { kind: 'timeoutNow', term: s.term })
}

/** Who leads now decides what became of a transfer; null while nobody is known to. */
export function settleTransfer(s: State): void {
  const { transfer, leader } = s
  if (transfer === null || leader === null || s.term === transfer.term) return
  s.transfer = null
  if (leader === transfer.to) s.out.done(transfer.id)
  else s.out.failed(transfer.id, 'TRANSFER_FAILED', `${leader} leads now, not ${transfer.to}.`)
}

export function tickTransfer(s: State): void {
  const { transfer } = s
  if (transfer === null) {
    if (s.lead !== null) tickTakeover(s, s.lead)
    return
  }
  const remainingTicks = transfer.remainingTicks - 1
  s.transfer = { ...transfer, remainingTicks }
  if (remainingTicks > 0) {
    // The word may have been lost on the way.
    if (remainingTicks % s.options.heartbeatTicks === 0) advanceTransfer(s)
    return
  }
  s.transfer = null
  if (s.lead !== null) s.lead.takeoverTicks = -TAKEOVER_PAUSE_ELECTIONS * s.options.electionTicks
  s.out.failed(transfer.id, 'TRANSFER_FAILED', `${transfer.to} did not take over in time.`)
}

function begin(s: State, id: number | null, to: NodeId): void {
  s.transfer = { id, to, remainingTicks: s.options.electionTicks, term: s.term }
  advanceTransfer(s)
}

function mayLead(s: State, id: NodeId): boolean {
  const member = s.member(id)
  const peer = s.lead?.progress.get(id)
  if (member === null || peer === undefined) return false
  return member.role === 'voter' && member.priority > 0 && inContact(s, id, peer)
}

/** Conservative: a better voter must have been ready for long, and nothing else be under way. */
function tickTakeover(s: State, lead: Lead): void {
  const target = bestVoter(s)
  const own = s.member(s.self)?.priority ?? 0
  const ready =
    target !== null &&
    (s.member(target)?.priority ?? 0) > own &&
    isCaughtUp(s, target) &&
    lead.change === null &&
    s.knowsCommit
  if (lead.takeoverTicks < 0 || ready) lead.takeoverTicks += 1
  else lead.takeoverTicks = 0
  if (!ready || lead.takeoverTicks < TAKEOVER_ELECTIONS * s.options.electionTicks) return
  lead.takeoverTicks = 0
  begin(s, null, target)
}
