import { deepEqual, equal, match } from 'node:assert/strict'
import { test } from 'node:test'
import { present } from '../../base/assert.ts'
import type { AckLevel } from '../../model/request.ts'
import { originAlarmsOf, originsStatusOf } from './origins-status.ts'
import { codeOf, GroupWorld, program } from './test-world.ts'

const ROWS = 'select id, value, n from kv order by id'

/** Every replica has the same rows, and nothing moves any more. */
function settled(world: GroupWorld, rows: number): void {
  const all = world.up.map(({ id }) => id)
  world.until('equal rows', () => {
    const contents = all.map((name) => JSON.stringify(world.read(name, ROWS), show))
    return (
      contents.every((each) => each === contents[0]) &&
      world.read(all[0] ?? '', ROWS).length === rows
    )
  })
}

function show(_key: string, value: unknown): unknown {
  return typeof value === 'bigint' ? Number(value) : value
}

test('what one group writes is read in another', (t) => {
  const world = new GroupWorld(t, { groups: { a: 1, b: 1 } })
  world.ready()
  world.must('a1', "insert into kv values (1, 'one', 1)")
  world.must('b1', "insert into kv values (2, 'two', 2)")
  settled(world, 2)
})

test('groups of several nodes: followers, forwarded writes, a leader that dies', (t) => {
  const world = new GroupWorld(t, { groups: { a: 3, b: 3 } })
  world.ready()
  world.must('a2', "insert into kv values (1, 'one', 1)")
  world.must('b3', "insert into kv values (2, 'two', 2)")
  settled(world, 2)
  const died = world.leader('a')
  world.crash(died)
  world.must('b1', "insert into kv values (3, 'three', 3)")
  const [left = ''] = ['a1', 'a2', 'a3'].filter((name) => name !== died)
  world.must(left, "insert into kv values (4, 'four', 4)")
  settled(world, 4)
  world.start(died)
  settled(world, 4)
})

test('while they are cut off from each other both write, and then agree', (t) => {
  const world = new GroupWorld(t, { groups: { a: 3, b: 1, c: 1 } })
  world.ready()
  world.must('a1', "insert into kv values (1, 'one', 1)")
  settled(world, 1)
  for (const other of ['b', 'c']) world.cut('a', other)
  world.run(100)
  for (let i = 0; i < 20; i += 1) {
    world.must('a1', `insert into kv values (${100 + i}, 'a', ${i})`)
    world.must('b1', `insert into kv values (${200 + i}, 'b', ${i})`)
    world.must('a1', `update kv set value = 'a${i}' where id = 1`)
    world.must('c1', `update kv set n = ${i} where id = 1`)
  }
  world.crash(world.leader('a'))
  for (const other of ['b', 'c']) world.cut('a', other, false)
  settled(world, 41)
  const [row] = world.read('b1', 'select value, n from kv where id = 1')
  deepEqual(row, ['a19', 19n])
})

test('a session that goes to another group finds what it has seen', (t) => {
  const world = new GroupWorld(t, { groups: { a: 3, b: 3 } })
  world.ready()
  for (let i = 0; i < 10; i += 1) {
    const token = world.must(`a${(i % 3) + 1}`, `insert into kv values (${i}, 'x', 0)`)
    equal(token.origins?.self, 'a')
    const rows = world.read(`b${(i % 3) + 1}`, 'select 1 from kv', 'session', token)
    equal(rows.length, i + 1)
  }
})

test('levels that other groups have a say in', (t) => {
  const world = new GroupWorld(t, { groups: { a: 3, b: 1, c: 1 } })
  world.ready()
  for (const [i, ack] of (['quorum', 2, 3, 'all', 'stable'] as const).entries()) {
    world.must('a2', `insert into kv values (${i}, 'x', 0)`, ack)
    equal(world.read('b1', 'select 1 from kv', 'quorum').length, i + 1)
    if (ack === 'all' || ack === 3) equal(world.read('c1', 'select 1 from kv', 1).length, i + 1)
  }
  equal(world.read('c1', 'select 1 from kv', 'strong').length, 5)
  equal(world.read('a3', 'select 1 from kv', 'strong').length, 5)
  equal(world.read('a1', 'select 1 from kv', 3).length, 5)
  world.crash('c1')
  equal(codeOf(world.write('a1', "insert into kv values (10, 'x', 0)", 'quorum')), 'ok')
  const missing = (id: number, ack: AckLevel): string =>
    codeOf(world.write('a1', `insert into kv values (${id}, 'x', 0)`, ack, 500))
  // It may only be electing a leader: it is waited for.
  equal(missing(11, 3), 'UNKNOWN_OUTCOME')
  equal(missing(12, 'stable'), 'UNKNOWN_OUTCOME')
  world.run(2_000)
  for (const ack of [3, 'all', 'stable'] as const) equal(missing(13, ack), 'ACK_UNAVAILABLE')
  equal(missing(14, 'quorum'), 'ok')
  equal(world.read('a2', 'select 1 from kv', 'quorum').length, 9)
  equal(world.read('a2', 'select 1 from kv', 'strong'), 'READ_LEVEL_UNAVAILABLE')
  equal(world.read('a2', 'select 1 from kv', 3), 'READ_LEVEL_UNAVAILABLE')
  equal(world.read('a2', 'select 1 from kv', 4), 'LEVEL_UNSUPPORTED')
})

