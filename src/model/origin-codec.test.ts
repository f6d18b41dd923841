import assert from 'node:assert/strict'
import test from 'node:test'
import { crc32 } from 'node:zlib'
import fc from 'fast-check'
import { QuorateError } from '../base/errors.ts'
import { decodeOwn, decodeTransactions, decodeWriteIds, encodeBatch } from './entry-codec.ts'
import {
  decodeMergeOperations,
  decodeOriginOperations,
  encodeMergeOperations,
  encodeOriginOperations,
  firstTimeOf,
} from './origin-codec.ts'
import type { Cluster, MergeOperation, OriginEntry, OriginOperation } from './origin-entry.ts'
import { ANSWER_LEVELS, TRANSACTIONS_MAX } from './origin-entry.ts'

/** Plain objects, as the codec makes them. */
const record = <T>(model: { [K in keyof T]: fc.Arbitrary<T[K]> }) =>
  fc.record(model, { noNullPrototype: true })

const bytes = fc.uint8Array({ maxLength: 40 })
const name = fc.stringMatching(/^[!-~]{1,64}$/)
const sequence = fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER })
const known = fc
  .uniqueArray(fc.tuple(name, sequence), { selector: ([origin]) => origin, maxLength: 4 })
  .map((pairs) => new Map(pairs))
const cluster: fc.Arbitrary<Cluster> = record({
  strategy: fc.constantFrom('multi-leader' as const, 'peer' as const),
  epoch: fc.nat(),
  keeper: name,
  floor: known,
}).chain((rest) =>
  fc
    .uniqueArray(name, { maxLength: 3 })
    .map((others) => [...new Set([rest.keeper, ...others])])
    .map((names) => ({
      ...rest,
      origins: names.map((origin, slot) => ({
        origin,
        name: `group ${slot}`,
        founder: `n${slot}`,
        slot,
        standing: [
          { kind: 'writes' as const, since: slot },
          { kind: 'frozen' as const },
          { kind: 'removed' as const, last: slot },
        ][slot % 3] ?? { kind: 'frozen' as const },
      })),
    })),
)
const rare: fc.Arbitrary<OriginOperation> = fc.oneof(
  record({ kind: fc.constant('ddl' as const), sql: fc.string({ unit: 'grapheme' }) }),
  record({
    kind: fc.constant('pragma' as const),
    name: fc.constantFrom('user_version' as const, 'application_id' as const),
    value: fc.integer(),
  }),
  record({ kind: fc.constantFrom('hold' as const, 'release' as const) }),
  record({ kind: fc.constant('cluster' as const), cluster }),
  record({
    kind: fc.constant('rule' as const),
    rule: record({ table: fc.string(), column: fc.string(), rule: fc.string() }),
  }),
  record({
    kind: fc.constant('nodes' as const),
    nodes: fc.array(record({ id: fc.string(), name: fc.string(), url: fc.string() }), {
      maxLength: 3,
    }),
  }),
  record({
    kind: fc.constant('closed' as const),
    time: fc.maxSafeNat(),
    origin: name,
    number: fc.nat(),
  }),
)
const draft = record({ kind: fc.constant('draft' as const), after: fc.nat(), bytes })
/** Their times rise. */
const operations = fc.array(fc.oneof(draft, rare), { maxLength: 6 }).map((list) => {
  let time = 1_700_000_000_000_000
  return list.map((each): OriginOperation => {
    if (each.kind !== 'draft') return each
    time += 1 + each.after
    return { kind: 'transaction', time, changes: each.bytes }
  })
})
const entry: fc.Arbitrary<OriginEntry> = record({
  origin: name,
  sequence,
  time: fc.maxSafeNat(),
  dependencies: known,
  epoch: fc.nat(),
  answer: fc.constantFrom(...ANSWER_LEVELS),
  body: bytes,
})
const merge: fc.Arbitrary<readonly MergeOperation[]> = fc.array(
  fc.oneof(
    record({ kind: fc.constant('take' as const), entry, apply: fc.boolean() }),
    record({ kind: fc.constant('apply' as const), origin: name, sequence }),
    record({
      kind: fc.constant('forget' as const),
      stable: fc.maxSafeNat(),
      conflictsUntil: fc.maxSafeNat(),
    }),
  ),
  { maxLength: 5 },
)

test('property: operations of an origin come back as they were', () => {
  fc.assert(
    fc.property(operations, (given) => {
      assert.deepEqual(decodeOriginOperations(encodeOriginOperations(given)), given)
    }),
    { seed: 21, numRuns: 300 },
  )
})

test('property: the time at which an entry begins is told from its body, or not known', () => {
  fc.assert(
    fc.property(operations, (given) => {
      const [first] = given
      const time = 2 ** 52
      const begins = firstTimeOf({ time, body: encodeOriginOperations(given) })
      const expected = first?.kind === 'transaction' ? first.time : undefined
      assert.equal(begins, first === undefined ? time : expected)
    }),
    { seed: 23, numRuns: 300 },
  )
  for (const body of [new Uint8Array(), Uint8Array.of(7), Uint8Array.of(1, 1, 1, 0xff)]) {
    assert.equal(firstTimeOf({ time: 5, body }), undefined)
  }
})

test('property: merge operations come back as they were, with bodies that are no copies', () => {
  fc.assert(
    fc.property(merge, (given) => {
      const body = encodeMergeOperations(given)
      const decoded = decodeMergeOperations(body)
      assert.deepEqual(decoded, given)
      for (const each of decoded) {
        if (each.kind === 'take') assert.equal(each.entry.body.buffer, body.buffer)
      }
    }),
    { seed: 22, numRuns: 300 },
  )
})

