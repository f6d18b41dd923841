import assert from 'node:assert/strict'
import test, { type TestContext } from 'node:test'
import { decodeBatch } from '../../model/entry-codec.ts'
import { atomic, folderOf, outcome, program, Replica } from '../store-fixture.ts'

const TABLES = `
  create table item (id integer primary key, name text);
  create table log (id integer primary key, what text);
  create trigger item_added after insert on item begin
    insert into log (what) values ('added ' || new.name);
  end;`

function pair(t: TestContext, prepare = TABLES): readonly [Replica, Replica] {
  const folder = folderOf(t)
  return [Replica.found(t, folder, 'a', prepare), Replica.found(t, folder, 'b', prepare)]
}

function operations(replica: Replica): readonly string[] {
  const last = replica.entries().at(-1)
  const all = decodeBatch(last?.body ?? new Uint8Array()).operations
  return all.map((one) => (one.kind === 'ddl' ? `ddl ${one.sql}` : one.kind))
}

function codes(replica: Replica, ...sqls: string[]): readonly string[] {
  return replica.run(...sqls).map(outcome)
}

test('DDL ends the batch before it, is tried, logged and applied by a command', (t) => {
  const [a, b] = pair(t)
  const programs = [
    program("insert into item (name) values ('a')"),
    program('create table more (id integer primary key)'),
    program('insert into more values (1)'),
  ]
  const first = a.executePrograms(programs)
  assert.deepEqual([first.outcomes.length, first.notRun], [1, 2])
  const second = a.executePrograms(programs.slice(1))
  assert.deepEqual([second.outcomes.length, second.notRun], [1, 1])
  assert.deepEqual(
    second.entries.map(({ kind }) => kind),
    ['schema'],
  )
  assert.equal(second.outcomes[0]?.index, 3)
  assert.deepEqual([a.log.last.index, a.log.applied], [3, 2])
  assert.deepEqual(a.query("select name from sqlite_schema where name = 'more'"), [])
  assert.throws(() => a.executePrograms(programs.slice(2)), /applied/)
  a.reopen()
  a.applyAll()
  a.executePrograms(programs.slice(2))
  b.follow(a)
  assert.deepEqual(b.content(), a.content())
  assert.deepEqual(b.query('select id from more'), [[1]])
  assert.deepEqual(b.query('select what from log'), [['added a']])
})

test('a transaction of rows and DDL becomes one entry of operations in their order', (t) => {
  const [a, b] = pair(t)
  a.must("insert into item (name) values ('old')")
  const given = program(
    ...[
      'begin',
      "insert into item (name) values ('x')",
      'alter table item add column size int default 3',
    ],
    ...["update item set size = 5 where name = 'x'", 'create index by_size on item (size)'],
    ...[
      "create trigger item_gone after delete on item begin insert into log (what) values ('gone'); end",
    ],
    ...["delete from item where name = 'old'", 'pragma user_version = 3', 'commit'],
  )
  const { outcomes } = a.execute(given)
  assert.deepEqual(outcomes[0]?.result.steps.map(outcome), new Array(9).fill('ok'))
  assert.deepEqual(operations(a), [
    'changeset',
    'ddl alter table item add column size int default 3',
    'changeset',
    'ddl create index by_size on item (size)',
    "ddl create trigger item_gone after delete on item begin insert into log (what) values ('gone'); end",
    'changeset',
    'pragma',
  ])
  b.follow(a)
  assert.deepEqual(b.content(), a.content())
  assert.deepEqual(a.query('select name, size from item'), [['x', 5]])
  assert.deepEqual(a.query('select what from log order by id'), [
    ['added old'],
    ['added x'],
    ['gone'],
  ])
  // Triggers, new and old, fire for clients and not for changesets.
  a.must("insert into item (name) values ('y')", 'delete from item')
  b.follow(a)
  assert.deepEqual(b.content(), a.content())
})

