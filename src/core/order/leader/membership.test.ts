import { deepEqual, equal } from 'node:assert/strict'
import { test } from 'node:test'
import { toNodeId } from '../../../base/brand.ts'
import { LIMITS } from '../../../base/limits.ts'
import type { Member, MemberChange, Members } from '../../../model/members.ts'
import { planChange, type Reach } from './membership.ts'
import { memberOf, showMembers } from './test-show.ts'

const group = (...members: readonly Member[]): Members => ({ cluster: 'test', members })
const voters = (...names: readonly string[]): Members =>
  group(...names.map((name) => memberOf(name, 'voter')))

const reach = (up: string, caughtUp = up): Reach => ({
  reachable: (id) => up.includes(id),
  caughtUp: (id) => caughtUp.includes(id),
})

function plan(now: Members, change: MemberChange, up = 'abcdefghx', caughtUp = up): string {
  const planned = planChange(now, change, reach(up, caughtUp))
  return 'code' in planned ? planned.code : showMembers(planned).trim()
}

const remove = (name: string): MemberChange => ({ kind: 'remove', id: toNodeId(name) })
const promote = (name: string): MemberChange => ({ kind: 'promote', id: toNodeId(name) })
const demote = (name: string): MemberChange => ({ kind: 'demote', id: toNodeId(name) })
const add = (member: Member): MemberChange => ({ kind: 'add', member })

test('whoever joins begins as a learner, in the order of the ids', () => {
  equal(plan(voters('b', 'c'), add(memberOf('a', 'voter'))), 'a:learner>voter b:voter c:voter')
  equal(plan(voters('b'), add(memberOf('x', 'learner'))), 'b:voter x:learner')
})

test('a name belongs to one node; the same node may ask again from elsewhere', () => {
  const now = voters('a', 'b')
  equal(plan(now, add({ ...memberOf('x', 'voter'), name: 'b' })), 'NAME_IN_USE')
  equal(planChange(now, add(memberOf('b', 'learner')), reach('ab')), now)
  const moved = { ...memberOf('b', 'voter'), url: 'http://elsewhere' }
  deepEqual(planChange(now, add(moved), reach('ab')), group(memberOf('a', 'voter'), moved))
})

test('a learner is promoted if it has caught up, and marked if not', () => {
  const now = group(memberOf('a', 'voter'), memberOf('x', 'learner'))
  equal(plan(now, promote('x')), 'a:voter x:voter')
  equal(plan(now, promote('x'), 'ax', 'a'), 'a:voter x:learner>voter')
  equal(plan(now, promote('a')), 'a:voter x:learner')
  equal(plan(now, promote('z')), 'MEMBER_UNKNOWN')
})

test('a change that leaves no working majority is refused', () => {
  equal(plan(voters('a', 'b', 'c'), remove('b'), 'ab'), 'MEMBER_CHANGE_UNSAFE')
  equal(plan(voters('a', 'b', 'c'), demote('b'), 'ab'), 'MEMBER_CHANGE_UNSAFE')
  equal(plan(voters('a', 'b', 'c'), remove('c'), 'ab'), 'a:voter b:voter')
  equal(plan(voters('a'), remove('a')), 'MEMBER_CHANGE_UNSAFE')
  equal(plan(voters('a'), demote('a')), 'MEMBER_CHANGE_UNSAFE')
  const silent = group(memberOf('a', 'voter'), memberOf('x', 'learner'))
  equal(plan(silent, remove('x'), 'a'), 'a:voter')
})

test('somebody who may lead must be left', () => {
  const now = group(memberOf('a', 'voter'), memberOf('b', 'voter', 0))
  equal(plan(now, remove('a')), 'MEMBER_CHANGE_UNSAFE')
  const [id, url] = [toNodeId('a'), 'http://a']
  equal(plan(now, { kind: 'update', id, url, priority: 0 }), 'MEMBER_CHANGE_UNSAFE')
  equal(plan(now, { kind: 'update', id, url, priority: 5 }), 'a:voter b:voter')
})

test('a group has its limits', () => {
  const names = Array.from({ length: LIMITS.votersMax }, (_, i) => `a${i}`)
  const full = group(...names.map((name) => memberOf(name, 'voter')), memberOf('x', 'learner'))
  equal(plan(full, promote('x')), 'BAD_REQUEST')
  const many = Array.from({ length: LIMITS.membersMax }, (_, i) => memberOf(`l${i}`, 'learner'))
  equal(plan(group(...many), add(memberOf('x', 'learner'))), 'BAD_REQUEST')
})

test('nothing to do is the same configuration', () => {
  const now = group(memberOf('a', 'voter'), memberOf('x', 'learner'))
  equal(planChange(now, demote('x'), reach('ax')), now)
  equal(planChange(now, promote('a'), reach('ax')), now)
})