test('with one leader there are no such levels', (t) => {
  const world = new GroupWorld(t, { groups: { a: 1 }, isSingle: true })
  world.ready()
  equal(
    codeOf(world.write('a1', "insert into kv values (1, 'x', 0)", 'quorum')),
    'LEVEL_UNSUPPORTED',
  )
  equal(
    codeOf(world.write('a1', "insert into kv values (1, 'x', 0)", 'stable')),
    'LEVEL_UNSUPPORTED',
  )
  equal(world.read('a1', 'select 1', 'quorum'), 'LEVEL_UNSUPPORTED')
  equal(world.read('a1', 'select 1', 1), 'LEVEL_UNSUPPORTED')
  equal(world.must('a1', "insert into kv values (1, 'x', 0)", 1).origins, undefined)
  const command = { kind: 'cutGroup', group: 'b', cut: true } as const
  equal(codeOf(world.ask('a1', { kind: 'admin', command, timeoutMs: 1_000 })), 'NO_GROUPS')
})

test('what adds to the schema is made by the keeper, whoever asks', (t) => {
  const world = new GroupWorld(t, { groups: { a: 1, b: 3 } })
  world.ready()
  world.must('a1', 'create table one (id integer primary key, x)')
  world.must('b2', 'create table two (id integer primary key, x)')
  world.must('b1', 'insert into two values (1, 1)')
  world.must('b1', 'insert into one values (1, 1)')
  const rows = (name: string) => world.read(name, 'select * from one join two using (id)').length
  world.until('both tables', () => ['a1', 'b1', 'b2', 'b3'].every((name) => rows(name) === 1))
})

test('a program that changes the schema sees at the keeper what it would have seen here', (t) => {
  const world = new GroupWorld(t, { groups: { a: 1, b: 1 } })
  world.ready()
  world.cut('a', 'b')
  world.run(100)
  world.must('b1', "insert into kv values (1, 'one', 1)")
  const change = program('create table copy (id integer primary key, x)', 'update kv set n = 2')
  const request = { kind: 'write', program: change, ack: 'majority', timeoutMs: 5_000 } as const
  const answer = world.begin('b1', request)
  world.run(200)
  world.cut('a', 'b', false)
  world.until('an answer', () => answer.reply !== null)
  equal(answer.reply === null ? null : codeOf(answer.reply), 'ok')
  deepEqual(world.read('b1', 'select n from kv'), [[2n]])
})

test('other changes of the schema wait until nobody writes', (t) => {
  const world = new GroupWorld(t, { groups: { a: 3, b: 3 } })
  world.ready()
  world.must('b1', "insert into kv values (1, 'one', 1)")
  world.must('b1', 'create unique index by_value on kv (value)')
  equal(codeOf(world.write('a1', "insert into kv values (2, 'one', 1)")), 'SQL_CONSTRAINT')
  equal(codeOf(world.write('b2', "insert into kv values (2, 'one', 1)")), 'SQL_CONSTRAINT')
  world.must('a2', 'alter table kv rename column n to number')
  world.must('a1', "insert into kv (id, value, number) values (3, 'three', 3)")
  world.cut('a', 'b')
  world.run(200)
  equal(
    codeOf(world.write(world.leader('a'), 'drop index by_value', 'majority', 20_000)),
    'SCHEMA_CHANGE_PENDING',
  )
  world.must('a1', "insert into kv (id, value, number) values (4, 'four', 4)")
  equal(
    codeOf(world.write(world.leader('b'), 'drop index by_value', 'majority', 1_000)),
    'KEEPER_UNREACHABLE',
  )
  world.cut('a', 'b', false)
  world.must('b1', 'drop index by_value')
  world.must('b1', "insert into kv (id, value, number) values (5, 'four', 4)")
  const isHeld = (id: string) => world.driver(id).origins?.state.held === true
  world.until('release', () => !world.up.some(({ id }) => isHeld(id)))
})

