/** What docs/sqlite.md says is as in SQLite; see feature-fixture.ts. */
import test from 'node:test'
import { same } from './feature-fixture.ts'

test('what ORMs send when they connect', (t) => {
  same(
    t,
    ['PRAGMA foreign_keys = 1', 'PRAGMA foreign_keys'],
    'PRAGMA encoding = "UTF-8"',
    'PRAGMA synchronous = NORMAL',
    'PRAGMA cache_size = -64000',
    'PRAGMA temp_store = MEMORY',
    'PRAGMA auto_vacuum = INCREMENTAL',
    'PRAGMA page_size = 8192',
    'PRAGMA trusted_schema = OFF',
    'PRAGMA cell_size_check = ON',
    'PRAGMA optimize',
    'PRAGMA optimize = 0x10002',
    'PRAGMA shrink_memory',
    'PRAGMA incremental_vacuum(10)',
    'PRAGMA case_sensitive_like = OFF',
    'PRAGMA query_only = 0',
    'PRAGMA writable_schema = RESET',
    'PRAGMA no_such_pragma = 3',
    'PRAGMA no_such_pragma',
    'VACUUM',
    ['begin', 'vacuum', 'commit'],
    ['PRAGMA recursive_triggers', 'PRAGMA recursive_triggers = yes', 'PRAGMA recursive_triggers'],
    'PRAGMA recursive_triggers',
    ['PRAGMA legacy_alter_table(1)', 'PRAGMA legacy_alter_table'],
  )
})

test('recursive_triggers, ignore_check_constraints, reverse_unordered_selects as settings', (t) => {
  same(
    t,
    'create table n (id integer primary key, v unique check (v < 5))',
    'create table log (id integer primary key, what)',
    'create trigger deep after insert on n when new.v < 3 begin insert into n (v) values (new.v + 1); end',
    "create trigger gone after delete on n begin insert into log (what) values ('gone ' || old.v); end",
    ['insert into n (v) values (0)', 'select * from n'],
    ['pragma recursive_triggers = on', 'replace into n (v) values (1)', 'select * from n'],
    'replace into n (v) values (1)',
    'insert into n (v) values (9)',
    ['pragma ignore_check_constraints = on', 'insert into n (v) values (9)'],
    'update n set v = v + 1 where v = 9',
    ['pragma reverse_unordered_selects = on', 'select * from log'],
    'select * from log',
    'delete from n where v = 9',
  )
})

test('a CHECK that depends on chance is the leader’s to decide', (t) => {
  const steps = ['create table k (id integer primary key, v check (v is not null or random() = 1))']
  same(t, ...steps, 'insert into k (v) values (1), (2), (3)')
})

test('double quotes around what is no column are a string', (t) => {
  same(
    t,
    'create table t (id integer primary key, v text default "none", w check (w <> "bad"))',
    'insert into t (w) values ("good")',
    'insert into t (w) values ("bad")',
    'create index i on t ("missing")',
    'create view vw as select "text" as x, "v" as y from t',
    'create trigger tr after update on t begin update t set v = "by trigger" where id = new.id; end',
    'update t set w = "other" where v = "none"',
    'select * from t, vw where w = "other"',
    'select "id", "nope" from t order by "nothing"',
  )
})

test('FTS5: plain, with options, commands, vocabulary', (t) => {
  same(
    t,
    `create virtual table f using fts5 (title, body, tag unindexed, prefix = '2 3',
       tokenize = 'porter unicode61 remove_diacritics 2')`,
    `insert into f values ('Running', 'the quick brown föx', 'a'), ('Jumps', 'over the lazy dog', 'b')`,
    `insert into f (rowid, title, body) values (77, 'Seventy', 'runs')`,
    "select rowid, title, highlight(f, 1, '[', ']') from f where f match 'fox OR run*' order by rank, rowid",
    "update f set body = 'slow' where f match 'quick'",
    "delete from f where tag = 'b'",
    "insert into f (f) values ('optimize')",
    "insert into f (f, rank) values ('merge', 16)",
    "insert into f (f, rank) values ('pgsz', 128)",
    "insert into f (f, rank) values ('rank', 'bm25(10.0, 5.0)')",
    "insert into f (f, rank) values ('automerge', 2)",
    "insert into f (f) values ('rebuild')",
    "insert into f (f) values ('integrity-check')",
    "insert into f (f) values ('nonsense')",
    "insert into f (f, rank) values ('secure-delete', 1)",
    'delete from f where rowid = 77',
    'create virtual table fv using fts5vocab (f, row)',
    'select * from fv order by 1',
    'create virtual table tri using fts5 (x, tokenize = trigram)',
    "insert into tri values ('substring')",
    "select * from tri where x like '%bstr%'",
    'alter table f rename to g',
    "insert into g (title) values ('renamed')",
    'select count(*) from g',
    'drop table fv',
    'drop table tri',
  )
})

