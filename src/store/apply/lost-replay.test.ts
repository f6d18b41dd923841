import { deepEqual, equal, match, ok } from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { test } from 'node:test'
import { toLogIndex, toTerm } from '../../base/brand.ts'
import { invertChangeset, ROWID_PLACE } from '../../model/changeset.ts'
import { concatenate } from '../../model/changeset-bytes.ts'
import { encodeSection } from '../../model/changeset-writer.ts'
import type { Operation } from '../../model/entry.ts'
import { encodeBatch, sealEntry } from '../../model/entry-codec.ts'
import type { Program, Value } from '../../model/program.ts'
import { columnsIn, describeLost, type Lost, replayPrograms, schemaIn } from './lost-replay.ts'

const SCHEMA = `
  create table parent (id integer primary key, label text);
  create table child (id integer primary key, twice as (n * 2), p references parent, n, data);
  create virtual table words using fts5(text);
  insert into parent values (1, 'one'), (2, 'two'), (3, 'three');
  insert into child (id, p, n, data) values (10, 1, 1.0, x'00'), (11, 2, null, 'x');
`

function setUp(t: { after: (clean: () => void) => void }) {
  const folder = mkdtempSync(join(tmpdir(), 'quorate-lost-'))
  const path = join(folder, 'x.db')
  const db = new DatabaseSync(path, { defensive: false })
  db.exec(SCHEMA)
  t.after(() => {
    db.close()
    rmSync(folder, { recursive: true })
  })
  return { db, path }
}

const lostOf = (operations: readonly Operation[]): Lost => {
  const id = { term: toTerm(3), index: toLogIndex(7) }
  const body = encodeBatch({ transactions: 2, writes: [], operations })
  const entry = sealEntry({ ...id, kind: 'data', at: 0, body })
  const noop = sealEntry({ ...id, kind: 'noop', at: 0, body: new Uint8Array() })
  const head = { cluster: 'c', node: 'a:1', at: 1000, transactions: 2, first: id, last: id }
  return { head, entries: [noop, entry] }
}

/** Captures what a script changes, then takes it back. */
function lose(db: DatabaseSync, sql: string): Lost {
  const session = db.createSession()
  db.exec(sql)
  const bytes = session.changeset()
  session.close()
  db.exec('pragma foreign_keys = off')
  ok(db.applyChangeset(invertChangeset(bytes), { onConflict: () => 2 }))
  db.exec('pragma foreign_keys = on')
  return lostOf([{ kind: 'changeset', bytes }])
}

/** What the writer does with an atomic program, in short. */
function run(db: DatabaseSync, program: Program): void {
  db.exec('begin')
  try {
    for (const { statement } of program.steps) {
      const args = (statement.args ?? []) as Exclude<Value, undefined>[]
      db.prepare(statement.sql).all(...args)
    }
    db.exec('commit')
  } catch (error) {
    db.exec('rollback')
    throw error
  }
}

const WORK = `
  insert into parent values (4, 'four');
  insert into child (id, p, n, data) values (12, 4, 9007199254740993, x'ff01');
  update child set n = 2, data = null where id = 10;
  update parent set id = 30 where id = 3;
  delete from child where id = 11; delete from parent where id = 2`

test('rows by rowid come back under it, unless it has been taken', (t) => {
  const { db, path } = setUp(t)
  db.exec(`create table heap (a, b); create table keyed (k text primary key, v unique);
    insert into heap values (1, 1), (1, 1); insert into keyed values ('x', 1), (null, 2)`)
  const heap = { name: 'heap', key: [ROWID_PLACE, 0, 0], fixed: [true, false, false] }
  const keyed = { name: 'keyed', key: [ROWID_PLACE, 1, 0], fixed: [true, true, true] }
  const bytes = concatenate([
    encodeSection(heap, [
      { before: [2n, 1n, 1n], after: [2n, 1n, 5n] },
      { before: null, after: [7n, 'new', null] },
      { before: null, after: [1n, 'taken', null] },
    ]),
    encodeSection(keyed, [
      { before: [9n, 'x', 1n], after: [9n, 'x', 3n] },
      { before: [2n, null, 2n], after: null },
    ]),
  ])
  const lost = lostOf([{ kind: 'rows', bytes }])
  for (const { program } of replayPrograms(lost, schemaIn(path))) run(db, program)
  const all = (sql: string) =>
    db
      .prepare(sql)
      .all()
      .map((row) => Object.values(row))
  deepEqual(all('select rowid, * from heap order by rowid'), [
    [1, 1, 1],
    [2, 1, 5],
    [7, 'new', null],
    [8, 'taken', null],
  ])
  deepEqual(all('select rowid, * from keyed'), [[1, 'x', 3]])
  const [entry] = describeLost(lost, columnsIn(path)).entries
  deepEqual(entry?.rows[0], {
    table: 'heap',
    op: 'update',
    before: { rowid: 2, b: 1 },
    after: { b: 5 },
  })
})

