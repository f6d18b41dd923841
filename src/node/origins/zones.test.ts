/** Levels by zone, and changes of zones, on drivers and stores in virtual time. */
import { deepEqual, equal, match } from 'node:assert/strict'
import { test } from 'node:test'
import type { AckLevel, AdminCommand, NodeReply } from '../../model/request.ts'
import { GroupWorld } from './test-world.ts'

const ZONES = { a: 'east', b: 'east', c: 'west', d: 'west', e: 'west' }

function fiveGroups(t: { after(run: () => void): void }): GroupWorld {
  const world = new GroupWorld(t, { groups: { a: 1, b: 1, c: 1, d: 1, e: 1 }, zones: ZONES })
  world.ready()
  world.must('a1', "insert into kv values (0, 'zero', 0)", 'all')
  // All have met all, and noticed.
  world.run(100)
  return world
}

function insert(world: GroupWorld, name: string, id: number, ack: AckLevel): NodeReply {
  return world.write(name, `insert into kv values (${id}, 'x', 0)`, ack, 500)
}

function outcome(reply: NodeReply): string {
  return reply.kind === 'error' ? `${reply.error.code}: ${reply.error.detail}` : 'ok'
}

function administer(world: GroupWorld, command: AdminCommand, timeoutMs = 3_000): string {
  return outcome(world.ask('a1', { kind: 'admin', command, timeoutMs }))
}

const COUNT = 'select 1 from kv'

test('a zone by itself writes and reads at local-quorum, also while the others are away', (t) => {
  const world = fiveGroups(t)
  for (const group of 'ab') for (const other of 'cde') world.cut(group, other)
  world.run(2_000)
  equal(outcome(insert(world, 'a1', 1, 'local-quorum')), 'ok')
  equal(world.read('b1', COUNT, 'local-quorum').length, 2)
  equal(outcome(insert(world, 'c1', 2, 'local-quorum')), 'ok')
  for (const name of ['d1', 'e1']) equal(world.read(name, COUNT, 'local-quorum').length, 2)

  const refused = outcome(insert(world, 'a1', 3, 'each-quorum'))
  match(refused, /^ACK_UNAVAILABLE: .*each-quorum .*: c, d, e\.$/)
  equal(world.read('a1', COUNT, 'each-quorum'), 'READ_LEVEL_UNAVAILABLE')

  world.crash('e1')
  world.run(2_000)
  equal(outcome(insert(world, 'c1', 4, 'local-quorum')), 'ok')
  world.crash('d1')
  world.run(2_000)
  match(outcome(insert(world, 'c1', 5, 'local-quorum')), /^ACK_UNAVAILABLE: .*: d, e\.$/)
  equal(world.read('c1', COUNT, 'local-quorum'), 'READ_LEVEL_UNAVAILABLE')
})

test('each-quorum is met with most of every zone, and both levels see it', (t) => {
  const world = fiveGroups(t)
  world.crash('e1')
  world.run(2_000)
  equal(outcome(insert(world, 'a1', 1, 'each-quorum')), 'ok')
  equal(world.read('d1', COUNT, 'local-quorum').length, 2)
  equal(world.read('c1', COUNT, 'each-quorum').length, 2)
  equal(outcome(insert(world, 'c1', 2, 'local-quorum')), 'ok')
  equal(world.read('b1', COUNT, 'each-quorum').length, 3)
})

test('a zone is changed through any group, and counts from then on', (t) => {
  const world = fiveGroups(t)
  const command = { kind: 'setZone', group: 'c', zone: 'east' } as const
  equal(outcome(world.ask('d1', { kind: 'admin', command, timeoutMs: 3_000 })), 'ok')
  const zonesAt = (name: string) => {
    const { cluster } = world.driver(name).origins?.state ?? {}
    return Object.fromEntries(cluster?.origins.map((each) => [each.name, each.zone]) ?? [])
  }
  deepEqual(zonesAt('d1'), { ...ZONES, c: 'east' })
  // At once, and once more: each waits until all know of the one before.
  equal(administer(world, { kind: 'setZone', group: 'd', zone: 'east' }), 'ok')
  equal(administer(world, { kind: 'setZone', group: 'd', zone: 'east' }), 'ok')
  equal(administer(world, { kind: 'setZone', group: 'e', zone: null }), 'ok')
  deepEqual(zonesAt('a1'), { a: 'east', b: 'east', c: 'east', d: 'east', e: undefined })
  world.until('e knows it', () => zonesAt('e1')['e'] === undefined)
  for (const other of 'abcd') world.cut('e', other)
  world.run(2_000)
  equal(outcome(insert(world, 'e1', 1, 'local-quorum')), 'ok')
  world.crash('d1')
  world.run(2_000)
  equal(outcome(insert(world, 'a1', 2, 'local-quorum')), 'ok')
  world.crash('c1')
  world.run(2_000)
  match(outcome(insert(world, 'a1', 3, 'local-quorum')), /^ACK_UNAVAILABLE: .*: c, d\.$/)
})