test('a keeper that dies in the middle of a change leaves nobody waiting', (t) => {
  const world = new GroupWorld(t, { groups: { a: 3, b: 1 } })
  world.ready()
  world.cut('a', 'b')
  world.run(200)
  const [follower = ''] = ['a1', 'a2', 'a3'].filter((name) => name !== world.leader('a'))
  const change = { kind: 'write', program: program('drop table kv'), ack: 'majority' } as const
  world.begin(world.leader('a'), { ...change, timeoutMs: 30_000 })
  world.until('hold', () => world.driver(follower).origins?.state.held === true)
  world.crash(world.leader('a'))
  world.until('release', () => world.driver(follower).origins?.state.held === false)
  world.must(follower, "insert into kv values (1, 'one', 1)")
})

test('a rule is set for everybody', (t) => {
  const world = new GroupWorld(t, { groups: { a: 1, b: 1 } })
  world.ready()
  world.must('a1', "insert into kv values (1, 'one', 10)")
  settled(world, 1)
  const rule = { table: 'kv', column: 'n', rule: 'add' }
  const set = { kind: 'admin', command: { kind: 'setRule', rule }, timeoutMs: 5_000 } as const
  equal(codeOf(world.ask('b1', set)), 'admin')
  const wrong = { ...set, command: { ...set.command, rule: { ...rule, table: 'none' } } }
  equal(codeOf(world.ask('b1', wrong)), 'BAD_RULE')
  world.must('b1', 'update kv set n = 10 where id = 1')
  world.cut('a', 'b')
  world.must('a1', 'update kv set n = n + 5 where id = 1')
  world.must('b1', 'update kv set n = n + 7 where id = 1')
  world.cut('a', 'b', false)
  world.until('the sum', () => {
    return ['a1', 'b1'].every((name) => Number(world.read(name, ROWS)[0]?.[2]) === 22)
  })
})

test('a cut between groups, asked for by a person, outlives a leader', (t) => {
  const world = new GroupWorld(t, { groups: { a: 3, b: 1 } })
  world.ready()
  const cut = (name: string, isCut: boolean) => {
    const command = { kind: 'cutGroup', group: 'b', cut: isCut } as const
    equal(codeOf(world.ask(name, { kind: 'admin', command, timeoutMs: 1_000 })), 'admin')
  }
  const told = (name: string) => {
    const status = originsStatusOf(world.driver(name).origins, 0)
    return (status?.groups ?? []).map(({ linked, cut, cutThere }) => [linked, cut, cutThere])
  }
  cut('a2', true)
  world.run(100)
  const own = [true, false, false]
  deepEqual(told(world.leader('a')), [own, [false, true, false]])
  deepEqual(told('b1'), [[false, false, true], own])
  match(
    originAlarmsOf(present(world.driver('b1').origins, () => 'origins')).join(),
    /group a, as was asked for there/,
  )
  const died = world.leader('a')
  const [left = ''] = ['a1', 'a2', 'a3'].filter((name) => name !== died)
  world.run(100)
  world.crash(died)
  world.must(left, "insert into kv values (1, 'one', 1)")
  world.must('b1', "insert into kv values (2, 'two', 2)")
  world.run(3_000)
  equal(world.read(left, ROWS).length, 1)
  equal(world.read('b1', ROWS).length, 1)
  cut(left, false)
  settled(world, 2)
  deepEqual(told('b1'), [own, own])
})

test('entries go through others where groups have no link', (t) => {
  const world = new GroupWorld(t, { groups: { a: 1, b: 1, c: 1 } })
  world.cut('a', 'c')
  world.ready()
  world.must('a1', "insert into kv values (1, 'one', 1)")
  world.must('c1', "insert into kv values (3, 'three', 3)", 'stable')
  settled(world, 2)
})

test('all falls silent, and what can not matter is forgotten', (t) => {
  const world = new GroupWorld(t, { groups: { a: 1, b: 1 } })
  world.ready()
  for (let i = 0; i < 10; i += 1) {
    world.must('a1', `insert into kv values (${i}, 'a', 0)`)
    world.must('b1', `update kv set value = 'b' where id = ${i}`)
  }
  world.run(5_000)
  for (const name of ['a1', 'b1']) {
    const left = world.read(name, 'select count(*) from _quorate_transactions')
    deepEqual(left, [[0n]])
  }
  const before = ['a1', 'b1'].map((name) => world.driver(name).order.last.index)
  world.run(5_000)
  deepEqual(
    ['a1', 'b1'].map((name) => world.driver(name).order.last.index),
    before,
  )
})

