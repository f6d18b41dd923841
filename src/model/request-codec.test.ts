import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { QuorateError } from '../base/errors.ts'
import type { Condition, Program, StepResult, Value } from './program.ts'
import type { AdminCommand, NodeReply, SessionToken, TravellingRequest } from './request.ts'
import { decodeReply, decodeRequest, encodeReply, encodeRequest } from './request-codec.ts'

const RUNS = { seed: 42, numRuns: 300 }

// fast-check's records have no prototype: structuredClone makes them plain for the comparison.

const value: fc.Arbitrary<Value> = fc.oneof(
  fc.constant(null),
  fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
  fc.double(),
  fc.string({ unit: 'grapheme' }),
  fc.uint8Array({ maxLength: 20 }),
)
const values = fc.array(value, { maxLength: 4 })
const named = fc.dictionary(fc.string(), value, { maxKeys: 3, noNullPrototype: true })

const condition: fc.Arbitrary<Condition> = fc.letrec<{ node: Condition }>((tie) => ({
  node: fc.oneof(
    { maxDepth: 4 },
    fc.record({ kind: fc.constantFrom('ok', 'error'), step: fc.constant(0) }),
    fc.constant<Condition>({ kind: 'autocommit' }),
    fc.record({ kind: fc.constant('not'), condition: tie('node') }),
    fc.record({
      kind: fc.constantFrom('and', 'or'),
      conditions: fc.array(tie('node'), { maxLength: 3 }),
    }),
  ) as fc.Arbitrary<Condition>,
})).node

const program: fc.Arbitrary<Program> = fc
  .record({
    atomic: fc.boolean(),
    args: values,
    named,
    later: fc.array(condition, { maxLength: 3 }),
    id: fc.option(fc.record({ session: fc.string(), number: fc.nat(), since: fc.nat() })),
    resultBytesMax: fc.option(fc.nat()),
  })
  .map(({ atomic, args, named, later, id, resultBytesMax }) => ({
    atomic,
    steps: [
      { statement: { sql: 'INSERT …', args } },
      ...later.map((condition) => ({
        statement: { sql: 'SELECT 1', named, wantRows: false },
        condition,
      })),
    ],
    ...(id === null ? {} : { id }),
    ...(resultBytesMax === null ? {} : { resultBytesMax }),
  }))

const ORIGINS_TOKEN: SessionToken = {
  cluster: 'c',
  term: 3,
  index: 9,
  origins: {
    self: 'east-abc123',
    seen: [
      ['east-abc123', 7],
      ['west-abc123', 1],
    ],
  },
}

const request: fc.Arbitrary<TravellingRequest> = program.chain((program) =>
  fc.constantFrom<TravellingRequest>(
    { kind: 'write', program, ack: 'majority', timeoutMs: 1000 },
    { kind: 'write', program, ack: 2, timeoutMs: 0.5 },
    { kind: 'write', program, ack: 'stable', timeoutMs: 0.5 },
    { kind: 'read', program, level: 'quorum', token: null, timeoutMs: 1 },
    { kind: 'read', program, level: 3, token: ORIGINS_TOKEN, timeoutMs: 1 },
    { kind: 'read', program, level: 'strong', token: null, timeoutMs: 1 },
    {
      kind: 'read',
      program,
      level: 'session',
      token: { cluster: 'c', term: 3, index: 9 },
      timeoutMs: 1,
    },
    { kind: 'stream', stream: 's', open: true, program, end: false, ack: 'all', timeoutMs: 1 },
    { kind: 'stream', stream: 's', open: true, program: null, end: true, ack: 1, timeoutMs: 1 },
  ),
)

/** Each kind, or the compiler says which is missing: what is not decoded is refused by peers. */
const COMMANDS: { readonly [K in AdminCommand['kind']]: Extract<AdminCommand, { kind: K }> } = {
  join: { kind: 'join', id: 'd:1', name: 'd', url: 'http://d', role: 'voter', priority: 1 },
  remove: { kind: 'remove', name: 'a' },
  promote: { kind: 'promote', name: 'a' },
  demote: { kind: 'demote', name: 'a' },
  transfer: { kind: 'transfer', name: 'a' },
  verify: { kind: 'verify' },
  verified: { kind: 'verified', index: 4 },
  joinGroup: { kind: 'joinGroup', group: 'west', node: 'd:00000001', zone: 'eu' },
  setZone: { kind: 'setZone', group: 'west', zone: 'eu' },
  removeGroup: { kind: 'removeGroup', group: 'west' },
  setRule: { kind: 'setRule', rule: { table: 't', column: '', rule: 'abort' } },
  closeConflict: { kind: 'closeConflict', time: 5, origin: 'west-abc123', number: 0 },
  cutGroup: { kind: 'cutGroup', group: 'west', cut: true },
  consult: { kind: 'consult', level: 2 },
  moveKeeper: { kind: 'moveKeeper', group: 'west', force: true, alone: false },
  sees: { kind: 'sees', origin: 'west-1' },
  atRest: { kind: 'atRest', epoch: 3 },
  position: { kind: 'position' },
}

