import { deepEqual, equal, match } from 'node:assert/strict'
import { test } from 'node:test'
import type { NodeReply } from '../../model/request.ts'
import { listLostFiles } from '../../store/apply/lost-file.ts'
import { originAlarmsOf } from './origins-status.ts'
import { codeOf, GroupWorld, program } from './test-world.ts'

const ROWS = 'select id, value, n from kv order by id'
const TIMEOUT_MS = 15_000

type Move = { readonly force?: boolean; readonly alone?: boolean; readonly timeoutMs?: number }

function request(group: string, { force = false, alone = false, timeoutMs = TIMEOUT_MS }: Move) {
  const command = { kind: 'moveKeeper', group, force, alone } as const
  return { kind: 'admin', command, timeoutMs } as const
}

function move(world: GroupWorld, at: string, group: string, how: Move = {}): string {
  return codeOf(world.ask(at, request(group, how)))
}

function detailOf(reply: NodeReply): string {
  return reply.kind === 'error' ? reply.error.detail : reply.kind
}

const keeperAt = (world: GroupWorld, name: string) =>
  world.driver(name).origins?.state.cluster.keeper

function standingAt(world: GroupWorld, name: string, group: string): string | undefined {
  const { cluster } = world.driver(name).origins?.state ?? {}
  return cluster?.origins.find((each) => each.name === group)?.standing.kind
}

function allHave(world: GroupWorld, names: readonly string[], rows: number): void {
  world.until(`${rows} rows`, () => names.every((name) => world.read(name, ROWS).length === rows))
}

/** Additive and other changes of the schema, asked for anywhere, reach these. */
function schemaChanges(world: GroupWorld, names: readonly string[]): void {
  const [first = '', last = first] = [names[0], names.at(-1)]
  world.must(last, 'create table made (id integer primary key, x)')
  world.must(first, 'create unique index made_x on made (x)')
  world.must(last, 'insert into made values (1, 1)')
  const rows = (name: string) => world.read(name, 'select * from made').length
  world.until('the new table', () => names.every((name) => rows(name) === 1))
  world.must(first, 'drop table made')
  const isHeld = (name: string) => world.driver(name).origins?.state.held === true
  world.until('release', () => !names.some(isHeld))
}

test('another group keeps, and the one before can be removed', (t) => {
  const world = new GroupWorld(t, { groups: { a: 3, b: 3, c: 1 } })
  world.ready()
  equal(move(world, 'c1', 'b'), 'admin')
  world.until('news', () => ['a1', 'b3', 'c1'].every((name) => keeperAt(world, name) === 'b'))
  schemaChanges(world, ['a1', 'b2', 'c1'])
  equal(move(world, 'a1', 'none'), 'GROUP_UNKNOWN')
  equal(move(world, 'a1', 'b'), 'admin')
  equal(move(world, 'b1', 'b', { force: true }), 'admin')
  const command = { kind: 'removeGroup', group: 'a' } as const
  equal(codeOf(world.ask('c1', { kind: 'admin', command, timeoutMs: TIMEOUT_MS })), 'admin')
  schemaChanges(world, ['b1', 'b2', 'c1'])
  equal(move(world, 'b1', 'c'), 'admin')
  schemaChanges(world, ['b1', 'c1'])
  world.join('d', 'b1')
  schemaChanges(world, ['d1', 'b1', 'c1'])
})

test('the keeper does not move to a group that is away, nor in the middle of a change', (t) => {
  const world = new GroupWorld(t, { groups: { a: 1, b: 1, c: 1 } })
  world.ready()
  world.crash('c1')
  world.run(200)
  equal(move(world, 'a1', 'c'), 'TAKEOVER_UNSAFE')
  const change = { kind: 'write', program: program('drop table kv'), ack: 'majority' } as const
  world.begin('a1', { ...change, timeoutMs: 30_000 })
  world.until('hold', () => world.driver('b1').origins?.state.held === true)
  equal(move(world, 'a1', 'b', { timeoutMs: 1_000 }), 'GROUP_CHANGE_BUSY')
  equal(move(world, 'a1', 'b', { timeoutMs: 20_000 }), 'admin')
  world.start('c1')
  schemaChanges(world, ['a1', 'b1', 'c1'])
})

