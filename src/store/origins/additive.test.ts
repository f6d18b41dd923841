/** How much agreement each kind of DDL needs. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { exceeds, type SchemaNeed, schemaNeed } from './additive.ts'

const NAMES = {
  virtual: new Set(['search']),
  has: (name: string) => ['t', 'v', 'search', 'x y'].includes(name),
}
const need = (...sqls: string[]) => schemaNeed(sqls, NAMES)

function all(expected: SchemaNeed, sqls: readonly string[]): void {
  for (const sql of sqls) assert.equal(need(sql), expected, sql)
}

test('what only adds', () => {
  all('additive', [
    'create table n (id integer primary key, u text unique)',
    'CREATE TABLE IF NOT EXISTS main.n (id integer primary key)',
    'create index i on t (a)',
    'create view w as select 1',
    'create trigger tr after insert on t begin delete from t; end',
    'create virtual table s2 using fts5 (a)',
    'alter table t add column a',
    'alter table main.t add a text default 5',
    'alter table "x y" add column b integer not null default 1',
    'analyze',
    'analyze t',
    'reindex',
    'pragma user_version = 3',
    'pragma main.application_id(7)',
  ])
})

test('what needs everybody at one place', () => {
  all('any', [
    'create table n (id integer primary key, t integer references t)',
    'create unique index i on t (a)',
    'create trigger tr after insert on t begin insert into search values (new.a); end',
    'create trigger tr after insert on t begin insert into "SEARCH" values (new.a); end',
    'drop table t',
    'drop table if exists t',
    'drop view v',
    'drop index gone',
    'alter table t rename to u',
    'alter table t rename column a to b',
    'alter table t drop column a',
    'alter table t add column a references t',
    'alter table t add column a check (a > 1)',
    'alter table t add column a not null',
    'alter table t add column a not null default null',
    'alter table t add column a text default 1.50',
    'alter table t add column a varchar(9) default -007',
    'alter table t add column a default current_timestamp',
    'alter table t add column a default (random())',
    'alter table t add column a as (b + 1)',
    'alter table t add column a text collate nocase',
    "insert into search (search) values ('rebuild')",
    'insert or replace into main.search values (1)',
    'delete from search',
    'update or ignore search set a = 1',
    'replace into search values (1)',
  ])
  const made = 'create virtual table s2 using fts5 (a)'
  assert.equal(need(made, 'insert into s2 values (1)'), 'any')
  assert.equal(
    need(made, 'create trigger x after insert on t begin insert into s2 values (1); end'),
    'any',
  )
})

test('what changes nothing', () => {
  all('never', [
    'create table if not exists T (id)',
    'create view if not exists main."x y" as select 1',
    'create unique index if not exists v on t (a)',
    'drop table if exists gone',
    'drop trigger if exists main.gone',
    'select 1',
    'insert into t values (1)',
    'pragma user_version',
    'pragma foreign_keys = off',
    '',
    'nonsense',
  ])
})

test('the most counts, and what is more than allowed', () => {
  assert.equal(need('select 1', 'create table n (id integer primary key)', 'drop view v'), 'any')
  assert.equal(need('create table n (id integer primary key)', 'select 1'), 'additive')
  assert.deepEqual(
    [exceeds('any', 'additive'), exceeds('additive', 'additive'), exceeds('additive', 'never')],
    [true, false, true],
  )
})