test('DDL rolled back, by a savepoint or wholly, leaves nothing', (t) => {
  const [a, b] = pair(t)
  const steps = a.run(
    ...['begin', "insert into item (name) values ('x')", 'savepoint s'],
    ...["insert into item (name) values ('y')", 'create table gone (id integer primary key)'],
    ...['insert into gone values (1)', 'rollback to s', 'select * from gone'],
    ...['create table kept (id integer primary key)', 'insert into kept values (2)', 'commit'],
  )
  assert.deepEqual(steps.map(outcome), [
    ...['ok', 'ok', 'ok', 'ok', 'ok', 'ok', 'ok', 'SQL_ERROR', 'ok', 'ok', 'ok'],
  ])
  assert.deepEqual(operations(a), [
    'changeset',
    'ddl create table kept (id integer primary key)',
    'changeset',
  ])
  b.follow(a)
  assert.deepEqual(b.content(), a.content())
  const { last } = a.log
  a.run('begin', 'drop table kept', 'rollback', 'select * from kept')
  a.execute(atomic('drop table kept', 'nonsense'))
  assert.deepEqual(a.log.last, last)
  a.must('insert into kept values (3)')
})

test('a program that goes on after its DDL sees it; BEGIN waits for it to be committed', (t) => {
  const [a, b] = pair(t)
  const steps = codes(
    a,
    ...[
      'create table t (id integer primary key, v text not null)',
      "insert into t values (1, 'a')",
    ],
    ...[
      'insert into t values (2, null)',
      "insert into t values (3, 'c')",
      'begin',
      'delete from t',
    ],
    ...['rollback', 'create table u (rowid, oid, _rowid_)', 'create unique index v on t (v)'],
  )
  assert.deepEqual(steps, [
    ...['ok', 'ok', 'SQL_CONSTRAINT', 'ok', 'ok', 'ok', 'ok', 'SQL_REFUSED', 'ok'],
  ])
  assert.equal(a.log.last.index, 3)
  b.follow(a)
  assert.deepEqual(b.content(), a.content())
  assert.deepEqual(b.query('select id from t'), [[1], [3]])
})

test('DDL without effect makes no entry', (t) => {
  const [a] = pair(t)
  assert.deepEqual(
    codes(a, 'create table if not exists item (id)', 'drop table if exists missing'),
    [...['ok', 'ok']],
  )
  a.run('create table if not exists item (id)', "insert into item (name) values ('x')")
  assert.deepEqual(
    a.entries().map(({ kind }) => kind),
    ['data'],
  )
  assert.deepEqual(codes(a, 'create table item (id)', 'drop table missing'), [
    'SQL_ERROR',
    'SQL_ERROR',
  ])
})

test('tables that cannot be followed are refused', (t) => {
  const [a] = pair(t)
  for (const [sql, code] of [
    ['create table x (rowid, oid, _rowid_)', 'SQL_REFUSED'],
    ['create table x as select 1 as rowid, 2 as oid, 3 as _rowid_', 'SQL_REFUSED'],
    ['create virtual table x using dbstat', 'SQL_REFUSED'],
    ['create table x (id integer primary key)', 'ok'],
    ['create table y (id text primary key) without rowid', 'ok'],
    ['create virtual table z using fts5 (y)', 'ok'],
    ['create virtual table r using rtree (id, a, b)', 'ok'],
  ] as const) {
    assert.deepEqual(codes(a, sql), [code], sql)
  }
  const given = a.execute(
    atomic('create table q (rowid, oid, _rowid_)', 'insert into q values (1, 2, 3)'),
  )
  assert.deepEqual(given.outcomes[0]?.result.steps.map(outcome), ['SQL_REFUSED', 'skipped'])
  assert.deepEqual(codes(a, ['insert into x values (?)'].join('')), ['SQL_ARGUMENTS'])
})

