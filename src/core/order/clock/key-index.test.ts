/** The index finds exactly what reading the whole tail would. */
import { deepEqual, equal } from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { KeyIndex } from './key-index.ts'
import type { Footprint, Key } from './key-set.ts'
import { type Placeable, place } from './placement.ts'
import { compareStamps, type Stamp } from './stamp.ts'

interface Tx extends Placeable {
  readonly number: number
}

const stamps = fc.record({ time: fc.nat(40), origin: fc.constantFrom('a', 'b', 'c') })
// Few keys, some in the same bucket of a small index.
const keys = fc.array(
  fc.oneof(
    fc.nat(12),
    fc.nat(3).map((n) => n * 2 ** 32),
  ),
  { maxLength: 3 },
)
const transactions = fc
  .uniqueArray(
    fc.record({ stamp: stamps, footprint: fc.record({ written: keys, needed: keys }) }),
    { maxLength: 40, selector: ({ stamp }) => `${stamp.time} ${stamp.origin}` },
  )
  .map((list) => list.map((each, i): Tx => ({ ...each, number: i + 1 })))

function indexOf(list: readonly Tx[]): KeyIndex {
  const index = new KeyIndex()
  for (const { stamp, number, footprint } of list) index.add(stamp, number, footprint)
  return index
}

function loader(list: readonly Tx[]): (stamp: Stamp) => Tx | null {
  return (stamp) => list.find((each) => compareStamps(each.stamp, stamp) === 0) ?? null
}

test('placement by an index is placement by reading all', () => {
  fc.assert(
    fc.property(transactions, fc.nat(), fc.nat(40), (history, cut, final) => {
      const some = history.slice(0, history.length === 0 ? 0 : cut % history.length)
      const late = history.filter((tx) => !some.includes(tx) && tx.stamp.time > final)
      const tail = some.toSorted((a, b) => compareStamps(a.stamp, b.stamp))
      const expected = place(late, tail)
      // Twice in it, and gone through as it is after some were forgotten.
      const whole = indexOf([...some, ...some])
      for (const index of [indexOf(some), whole, whole.after(final)]) {
        deepEqual(place(late, { index, load: loader(some) }), expected)
      }
    }),
    { numRuns: 2_000 },
  )
})

test('what is gone, or not to be met, is not found', () => {
  const tx = (time: number, ...written: Key[]): Tx => ({
    ...{ number: time, stamp: { time, origin: 'a' } },
    footprint: { written, needed: [] },
  })
  const [first, second, third] = [tx(2, 7, 8), tx(3, 8), tx(4, 7)]
  const index = indexOf([first, second, third])
  const { undo } = place([tx(1, 7)], { index, load: loader([second, third]) })
  deepEqual(undo, [third])
})

test('ten thousand transactions with one key, and each with its own', () => {
  const index = new KeyIndex()
  const footprint = (key: Key): Footprint => ({ written: [key], needed: [5] })
  for (let i = 1; i <= 10_000; i += 1) index.add({ time: i, origin: 'a' }, i, footprint(i * 977))
  equal(index.size, 20_000)
  const found: number[] = []
  index.eachLater(5, true, { time: 9_990, origin: 'a' }, (at) => found.push(index.stampOf(at).time))
  deepEqual(
    found.toSorted((a, b) => a - b),
    [9_991, 9_992, 9_993, 9_994, 9_995, 9_996, 9_997, 9_998, 9_999, 10_000],
  )
  index.eachLater(977 * 4, false, { time: 0, origin: 'a' }, (at) => {
    deepEqual(index.stampOf(at), { time: 4, origin: 'a' })
  })
  equal(index.isMostlyBefore(4_999), false)
  equal(index.isMostlyBefore(5_000), true)
  equal(index.after(9_000).size, 2_000)
})

test('whether somebody wrote a key unseen', () => {
  const index = new KeyIndex()
  index.add({ time: 1, origin: 'a' }, 1, { written: [7], needed: [8] })
  index.add({ time: 2, origin: 'b' }, 1, { written: [9], needed: [] })
  const unseen = (key: Key, origin: string, seen: [string, number][]) =>
    index.hasUnseen([key], origin, new Map(seen))
  deepEqual(
    [
      unseen(7, 'b', []),
      unseen(7, 'b', [['a', 1]]),
      unseen(7, 'a', []),
      unseen(8, 'b', []),
      unseen(9, 'c', [['b', 1]]),
      unseen(9, 'c', [['a', 1]]),
      unseen(10, 'c', []),
    ],
    [true, false, false, false, false, true, false],
  )
})