const ADMIN: readonly TravellingRequest[] = [
  ...Object.values(COMMANDS),
  { kind: 'transfer', name: null } as const,
  { kind: 'joinGroup', group: 'west', node: 'd:00000001' } as const,
  { kind: 'setZone', group: 'west', zone: null } as const,
].map((command) => ({ kind: 'admin', command, timeoutMs: 5 }))

const stepResult: fc.Arbitrary<StepResult> = fc.oneof(
  fc.constant(null),
  fc.constant<StepResult>({ error: { code: 'SQL_ERROR', detail: 'No.', facts: { sqlite: 'X' } } }),
  fc.record({
    ok: fc.record({
      columns: fc.constant([
        { name: 'a', decltype: null },
        { name: '', decltype: 'TEXT' },
      ]),
      rows: fc.array(values, { maxLength: 3 }),
      changes: fc.nat(),
      lastInsertRowid: fc.option(fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n })),
    }),
  }),
)

const REPLIES: readonly NodeReply[] = [
  { kind: 'writeNeeded' },
  { kind: 'admin', value: { index: 4, nodes: ['a', null] } },
  { kind: 'admin', value: null },
  { kind: 'error', error: { code: 'UNKNOWN_OUTCOME', detail: 'Late.', facts: { position: 7 } } },
]

test('requests come out as they went in', () => {
  const property = fc.property(request, (each) => {
    assert.deepEqual(decodeRequest(encodeRequest(each)), structuredClone(each))
  })
  fc.assert(property, RUNS)
  for (const each of ADMIN)
    assert.deepEqual(decodeRequest(encodeRequest(each)), structuredClone(each))
})

test('replies come out as they went in', () => {
  const property = fc.property(fc.array(stepResult), fc.boolean(), (steps, open) => {
    const token = open ? ORIGINS_TOKEN : { cluster: 'c', term: 1, index: 2 }
    const reply: NodeReply = { kind: 'result', result: { steps, autocommit: !open }, token, open }
    assert.deepEqual(decodeReply(encodeReply(reply)), structuredClone(reply))
  })
  fc.assert(property, RUNS)
  for (const each of REPLIES) assert.deepEqual(decodeReply(encodeReply(each)), each)
})

test('a condition that points at its own or a later step, or nests too deep, is refused', () => {
  const withCondition = (condition: Condition) => {
    const statement = { sql: 'SELECT 1' }
    const program = { atomic: false, steps: [{ statement }, { statement, condition }] }
    return encodeRequest({ kind: 'write', program, ack: 'local', timeoutMs: 1 })
  }
  const refuses = (condition: Condition) => {
    assert.throws(() => decodeRequest(withCondition(condition)), { code: 'BAD_REQUEST' })
  }
  refuses({ kind: 'ok', step: 1 })
  refuses({ kind: 'not', condition: { kind: 'error', step: 2 } })
  let deep: Condition = { kind: 'autocommit' }
  for (let depth = 0; depth < 200; depth += 1) deep = { kind: 'not', condition: deep }
  refuses(deep)
})

/** Decoding must return something or throw BAD_REQUEST, whatever the bytes. */
function survives(decode: () => unknown): boolean {
  try {
    decode()
  } catch (error) {
    assert.ok(error instanceof QuorateError, String(error))
    assert.equal(error.code, 'BAD_REQUEST')
  }
  return true
}

test('malformed bytes are refused with BAD_REQUEST and nothing else', () => {
  const edits = fc.array(fc.tuple(fc.nat(), fc.nat(255)), { minLength: 1, maxLength: 3 })
  const property = fc.property(request, edits, (each, edits) => {
    const bytes = encodeRequest(each)
    for (const [at, byte] of edits) bytes[at % bytes.length] = byte
    return survives(() => decodeRequest(bytes)) && survives(() => decodeReply(bytes))
  })
  fc.assert(property, { seed: 42, numRuns: 2000 })
  const random = fc.property(
    fc.jsonValue(),
    fc.constantFrom(...ADMIN, ...REPLIES),
    (json, base) => {
      const bytes = Buffer.from(
        JSON.stringify({ ...base, command: json, error: json, result: json }),
      )
      return survives(() => decodeRequest(bytes)) && survives(() => decodeReply(bytes))
    },
  )
  fc.assert(random, { seed: 42, numRuns: 500 })
})