test('changes that were asked for while the keeper moved are told to come again', (t) => {
  const world = new GroupWorld(t, { groups: { a: 3, b: 1 } })
  world.ready()
  const moved = world.begin(world.leader('a'), request('b', {}))
  const change = (sql: string) => {
    const asked = { kind: 'write', program: program(sql), ack: 'majority' } as const
    return world.begin(world.leader('a'), { ...asked, timeoutMs: 5_000 })
  }
  const replies: ReturnType<GroupWorld['begin']>[] = []
  for (let i = 0; i < 15; i += 1) {
    replies.push(change(`create table t${i} (id integer primary key)`))
    replies.push(change(`create unique index i${i} on kv (value, n)`))
    world.run(1)
  }
  world.until('answers', () => [moved, ...replies].every(({ reply }) => reply !== null))
  const codes = new Set(replies.map(({ reply }) => (reply === null ? '' : codeOf(reply))))
  for (const code of codes) match(code, /^(ok|SCHEMA_CHANGE_PENDING)$/)
  schemaChanges(world, ['a1', 'b1'])
})

test('of two groups one takes over only by its own word', (t) => {
  const world = new GroupWorld(t, { groups: { a: 1, b: 1 } })
  world.ready()
  world.must('a1', "insert into kv values (1, 'one', 1)", 'all')
  equal(move(world, 'b1', 'b', { force: true }), 'TAKEOVER_UNSAFE')
  world.cut('a', 'b')
  world.run(500)
  world.must('a1', "insert into kv values (2, 'two', 2)")
  world.must('a1', 'create table alone (id integer primary key)')
  world.crash('a1')
  match(
    detailOf(world.ask('b1', request('b', { force: true }))),
    /1 of 2 groups .* of a\. .*--alone/,
  )
  equal(move(world, 'b1', 'b', { force: true, alone: true }), 'admin')
  equal(standingAt(world, 'b1', 'a'), 'removed')
  schemaChanges(world, ['b1'])
  world.must('b1', 'create table alone (id integer primary key, x)')
  world.must('b1', 'insert into alone values (1, 1)')
  world.must('b1', "insert into kv values (3, 'three', 3)", 'stable')
  // It comes back, and learns of it without getting anything that its own would contradict.
  world.start('a1')
  world.cut('a', 'b', false)
  world.until('news', () => standingAt(world, 'a1', 'a') === 'removed')
  equal(codeOf(world.write('a1', "insert into kv values (4, 'four', 4)")), 'GROUP_REMOVED')
  world.run(2_000)
  equal(world.read('a1', ROWS).length, 2)
  equal(listLostFiles(world.node('a1').path).length, 1)
  allHave(world, ['b1'], 2)
})

test('two sides that each take the other for gone go on apart, and say so when they meet', (t) => {
  const world = new GroupWorld(t, { groups: { a: 1, b: 1, c: 1, d: 1 } })
  world.ready()
  world.must('a1', "insert into kv values (1, 'one', 1)", 'all')
  const cut = (isCut: boolean): void => {
    for (const one of 'ab') for (const other of 'cd') world.cut(one, other, isCut)
  }
  cut(true)
  world.run(500)
  const remove = (at: string, group: string) => {
    const command = { kind: 'removeGroup', group } as const
    return world.begin(at, { kind: 'admin', command, timeoutMs: TIMEOUT_MS })
  }
  const removals = [remove('a1', 'c'), remove('b1', 'd')]
  const taking = world.begin('c1', request('c', { force: true, alone: true }))
  world.until('the take-over', () => keeperAt(world, 'd1') === 'c')
  const answers = [...removals, taking, remove('d1', 'b')]
  world.until('answers', () => answers.every(({ reply }) => reply?.kind === 'admin'))
  world.must('b1', 'create table apart (id integer primary key)')
  world.must('d1', 'create table apart (id integer primary key, x)')
  world.must('a1', "insert into kv values (2, 'two', 2)", 'quorum')
  world.must('c1', "insert into kv values (3, 'three', 3)", 'quorum')
  cut(false)
  const alarms = (name: string): string => {
    const { origins } = world.driver(name)
    return origins === null ? '' : originAlarmsOf(origins).join()
  }
  const says = (name: string, of: string) => alarms(name).includes(`cluster of their own: ${of}.`)
  world.until('alarms', () => ['a1', 'b1'].every((name) => says(name, 'c, d')))
  world.until('alarms', () => ['c1', 'd1'].every((name) => says(name, 'a, b')))
  world.must('b1', "insert into kv values (4, 'four', 4)", 'all')
  world.must('d1', "insert into kv values (5, 'five', 5)", 'all')
  world.run(5_000)
  const ids = (name: string) => (world.read(name, ROWS) as unknown[][]).map(([id]) => Number(id))
  deepEqual(['a1', 'b1', 'c1', 'd1'].map(ids), [
    [1, 2, 4],
    [1, 2, 4],
    [1, 3, 5],
    [1, 3, 5],
  ])
})

