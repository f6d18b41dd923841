/** The clock order's arithmetic, against twins that take the definitions at their word. */
import { deepEqual, equal, ok } from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import {
  compareFrontiers,
  covers,
  extend,
  type Frontier,
  join,
  meet,
  missing,
  NOTHING,
} from './frontier.ts'
import { type Key, KeySet } from './key-set.ts'
import { type Placeable, place } from './placement.ts'
import { holdingBack, type Mark, stableTime } from './stability.ts'
import { admit, compareStamps, isClockTime, nextTime, type Stamp } from './stamp.ts'

const origins = fc.constantFrom('a', 'b', 'c', 'd', 'e')
const frontiers: fc.Arbitrary<Frontier> = fc
  .dictionary(origins, fc.integer({ min: 1, max: 9 }))
  .map((record) => new Map(Object.entries(record)))
const stamps: fc.Arbitrary<Stamp> = fc.record({
  time: fc.integer({ min: 0, max: 20 }),
  origin: origins,
})

test('stamps are totally ordered', () => {
  fc.assert(
    fc.property(stamps, stamps, stamps, (a, b, c) => {
      equal(Math.sign(compareStamps(a, b)), -Math.sign(compareStamps(b, a)) + 0)
      equal(compareStamps(a, b) === 0, a.time === b.time && a.origin === b.origin)
      if (compareStamps(a, b) <= 0 && compareStamps(b, c) <= 0) ok(compareStamps(a, c) <= 0)
    }),
  )
})

test('a stamp is later than all that was seen, whatever the wall clock does', () => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: -5_000, max: 5_000 })), (jumps) => {
      let wall = 1_800_000_000_000
      let last = 0
      for (const jump of jumps) {
        wall += jump
        const time = nextTime(last, wall)
        ok(time > last && isClockTime(time))
        ok(time >= wall * 1_000)
        last = time
      }
    }),
  )
  ok(!isClockTime(Number.MAX_SAFE_INTEGER))
})

test('a stamp from the future waits for its time', () => {
  deepEqual(admit(1_500_000, 1_000, 500), { kind: 'now' })
  deepEqual(admit(1_500_001, 1_000, 500), { kind: 'wait', aheadMs: 501 })
})

test('frontiers: join and meet are the least above and the greatest below', () => {
  fc.assert(
    fc.property(frontiers, frontiers, frontiers, (a, b, c) => {
      const [up, down] = [join(a, b), meet(a, b)]
      ok(covers(up, a) && covers(up, b) && covers(a, down) && covers(b, down))
      if (covers(c, a) && covers(c, b)) ok(covers(c, up))
      if (covers(a, c) && covers(b, c)) ok(covers(down, c))
      const order = { equal: 'equal', before: 'after', after: 'before', concurrent: 'concurrent' }
      equal(compareFrontiers(b, a), order[compareFrontiers(a, b)])
    }),
  )
})

test('frontiers: what is missing, taken in order, makes up the difference', () => {
  fc.assert(
    fc.property(frontiers, frontiers, (here, there) => {
      let held = here
      for (const { origin, first, last } of missing(here, there)) {
        for (let sequence = first; sequence <= last; sequence += 1) {
          held = extend(held, origin, sequence)
        }
      }
      equal(compareFrontiers(held, join(here, there)), 'equal')
    }),
  )
  deepEqual(missing(NOTHING, new Map([['a', 2]])), [{ origin: 'a', first: 1, last: 2 }])
})

test('nothing is stable until every origin has promised, and its entries are here', () => {
  const marks = new Map<string, Mark>([
    ['a', { sequence: 3, time: 70 }],
    ['b', { sequence: 1, time: 50 }],
  ])
  const held = new Map([
    ['a', 3],
    ['b', 1],
  ])
  equal(stableTime(['a', 'b'], marks, held), 50)
  deepEqual(holdingBack(['a', 'b'], marks, held), ['b'])
  equal(stableTime(['a', 'b', 'c'], marks, held), 0)
  deepEqual(holdingBack(['a', 'b', 'c'], marks, held), ['c'])
  equal(stableTime(['a', 'b'], marks, new Map([...held, ['a', 2]])), 0)
})

// A transaction of the twin: reads the keys it needs and writes what it read into those it writes,
// so that any wrong order shows in the state.
interface Tx extends Placeable {
  readonly name: string
  readonly footprint: { readonly written: Key[]; readonly needed: Key[] }
}
type State = ReadonlyMap<Key, string>

function run(state: State, { name, footprint }: Tx): State {
  const read = [...footprint.needed, ...footprint.written].map((key) => state.get(key) ?? '-')
  const next = new Map(state)
  for (const key of footprint.written) next.set(key, `${name}(${read.join(',')})`)
  return next
}

function runAll(txs: readonly Tx[]): State {
  return txs.toSorted((a, b) => compareStamps(a.stamp, b.stamp)).reduce(run, new Map<Key, string>())
}

const keys = fc.uniqueArray(fc.constantFrom(0, 1, 2, 3, 2 ** 32, 2 ** 40 + 1, 2 ** 53 - 1), {
  maxLength: 3,
})
const histories = fc
  .uniqueArray(
    fc.record({ stamp: stamps, footprint: fc.record({ written: keys, needed: keys }) }),
    { maxLength: 14, selector: ({ stamp }) => `${stamp.time} ${stamp.origin}` },
  )
  .map((list) => list.map((each, i): Tx => ({ ...each, name: `t${i}` })))

test('undoing what placement names, and running what it names, is running all in order', () => {
  fc.assert(
    fc.property(histories, fc.nat(), (history, cut) => {
      const arrived = history.slice(0, history.length === 0 ? 0 : cut % history.length)
      const late = history.filter((tx) => !arrived.includes(tx))
      const tail = arrived.toSorted((a, b) => compareStamps(a.stamp, b.stamp))
      const { undo, run: again } = place(late, tail)
      // Taking back is exact here: the state without them is that of all others in their order.
      const kept = tail.filter((tx) => !undo.includes(tx))
      deepEqual(again.reduce(run, runAll(kept)), runAll(history))
      deepEqual(
        undo.map(({ stamp }) => stamp),
        undo.map(({ stamp }) => stamp).toSorted((a, b) => compareStamps(b, a)),
      )
    }),
    { numRuns: 3_000 },
  )
})

test('what has nothing in common with a late transaction stays', () => {
  const tx = (name: string, time: number, ...written: Key[]): Tx => ({
    ...{ name, stamp: { time, origin: 'a' } },
    footprint: { written, needed: [] },
  })
  const tail = [tx('b', 2, 7), tx('c', 3, 8), tx('d', 4, 7, 9), tx('e', 5, 9)]
  const { undo, run: again } = place([tx('a', 1, 7)], tail)
  deepEqual(
    [undo, again].map((list) => list.map(({ name }) => name).join('')),
    ['edb', 'abde'],
  )
})

test('a set of keys holds what was put in, however they collide', () => {
  const keys = fc.oneof(
    fc.maxSafeNat(),
    fc.nat(50),
    fc.nat(50).map((n) => n * 2 ** 32),
  )
  fc.assert(
    fc.property(fc.array(keys, { maxLength: 300 }), fc.array(keys), (inside, asked) => {
      const [set, twin] = [new KeySet(), new Set(inside)]
      set.addAll(inside)
      for (const key of [...inside, ...asked]) equal(set.has(key), twin.has(key))
      equal(
        set.hasAny(asked),
        asked.some((key) => twin.has(key)),
      )
    }),
  )
})
