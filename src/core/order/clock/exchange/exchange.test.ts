/** Stories of the exchange, one for each promise, in worlds that are small enough to follow. */
import { deepEqual, equal, ok, throws } from 'node:assert/strict'
import { test } from 'node:test'
import { covers, holds } from '../frontier.ts'
import type { Reach } from '../quorums.ts'
import type { Rules } from './rules.ts'
import { graphOf } from './test-graphs.ts'
import { TestWorld, type WorldOptions } from './test-world.ts'

function world(names: string, shape: string, more: Partial<WorldOptions> = {}): TestWorld {
  const list = [...names]
  const made = new TestWorld({ names: list, edges: graphOf(shape, list), ...more })
  made.settle()
  return made
}

const held = (w: TestWorld, name: string) => Object.fromEntries(w.group(name).exchange.held)

test('a new entry is one hop away, and reaches each peer once', () => {
  const w = world('abcde', 'mesh')
  const before = w.entriesSent
  w.write('a')
  w.settle()
  for (const name of 'abcde') deepEqual(held(w, name), { a: 1 })
  equal(w.entriesSent - before, 4)
})

test('in a chain everyone hands on, without a round trip', () => {
  const w = world('abcd', 'chain')
  const before = w.messagesSent
  w.write('a')
  w.settle()
  deepEqual(held(w, 'd'), { a: 1 })
  equal(w.entriesSent, 3)
  equal(w.messagesSent - before, 3)
  // Nobody waits for the acknowledgements: they leave after the next tick.
  w.advance(10)
  w.settle()
  equal(w.messagesSent - before, 6)
})

test('an acknowledgement waits for the next tick or travels with entries; at once if awaited', () => {
  const w = world('ab', 'mesh')
  w.run(1_000)
  const messages = (act: () => void): number => {
    const before = w.messagesSent
    act()
    w.settle()
    return w.messagesSent - before
  }
  const isTold = () => (w.group('a').exchange.heldBy('b').get('a') ?? 0) === held(w, 'a')['a']
  equal(
    messages(() => w.write('a', 'now')),
    2,
  )
  ok(isTold())
  w.advance(10)
  w.settle()
  equal(
    messages(() => w.write('a')),
    1,
  )
  ok(!isTold())
  equal(
    messages(() => w.advance(10)),
    1,
  )
  ok(isTold())
  for (const name of 'bab') {
    w.write(name)
    w.settle()
  }
  ok(!isTold())
  // The entry of a said that it has the first of b, the second of b says that it has that.
  equal(
    messages(() => w.advance(10)),
    1,
  )
  ok(isTold())
})

test('after a write others answer once, it becomes final, and nothing more is sent', () => {
  for (const shape of ['mesh', 'chain', 'ring', 'star']) {
    const w = world('abcd', shape)
    const entry = w.write('a')
    w.run(2_000)
    for (const name of 'abcd') {
      ok(w.group(name).exchange.stable >= (entry?.time ?? Number.POSITIVE_INFINITY))
      deepEqual(held(w, name), { a: 1, b: 1, c: 1, d: 1 })
      ok(covers(w.group(name).exchange.heldByAll, new Map([['a', 1]])))
    }
    const { messagesSent } = w
    w.run(5_000)
    equal(w.messagesSent, messagesSent, shape)
  }
})

test('entries of one tick share a message, unless somebody waits', () => {
  const w = world('ab', 'mesh')
  w.run(1_000)
  const messages = (answer: 'soon' | 'now'): number => {
    const before = w.messagesSent
    for (let i = 0; i < 20; i += 1) {
      w.write('a', answer)
      w.settle()
    }
    return w.messagesSent - before
  }
  // One at once, with its acknowledgement.
  ok(messages('soon') <= 2)
  w.run(1_000)
  deepEqual(held(w, 'b')['a'], 20)
  ok(messages('now') >= 20)
})

test('whoever was away asks one peer for all of it', () => {
  const w = world('abc', 'mesh')
  for (const other of ['a', 'b']) w.cut(other, 'c')
  for (let i = 0; i < 300; i += 1) {
    w.write(i % 3 === 0 ? 'b' : 'a')
    w.settle()
  }
  const before = w.entriesSent
  w.cuts.clear()
  w.relink('c')
  w.run(1_000)
  ok((w.group('c').exchange.held.get('a') ?? 0) >= 200)
  deepEqual(held(w, 'c'), held(w, 'a'))
  // The last may be pushed while they are asked for (LEVEL_ENTRIES_MAX).
  ok(w.entriesSent - before <= 300 + 64, `${w.entriesSent - before} entries for 300`)
})

