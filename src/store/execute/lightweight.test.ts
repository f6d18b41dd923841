import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { MergeOperation } from '../../model/origin-entry.ts'
import { lightweightEntries, lightweightOperations } from './lightweight.ts'

const frame = new Uint8Array(1_000_000).fill(7)
const view = (from: number) => frame.subarray(from, from + 100)

test('a small view on a large buffer is copied, a buffer of its own is not', () => {
  const [light] = lightweightEntries([{ body: view(5) }])
  assert.equal(light?.body.buffer.byteLength, 100)
  assert.deepEqual(light?.body, view(5))
  const whole = [{ body: frame }]
  assert.equal(lightweightEntries(whole), whole)
})

test('entries in operations stay in their order', () => {
  const head = { time: 1, dependencies: new Map(), epoch: 1, answer: 'none' } as const
  const take = (sequence: number): MergeOperation => {
    const entry = { origin: 'o', sequence, ...head, body: view(sequence) }
    return { kind: 'take', entry, apply: true }
  }
  const forget = { kind: 'forget', stable: 1, conflictsUntil: 0 } as const
  const operations = [take(1), forget, take(2), take(3)]
  const light = lightweightOperations(operations)
  assert.deepEqual(light, operations)
  for (const each of light) {
    if (each.kind === 'take') assert.equal(each.entry.body.buffer.byteLength, 100)
  }
})