test('with three, the two that are left take over, and the dead one stays out', (t) => {
  const world = new GroupWorld(t, { groups: { a: 3, b: 1, c: 3 } })
  world.ready()
  world.must('a1', "insert into kv values (1, 'one', 1)", 'all')
  world.cut('a', 'c')
  world.run(500)
  // Only b has it when a dies.
  world.must(world.leader('a'), "insert into kv values (2, 'two', 2)", 2)
  world.must(world.leader('a'), 'create table late (id integer primary key)', 2)
  world.cut('b', 'c')
  for (const name of ['a1', 'a2', 'a3']) world.crash(name)
  world.cut('b', 'c', false)
  world.run(500)
  equal(move(world, 'b1', 'c', { force: true }), 'admin')
  world.must('c1', 'insert into late values (1)')
  allHave(world, ['b1', 'c1', 'c2'], 2)
  schemaChanges(world, ['b1', 'c3'])
  world.must('b1', "insert into kv values (3, 'three', 3)", 'stable')
  world.cut('a', 'c', false)
  for (const name of ['a1', 'a2', 'a3']) world.start(name)
  const isTold = (name: string) => standingAt(world, name, 'a') === 'removed'
  world.until('news', () => ['a1', 'a2', 'a3'].every(isTold))
  equal(codeOf(world.write('a2', "insert into kv values (4, 'four', 4)")), 'GROUP_REMOVED')
  equal(move(world, 'a1', 'a', { force: true }), 'GROUP_UNKNOWN')
})

test('the old keeper is told to remove the new one before it knows: it learns nevertheless', (t) => {
  const world = new GroupWorld(t, { groups: { a: 1, b: 1, c: 1 } })
  world.ready()
  world.cut('a', 'b')
  world.cut('a', 'c')
  world.run(500)
  equal(move(world, 'b1', 'b', { force: true }), 'admin')
  const command = { kind: 'removeGroup', group: 'b' } as const
  const reply = world.ask('a1', { kind: 'admin', command, timeoutMs: 1_000 })
  equal(codeOf(reply), 'UNKNOWN_OUTCOME')
  world.must('a1', "insert into kv values (1, 'one', 1)")
  for (const other of ['b', 'c']) world.cut('a', other, false)
  world.until('news', () => standingAt(world, 'a1', 'a') === 'removed')
  equal(codeOf(world.write('a1', "insert into kv values (2, 'two', 2)")), 'GROUP_REMOVED')
  equal(listLostFiles(world.node('a1').path).length, 1)
  schemaChanges(world, ['b1', 'c1'])
})

test('nobody takes over from a keeper that others hear', (t) => {
  const world = new GroupWorld(t, { groups: { a: 1, b: 1, c: 1 } })
  world.ready()
  world.cut('a', 'b')
  world.run(500)
  const told = world.ask('b1', request('b', { force: true, alone: true }))
  match(detailOf(told), /^Group c is in contact with a\.$/)
  equal(keeperAt(world, 'b1'), 'a')
})

test('two take over at once: one of them keeps in the end', (t) => {
  for (const delay of [0, 1, 2, 3, 4, 6, 9, 14]) {
    const world = new GroupWorld(t, { groups: { a: 1, b: 1, c: 1, d: 1 } })
    world.ready()
    world.must('b1', "insert into kv values (1, 'one', 1)", 'all')
    world.crash('a1')
    world.run(500)
    const answers = [world.begin('b1', request('b', { force: true }))]
    world.run(delay)
    answers.push(world.begin('c1', request('c', { force: true })))
    const all = ['b1', 'c1', 'd1']
    world.until('answers', () => answers.every(({ reply }) => reply !== null), 60_000)
    world.until('the end', () => all.every((name) => standingAt(world, name, 'a') === 'removed'))
    const keepers = new Set(all.map((name) => keeperAt(world, name)))
    equal(keepers.size, 1, `${[...keepers]} after ${delay} ms`)
    schemaChanges(world, all)
    world.must('d1', "insert into kv values (2, 'two', 2)", 'stable')
  }
})

