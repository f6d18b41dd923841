import assert from 'node:assert/strict'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { test } from 'node:test'
import { folderOf } from '../store-fixture.ts'
import { codeOf, Writer } from './ids-fixture.ts'
import { ID_STRIDE } from './next-id.ts'

const SLOT = 3
const at = (block: number) => block * ID_STRIDE + SLOT
const TABLES = `create table item (id integer primary key, name text unique, n integer);
  create table audit (id integer primary key, what text, item integer);
  create table tally (id integer primary key autoincrement, name text unique, times integer);`
const AUDIT = `create trigger audited after insert on item when new.n is null or new.n > 0 begin
    insert into audit (what, item) values (case when new.n > 1 then 'many' else 'one' end, new.id);
    insert into audit select null, 'id;' || last_insert_rowid(), new.id;
    insert or ignore into tally (name, times) values (new.name, 1)
      on conflict (name) do update set times = times + 1; end;`

test('rows that triggers insert get ids of the slot, and last_insert_rowid() tells them', (t) => {
  const writer = new Writer(t, TABLES + AUDIT, SLOT)
  const { lastInsertRowid } = writer.run("insert into item (name, n) values ('a', 2)")
  assert.equal(lastInsertRowid, BigInt(at(1)))
  assert.deepEqual(writer.rows('select id, what, item from audit'), [
    [BigInt(at(1)), 'many', BigInt(at(1))],
    [BigInt(at(2)), `id;${at(1)}`, BigInt(at(1))],
  ])
  writer.run("insert or replace into item (name) values ('a')")
  assert.deepEqual(writer.rows('select id, times from tally'), [[BigInt(at(1)), 2n]])
})

test('triggers of views, nested and recursive ones', (t) => {
  const schema = `${TABLES} create view shown as select name, n from item;
    create trigger through instead of insert on shown begin
      insert into item (name, n) values (new.name, new.n);
      insert into audit (what, item) values ('shown', last_insert_rowid()); end;
    create trigger down after insert on item when new.n > 0 begin
      insert into item (name, n) values (new.name || new.n, new.n - 1); end;`
  const writer = new Writer(t, schema, SLOT)
  writer.run("insert into shown values ('a', 2)")
  assert.deepEqual(writer.rows('select i.name, a.what from item i join audit a on a.item = i.id'), [
    ['a', 'shown'],
  ])
  assert.equal(writer.ids('select count(*) from item')[0], 2)
  writer.db.exec('pragma recursive_triggers = on')
  writer.run("insert into shown values ('b', 2)")
  const ids = writer.ids('select id from item union all select id from audit')
  assert.equal(ids.length, 7)
  for (const id of ids) assert.equal(id % ID_STRIDE, SLOT)
})

test('BEFORE triggers are told the id that the row gets', (t) => {
  const schema = `${TABLES} create trigger coming insert on ITEM begin
      insert into audit (what, item) values (new.name, new.id); end;`
  const writer = new Writer(t, schema, SLOT)
  writer.run("insert into item (name) values ('a')")
  writer.run("insert into item values (null, 'b', 1), (null, 'c', 1), (7, 'd', 1)")
  writer.run("insert into item values (?, 'e', 1)", null)
  writer.run('insert into item default values')
  const told = 'select item from audit order by id'
  assert.deepEqual(writer.ids(told), [at(1), at(2), at(3), 7, at(4), at(5)])
  assert.deepEqual(writer.rows('select item from audit except select id from item'), [])
})

test('triggers that give ids of their own beside automatic ones', (t) => {
  const schema = `${TABLES} create trigger both after insert on item begin
      insert into audit (id, what) values (new.n, 'own');
      insert into audit (what) values ('automatic'); end;`
  const writer = new Writer(t, schema, SLOT)
  writer.run(`insert into item (name, n) values ('a', ${at(2)}), ('b', ${at(4)})`)
  assert.deepEqual(writer.ids('select id from audit'), [at(2), at(3), at(4), at(5)])
})

test('an UPDATE or DELETE whose triggers insert', (t) => {
  const schema = `${TABLES} insert into item values (1, 'a', 1);
    create trigger changed after update on item begin
      insert into audit (what, item) values ('changed', old.id); end;
    create trigger gone before delete on item begin
      replace into audit values (null, 'gone', old.id); end;`
  const writer = new Writer(t, schema, SLOT)
  writer.run('update item set n = 2')
  writer.run('delete from item')
  assert.deepEqual(writer.ids('select id from audit'), [at(1), at(2)])
})