test('what is wrong with a change of a zone is said, and changes nothing', (t) => {
  const world = fiveGroups(t)
  const zone = (group: string, name: string | null) => {
    return administer(world, { kind: 'setZone', group, zone: name })
  }
  match(zone('x', 'east'), /^GROUP_UNKNOWN/)
  match(zone('c', 'no good'), /^BAD_REQUEST: .*zone can have/)
  const join = { kind: 'joinGroup', group: 'f', node: 'f1', zone: 'no good' } as const
  match(administer(world, join), /^BAD_REQUEST: .*zone can have/)
  world.crash('e1')
  equal(zone('c', 'east'), 'ok')
  match(zone('d', 'east'), /^GROUP_CHANGE_BUSY: .*not known yet to e\.$/)
  world.start('e1')
  equal(zone('d', 'east'), 'ok')
})

test('a write that waits is judged by the zones as they become', (t) => {
  const world = fiveGroups(t)
  world.crash('b1')
  const statement = { sql: 'insert into kv values (1, 2, 3)' }
  const program = { atomic: true, steps: [{ statement }] }
  const write = { kind: 'write', program, ack: 'local-quorum', timeoutMs: 10_000 } as const
  const answer = world.begin('a1', write)
  world.run(500)
  equal(answer.reply, null)
  equal(administer(world, { kind: 'setZone', group: 'b', zone: 'west' }), 'ok')
  world.until('the answer', () => answer.reply?.kind === 'result')
})

test('a group that was alone in its zone is asked until it knows that it is elsewhere', (t) => {
  const world = new GroupWorld(t, {
    groups: { a: 1, b: 1, c: 1, d: 1 },
    zones: { a: 'east', b: 'east', c: 'east', d: 'west' },
  })
  world.ready()
  world.must('a1', "insert into kv values (0, 'zero', 0)", 'all')
  for (const other of 'abc') world.cut('d', other)
  world.run(2_000)
  equal(administer(world, { kind: 'setZone', group: 'd', zone: 'east' }), 'ok')
  // It does not know, and writes by itself as before: who reads of each zone must see that.
  equal(outcome(insert(world, 'd1', 1, 'local-quorum')), 'ok')
  equal(world.read('b1', COUNT, 'each-quorum'), 'READ_LEVEL_UNAVAILABLE')
  equal(world.read('b1', COUNT, 'local-quorum').length, 1)
  for (const other of 'abc') world.cut('d', other, false)
  world.until('d knows it', () => world.read('b1', COUNT, 'each-quorum').length === 2)
  world.run(500)
  for (const other of 'abc') world.cut('d', other)
  world.run(2_000)
  equal(world.read('b1', COUNT, 'each-quorum').length, 2)
  equal(
    outcome(world.write('d1', 'insert into kv values (2, 2, 2)', 'local-quorum', 500)).slice(0, 15),
    'ACK_UNAVAILABLE',
  )
})

test('with one leader there are no zones', (t) => {
  const world = new GroupWorld(t, { groups: { a: 1 }, isSingle: true })
  world.ready()
  for (const level of ['local-quorum', 'each-quorum'] as const) {
    match(outcome(insert(world, 'a1', 1, level)), /^LEVEL_UNSUPPORTED/)
    equal(world.read('a1', 'select 1', level), 'LEVEL_UNSUPPORTED')
  }
  match(administer(world, { kind: 'setZone', group: 'a', zone: 'east' }), /^NO_GROUPS/)
})
