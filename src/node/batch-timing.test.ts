import { deepEqual, equal } from 'node:assert/strict'
import { test } from 'node:test'
import { BatchTiming, LINGER_MS, ROUND_MS } from './batch-timing.ts'

/** Ends the batch under way with so many others waiting already. */
function committed(timing: BatchTiming, queued: number, now: number): void {
  timing.look({ queued, underWay: null, now })
}

test('a lone caller never waits', () => {
  const timing = new BatchTiming()
  for (let now = 0; now < 10; now += 1) {
    equal(timing.look({ queued: 1, underWay: null, now }), 'start')
    timing.started(1, now)
    committed(timing, 0, now)
  }
})

test('while a batch is under way the next gathers, unless the round is long', () => {
  const timing = new BatchTiming()
  timing.started(10, 0)
  equal(timing.look({ queued: 100, underWay: 'batch', now: ROUND_MS - 1 }), 'wait')
  equal(timing.look({ queued: 1, underWay: 'batch', now: ROUND_MS }), 'start')
})

test('callers that come back end up in one batch with those who waited', () => {
  const timing = new BatchTiming()
  timing.started(32, 0)
  committed(timing, 32, 0)
  const looks = [32, 40, 58].map((queued) => timing.look({ queued, underWay: null, now: 0 }))
  deepEqual(looks, ['wait', 'wait', 'start'])
})

test('after waiting in vain it does not wait again for a while', () => {
  const timing = new BatchTiming()
  let waits = 0
  for (let batch = 0; batch < 64; batch += 1) {
    const now = batch * 10
    timing.started(32, now)
    committed(timing, 0, now)
    if (timing.look({ queued: 5, underWay: null, now }) === 'start') continue
    waits += 1
    equal(timing.look({ queued: 5, underWay: null, now: now + LINGER_MS }), 'start')
  }
  // After 1, 2, 4, 8, 16 and 32 batches that did not.
  equal(waits, 6)
})

test('a stall does not make callers that come back go apart', () => {
  const timing = new BatchTiming()
  const looks: string[] = []
  for (let batch = 0; batch < 6; batch += 1) {
    const now = batch * 10
    timing.started(32, now)
    committed(timing, 0, now)
    looks.push(timing.look({ queued: 1, underWay: null, now }))
    const isStalled = batch === 1
    if (isStalled) equal(timing.look({ queued: 1, underWay: null, now: now + LINGER_MS }), 'start')
    else equal(timing.look({ queued: 32, underWay: null, now }), 'start')
  }
  deepEqual(looks, ['wait', 'wait', 'start', 'wait', 'wait', 'wait'])
})