test('levels: copies, final, a frontier of elsewhere, and a read that consults others', () => {
  const w = world('abc', 'mesh')
  w.write('a', 'now')
  const three = w.wait('a', { kind: 'copies', sequence: 1, copies: 3 })
  w.settle()
  ok(!w.group('a').asked.has(three))
  const time = w.made.get('a:1')?.time ?? 0
  const final = w.wait('a', { kind: 'stable', time })
  ok(w.group('a').asked.has(final))
  w.run(100)
  ok(!w.group('a').asked.has(final))

  w.cut('a', 'c')
  w.write('a')
  w.store('a')
  const session = w.wait('c', { kind: 'applied', frontier: new Map([['a', 2]]) })
  const read = w.wait('c', { kind: 'read', consulted: 2 })
  ok(w.group('c').asked.has(session))
  w.run(300)
  ok(!w.group('c').asked.has(session) && !w.group('c').asked.has(read))
})

test('levels by zone: one of the own, and one of each', () => {
  const zones = new Map([
    ['a', 'east'],
    ['b', 'east'],
    ['c', 'west'],
  ])
  const w = world('abcd', 'mesh', { zones })
  const { asked } = w.group('a')
  const waits = (copies: Reach) => w.wait('a', { kind: 'copies', sequence: 1, copies })
  for (const other of 'cd') w.cut('a', other)
  for (const other of 'cd') w.cut('b', other)
  w.cut('c', 'd')
  w.write('a', 'now')
  const [local, each] = [waits('local-quorum'), waits('each-quorum')]
  w.settle()
  ok(!asked.has(local) && asked.has(each))
  // Those without a zone are one.
  w.cuts.delete('a-c')
  w.relink('a')
  w.run(300)
  ok(asked.has(each))
  w.cuts.delete('c-d')
  w.relink('d')
  w.run(2_000)
  ok(!asked.has(each))

  const reads = (name: string, consulted: Reach) => w.wait(name, { kind: 'read', consulted })
  const [near, far] = [reads('b', 'local-quorum'), reads('b', 'each-quorum')]
  w.run(300)
  ok(!w.group('b').asked.has(near) && w.group('b').asked.has(far))
})

test('a level is judged by the members in force, also for who waits already', () => {
  const w = world('abc', 'mesh', { zones: new Map([...'abc'].map((name) => [name, 'east'])) })
  for (const other of 'bc') w.cut('a', other)
  w.write('a')
  w.store('a')
  const wait = w.wait('a', { kind: 'copies', sequence: 1, copies: 'local-quorum' })
  w.move('b', 'west')
  w.catchUpMembers('a')
  ok(w.group('a').asked.has(wait))
  w.change('c', { kind: 'frozen' })
  w.catchUpMembers('a')
  ok(!w.group('a').asked.has(wait))
})

test('a copy counts when all know of the member that has it', () => {
  const w = world('abc', 'mesh')
  for (const other of 'ab') w.cut('c', other)
  for (const name of 'de') {
    w.change(name, { kind: 'writes', since: w.members.epoch + 1 })
    w.add(name, 0)
  }
  for (const name of 'abde') {
    for (const other of 'abde') if (name < other) w.link(name, other)
    w.catchUpMembers(name)
  }
  for (const name of 'de') w.relink(name)
  w.cut('a', 'b')
  w.write('a', 'now')
  const wait = w.wait('a', { kind: 'copies', sequence: 1, copies: 'quorum' })
  w.run(1_000)
  equal(held(w, 'e')['a'], w.group('a').exchange.held.get('a'))
  // b and c are most of those that c knows of, and have nothing of it.
  ok(w.group('a').asked.has(wait))
  w.cuts.delete('a-b')
  w.relink('a')
  w.run(500)
  ok(w.group('a').asked.has(wait))
  w.cuts.clear()
  w.catchUpMembers('c')
  w.relink('c')
  w.run(1_000)
  ok(!w.group('a').asked.has(wait))
})

