import { deepEqual, equal } from 'node:assert/strict'
import { test } from 'node:test'
import type { StoreOrder } from '../../core/order/clock/exchange/types.ts'
import { Intake, type LocalWrites } from './intake.ts'
import { FORGET_MS, MERGE_BYTES, MERGE_BYTES_MAX, MERGE_MS, TURN_MS_MAX } from './settings.ts'

const NOBODY = writes(0, Number.NEGATIVE_INFINITY)

function order(sequence: number, bytes = 10): StoreOrder {
  const head = { origin: 'b', sequence, time: sequence, dependencies: new Map(), epoch: 1 }
  const body = new Uint8Array(0)
  return { kind: 'take', entry: { ...head, answer: 'none', bytes, body }, apply: true }
}

function writes(queued: number, activeAt: number, awaitFinality = false): LocalWrites {
  return { queued, activeAt, awaitFinality }
}

test('at once while nobody writes here, and one entry at a time', () => {
  const intake = new Intake()
  equal(intake.take(0, NOBODY), null)
  intake.add([order(1), order(2)])
  equal(intake.take(0, NOBODY)?.length, 2)
  intake.add([order(3)])
  equal(intake.take(1, NOBODY), null)
  equal(intake.atRest, false)
  intake.done(0)
  equal(intake.take(1, NOBODY)?.length, 1)
  intake.done(0)
  equal(intake.atRest, true)
})

test('gathered while there are local writes, also between two batches', () => {
  const intake = new Intake()
  intake.add([order(1)])
  equal(intake.take(100, writes(1, 100))?.length, 1)
  intake.done(100)
  intake.add([order(2)])
  equal(intake.take(99 + MERGE_MS, writes(0, 101)), null)
  intake.add([order(3, MERGE_BYTES)])
  equal(intake.take(99 + MERGE_MS, writes(1, 101))?.length, 2)
})

test('a local batch that waits has its turn first, if it takes it', () => {
  const intake = new Intake()
  intake.add([order(1)])
  equal(intake.take(100, writes(1, 100))?.length, 1)
  intake.add([order(2, MERGE_BYTES)])
  intake.done(110)
  equal(intake.take(111, writes(1, 100)), null)
  equal(intake.take(120, writes(1, 111))?.length, 1)
  intake.add([order(3)])
  intake.done(130)
  equal(intake.take(129 + MERGE_MS, writes(1, 111)), null)
  equal(intake.take(130 + MERGE_MS, writes(1, 111))?.length, 1)
})

test('local writes have as much time as the last merge took, within reason', () => {
  const intake = new Intake()
  intake.add([order(1)])
  equal(intake.take(100, writes(1, 100))?.length, 1)
  intake.add([order(2, MERGE_BYTES)])
  intake.done(300)
  equal(intake.take(499, writes(1, 498)), null)
  equal(intake.take(500, writes(1, 498))?.length, 1)
  intake.add([order(3, MERGE_BYTES)])
  intake.done(500 + TURN_MS_MAX * 2)
  equal(intake.take(499 + TURN_MS_MAX * 3, writes(1, 501 + TURN_MS_MAX * 2)), null)
  equal(intake.take(500 + TURN_MS_MAX * 3, writes(1, 501 + TURN_MS_MAX * 2))?.length, 1)
})

test('what somebody waits for is not kept waiting', () => {
  const intake = new Intake()
  intake.add([order(1)])
  equal(intake.take(100, writes(1, 100))?.length, 1)
  intake.done(100)
  const urgent = order(2)
  if (urgent.kind === 'take') {
    intake.add([{ ...urgent, entry: { ...urgent.entry, answer: 'now' } }])
  }
  equal(intake.take(101, writes(1, 101))?.length, 1)
})

test('an entry has its limit, and takes one order of any size', () => {
  const intake = new Intake()
  intake.add([order(1, 2 * MERGE_BYTES_MAX), order(2), order(3, MERGE_BYTES_MAX)])
  const sizes = [0, 1, 2].map((now) => {
    const count = intake.take(now, NOBODY)?.length
    intake.done(0)
    return count
  })
  deepEqual(sizes, [1, 1, 1])
})

test('what is final is forgotten, not too often and once', () => {
  const intake = new Intake()
  intake.stable(100)
  deepEqual(intake.take(0, NOBODY), [{ kind: 'forget', stable: 100, conflictsUntil: 0 }])
  intake.done(0)
  equal(intake.take(FORGET_MS, NOBODY), null)
  intake.stable(200)
  equal(intake.take(FORGET_MS - 1, NOBODY), null)
  intake.add([order(1)])
  equal(intake.take(FORGET_MS - 1, NOBODY)?.length, 1)
  intake.done(0)
  equal(intake.take(FORGET_MS, NOBODY)?.length, 1)
})

test('where much is taken back the next entry gathers, unless somebody waits for it', () => {
  const intake = new Intake()
  const idle = writes(0, 0)
  intake.add([order(1)])
  equal(intake.take(1_000, idle)?.length, 1)
  intake.merged({ transactions: 10, takenBack: 11 })
  intake.done(1_100)
  intake.add([order(2)])
  equal(intake.take(1_199, idle), null)
  equal(intake.take(1_200, idle)?.length, 1)
  intake.merged({ transactions: 10, takenBack: 10 })
  intake.done(1_300)
  intake.add([order(3)])
  equal(intake.take(1_301, idle)?.length, 1)
})

test('a write that waits until it is final does not wait for more to be gathered', () => {
  const intake = new Intake()
  intake.add([order(1)])
  equal(intake.take(100, writes(1, 100))?.length, 1)
  intake.done(101)
  intake.add([order(2)])
  equal(intake.take(103, writes(0, 102)), null)
  equal(intake.take(103, writes(0, 102, true))?.length, 1)
})
