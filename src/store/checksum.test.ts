import { deepEqual, equal, match, notEqual } from 'node:assert/strict'
import { DatabaseSync } from 'node:sqlite'
import { test } from 'node:test'
import { verifyDatabase } from './checksum.ts'

const SCHEMA = `
  create table item (id integer primary key autoincrement, name text, data);
  create table pair (a, b, c, primary key (b, a)) without rowid;
  create index item_name on item (name);
  create virtual table words using fts5(text);
  create table _quorate_state (key text primary key, value);
`

function open(...scripts: readonly string[]): DatabaseSync {
  const db = new DatabaseSync(':memory:')
  for (const sql of [SCHEMA, ...scripts]) db.exec(sql)
  return db
}

const tablesOf = (db: DatabaseSync) => verifyDatabase(db).tables

test('equal content has equal checksums, whatever way it came there', () => {
  const one = open(`insert into item values (1, 'tea', 1), (2, 'rum', x'00');
    insert into pair values (1, 2, 3), (2, 1, 4); insert into words values ('green tea');
    insert into _quorate_state values ('applied', 12)`)
  const other = open(`insert into item values (2, 'rum', x'00'), (3, 'x', 1), (1, 'te', 1);
    update item set name = 'tea' where id = 1; delete from item where id = 3;
    update sqlite_sequence set seq = 2;
    insert into pair values (2, 1, 4), (1, 2, 3); insert into words values ('green tea');
    vacuum; analyze`)
  deepEqual(tablesOf(other), tablesOf(one))
  equal(verifyDatabase(one).index, 12)
  equal(verifyDatabase(other).index, 0)
  deepEqual(verifyDatabase(one).problems, [])
  const names = ['item', 'pair', 'schema', 'sqlite_sequence']
  const shadows = ['words_config', 'words_content', 'words_data', 'words_docsize', 'words_idx']
  deepEqual(Object.keys(tablesOf(one)).sort(), [...names, ...shadows].sort())
})

test('each value, type, length and boundary between values counts', () => {
  const values = [
    ...['null', '1', '1.0', "'1'", "x'31'", '2', '-1', "''", "x''", '0.0', "'ab'", "'é'"],
    `'${'x'.repeat(70_000)}'`,
    `'${'x'.repeat(70_001)}'`,
    'zeroblob(70000)',
  ]
  const digests = values.map((value) => tablesOf(open(`insert into item values (1, 1, ${value})`)))
  equal(new Set(digests.map((tables) => tables['item'])).size, values.length)
  const left = tablesOf(open("insert into pair values ('a', 'bc', '')"))['pair']
  const right = tablesOf(open("insert into pair values ('ab', 'c', '')"))['pair']
  notEqual(left, right)
})

test('content larger than the buffer does not depend on how it is cut', () => {
  const rows = `with recursive n(i) as (select 1 union all select i + 1 from n where i < 3000)
    insert into item select i, printf('%0*d', i % 97, i), i * 1.5 from n order by`
  deepEqual(tablesOf(open(`${rows} i desc`)), tablesOf(open(`${rows} i % 7, i`)))
})

test('schema, user_version and a deleted AUTOINCREMENT row count', () => {
  const plain = tablesOf(open())
  notEqual(tablesOf(open('create view v as select 1'))['schema'], plain['schema'])
  notEqual(tablesOf(open('pragma user_version = 3'))['schema'], plain['schema'])
  const gone = open("insert into item values (9, '', ''); delete from item")
  notEqual(tablesOf(gone)['sqlite_sequence'], plain['sqlite_sequence'])
})

test('broken foreign keys and damaged indexes are problems, ten at most', () => {
  const db = open(`pragma foreign_keys = off; create table parent (id integer primary key);
    create table child (id integer primary key, p references parent);
    with recursive n(i) as (select 1 union all select i + 1 from n where i < 15)
    insert into child select i, i from n`)
  const { problems } = verifyDatabase(db)
  equal(problems.length, 10)
  equal(problems[0], 'Row 1 of child refers to a row of parent that does not exist.')
  const mismatch = open(`pragma foreign_keys = off; create table p (a);
    create table c (id integer primary key, b references p(a)); insert into c values (1, 1)`)
  match(verifyDatabase(mismatch).problems.join(), /foreign key mismatch/)
})
