/** Constraints that a program switched off still hold among several origins. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { atomic, codes, folderOf, program } from '../store-fixture.ts'
import { shipAll, startOrigins } from './origin-fixture.ts'

const TABLES = `
  create table item (id integer primary key, n integer check (n < 100));
  create table part (id integer primary key, item integer references item (id));
  insert into item values (1, 1); insert into part values (1, 1);`

test('what foreign keys would have refused is refused in the end, also when they are off', (t) => {
  const [a, b] = startOrigins(t, folderOf(t), 2, TABLES)
  assert.ok(a !== undefined && b !== undefined)
  const run = (...sqls: string[]) => {
    const [outcome] = a.execute(program(...sqls)).outcomes
    return codes(outcome?.result.steps.filter((step) => step !== null) ?? [])
  }
  assert.deepEqual(run('pragma foreign_keys = off', 'insert into part values (2, 7)'), [
    'ok',
    'SQL_CONSTRAINT',
  ])
  const open = ['pragma foreign_keys = off', 'begin', 'insert into part values (2, 7)']
  assert.deepEqual(run(...open, 'commit', 'rollback').slice(-2), ['SQL_CONSTRAINT', 'ok'])
  // It only has to hold in the end.
  const inTheEnd = ['insert into part values (3, 3)', 'insert into item values (3, 3)']
  assert.deepEqual(run('pragma foreign_keys = off', 'begin', ...inTheEnd, 'commit').at(-1), 'ok')
  assert.deepEqual(
    run('pragma foreign_keys = off', 'create table t (id integer primary key)', 'delete from item'),
    ['ok', 'ok', 'SQL_CONSTRAINT'],
  )
  b.execute(atomic('insert into part values (4, 1)'))
  shipAll([a, b])
  assert.deepEqual(a.content(), b.content())
  assert.deepEqual(a.query('select id from part order by id'), [[1], [3], [4]])
})

test('CHECK stays on', (t) => {
  const [a] = startOrigins(t, folderOf(t), 1, TABLES)
  const [outcome] =
    a?.execute(program('pragma ignore_check_constraints = on', 'insert into item values (2, 200)'))
      .outcomes ?? []
  assert.deepEqual(codes(outcome?.result.steps ?? []), ['SQL_REFUSED', 'SQL_CONSTRAINT'])
})
