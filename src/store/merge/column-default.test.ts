/** A column's default is what SQLite shows in rows that were there before the column. */
import { deepEqual, equal } from 'node:assert/strict'
import { DatabaseSync } from 'node:sqlite'
import { test } from 'node:test'
import { defaultOf } from './column-default.ts'

const COLUMNS = [
  ...['real default 0', 'text default 5', 'integer default 1.0'],
  ...["integer default '7'", 'default 1.0', "numeric default ' 8 '", "blob default x'00ff'"],
  ...["text default 'it''s (x)'", 'text default abc', 'text default "abc"', 'boolean default true'],
  ...['default -5', 'default +1.5', 'int default null', 'default 9223372036854775807'],
]

test('constants are as they are stored', () => {
  for (const column of COLUMNS) {
    const db = new DatabaseSync(':memory:')
    db.exec(`create table t (id integer primary key); insert into t values (1);
      alter table t add column c ${column}`)
    const { type, dflt_value: text } =
      db.prepare("select type, dflt_value from pragma_table_xinfo('t') where name = 'c'").get() ??
      {}
    const shown = db.prepare('select c from t', { readBigInts: true }).get()?.['c']
    const value = text === null ? null : defaultOf(String(type), String(text), false)
    deepEqual([column, typeof value, value], [column, typeof shown, shown])
    db.close()
  }
})

test('what is not the same everywhere is NULL', () => {
  for (const text of ['random()', 'unixepoch()', 'CURRENT_TIMESTAMP', "strftime('%s')"]) {
    equal(defaultOf('', text, false), null)
  }
  equal(defaultOf('int', '1 + 2', false), 3n)
  equal(defaultOf('int', "'x'", true), null)
})
