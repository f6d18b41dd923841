import { deepEqual, equal } from 'node:assert/strict'
import { test } from 'node:test'
import type { StoreOrder } from '../../core/order/clock/exchange/types.ts'
import { Intake, type LocalWrites } from './intake.ts'
import {
  BEHIND_MS,
  BEHIND_SHARE,
  FORGET_MS,
  MERGE_BYTES,
  MERGE_BYTES_MAX,
  MERGE_MS,
  TURN_MS,
} from './settings.ts'

function order(sequence: number, bytes = 10): StoreOrder {
  const head = { origin: 'b', sequence, time: sequence, dependencies: new Map(), epoch: 1 }
  const body = new Uint8Array(0)
  return { kind: 'take', entry: { ...head, answer: 'none', bytes, body }, apply: true }
}

function writes(
  now: number,
  queued: number,
  activeAt: number,
  more: Partial<LocalWrites> = {},
): LocalWrites {
  return { now, wallMs: now, queued, activeAt, isAwaited: () => false, ...more }
}

function nobody(now: number): LocalWrites {
  return writes(now, 0, Number.NEGATIVE_INFINITY)
}

test('at once while nobody writes here, and one entry at a time', () => {
  const intake = new Intake()
  equal(intake.take(nobody(0)), null)
  intake.add([order(1), order(2)])
  equal(intake.take(nobody(0))?.length, 2)
  intake.add([order(3)])
  equal(intake.take(nobody(1)), null)
  equal(intake.atRest, false)
  intake.done(0)
  equal(intake.take(nobody(1))?.length, 1)
  intake.done(0)
  equal(intake.atRest, true)
})

test('gathered while there are local writes, also between two batches', () => {
  const intake = new Intake()
  intake.add([order(1)])
  equal(intake.take(writes(100, 1, 100))?.length, 1)
  intake.done(100)
  intake.add([order(2)])
  equal(intake.take(writes(99 + MERGE_MS, 0, 100 + MERGE_MS - TURN_MS)), null)
  intake.add([order(3, MERGE_BYTES)])
  equal(intake.take(writes(99 + MERGE_MS, 1, 101))?.length, 2)
  intake.add([order(4)])
  intake.done(160)
  equal(intake.take(writes(159 + TURN_MS, 0, 160)), null)
  equal(intake.take(writes(160 + TURN_MS, 0, 160))?.length, 1)
})

test('a local batch that waits has its turn first, if it takes it', () => {
  const intake = new Intake()
  intake.add([order(1)])
  equal(intake.take(writes(100, 1, 100))?.length, 1)
  intake.add([order(2, MERGE_BYTES)])
  intake.done(110)
  equal(intake.take(writes(111, 1, 100)), null)
  equal(intake.take(writes(120, 1, 111))?.length, 1)
  intake.add([order(3, MERGE_BYTES)])
  intake.done(130)
  equal(intake.take(writes(129 + TURN_MS, 1, 111)), null)
  equal(intake.take(writes(130 + TURN_MS, 1, 111))?.length, 1)
})

test('local writes have as much time as the last merge took, less if the group is behind', () => {
  const intake = new Intake()
  intake.add([order(1)])
  equal(intake.take(writes(100, 1, 100))?.length, 1)
  intake.add([order(2, MERGE_BYTES)])
  intake.done(300)
  equal(intake.take(writes(499, 1, 498)), null)
  equal(intake.take(writes(500, 1, 498))?.length, 1)
  intake.add([order(3, MERGE_BYTES)])
  intake.done(700)
  const behind = { wallMs: BEHIND_MS + 1 }
  const turnMs = 200 / BEHIND_SHARE
  equal(intake.take(writes(699 + turnMs, 1, 701, behind)), null)
  equal(intake.take(writes(700 + turnMs, 1, 701)), null)
  equal(intake.take(writes(700 + turnMs, 1, 701, behind))?.length, 1)
})

test('what somebody waits for is not kept waiting', () => {
  const intake = new Intake()
  intake.add([order(1)])
  equal(intake.take(writes(100, 1, 100))?.length, 1)
  intake.done(100)
  const urgent = order(2)
  if (urgent.kind === 'take') {
    intake.add([{ ...urgent, entry: { ...urgent.entry, answer: 'now' } }])
  }
  equal(intake.take(writes(101, 1, 101))?.length, 1)
})

test('an entry has its limit, and takes one order of any size', () => {
  const intake = new Intake()
  intake.add([order(1, 2 * MERGE_BYTES_MAX), order(2), order(3, MERGE_BYTES_MAX)])
  const sizes = [0, 1, 2].map((now) => {
    const count = intake.take(nobody(now))?.length
    intake.done(0)
    return count
  })
  deepEqual(sizes, [1, 1, 1])
})

test('what is final is forgotten, not too often and once', () => {
  const intake = new Intake()
  intake.stable(100)
  deepEqual(intake.take(nobody(0)), [{ kind: 'forget', stable: 100, conflictsUntil: 0 }])
  intake.done(0)
  equal(intake.take(nobody(FORGET_MS)), null)
  intake.stable(200)
  equal(intake.take(nobody(FORGET_MS - 1)), null)
  intake.add([order(1)])
  equal(intake.take(nobody(FORGET_MS - 1))?.length, 1)
  intake.done(0)
  equal(intake.take(nobody(FORGET_MS))?.length, 1)
})

test('where much is taken back the next entry gathers, unless somebody waits for it', () => {
  const intake = new Intake()
  intake.add([order(1)])
  equal(intake.take(nobody(1_000))?.length, 1)
  intake.merged({ transactions: 10, takenBack: 11 })
  intake.done(1_100)
  intake.add([order(2)])
  equal(intake.take(nobody(1_199)), null)
  equal(intake.take(nobody(1_200))?.length, 1)
  intake.merged({ transactions: 10, takenBack: 10 })
  intake.done(1_300)
  intake.add([order(3)])
  equal(intake.take(nobody(1_301))?.length, 1)
})

test('who waits for what others wrote, or until a write is final, does not wait for more to be gathered', () => {
  const intake = new Intake()
  intake.add([order(1)])
  equal(intake.take(writes(100, 1, 100))?.length, 1)
  intake.done(101)
  intake.add([order(2)])
  equal(intake.take(writes(103, 0, 102)), null)
  equal(intake.take(writes(103, 0, 102, { isAwaited: () => true }))?.length, 1)
})
