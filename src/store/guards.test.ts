import assert from 'node:assert/strict'
import test, { type TestContext } from 'node:test'
import type { StepResult } from '../model/program.ts'
import { folderOf, ok, outcome, program, Replica } from './store-fixture.ts'

const TABLES = `
  create table item (id integer primary key, name text unique, n integer check (n < 100));
  create table part (id integer primary key, item integer not null references item);`

function start(t: TestContext, prepare = TABLES): Replica {
  return Replica.found(t, folderOf(t), 'a', prepare)
}

const codes = (steps: readonly StepResult[]) => steps.map(outcome)

test('what is not replicated is refused, what ORMs send by habit is not', (t) => {
  const a = start(t)
  const refused = [
    ...["attach 'x.db' as x", 'detach x', 'vacuum', "vacuum into 'x'", 'pragma journal_mode2 = x'],
    ...['create temp table x (id integer primary key)', 'create temporary view v as select 1'],
    ...['pragma writable_schema = on', 'pragma recursive_triggers = on', 'pragma optimize'],
    ...[
      'insert into _quorate_state values (1, 2)',
      'delete from _quorate_log',
      'drop table _quorate_log',
    ],
    ...['create table quorate_x (id integer primary key)', 'alter table _quorate_log rename to x'],
    ...[
      'create index i on _quorate_log (term)',
      'create table x as select 1',
      'savepoint _quorate_tx',
    ],
    ...['explain pragma user_version = 1', 'create virtual table v using dbstat'],
    ...['create trigger quorate_t after insert on item begin select 1; end'],
    ...['alter table item rename to quorate_item'],
  ]
  for (const sql of refused) {
    const [step] = a.run(sql)
    assert.equal(outcome(step), 'SQL_REFUSED', sql)
  }
  const fine = [
    ...['pragma journal_mode', 'pragma journal_mode = wal', 'pragma synchronous = off'],
    ...['pragma table_info(item)', 'pragma foreign_key_list("part")', 'pragma busy_timeout = 5000'],
    ...['pragma foreign_keys = on', 'pragma integrity_check', 'pragma table_list', 'reindex'],
    ...['explain query plan select * from item', 'explain insert into item (name) values (1)'],
    ...["select name from pragma_table_info('item')", 'select key from _quorate_state'],
  ]
  for (const sql of fine) {
    const [step] = a.run(sql)
    assert.equal(outcome(step), 'ok', sql)
  }
  const [mode] = a.run('pragma journal_mode = delete')
  assert.deepEqual(ok(mode).rows, [['wal']])
  assert.equal(a.log.last.index, 1)
})

test('a trigger may not write internal tables', (t) => {
  const a = start(t)
  a.must('create trigger evil after insert on item begin delete from _quorate_log; end')
  assert.deepEqual(codes(a.run("insert into item (name) values ('x')")), ['SQL_REFUSED'])
})

test('NULL in a key is refused wherever it comes from', (t) => {
  const a = start(
    t,
    `create table k (a text, b text, v, primary key (a, b));
     create table u (id text primary key, v);
     create table p (id integer primary key);
     create table f (p integer primary key references p on delete set null, v);
     create table g (p text references p (id) on delete set null, v, primary key (p, v));
     create trigger t after insert on u when new.v = 'bad' begin
       insert into k values ('x', null, 1); end;
     create table w (a, b, primary key (a, b)) without rowid;
     insert into p values (1); insert into g values (1, 1);`,
  )
  const steps = a.run(
    ...["insert into k values ('a', null, 1)", "insert into k values ('a', 'b', 1)"],
    ...['update k set b = null', 'insert or replace into u values (null, 1)'],
    ...['insert or ignore into u values (null, 1)', "insert into u values ('x', 'bad')"],
    ...['delete from p', 'insert into w values (1, null)', 'insert into f values (null, 1)'],
  )
  assert.deepEqual(codes(steps), [
    ...['NULL_IN_KEY', 'ok', 'NULL_IN_KEY', 'NULL_IN_KEY', 'NULL_IN_KEY', 'NULL_IN_KEY'],
    ...['NULL_IN_KEY', 'SQL_CONSTRAINT', 'ok'],
  ])
  const error = steps[0]
  assert.ok(error !== null && error !== undefined && 'error' in error)
  assert.equal(error.error.detail, 'A row of table k has NULL in its PRIMARY KEY.')
})

test('keys that change to an equal one: case under NOCASE, type in a column without one', (t) => {
  const prepare = `create table n (k text collate nocase primary key, v);
    create table u (k primary key, v) without rowid;
    insert into n values ('a', 1), ('b', 2); insert into u values (1, 'x'), ('t', 'y');`
  const [a, b, c] = [start(t, prepare), start(t, prepare), start(t, prepare)]
  a.executePrograms([
    program('update n set k = upper(k)'),
    program('update u set k = 1.0 where k = 1'),
  ])
  a.executePrograms([
    program("delete from n where k = 'a'"),
    program("insert into n values ('a', 3)"),
  ])
  a.executePrograms([
    program("update n set k = 'B', v = 5 where k = 'b'"),
    program('update n set k = lower(k)'),
  ])
  a.executePrograms([
    program("replace into n values ('A', 9)"),
    program("replace into n values ('a', 3)"),
  ])
  a.stream(
    's',
    'begin',
    "update n set k = 'A' where k = 'a'",
    'savepoint x',
    "insert into n values ('c', 1)",
  )
  a.stream(
    's',
    'rollback to x',
    "update n set k = 'a' where k = 'A'",
    "update n set k = 'B' where k = 'b'",
    'commit',
  )
  b.follow(a)
  assert.deepEqual(b.content(), a.content())
  assert.deepEqual(a.query('select k, v from n order by k'), [
    ['a', 3],
    ['B', 5],
  ])
  a.truncate(1)
  assert.deepEqual(a.content(), c.content())
})