test('a clock far ahead: kept, handed on, not applied before its time, and an alarm', () => {
  const w = world('abc', 'chain', { skewMs: { a: 5_000 } })
  w.write('a')
  w.run(100)
  const { exchange } = w.group('c')
  equal(exchange.held.get('a'), 1)
  equal(exchange.applied.get('a'), undefined)
  deepEqual(w.group('c').alarms, ['ahead a'])
  // What knows nothing of it is not held up.
  w.write('b')
  w.run(100)
  equal(exchange.applied.get('b'), 1)
  w.run(5_000)
  // Its answer to the entry of b came meanwhile.
  equal(exchange.applied.get('a'), 2)
  deepEqual(w.group('c').alarms, ['ahead a', 'no ahead a'])
})

test('a silent origin holds stability back, is named, and no more once it is removed', () => {
  const w = world('abc', 'mesh')
  w.write('c')
  w.run(1_000)
  w.crash('c')
  w.relink('c')
  const entry = w.write('a')
  w.run(4_000)
  ok(w.group('a').exchange.stable < (entry?.time ?? 0))
  deepEqual(w.group('a').alarms, ['silent c'])
  const change = (standing: Parameters<TestWorld['change']>[1]) => {
    w.change('c', standing)
    for (const name of 'ab') w.catchUpMembers(name)
    w.run(1_000)
  }
  change({ kind: 'frozen' })
  change({ kind: 'removed', last: w.group('a').exchange.held.get('c') ?? 0 })
  ok(w.group('a').exchange.stable >= (entry?.time ?? Number.POSITIVE_INFINITY))
  deepEqual(w.group('a').alarms, ['silent c', 'no silent c'])
})

test('what a removed origin had not shipped is refused, and can be made anew', () => {
  const w = world('abc', 'mesh')
  w.write('c')
  w.run(500)
  for (const other of ['a', 'b']) w.cut(other, 'c')
  w.write('c')
  w.settle()
  const last = w.group('a').exchange.held.get('c') ?? 0
  w.change('c', { kind: 'frozen' })
  w.change('c', { kind: 'removed', last })
  for (const name of 'ab') w.catchUpMembers(name)
  w.cuts.clear()
  w.relink('c')
  w.run(500)
  equal(w.group('a').exchange.held.get('c'), last)
  w.catchUpMembers('c')
  const unshipped = w.group('c').exchange.unshipped
  deepEqual(unshipped, { origin: 'c', first: last + 1, last: w.group('c').disk.held.get('c') })
  ok(!w.group('c').exchange.mayWrite)
})

test('what a member lacks stays in the log until it is removed, also while it is frozen', () => {
  const w = world('abc', 'mesh')
  w.run(500)
  for (const other of ['a', 'b']) w.cut(other, 'c')
  const entry = w.write('a')
  w.settle()
  const mayForget = () => holds(w.group('a').exchange.heldByAll, 'a', entry?.sequence ?? 0)
  const change = (standing: Parameters<TestWorld['change']>[1]) => {
    w.change('c', standing)
    for (const name of 'ab') w.catchUpMembers(name)
    w.run(1_000)
  }
  ok(entry !== null && !mayForget())
  change({ kind: 'frozen' })
  ok(!mayForget())
  change({ kind: 'removed', last: 0 })
  ok(mayForget())
})

test('a new member writes once every writer is known to know of it', () => {
  const w = world('ab', 'mesh')
  w.write('a')
  w.run(1_000)
  w.change('n', { kind: 'writes', since: 1 })
  w.add('n', -400)
  for (const other of 'ab') w.edges.add(`${other}-n`)
  w.relink('n')
  w.catchUpMembers('a')
  w.run(1_000)
  ok(!w.group('n').exchange.mayWrite)
  w.catchUpMembers('b')
  w.run(1_000)
  ok(w.group('n').exchange.mayWrite)
  const entry = w.write('n')
  w.run(1_000)
  ok(w.group('a').exchange.stable >= (entry?.time ?? Number.POSITIVE_INFINITY))
})

test('a member that never came, on its way out, keeps nobody who joined from writing', () => {
  const w = world('ab', 'mesh')
  for (const [at, name] of [...'nm'].entries()) w.change(name, { kind: 'writes', since: at + 1 })
  w.add('n', 0)
  for (const other of 'ab') w.edges.add(`${other}-n`)
  w.relink('n')
  for (const name of 'abn') w.catchUpMembers(name)
  w.run(1_000)
  ok(w.group('n').exchange.mayWrite)
  w.change('m', { kind: 'frozen' })
  w.catchUpMembers('n')
  ok(w.group('n').exchange.mayWrite)
})