test('FTS5: contentless, contentless_delete, external content with triggers', (t) => {
  same(
    t,
    "create virtual table c using fts5 (x, y, content = '')",
    "insert into c (rowid, x, y) values (1, 'one', 'uno'), (2, 'two', 'dos')",
    "insert into c (c, rowid, x, y) values ('delete', 1, 'one', 'uno')",
    'delete from c where rowid = 2',
    "insert into c (c) values ('delete-all')",
    "insert into c (rowid, x) values (9, 'nine')",
    "select rowid from c where c match 'nine'",
    "create virtual table cd using fts5 (x, content = '', contentless_delete = 1)",
    "insert into cd (rowid, x) values (1, 'one'), (2, 'two')",
    'delete from cd where rowid = 1',
    "insert or replace into cd (rowid, x) values (2, 'deux')",
    "update cd set x = 'zwei' where rowid = 2",
    "select rowid from cd where cd match 'zwei'",
    'create table doc (id integer primary key, a text, b text)',
    "create virtual table d using fts5 (a, b, content = 'doc', content_rowid = 'id')",
    'create trigger d_ai after insert on doc begin insert into d (rowid, a, b) values (new.id, new.a, new.b); end',
    "create trigger d_ad after delete on doc begin insert into d (d, rowid, a, b) values ('delete', old.id, old.a, old.b); end",
    `create trigger d_au after update on doc begin
       insert into d (d, rowid, a, b) values ('delete', old.id, old.a, old.b);
       insert into d (rowid, a, b) values (new.id, new.a, new.b); end`,
    "insert into doc (a, b) values ('alpha', 'beta'), ('gamma', 'delta')",
    "update doc set a = 'omega' where id = 1",
    'delete from doc where id = 2',
    [
      'begin',
      "insert into doc (a) values ('kept')",
      'savepoint s',
      "insert into doc (a) values ('no')",
      'rollback to s',
      'commit',
    ],
    "select rowid, a from d where d match 'omega OR kept'",
    "insert into d (d) values ('rebuild')",
    "insert into d (d) values ('integrity-check')",
    ["insert into doc (a) values ('x')", "insert or rollback into doc (id, a) values (1, 'y')"],
  )
})

test('FTS3, FTS4 and their vocabulary', (t) => {
  same(
    t,
    'create virtual table f3 using fts3 (a, b)',
    "create virtual table f4 using fts4 (a, tokenize = porter, prefix = '2', notindexed = b, b)",
    "create virtual table x using fts4 (content = '', a)",
    "insert into f3 values ('one two', 'three')",
    "insert into f4 (docid, a, b) values (5, 'running', 'x'), (6, 'walking', 'y')",
    "insert into x (docid, a) values (1, 'hidden')",
    "update f4 set a = 'ran' where docid = 6",
    'delete from f3 where docid = 1',
    "insert into f4 (f4) values ('optimize')",
    "insert into f4 (f4) values ('merge=4,2')",
    "select docid, snippet(f4) from f4 where f4 match 'run'",
    'create virtual table terms using fts4aux (f4)',
    'select term, documents from terms order by 1, 2',
    [
      'begin',
      "insert into f4 (a) values ('in')",
      'savepoint s',
      "insert into f4 (a) values ('out')",
      'rollback to s',
      'commit',
    ],
    "select docid from f4 where f4 match 'in'",
    'drop table f3',
  )
})

