/** A group that comes in while another one is away: who waits for whom, and what people are told. */
import { deepEqual, equal, match } from 'node:assert/strict'
import { test } from 'node:test'
import { present } from '../../base/assert.ts'
import { statusOf } from '../status.ts'
import { codeOf, GroupWorld, program } from './test-world.ts'

function begin(t: { after(run: () => void): void }): GroupWorld {
  const world = new GroupWorld(t, { groups: { a: 1, b: 1, c: 1 } })
  world.ready()
  world.must('a1', "insert into kv values (0, 'zero', 0)", 'all')
  world.run(200)
  world.crash('b1')
  world.join('d', 'a1')
  world.until('a link', () => world.driver('a1').origins?.links.up.has(newOrigin(world)) === true)
  world.run(3_000)
  return world
}

function newOrigin(world: GroupWorld): string {
  const known = world.driver('a1').origins?.state.cluster.origins.find(({ name }) => name === 'd')
  return present(known, () => 'group d').origin
}

function alarmsOf(world: GroupWorld, name: string): readonly string[] {
  const status = statusOf(
    world.driver(name),
    { name, id: name, url: '', release: '' },
    {
      ...{ lostFiles: 0, foreignWrites: 0, memoryBytes: 0, databaseBytes: 0, walBytes: 0 },
      uptimeMs: 0,
    },
  )
  return status.alarms
}

test('a level that a new group does not count for yet is refused, and says why', (t) => {
  const world = begin(t)
  const write = world.write('a1', "insert into kv values (1, 'one', 0)", 'quorum')
  match(
    write.kind === 'error' ? `${write.error.code}: ${write.error.detail}` : write.kind,
    /^ACK_UNAVAILABLE: .*quorum .*: b\. Group d does not count before it is known to b\.$/,
  )
  equal(world.read('a1', 'select 1 from kv', 'session').length, 1)
  const read = world.ask('a1', {
    ...{ kind: 'read', program: program('select 1'), level: 'quorum', token: null },
    timeoutMs: 1_000,
  })
  match(
    read.kind === 'error' ? `${read.error.code}: ${read.error.detail}` : read.kind,
    /^READ_LEVEL_UNAVAILABLE: .* in time: b\. Group d does not count before it is known to b\.$/,
  )
  const own = world.write('d1', "insert into kv values (2, 'two', 0)", 'majority', 1_000)
  match(
    own.kind === 'error' ? `${own.error.code}: ${own.error.detail}` : own.kind,
    /^NOT_READY: .* not known to know of this one yet: b\.$/,
  )
  for (const name of ['a1', 'd1'])
    match(alarmsOf(world, name).join(), /Group d neither writes .* b/)
})

test('it counts when the one that was away is back, or removed', (t) => {
  for (const how of ['back', 'removed']) {
    const world = begin(t)
    if (how === 'back') world.start('b1')
    else {
      const command = { kind: 'removeGroup', group: 'b' } as const
      equal(codeOf(world.ask('a1', { kind: 'admin', command, timeoutMs: 10_000 })), 'admin')
    }
    const exchange = () => world.driver('a1').origins?.leading?.exchanging.exchange
    world.until('d is known', () => exchange()?.unawareOf(newOrigin(world)).length === 0)
    world.must('a1', "insert into kv values (1, 'one', 0)", 'quorum')
    world.must('d1', "insert into kv values (2, 'two', 0)", 'quorum')
    deepEqual(
      alarmsOf(world, 'a1').filter((alarm) => alarm.includes('neither')),
      [],
    )
  }
})
