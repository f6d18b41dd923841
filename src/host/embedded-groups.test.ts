/** Applications that are peers of each other. */
import { deepEqual, equal, rejects } from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Database, type OpenOptions, open } from './embedded.ts'

const FUNCTIONS = `
export function longer(base, ours, theirs) {
  return String(ours).length >= String(theirs).length ? ours : theirs
}`

function folder(t: TestContext) {
  const dir = mkdtempSync(join(tmpdir(), 'quorate-peers-'))
  const databases: Database[] = []
  t.after(async () => {
    await Promise.all(databases.map((db) => db.close()))
    rmSync(dir, { recursive: true })
  })
  return {
    dir,
    start: async (name: string, options: OpenOptions): Promise<Database> => {
      const db = await open(join(dir, `${name}.db`), { name, ...options })
      databases.push(db)
      return db
    },
  }
}

async function admin(db: Database, path: string, body: object): Promise<void> {
  const response = await fetch(`${db.url}/admin/${path}`, {
    method: 'POST',
    body: JSON.stringify(body),
  })
  equal(response.status, 200, await response.text())
}

test('peers in two applications: a counter, a merge function, a cut, and both sides count', async (t) => {
  const { dir, start } = folder(t)
  const mergeFunctions = join(dir, 'functions.mjs')
  writeFileSync(mergeFunctions, FUNCTIONS)
  const a = await start('a', { strategy: 'peer', mergeFunctions })
  await a.execute('create table stock (id integer primary key, name text, n integer)')
  await a.execute("insert into stock values (1, 'pen', 10)")
  await rejects(start('b', { join: a.url, strategy: 'leader' }), { code: 'BAD_CONFIG' })
  const b = await start('b', { join: a.url, mergeFunctions })
  equal((await b.status()).origins?.group, 'b')
  await admin(b, 'rule', { table: 'stock', column: 'n', rule: 'add' })
  await admin(b, 'rule', { table: 'stock', column: 'name', rule: 'function:longer' })
  await rejects(start('c', { join: a.url }), { code: 'MERGE_FUNCTION_MISSING' })
  const groups = (await a.status()).origins?.groups ?? []
  deepEqual(
    groups.map(({ name, standing }) => [name, standing]),
    [
      ['a', 'writes'],
      ['b', 'writes'],
      ['c', 'removed'],
    ],
  )

  await admin(a, 'group-cut', { group: 'b', cut: true })
  await a.execute("update stock set n = n - 3, name = 'fountain pen'", [], { ack: 'majority' })
  await b.execute("update stock set n = n - 4, name = 'biro'", [], { ack: 'majority' })
  await rejects(b.query('select 1', [], { timeoutMs: 300 }), { code: 'READ_LEVEL_UNAVAILABLE' })
  await admin(a, 'group-cut', { group: 'b', cut: false })

  const expected = [{ id: 1, name: 'fountain pen', n: 3 }]
  const end = performance.now() + 20_000
  for (const db of [a, b]) {
    const look = () => db.querySync('select * from stock')
    while (JSON.stringify(look()) !== JSON.stringify(expected)) {
      if (performance.now() > end) break
      await sleep(20)
    }
    deepEqual(look(), expected)
    deepEqual(db.querySync('select kind from quorate_conflicts'), [])
  }
})
