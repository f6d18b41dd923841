/** Schema changes as ORMs write them, every form of ALTER, and CREATE TABLE AS. */
import assert from 'node:assert/strict'
import test from 'node:test'
import type { World } from '../equivalence/world.ts'
import { same, sameInStream } from './feature-fixture.ts'

function first(world: World, sql: string): unknown {
  const row = world.database.prepare(sql, { returnArrays: true }).get() as unknown as unknown[]
  return row[0]
}

const REBUILD = [
  'create table p (id integer primary key, v)',
  'create index p_v on p (v)',
  'create table c (id integer primary key, p integer not null references p on delete cascade)',
  "insert into p values (1, 'x'), (2, 'y')",
  'insert into c values (1, 1), (2, 2)',
]
const CHECKED = ['pragma foreign_key_check', 'select count(*) from c']

test('migrations as Prisma writes them', (t) => {
  const script = [
    'PRAGMA defer_foreign_keys=ON',
    'PRAGMA foreign_keys=OFF',
    'CREATE TABLE "new_p" ("id" INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, "v" TEXT NOT NULL DEFAULT "none")',
    'INSERT INTO "new_p" ("id", "v") SELECT "id", "v" FROM "p"',
    'DROP TABLE "p"',
    'ALTER TABLE "new_p" RENAME TO "p"',
    'CREATE UNIQUE INDEX "p_v_key" ON "p"("v")',
    'PRAGMA foreign_keys=ON',
    'PRAGMA defer_foreign_keys=OFF',
  ]
  const world = same(t, ...REBUILD, script, ...CHECKED)
  assert.equal(first(world, 'select count(*) from c'), 2)
})

test('migrations as Drizzle writes them', (t) => {
  const script = [
    'PRAGMA foreign_keys=OFF',
    'BEGIN',
    'CREATE TABLE `__new_p` (`id` integer PRIMARY KEY NOT NULL, `v` text, `w` integer DEFAULT 0)',
    'INSERT INTO `__new_p`("id", "v", "w") SELECT "id", "v", "w" FROM `p`',
    'DROP TABLE `p`',
    'ALTER TABLE `__new_p` RENAME TO `p`',
    'CREATE TABLE IF NOT EXISTS "__drizzle_migrations" (id SERIAL PRIMARY KEY, hash text NOT NULL, created_at numeric)',
    'INSERT INTO "__drizzle_migrations" ("hash", "created_at") VALUES(\'abc\', 17000000)',
    'COMMIT',
    'PRAGMA foreign_keys=ON',
  ]
  same(t, ...REBUILD, script, ...CHECKED, 'select * from p')
})

test('migrations as Django writes them', (t) => {
  const script = [
    'PRAGMA foreign_keys = OFF',
    'PRAGMA foreign_keys',
    'BEGIN',
    'PRAGMA legacy_alter_table = ON',
    'CREATE TABLE "new__p" ("id" integer NOT NULL PRIMARY KEY AUTOINCREMENT, "v" varchar(10) NULL, "n" integer NOT NULL)',
    'INSERT INTO "new__p" ("id", "v", "n") SELECT "id", "v", 7 FROM "p"',
    'DROP TABLE "p"',
    'ALTER TABLE "new__p" RENAME TO "p"',
    'CREATE INDEX "p_n" ON "p" ("n")',
    'PRAGMA legacy_alter_table = OFF',
    'PRAGMA foreign_key_check',
    'COMMIT',
    'PRAGMA foreign_keys = ON',
  ]
  const world = same(t, ...REBUILD, script, ...CHECKED)
  assert.match(
    String(first(world, "select sql from sqlite_schema where name = 'c'")),
    /references p/,
  )
})

test('migrations as TypeORM and Knex write them, on an open stream', (t) => {
  sameInStream(
    t,
    ...REBUILD,
    'BEGIN TRANSACTION',
    'CREATE TABLE "temporary_p" ("id" integer PRIMARY KEY NOT NULL, "v" varchar, "w" integer)',
    'INSERT INTO "temporary_p"("id", "v") SELECT "id", "v" FROM "p"',
    'SAVEPOINT trx1',
    'DROP TABLE "c"',
    'DROP TABLE "p"',
    'ALTER TABLE "temporary_p" RENAME TO "p"',
    'CREATE INDEX "p_v" ON "p" ("v")',
    'RELEASE trx1',
    'CREATE TABLE `_knex_temp_alter123` (`id` integer not null primary key, `v` varchar(255))',
    'INSERT INTO "_knex_temp_alter123" SELECT id, v FROM "p"',
    'DROP TABLE "p"',
    'ALTER TABLE "_knex_temp_alter123" RENAME TO "p"',
    'INSERT INTO p (v) VALUES (1) RETURNING id',
    'COMMIT',
    'SELECT * FROM p',
    'BEGIN IMMEDIATE',
    'ALTER TABLE p ADD COLUMN w DEFAULT 3',
    'UPDATE p SET w = id',
    'ROLLBACK',
    'SELECT * FROM p',
  )
})

