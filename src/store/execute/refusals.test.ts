/** docs/sqlite.md lists what is refused, with an example each: here they are run. */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import test from 'node:test'
import { inspect } from 'node:util'
import { codes, program, start } from '../store-fixture.ts'

const PAGE = new URL('../../../docs/sqlite.md', import.meta.url)
const SCHEMA = `create table item (id integer primary key, name);
  create table counted (id integer primary key autoincrement); insert into counted default values;
  analyze`

function examples(): readonly (readonly [sql: string, code: string])[] {
  const [, refused = ''] = readFileSync(PAGE, 'utf8').split('## Refused')
  const rows = refused.matchAll(/^\| [^|]*\| `([^|]+)` \| `([A-Z_]+)` \|/gm)
  return [...rows].map(([, sql = '', code = '']) => [sql, code])
}

test('everything that docs/sqlite.md calls refused is refused with that code and a reason', (t) => {
  const a = start(t, SCHEMA)
  const before = a.content()
  const all = examples()
  assert.ok(all.length >= 25, `${all.length} examples`)
  for (const [sql, code] of all) {
    const [step] = a.run(sql)
    assert.ok(step && 'error' in step, `${sql}: ${inspect(step)}`)
    assert.equal(step.error.code, code, sql)
    assert.match(step.error.detail, /^[A-Zs].*\.$/, sql)
    const [, inside] = a.execute(program('begin', sql, 'rollback')).outcomes[0]?.result.steps ?? []
    assert.ok(inside && 'error' in inside, `in a transaction: ${sql}`)
  }
  assert.deepEqual(a.content(), before)
})

test('legacy_alter_table needs foreign keys off', (t) => {
  const a = start(t)
  const alter = 'alter table item rename to thing'
  const legacy = 'pragma legacy_alter_table = on'
  assert.deepEqual(codes(a.run(legacy, alter)), ['ok', 'SQL_REFUSED'])
  assert.deepEqual(codes(a.run('pragma foreign_keys = off', legacy, alter)), ['ok', 'ok', 'ok'])
  const sql = "select sql like '%references item%' from sqlite_schema where name = 'part'"
  assert.deepEqual(a.query(sql), [[1]])
})