test('interactive transactions, and the schema in them', (t) => {
  const world = new GroupWorld(t, { groups: { a: 1, b: 1 } })
  world.ready()
  const round = (name: string, stream: string, open: boolean, ...sqls: readonly string[]) => {
    return world.ask(name, {
      ...{ kind: 'stream', stream, open, program: program(...sqls), end: false },
      ...{ ack: 'majority', timeoutMs: 3_000 },
    })
  }
  equal(codeOf(round('b1', 's', false, 'begin', "insert into kv values (1, 'one', 1)")), 'ok')
  // What others write waits for its end.
  world.must('a1', "insert into kv values (2, 'two', 2)")
  world.run(200)
  equal(world.read('b1', ROWS).length, 0)
  equal(codeOf(round('b1', 's', true, 'create table t (id integer primary key)')), 'SQL_REFUSED')
  equal(codeOf(round('b1', 's', true, 'commit')), 'ok')
  settled(world, 2)
  equal(codeOf(round('b1', 's2', false, 'create table t (id integer primary key)')), 'ok')
  equal(codeOf(round('b1', 's2', false, 'insert into t values (1)')), 'ok')
  equal(codeOf(round('a1', 's3', false, 'drop table t')), 'ok')
  equal(codeOf(world.write('b1', 'insert into t values (2)')), 'SQL_ERROR')
})

test('what a rule has decided is told at every node', (t) => {
  const world = new GroupWorld(t, { groups: { a: 3, b: 1 } })
  world.ready()
  world.must('a1', "insert into kv values (1, 'one', 1)", 'all')
  world.cut('a', 'b')
  world.must('a1', "update kv set value = 'mine' where id = 1")
  world.must('b1', "update kv set value = 'yours' where id = 1")
  world.cut('a', 'b', false)
  settled(world, 1)
  for (const { id, events } of world.nodes.values()) {
    const told = events.filter(({ name }) => name === 'conflict')
    equal(told.length, 1, `${id} was told ${told.length} times`)
    equal(told[0]?.facts['table'], 'kv')
  }
  equal(world.read('b1', 'select count(*) from quorate_conflicts')[0]?.[0], 1n)
  const [row] = world.read('b1', 'select time, origin, number from quorate_conflicts')
  const [time, origin, number] = row as [bigint, string, bigint]
  const closed = { time: Number(time), origin, number: Number(number) }
  const command = { kind: 'closeConflict', ...closed } as const
  equal(codeOf(world.ask('a2', { kind: 'admin', command, timeoutMs: 3_000 })), 'admin')
})

test('a group talks only with those that it was told', (t) => {
  const driver = { exchangeWith: ['a', 'b'] }
  const world = new GroupWorld(t, { groups: { a: 1, b: 1, c: 1 }, driver })
  world.ready()
  world.must('a1', "insert into kv values (1, 'one', 1)")
  world.until('the row at b', () => world.read('b1', ROWS).length === 1)
  world.run(2_000)
  deepEqual([...(world.driver('a1').origins?.links.up.keys() ?? [])], ['b'])
  deepEqual(world.read('c1', ROWS), [])
})

test('writes of a clock that is far ahead wait until their time has come', (t) => {
  const world = new GroupWorld(t, { groups: { a: 1, b: 1 } })
  world.ready()
  world.node('b1').skewMs = 3_000
  world.must('b1', "insert into kv values (1, 'one', 1)")
  world.run(1_000)
  equal(world.read('a1', ROWS).length, 0)
  world.must('a1', "insert into kv values (2, 'two', 2)")
  settled(world, 2)
})

test('sent again, a write runs once, at every level', (t) => {
  const world = new GroupWorld(t, { groups: { a: 3, b: 1 } })
  world.ready()
  const id = { session: 's', number: 1, since: 1 }
  const given = { ...program("insert into kv values (1, 'one', 1)"), id }
  for (const ack of ['majority', 'quorum', 'stable'] as const) {
    const request = { kind: 'write', program: given, ack, timeoutMs: 3_000 } as const
    equal(codeOf(world.ask(world.leader('a'), request)), 'ok')
  }
  settled(world, 1)
})

test('a read that consults a group is not answered by a leader that was replaced', (t) => {
  const world = new GroupWorld(t, { groups: { a: 1, b: 3 } })
  world.ready()
  world.must('b1', "insert into kv values (1, 'one', 1)", 'all')
  const old = world.leader('b')
  const others = ['b1', 'b2', 'b3'].filter((name) => name !== old)
  for (const name of others) {
    world.cut(old, name)
    world.cut('a1', name)
  }
  const isNew = (name: string) => world.driver(name).origins?.leading != null
  world.until('another leader', () => others.some(isNew))
  world.must(others.find(isNew) ?? '', "insert into kv values (2, 'two', 2)")
  equal(world.driver(old).order.role, 'leader')
  equal(world.read('a1', ROWS, 2), 'READ_LEVEL_UNAVAILABLE')
  for (const name of others) world.cut('a1', name, false)
  equal(world.read('a1', ROWS, 2).length, 2)
})
