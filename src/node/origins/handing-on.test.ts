import { deepEqual, equal } from 'node:assert/strict'
import { test } from 'node:test'
import { LIMITS } from '../../base/limits.ts'
import type { WriteId } from '../../model/program.ts'
import type { NodeRequest } from '../../model/request.ts'
import { codeOf, GroupWorld, program } from './test-world.ts'

const TIMEOUT_MS = 5_000
/** Run twice it fails or shows in `n`, whichever of the two it is. */
const ADDS = ['create table if not exists t (id integer primary key)', 'update kv set n = n + 1']
const BARS = ['create unique index if not exists i on kv (value)', 'update kv set n = n + 1']

/** A write under an id that its session gives at one group: where that one's log stands. */
function change(
  world: GroupWorld,
  group: string,
  sqls: readonly string[],
  { session = 's', timeoutMs = TIMEOUT_MS } = {},
) {
  const since = world.driver(world.leader(group)).order.commit
  const id: WriteId = { session, number: 1, since }
  return {
    kind: 'write',
    program: { ...program(...sqls), id },
    ack: 'majority',
    timeoutMs,
  } as const
}

type Change = ReturnType<typeof change>

function ask(world: GroupWorld, group: string, request: NodeRequest): string {
  return codeOf(world.ask(world.leader(group), request))
}

/** The group's log says that it hands the write on. */
function untilLogged(world: GroupWorld, group: string, { program: { id } }: Change): void {
  world.until('an entry that says where it goes', () => {
    const { writeIds, order } = world.driver(world.leader(group))
    const seen = writeIds.look(id)
    return typeof seen === 'object' && seen.index <= order.commit
  })
}

function begin(t: { after(run: () => void): void }, groups: Record<string, number>, driver = {}) {
  const world = new GroupWorld(t, { groups, driver })
  world.ready()
  world.must('b1', "insert into kv values (1, 'one', 0)")
  world.until('the row', () => world.up.every(({ id }) => timesRun(world, id) === 0))
  return world
}

/** How often the program ran, as a replica shows it. */
function timesRun(world: GroupWorld, name: string): number {
  const [row] = world.read(name, 'select n from kv where id = 1')
  return typeof row === 'object' ? Number(row[0]) : -1
}

/** Everybody comes to show that it ran once, and goes on showing it. */
function ranOnce(world: GroupWorld): void {
  world.until('it ran', () => world.up.every(({ id }) => timesRun(world, id) > 0))
  world.run(300)
  for (const { id } of world.up) equal(timesRun(world, id), 1, id)
}

function replaceLeader(world: GroupWorld, group: string): string {
  const died = world.leader(group)
  world.crash(died)
  world.until('another leader', () => {
    return world.up.some(({ id, group: of }) => {
      return of === group && world.driver(id).origins?.leading != null
    })
  })
  return died
}

for (const [what, sqls] of [['adds', ADDS] as const, ['stops all', BARS] as const]) {
  test(`a change that ${what}: a retry gets its answer from any leader of the group`, (t) => {
    const world = begin(t, { a: 1, b: 3 })
    const request = change(world, 'b', sqls)
    for (let attempt = 0; attempt < 2; attempt += 1) equal(ask(world, 'b', request), 'ok')
    const died = replaceLeader(world, 'b')
    const first = world.ask(world.leader('b'), request)
    equal(codeOf(first), 'ok')
    world.start(died)
    for (const name of ['b1', 'b2', 'b3']) {
      const again = world.ask(name, request)
      deepEqual(again.kind === 'result' && again.result, first.kind === 'result' && first.result)
    }
    ranOnce(world)
  })

  test(`a change that ${what}: the leader that handed it on dies before the answer`, (t) => {
    const world = begin(t, { a: 1, b: 3 })
    const request = change(world, 'b', sqls)
    world.begin(world.leader('b'), request)
    untilLogged(world, 'b', request)
    replaceLeader(world, 'b')
    equal(ask(world, 'b', request), 'ok')
    ranOnce(world)
  })

  test(`a change that ${what}: the leader of the keeper dies in the middle`, (t) => {
    const world = begin(t, { a: 3, b: 1 })
    const request = change(world, 'b', sqls)
    const answer = world.begin('b1', request)
    untilLogged(world, 'b', request)
    const { last } = world.driver(world.leader('a')).order
    world.until(
      'it came there',
      () => world.driver(world.leader('a')).order.last.index > last.index,
    )
    replaceLeader(world, 'a')
    world.until('an answer', () => answer.reply !== null)
    equal(answer.reply && codeOf(answer.reply), 'ok')
    equal(ask(world, 'b', request), 'ok')
    ranOnce(world)
  })
}

test('restarts of everybody', (t) => {
  const world = begin(t, { a: 3, b: 3 })
  const request = change(world, 'b', ADDS)
  equal(ask(world, 'b', request), 'ok')
  const all = [...world.nodes.keys()]
  for (const name of all) world.crash(name)
  for (const name of all) world.start(name)
  world.ready()
  equal(ask(world, 'b', request), 'ok')
  ranOnce(world)
})

