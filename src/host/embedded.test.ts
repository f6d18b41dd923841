import { deepEqual, equal, match, rejects, throws } from 'node:assert/strict'
import { copyFileSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { QuorateError } from '../base/errors.ts'
import { connect } from '../client/index.ts'
import { type Database, open } from './embedded.ts'

const folder = mkdtempSync(join(tmpdir(), 'quorate-embedded-'))
const file = join(folder, 'shop.db')
let db: Database

before(async () => {
  db = await open(file, { name: 'a' })
  await db.execute('create table item (id integer primary key, name text unique, left integer)')
})

after(async () => {
  await db.close()
  rmSync(folder, { recursive: true })
})

const code = (wanted: string) => (error: unknown) =>
  error instanceof QuorateError && error.code === wanted

test('what is written can be read at every level, and at once in this thread', async () => {
  const { changes, lastInsertRowid } = await db.execute(
    'insert into item (name, left) values (?, ?)',
    ['bolt', 12],
  )
  deepEqual([changes, lastInsertRowid], [1, 1])
  const rows = [{ id: 1, name: 'bolt', left: 12 }]
  for (const read of ['local', 'session', 'strong'] as const) {
    deepEqual(await db.query('select * from item', [], { read }), rows, read)
  }
  deepEqual(db.querySync('select * from item where name = $name', { name: 'bolt' }), rows)
})

test('named arguments, blobs, bigints, booleans and null go in and come out', async () => {
  const big = 2n ** 62n
  const [row] = await db.query('select $a as a, :b as b, @c as c, $d as d, $e as e, $f as f', {
    a: big,
    b: new Uint8Array([0, 255]),
    c: true,
    d: null,
    e: 1.5,
    f: 42,
  })
  deepEqual(row, { a: big, b: new Uint8Array([0, 255]), c: 1, d: null, e: 1.5, f: 42 })
})

test('a batch is all or nothing', async () => {
  const results = await db.batch([
    ['insert into item (id, name, left) values (?, ?, ?)', [10, 'nut', 5]],
    'update item set left = left - 1 where id = 10',
  ])
  deepEqual(
    results.map(({ changes }) => changes),
    [1, 1],
  )
  await rejects(
    db.batch(['update item set left = 0 where id = 10', "insert into item (name) values ('nut')"]),
    code('SQL_CONSTRAINT'),
  )
  deepEqual(db.querySync('select left from item where id = 10'), [{ left: 4 }])
})

test('a transaction commits when its function resolves and is rolled back when it throws', async () => {
  const left = await db.transaction(async (tx) => {
    await tx.execute('insert into item (id, name, left) values (20, ?, 1)', ['washer'])
    const [row] = await tx.query('select left from item where id = 20')
    return row?.['left']
  })
  equal(left, 1)
  const failing = db.transaction(async (tx) => {
    await tx.execute('delete from item')
    throw new Error('changed my mind')
  })
  await rejects(failing, /changed my mind/)
  const [row] = await db.query('select count(*) as n from item where id = 20')
  deepEqual(row, { n: 1 })
})

test('errors say what happened, and nothing has changed', async () => {
  await rejects(db.execute('insert into nowhere values (1)'), code('SQL_ERROR'))
  await rejects(db.execute("attach ':memory:' as other"), code('SQL_REFUSED'))
  throws(() => db.querySync("insert into item (name) values ('x')"), code('SQL_REFUSED'))
  await rejects(
    db.batch(["insert into item (name) values ('x')"], { mode: 'read' }),
    code('SQL_REFUSED'),
  )
  deepEqual(await db.query("select * from item where name = 'x'"), [])
})

test('an aborted call rejects with the reason of its signal', async () => {
  const signal = AbortSignal.abort(new Error('enough'))
  await rejects(db.query('select 1', [], { signal }), /enough/)
})

test('a file that is open already is in use, a copy of it is no member', async () => {
  await rejects(open(file, { name: 'b' }), code('FILE_IN_USE'))
  const copy = join(folder, 'copy.db')
  await db.execute('create table if not exists marker (id integer primary key)')
  copyFileSync(file, copy)
  await rejects(open(copy, { name: 'b' }), (error) => {
    match(String(error), /copied|missing|copy/i)
    return true
  })
})

test('after closing and opening again everything is there, and the node is who it was', async () => {
  const { id, cluster } = await db.status()
  await db.close()
  db = await open(file, { name: 'a' })
  const status = await db.status()
  deepEqual([status.id, status.cluster], [id, cluster])
  deepEqual(await db.query('select left from item where id = 10', [], { read: 'strong' }), [
    { left: 4 },
  ])
})

test('levels of groups are refused where there is one leader, before the file is taken', async () => {
  const other = join(folder, 'other.db')
  await rejects(open(other, { name: 'b', ack: 'stable' }), code('BAD_CONFIG'))
  await rejects(open(other, { name: 'b', read: 'quorum' }), code('BAD_CONFIG'))
  const opened = await open(other, { name: 'b' })
  await opened.close()
  await rejects(open(other, { name: 'b', ack: 'each-quorum' }), code('BAD_CONFIG'))
})

test('a node that has joined has the rows, and takes writes, at once', async () => {
  const leader = await open(join(folder, 'first.db'), { name: 'b' })
  await leader.execute('create table t (id integer primary key)')
  const second = await open(join(folder, 'second.db'), { name: 'c', join: [leader.url] })
  try {
    deepEqual(second.querySync('select id from t'), [])
    await second.execute('insert into t values (1)')
    const remote = connect([second.url], { discover: false })
    await remote.execute('insert into t values (2)')
    await remote.close()
    const rows = await second.query('select id from t', [], { read: 'strong' })
    deepEqual(rows, [{ id: 1 }, { id: 2 }])
  } finally {
    await second.close()
    await leader.close()
  }
})