test('R*Tree with auxiliary columns, rtree_i32, geopoly', (t) => {
  same(
    t,
    'create virtual table r using rtree (id, minx, maxx, miny, maxy, +name text, +data)',
    "insert into r values (1, 0, 1, 0, 1, 'a', x'00'), (2, 5, 6, 5, 6, 'b', null)",
    'insert into r (minx, maxx, miny, maxy) values (2, 1, 0, 0)',
    "insert into r (minx, maxx, miny, maxy, name) values (2, 3, 0, 1, 'c') returning id",
    "update r set name = 'z', maxx = 10 where id = 2",
    'select id, maxx, name from r where minx <= 2 and maxx >= 2 order by id',
    'insert or replace into r values (1, 7, 8, 7, 8, null, null)',
    'delete from r where id = 2',
    'create virtual table ri using rtree_i32 (id, a, b)',
    'insert into ri values (1, -2147483648, 2147483647), (2, 1.9, 3.9)',
    'select * from ri',
    "select rtreecheck('main', 'r')",
    'create virtual table g using geopoly (name)',
    "insert into g (name, _shape) values ('sq', '[[0,0],[1,0],[1,1],[0,1],[0,0]]'), ('bad', 'x')",
    "insert into g (name, _shape) values ('sq', '[[0,0],[1,0],[1,1],[0,1],[0,0]]')",
    'select name, geopoly_json(_shape) from g',
    "select name from g where geopoly_within(_shape, '[[-1,-1],[2,-1],[2,2],[-1,2],[-1,-1]]')",
    'with recursive n(i) as (select 10 union all select i + 1 from n where i < 300) insert into r (minx, maxx, miny, maxy) select i, i + 1, i, i + 1 from n',
    'delete from r where id % 3 = 0',
    'alter table r rename to s',
    'drop table ri',
  )
})

test('table functions and virtual tables that need no table', (t) => {
  same(
    t,
    'create table t (id integer primary key, j text)',
    `insert into t values (1, '{"a": [1, 2]}')`,
    'select key, value, atom from json_each(\'[1, 2, {"x": 3}]\')',
    'select fullkey from t, json_tree(t.j)',
    "select name, type from pragma_table_info('t')",
    'select count(*) > 0 from dbstat',
    'select user_version from pragma_user_version',
  )
})

test('values at the edges arrive byte for byte', (t) => {
  same(
    t,
    'create table v (id integer primary key, x)',
    'create table k (x primary key, y)',
    'create table w (x primary key) without rowid',
    'create table s (id integer primary key, i int, r real, a any, b blob, x text) strict',
    'insert into v (x) values (9223372036854775807), (-9223372036854775808), (9223372036854775808), (-9223372036854775809)',
    'insert into v (x) values (9e999), (-9e999), (9e999 - 9e999), (-0.0), (0.0), (5e-324), (1.7976931348623157e308)',
    "insert into v (x) values (x''), (zeroblob(100000)), (''), ('a' || char(0) || 'b'), (cast(x'ff' as text)), (cast(x'eda080' as text)), (cast(x'c0af00' as text))",
    "insert into v (x) values ('😀'), (char(1114111)), (char(55357)), (char(65279) || 'bom')",
    'insert into v values (9223372036854775807, 1)',
    'insert into v values (-9223372036854775808, 1)',
    'select typeof(x), hex(x) from v',
    'insert into k select x, id from v where true on conflict do nothing',
    'insert or ignore into w select x from v where x is not null',
    "update k set y = -0.0 where typeof(x) = 'text'",
    "update w set x = cast(x'fe' as text) where x = cast(x'ff' as text)",
    "delete from k where x = 'a' || char(0) || 'b'",
    "insert into s values (1, 1.0, 1, -0.0, x'', ''), (2, '7', 9223372036854775807, cast(x'ff' as text), null, 'x')",
    "insert into s values (3, 'x', 1, 1, null, null)",
    "update v set x = -x where typeof(x) <> 'text'",
    "select sum(x) from v where typeof(x) = 'integer'",
    'select 9223372036854775807 + 1, -9223372036854775808, abs(-9223372036854775808)',
  )
})

