/**
 * Tables with rowids of their own: what plain SQLite does to them, rowids included, a leader does,
 * its followers have, and taking it back restores.
 */
import assert from 'node:assert/strict'
import { DatabaseSync } from 'node:sqlite'
import test, { type TestContext } from 'node:test'
import { Connection } from '../connections.ts'
import { readFacts } from '../schema/schema-guard.ts'
import { atomic, folderOf, ok, outcome, program, Replica } from '../store-fixture.ts'

/** Every row of every table with its rowid, values as SQL text, in the order that SQLite gives. */
function rowsOf(db: DatabaseSync): Readonly<Record<string, unknown>> {
  const { watched } = readFacts(new Connection(db))
  const all = (sql: string) =>
    db.prepare(sql, { returnArrays: true }).all() as unknown as string[][]
  const content: Record<string, unknown> = {}
  const names = all(`select name from pragma_table_list where schema = 'main' and type = 'table'
    and name not like '\\_quorate%' escape '\\' and name <> 'sqlite_schema'`)
  for (const [name] of names) {
    const columns = all(`select '"' || name || '"' from pragma_table_info('${name}')`).flat()
    const parts = watched.find((table) => table.name === name)?.parts ?? columns
    const values = parts.map((part) => `hex(${part}), quote(${part})`).join(', ')
    content[String(name)] = all(`select ${values} from "${name}"`)
  }
  return content
}

function stateOf(replica: Replica) {
  const db = new DatabaseSync(replica.path, { readOnly: true })
  try {
    return rowsOf(db)
  } finally {
    db.close()
  }
}

/**
 * Runs statements one by one on plain SQLite, a leader and a follower; compares after each, and
 * then takes all that was run through the first writes back, step by step.
 */
function same(t: TestContext, prepare: string, statements: readonly string[]): Replica {
  const folder = folderOf(t)
  const plain = new DatabaseSync(':memory:', { enableForeignKeyConstraints: true })
  plain.exec(prepare)
  const leader = Replica.found(t, folder, 'leader', prepare)
  const follower = Replica.found(t, folder, 'follower', prepare)
  const states = new Map([[1, rowsOf(plain)]])
  for (const sql of statements) {
    let wanted: string | undefined
    try {
      plain.exec(sql)
    } catch (error) {
      wanted = (error as Error).message
    }
    const [step] = leader.run(sql)
    const got = step && 'error' in step ? step.error.detail.replace(/\.$/, '') : undefined
    assert.equal(got, wanted, sql)
    follower.follow(leader)
    const state = rowsOf(plain)
    assert.deepEqual(stateOf(leader), state, sql)
    assert.deepEqual(stateOf(follower), state, sql)
    states.set(leader.log.last.index, state)
  }
  for (const replica of [leader, follower]) {
    const undone = [...states.keys()].filter((index) => index < replica.log.last.index).reverse()
    if (replica.entries().some(({ kind }) => kind === 'schema')) break
    for (const index of undone) {
      replica.truncate(index)
      assert.deepEqual(stateOf(replica), states.get(index), `back at ${index}`)
    }
  }
  return leader
}

test('a table without a key: every kind of change, also of rowids', (t) => {
  same(t, "create table t (a, b); insert into t values (1, 'x'), (1, 'x'), (null, null)", [
    "insert into t values (1, 'x'), (2, 'y')",
    'delete from t where rowid = 1',
    "insert into t (rowid, a) values (100, 'far'), (-5, 'below')",
    'update t set b = rowid where a = 1',
    'update t set rowid = rowid + 1000 where a is null',
    'update t set rowid = 7 where rowid = 3',
    'insert or replace into t (rowid, a) values (100, 2), (101, 3)',
    'update or replace t set rowid = 101 where rowid = 100',
    "insert into t values (1.0, ''), (-0.0, x''), (9223372036854775807, 1e300), (9e999, -9e999)",
    "insert into t values (cast(x'ff61' as text), 'a' || char(0) || 'b'), (char(65533), 1)",
    "update t set b = cast(x'c0' as text) where rowid > 105",
    'delete from t',
    'insert into t values (1, 1)',
    'insert into t (rowid) values (9223372036854775807), (-9223372036854775808)',
  ])
})

