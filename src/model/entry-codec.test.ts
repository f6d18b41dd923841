import assert from 'node:assert/strict'
import test from 'node:test'
import fc from 'fast-check'
import { toLogIndex, toNodeId, toTerm } from '../base/brand.ts'
import { QuorateError } from '../base/errors.ts'
import type { Batch } from './entry.ts'
import {
  checkEntry,
  decodeBatch,
  decodeMembers,
  decodeTransactions,
  decodeWriteIds,
  encodeBatch,
  encodeMembers,
  sealEntry,
} from './entry-codec.ts'

/** Plain objects, as the codec makes them. */
const record = <T>(model: { [K in keyof T]: fc.Arbitrary<T[K]> }) =>
  fc.record(model, { noNullPrototype: true })

const int64 = fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n })
const bytes = fc.uint8Array({ maxLength: 40 })
const value = fc.oneof(
  fc.constant(null),
  int64,
  fc.double({ noNaN: true }),
  fc.string({ unit: 'grapheme' }),
  bytes,
)
const count = fc.nat()
const statementResult = fc.nat({ max: 3 }).chain((width) =>
  record({
    columns: fc.array(record({ name: fc.string(), decltype: fc.option(fc.string()) }), {
      minLength: width,
      maxLength: width,
    }),
    rows: fc.array(fc.array(value, { minLength: width, maxLength: width }), {
      maxLength: width === 0 ? 0 : 3,
    }),
    changes: count,
    lastInsertRowid: fc.option(int64),
  }),
)
const step = fc.oneof(
  fc.constant(null),
  record({ ok: statementResult }),
  record({
    error: record({ code: fc.constant('SQL_ERROR' as const), detail: fc.string() }),
  }),
)
const id = record({ session: fc.string(), number: fc.maxSafeNat(), since: fc.maxSafeNat() })
const result = record({ steps: fc.array(step, { maxLength: 3 }), autocommit: fc.boolean() })
const handedOn = record({ keeper: fc.string(), since: fc.maxSafeNat() })
const write = fc.oneof(record({ id, result }), record({ id, handedOn }))
const operation = fc.oneof(
  record({ kind: fc.constantFrom('changeset' as const, 'rows' as const), bytes }),
  record({ kind: fc.constant('ddl' as const), sql: fc.string() }),
  record({
    kind: fc.constant('sequence' as const),
    rows: fc.array(
      record({ table: fc.string(), before: fc.option(int64), after: fc.option(int64) }),
      { maxLength: 3 },
    ),
  }),
  record({
    kind: fc.constant('pragma' as const),
    name: fc.constantFrom('user_version' as const, 'application_id' as const),
    before: fc.integer(),
    after: fc.integer(),
  }),
)
const batch: fc.Arbitrary<Batch> = record({
  transactions: count,
  writes: fc.array(write, { maxLength: 4 }),
  operations: fc.array(operation, { maxLength: 4 }),
})

/** Made by the release before writes were handed on. */
const BEFORE = '010101017302038f80800001010101010500000000000000000001020178'

test('property: a batch comes back as it was', () => {
  fc.assert(
    fc.property(batch, (given) => {
      const body = encodeBatch(given)
      assert.deepEqual(decodeBatch(body), given)
      assert.deepEqual(
        decodeWriteIds(body),
        given.writes.map(({ id }) => id),
      )
      assert.equal(decodeTransactions(body), given.transactions)
    }),
    { seed: 11, numRuns: 300 },
  )
})

test('property: a damaged batch is LOG_CORRUPT or another batch, never anything else', () => {
  fc.assert(
    fc.property(batch, fc.nat(), fc.nat({ max: 255 }), fc.boolean(), (given, at, byte, cut) => {
      const body = encodeBatch(given)
      if (cut) {
        assert.throws(() => decodeBatch(body.subarray(0, at % body.length)), isCorrupt)
        return
      }
      body[at % body.length] = byte
      try {
        decodeBatch(body)
      } catch (error) {
        assert.ok(isCorrupt(error), String(error))
      }
    }),
    { seed: 12, numRuns: 500 },
  )
})

test('bodies of before have the same bytes: logs stay readable', () => {
  const steps = [{ ok: { columns: [], rows: [], changes: 1, lastInsertRowid: 5n } }]
  const given: Batch = {
    transactions: 1,
    writes: [{ id: { session: 's', number: 2, since: 3 }, result: { steps, autocommit: true } }],
    operations: [{ kind: 'ddl', sql: 'x' }],
  }
  assert.equal(Buffer.from(encodeBatch(given)).toString('hex'), BEFORE)
  assert.deepEqual(decodeBatch(Buffer.from(BEFORE, 'hex')), given)
})

test('a batch larger than the scratch buffer', () => {
  const large = new Uint8Array(9 * 1024 * 1024).fill(7)
  const given: Batch = {
    transactions: 1,
    writes: [],
    operations: [
      { kind: 'changeset', bytes: large },
      { kind: 'ddl', sql: 'x' },
    ],
  }
  assert.deepEqual(decodeBatch(encodeBatch(given)), given)
})

test('members come back; anything else is LOG_CORRUPT', () => {
  const members = {
    cluster: 'c1',
    members: [
      {
        id: toNodeId('a:00000001'),
        name: 'a',
        url: 'http://127.0.0.1:1',
        role: 'voter' as const,
        wants: 'voter' as const,
        priority: 1,
      },
    ],
  }
  assert.deepEqual(decodeMembers(encodeMembers(members)), members)
  for (const body of ['', '{}', '{"cluster":"c","members":[{}]}', '[]']) {
    assert.throws(() => decodeMembers(new TextEncoder().encode(body)), isCorrupt)
  }
})

test('the checksum covers every field', () => {
  const entry = sealEntry({
    index: toLogIndex(7),
    term: toTerm(2),
    kind: 'data',
    at: 1_700_000_000_000,
    body: new Uint8Array([1, 2, 3]),
  })
  checkEntry(entry)
  const changed = [
    { ...entry, index: toLogIndex(8) },
    { ...entry, term: toTerm(3) },
    { ...entry, kind: 'schema' as const },
    { ...entry, at: entry.at + 1 },
    { ...entry, body: new Uint8Array([1, 2, 4]) },
  ]
  for (const one of changed) assert.throws(() => checkEntry(one), isCorrupt)
})

function isCorrupt(error: unknown): boolean {
  return error instanceof QuorateError && error.code === 'LOG_CORRUPT'
}
