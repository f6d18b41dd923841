/** Scripts that the random test once failed by, shortened: a seed is another run after each change. */
import { equal } from 'node:assert/strict'
import test from 'node:test'
import type { Value } from '../../model/program.ts'
import { describeFailure, errorOf } from './campaign.ts'
import type { Item, Sql } from './script.ts'

/** A statement, with its arguments. */
type Given = string | readonly [sql: string, ...args: Value[]]

function sql(given: Given): Sql {
  const [text, ...args] = typeof given === 'string' ? [given] : given
  const verb = /^(insert|update|delete)/.exec(text.replace(/^replace/, 'insert'))?.[1]
  const known = verb === 'insert' || verb === 'update' || verb === 'delete' ? verb : 'other'
  return { sql: text, args, verb: known, features: [], effects: [] }
}

const programs = (...all: (readonly Given[])[]): Item => ({
  kind: 'batch',
  programs: all.map((statements) => ({ atomic: false, statements: statements.map(sql) })),
})
const FORK: Item = { kind: 'fork' }

function scenario(name: string, prepare: readonly Given[], ...items: readonly Item[]): void {
  test(name, () => {
    const script = { prepare: prepare.map(sql), items }
    const error = errorOf(script)
    equal(error, null, describeFailure({ seed: 0, error, script }))
  })
}

scenario(
  'a column that is called VIRTUAL generated does not make a virtual table',
  ['create table t (a text primary key not null, b as (a) virtual)'],
  programs([['insert into t values (?)', 'x']]),
)

scenario(
  'the smallest rowid of all does not break what the store writes next',
  ['create table t (id integer primary key)'],
  programs(
    [['insert into t values (?)', -9_223_372_036_854_775_808n]],
    ['insert into t default values'],
  ),
)

scenario(
  'a REAL key is one key, whether it was stored as an integer or not',
  ['create table t (k real primary key not null, v text unique)'],
  programs(
    [["insert into t values (?, 'a')", -1]],
    [["insert into t values (?, 'b') on conflict (k) do update set v = excluded.v", -1n]],
  ),
)

scenario(
  'changes() tells of the client’s statement',
  ['create table t (id integer primary key, v)'],
  programs(['insert into t (v) values (1), (2)', 'select last_insert_rowid(), changes()']),
)

scenario(
  'a conflict clause of a column does not act when a key update is taken back',
  [
    `create table t (a integer not null, b int not null, s text unique on conflict rollback,
      primary key (a, b)) without rowid`,
    "insert into t values (1, 1, 'a')",
  ],
  FORK,
  programs(['update t set b = 4 where a = 1']),
)

for (const clause of ['replace', 'ignore', 'fail']) {
  scenario(
    `ON CONFLICT ${clause} of a column does not act when a key update is applied`,
    [
      `create table t (a integer primary key, s text unique on conflict ${clause})`,
      "insert into t values (1, 'a'), (2, 'b')",
    ],
    programs([
      'begin',
      "update t set s = 'x' where a = 1",
      'update t set a = 3 where a = 2',
      'commit',
    ]),
    programs([
      'begin',
      'update t set a = -1 where a = 1',
      'update t set a = 1 where a = 3',
      'commit',
    ]),
  )
}

scenario(
  'OR FAIL: what COMMIT says about the rows that stay comes before the error itself',
  [
    'create table p (id integer primary key)',
    `create table t (a text primary key not null, b text check (b is not 5),
      e references p (id) deferrable initially deferred)`,
  ],
  programs(["insert or fail into t values ('x', 'y', 2), ('z', '5', null)"]),
)

scenario(
  'bytes that are no UTF-8 stay as they are',
  ['create table t (a not null, b integer not null, x text, primary key (a, b))'],
  programs(["insert into t values (4, 5, cast(x'61ff62' as text))"], ['update t set a = a + 1']),
)

scenario(
  'a failed statement on a STRICT table leaves none of its rows',
  ['create table t (a int, b integer primary key) strict'],
  programs(["insert into t (a) values (1), ('x')"], ['insert into t (a) values (2)']),
)

scenario(
  'AUTOINCREMENT at its end is an error of the statement',
  ['create table t (id integer primary key autoincrement)'],
  programs(
    [['insert into t values (?)', 9_223_372_036_854_775_807n]],
    ['insert into t default values'],
  ),
)

scenario(
  'the first SELECT on an R*Tree changes nothing',
  ['create virtual table boxes using rtree (id, x0, x1)'],
  programs(['select * from boxes']),
)

scenario(
  'a foreign key that can’t be checked does not hide another that is broken',
  [
    'create table t (a int primary key not null, b references nowhere (b))',
    'create table g (id integer primary key, x references t (a) deferrable initially deferred)',
  ],
  programs([
    'create table u (id integer primary key)',
    'begin',
    'insert into g (x) values (3)',
    'commit',
  ]),
)

scenario(
  'rows are noticed after a failed ALTER and within a history that is taken back',
  ['create table p (a text, b integer)', 'create table t2 (a text primary key, b text, c text)'],
  programs(["insert into p values ('x', 1), ('y', 2)"]),
  FORK,
  programs([
    'alter table t2 rename column c to a',
    "insert or ignore into p values ('z', 3), ('w', 4)",
  ]),
)
