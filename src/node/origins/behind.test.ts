import { deepEqual, equal, match } from 'node:assert/strict'
import { copyFileSync } from 'node:fs'
import { test } from 'node:test'
import { present } from '../../base/assert.ts'
import type { NodeReply } from '../../model/request.ts'
import { statusOf } from '../status.ts'
import { GroupWorld } from './test-world.ts'

const ROWS = 'select id, value, n from kv order by id'
/** Small logs: a few entries fill them. */
const SMALL = { retainEntries: 20, retainBytes: 20_000 }
const TEXT = 'x'.repeat(100_000)

function allHave(world: GroupWorld, names: readonly string[], rows: number): void {
  world.until(`${rows} rows`, () => names.every((name) => world.read(name, ROWS).length === rows))
  for (const name of names) deepEqual(world.read(name, ROWS), world.read(names[0] ?? '', ROWS))
}

/** Writes more than a small log may hold. */
function writeMuch(world: GroupWorld, name: string, from: number, count = 30): void {
  for (let i = from; i < from + count; i += 1) {
    world.must(name, `insert into kv values (${i}, '${TEXT}', 0)`)
  }
}

const logged = (world: GroupWorld, name: string): number => {
  const { base, last } = world.driver(name).order
  return last.index - base.index
}

const events = (world: GroupWorld, name: string, what: string) =>
  world.node(name).events.filter(({ name: one }) => one === what)

test('the log keeps what another group lacks, whatever its limits, and says who that is', (t) => {
  const world = new GroupWorld(t, { groups: { a: 1, b: 1, c: 1 }, driver: SMALL })
  world.ready()
  world.must('a1', "insert into kv values (0, 'x', 0)", 'all')
  world.crash('b1')
  writeMuch(world, 'a1', 1)
  world.run(2_000)
  equal(logged(world, 'a1') > 30, true)
  equal(logged(world, 'c1') > 3, true)
  const [told, ...more] = events(world, 'a1', 'log.heldBack')
  equal(told?.facts['groups'], 'b')
  equal(more.length, 0)
  world.start('b1')
  allHave(world, ['a1', 'b1', 'c1'], 31)
  // Entries of no size come after it, or the last look would have been the last.
  world.until('the logs are cut', () => {
    world.must('a1', 'update kv set n = n + 1 where id = 0')
    return ['a1', 'c1'].every((name) => logged(world, name) < 60)
  })
})

test('groups that wrote more than their logs may hold while they were cut off return', (t) => {
  const world = new GroupWorld(t, { groups: { a: 3, b: 1 }, driver: SMALL })
  world.ready()
  world.must('a1', "insert into kv values (0, 'x', 0)", 'all')
  world.cut('a', 'b')
  world.run(100)
  writeMuch(world, 'a1', 100)
  writeMuch(world, 'b1', 200)
  world.must('a1', "update kv set value = 'a' where id = 0")
  world.must('b1', "update kv set value = 'b' where id = 0")
  world.run(3_000)
  world.crash(world.leader('a'))
  world.cut('a', 'b', false)
  const left = () => world.up.map(({ id }) => id)
  // In the middle of it the one that is behind dies.
  world.until('some of it', () => world.read('b1', ROWS).length > 31)
  world.crash('b1')
  world.start('b1')
  allHave(world, left(), 61)
  const [row] = world.read('b1', 'select value from kv where id = 0')
  deepEqual(row, ['b'])
  const conflicts = (name: string) =>
    world.read(name, 'select kind, columns from quorate_conflicts')
  for (const name of left()) deepEqual(conflicts(name), [['update-update', '["value"]']])
  equal(events(world, 'b1', 'origin.tooFarBehind').length, 0)
  world.must('b1', "insert into kv values (1, 'after', 0)", 'stable')
})

test('what only a new group has left of a dead one comes from it', (t) => {
  const world = new GroupWorld(t, { groups: { a: 1, b: 1 } })
  world.ready()
  const command = { kind: 'joinGroup', group: 'c', node: 'c1' } as const
  const reply: NodeReply = world.ask('a1', { kind: 'admin', command, timeoutMs: 5_000 })
  equal(reply.kind, 'admin')
  const knows = () => world.driver('b1').origins?.state.cluster.origins.length === 3
  world.until('b knows of c', knows)
  world.cut('a', 'b')
  world.run(100)
  for (let i = 0; i < 20; i += 1) world.must('a1', `insert into kv values (${i}, 'x', 0)`)
  // A copy takes along what is noted as committed: everything before this.
  world.must('a1', 'create table later (id integer primary key)')
  world.join('c', 'a1')
  equal(world.read('c1', ROWS).length, 20)
  world.crash('a1')
  allHave(world, ['b1', 'c1'], 20)
})

test('a group whose file was put back to what it was says that it can not go on', (t) => {
  const world = new GroupWorld(t, { groups: { a: 1, b: 1 }, driver: SMALL })
  world.ready()
  world.must('a1', "insert into kv values (0, 'x', 0)", 'stable')
  world.crash('b1')
  const { path } = world.node('b1')
  copyFileSync(path, `${path}.old`)
  world.start('b1')
  writeMuch(world, 'a1', 1)
  allHave(world, ['a1', 'b1'], 31)
  // So many that they are not just pushed from memory.
  let updates = 0
  world.until('the log is cut', () => {
    world.must('a1', 'update kv set n = n + 1 where id = 0')
    updates += 1
    return updates > 64 && logged(world, 'a1') < 25
  })
  world.crash('b1')
  copyFileSync(`${path}.old`, path)
  world.start('b1')
  world.until('event', () => events(world, 'b1', 'origin.tooFarBehind').length > 0)
  const surroundings = {
    ...{ lostFiles: 0, foreignWrites: 0, memoryBytes: 0, databaseBytes: 0, walBytes: 0 },
    uptimeMs: 0,
  }
  const identity = { name: 'b1', id: 'b1', url: '', release: '' }
  const status = statusOf(world.driver('b1'), identity, surroundings)
  match(status.alarms.join(), /older/)
  const linked = status.origins?.groups.map((group) => [group.name, group.linked])
  deepEqual(linked, [
    ['a', true],
    ['b', true],
  ])
  world.must('a1', "insert into kv values (100, 'x', 0)")
  equal(present(world.read('b1', ROWS)[0], () => 'a row')[1], 'x')
})
