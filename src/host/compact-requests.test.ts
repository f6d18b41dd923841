import { deepEqual } from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import type { NodeRequest, SessionToken } from '../model/request.ts'
import { compactRequests, eachRequest } from './compact-requests.ts'

const token: SessionToken = { cluster: 'c', term: 3, index: 17 }
const program = { atomic: true, steps: [{ statement: { sql: 'INSERT …', args: [1n, 'a'] } }] }
const write = (ack: number, timeoutMs = 5000): NodeRequest => {
  return { kind: 'write', program, ack, timeoutMs }
}
const read = (seen: SessionToken | null): NodeRequest => {
  return { kind: 'read', program, level: 'session', token: seen, timeoutMs: 5000 }
}

const request: fc.Arbitrary<NodeRequest> = fc.oneof(
  fc.record({ ack: fc.nat(1), timeoutMs: fc.nat(1) }).map((one) => write(one.ack, one.timeoutMs)),
  fc.constantFrom(token, { ...token, index: 18 }, null).map(read),
  fc.constantFrom<NodeRequest[]>(
    { kind: 'closeCursor', cursor: 'x', timeoutMs: 1 },
    { kind: 'admin', command: { kind: 'verify' }, timeoutMs: 5000 },
    { kind: 'fetch', cursor: 'x', program, chunkBytes: 5, timeoutMs: 5 },
  ),
)

test('requests of all kinds arrive as they were, in order', () => {
  fc.assert(
    fc.property(fc.array(request, { maxLength: 10 }), (requests) => {
      const numbered = requests.map((each, i) => [i + 7, each] as const)
      const got: (readonly [number, NodeRequest])[] = []
      const travelled = structuredClone(compactRequests(numbered))
      eachRequest(travelled, (id, each) => got.push([id, each]))
      deepEqual(got, numbered)
    }),
    { seed: 42, numRuns: 500 },
  )
})

test('what requests have in common travels once, also when reads and writes take turns', () => {
  const all = [write(1), read(token), write(1), read(token), write(2), write(2)]
  const { requests } = compactRequests(all.map((each, i) => [i, each] as const))
  const heads = requests.filter((_, at) => at % 2 === 1)
  deepEqual(
    heads.map((head) => (typeof head === 'number' ? head : head.kind)),
    ['write', 'read', 0, 1, 'write', 2],
  )
})