test('a TEXT PRIMARY KEY: NULLs, equal keys, replaced rows get their new rowids', (t) => {
  same(t, "create table t (k text primary key, v); insert into t values ('a', 1), ('b', 2)", [
    "insert into t values (null, 1), (null, 2), ('c', 3)",
    'update t set v = v + 1',
    "insert or replace into t values ('a', 2)",
    "replace into t values ('b', 9)",
    "replace into t values ('b', 9)",
    "insert into t values ('c', 0) on conflict (k) do update set v = excluded.v",
    "insert or ignore into t values ('c', 1), ('d', 1)",
    "insert into t values ('d', 1)",
    'update t set k = null where v = 9',
    "update t set k = 'z' where k is null and v = 2",
    "update or replace t set k = 'a' where k = 'c'",
    'update or ignore t set k = v',
    "update t set rowid = rowid + 50 where k <> 'a'",
    'delete from t where k is null',
  ])
})

test('rows deleted by REPLACE are noticed through every kind of UNIQUE index', (t) => {
  const prepare = `
    create table t (a, b text default 'none' not null, c collate nocase, d as (a || b), e int,
      unique (b), unique (c, e));
    create unique index t_expression on t (lower(c) desc, abs(e) + 1);
    create unique index t_partial on t (e) where e > 100;
    create unique index t_generated on t (d) where a is not null;
    create unique index t_named on t (a + 1, "e" collate nocase asc);
    insert into t (a, b, c, e) values (1, 'p', 'C', 1), (2, 'q', 'D', 2), (3, 'none', 'E', 300)`
  same(t, prepare, [
    "replace into t (a, b, c, e) values (9, 'p', 'x', 50)",
    "replace into t (a, b, c, e) values (8, 'r', 'd', -2)",
    "replace into t (a, b, c, e) values (7, 's', 'y', 300)",
    "replace into t (a, b, c, e) values (6, 't', 'X', 50)",
    "insert into t (a, c, e) values (5, 'none', 5)",
    "replace into t (a, b, c, e) values (4, null, 'z', 6)",
    "insert into t (a, b, c, e) values (8, 'x2', 'k', 50), (1, '12', 'l', 9)",
    "replace into t (a, b, c, e) values (11, '2', 'm', 10)",
    'update or replace t set e = 300, a = 1',
    "update or replace t set c = 'k', e = 50 where rowid % 2 = 0",
    "update t set b = case b when 't' then '2' when '2' then 't' else b end",
  ])
})

test('triggers, foreign-key actions and conflict clauses of the table', (t) => {
  const prepare = `
    create table p (k text primary key);
    create table c (p references p (k) on update cascade on delete cascade, n integer default 0);
    create table d (p references p (k) on delete set null, q references p (k) on delete set default);
    create table u (x unique on conflict replace, y);
    create table log (what);
    create trigger p_gone after delete on p begin insert into log values ('gone ' || old.k); end;
    create trigger c_gone before delete on c begin insert into log values ('c ' || old.n); end;
    create trigger u_in after insert on u begin
      update log set what = what || '+' where rowid = 1; delete from c where n = new.x; end;
    create trigger u_ignored after update on u when new.y = 'ignored' begin select raise(ignore); end;
    create view v as select * from u;
    create trigger v_in instead of insert on v begin
      insert into u values (new.x, new.y); insert into log values ('v'); end;
    insert into p values ('a'), ('b'), ('c'), ('d');
    insert into c values ('a', 1), ('a', 2), ('b', 3); insert into d values ('a', null), ('b', 'a')`
  same(t, prepare, [
    "update p set k = 'z' where k = 'a'",
    "delete from p where k = 'z'",
    "insert into u values (3, 'x'), (3, 'y'), (4, 'z')",
    'insert into v values (3, 1), (5, 2)',
    "update u set y = 'ignored'",
    'insert into u select n, rowid from c',
    "insert into p values ('e') returning rowid, k",
    'update p set k = k || rowid',
    'delete from p',
  ])
})

