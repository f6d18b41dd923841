/**
 * The short form of the equivalence test, with the seeds of CI, and proof that
 * it notices what it is there to notice.
 */
import { deepEqual, equal, fail, ok, throws } from 'node:assert/strict'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import test from 'node:test'
import { CI_SEED } from '../../base/seed-fixture.ts'
import { folderOf } from '../store-fixture.ts'
import { describeFailure, errorOf, runStatements } from './campaign.ts'
import { Coverage } from './features.ts'
import { type Item, type Script, type Sql, scriptFromJson, scriptToJson } from './script.ts'
import { shrink } from './shrink.ts'
import { Difference, World } from './world.ts'

const STATEMENTS = 50_000

test('random applications: leader and followers are as plain SQLite, and every feature is reached', (t) => {
  const coverage = new Coverage()
  const failure = runStatements(CI_SEED, STATEMENTS, coverage)
  if (failure !== null) fail(describeFailure(failure))
  ok(coverage.statements >= STATEMENTS)
  t.diagnostic(`${coverage.statements} statements from seed ${CI_SEED}`)
  deepEqual(coverage.missing(), [])
  const early = [...coverage.unclear.values()].reduce((sum, n) => sum + n, 0)
  ok(early * 4 < coverage.seeds, `${early} of ${coverage.seeds} scripts ended early`)
})

function sql(text: string, verb: Sql['verb'] = 'other'): Sql {
  return { sql: text, args: [], verb, features: [], effects: [] }
}

const insert = (n: number) => sql(`insert into t values (${n})`, 'insert')
const batch = (...statements: Sql[]): Item => ({
  kind: 'batch',
  programs: [{ atomic: false, statements }],
})
const PREPARE = [sql('create table t (n integer primary key)')]

test('a row that a follower has on its own is noticed', (t) => {
  const folder = join(folderOf(t), 'w')
  const world = new World(t, folder, PREPARE, new Coverage())
  world.run(batch(insert(1)))
  world.run({ kind: 'check', oneByOne: false })
  const follower = new DatabaseSync(join(folder, 'r1.db'))
  follower.exec('insert into t values (7)')
  follower.close()
  throws(() => world.finish(), { name: 'Difference', what: 'content of a follower' })
})

test('an answer that is not that of SQLite is noticed', (t) => {
  const world = new World(t, join(folderOf(t), 'w'), PREPARE, new Coverage())
  world.database.exec('insert into t values (1)')
  throws(() => world.run(batch(sql('select n from t'))), { name: 'Difference' })
})

test('what is taken back is taken back, and statements after it are of the other history', () => {
  const items: Item[] = [
    batch(insert(1)),
    { kind: 'fork' },
    batch(insert(2)),
    { kind: 'check', oneByOne: true },
    { kind: 'takeBack', heldByOther: true },
    batch(sql('select n from t'), insert(2)),
    { kind: 'restart', replica: 0 },
    { kind: 'snapshot' },
    { kind: 'compact' },
    batch(insert(3)),
  ]
  equal(errorOf({ prepare: PREPARE, items }), null)
})

test('a failing script shrinks to what it fails by', () => {
  const items = Array.from({ length: 20 }, (_, i) => batch(insert(i), insert(i + 100)))
  const has = (script: Script, text: string) =>
    script.items.some((item) => item.kind === 'batch' && JSON.stringify(item).includes(text))
  const fails = (script: Script) => has(script, '(7)') && has(script, '(113)')
  const { prepare, items: left } = shrink({ prepare: [...PREPARE, ...PREPARE], items }, fails, 500)
  deepEqual(left, [batch(insert(7)), batch(insert(113))])
  equal(prepare.length, 1)
})

test('a script survives being written to a file', () => {
  const args = [
    1n,
    -0,
    Number.NaN,
    Number.POSITIVE_INFINITY,
    'a\0b',
    null,
    new Uint8Array([1, 255]),
  ]
  const script = { prepare: PREPARE, items: [batch({ ...insert(1), args })] }
  deepEqual(scriptFromJson(scriptToJson(script)), script)
})

test('coverage tells what was not reached', () => {
  const coverage = new Coverage()
  coverage.statements = STATEMENTS
  ok(coverage.missing().includes('fts5: 0 of 50'))
  coverage.count(['fts5'], false)
  ok(coverage.missing().includes('fts5: 0 of 50'))
  for (let i = 0; i < 50; i += 1) coverage.count(['fts5'], true)
  ok(!coverage.missing().some((line) => /^fts5: \d/.test(line)))
  ok(new Difference('x', 'y') instanceof Error)
})
