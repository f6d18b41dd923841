/**
 * What must hold after every step, numbered; the numbers stand beside the code that keeps them.
 *
 * L1  base <= commit <= last.
 * L2  base <= applied <= last.
 * L3  durable <= last, and verified <= last.
 * L4  The log has no gaps, its terms never fall, and it always knows its members.
 * L5  No entry has a term above the node's.
 * L6  A node is its own leader exactly if its role is leader, which it becomes as a candidate.
 * L7  commit never moves back, so nothing at or below it is ever cut off (C4).
 * L8  The term never falls.
 * L9  A vote, once given in a term, stays.
 * L10 A leader sends each entry in order: match < next for every peer, and match <= last.
 * L11 Tickets grow, and what the store was asked to do ends in the order it was asked for.
 */
import { assert } from '../../../base/assert.ts'
import type { LogIndex } from '../../../base/brand.ts'
import type { State } from './state.ts'
import type { HardState } from './types.ts'

export interface Before {
  readonly hard: HardState
  readonly commit: LogIndex
}

export function check(s: State, before: Before): void {
  checkPositions(s)
  checkTerm(s, before.hard)
  assert(s.commit >= before.commit, () => `L7: commit ${s.commit} after ${before.commit}`)
  checkRole(s)
  for (const [id, { match, next }] of s.lead?.progress ?? []) {
    assert(match < next, () => `L10: ${id}: match ${match}, next ${next}`)
    assert(match <= s.log.last.index, () => `L10: ${id}: match ${match} > ${s.log.last.index}`)
  }
}

function checkPositions(s: State): void {
  const { base, last } = s.log
  const { commit, applied, verified } = s
  const { durable } = s.durability
  assert(base.index <= commit, () => `L1: base ${base.index} > commit ${commit}`)
  assert(commit <= last.index, () => `L1: commit ${commit} > last ${last.index}`)
  assert(base.index <= applied, () => `L2: base ${base.index} > applied ${applied}`)
  assert(applied <= last.index, () => `L2: applied ${applied} > last ${last.index}`)
  assert(durable <= last.index, () => `L3: durable ${durable} > last ${last.index}`)
  assert(verified <= last.index, () => `L3: verified ${verified} > last ${last.index}`)
  assert(last.term <= s.term, () => `L5: last term ${last.term} > term ${s.term}`)
}

function checkTerm(s: State, before: HardState): void {
  assert(s.term >= before.term, () => `L8: term ${s.term} after ${before.term}`)
  if (s.term !== before.term || before.vote === null) return
  assert(s.hard.vote === before.vote, () => `L9: ${s.hard.vote} after ${before.vote}`)
}

function checkRole(s: State): void {
  const leads = s.role === 'leader'
  assert(leads === (s.lead !== null), () => `L6: role ${s.role}, lead ${s.lead !== null}`)
  assert(leads === (s.leader === s.self), () => `L6: role ${s.role}, leader ${s.leader}`)
}