test('the file keeps its triggers as they were made, and a session sees nothing', (t) => {
  const path = join(folderOf(t), 'file.db')
  const writer = new Writer(t, TABLES + AUDIT, SLOT, path)
  const texts = 'select type, name, sql from main.sqlite_schema order by name'
  const before = writer.rows(texts)
  writer.connection.begin()
  const session = writer.db.createSession()
  writer.run("insert into item (name) values ('a')")
  assert.deepEqual(writer.rows(texts), before)
  assert.doesNotMatch(Buffer.from(session.changeset()).toString('latin1'), /sqlite_schema|trigger/)
  session.close()
  writer.connection.commit()
  const other = new DatabaseSync(path)
  t.after(() => other.close())
  assert.deepEqual(writer.rows(texts), before)
  other.exec("insert into item (name) values ('b')")
  assert.equal(other.prepare('select max(id) as id from audit').get()?.['id'], at(2) + 2)
  assert.equal(other.prepare('pragma integrity_check').get()?.['integrity_check'], 'ok')
  assert.throws(() => writer.db.exec('pragma writable_schema = on; delete from sqlite_schema'))
})

test('after whatever makes SQLite load the schema again, ids are given still', (t) => {
  const path = join(folderOf(t), 'file.db')
  const writer = new Writer(t, TABLES + AUDIT, SLOT, path)
  const other = new DatabaseSync(path)
  t.after(() => other.close())
  let rows = 0
  const check = (after: string) => {
    rows += 1
    writer.run(`insert into item (name) values ('${after}')`)
    const ids = writer.ids(`select id from audit where item = (select max(id) from item)`)
    assert.deepEqual(
      ids.map((id) => id % ID_STRIDE),
      [SLOT, SLOT],
      after,
    )
  }
  const within = (run: () => void, end: 'commit' | 'rollback') => {
    writer.db.exec('begin immediate')
    run()
    writer.db.exec(end)
  }
  check('nothing')
  other.exec('create table another (a)')
  check('a change by another connection, not told')
  writer.schema.refresh()
  check('a change by another connection')
  within(
    () => writer.db.exec('create temp trigger own before insert on audit begin select 1; end'),
    'rollback',
  )
  check('a TEMP trigger rolled back')
  within(() => {
    writer.ddl('create table more (a)')
    check('DDL in the transaction')
    writer.ddl('alter table audit rename column what to text')
    check('ALTER in the transaction')
  }, 'rollback')
  writer.schema.forget()
  check('a rollback of DDL')
  within(() => writer.run("insert into item (name) values ('rolled back')"), 'rollback')
  check('a rollback of rows')
  writer.db.exec('savepoint s; create temp trigger own before insert on audit begin select 1; end')
  check('a TEMP trigger')
  writer.db.exec('rollback to s; release s')
  check('a TEMP trigger rolled back to a savepoint')
  assert.ok(rows > 5)
})

test('a trigger that comes, changes or goes', (t) => {
  const writer = new Writer(t, TABLES, SLOT)
  writer.run("insert into item (name) values ('a')")
  writer.ddl(AUDIT)
  writer.run("insert into item (name) values ('b')")
  writer.ddl(`drop trigger audited; create trigger audited after insert on item begin
    insert into audit values (-new.id, 'own id', new.id); end`)
  writer.run("insert into item (name) values ('c')")
  writer.ddl('drop trigger audited')
  writer.run("insert into item (name) values ('d')")
  assert.deepEqual(writer.ids('select id from audit'), [-at(3), at(1), at(2)])
})

test('with one leader triggers run as they are', (t) => {
  const writer = new Writer(t, TABLES + AUDIT, null)
  writer.run("insert into item (name) values ('a')")
  assert.deepEqual(writer.ids('select id from audit'), [1, 2])
})

test('an error in a trigger takes the whole statement back', (t) => {
  const writer = new Writer(t, TABLES + AUDIT, SLOT)
  writer.run('insert into audit (id) values (9007199254740991)')
  const code = codeOf(() => writer.run("insert into item (name) values ('a'), ('b')"))
  assert.equal(code, 'IDS_EXHAUSTED')
  assert.deepEqual(writer.rows('select * from item'), [])
})