test('triggers: INSTEAD OF, RAISE of every form, nested, RETURNING beside them', (t) => {
  same(
    t,
    'create table t (id integer primary key, v unique, n int default 0)',
    'create table log (id integer primary key autoincrement, what)',
    'create view v as select id, v from t',
    "create trigger vi instead of insert on v begin insert into t (v) values (new.v); insert into log (what) values ('i'); end",
    'create trigger vu instead of update of v on v begin update t set v = new.v where id = old.id; end',
    'create trigger vd instead of delete on v begin delete from t where id = old.id; end',
    "insert into v (v) values ('a'), ('b')",
    "insert into v (v) values ('c') returning id, v",
    "update v set v = upper(v) where v <> 'a'",
    "delete from v where v = 'B'",
    'select last_insert_rowid() > 0 from t',
    "create trigger ti before insert on t begin select case new.v when 'ignore' then raise(ignore) when 'abort' then raise(abort, 'aborted') when 'fail' then raise(fail, 'failed') when 'rollback' then raise(rollback, 'rolled back') end; end",
    "insert into t (v) values ('x1'), ('ignore'), ('x2') returning v",
    "insert into t (v) values ('x3'), ('abort'), ('x4')",
    "insert into t (v) values ('x5'), ('fail'), ('x6')",
    [
      'begin',
      "insert into t (v) values ('x7')",
      "insert into t (v) values ('rollback')",
      "insert into t (v) values ('x8')",
    ],
    "create trigger tu after update on t begin update t set n = n + 1 where id = new.id; insert into log (what) values (old.v || '>' || new.v); end",
    "update t set v = v || '!' where v like 'x%' returning *",
    "insert into t (v, n) values ('a', 1) on conflict (v) do update set n = excluded.n + 10 where n < 5 on conflict (id) do nothing returning n",
    "insert into t (id, v) values (1, 'new') on conflict (v) do nothing on conflict (id) do update set v = 'taken'",
    "update t set n = s.c from (select count(*) c from log) s where t.v = 'taken'",
    'select changes(), total_changes() > 0',
  )
})

test('keys: swapped, moved, AUTOINCREMENT with its table written by hand', (t) => {
  same(
    t,
    'create table u (id integer primary key, a int unique, b int, unique (a, b))',
    'insert into u values (1, 10, 1), (2, 20, 2), (3, 30, 3)',
    'update u set a = 50 - a where a in (20, 30)',
    'update u set a = a + 10',
    'update u set a = case id when 1 then 9001 when 2 then 9002 else 9003 end',
    'update u set id = -id',
    'update u set id = id + 10',
    'create table k (a text, b int, v, primary key (a, b)) without rowid',
    "insert into k values ('x', 1, 1), ('x', 2, 2), ('y', 1, 3)",
    "update k set b = 3 - b where a = 'x'",
    'create table s (id integer primary key autoincrement, v)',
    'insert into s (v) values (1), (2)',
    'delete from s where id = 2',
    'insert into s (v) values (3) returning id',
    "update sqlite_sequence set seq = 100 where name = 's'",
    'insert into s (v) values (4) returning id',
    "delete from sqlite_sequence where name = 's'",
    'insert into s (v) values (5) returning id',
    'alter table s rename to s2',
    'select name, seq from sqlite_sequence',
    'drop table s2',
    'select name, seq from sqlite_sequence',
  )
})

test('writing to sqlite_sequence by hand, a row that is not there yet included', (t) => {
  same(
    t,
    'create table s (id integer primary key autoincrement, v)',
    "insert into sqlite_sequence (name, seq) values ('s', 41)",
    'insert into s (v) values (1) returning id',
    'update sqlite_sequence set seq = 0',
    'delete from sqlite_sequence',
    'insert into s (v) values (1) returning id',
    [
      "create trigger reset after insert on s when new.v = 'reset' begin update sqlite_sequence set seq = 500; end",
    ],
    "insert into s (v) values ('reset')",
    'insert into s (v) values (2) returning id',
  )
})