test('ids of AUTOINCREMENT tables are not given twice after a failover', (t) => {
  const [a, b] = pair(t)
  a.run('create table s (id integer primary key autoincrement, v)', 'insert into s (v) values (1)')
  a.executePrograms([
    program('insert into s (v) values (2)'),
    program('delete from s where id = 2'),
  ])
  b.follow(a)
  assert.deepEqual(b.content(), a.content())
  b.must('insert into s (v) values (3)')
  assert.deepEqual(b.query('select max(id) from s'), [[3]])
  a.truncate(2)
  assert.deepEqual(a.query('select * from sqlite_sequence'), [['s', 1]])
  a.must("update sqlite_sequence set seq = 40 where name = 's'", 'insert into s (v) values (4)')
  assert.deepEqual(a.query('select max(id) from s'), [[41]])
})

test('DROP TABLE of a parent does to its children on replicas what it does here', (t) => {
  const [a, b] = pair(
    t,
    `create table p (id integer primary key); create table other (id integer primary key, n);
     create table c (id integer primary key, p references p on delete cascade);
     create table d (id integer primary key, p references p on delete set null);
     create trigger p_gone after delete on p begin insert into other values (99, 99); end;
     insert into p values (1), (2); insert into c values (1, 1), (2, 2); insert into d values (1, 1);`,
  )
  assert.deepEqual(codes(a, 'drop table p'), ['ok'])
  b.follow(a)
  assert.deepEqual(b.content(), a.content())
  assert.deepEqual(a.query('select count(*) from c'), [[0]])
  assert.deepEqual(a.query('select p from d'), [[null]])
  assert.deepEqual(a.query('select count(*) from other'), [[0]])
})

test('DROP TABLE of a parent that children need fails and changes nothing', (t) => {
  const [a] = pair(
    t,
    `create table p (id integer primary key); create table c (id integer primary key, p references p);
     create table l (id integer primary key, p references p (id) deferrable initially deferred);
     insert into p values (1), (2); insert into c values (1, 1); insert into l values (1, 2);`,
  )
  const before = a.content()
  assert.deepEqual(codes(a, 'drop table p'), ['SQL_CONSTRAINT'])
  assert.deepEqual(codes(a, 'delete from c', 'drop table p', 'insert into c values (1, 1)'), [
    ...['ok', 'SQL_CONSTRAINT', 'ok'],
  ])
  assert.deepEqual(a.content(), before)
  assert.deepEqual(
    codes(a, 'pragma foreign_keys = off', 'drop table p', 'pragma foreign_keys = on'),
    [...['ok', 'ok', 'ok']],
  )
  assert.deepEqual(a.query('select count(*) from c'), [[1]])
})

test('the way migrations rebuild a table', (t) => {
  const [a, b] = pair(
    t,
    `create table p (id integer primary key, v); create index p_v on p (v);
     create table c (id integer primary key, p integer not null references p on delete cascade);
     insert into p values (1, 'x'), (2, 'y'); insert into c values (1, 1), (2, 2);`,
  )
  const steps = codes(
    a,
    ...[
      'pragma foreign_keys = off',
      'begin',
      'create table new_p (id integer primary key, v text, w)',
    ],
    ...[
      'insert into new_p (id, v) select id, v from p',
      'drop table p',
      'alter table new_p rename to p',
    ],
    ...[
      'create index p_v on p (v)',
      'pragma foreign_key_check',
      'commit',
      'pragma foreign_keys = on',
    ],
  )
  assert.deepEqual(steps, new Array(10).fill('ok'))
  b.follow(a)
  assert.deepEqual(b.content(), a.content())
  assert.deepEqual(b.query('select count(*) from c'), [[2]])
  assert.deepEqual(codes(a, 'insert into c values (3, 3)'), ['SQL_CONSTRAINT'])
  assert.deepEqual(codes(a, 'delete from p where id = 1', 'select count(*) from c'), ['ok', 'ok'])
  b.follow(a)
  assert.deepEqual(b.content(), a.content())
})

