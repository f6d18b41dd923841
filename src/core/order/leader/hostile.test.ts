/** Messages that no sound peer sends: they get no answer or a refusal, and stop nothing. */
import { equal } from 'node:assert/strict'
import { test } from 'node:test'
import { toLogIndex, toNodeId, toTerm } from '../../../base/brand.ts'
import { prngFromSeed } from '../../../base/prng.ts'
import type { Entry } from '../../../model/entry.ts'
import { ENTRY_KINDS } from '../../../model/entry.ts'
import type { RaftMessage } from '../../../model/message.ts'
import { TestCluster } from './test-cluster.ts'

function settled(): TestCluster {
  const cluster = new TestCluster({ voters: ['a', 'b', 'c'] })
  while (cluster.leader === null) {
    cluster.tick('a')
    cluster.settle()
  }
  cluster.beginWrite('a')
  cluster.settle()
  // The followers learn at the next tick that it is committed.
  cluster.tick('a')
  cluster.settle()
  return cluster
}

const entry = (term: number, index: number, kind: Entry['kind'] = 'data'): Entry => {
  const body = new Uint8Array([1, 2, 3])
  return { term: toTerm(term), index: toLogIndex(index), kind, at: 0, body, checksum: 0 }
}

test('a leader that wants a committed entry replaced is refused, and it can be seen', () => {
  const cluster = settled()
  const { order } = cluster.node('b')
  const prev = { term: toTerm(1), index: toLogIndex(1) }
  const message = { kind: 'append', term: toTerm(9), prev, entries: [entry(9, 2)] } as const
  const effects = order.step({
    kind: 'message',
    from: toNodeId('c'),
    message: { ...message, commit: toLogIndex(2), round: 1 },
  })
  equal(effects.truncate, null)
  const [reply] = effects.send.map(({ message: sent }) => sent)
  equal(reply?.kind === 'appendReply' ? reply.result : null, 'busy')
  equal(order.conflict?.index, 1)
  equal(order.last.index, 2)
})

test('random messages stop no node', () => {
  for (let seed = 0; seed < 300; seed += 1) {
    const prng = prngFromSeed(seed)
    const cluster = settled()
    const number = (): number => prng.intInclusive(0, 6)
    const id = () => ({ term: toTerm(number()), index: toLogIndex(number()) })
    for (let i = 0; i < 30; i += 1) {
      const { order } = cluster.node(prng.pick(['a', 'b', 'c']))
      const term = toTerm(number())
      const index = toLogIndex(number())
      const entries = Array.from({ length: prng.intInclusive(0, 3) }, (_, k) =>
        entry(number(), prng.percent(80) ? index + 1 + k : number(), prng.pick(ENTRY_KINDS)),
      )
      const prev = prng.percent(80) ? { ...id(), index } : id()
      const message: RaftMessage = prng.pick<RaftMessage>([
        { kind: 'preVote', term, last: id() },
        { kind: 'preVoteReply', term, granted: prng.percent(50) },
        { kind: 'vote', term, last: id(), transfer: prng.percent(50) },
        { kind: 'voteReply', term, granted: prng.percent(50) },
        { kind: 'append', term, prev, entries, commit: toLogIndex(number()), round: number() },
        { kind: 'appendReply', term, round: number(), result: 'mismatch', match: index },
        { kind: 'appendReply', term, round: number(), result: 'busy', match: index },
        { kind: 'appendReply', term, round: number(), result: 'ok', match: index },
        { kind: 'timeoutNow', term },
        { kind: 'readIndex', term, id: number() },
        { kind: 'readIndexReply', term, id: number(), index },
      ])
      const from = toNodeId(prng.pick(['a', 'b', 'c', 'stranger']))
      order.step({ kind: 'message', from, message })
      order.step({ kind: 'tick' })
    }
  }
})
