/** Sessions that transactions share: what is told apart, and what is told not to be. */
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { changesetTables } from '../../model/changeset.ts'
import { Connections } from '../connections.ts'
import { Schema } from '../schema/schema.ts'
import { folderOf } from '../store-fixture.ts'
import { OwnCapture } from './own-capture.ts'

const TABLES = `create table a (id integer primary key, n);
  create table b (name text primary key, n) without rowid;
  insert into a values (1, 1), (2, 2);`

/** A writer with its transaction open. */
function begun(t: TestContext, watches = true) {
  const connections = new Connections(join(folderOf(t), 'x.db'))
  t.after(() => connections.close())
  const { writer } = connections
  writer.db.exec(TABLES)
  const schema = new Schema(writer, () => 0)
  const own = new OwnCapture(writer, schema)
  if (watches) schema.watch()
  writer.begin()
  own.start()
  const shared = (sql: string) => own.statement(true, () => writer.db.exec(sql))
  return { own, shared, writer }
}

test('neighbours share a session until one touches another’s row', (t) => {
  const { own, shared } = begun(t)
  let sessions = 0
  shared('update a set n = 5 where id = 1')
  shared("insert into b values ('x', 1)")
  own.statement(true, () => {
    sessions += 1
  })
  shared("update b set n = 2 where name = 'x'")
  shared('delete from a where id = 2')
  const all = own.finish()
  assert.deepEqual(all?.map(changesetTables), [['a'], ['b'], ['b'], ['a']])
  assert.equal(sessions, 1)
  own.end()
})

test('a row that no trigger saw is nobody’s', (t) => {
  const { own, shared } = begun(t, false)
  shared('update a set n = 5 where id = 1')
  assert.equal(own.finish(), null)
  own.end()
})

test('a transaction by itself needs no triggers, and leaves nothing when rolled back', (t) => {
  const { own, writer } = begun(t, false)
  own.begin()
  writer.db.exec('savepoint s; update a set n = 7 where id = 1; rollback to s; release s')
  own.rollback()
  own.begin()
  writer.db.exec("update a set n = 8 where id = 1; insert into b values ('y', 2)")
  own.commit()
  assert.deepEqual(own.finish()?.map(changesetTables), [['a', 'b']])
  own.end()
})

test('a program that meets another is rolled back and runs once more, by itself', (t) => {
  const { own, shared, writer } = begun(t)
  shared('update a set n = 5 where id = 1')
  let runs = 0
  const result = own.sharedProgram(() => {
    runs += 1
    own.begin()
    try {
      writer.db.exec("insert into b values ('z', 1); update a set n = 6 where id = 1")
    } catch {}
    own.commit()
    return runs
  })
  assert.equal(result, 2)
  const tables = own.finish()?.map((changes) => changesetTables(changes).toSorted())
  assert.deepEqual(tables, [['a'], ['a', 'b']])
  own.end()
  assert.deepEqual(writer.db.prepare('select count(*) as n from b').get()?.['n'], 1)
})

test('an error of a statement is its own', (t) => {
  const { own, shared } = begun(t)
  shared("insert into b values ('x', 1)")
  assert.throws(() => shared("insert into b values ('w', 1), ('w', 2)"), /UNIQUE/)
  assert.throws(() => shared('nonsense'), /syntax/)
  assert.throws(() => shared('insert into b (n) values (2)'), /NOT NULL/)
  shared("insert into b values ('v', 1)")
  assert.equal(own.finish()?.length, 2)
  own.end()
})