test('who has a version of its own gives nobody the word for another', (t) => {
  const world = new GroupWorld(t, { groups: { a: 1, b: 1, c: 1, d: 1 } })
  world.ready()
  world.crash('a1')
  world.run(500)
  const cut = (isCut: boolean): void => {
    for (const group of ['b', 'd']) {
      const command = { kind: 'cutGroup', group, cut: isCut } as const
      equal(codeOf(world.ask('c1', { kind: 'admin', command, timeoutMs: 1_000 })), 'admin')
    }
  }
  // It may be asked, and nothing is exchanged with it.
  cut(true)
  const answers = ['b', 'c'].map((group) => {
    return world.begin(`${group}1`, request(group, { force: true, timeoutMs: 6_000 }))
  })
  world.until('answers', () => answers.every(({ reply }) => reply !== null))
  deepEqual(
    ['b1', 'c1'].map((name) => [keeperAt(world, name), standingAt(world, name, 'a')]),
    [
      ['b', 'frozen'],
      ['c', 'frozen'],
    ],
  )
  cut(false)
  const all = ['b1', 'c1', 'd1']
  world.until('the end', () => all.every((name) => standingAt(world, name, 'a') === 'removed'))
  deepEqual([...new Set(all.map((name) => keeperAt(world, name)))], ['c'])
  schemaChanges(world, all)
})

test('rivals that are told to remove each other do not both end', (t) => {
  const world = new GroupWorld(t, { groups: { a: 1, b: 1, c: 1 } })
  world.ready()
  world.crash('a1')
  world.run(500)
  const both = ['b', 'c'] as const
  const answers = both.map((group) => world.begin(`${group}1`, request(group, { force: true })))
  world.until('attempts', () => both.every((group) => keeperAt(world, `${group}1`) === group))
  world.cut('b', 'c')
  world.until('answers', () => answers.every(({ reply }) => reply !== null), 40_000)
  for (const [at, group] of [
    ['b1', 'c'],
    ['c1', 'b'],
  ] as const) {
    const command = { kind: 'removeGroup', group } as const
    const reply = world.ask(at, { kind: 'admin', command, timeoutMs: 3_000 })
    match(detailOf(reply), /removed when 2 groups agree/)
  }
  world.start('a1')
  world.cut('b', 'c', false)
  world.run(3_000)
  // Each has frozen the other; whoever is asked once more ends it.
  world.until('one of them', () =>
    both.some((group) => standingAt(world, `${group}1`, 'a') === 'removed'),
  )
  world.run(5_000)
  const keepers = both.filter((group) => standingAt(world, `${group}1`, group) === 'writes')
  equal(keepers.length, 1)
  const [keeper = ''] = keepers
  const all = ['a1', 'b1', 'c1'].filter((name) => name !== `${keeper}1`)
  for (const name of all) equal(keeperAt(world, name), keeper)
})

test('a rival that dies with its attempt is removed as well, and learns of it', (t) => {
  const world = new GroupWorld(t, { groups: { a: 1, b: 1, c: 1, d: 1, e: 1 } })
  world.ready()
  world.crash('a1')
  world.run(500)
  // What c makes goes to nobody.
  const rival = world.begin('c1', request('c', { force: true }))
  world.until('an attempt', () => keeperAt(world, 'c1') === 'c')
  for (const other of ['b', 'd', 'e']) world.cut('c', other)
  const isHere = ['b1', 'd1', 'e1'].some((name) => keeperAt(world, name) === 'c')
  equal(isHere, false)
  equal(move(world, 'b1', 'b', { force: true, timeoutMs: 5_000 }), 'UNKNOWN_OUTCOME')
  const command = { kind: 'removeGroup', group: 'c' } as const
  equal(codeOf(world.ask('b1', { kind: 'admin', command, timeoutMs: TIMEOUT_MS })), 'admin')
  schemaChanges(world, ['b1', 'd1', 'e1'])
  world.until('an answer', () => rival.reply !== null)
  for (const other of ['b', 'd', 'e']) world.cut('c', other, false)
  world.until('news', () => standingAt(world, 'c1', 'c') === 'removed')
  equal(codeOf(world.write('c1', "insert into kv values (4, 'four', 4)")), 'GROUP_REMOVED')
  schemaChanges(world, ['b1', 'd1', 'e1'])
})

