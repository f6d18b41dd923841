/** How a group learns that it was removed where no entry that it may take says so. */
import { deepEqual, equal } from 'node:assert/strict'
import { test } from 'node:test'
import { present } from '../../base/assert.ts'
import { decodeOwn } from '../../model/entry-codec.ts'
import type { AdminCommand } from '../../model/request.ts'
import { listLostFiles, readLostFile } from '../../store/apply/lost-file.ts'
import { codeOf, GroupWorld } from './test-world.ts'

function admin(world: GroupWorld, name: string, command: AdminCommand, timeoutMs = 10_000): string {
  return codeOf(world.ask(name, { kind: 'admin', command, timeoutMs }))
}

function takeOver(world: GroupWorld, group: string): string {
  const command = { kind: 'moveKeeper', group, force: true, alone: false } as const
  return admin(world, `${group}1`, command)
}

function originsOf(world: GroupWorld, name: string) {
  return present(world.driver(name).origins, () => `origins of ${name}`)
}

function standingAt(world: GroupWorld, name: string, group: string) {
  const { cluster } = originsOf(world, name).state
  return cluster.origins.find((each) => each.name === group)?.standing
}

/** Numbers of the entries of its own that a node has in files. */
function keptAt(world: GroupWorld, name: string): readonly number[] {
  const files = listLostFiles(world.node(name).path)
  const numbers = files.flatMap((file) =>
    readLostFile(file).entries.map(({ body }) => decodeOwn(body)?.sequence ?? 0),
  )
  return [...new Set(numbers)].sort((a, b) => a - b)
}

const INSERT = "insert into kv values (1, 'one', 1)"

test('a group that was let in while another took over from the keeper is told so', (t) => {
  const world = new GroupWorld(t, { groups: { a: 1, b: 1, c: 1 } })
  world.ready()
  for (const other of ['b', 'c']) world.cut('a', other)
  world.join('d', 'a1')
  for (const other of ['b', 'c']) world.cut('d', other)
  world.run(3_000)
  equal(takeOver(world, 'b'), 'admin')
  equal(originsOf(world, 'd1').isRemoved, false)
  for (const other of ['b', 'c']) world.cut('d', other, false)
  world.until('news', () => originsOf(world, 'd1').isRemoved)
  equal(codeOf(world.write('d1', INSERT, 'majority', 500)), 'GROUP_REMOVED')
  // Under another version of the cluster it could have become one of it.
  equal(standingAt(world, 'b1', 'd'), undefined)
  world.must('b1', INSERT, 'all')
})

test('a removed group learns of it although the logs that said so are cut', (t) => {
  const driver = { retainEntries: 20, retainBytes: 20_000 }
  const world = new GroupWorld(t, { groups: { a: 1, b: 1, c: 1 }, driver })
  world.ready()
  world.must('c1', "insert into kv values (0, 'x', 0)", 'all')
  for (const other of ['a', 'b']) world.cut('c', other)
  world.run(200)
  world.must('c1', INSERT)
  const own = originsOf(world, 'c1').applied.get('c') ?? 0
  equal(admin(world, 'a1', { kind: 'removeGroup', group: 'c' }), 'admin')
  const text = 'x'.repeat(2_000)
  for (const [i, name] of ['a1', 'b1'].entries()) {
    for (let n = 0; n < 60; n += 1) {
      world.must(name, `insert into kv values (${100 * (i + 1) + n}, '${text}', 0)`)
    }
  }
  world.until('short logs', () => {
    return ['a1', 'b1'].every((name) => world.driver(name).order.base.index > 60)
  })
  for (const other of ['a', 'b']) world.cut('c', other, false)
  world.until('news', () => standingAt(world, 'c1', 'c')?.kind === 'removed')
  deepEqual(keptAt(world, 'c1'), [own])
})

test('a keeper that was removing another group learns that it was taken over from', (t) => {
  const world = new GroupWorld(t, { groups: { a: 1, b: 1, c: 1, d: 1 } })
  world.ready()
  for (const other of ['b', 'c', 'd']) world.cut('a', other)
  const command = { kind: 'removeGroup', group: 'b' } as const
  equal(admin(world, 'a1', command, 500), 'UNKNOWN_OUTCOME')
  equal(standingAt(world, 'a1', 'b')?.kind, 'frozen')
  // What c says from now on depends on what a takes no more.
  world.must('b1', INSERT, 3)
  world.run(3_000)
  equal(takeOver(world, 'c'), 'admin')
  for (const other of ['c', 'd']) world.cut('a', other, false)
  world.until('news', () => standingAt(world, 'a1', 'a')?.kind === 'removed')
  equal(originsOf(world, 'a1').state.cluster.keeper, 'c')
})

