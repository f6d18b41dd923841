import assert from 'node:assert/strict'
import test, { type TestContext } from 'node:test'
import { Reader } from '../read/reader.ts'
import { ok, program, type Replica, start } from '../store-fixture.ts'

function everywhere(t: TestContext, a: Replica, sql: string): unknown {
  const reader = new Reader(a.path)
  t.after(() => reader.close())
  const reply = reader.read(program(sql))
  assert.ok(reply.kind === 'rows')
  const { columns, rows } = ok(reply.result.steps[0])
  assert.deepEqual(ok(a.run(sql)[0]), ok(reply.result.steps[0]))
  return [columns.map(({ name }) => name), rows]
}

test('tools that list the tables see the user’s only, on the writer and on readers', (t) => {
  const a = start(t)
  a.must("create view v as select name, 'sqlite_master' as sqlite_schema from item")
  const names = [['item'], ['part'], ['v']]
  for (const table of [
    ...['sqlite_master', 'sqlite_schema', '"sqlite_master"', 'main.sqlite_master', 'SQLITE_MASTER'],
    ...['`main`.[sqlite_schema]', 'sqlite_master sqlite_master', 'sqlite_master AS m'],
  ]) {
    const sql = `select name from ${table} where type in ('table', 'view') and name not like 'sqlite_%' order by 1`
    assert.deepEqual(everywhere(t, a, sql), [['name'], names], sql)
  }
  const qualified = `select sqlite_master.name, m.type "sqlite_schema" from sqlite_master
    join sqlite_schema m using (name) where sqlite_master.type = 'view'`
  assert.deepEqual(everywhere(t, a, qualified), [['name', 'sqlite_schema'], [['v', 'view']]])
  const list =
    "select name from pragma_table_list where schema = 'main' and name not like 'sqlite_%' order by 1"
  assert.deepEqual(everywhere(t, a, list), [['name'], names])
  const [columns, rows] = everywhere(t, a, 'pragma table_list') as [unknown, unknown[][]]
  assert.deepEqual(columns, ['schema', 'name', 'type', 'ncol', 'wr', 'strict'])
  assert.ok(rows.every(([, name]) => !String(name).startsWith('_quorate')))
  assert.deepEqual(everywhere(t, a, 'select * from v'), [['name', 'sqlite_schema'], []])
  assert.deepEqual(everywhere(t, a, "select 'from sqlite_master' as x"), [
    ['x'],
    [['from sqlite_master']],
  ])
})

test('what no view can answer is asked of the table itself', (t) => {
  const a = start(t)
  const sql = "select rowid > 0, name from sqlite_master where name = 'item'"
  assert.deepEqual(everywhere(t, a, sql), [['rowid > 0', 'name'], [[1n, 'item']]])
  const count = "select count(*) from pragma_table_list('item')"
  assert.deepEqual(everywhere(t, a, count), [['count(*)'], [[1n]]])
})

test('DDL and writes mean SQLite’s own table', (t) => {
  const a = start(t)
  a.must("create view names as select name from sqlite_schema where name = '_quorate_log'")
  assert.deepEqual(everywhere(t, a, 'select * from names'), [['name'], [['_quorate_log']]])
  const [step] = a.run('delete from sqlite_master')
  assert.ok(step && 'error' in step && /may not be modified/.test(step.error.detail))
})
