import { deepEqual, equal, match } from 'node:assert/strict'
import { DatabaseSync } from 'node:sqlite'
import { test } from 'node:test'
import { describeProgram } from './describe.ts'
import { StatementCache } from './statement.ts'

function describer(): (sql: string) => string {
  const db = new DatabaseSync(':memory:')
  db.exec('create table t (id integer primary key, a text); create view v as select a from t')
  const cache = new StatementCache(db)
  return (sql) => {
    const program = { atomic: true, steps: [{ statement: { sql } }] }
    const [step] = describeProgram(program, cache)
    if (!step) return 'nothing'
    if ('error' in step) return step.error.code
    const columns = step.ok.columns.map(({ name, decltype }) => `${name} ${decltype}`)
    return `${step.ok.readOnly ? 'reads' : 'writes'}: ${columns.join(', ')}`
  }
}

test('columns, and what sqlite3_stmt_readonly would say', () => {
  const describe = describer()
  const cases: Readonly<Record<string, string>> = {
    'select id, a, 1 as one from t': 'reads: id INTEGER, a TEXT, one null',
    'with w as (select a from t) select * from w': 'reads: a TEXT',
    'values (1)': 'reads: column1 null',
    'insert into t (a) values (?)': 'writes: ',
    'insert into t (a) values (1) returning id, upper(a)': 'writes: id INTEGER, upper(a) null',
    'with w as (select 1) insert into t (a) select * from w': 'writes: ',
    'update t set a = 1': 'writes: ',
    'delete from t returning a': 'writes: a TEXT',
    'create table if not exists t (x)': 'writes: ',
    'drop table t': 'writes: ',
    begin: 'reads: ',
    'begin immediate': 'writes: ',
    commit: 'reads: ',
    'savepoint s': 'reads: ',
    vacuum: 'writes: ',
    'pragma user_version': 'reads: user_version null',
    'pragma user_version = 5': 'writes: ',
    'pragma table_info(t)':
      'reads: cid null, name null, type null, notnull null, dflt_value null, pk null',
    'pragma journal_mode = delete': 'writes: journal_mode null',
  }
  deepEqual(Object.fromEntries(Object.keys(cases).map((sql) => [sql, describe(sql)])), cases)
})

test('EXPLAIN has its own columns and reads as what it explains', () => {
  const describe = describer()
  match(describe('explain delete from t'), /^writes: addr \w+, opcode /)
  match(describe('EXPLAIN select 1'), /^reads: addr /)
  match(describe('explain query plan update t set a = 1'), /^writes: id \w+, parent /)
})

test('errors are those of the statement, and nothing is run', () => {
  const describe = describer()
  equal(describe('select nothing'), 'SQL_ERROR')
  equal(describe('insert into missing values (1)'), 'SQL_ERROR')
  equal(describe('nonsense'), 'SQL_ERROR')
  equal(describe('explain'), 'SQL_ERROR')
  equal(describe('-- nothing'), 'SQL_NO_STATEMENT')
  equal(describe('select 1; select 2'), 'SQL_MANY_STATEMENTS')
  equal(describe('pragma hard_heap_limit = 1'), 'SQL_REFUSED')
  describe('insert into t (a) values (1)')
  describe('drop table t')
  equal(describe('select count(*) as n from t'), 'reads: n null')
})
