import { deepEqual, equal, ok } from 'node:assert/strict'
import { test } from 'node:test'
import { parseEvent } from '../event-stream.ts'
import { eventText } from './cluster.ts'
import { Latencies } from './latencies.ts'
import { audit, type ClientRecord, type ReplicaContent, worst } from './ledger.ts'

function record(name: string, acknowledged: number[], unknown: number[] = []): ClientRecord {
  const claims = new Set<number>()
  return { name, acknowledged: new Set(acknowledged), unknown: new Set(unknown), claims }
}

function contentOf(
  visits: ReplicaContent['visits'],
  counters: ReplicaContent['counters'],
): ReplicaContent {
  return { visits, counters, claims: new Set(), lostClaims: new Set() }
}

const visits = (client: string, ...numbers: number[]) =>
  numbers.map((number) => ({ client, number }))

test('a replica with every acknowledged write once passes, unknown ones there or not', () => {
  const records = [record('x', [1, 2, 4], [3, 5]), record('y', [])]
  const content = contentOf(visits('x', 1, 2, 3, 4), new Map([['x', 4]]))
  deepEqual(audit(records, content), {
    lost: 0,
    repeated: 0,
    refusedButThere: 0,
    countersWrong: 0,
  })
})

test('the audit sees each way in which a promise can be broken', () => {
  const records = [record('x', [1, 2, 3])]
  const all = new Map([['x', 3]])
  equal(audit(records, contentOf(visits('x', 1, 3), all)).lost, 1)
  equal(audit(records, contentOf(visits('x', 1, 2, 2, 3), all)).repeated, 1)
  equal(audit(records, contentOf(visits('x', 1, 2, 3, 4), all)).refusedButThere, 1)
  const counted = new Map([['x', 4]])
  equal(audit(records, contentOf(visits('x', 1, 2, 3), counted)).countersWrong, 1)
  equal(audit(records, contentOf([], new Map())).lost, 3)
})

test('an acknowledged claim must be in the data or in the conflict table', () => {
  const records = [{ ...record('x', []), claims: new Set([1, 2, 3]) }]
  const none = contentOf([], new Map())
  const content = { ...none, claims: new Set(['x 1']), lostClaims: new Set(['x 2', 'y 3']) }
  equal(audit(records, content).lost, 1)
  equal(audit(records, { ...content, lostClaims: new Set(['x 2', 'x 3']) }).lost, 0)
})

test('the worst of several replicas counts', () => {
  const good = { lost: 0, repeated: 0, refusedButThere: 0, countersWrong: 0 }
  deepEqual(worst([good, { ...good, lost: 2 }, { ...good, repeated: 1 }]), {
    ...good,
    lost: 2,
    repeated: 1,
  })
})

test('latencies keep their quantiles within two per cent', () => {
  const latencies = new Latencies()
  equal(latencies.quantile(0.5), 0)
  for (let ms = 1; ms <= 1000; ms += 1) latencies.add(ms)
  for (const part of [0.01, 0.5, 0.99, 1]) {
    const got = latencies.quantile(part)
    ok(Math.abs(got / (part * 1000) - 1) < 0.02, `${part}: ${got}`)
  }
})

test('events are read off the stream, whatever else is in it', () => {
  deepEqual(
    parseEvent('event: leader.elected\ndata: {"name":"leader.elected","facts":{"term":4}}'),
    {
      name: 'leader.elected',
      level: 'info',
      facts: { term: 4 },
    },
  )
  equal(parseEvent(':'), null)
  equal(parseEvent('data: nonsense'), null)
  equal(parseEvent('data: {"other":1}'), null)
})

test('an event reads like a sentence', () => {
  const facts = { term: 4, name: 'b', leader: null }
  equal(eventText({ name: 'leader.elected', level: 'info', facts }), 'leader elected: term 4')
  const snapshot = { to: 'c:fa9738e7', bytes: 16_699_392, release: '0.1.0', reason: '' }
  equal(
    eventText({ name: 'snapshot.offered', level: 'info', facts: snapshot }),
    'snapshot offered: to c, bytes 16 MiB',
  )
  equal(eventText({ name: 'tail.takenBack', level: 'warn', facts: {} }), 'tail taken back')
})