/** A new member, cut off, has written; a follower has heard of what the others do, not of it. */
function joinBehindTheBack(broken: Partial<Rules>): TestWorld {
  const w = world('ab', 'mesh', { broken })
  for (const name of ['x', 'n']) {
    if (name === 'n') w.change('n', { kind: 'writes', since: 1 })
    w.add(name, 0)
    for (const other of 'ab') w.link(name, other)
    w.relink(name)
  }
  for (const name of 'ab') w.catchUpMembers(name)
  w.run(1_000)
  for (const other of 'ab') w.cut(other, 'n')
  w.write('n')
  w.store('n')
  for (const name of 'ab') w.write(name)
  w.run(1_000)
  return w
}

test('whoever has not heard of a new member takes nothing of those who have', () => {
  const w = joinBehindTheBack({})
  const entry = w.made.get('n:1')
  ok(entry !== undefined && w.group('x').exchange.stable < entry.time)
  w.cuts.clear()
  w.relink('n')
  w.catchUpMembers('x')
  w.run(1_000)
  ok(w.group('x').exchange.stable >= entry.time)
  throws(() => joinBehindTheBack({ mayTake: () => true }), /W8/)
})

/** What group c is linked to when its file has been put back to before what a and b, but not d, forgot. */
function putBack(linked: string): TestWorld {
  const w = world('abcd', 'mesh')
  w.write('c')
  w.run(500)
  const old = w.save('c')
  // Nobody answers them, so c forgets nothing of its own.
  for (let i = 0; i < 50; i += 1) w.write('a', 'none')
  w.run(2_000)
  equal(w.group('c').exchange.held.get('a'), w.group('a').disk.held.get('a'))
  for (const name of 'ab') w.compact(name)
  w.crash('c')
  w.putBack('c', old)
  for (const other of 'abd') if (!linked.includes(other)) w.cut(other, 'c')
  w.restart('c')
  w.run(200)
  return w
}

test('a file that lacks what is in no log any more: an alarm, and nothing is made or taken', () => {
  const w = putBack('ab')
  const { exchange, alarms } = w.group('c')
  ok(!exchange.mayWrite)
  equal(exchange.tooFarBehind, 'a')
  w.write('b')
  w.run(1_500)
  deepEqual(alarms, [])
  w.run(1_000)
  deepEqual(w.group('c').alarms, ['tooFarBehind a'])
  equal(exchange.held.get('b'), w.save('c').held.get('b'))
  ok((exchange.held.get('b') ?? 0) < (w.group('b').exchange.held.get('b') ?? 0))
  // Out of reach of all it is no better.
  for (const other of 'ab') w.cut(other, 'c')
  w.run(1_000)
  ok(!exchange.mayWrite)
})

test('a file that lacks what is in somebody else’s log gets it from there', () => {
  const w = putBack('ab')
  w.run(3_000)
  w.cuts.clear()
  w.relink('c')
  w.run(2_000)
  const { exchange, alarms } = w.group('c')
  equal(exchange.tooFarBehind, null)
  deepEqual(alarms, ['tooFarBehind a', 'no tooFarBehind a'])
  equal(exchange.held.get('a'), w.group('a').disk.held.get('a'))
  ok(exchange.mayWrite)
})

test('an old copy of a file is found out, and may not write', () => {
  const w = world('ab', 'mesh')
  w.write('a')
  w.settle()
  const old = { ...w.group('a').disk, log: [], held: new Map(), applied: new Map() }
  w.crash('a')
  Object.assign(w.group('a').disk, { ...old, latest: new Map(), wanted: new Map() })
  w.restart('a')
  w.run(50)
  ok(!w.group('a').exchange.mayWrite)
  deepEqual(w.group('a').alarms, ['forked a'])
})

test('what nobody gives is an alarm', () => {
  const w = world('abc', 'chain')
  w.write('a', 'soon')
  w.store('a')
  const first = w.packets.splice(0)
  ok(first.length > 0)
  w.cut('a', 'b')
  const entry = w.made.get('a:1')
  ok(entry)
  const later = { ...entry, sequence: 2, time: entry.time + 1 }
  const message = { kind: 'entries', request: null, held: new Map(), entries: [later] } as const
  w.step('b', { kind: 'message', from: 'c', message })
  w.run(3_000)
  deepEqual(w.group('b').alarms, ['gap a'])
  w.cuts.clear()
  w.relink('a')
  w.run(1_000)
  ok(w.group('b').alarms.includes('no gap a'))
})