test("property: what the others get comes back from a batch's bytes alone", () => {
  const batch = record({ transactions: fc.nat(), own: entry })
  const id = { session: 's', number: 3, since: 4 }
  const writes = [{ id, result: { steps: [], autocommit: true } }]
  fc.assert(
    fc.property(batch, (given) => {
      const body = encodeBatch({ ...given, writes, operations: [] })
      assert.deepEqual(decodeOwn(body), given.own)
      assert.deepEqual(decodeWriteIds(body), [id])
      assert.equal(decodeTransactions(body), given.transactions)
    }),
    { seed: 23, numRuns: 200 },
  )
  assert.equal(decodeOwn(encodeBatch({ transactions: 1, writes, operations: [] })), null)
})

test('property: any byte of operations that changed is LOG_CORRUPT', () => {
  fc.assert(
    fc.property(operations, fc.nat(), fc.integer({ min: 1, max: 255 }), (given, at, change) => {
      const body = encodeOriginOperations(given)
      const place = at % body.length
      body[place] = (body[place] ?? 0) ^ change
      assert.throws(() => decodeOriginOperations(body), isCorrupt)
      assert.throws(() => decodeOriginOperations(body.subarray(0, place)), isCorrupt)
    }),
    { seed: 24, numRuns: 300 },
  )
})

test('property: operations with a right checksum and wrong bytes are LOG_CORRUPT or others', () => {
  fc.assert(
    fc.property(operations, fc.nat(), fc.nat(255), fc.boolean(), (given, at, byte, cut) => {
      const inner = encodeOriginOperations(given).subarray(0, -4)
      const place = at % inner.length
      if (!cut) inner[place] = byte
      survives(() => decodeOriginOperations(sealed(cut ? inner.subarray(0, place) : inner)))
    }),
    { seed: 25, numRuns: 1000 },
  )
})

test('property: a damaged merge entry is LOG_CORRUPT or another one', () => {
  fc.assert(
    fc.property(merge, fc.nat(), fc.nat(255), fc.boolean(), (given, at, byte, cut) => {
      const body = encodeMergeOperations(given)
      const place = at % body.length
      if (!cut) body[place] = byte
      survives(() => decodeMergeOperations(cut ? body.subarray(0, place) : body))
    }),
    { seed: 26, numRuns: 1000 },
  )
})

test('hostile operations: counts without bytes, times that do not rise, documents that lie', () => {
  const bodies = [
    new Uint8Array(),
    sealed(Uint8Array.of()),
    // A layout of another release.
    sealed(Uint8Array.of(2, 0)),
    // 2^42 operations.
    sealed(Uint8Array.of(1, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 1)),
    // A transaction at the time of the one before.
    sealed(Uint8Array.of(1, 2, 1, 5, 0, 1, 0, 0)),
    // An operation that there is not.
    sealed(Uint8Array.of(1, 1, 99)),
    // A PRAGMA beyond 32 bits.
    sealed(Uint8Array.of(1, 1, 3, 0, 0xff, 0xff, 0xff, 0xff, 0x7f)),
    // Bytes left over.
    sealed(Uint8Array.of(1, 0, 0)),
    ...['{}', '[]', 'x', '{"strategy":"peer","epoch":1,"keeper":"a","origins":[],"floor":[]}'].map(
      (json) => sealed(Buffer.from([1, 1, 6, json.length, ...Buffer.from(json)])),
    ),
  ]
  for (const body of bodies) assert.throws(() => decodeOriginOperations(body), isCorrupt)
})

test('more transactions than an entry has numbers for are refused', () => {
  const many = Array.from({ length: TRANSACTIONS_MAX + 1 }, (_, i) => {
    return { kind: 'transaction' as const, time: i + 1, changes: new Uint8Array() }
  })
  assert.throws(() => decodeOriginOperations(encodeOriginOperations(many)), isCorrupt)
  const most = many.slice(1)
  assert.deepEqual(decodeOriginOperations(encodeOriginOperations(most)), most)
})

test('hostile merge entries: names that are none, an origin twice', () => {
  const head = { sequence: 1, time: 1, epoch: 1, answer: 'none' as const, body: new Uint8Array() }
  for (const origin of ['', 'a b', 'é', 'x'.repeat(65)]) {
    const entry: OriginEntry = { ...head, origin, dependencies: new Map() }
    const body = encodeMergeOperations([{ kind: 'take', entry, apply: true }])
    assert.throws(() => decodeMergeOperations(body), isCorrupt)
  }
  const twice = {
    size: 2,
    *[Symbol.iterator]() {
      yield* [
        ['a', 1],
        ['a', 2],
      ]
    },
  }
  const entry = { ...head, origin: 'b', dependencies: twice as unknown as Map<string, number> }
  const body = encodeMergeOperations([{ kind: 'take', entry, apply: true }])
  assert.throws(() => decodeMergeOperations(body), isCorrupt)
})

/** With the checksum that a liar would compute. */
function sealed(inner: Uint8Array): Uint8Array {
  const checksum = Buffer.alloc(4)
  checksum.writeUInt32LE(crc32(inner))
  return new Uint8Array(Buffer.concat([inner, checksum]))
}

function survives(decode: () => unknown): void {
  try {
    decode()
  } catch (error) {
    assert.ok(isCorrupt(error), String(error))
  }
}

function isCorrupt(error: unknown): boolean {
  return error instanceof QuorateError && error.code === 'LOG_CORRUPT'
}