test('a keeper that dies while nobody may write: who takes over lets them go on', (t) => {
  const world = new GroupWorld(t, { groups: { a: 1, b: 1, c: 1, d: 1 } })
  world.ready()
  world.crash('d1')
  const change = { kind: 'write', program: program('drop table kv'), ack: 'majority' } as const
  world.begin('a1', { ...change, timeoutMs: 30_000 })
  world.until('hold', () => ['b1', 'c1'].every((name) => world.driver(name).origins?.state.held))
  world.crash('a1')
  world.start('d1')
  world.run(500)
  equal(move(world, 'd1', 'd', { force: true }), 'admin')
  for (const name of ['b1', 'c1', 'd1']) {
    world.must(name, `insert into kv (value) values ('${name}')`)
  }
  allHave(world, ['b1', 'c1', 'd1'], 3)
})

test('the next leader of a group ends what the one before began', (t) => {
  const world = new GroupWorld(t, { groups: { a: 1, b: 3, c: 1 } })
  world.ready()
  world.crash('a1')
  world.run(500)
  world.cut('b', 'c')
  const leader = world.leader('b')
  const begun = world.begin(leader, request('b', { force: true, alone: true }))
  const others = ['b1', 'b2', 'b3'].filter((name) => name !== leader)
  world.until('the attempt', () => others.every((name) => keeperAt(world, name) === 'b'))
  world.crash(leader)
  equal(begun.reply, null)
  world.cut('b', 'c', false)
  world.until('the end', () => standingAt(world, 'c1', 'a') === 'removed')
  schemaChanges(world, [others[0] ?? '', 'c1'])
})

test('until the one before is removed nothing else is changed', (t) => {
  const world = new GroupWorld(t, { groups: { a: 1, b: 1, c: 1, d: 1, e: 1 } })
  world.ready()
  world.crash('a1')
  world.crash('e1')
  world.run(500)
  equal(move(world, 'b1', 'b', { force: true, timeoutMs: 3_000 }), 'UNKNOWN_OUTCOME')
  equal(standingAt(world, 'b1', 'a'), 'frozen')
  const join = { kind: 'joinGroup', group: 'f', node: 'f1' } as const
  equal(
    codeOf(world.ask('c1', { kind: 'admin', command: join, timeoutMs: 1_000 })),
    'GROUP_CHANGE_BUSY',
  )
  const rule = { kind: 'setRule', rule: { table: 'kv', column: 'n', rule: 'add' } } as const
  equal(
    codeOf(world.ask('c1', { kind: 'admin', command: rule, timeoutMs: 1_000 })),
    'SCHEMA_CHANGE_PENDING',
  )
  const sql = 'create table t (id integer primary key)'
  match(codeOf(world.write('b1', sql, 'majority', 1_000)), /^(SCHEMA_CHANGE_PENDING|DEADLINE)$/)
  world.must('d1', "insert into kv values (1, 'one', 1)", 'quorum')
  const waiting = world.begin('c1', {
    ...{ kind: 'write', program: program(sql), ack: 'majority', timeoutMs: 10_000 },
  })
  const command = { kind: 'removeGroup', group: 'e' } as const
  equal(codeOf(world.ask('c1', { kind: 'admin', command, timeoutMs: TIMEOUT_MS })), 'admin')
  world.until('the table', () => waiting.reply !== null)
  deepEqual(waiting.reply === null ? '' : codeOf(waiting.reply), 'ok')
  schemaChanges(world, ['b1', 'c1', 'd1'])
})

test('a keeper that dies while it removes a group of which one who stays has more than another', (t) => {
  const world = new GroupWorld(t, { groups: { k: 1, a: 1, c: 1, e: 1 } })
  world.ready()
  world.must('a1', "insert into kv values (0, 'zero', 0)", 'all')
  for (const one of ['a', 'c']) for (const other of ['k', 'e']) world.cut(one, other)
  world.run(200)
  world.must('a1', "insert into kv values (1, 'one', 1)", 2)
  world.cut('a', 'c')
  const removal = { kind: 'removeGroup', group: 'a' } as const
  world.begin('k1', { kind: 'admin', command: removal, timeoutMs: 1_000 })
  world.until('the freezing at e', () => standingAt(world, 'e1', 'a') === 'frozen')
  world.cut('k', 'e')
  world.cut('c', 'k', false)
  world.until('the freezing at c', () => standingAt(world, 'c1', 'a') === 'frozen')
  world.crash('k1')
  world.cut('c', 'e', false)
  world.run(1_000)
  // What c does now depends on the write of a that e has not got, and was not to take any more.
  equal(move(world, 'c1', 'c', { force: true }), 'admin')
  allHave(world, ['c1', 'e1'], 2)
  equal(standingAt(world, 'e1', 'a'), 'removed')
  schemaChanges(world, ['c1', 'e1'])
})
