import assert from 'node:assert/strict'
import { DatabaseSync } from 'node:sqlite'
import test from 'node:test'
import fc from 'fast-check'
import { QuorateError } from '../base/errors.ts'
import { concatenate, joinByTable, sectionsOf } from './changeset-bytes.ts'

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
  assert.deepEqual(sections.map(({ table }) => table).sort(), ['a', 'b'])
  assert.deepEqual(concatenate(sections.map((one) => one.bytes)), new Uint8Array(bytes))
  assert.deepEqual(applied(concatenate(sections.toReversed().map((one) => one.bytes))), rows)
})

test('joined by table, several do what they do one after the other', () => {
  const db = new DatabaseSync(':memory:')
  db.exec(SCHEMA)
  const changesets = CHANGES.split(';').map((sql) => {
    const session = db.createSession()
    db.exec(`${sql}; update a set w = coalesce(w, 0) + 1; update b set v = coalesce(v, 0) + 1`)
    const changeset = session.changeset()
    session.close()
    return changeset
  })
  const joined = joinByTable(changesets)
  const tables = sectionsOf(joined).map(({ table }) => table)
  assert.equal(tables.length, changesets.length * 2)
  assert.equal(tables.filter((table, i) => table !== tables[i - 1]).length, 2)
  assert.deepEqual(applied(joined), rowsOf(db))
  assert.deepEqual(joinByTable([]), new Uint8Array())
})

test('property: damaged bytes are LOG_CORRUPT or another changeset, and end', () => {
  const { bytes } = captured()
  fc.assert(
    fc.property(fc.nat(), fc.nat({ max: 255 }), fc.boolean(), (at, byte, cut) => {
      const damaged = new Uint8Array(bytes).subarray(0, cut ? at % bytes.length : undefined)
      if (!cut) damaged[at % damaged.length] = byte
      try {
        sectionsOf(damaged)
      } catch (error) {
        assert.ok(error instanceof QuorateError && error.code === 'LOG_CORRUPT', String(error))
      }
    }),
    { seed: 3, numRuns: 500 },
  )
})
