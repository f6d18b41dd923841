import assert from 'node:assert/strict'
import { DatabaseSync } from 'node:sqlite'
import test from 'node:test'
import fc from 'fast-check'
import { invertChangeset, readChangeset, readExactly, withoutTables } from './changeset.ts'
import { concatenate } from './changeset-bytes.ts'
import { type Change, encodeImages, encodeSection } from './changeset-writer.ts'
import { type ExactValue, exactText, identical, RawText } from './exact-value.ts'

const T = { name: 't', key: [1, 0, 0], fixed: [true, false, false] }
const RAW = new RawText(new Uint8Array([0x61, 0xff]))
const LONG = 'ä'.repeat(100)

/** What SQLite records for the same changes. */
function recorded(changes: string): Uint8Array {
  const db = new DatabaseSync(':memory:')
  db.exec(`create table t (id integer primary key, v, w);
    insert into t values (1, 'old', 7), (2, x'00ff', 1.5), (3, 9007199254740993, null)`)
  const session = db.createSession()
  db.exec(changes)
  return session.changeset()
}

test('a section is what SQLite makes for the same change', () => {
  const cases: readonly (readonly [string, Change])[] = [
    [
      `insert into t values (-9, '${LONG}', '${'x'.repeat(127)}')`,
      { before: null, after: [-9n, LONG, 'x'.repeat(127)] },
    ],
    [
      `insert into t values (9, '${'y'.repeat(20_000)}', x'')`,
      { before: null, after: [9n, 'y'.repeat(20_000), new Uint8Array()] },
    ],
    ['delete from t where id = 3', { before: [3n, 9007199254740993n, null], after: null }],
    [
      "update t set v = 'new' where id = 2",
      { before: [2n, new Uint8Array([0, 255]), 1.5], after: [2n, 'new', 1.5] },
    ],
    [
      "insert into t values (9, cast(x'61ff' as text), 0.1)",
      { before: null, after: [9n, RAW, 0.1] },
    ],
  ]
  for (const [sql, change] of cases) {
    assert.deepEqual(encodeSection(T, [change]), new Uint8Array(recorded(sql)), sql.slice(0, 50))
  }
})

test('deletes come first, inserts last, a change in a fixed column is both', () => {
  const table = { ...T, fixed: [true, true, false] }
  const bytes = encodeSection(table, [
    { before: null, after: [1n, 'a', null] },
    { before: [2n, 'a', 1n], after: [2n, 'a', 2n] },
    { before: [3n, 'b', 1n], after: [3n, 'c', 1n] },
    { before: [4n, 'd', 1n], after: [4n, 'd', 1n] },
    { before: [5n, 'e', 1n], after: null },
    { before: null, after: null },
  ])
  const rows = [...readChangeset(bytes)]
  assert.deepEqual(
    rows.map(({ op, before, after }) => [op, before?.[0] ?? after?.[0]]),
    [
      ['delete', 3n],
      ['delete', 5n],
      ['update', 2n],
      ['insert', 1n],
      ['insert', 3n],
    ],
  )
  assert.deepEqual(invertChangeset(invertChangeset(bytes)), bytes)
  assert.equal(encodeSection(table, [{ before: [1n, 2n, 3n], after: [1n, 2n, 3n] }]).length, 0)
})

test('images make room for each key and fill it where there is a row', () => {
  const bytes = encodeImages(T, [
    { key: [1n], row: [1n, 'x', null] },
    { key: [2n], row: null },
  ])
  assert.deepEqual(
    [...readChangeset(bytes)].map(({ op, before, after }) => [op, before ?? after]),
    [
      ['delete', [1n, undefined, undefined]],
      ['delete', [2n, undefined, undefined]],
      ['insert', [1n, 'x', null]],
    ],
  )
})

test('tables can be left out of a changeset', () => {
  const section = (name: string, row: bigint) =>
    encodeSection({ ...T, name }, [{ before: null, after: [row, null, null] }])
  const wide = encodeSection(
    { name: 'w', key: [1, ...new Array<number>(199).fill(0)], fixed: [] },
    [{ before: null, after: [7n, ...new Array<null>(199).fill(null)] }],
  )
  const bytes = concatenate([section('a', 1n), section('A', 2n), wide, section('b', 3n)])
  const left = (...names: string[]) =>
    [...readChangeset(withoutTables(bytes, new Set(names)))].map(({ table }) => table)
  assert.deepEqual(left(), ['a', 'A', 'w', 'b'])
  assert.deepEqual(left('a', 'b'), ['A', 'w'])
  assert.deepEqual(left('A', 'w'), ['a', 'b'])
  assert.deepEqual(left('a', 'A', 'w', 'b'), [])
})

test('values are identical to the bit', () => {
  assert.equal(identical(1n, 1), false)
  assert.equal(identical(0, -0), false)
  assert.equal(identical('a', 'a'), true)
  assert.equal(identical(new Uint8Array([1]), new Uint8Array([1])), true)
  assert.equal(identical(RAW, exactText(RAW.bytes)), true)
  assert.equal(identical(RAW, RAW.bytes), false)
})

test('property: what is written is read again, and inverted twice it is itself', () => {
  const value: fc.Arbitrary<ExactValue> = fc.oneof(
    fc.constant(null),
    fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
    fc.double({ noNaN: true }),
    fc.string({ unit: 'binary', maxLength: 200 }),
    fc.uint8Array({ maxLength: 300 }),
    fc.constant(RAW),
  )
  const row = fc.tuple(fc.constant(1n), value, value)
  fc.assert(
    fc.property(row, row, (before, after) => {
      const bytes = encodeSection(T, [
        { before: null, after },
        { before, after: null },
      ])
      const [gone, come] = [...readExactly(bytes)]
      assert.ok(before.every((one, i) => identical(one, gone?.before?.[i] ?? null)))
      assert.ok(after.every((one, i) => identical(one, come?.after?.[i] ?? null)))
      const changed = encodeSection(T, [{ before, after }])
      assert.deepEqual(invertChangeset(invertChangeset(changed)), changed)
    }),
    { seed: 5, numRuns: 300 },
  )
})
