import { deepEqual, throws } from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { AssertionError } from '../base/assert.ts'
import { compactPrograms, expandPrograms } from './compact-programs.ts'
import type { Program, Statement, Value } from './program.ts'

const value: fc.Arbitrary<Value> = fc.oneof(
  fc.constantFrom<Value[]>(null, -0, 0, Number.NaN, Number.POSITIVE_INFINITY, 0n, ''),
  fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
  fc.double(),
  fc.string({ unit: 'grapheme' }),
  fc.uint8Array({ maxLength: 20 }),
)
const name = fc.oneof(fc.string(), fc.constantFrom('__proto__', '1', 'toString', ':a'))
const statement: fc.Arbitrary<Statement> = fc.record(
  {
    sql: fc.constantFrom('INSERT …', 'UPDATE …', '', 'a', '__proto__'),
    args: fc.array(value, { maxLength: 4 }),
    named: fc.dictionary(name, value, { maxKeys: 3, noNullPrototype: true }),
    wantRows: fc.boolean(),
  },
  { requiredKeys: ['sql'], noNullPrototype: true },
)
const step = fc.record(
  { statement, condition: fc.constant({ kind: 'autocommit' } as const) },
  { requiredKeys: ['statement'], noNullPrototype: true },
)
const program: fc.Arbitrary<Program> = fc.record(
  {
    atomic: fc.boolean(),
    steps: fc.oneof(
      fc.array(statement, { maxLength: 3 }).map((all) => all.map((each) => ({ statement: each }))),
      fc.array(step, { maxLength: 3 }),
    ),
    id: fc.record(
      { session: fc.constantFrom('s', 'a', ''), number: fc.nat(), since: fc.nat() },
      { noNullPrototype: true },
    ),
    resultBytesMax: fc.nat(),
    describe: fc.constant(true as const),
  },
  { requiredKeys: ['atomic', 'steps'], noNullPrototype: true },
)

test('programs of all kinds arrive in another thread as they were, in order', () => {
  fc.assert(
    fc.property(fc.array(program, { maxLength: 6 }), (programs) => {
      deepEqual(expandPrograms(structuredClone(compactPrograms(programs))), programs)
    }),
    { seed: 42, numRuns: 1000 },
  )
})

const small = (...args: Value[]): Program => ({
  atomic: true,
  steps: [{ statement: { sql: 'INSERT …', args } }],
})

test('small programs travel as values, and a text once', () => {
  const items = compactPrograms([small(7n, 'a'), small(8n, 'b')])
  deepEqual(items, [1, 1, 'INSERT …', 1, 2, 7n, 'a', 1, 1, 0, 1, 2, 8n, 'b'])
})

test('a program with a condition travels as it is', () => {
  const condition = { kind: 'autocommit' } as const
  const odd: Program = { atomic: false, steps: [{ statement: { sql: 'x' }, condition }] }
  deepEqual(compactPrograms([odd]), [0, odd])
})

test('a list that was cut short is noticed', () => {
  const whole = compactPrograms([small(7n, 'a')])
  for (let length = 1; length < whole.length; length += 1) {
    throws(() => expandPrograms(whole.slice(0, length)), AssertionError, `cut at ${length}`)
  }
})
