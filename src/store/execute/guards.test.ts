import assert from 'node:assert/strict'
import test from 'node:test'
import { codes, ok, outcome, program, start } from '../store-fixture.ts'

test('what ORMs send by habit is answered, and changes nothing', (t) => {
  const a = start(t)
  const fine = [
    ...['pragma journal_mode', 'pragma journal_mode = wal', 'pragma synchronous = off'],
    ...['pragma table_info(item)', 'pragma foreign_key_list("part")', 'pragma busy_timeout = 5000'],
    ...['pragma foreign_keys = on', 'pragma integrity_check', 'pragma table_list', 'reindex'],
    ...['pragma mmap_size = 1000', 'pragma wal_autocheckpoint(1)', 'pragma secure_delete = on'],
    ...['explain query plan select * from item', 'explain insert into item (name) values (1)'],
    ...["select name from pragma_table_info('item')", 'select key from _quorate_state'],
    ...['vacuum', 'vacuum main', 'pragma optimize', 'pragma analysis_limit = 100'],
  ]
  for (const sql of fine) {
    const [step] = a.run(sql)
    assert.equal(outcome(step), 'ok', sql)
  }
  const rows = (sql: string) => ok(a.run(sql)[0]).rows
  assert.deepEqual(rows('pragma journal_mode = delete'), [['wal']])
  assert.deepEqual(rows('pragma wal_checkpoint(truncate)'), [[0n, 0n, 0n]])
  assert.deepEqual(rows('pragma cache_size = 5'), [])
  assert.deepEqual(rows('pragma locking_mode = exclusive'), [['normal']])
  assert.equal(a.log.last.index, 1)
})

test('a query that failed over one argument is as new for the next', (t) => {
  const replica = start(t)
  for (let round = 0; round < 2; round += 1) {
    assert.equal(outcome(replica.run(['select abs(?)', -(2n ** 63n)])[0]), 'SQL_ERROR')
    assert.deepEqual(ok(replica.run(['select abs(?)', -5n])[0]).rows, [[5n]])
  }
})

test('a trigger may not write internal tables', (t) => {
  const a = start(t)
  a.must('create trigger evil after insert on item begin delete from _quorate_log; end')
  assert.deepEqual(codes(a.run("insert into item (name) values ('x')")), ['SQL_REFUSED'])
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
