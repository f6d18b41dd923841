import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import type { Condition, Step } from '../../model/program.ts'
import { FakeNode } from '../testing/fake-node.ts'
import { planBatch, planSequence, planStatement } from './plan.ts'

const step = (sql: string, condition?: Condition): Step => {
  return condition === undefined ? { statement: { sql } } : { statement: { sql }, condition }
}
const ok = (step: number): Condition => ({ kind: 'ok', step })
const not = (condition: Condition): Condition => ({ kind: 'not', condition })

/** What libSQL clients send for a transaction of these statements. */
function closed(begin: string, ...statements: readonly string[]): Step[] {
  const steps = [step(begin)]
  for (const sql of [...statements, 'COMMIT']) steps.push(step(sql, ok(steps.length - 1)))
  return [...steps, step('ROLLBACK', not(ok(steps.length - 1)))]
}

test('a single statement goes where its first word says', () => {
  const via = (sql: string) => planStatement({ sql }).via
  assert.equal(via('-- comment\n select 1'), 'read')
  assert.equal(via('WITH a AS (SELECT 1) DELETE FROM t'), 'read')
  assert.equal(via('insert into t values (1)'), 'write')
  assert.equal(via('BEGIN'), 'stream')
  assert.equal(via('savepoint s'), 'stream')
  assert.equal(planStatement({ sql: 'PRAGMA foreign_keys = off' }).program.atomic, false)
})

test('a closed batch is one round trip, whatever stands around it', () => {
  assert.equal(planBatch(closed('BEGIN IMMEDIATE', 'INSERT', 'SELECT 1')).via, 'write')
  const pragma = step('PRAGMA foreign_keys=off')
  const shifted = [pragma, step('BEGIN'), step('COMMIT', ok(1)), step('ROLLBACK', not(ok(2)))]
  assert.equal(planBatch([...shifted, pragma]).via, 'write')
})

test('a batch that could leave a transaction open is a round of a stream', () => {
  const [begin, insert, commit, rollback] = closed('BEGIN', 'INSERT') as [Step, Step, Step, Step]
  const open: readonly (readonly Step[])[] = [
    [begin, insert],
    [begin, insert, commit],
    [begin, insert, commit, step('ROLLBACK', ok(2))],
    [begin, insert, commit, step('ROLLBACK TO s', not(ok(2)))],
    [begin, insert, commit, rollback, step('BEGIN')],
    [step('SAVEPOINT s'), insert, step('RELEASE s', ok(1)), step('ROLLBACK', not(ok(2)))],
    [step('COMMIT'), begin],
  ]
  for (const steps of open) assert.equal(planBatch(steps).via, 'stream')
  const script = ['BEGIN', 'INSERT', 'COMMIT'].map((sql) => ({ sql }))
  assert.equal(planSequence(script).via, 'stream')
})

test('READONLY begins a transaction on a replica, whole or in part', () => {
  const whole = closed('BEGIN TRANSACTION READONLY', 'SELECT 1', 'SELECT 2')
  assert.equal(planBatch(whole).via, 'snapshot')
  assert.equal(planBatch(whole.slice(0, 2)).via, 'snapshot')
  assert.equal(planStatement({ sql: 'begin readonly transaction;' }).via, 'snapshot')
  assert.equal(planStatement({ sql: 'BEGIN IMMEDIATE READONLY' }).via, 'stream')
  assert.equal(planBatch([step('BEGIN READONLY', not(ok(0)))]).via, 'stream')
})

test('what is planned as a write never leaves a transaction open', async () => {
  const sql = fc.constantFrom(
    ...['BEGIN', 'COMMIT', 'END', 'ROLLBACK', 'SAVEPOINT s', 'RELEASE s', 'ROLLBACK TO s'],
    ...['INSERT INTO t VALUES (1)', 'INSERT OR ROLLBACK INTO t VALUES (1)', 'SELECT 1', 'nonsense'],
  )
  const condition = fc.oneof(
    fc.constant(undefined),
    fc.nat(3).map(ok),
    fc.nat(3).map((at) => not(ok(at))),
  )
  const edit = fc.record({ at: fc.nat(5), sql: fc.option(sql), condition: fc.option(condition) })
  const batch = fc.record({ inner: fc.array(sql, { maxLength: 3 }), edits: fc.array(edit) })
  let writes = 0
  const property = fc.asyncProperty(batch, async ({ inner, edits }) => {
    const steps = closed('BEGIN', ...inner)
    for (const { at, sql, condition } of edits) {
      const old = steps[at % steps.length]
      const changed = step(sql ?? old?.statement.sql ?? '', condition ?? old?.condition)
      steps[at % steps.length] = changed
    }
    const { via, program } = planBatch(steps)
    if (via !== 'write') return
    writes += 1
    const node = new FakeNode()
    node.db.exec('CREATE TABLE t (id INTEGER PRIMARY KEY)')
    await node.request({ kind: 'write', program, ack: 'local', timeoutMs: 1 })
    assert.equal(node.db.isTransaction, false)
    node.db.close()
  })
  await fc.assert(property, { seed: 42, numRuns: 2000 })
  assert.ok(writes > 100, `${writes} of the batches were writes`)
})