test('a group that had begun to take over learns that it was removed, and falls silent', (t) => {
  const world = new GroupWorld(t, { groups: { a: 1, b: 1, c: 1 } })
  world.ready()
  world.must('c1', "insert into kv values (0, 'x', 0)", 'all')
  for (const other of ['a', 'b']) world.cut('c', other)
  world.run(3_000)
  // It can't come to its end without b.
  const taking = { kind: 'moveKeeper', group: 'c', force: true, alone: true } as const
  equal(admin(world, 'c1', taking), 'UNKNOWN_OUTCOME')
  equal(standingAt(world, 'c1', 'a')?.kind, 'frozen')
  equal(admin(world, 'a1', { kind: 'removeGroup', group: 'c' }), 'admin')
  for (const other of ['a', 'b']) world.cut('c', other, false)
  // By a version that is older than its own.
  world.until('news', () => standingAt(world, 'c1', 'c')?.kind === 'removed')
  world.run(3_000)
  const { index } = world.driver('c1').order.last
  world.run(10_000)
  equal(world.driver('c1').order.last.index, index)
})

test('a removed group learns that less of it counts by now, and keeps the rest', (t) => {
  const world = new GroupWorld(t, { groups: { a: 1, b: 1 } })
  world.ready()
  world.must('b1', INSERT, 'all')
  const own = originsOf(world, 'b1').applied.get('b') ?? 0
  equal(admin(world, 'a1', { kind: 'removeGroup', group: 'b' }), 'admin')
  world.until('news', () => standingAt(world, 'b1', 'b')?.kind === 'removed')
  deepEqual(keptAt(world, 'b1'), [])
  // As it is agreed on again when those who had more of it are removed, too (withFrozen).
  const { cluster } = originsOf(world, 'a1').state
  const standing = { kind: 'removed', last: own - 1 } as const
  const origins = cluster.origins.map((each) =>
    each.origin === 'b' ? { ...each, standing } : each,
  )
  const next = { ...cluster, epoch: cluster.epoch + 1, origins }
  const { exchanging } = present(originsOf(world, 'a1').leading, () => 'leader')
  exchanging.originate([{ kind: 'cluster', cluster: next }], 'now', () => {})
  world.until('news', () => originsOf(world, 'b1').state.cluster.epoch === next.epoch)
  equal(keptAt(world, 'b1').includes(own), true)
})

test('a group that both sides of a cut removed hears of the later version from either', (t) => {
  const world = new GroupWorld(t, { groups: { a: 1, b: 1, c: 1 } })
  world.ready()
  world.must('c1', "insert into kv values (0, 'x', 0)", 'all')
  world.cut('b', 'c')
  world.cut('a', 'b')
  world.run(200)
  // Only a gets it.
  world.must('c1', INSERT, 2)
  const own = originsOf(world, 'c1').applied.get('c') ?? 0
  world.cut('a', 'c')
  world.run(3_000)
  const begin = (at: string, command: AdminCommand) =>
    world.begin(at, { kind: 'admin', command, timeoutMs: 10_000 })
  const taking = { kind: 'moveKeeper', group: 'b', force: true, alone: true } as const
  const answers = [
    begin('a1', { kind: 'removeGroup', group: 'b' }),
    begin('a1', { kind: 'removeGroup', group: 'c' }),
    begin('b1', taking),
  ]
  world.until('the take-over', () => originsOf(world, 'b1').state.cluster.keeper === 'b')
  answers.push(begin('b1', { kind: 'removeGroup', group: 'c' }))
  world.until('answers', () => answers.every(({ reply }) => reply?.kind === 'admin'))
  world.cut('a', 'c', false)
  const isOut = (group: string): boolean => standingAt(world, 'c1', group)?.kind === 'removed'
  world.until('news of a', () => isOut('b') && isOut('c'))
  deepEqual(keptAt(world, 'c1'), [])
  world.cut('a', 'c')
  // By what it knows b is none of the cluster, but neither is c, and what b says is later.
  world.cut('b', 'c', false)
  world.until('news of b', () => isOut('a'))
  deepEqual(keptAt(world, 'c1'), [own])
})

test('a group that joins anew is meant by its name, also while the one before is frozen again', (t) => {
  const world = new GroupWorld(t, { groups: { a: 1, b: 1, c: 1 } })
  world.ready()
  world.must('c1', "insert into kv values (0, 'x', 0)", 'all')
  world.run(1_000)
  for (const other of ['b', 'c']) world.cut('a', other)
  world.run(200)
  world.must('c1', INSERT, 2)
  world.cut('a', 'b', false)
  const removal = { kind: 'removeGroup', group: 'c' } as const
  world.begin('a1', { kind: 'admin', command: removal, timeoutMs: 10_000 })
  world.until('removal', () => standingAt(world, 'a1', 'c')?.kind === 'removed')
  world.crash('b1')
  const join = { kind: 'joinGroup', group: 'c', node: 'c9' } as const
  equal(admin(world, 'a1', join), 'admin')
  // Only b has the last write of the first c.
  const other = { kind: 'removeGroup', group: 'b' } as const
  world.begin('a1', { kind: 'admin', command: other, timeoutMs: 10_000 })
  world.until('freezing', () => standingAt(world, 'a1', 'c')?.kind === 'frozen')
  equal(admin(world, 'a1', join), 'admin')
  equal(admin(world, 'a1', removal), 'admin')
})
