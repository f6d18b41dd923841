import { deepEqual, equal } from 'node:assert/strict'
import { test } from 'node:test'
import type { Program, StepResult } from '../../model/program.ts'
import { SessionCounters, withAskedNames } from './session-counters.ts'
import { SessionSettings } from './session-settings.ts'

const program = (...sqls: string[]): Program => ({
  atomic: false,
  steps: sqls.map((sql) => ({ statement: { sql } })),
})

function result(changes = 0, lastInsertRowid: bigint | null = null): StepResult {
  return { ok: { columns: [], rows: [], changes, lastInsertRowid } }
}

test('settings are said again before each program, and conditions still mean their steps', () => {
  const settings = new SessionSettings()
  settings.saw(program('pragma foreign_keys = 0', 'select 1'), [result(), result()], false)
  const given: Program = {
    atomic: true,
    steps: [
      { statement: { sql: 'select 1' } },
      {
        statement: { sql: 'select 2' },
        condition: { kind: 'not', condition: { kind: 'ok', step: 0 } },
      },
    ],
  }
  deepEqual(settings.before(given), {
    atomic: false,
    steps: [
      { statement: { sql: 'pragma foreign_keys = off' } },
      { statement: { sql: 'select 1' } },
      {
        statement: { sql: 'select 2' },
        condition: { kind: 'not', condition: { kind: 'ok', step: 1 } },
      },
    ],
  })
  settings.saw(program('pragma foreign_keys(on)'), [result()], false)
  equal(settings.before(given), given)
})

test('what failed, was skipped, or SQLite ignores inside a transaction is no setting', () => {
  const settings = new SessionSettings()
  const error: StepResult = { error: { code: 'SQL_ERROR', detail: 'no.' } }
  settings.saw(program('pragma foreign_keys = off'), [error], false)
  settings.saw(program('pragma foreign_keys = off'), [null], false)
  settings.saw(program('pragma foreign_keys = off'), [result()], true)
  const off = 'pragma foreign_keys = off'
  settings.saw(program('begin', off, 'commit'), [result(), result(), result()], false)
  equal(settings.count, 0)
  const steps = ['begin', off, 'rollback to x', off, 'commit', 'pragma recursive_triggers = on']
  settings.saw(
    program(...steps),
    steps.map(() => result()),
    false,
  )
  deepEqual(settings.before(program('select 1')).steps.length, 2)
})

test('counters are put into queries, not into those after a change of the same program', () => {
  const counters = new SessionCounters()
  counters.saw(program('insert into t values (1)'), [result(3, 9n)], false)
  const asks = 'select changes ( ), last_insert_rowid() as id'
  const filled = counters.before(program(asks, 'delete from t', asks))
  const [first, , last] = filled.steps
  equal(first?.statement.sql, 'select (/*changes ( )*/3), (/*last_insert_rowid()*/9) as id')
  equal(last?.statement.sql, asks)
  const columns = [{ name: '(/*changes ( )*/3)', decltype: null }]
  const [named] = withAskedNames([{ ok: { columns, rows: [], changes: 0, lastInsertRowid: null } }])
  deepEqual(named && 'ok' in named && named.ok.columns[0]?.name, 'changes ( )')
})

test('inside a transaction that has changed rows the connection knows best', () => {
  const counters = new SessionCounters()
  counters.saw(program('begin', 'update t set x = 1'), [result(), result(2)], true)
  const asks = program('select changes()')
  equal(counters.before(asks), asks)
  counters.saw(program('rollback'), [result()], false)
  equal(counters.before(asks).steps[0]?.statement.sql, 'select (/*changes()*/2)')
  const words = program("select 'changes()', changes from changes")
  equal(counters.before(words).steps[0]?.statement.sql, words.steps[0]?.statement.sql)
})
