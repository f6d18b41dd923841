import { deepEqual, ok } from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { clusterToJson, decodeCluster } from './cluster-codec.ts'
import { isOtherSide, isSettled, supersedes, takeoverEpoch } from './cluster-order.ts'
import { type Cluster, type ClusterOrigin, ID_SLOTS } from './origin-entry.ts'

const writes = { kind: 'writes', since: 1 } as const

function clusterOf(
  epoch: number,
  standings: Readonly<Record<string, ClusterOrigin['standing']>>,
  takenFrom?: readonly string[],
): Cluster {
  const origins = Object.entries(standings).map(([origin, standing], slot) => {
    return { origin, name: origin, founder: `${origin}1`, slot, standing }
  })
  const cluster = {
    strategy: 'multi-leader',
    epoch,
    keeper: 'a',
    origins,
    floor: new Map(),
  } as const
  return takenFrom === undefined ? cluster : { ...cluster, takenFrom }
}

test('of two versions everybody takes the same one, in whatever order they come', () => {
  const one = clusterOf(5, { a: writes, b: writes })
  const two = clusterOf(6, { a: writes, b: { kind: 'frozen' } })
  ok(supersedes(two, one, 'a'))
  ok(!supersedes(one, two, 'a'))
  ok(!supersedes(two, two, 'a'))
})

test('whoever was removed takes the word of those who stay', () => {
  const mine = clusterOf(takeoverEpoch(clusterOf(5, { a: writes, b: writes }), 'b'), {
    a: { kind: 'frozen' },
    b: writes,
  })
  const theirs = clusterOf(7, { a: writes, b: { kind: 'removed', last: 3 } })
  ok(supersedes(theirs, mine, 'b'))
  ok(!supersedes(theirs, mine, 'a'))
  ok(!supersedes(clusterOf(6, { a: writes, b: { kind: 'removed', last: 2 } }), theirs, 'b'))
})

test('nobody who stays takes a version of a keeper that was removed here', () => {
  const removed = { kind: 'removed', last: 3 } as const
  const mine = clusterOf(2 ** 33, { a: removed, b: writes, c: writes, d: removed })
  const theirs = clusterOf(7, { a: writes, b: removed, c: removed, d: removed })
  for (const epoch of [7, 2 ** 34]) {
    ok(isOtherSide({ ...theirs, epoch }, mine, 'b'))
    ok(!supersedes({ ...theirs, epoch }, mine, 'b'))
  }
  // Whoever is out here has nothing to lose by it.
  ok(supersedes({ ...theirs, epoch: 2 ** 34 }, mine, 'd'))
  const before = clusterOf(2 ** 32, { a: { kind: 'frozen' }, b: writes, c: writes, d: removed })
  ok(supersedes(theirs, before, 'c'))
})

test('a take-over is above all changes before it, and no rival has its numbers', () => {
  const slot = fc.integer({ min: 0, max: ID_SLOTS - 1 })
  const epoch = fc.integer({ min: 0, max: 2 ** 50 })
  fc.assert(
    fc.property(
      epoch,
      slot,
      slot,
      fc.integer({ min: 0, max: 2 ** 20 - 1 }),
      (at, s, r, changes) => {
        const names = Object.fromEntries(
          Array.from({ length: ID_SLOTS }, (_, i) => [`g${i}`, writes]),
        )
        const cluster = clusterOf(at, { a: writes, ...names })
        const of = (which: number): number => takeoverEpoch(cluster, `g${which}`)
        ok(of(s) > at && Number.isSafeInteger(of(s)))
        if (s < r) ok(of(s) + changes < of(r))
      },
    ),
    { numRuns: 50 },
  )
})

test('after a take-over the one before must be removed, and all of it be here', () => {
  const from = (standing: ClusterOrigin['standing']): Cluster => {
    return clusterOf(9, { a: writes, b: standing }, ['b'])
  }
  ok(isSettled(clusterOf(9, { a: writes, b: { kind: 'frozen' } }), new Map()))
  ok(!isSettled(from({ kind: 'frozen' }), new Map([['b', 9]])))
  ok(!isSettled(from({ kind: 'removed', last: 4 }), new Map([['b', 3]])))
  ok(isSettled(from({ kind: 'removed', last: 4 }), new Map([['b', 4]])))
  const cluster = { ...from({ kind: 'removed', last: 4 }), agreeing: 2 }
  deepEqual(decodeCluster(JSON.parse(clusterToJson(cluster))), cluster)
})
