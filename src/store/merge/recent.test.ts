import { deepEqual, equal } from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { compareStamps } from '../../core/order/clock/stamp.ts'
import type { Transaction } from './merge-tables.ts'
import { RecentTransactions } from './recent.ts'

const NAMES = ['a', 'b', 'c']

const step = fc.oneof(
  { weight: 4, arbitrary: fc.record({ add: fc.nat(2), later: fc.nat(3), log: fc.nat(1) }) },
  { weight: 1, arbitrary: fc.record({ through: fc.nat(40) }) },
  { weight: 1, arbitrary: fc.record({ most: fc.nat(3_000) }) },
)

/** Bodies of two entries; all that is tried with one of them shares it. */
const BODIES = [1, 2].map((factor) => new Uint8Array(256).map((_, i) => i * factor))
const SEEN = BODIES.map((_, i) => new Map([['z', i]]))

function shown(some: readonly Transaction[]): readonly string[] {
  return some.map((one) =>
    JSON.stringify({ ...one, seen: [...one.seen], changes: [...one.changes] }),
  )
}

test('it finds and gives back what a sorted list would', () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), fc.nat(40), fc.nat(40), (steps, low, high) => {
      const recent = new RecentTransactions()
      let model: Transaction[] = []
      let at = 1
      for (const each of steps) {
        if ('add' in each) {
          const origin = NAMES[each.add] ?? ''
          const last = model.findLast(({ stamp }) => stamp.origin === origin)
          const time = (last?.stamp.time ?? 0) + each.later
          at += each.log
          const body = BODIES[at % 2] ?? new Uint8Array()
          const seen = SEEN[at % 2] ?? new Map()
          const changes = body.subarray(each.add * 50 + each.later, each.add * 50 + 40)
          const transaction = { stamp: { time, origin }, sequence: at, seen, changes, at }
          const isLater = last === undefined || time > last.stamp.time
          equal(recent.mayAdd(transaction), isLater)
          if (!isLater) continue
          recent.add(transaction, each.add > 0)
          model.push(transaction)
        } else if ('through' in each) {
          const gone = model.filter(({ stamp }) => stamp.time <= each.through)
          const { last, deleting } = recent.passThrough(each.through)
          deepEqual(last, new Map(gone.map(({ stamp, sequence }) => [stamp.origin, sequence])))
          const mayDelete = gone.filter(({ stamp }) => stamp.origin !== NAMES[0])
          deepEqual(new Set(shown(deleting)), new Set(shown(mayDelete)))
          model = model.filter(({ stamp }) => stamp.time > each.through)
        } else {
          const taken = recent.takeAbove(each.most)
          const gone = model.slice(0, taken.length)
          deepEqual(new Set(shown(taken)), new Set(shown(gone)))
          model = model.slice(taken.length)
          equal(recent.bytes <= each.most, true)
        }
        equal(recent.first, model[0]?.at ?? null)
        equal(recent.isEmpty, model.length === 0)
        const sorted = model.toSorted((a, b) => compareStamps(a.stamp, b.stamp))
        const [after, before] = [
          { time: low, origin: 'b' },
          { time: high, origin: 'b' },
        ]
        const between = sorted.filter(({ stamp }) => {
          return compareStamps(stamp, after) > 0 && compareStamps(stamp, before) < 0
        })
        deepEqual(shown([...recent.between(after, before, false)]), shown(between))
        deepEqual(shown([...recent.between(after, before, true)]), shown(between.toReversed()))
        const isThere = sorted.some(({ stamp }) => compareStamps(stamp, after) === 0)
        equal(recent.get(after) !== null, isThere)
        equal(
          recent.hasFrom(after),
          sorted.some(({ stamp }) => compareStamps(stamp, after) >= 0),
        )
      }
    }),
  )
})
