import { deepEqual, equal } from 'node:assert/strict'
import { test } from 'node:test'
import { BatchTiming, LINGER_MS, ROUND_MS } from './batch-timing.ts'

/** Ends the batch under way with so many others waiting already. */
function committed(timing: BatchTiming, queued: number, now: number): void {
  timing.look({ queued, underWay: false, now })
}

test('a lone caller never waits', () => {
  const timing = new BatchTiming()
  for (let now = 0; now < 10; now += 1) {
    equal(timing.look({ queued: 1, underWay: false, now }), 'start')
    timing.started(1, now)
    committed(timing, 0, now)
  }
})

test('while a batch is under way the next gathers, unless the round is long', () => {
  const timing = new BatchTiming()
  timing.started(10, 0)
  equal(timing.look({ queued: 100, underWay: true, now: ROUND_MS - 1 }), 'wait')
  equal(timing.look({ queued: 1, underWay: true, now: ROUND_MS }), 'start')
})

test('callers that come back end up in one batch with those who waited', () => {
  const timing = new BatchTiming()
  timing.started(32, 0)
  committed(timing, 32, 0)
  const looks = [32, 40, 58].map((queued) => timing.look({ queued, underWay: false, now: 0 }))
  deepEqual(looks, ['wait', 'wait', 'start'])
})

test('after waiting in vain it does not wait again for a while', () => {
  const timing = new BatchTiming()
  let waits = 0
  for (let batch = 0; batch < 64; batch += 1) {
    const now = batch * 10
    timing.started(32, now)
    committed(timing, 0, now)
    if (timing.look({ queued: 5, underWay: false, now }) === 'start') continue
    waits += 1
    equal(timing.look({ queued: 5, underWay: false, now: now + LINGER_MS }), 'start')
  }
  equal(waits, 2)
})
