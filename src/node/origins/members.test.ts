import { equal } from 'node:assert/strict'
import { test } from 'node:test'
import { present } from '../../base/assert.ts'
import type { AdminCommand, NodeReply } from '../../model/request.ts'
import { originAlarmsOf } from './origins-status.ts'
import { GroupWorld } from './test-world.ts'

const ROWS = 'select id, value, n from kv order by id'

function admin(world: GroupWorld, name: string, command: AdminCommand, timeoutMs = 10_000): string {
  const reply: NodeReply = world.ask(name, { kind: 'admin', command, timeoutMs })
  return reply.kind === 'error' ? reply.error.code : reply.kind
}

function allHave(world: GroupWorld, names: readonly string[], rows: number): void {
  world.until(`${rows} rows`, () => names.every((name) => world.read(name, ROWS).length === rows))
}

const standing = (world: GroupWorld, name: string, group: string): string | undefined => {
  const { cluster } = world.driver(name).origins?.state ?? {}
  return cluster?.origins.findLast((each) => each.name === group)?.standing.kind
}

test('a group joins, writes, and is told of by name', (t) => {
  const world = new GroupWorld(t, { groups: { a: 3, b: 1 } })
  world.ready()
  world.must('a1', "insert into kv values (1, 'one', 1)")
  world.must('b1', "insert into kv values (2, 'two', 2)")
  world.join('c', 'b1')
  world.must('c1', "insert into kv values (3, 'three', 3)", 'all')
  allHave(world, ['a1', 'a2', 'a3', 'b1', 'c1'], 3)
  equal(admin(world, 'a1', { kind: 'joinGroup', group: 'c', node: 'x' }), 'admin')
  const nodes = () => world.driver('a1').origins?.foreignNodes.map(({ name }) => name)
  world.until('nodes of c', () => nodes()?.includes('c1') === true)
  equal(admin(world, 'a1', { kind: 'joinGroup', group: 'no good', node: 'x' }), 'BAD_REQUEST')
})

test('a new group itself tells one that hears nobody else', (t) => {
  const world = new GroupWorld(t, { groups: { a: 1, b: 1, d: 1 } })
  world.ready()
  for (const other of 'ab') world.cut('d', other)
  world.run(500)
  world.join('c', 'b1')
  world.until('c writes', () => {
    return (
      world.write('c1', "insert into kv values (1, 'one', 1)", 'majority', 500).kind === 'result'
    )
  })
  allHave(world, ['a1', 'b1', 'c1', 'd1'], 1)
})

test('a dead group is removed, and what anybody had of it stays', (t) => {
  const world = new GroupWorld(t, { groups: { a: 1, b: 1, c: 1 } })
  world.ready()
  world.must('c1', "insert into kv values (1, 'one', 1)", 'all')
  world.cut('c', 'a')
  world.run(200)
  // Only b has it when c dies.
  world.must('c1', "insert into kv values (2, 'two', 2)", 2)
  world.cut('a', 'b')
  world.run(200)
  world.crash('c1')
  world.cut('a', 'b', false)
  equal(admin(world, 'b1', { kind: 'removeGroup', group: 'c' }), 'admin')
  allHave(world, ['a1', 'b1'], 2)
  world.must('a1', "insert into kv values (3, 'three', 3)", 'stable')
  equal(world.read('b1', 'select 1 from kv', 'strong').length, 3)
  equal(world.read('b1', 'select 1 from kv', 'quorum').length, 3)
  equal(admin(world, 'a1', { kind: 'removeGroup', group: 'c' }), 'GROUP_UNKNOWN')
  equal(admin(world, 'a1', { kind: 'removeGroup', group: 'a' }), 'KEEPER_NEEDED')
})

test('a removal waits for those who stay, and a new leader of the keeper ends it', (t) => {
  const world = new GroupWorld(t, { groups: { a: 3, b: 1, c: 1 } })
  world.ready()
  world.must('c1', "insert into kv values (1, 'one', 1)", 'all')
  world.crash('c1')
  world.cut('a', 'b')
  world.run(200)
  const leader = world.leader('a')
  equal(admin(world, leader, { kind: 'removeGroup', group: 'c' }, 1_000), 'UNKNOWN_OUTCOME')
  equal(standing(world, leader, 'c'), 'frozen')
  world.crash(leader)
  world.cut('a', 'b', false)
  world.until('removal', () => standing(world, 'b1', 'c') === 'removed')
  world.must('b1', "insert into kv values (2, 'two', 2)", 'all')
})

test('a removed group that was alive writes no more, and says so', (t) => {
  const world = new GroupWorld(t, { groups: { a: 1, b: 1 } })
  world.ready()
  world.must('b1', "insert into kv values (1, 'one', 1)", 'all')
  equal(admin(world, 'a1', { kind: 'removeGroup', group: 'b' }), 'admin')
  world.until('news', () => standing(world, 'b1', 'b') !== 'writes')
  const reply = world.write('b1', "insert into kv values (2, 'two', 2)", 'majority', 500)
  equal(reply.kind === 'error' ? reply.error.code : reply.kind, 'GROUP_REMOVED')
  world.must('a1', "insert into kv values (3, 'three', 3)", 'stable')
  equal(admin(world, 'b1', { kind: 'joinGroup', group: 'c', node: 'c1' }), 'GROUP_REMOVED')
  world.join('b', 'a1')
  world.must('b1', "insert into kv values (4, 'four', 4)", 'all')
  allHave(world, ['a1', 'b1'], 3)
})

test('a group that was removed while it was cut off learns of it', (t) => {
  const world = new GroupWorld(t, { groups: { a: 1, b: 1 } })
  world.ready()
  world.must('b1', "insert into kv values (1, 'one', 1)", 'all')
  world.cut('a', 'b')
  world.run(200)
  equal(admin(world, 'a1', { kind: 'removeGroup', group: 'b' }), 'admin')
  world.must('b1', "insert into kv values (2, 'two', 2)")
  world.must('a1', "insert into kv values (3, 'three', 3)", 'stable')
  world.cut('a', 'b', false)
  world.until('news', () => standing(world, 'b1', 'b') === 'removed')
  world.run(1_000)
  equal(world.read('a1', ROWS).length, 2)
  const alarms = originAlarmsOf(present(world.driver('b1').origins, () => 'origins'))
  equal(alarms.filter((alarm) => alarm.includes('nobody has them')).length, 1)
})

test('restarts of everybody', (t) => {
  const world = new GroupWorld(t, { groups: { a: 3, b: 1 } })
  world.ready()
  for (let round = 0; round < 3; round += 1) {
    world.must('a1', `insert into kv values (${round * 2}, 'a', 0)`)
    world.must('b1', `insert into kv values (${round * 2 + 1}, 'b', 0)`)
    for (const name of world.nodes.keys()) world.crash(name)
    for (const name of world.nodes.keys()) world.start(name)
    world.ready()
  }
  allHave(world, ['a1', 'a2', 'a3', 'b1'], 6)
})
