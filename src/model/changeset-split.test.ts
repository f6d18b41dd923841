/** Splitting a changeset by rows, against what SQLite records for each part by itself. */
import assert from 'node:assert/strict'
import { DatabaseSync } from 'node:sqlite'
import { test } from 'node:test'
import { keyName, splitChangeset } from './changeset-split.ts'

const NONE: ReadonlySet<string> = new Set()

function recorded(prepare: string, ...sqls: readonly string[]): Uint8Array {
  const db = new DatabaseSync(':memory:')
  db.exec(prepare)
  const session = db.createSession()
  for (const sql of sqls) db.exec(sql)
  const changes = session.changeset()
  session.close()
  db.close()
  return changes
}

const TABLES = `create table a (id integer primary key, b, c);
  create table k (x text, n integer, v, primary key (n, x)) without rowid;
  create table t (name text primary key, v blob);
  insert into a values (1, 'one', 1.5), (-2, x'00ff', null), (9007199254740993, '', 7);
  insert into k values ('x', 1, 2), ('', 2, 3);
  insert into t values ('é', x'01'), ('gone', 2);`
const CHANGES = [
  "update a set b = 'two' where id = 1",
  'delete from a where id = -2; insert into a values (3, zeroblob(300), -1)',
  'update a set c = 8 where id = 9007199254740993',
  "update k set v = 9 where n = 1; delete from t where name = 'gone'",
  "insert into k values ('new', 3, 4); update t set v = null where name = 'é'",
]
const OWNERS = new Map<string, number>([
  ['a 1', 0],
  ['a -2', 1],
  ['a 3', 1],
  ['a 9007199254740993', 2],
  [`k ${keyName(['x', 1n])}`, 3],
  [`k ${keyName(['new', 3n])}`, 4],
  [`t ${keyName(['gone'])}`, 3],
  [`t ${keyName(['é'])}`, 4],
])

test('each part is what a session of its own records', () => {
  const whole = recorded(TABLES, ...CHANGES)
  const parts = splitChangeset(whole, (table, row) => OWNERS.get(`${table} ${row}`), NONE)
  assert.ok(parts !== null)
  assert.equal(parts.size, CHANGES.length)
  for (const [i, sql] of CHANGES.entries()) {
    assert.deepEqual(parts.get(i), recorded(TABLES, sql), sql)
  }
})

test('tables can be left out, and a row of nobody is told', () => {
  const whole = recorded(TABLES, ...CHANGES)
  const ofA = (table: string) => (table === 'a' ? 7 : undefined)
  assert.equal(splitChangeset(whole, ofA, NONE), null)
  const parts = splitChangeset(whole, ofA, new Set(['k', 't']))
  assert.deepEqual([...(parts?.keys() ?? [])], [7])
  assert.deepEqual(parts?.get(7), recorded(TABLES, ...CHANGES.slice(0, 3)))
  assert.equal(splitChangeset(new Uint8Array(), ofA, NONE)?.size, 0)
})

test('a damaged changeset is LOG_CORRUPT', () => {
  const whole = recorded(TABLES, ...CHANGES)
  for (let length = 1; length < whole.length; length += 1) {
    try {
      splitChangeset(whole.subarray(0, length), () => 1, NONE)
    } catch (error) {
      assert.equal((error as { code?: string }).code, 'LOG_CORRUPT', `${length} bytes`)
    }
  }
  const wrong = whole.slice()
  wrong[0] = 1
  assert.throws(() => splitChangeset(wrong, () => 1, NONE), { code: 'LOG_CORRUPT' })
})

test('names of different rows differ', () => {
  const large = [2n ** 52n, 2n ** 52n + 1n, -(2n ** 52n) - 1n, 2n ** 63n - 1n, 2n ** 63n - 2n]
  const keys = [
    ...large.map((key) => [key]),
    ...[[1n], [1.5], ['1'], [null], [new Uint8Array([0x31])], ['i1'], ['1', '1'], ['11', '']],
  ]
  assert.equal(new Set(keys.map(keyName)).size, keys.length)
  assert.equal(keyName([1n]), keyName([1]))
})

test('a row has the name that its key has by itself', () => {
  const large = [0n, 1n, -1n, 2n ** 52n - 1n, 2n ** 52n, -(2n ** 52n), -(2n ** 52n) - 1n]
  const keys = [...large, 2n ** 63n - 1n, -(2n ** 63n)]
  const inserts = keys.map((key) => `insert into n values (${key}, 'x')`)
  const whole = recorded('create table n (id integer primary key, x)', ...inserts)
  const names = new Set<unknown>(keys.map((key) => keyName([key])))
  splitChangeset(whole, (_, row) => (names.delete(row) ? 1 : undefined), NONE)
  assert.deepEqual([...names], [])
})