test('deferred foreign keys, nested savepoints, errors at COMMIT', (t) => {
  same(
    t,
    'create table p (id integer primary key)',
    'create table c (id integer primary key, p references p deferrable initially deferred)',
    'insert into c values (1, 1)',
    ['begin', 'insert into c values (1, 1)', 'commit', 'insert into p values (1)', 'commit'],
    [
      'begin',
      'savepoint a',
      'insert into p values (2)',
      'savepoint A',
      'insert into p values (3)',
      'rollback to a',
      'release a',
      'release a',
      'commit',
    ],
    ['savepoint "outer one"', 'insert into p values (4)', 'release "outer one"', 'release nosuch'],
    ['begin', 'begin', 'savepoint x', 'commit', 'rollback'],
    [
      'begin',
      'pragma defer_foreign_keys = on',
      'delete from p where id = 1',
      'insert into p values (1)',
      'end',
    ],
    'select * from p',
  )
})

test('names: quoted in every way, keywords, long, of other alphabets, in another case', (t) => {
  const long = 'n'.repeat(1000)
  same(
    t,
    'create table "a ""quoted"" name" ([b c] text, `d``e` int, "" int, primary key ([b c]))',
    'insert into "a ""quoted"" name" values (\'x\', 1, 2)',
    'create table "order" ("group" integer primary key, "select" unique)',
    'insert into main."order" values (1, 2)',
    'update "ORDER" set "SELECT" = 3',
    `create table ${long} (${long} integer primary key, v)`,
    `insert into ${long} (v) values (1)`,
    'create table "表" ("列" integer primary key, "σ" text)',
    "insert into 表 (σ) values ('ß')",
    'update [表] set "σ" = \'語\'',
    'create index "an index" on 表 (σ)',
    'create table Mixed (Id INTEGER PRIMARY KEY, vAl TEXT)',
    "INSERT INTO MIXED (ID, VAL) VALUES (1, 'a')",
    'alter table MIXED rename column VAL to Val2',
    'drop index "AN INDEX"',
    'drop table "a ""quoted"" name"',
    "create table 'single' (id integer primary key)",
    "insert into 'single' values (1)",
    'select * from mixed',
  )
})

test('a statement that fails half-way outside a transaction leaves none of its rows', (t) => {
  same(
    t,
    'create table t (a int, b integer primary key) strict',
    "insert into t (a) values (1), ('x')",
    'create table u (id integer primary key, v)',
    "insert into u (v) values (1), (json('{'))",
    'insert into u (v) values (2), (abs(-9223372036854775808))',
    "update u set v = json('{')",
    'select * from u',
  )
})

test('changes() and last_insert_rowid() are of the program, not of the log', (t) => {
  same(
    t,
    'create table p (id integer primary key)',
    'create table c (id integer primary key, p references p deferrable initially deferred)',
    ['insert into c (id) values (4), (5)', 'select last_insert_rowid(), changes()'],
    ['delete from c', 'insert into c (id) select 8', 'select last_insert_rowid(), changes()'],
    [
      'insert into p values (1), (2), (3)',
      'insert into c values (9, null)',
      'update p set id = id + 10',
      'select changes(), last_insert_rowid()',
    ],
  )
})

test('OR FAIL whose kept rows break a deferred foreign key', (t) => {
  same(
    t,
    'create table p (id integer primary key)',
    'create table t (a text primary key not null, b text check (b is not 5), e references p (id) deferrable initially deferred)',
    "insert or fail into t values ('x', 'y', 2), ('z', '5', null)",
    'create table child (id integer primary key, x, y, foreign key (x, y) references later (a, b))',
    'create table g (id integer primary key, x references p (id) deferrable initially deferred)',
    [
      'create table other (id integer primary key)',
      'savepoint s',
      'insert into g (x) values (3)',
      'release s',
    ],
    'select count(*) from g',
  )
})

test('ANALYZE, REINDEX and writing statistics', (t) => {
  same(
    t,
    'create table t (id integer primary key, v text collate nocase)',
    'create index i on t (v)',
    "insert into t (v) values ('a'), ('B'), ('c')",
    'analyze',
    'analyze main.t',
    'analyze i',
    'reindex',
    'reindex nocase',
    'reindex main.i',
    'reindex missing',
    'select tbl, idx, stat from sqlite_stat1 order by idx',
  )
})