test('conflict clauses of the schema act once, where the statement runs', (t) => {
  const prepare = `
    create table i (id integer primary key autoincrement, b text unique on conflict ignore);
    create table r (id integer primary key on conflict replace, b unique on conflict rollback);
    create table w (a real, b int not null on conflict replace default 7, c unique on conflict replace,
      primary key (b, a)) without rowid;
    create table n (k text collate nocase primary key, v) without rowid;
    insert into i (b) values ('x'), ('y'); insert into r values (1, 'x'), (2, 'y');
    insert into w values (1, 1, 'x'), (2, 1, 'y'); insert into n values ('a', 1)`
  same(t, prepare, [
    "insert into i (b) values ('z'), ('x')",
    'update i set id = id + 10',
    "update i set b = case b when 'x' then 'y' else b || 1 end",
    'delete from i where id > 11',
    "insert into r values (1, 'z'), (2, 'w')",
    'update r set id = id + 5',
    "insert into r values (9, 'w')",
    "insert into w values (1, 2, 'x'), (-2.0, null, 'v')",
    "insert into w values (-2, 7, 'u')",
    "insert into w values (-2, 7, 'u') on conflict (b, a) do update set c = 't' || a",
    'update w set a = a + 1, c = a',
    "update n set k = 'A'",
    "replace into n values ('a', 2)",
    "insert into n values (cast(x'ff' as text), cast(x'fe41' as text))",
    "update n set v = v || cast(x'c3' as text), k = upper(k)",
    'delete from w where b = 7',
  ])
})

test('rowids and values that change places', (t) => {
  const a = same(
    t,
    "create table t (k text primary key, v unique); insert into t values ('a', 1), ('b', 2), ('c', 3)",
    [
      'update t set rowid = -rowid',
      'update t set v = -v',
      "update t set v = case v when -1 then -2 when -2 then -9 else v end where k <> 'b'",
    ],
  )
  const before = stateOf(a)
  a.executePrograms([
    atomic(
      'update t set rowid = 100 where rowid = 1',
      'update t set rowid = 1 where rowid = 2',
      'update t set rowid = 2 where rowid = 100',
      'update t set v = 77 where rowid = 1',
    ),
    program("delete from t where k = 'c'"),
    program("insert into t values ('c', 3)"),
  ])
  assert.notDeepEqual(stateOf(a), before)
  a.truncate(a.log.last.index - 1)
  assert.deepEqual(stateOf(a), before)
})

test('schema changes in between: the rows of each piece arrive', (t) => {
  const prepare = "create table t (k text primary key, v); insert into t values ('a', 1), ('b', 2)"
  const folder = folderOf(t)
  const [a, b] = [Replica.found(t, folder, 'a', prepare), Replica.found(t, folder, 'b', prepare)]
  a.run(
    'begin',
    "insert into t values (null, 3), ('c', 3)",
    'create table n (x, y unique)',
    'insert into n select k, rowid from t',
    'savepoint s',
    "insert into n values ('not', 'this')",
    'alter table t add column w default 5',
    'update t set w = rowid',
    'rollback to s',
    'update t set rowid = rowid + 10',
    'alter table t rename to r',
    'alter table r rename column v to vv',
    "replace into r values ('a', 9)",
    'create unique index r_vv on r (vv) where vv > 5',
    "replace into r values ('q', 9)",
    'alter table n drop column x',
    'delete from n where y = 1',
    'commit',
  ).forEach(ok)
  a.must("insert into r values ('after', 1)", 'drop table n', 'create table n (z)')
  a.must('insert into n values (1), (1)', 'create table m as select * from n')
  b.follow(a)
  assert.deepEqual(stateOf(b), stateOf(a))
  assert.deepEqual(a.query('select rowid, k, vv from r'), [
    ...[
      [12, 'b', 2],
      [13, null, 3],
      [14, 'c', 3],
      [16, 'q', 9],
      [17, 'after', 1],
    ],
  ])
  const at = a.log.last.index
  const before = stateOf(a)
  a.executePrograms([program('delete from n'), program("update r set vv = 'x'")])
  assert.notDeepEqual(stateOf(a), before)
  a.truncate(at)
  assert.deepEqual(stateOf(a), before)
})