test('what the log of either group has no longer is not run again', (t) => {
  for (const [forgets, other] of [['a', 'b'] as const, ['b', 'a'] as const]) {
    const world = begin(t, { a: 1, b: 1 }, { retainEntries: 4 })
    const request = change(world, 'b', ADDS)
    equal(ask(world, 'b', request), 'ok')
    const { last } = world.driver(`${forgets}1`).order
    const isCut = (): boolean => world.driver(`${forgets}1`).order.base.index > last.index
    for (let i = 0; i < 100 && !isCut(); i += 1) {
      world.must(`${forgets}1`, `insert or replace into kv values (2, 'two', ${i})`)
      world.run(300)
    }
    equal(isCut(), true)
    world.crash(`${forgets}1`)
    world.start(`${forgets}1`)
    world.ready()
    equal(ask(world, 'b', request), 'SESSION_EXPIRED', `${forgets} forgets, ${other} may not`)
    ranOnce(world)
  }
})

test('an answer that nothing was run may be asked again under the same id', (t) => {
  const world = begin(t, { a: 1, b: 1, c: 1 })
  const request = change(world, 'b', BARS, { timeoutMs: 20_000 })
  const short = { ...request, timeoutMs: 500 }
  world.cut('a', 'b')
  world.run(200)
  equal(ask(world, 'b', short), 'KEEPER_UNREACHABLE')
  world.cut('a', 'b', false)
  world.cut('a', 'c')
  world.cut('b', 'c')
  world.run(200)
  // Somebody does not stop: the keeper's own words come back, though it took ten seconds.
  equal(ask(world, 'b', request), 'SCHEMA_CHANGE_PENDING')
  world.cut('a', 'c', false)
  world.cut('b', 'c', false)
  equal(ask(world, 'b', request), 'ok')
  ranOnce(world)
})

test('an error of the statement is no run, and may be asked again', (t) => {
  const world = begin(t, { a: 1, b: 1 })
  const sqls = ['create table t (id integer primary key)', 'update kv set n = n + 1 where gone.x']
  const request = change(world, 'b', sqls)
  const atomic = { ...request, program: { ...request.program, atomic: true } }
  for (let attempt = 0; attempt < 2; attempt += 1) equal(ask(world, 'b', atomic), 'SQL_ERROR')
  equal(timesRun(world, 'a1'), 0)
})

test('one number at several groups is as many writes', (t) => {
  const world = begin(t, { a: 1, b: 1, c: 1 })
  for (const group of ['a', 'b', 'c']) {
    const sqls = [`create table of_${group} (id integer primary key)`, 'update kv set n = n + 1']
    equal(ask(world, group, change(world, group, sqls)), 'ok')
  }
  world.until('all three', () => world.up.every(({ id }) => timesRun(world, id) === 3))
})

/** Has another group keep. */
function move(world: GroupWorld, group: string): string {
  const command = { kind: 'moveKeeper', group, force: false, alone: false } as const
  return ask(world, group, { kind: 'admin', command, timeoutMs: TIMEOUT_MS })
}

test('the keeper has moved: the one that ran it says so', (t) => {
  const world = begin(t, { a: 1, b: 1, c: 1 })
  const request = change(world, 'b', ADDS)
  equal(ask(world, 'b', request), 'ok')
  for (const group of ['c', 'b']) {
    equal(move(world, group), 'admin')
    equal(ask(world, 'b', request), 'ok')
  }
  ranOnce(world)
})

test('the keeper moves before it has come there: it goes on from one to the other', (t) => {
  for (const next of ['c', 'b']) {
    const world = begin(t, { a: 3, b: 1, c: 1 })
    const request = change(world, 'b', BARS, { timeoutMs: 1_000 })
    const answer = world.begin('b1', request)
    untilLogged(world, 'b', request)
    world.cut('a', 'b')
    world.until('an answer', () => answer.reply !== null)
    equal(answer.reply && codeOf(answer.reply), 'UNKNOWN_OUTCOME')
    equal(timesRun(world, 'a1'), 0)
    world.cut('a', 'b', false)
    world.run(100)
    equal(move(world, next), 'admin')
    equal(ask(world, 'b', { ...request, timeoutMs: TIMEOUT_MS }), 'ok')
    ranOnce(world)
  }
})

test('the group that was to run it is removed: nobody else does', (t) => {
  const world = begin(t, { a: 1, b: 1, c: 1 })
  const request = change(world, 'b', ADDS)
  equal(ask(world, 'b', request), 'ok')
  equal(move(world, 'c'), 'admin')
  const command = { kind: 'removeGroup', group: 'a' } as const
  equal(ask(world, 'b', { kind: 'admin', command, timeoutMs: TIMEOUT_MS }), 'admin')
  equal(ask(world, 'b', request), 'SESSION_EXPIRED')
  ranOnce(world)
})

test('a writer that an interactive transaction has does not keep the caller waiting', (t) => {
  const world = begin(t, { a: 1, b: 1 })
  const request = change(world, 'b', ADDS, { timeoutMs: 1_000 })
  const answer = world.begin('b1', request)
  const stream = { kind: 'stream', stream: 'x', open: false, end: false, ack: 'majority' } as const
  world.until('handing on', () => world.driver('b1').queued === 0)
  world.ask('b1', { ...stream, program: program('begin', 'select 1'), timeoutMs: 1_000 })
  world.until('an answer', () => answer.reply !== null, LIMITS.cursorIdleMs)
  equal(answer.reply && codeOf(answer.reply), 'DEADLINE')
  world.ask('b1', { ...stream, open: true, end: true, program: null, timeoutMs: 1_000 })
  equal(ask(world, 'b', { ...request, timeoutMs: TIMEOUT_MS }), 'ok')
  ranOnce(world)
})
