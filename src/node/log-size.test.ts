import { equal } from 'node:assert/strict'
import { test } from 'node:test'
import { toLogIndex, toTerm } from '../base/brand.ts'
import { LogSize } from './log-size.ts'
import { GroupWorld } from './origins/test-world.ts'

const at = toLogIndex
const MIB = 1024 * 1024

function opened(base: number, ...parts: readonly [last: number, bytes: number][]) {
  return {
    log: { base: { index: at(base), term: toTerm(1) } },
    logParts: parts.map(([last, bytes]) => ({ last: at(last), bytes })),
  }
}

test('the size of the log is known to within a sample', () => {
  const size = new LogSize(opened(0))
  for (let index = 1; index <= 1000; index += 1) size.added(at(index), 10_000)
  const after = size.after(at(500))
  equal(after >= 5_000_000 - 600_000 && after <= 5_000_000 + 600_000, true, `${after}`)
})

test('what the file held when it was opened counts', () => {
  const size = new LogSize(opened(10, [20, 5 * MIB], [30, 7 * MIB]))
  size.added(at(31), MIB)
  equal(size.after(at(10)), 13 * MIB)
  equal(size.after(at(19)), 13 * MIB)
  equal(size.after(at(20)), 8 * MIB)
  equal(size.after(at(30)), MIB)
  size.reset(opened(40, [50, 2 * MIB]))
  equal(size.after(at(40)), 2 * MIB)
})

test('what was cut off does not count', () => {
  const size = new LogSize(opened(0, [10, 5 * MIB]))
  for (const index of [11, 12, 13]) size.added(at(index), MIB)
  size.truncated(at(11))
  equal(size.after(at(0)), 6 * MIB)
  size.added(at(12), 3 * MIB)
  equal(size.after(at(10)), 4 * MIB)
  size.truncated(at(5))
  equal(size.after(at(0)), 0)
})

test('a log that is too large is cut after a restart, though nothing is added', (t) => {
  const world = new GroupWorld(t, { groups: { a: 1 }, isSingle: true })
  world.ready()
  for (let id = 0; id < 20; id += 1) {
    world.must('a1', `insert into kv values (${id}, randomblob(100000), 0)`)
  }
  const { base, last } = world.driver('a1').order
  equal(base.index, 1)
  world.crash('a1')
  world.start('a1', { retainBytes: 1_000_000 })
  world.until('the cut', () => world.driver('a1').order.base.index > 1)
  // Half of it goes, and what is left is known to be small enough.
  world.run(2_000)
  equal(world.driver('a1').order.base.index < last.index, true)
  equal(world.driver('a1').order.base.index >= last.index / 2, true)
})
