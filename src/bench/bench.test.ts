/** The parts of the benchmark that need no cluster; test/system/bench.test.ts runs the whole. */
import { deepEqual, equal, ok, rejects } from 'node:assert/strict'
import { test } from 'node:test'
import { busyLoop, closedLoop, toRate } from './measure.ts'

test('rate and percentiles are those of the sorted times', () => {
  const times = Array.from({ length: 100 }, (_, at) => 100 - at)
  deepEqual(toRate(times, 2), { tps: 50, p50Ms: 51, p99Ms: 100 })
  deepEqual(toRate([], 1), { tps: 0, p50Ms: 0, p99Ms: 0 })
})

test('a closed loop keeps as many under way as there are clients', async () => {
  let underWay = 0
  let most = 0
  const rate = await closedLoop(4, 0.05, async () => {
    underWay += 1
    most = Math.max(most, underWay)
    await new Promise(setImmediate)
    underWay -= 1
  })
  equal(most, 4)
  ok(rate.tps > 0)
})

test('an error of an operation is not counted as speed', async () => {
  await rejects(
    closedLoop(2, 0.05, async () => {
      throw new Error('no')
    }),
    /no/,
  )
})

test('a busy loop counts what ran', async () => {
  let count = 0
  const perSecond = await busyLoop(0.02, () => {
    count += 1
  })
  ok(perSecond > 0 && count >= 200)
})