const content = (db: DatabaseSync) =>
  ['parent', 'child'].map((table) =>
    db
      .prepare(`select * from ${table}`, { readBigInts: true })
      .all()
      .map((row) => Object.values(row).join()),
  )

test('replaying what was taken back does it again', (t) => {
  const { db, path } = setUp(t)
  const rows = 'select group_concat(quote(id) || quote(n) || quote(data)) as text from child'
  const lost = lose(db, WORK)
  const programs = [...replayPrograms(lost, schemaIn(path))]
  equal(programs.length, 1)
  for (const { program, skipped } of programs) {
    deepEqual(skipped, [])
    run(db, program)
  }
  equal(db.prepare(rows).get()?.['text'], '10' + '2NULL,' + "129007199254740993X'FF01'")
  const parents = db.prepare('select group_concat(id) as text from parent').get()
  equal(parents?.['text'], '1,4,30')
  equal(content(db).flat().length, 5)
})

test('a row that changed since makes the whole entry fail, and says which', (t) => {
  const { db, path } = setUp(t)
  const [replay] = replayPrograms(lose(db, WORK), schemaIn(path))
  ok(replay)
  db.exec("update child set data = 'other' where id = 10")
  const before = content(db)
  try {
    run(db, replay.program)
    ok(false, 'it did not fail')
  } catch (error) {
    match(String(error), /The row of child is not as it was/)
  }
  deepEqual(content(db), before)
})

test('what foreign keys did is done once, whatever the order of the tables', (t) => {
  const { db, path } = setUp(t)
  db.exec(`create table a_top (id integer primary key);
    create table b_mid (id integer primary key, a references a_top on delete cascade on update cascade);
    create table c_low (id integer primary key, b references b_mid on delete set null);
    insert into a_top values (1), (2); insert into b_mid values (1, 1), (2, 2);
    insert into c_low values (1, 1), (2, 2)`)
  const tables = ['a_top', 'b_mid', 'c_low']
  const all = () => tables.map((table) => db.prepare(`select * from ${table}`).all())
  const lost = lose(db, 'delete from a_top where id = 1; update a_top set id = 5 where id = 2')
  equal(all().flat().length, 6)
  for (const { program } of replayPrograms(lost, schemaIn(path))) run(db, program)
  deepEqual(JSON.parse(JSON.stringify(all())), [
    [{ id: 5 }],
    [{ id: 2, a: 5 }],
    [
      { id: 1, b: null },
      { id: 2, b: 2 },
    ],
  ])
})

test('rows inside virtual tables and of tables that are gone are left out, and named', (t) => {
  const { db, path } = setUp(t)
  db.exec('create table gone (id integer primary key)')
  const lost = lose(db, "insert into words values ('tea'); insert into gone values (1)")
  db.exec('drop table gone')
  const [replay] = replayPrograms(lost, schemaIn(path))
  ok(replay?.skipped.includes('gone') && replay.skipped.includes('words_content'))
  equal(replay?.program.steps.length, 1)
})

test('schema changes and PRAGMAs are replayed as SQL, in their place; triggers come last', (t) => {
  const { path } = setUp(t)
  const trigger = 'create trigger made after insert on parent begin delete from child; end'
  const lost = lostOf([
    { kind: 'ddl', sql: trigger },
    { kind: 'ddl', sql: 'create table t (id integer primary key)' },
    { kind: 'sequence', rows: [{ table: 't', before: null, after: 3n }] },
    { kind: 'pragma', name: 'user_version', before: 1, after: 2 },
  ])
  const [replay] = replayPrograms(lost, schemaIn(path))
  deepEqual(replay?.program.steps.map(({ statement }) => statement.sql).slice(1), [
    'create table t (id integer primary key)',
    'PRAGMA user_version = 2',
    trigger,
  ])
  const [entry] = describeLost(lost).entries
  deepEqual(entry?.statements.length, 3)
})

test('the description names columns, and every value can be JSON', (t) => {
  const { db, path } = setUp(t)
  const lost = lose(db, WORK)
  const described = describeLost(lost, columnsIn(path))
  equal(described.at, '1970-01-01T00:00:01.000Z')
  const [entry] = described.entries
  equal(entry?.index, 7)
  const row = (op: string) => entry?.rows.find((r) => r.table === 'child' && r.op === op)
  deepEqual(row('insert')?.after, { id: 12, p: 4, n: '9007199254740993', data: { hex: 'ff01' } })
  deepEqual(row('update')?.before, { id: 10, n: 1, data: { hex: '00' } })
  deepEqual(row('update')?.after, { n: 2, data: null })
  deepEqual(row('delete')?.after, null)
  deepEqual(JSON.parse(JSON.stringify(described)), described)
  const [bare] = describeLost(lost).entries
  ok(bare?.rows.some((r) => r.after !== null && 'column 1' in r.after))
})