test('a stream holds DDL in its transaction over several commands', (t) => {
  const [a, b] = pair(t)
  assert.equal(a.stream('s', 'begin', 'create table t (id integer primary key)').open, true)
  assert.equal(a.stream('s', 'insert into t values (1)').open, true)
  const done = a.stream('s', 'insert into t values (2)', 'commit')
  assert.equal(done.open, false)
  assert.deepEqual(
    done.entries.map(({ kind }) => kind),
    ['schema'],
  )
  a.applyAll()
  b.follow(a)
  assert.deepEqual(b.query('select id from t'), [[1], [2]])
  // What begins after DDL in the same round waits for it to be committed, and may stay open.
  const left = a.stream('s', 'create table u (id integer primary key)', 'begin', 'delete from t')
  assert.deepEqual(left.outcomes[0]?.result.steps.map(outcome), ['ok', 'ok', 'ok'])
  assert.deepEqual([left.open, left.entries.length, a.log.applied], [true, 1, a.log.last.index])
  const next = a.stream('s', 'commit', 'begin', 'insert into u values (1)')
  assert.deepEqual([next.open, next.entries.length], [true, 1])
  assert.equal(a.stream('s', 'rollback').open, false)
  assert.deepEqual(a.query('select (select count(*) from t), (select count(*) from u)'), [[0, 0]])
  a.stream('s', 'begin', 'drop table t')
  a.send({ kind: 'streamEnd', stream: 's' })
  assert.deepEqual(a.query('select count(*) from t'), [[0]])
  a.must('insert into t values (3)')
})

test('ROLLBACK that SQLite does itself leaves the DDL before it', (t) => {
  const [a, b] = pair(t)
  const steps = codes(
    a,
    ...['create table t (id integer primary key)', 'insert into t values (1)', 'begin'],
    ...['insert or rollback into t values (1)', 'insert into item (name) values (1)'],
  )
  assert.deepEqual(steps, ['ok', 'ok', 'ok', 'SQL_CONSTRAINT', 'ok'])
  b.follow(a)
  assert.deepEqual(b.content(), a.content())
})

test('a trigger that rolls back right after DDL takes the program along, and says so', (t) => {
  const [a] = pair(t)
  a.must("create trigger no after insert on item begin select raise(rollback, 'no'); end")
  const steps = codes(
    a,
    'create table t (id integer primary key)',
    "insert into item values (1, 'x')",
  )
  assert.equal(steps[0], 'SQL_REFUSED')
  assert.deepEqual(a.query("select name from sqlite_schema where name = 't'"), [])
})

test('ANALYZE reaches the replicas; REINDEX stays here', (t) => {
  const [a, b] = pair(t)
  a.must(
    'create index i on item (name)',
    "insert into item (name) values ('x'), ('y')",
    'analyze',
    'reindex',
  )
  b.follow(a)
  const stat = 'select tbl, idx, stat from sqlite_stat1 order by 1, 2'
  assert.deepEqual(b.query(stat), a.query(stat))
  assert.ok(a.query(stat).length > 0)
  a.must("insert into item (name) values ('z')", 'analyze')
  b.follow(a)
  assert.deepEqual(b.query(stat), a.query(stat))
})

test('keys that change to an equal one beside DDL', (t) => {
  const [a, b] = pair(
    t,
    "create table n (k text collate nocase primary key, v); insert into n values ('a', 1), ('b', 2)",
  )
  a.run(
    ...[
      'begin',
      'update n set k = upper(k)',
      'alter table n add column w',
      "update n set k = 'b', w = 1 where k = 'b'",
    ],
    ...[
      'create table m (id integer primary key)',
      "update n set k = 'c' where k = 'a'",
      "update n set k = 'a' where k = 'c'",
      'commit',
    ],
  )
  b.follow(a)
  assert.deepEqual(b.content(), a.content())
  assert.deepEqual(a.query('select k, w from n order by k'), [
    ['a', null],
    ['b', 1],
  ])
})
