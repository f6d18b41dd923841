/** The benchmark with tiny inputs, so that it never rots. */
import { deepEqual, equal, ok } from 'node:assert/strict'
import { test } from 'node:test'
import { runBench } from '../../src/bench/bench.ts'
import { runGroupsBench } from '../../src/bench/groups.ts'
import { Cluster } from '../cluster.ts'

test('a small benchmark of its own three nodes fills every figure', async () => {
  const report = await runBench({ clients: [1, 4], ack: 'majority', nodes: 3, seconds: 0.2 })
  deepEqual(
    report.writes.map(({ mode, clients }) => [mode, clients]),
    [
      ['embedded', 1],
      ['embedded', 4],
      ['network', 1],
      ['network', 4],
    ],
  )
  for (const { tps, p50Ms, p99Ms } of report.writes) ok(tps > 0 && p50Ms > 0 && p99Ms >= p50Ms)
  ok((report.localReads ?? 0) > 0 && report.networkReads > 0)
  deepEqual(Object.keys(report.memory), ['a', 'b', 'c'])
  equal(report.nodes, 3)
})

test('a small benchmark of two leaders fills every figure', async () => {
  const report = await runGroupsBench({ clients: 4, nodes: 1, seconds: 0.5 })
  ok(report.single.tps > 0)
  deepEqual(
    report.leaders.map(({ group }) => group),
    ['a', 'b'],
  )
  equal(report.apart.length, 2)
  for (const { tps, ofSingle, ofReplicated, ofApart } of report.leaders) {
    ok(tps > 0 && ofSingle > 0 && ofReplicated > 0 && ofApart > 0)
  }
  ok(report.heal.entries > 0 && report.heal.ms > 0)
})

test('a benchmark of a running cluster measures the network and leaves no table behind', async () => {
  await using cluster = await Cluster.start({ names: ['a'] })
  const [url = ''] = cluster.urls
  const report = await runBench({ clients: [2], ack: 'majority', nodes: 3, seconds: 0.2, url })
  deepEqual(
    report.writes.map(({ mode }) => mode),
    ['network'],
  )
  equal(report.nodes, 1)
  equal(report.localReads, null)
  const tables = "select name from sqlite_schema where type = 'table' and name like '%bench%'"
  deepEqual(await cluster.client().query(tables, [], { read: 'strong' }), [])
})
