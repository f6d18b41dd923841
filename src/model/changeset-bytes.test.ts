import assert from 'node:assert/strict'
import { DatabaseSync } from 'node:sqlite'
import test from 'node:test'
import fc from 'fast-check'
import { QuorateError } from '../base/errors.ts'
import { invertChangeset, readChangeset } from './changeset.ts'
import {
  changedRow,
  changesKey,
  concatenate,
  deletesFirst,
  identical,
  sectionsOf,
  wholeRow,
  withoutKeyUpdates,
} from './changeset-bytes.ts'

const SCHEMA = `create table a (id integer primary key, v, w);
  create table b (k text, l text, v, primary key (k, l)) without rowid;
  insert into a values (1, 'x', null), (2, x'00ff', 1.5), (3, 9007199254740993, -0.0);
  insert into b values ('p', 'q', 1), ('r', 's', 2);`
const CHANGES = `insert into a values (9, '${'long '.repeat(60)}', 7); update a set v = 'new' where id = 2;
  delete from a where id = 3; insert into b values ('t', 'u', null); delete from b where k = 'p';
  update b set v = 5 where k = 'r'`

/** A changeset, and what it leads to. */
function captured(): { bytes: Uint8Array; rows: unknown } {
  const db = new DatabaseSync(':memory:')
  db.exec(SCHEMA)
  const session = db.createSession()
  db.exec(CHANGES)
  return { bytes: session.changeset(), rows: rowsOf(db) }
}

function rowsOf(db: DatabaseSync): unknown {
  const read = (sql: string) => db.prepare(sql, { returnArrays: true, readBigInts: true }).all()
  return [read('select * from a order by id'), read('select * from b order by k')]
}

function applied(bytes: Uint8Array): unknown {
  const db = new DatabaseSync(':memory:')
  db.exec(SCHEMA)
  assert.equal(db.applyChangeset(bytes), true)
  return rowsOf(db)
}

test('taken apart and put together it is the same changeset', () => {
  const { bytes, rows } = captured()
  const sections = sectionsOf(bytes)
  assert.deepEqual(sections.map(({ table, records }) => [table, records.length]).sort(), [
    ['a', 3],
    ['b', 3],
  ])
  const whole = sections.flatMap(({ header, records }) => [header, ...records])
  assert.deepEqual(concatenate(whole), new Uint8Array(bytes))
  assert.deepEqual(applied(concatenate(sections.toReversed().map((one) => one.bytes))), rows)
})

test('DELETEs first, INSERTs last, nothing else changes', () => {
  const { bytes, rows } = captured()
  for (const one of [bytes, invertChangeset(invertChangeset(bytes))]) {
    const ordered = deletesFirst(one)
    for (const { records } of sectionsOf(ordered)) {
      assert.deepEqual(
        records.map(([kind]) => kind),
        [9, 23, 18],
      )
    }
    assert.deepEqual(applied(ordered), rows)
  }
})

test('records made here are those that SQLite makes', () => {
  const { bytes } = captured()
  for (const { header, records, bytes: section } of sectionsOf(bytes)) {
    for (const [i, change] of [...readChangeset(section)].entries()) {
      const { op, before, after, keyColumns } = change
      if (op === 'update') continue
      const row = (op === 'insert' ? after : before) as (string | null)[]
      assert.deepEqual(wholeRow(op, row), new Uint8Array(records[i] ?? []))
      assert.equal(changesKey(header, records[i] ?? new Uint8Array()), false)
      assert.ok(keyColumns.length > 0)
    }
  }
  const db = new DatabaseSync(':memory:')
  db.exec(SCHEMA)
  const session = db.createSession()
  db.exec("update a set v = 'new' where id = 2")
  const [section] = sectionsOf(session.changeset())
  const made = changedRow([2n, new Uint8Array([0, 255]), 1.5], [2n, 'new', 1.5], (i) => i === 0)
  assert.deepEqual(made, new Uint8Array(section?.records[0] ?? []))
})

test('an UPDATE of the key is recognised and can be left out', () => {
  const db = new DatabaseSync(':memory:')
  db.exec(
    "create table n (k text collate nocase primary key, v) without rowid; insert into n values ('a', 1)",
  )
  const session = db.createSession()
  db.exec("update n set k = 'A'")
  const bytes = session.changeset()
  const [section] = sectionsOf(bytes)
  const flags = section?.records.map((record) => changesKey(section.header, record))
  assert.deepEqual(flags?.toSorted(), [false, true])
  assert.deepEqual(
    [...readChangeset(withoutKeyUpdates(bytes))].map(({ op }) => op),
    ['insert'],
  )
})

test('values are identical to the bit', () => {
  assert.equal(identical(1n, 1), false)
  assert.equal(identical(0, -0), false)
  assert.equal(identical('a', 'a'), true)
  assert.equal(identical(new Uint8Array([1]), new Uint8Array([1])), true)
})

test('property: damaged bytes are LOG_CORRUPT or another changeset, and end', () => {
  const { bytes } = captured()
  fc.assert(
    fc.property(fc.nat(), fc.nat({ max: 255 }), fc.boolean(), (at, byte, cut) => {
      const damaged = new Uint8Array(bytes).subarray(0, cut ? at % bytes.length : undefined)
      if (!cut) damaged[at % damaged.length] = byte
      try {
        deletesFirst(damaged)
        withoutKeyUpdates(damaged)
      } catch (error) {
        assert.ok(error instanceof QuorateError && error.code === 'LOG_CORRUPT', String(error))
      }
    }),
    { seed: 3, numRuns: 500 },
  )
})