test('the sign of zero, and keys without a type', (t) => {
  same(t, 'create table t (id integer primary key, x, r real, y any) ', [
    'insert into t values (1, 0.0, 0.0, -0.0), (2, -0.0, -0.0, 0), (3, 0, 1e999, null)',
    'update t set x = -x, r = -r, y = -y',
    'update t set id = id + 1 where x = 0 or r is null',
    'delete from t where x is 0.0',
  ])
})

test('INSERT … SELECT * into an empty table keeps rowids where SQLite does', (t) => {
  const prepare = `create table s (k text primary key, v); create table d (k text primary key, v);
    create table h (k, v); create table i (k, v); create unique index i_v on i (v);
    create table f (k text primary key, v references d (k)); create table "a b" (k text unique, v);
    insert into s (rowid, k, v) values (7, 'a', 1), (3, 'b', 2), (-4, null, 3)`
  same(t, prepare, [
    'insert into d select * from s',
    "insert into d select * from s where k = 'zzz'",
    'replace into d select * from s',
    'insert into h select * from s',
    'delete from d where v = 1',
    'insert or replace into main.i select * from s',
    'insert or ignore into "a b" select * from s limit 2',
    'insert into f select k, null from s',
    'delete from f',
    'INSERT INTO f SELECT * FROM s',
    'insert into main . f select * from s where v is null',
    'delete from h',
    'insert into h select * from d union all select * from s',
  ])
})

test('changes(), total_changes() and last_insert_rowid() are those of plain SQLite', (t) => {
  const prepare = 'create table t (k text primary key, v unique); create table n (x)'
  const plain = new DatabaseSync(':memory:')
  plain.exec(prepare)
  const a = Replica.found(t, folderOf(t), 'a', prepare)
  const tell = 'select changes(), total_changes(), last_insert_rowid()'
  const read = { returnArrays: true, readBigInts: true }
  for (const sql of [
    "insert into t values ('a', 1), ('b', 2)",
    "replace into t values ('a', 2)",
    'insert into n values (1), (2)',
    'update n set rowid = rowid + 5',
    'delete from n where rowid = 6',
  ]) {
    const counts = () => plain.prepare(tell, read).get() as unknown as bigint[]
    const from = counts()
    plain.exec(sql)
    const to = counts()
    const [first, done, last] = a.execute(atomic(tell, sql, tell)).outcomes[0]?.result.steps ?? []
    const before = ok(first).rows[0] as bigint[]
    const after = ok(last).rows[0] as bigint[]
    const grown = (now: bigint[], then: bigint[]) => Number(now[1]) - Number(then[1])
    assert.equal(grown(after, before), grown(to, from), sql)
    assert.deepEqual([after[0], after[2]], [to[0], to[2]], sql)
    assert.equal(ok(done).changes, Number(to[0]), sql)
  }
})

test('a rowid that no name reaches, and an index that can not be followed, are refused', (t) => {
  const a = Replica.found(t, folderOf(t), 'a')
  const codes = (sql: string) => a.run(sql).map(outcome)
  assert.deepEqual(codes('create table t (rowid, oid, _ROWID_ text)'), ['SQL_REFUSED'])
  assert.deepEqual(codes('create table t (rowid, oid)'), ['ok'])
  assert.deepEqual(codes('create table u (rowid, oid, _rowid_ integer primary key)'), ['ok'])
  assert.deepEqual(codes('insert into t values (1, 2)'), ['ok'])
  a.must('insert into u values (1, 2, 3), (4, 5, 6)', 'update u set _rowid_ = 9 where rowid = 1')
  const b = Replica.found(t, folderOf(t), 'b')
  b.follow(a)
  assert.deepEqual(b.query('select * from u'), [
    [4, 5, 6],
    [1, 2, 9],
  ])
  assert.deepEqual(a.query('select _rowid_, * from t'), [[1, 1, 2]])
})