test('every form of ALTER TABLE', (t) => {
  same(
    t,
    'create table "My Table" (id integer primary key, "a b" text, n int check (n > 0), g as (n * 2) stored)',
    'create index i on "My Table" ("a b") where n > 1',
    'create view v as select "a b" as ab, g from "My Table"',
    `create trigger tr after update of n on "My Table" begin
       update "My Table" set "a b" = new."a b" || '!' where id = new.id; end`,
    `insert into "My Table" (id, "a b", n) values (1, 'x', 1), (2, 'y', 5)`,
    'alter table "My Table" rename column "a b" to [c d]',
    'alter table "My Table" rename to "select"',
    'alter table "select" add column z default (1 + 1)',
    'alter table "select" add column w text not null default \'w\' collate nocase',
    'alter table "select" add column gv as (n + 1) virtual',
    'alter table "select" add column gs as (n + 1) stored',
    'alter table "select" add column ts default current_timestamp',
    'alter table "select" add column ck int default 1 check (ck < 5)',
    'update "select" set n = n + 1',
    'alter table "select" drop column z',
    'alter table "select" drop column n',
    'alter table "select" drop column id',
    'alter table "select" rename n to m',
    'alter table missing rename to x',
    'alter table main."select" rename to "ünïcödé"',
    'alter table "ünïcödé" alter column w drop not null',
    'insert into "ünïcödé" (m, w) values (9, null)',
    'alter table "ünïcödé" alter column w set not null',
    'alter table "ünïcödé" alter column m set not null',
    'alter table "ünïcödé" add constraint big check (m < 100)',
    'insert into "ünïcödé" (m) values (100)',
    'alter table "ünïcödé" add constraint none check (m < 1)',
    'alter table "ünïcödé" drop constraint big',
    'insert into "ünïcödé" (m) values (100)',
    'select * from v order by 1',
  )
})

test('CREATE TABLE AS: types, rows, IF NOT EXISTS, in a transaction', (t) => {
  same(
    t,
    'create table s (id integer primary key, a int, b text, "odd ""name" real, c, d decimal(3, 2))',
    `insert into s values (1, 2, 'x', 3, x'00', 7), (2, null, 'y', 2.5, cast(x'ff00' as text), '12')`,
    'create table "My T" as select *, a + 1 as sum, b || c, cast(a as text) z from s',
    'select * from "My T"',
    'create table if not exists "My T" as select 1',
    'create table "My T" as select 1',
    'create table main.empty as select * from s where 0',
    'create table bad as select * from missing',
    ['begin', 'create table r as values (1, 2), (3, 4)', 'insert into r values (5, 6)', 'commit'],
    ['begin', 'create table gone as select 1', 'rollback', 'select * from gone'],
    'create table w as with x(n) as (select 1 union all select n + 1 from x where n < 4) select * from x',
    'create table "as" as select 1 as "as" -- the end',
    'insert into w select n + 10 from w',
    'update r set column1 = column1 + 1',
    'delete from w where n % 2',
  )
})

test('CREATE TABLE AS with chance in it gives the same rows everywhere', (t) => {
  same(
    t,
    'create table vary_r as select 1 as id, random() as r',
    'insert into vary_r values (2, 3)',
  )
})

test('a CREATE TABLE AS that a foreign key refers to leaves the children alone', (t) => {
  same(
    t,
    'create table c (id integer primary key, p references p (id) on delete cascade)',
    ['pragma foreign_keys = off', 'insert into c values (1, 1)'],
    'create table p as select 1 as id',
    'select * from c',
    'drop table c',
  )
})

test('DROP TABLE of a parent that refers to a table that is missing', (t) => {
  same(
    t,
    [
      'create table t6 (id integer primary key, e text unique, s references t6 (id) on delete set null, foreign key (e, s) references t5 (x, y))',
    ],
    'insert into t6 values (1, null, null), (2, null, 1)',
    'create table kid (id integer primary key, t references t6 on delete cascade, m references gone (z), n references GONE, o references gone ("Z"))',
    'insert into kid (id, t) values (1, 2)',
    'drop table t6',
    'select count(*) from kid',
    'create table grandkid (id integer primary key, k references kid)',
    'drop table kid',
  )
})
