import { deepEqual, equal, match, ok } from 'node:assert/strict'
import { mkdtempSync, renameSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { after, test } from 'node:test'
import { inspect } from 'node:util'
import type { Program, Statement, StepResult } from '../../model/program.ts'
import type { ReadReply as PortReply } from '../../node/ports.ts'
import { Reader } from './reader.ts'

const folder = mkdtempSync(join(tmpdir(), 'quorate-reader-'))
const path = join(folder, 'shop.db')
const writer = new DatabaseSync(path)
writer.exec(`
  pragma journal_mode = wal;
  create table _quorate_state (key text primary key, value) without rowid;
  insert into _quorate_state values ('applied', 7);
  create table item (id integer primary key, name text not null, price real, data blob);
  insert into item values (1, 'tea', 2.0, x'00ff'), (9007199254740993, 'rum', null, null);
  create virtual table find using fts5(words);
  insert into find values ('green tea');
`)
const reader = new Reader(path)

after(() => {
  reader.close()
  writer.close()
  rmSync(folder, { recursive: true })
})

const program = (statements: readonly (string | Statement)[], atomic = true): Program => ({
  atomic,
  steps: statements.map((s) => ({ statement: typeof s === 'string' ? { sql: s } : s })),
})

function steps(statements: readonly (string | Statement)[], atomic = true): readonly StepResult[] {
  const reply: PortReply = reader.read(program(statements, atomic))
  equal(reply.kind, 'rows', inspect(reply))
  return reply.kind === 'rows' ? reply.result.steps : []
}

function rowsOf(statement: string | Statement): unknown {
  const [step] = steps([statement])
  return step && 'ok' in step ? step.ok.rows : step
}

const errorOf = (step: StepResult | undefined) => (step && 'error' in step ? step.error : null)

test('a read gives typed rows, columns, and the entry that it saw', () => {
  const reply = reader.read(program(['select id, price, data, name as n, 1 from item order by id']))
  deepEqual(reply, {
    kind: 'rows',
    applied: 7,
    result: {
      autocommit: true,
      steps: [
        {
          ok: {
            columns: [
              { name: 'id', decltype: 'INTEGER' },
              { name: 'price', decltype: 'REAL' },
              { name: 'data', decltype: 'BLOB' },
              { name: 'n', decltype: 'TEXT' },
              { name: '1', decltype: null },
            ],
            rows: [
              [1n, 2, new Uint8Array([0, 255]), 'tea', 1n],
              [9007199254740993n, null, null, 'rum', 1n],
            ],
            changes: 0,
            lastInsertRowid: null,
          },
        },
      ],
    },
  })
})

test('all steps of a program see the same state', () => {
  const seen = reader.read(program(['select count(*) from item', 'select count(*) from item']))
  writer.exec("update _quorate_state set value = 8; insert into item values (5, 'x', 1, null)")
  const then = reader.read(program(['select count(*) from item']))
  equal(seen.kind === 'rows' && seen.applied, 7)
  equal(then.kind === 'rows' && then.applied, 8)
  deepEqual(rowsOf('select count(*) from item'), [[3n]])
  writer.exec('update _quorate_state set value = 7; delete from item where id = 5')
})

test('arguments by position and by name, of every type', () => {
  deepEqual(rowsOf({ sql: 'select ?2, ?1', args: ['a', 2n] }), [[2n, 'a']])
  deepEqual(rowsOf({ sql: 'select :a, ?, @b', args: [1n, 2.5, null] }), [[1n, 2.5, null]])
  const named = { a: 1n, '@b': 'x', $c: 3 }
  deepEqual(rowsOf({ sql: 'select :a, @b, $c, :a', named }), [[1n, 'x', 3, 1n]])
  deepEqual(rowsOf({ sql: 'select typeof(?), typeof(?)', args: [1n, 1] }), [['integer', 'real']])
  deepEqual(rowsOf({ sql: 'select 1', wantRows: false }), [])
})

test('arguments that do not fit are refused', () => {
  const cases: readonly Statement[] = [
    { sql: 'select ?' },
    { sql: 'select ?', args: [1n, 2n] },
    { sql: 'select 1', args: [1n] },
    { sql: 'select :a', named: { b: 1n } },
    { sql: 'select :a, :b', named: { a: 1n } },
    { sql: 'select ?', args: [2n ** 70n] },
  ]
  for (const statement of cases) {
    equal(errorOf(steps([statement])[0])?.code, 'SQL_ARGUMENTS', statement.sql)
  }
})

test('what may change anything is not a read, and then nothing is run', () => {
  const writes = [
    'insert into item values (2, 2, 2, 2)',
    'with x as (select 5) update item set price = (select * from x) returning id',
    'delete from item',
    'insert into nowhere values (1)',
    'with x as (select 1) insert into nowhere select * from x',
    'create table t (a)',
    'create temp table t (a)',
    'drop table item',
    'alter table item add column z',
    'reindex',
    'vacuum',
    'analyze',
    "attach ':memory:' as other",
    'savepoint a',
    'begin',
    'pragma user_version = 5',
    'pragma foreign_keys = off',
    'pragma wal_checkpoint(truncate)',
    'pragma optimize',
    'explain pragma query_only = 0',
  ]
  for (const sql of writes) {
    equal(reader.read(program(['select 1', sql])).kind, 'notRead', sql)
  }
})

test('reads of all kinds are reads', () => {
  const reads = [
    'values (1), (2)',
    '-- why\n select 1',
    'with recursive n(i) as (select 1 union all select i + 1 from n where i < 5) select * from n',
    "select * from find where find match 'tea'",
    'explain delete from item',
    'explain query plan update item set price = 1',
    'pragma table_info(item)',
    'pragma main.table_xinfo(item)',
    'PRAGMA USER_VERSION',
    "select * from pragma_index_list('item')",
    'pragma foreign_key_check',
    'select json_group_array(name), max(price) over () from item',
    'select * from sqlite_master',
  ]
  for (const sql of reads) equal(errorOf(steps([sql])[0]), null, sql)
})

test('transaction statements among reads are accepted, and wrong ones are told', () => {
  const good = reader.read(program(['begin', 'select 1', 'commit'], false))
  ok(good.kind === 'rows' && good.result.autocommit)
  deepEqual(
    good.result.steps.map((step) => step !== null && 'ok' in step),
    [true, true, true],
  )
  const [wrong] = steps(['rollback'], false)
  match(errorOf(wrong)?.detail ?? '', /cannot rollback - no transaction is active\./)
  const nested = steps(['begin immediate', 'begin', 'end'], false)
  match(errorOf(nested[1])?.detail ?? '', /within a transaction/)
})

test('an error is in its step, in the words of SQLite; an atomic program ends there', () => {
  const atomic = steps(['select 1', 'select * from nowhere', 'select 2'])
  deepEqual(errorOf(atomic[1]), {
    code: 'SQL_ERROR',
    detail: 'no such table: nowhere.',
    facts: { sqlite: 'SQLITE_ERROR' },
  })
  equal(atomic[2], null)
  const loose = steps(['selec 1', 'select abs(-9223372036854775808)', 'select 2'], false)
  match(errorOf(loose[0])?.detail ?? '', /syntax error/)
  match(errorOf(loose[1])?.detail ?? '', /integer overflow/)
  ok('ok' in (loose[2] ?? {}))
  equal(errorOf(steps(['select 1; select 2'])[0])?.code, 'SQL_MANY_STATEMENTS')
  equal(errorOf(steps(['-- nothing'])[0])?.code, 'SQL_NO_STATEMENT')
})

test('a query that failed over one argument is as new for the next', () => {
  const ask = (n: number) => ({
    sql: "select abs(?), json('[1]')",
    args: [n === 0 ? -(2n ** 63n) : n],
  })
  for (let round = 0; round < 2; round += 1) {
    deepEqual(errorOf(steps([ask(0)])[0])?.detail, 'integer overflow.')
    deepEqual(rowsOf(ask(5)), [[5, '[1]']])
  }
})

test('conditions decide which steps run', () => {
  const statement = { sql: 'select 1' }
  const reply = reader.read({
    atomic: false,
    steps: [
      { statement: { sql: 'select * from nowhere' } },
      { statement, condition: { kind: 'ok', step: 0 } },
      { statement, condition: { kind: 'error', step: 0 } },
      { statement, condition: { kind: 'not', condition: { kind: 'ok', step: 1 } } },
      {
        statement,
        condition: {
          kind: 'and',
          conditions: [{ kind: 'autocommit' }, { kind: 'error', step: 1 }],
        },
      },
      { statement, condition: { kind: 'or', conditions: [{ kind: 'ok', step: 2 }] } },
    ],
  })
  ok(reply.kind === 'rows')
  const ran = reply.result.steps.map((step) => step !== null)
  deepEqual(ran, [true, false, true, true, false, true])
})

test('a schema that changed is seen by statements prepared before', () => {
  deepEqual(rowsOf("select * from pragma_table_info('item') where name = 'extra'"), [])
  const sql = 'select * from item where id = 1'
  equal((rowsOf(sql) as unknown[][])[0]?.length, 4)
  writer.exec('alter table item rename column name to title; alter table item add column extra')
  const [step] = steps([sql])
  ok(step && 'ok' in step)
  const names = ['id', 'title', 'price', 'data', 'extra']
  deepEqual(
    step.ok.columns.map((column) => column.name),
    names,
  )
  equal(step.ok.rows[0]?.length, 5)
  writer.exec('alter table item drop column extra; alter table item rename title to name')
})

test('a file that was replaced is opened anew; a missing one is an error, not a crash', () => {
  const live = join(folder, 'replaced.db')
  const make = (name: string, value: number): string => {
    const file = join(folder, name)
    const db = new DatabaseSync(file)
    db.exec(`create table t (v); insert into t values (${value})`)
    db.close()
    return file
  }
  renameSync(make('one.db', 1), live)
  const other = new Reader(live)
  const value = () => {
    const reply = other.read(program(['select v from t']))
    const step = reply.kind === 'rows' ? reply.result.steps[0] : null
    return step && 'ok' in step ? step.ok.rows[0]?.[0] : reply.kind
  }
  equal(value(), 1n)
  renameSync(make('two.db', 2), live)
  equal(value(), 2n)
  rmSync(live)
  equal(value(), 'failed')
  other.close()
})
