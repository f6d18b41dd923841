/** Clients of a cluster of two groups: levels, sessions, events, and going on at the other group. */
import { deepEqual, equal, match, ok, rejects } from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { type ChangeEvent, connect } from '../src/client/index.ts'
import { type Database, open } from '../src/index.ts'

const options = { strategy: 'multi-leader', timeoutMs: 20_000 } as const

/** East, which keeps the schema, and west, each of one node, with a table in both. */
async function twoGroups(
  t: TestContext,
  zones: readonly [string, string] | null = null,
): Promise<{ east: Database; west: Database }> {
  const dir = mkdtempSync(join(tmpdir(), 'quorate-client-groups-'))
  const nodes: Database[] = []
  t.after(async () => {
    await Promise.all(nodes.map((node) => node.close()))
    rmSync(dir, { recursive: true })
  })
  const start = async (name: string, group: string, join_: string[]): Promise<Database> => {
    const zone = zones?.[name === 'a' ? 0 : 1] ?? null
    const node = await open(join(dir, `${name}.db`), { ...options, name, group, zone, join: join_ })
    nodes.push(node)
    return node
  }
  const east = await start('a', 'east', [])
  await east.execute('create table t (id integer primary key, v)')
  const west = await start('b', 'west', [east.url])
  return { east, west }
}

async function cut(db: Database, group: string, isCut: boolean): Promise<void> {
  const body = JSON.stringify({ group, cut: isCut })
  const { status } = await fetch(`${db.url}/admin/group-cut`, { method: 'POST', body })
  equal(status, 200)
}

test('levels of several groups, and a schema change from the group that does not keep it', async (t) => {
  const { east, west } = await twoGroups(t)
  await west.execute("insert into t values (1, 'x')", [], { ack: 'quorum' })
  const sql = 'select v from t where id = 1'
  deepEqual(await east.first(sql, [], { read: 2 }), { v: 'x' })
  for (const ack of ['local', 'majority', 'quorum', 'all', 'stable', 1, 2] as const) {
    await east.execute('update t set v = ? where id = 1', [String(ack)], { ack })
    // What was acknowledged by all is everywhere.
    if (ack === 'all' || ack === 'stable') {
      deepEqual(await west.first(sql, [], { read: 'strong' }), { v: ack })
    }
  }
  await rejects(east.query(sql, [], { read: 3 }), { code: 'LEVEL_UNSUPPORTED' })
  await rejects(east.execute(sql, [], { ack: 'most' as 'all', read: 'all' as 'local' }), {
    code: 'BAD_REQUEST',
  })
  await west.execute('create table u (id integer primary key)')
  await west.execute('insert into u default values')
  deepEqual(await west.first('select count(*) as n from u'), { n: 1 })
  deepEqual(await east.query('select count(*) as n from u', [], { read: 'quorum' }), [{ n: 1 }])
})

test('levels by zone: each zone goes on by itself while the others are away', async (t) => {
  const { east, west } = await twoGroups(t, ['eu', 'us'])
  await east.execute("insert into t values (1, 'x')", [], { ack: 'each-quorum' })
  deepEqual(await west.first('select v from t', [], { read: 'local-quorum' }), { v: 'x' })
  await cut(east, 'west', true)
  const remote = connect(west.url, { ack: 'local-quorum', read: 'local-quorum' })
  t.after(() => remote.close())
  await remote.execute("insert into t values (2, 'y')")
  equal((await remote.query('select 1 from t')).length, 2)
  await rejects(remote.query('select 1 from t', [], { read: 'each-quorum', timeoutMs: 300 }), {
    code: 'READ_LEVEL_UNAVAILABLE',
  })
  await cut(east, 'west', false)
  equal((await east.query('select 1 from t', [], { read: 'each-quorum' })).length, 2)
})

test('one session at two groups reads what it wrote; each change is told once', async (t) => {
  const { east, west } = await twoGroups(t)
  const db = connect([east.url, west.url], { discover: false })
  const other = connect(west.url)
  t.after(() => Promise.all([db.close(), other.close()]))
  const told: ChangeEvent[] = []
  const all = Promise.withResolvers<void>()
  west.on('change', (event) => {
    told.push(event)
    if (told.length === 3) all.resolve()
  })
  for (let id = 1; id <= 3; id += 1) {
    await db.execute('insert into t values (?, ?)', [id, 'east'])
    // Its token, at a node of the other group.
    const seen = await fetch(`${east.url}/topology`)
    const { session } = (await seen.json()) as { session: string }
    const body = JSON.stringify({
      requests: [{ type: 'execute', stmt: { sql: 'select count(*) from t' } }, { type: 'close' }],
    })
    const headers = { 'quorate-session': session, 'content-type': 'application/json' }
    const answer = await fetch(`${west.url}/v3/pipeline`, { method: 'POST', headers, body })
    match(await answer.text(), new RegExp(`"value":"${id}"`))
  }
  await all.promise
  deepEqual(
    told.map((event) => event.kind === 'change' && event.rows),
    [1, 2, 3].map((id) => [{ table: 't', op: 'insert', key: { id } }]),
  )
})

test('without its group a write that surely has not run goes to the other one', async (t) => {
  const { east, west } = await twoGroups(t)
  const db = connect([west.url, east.url], { timeoutMs: 20_000 })
  t.after(() => db.close())
  await db.execute("insert into t values (1, 'west')", [], { ack: 2 })
  const changes: ChangeEvent[] = []
  const gap = Promise.withResolvers<void>()
  const first = Promise.withResolvers<void>()
  db.on('change', (event) => {
    changes.push(event)
    if (event.kind === 'gap') gap.resolve()
    else first.resolve()
  })
  await db.execute("insert into t values (2, 'west')", [], { ack: 2 })
  await first.promise
  await west.close()
  // Positions in the log of west mean nothing in that of east.
  await gap.promise
  await db.execute("insert into t values (3, 'east')")
  deepEqual(await db.query('select id, v from t order by id'), [
    { id: 1, v: 'west' },
    { id: 2, v: 'west' },
    { id: 3, v: 'east' },
  ])
  equal((await db.topology()).origin?.startsWith('east-'), true)
  // A group that has just gone may be electing a leader; one that is gone for longer is not waited for.
  await rejects(db.execute("insert into t values (4, 'x')", [], { ack: 2, timeoutMs: 2_000 }), {
    message: /^(?:Entry .* did not reach|Groups that ack level 2 needs) .*west/,
  })
  await rejects(db.query('select 1', [], { read: 'strong', timeoutMs: 2_000 }), {
    code: 'READ_LEVEL_UNAVAILABLE',
    message: /west/,
  })
})

test('what rules decide and what is put elsewhere is told as events', async (t) => {
  const { east, west } = await twoGroups(t)
  await east.execute("insert into t values (1, 'both')", [], { ack: 'quorum' })
  deepEqual(await west.query('select v from t', [], { read: 'quorum' }), [{ v: 'both' }])
  await cut(east, 'west', true)
  await west.execute("update t set v = 'west' where id = 1")
  // In the same millisecond the name of the group would decide which is the later one.
  const now = Date.now()
  while (Date.now() === now) await new Promise(setImmediate)
  await east.execute("update t set v = 'east' where id = 1")
  const conflict = new Promise((resolve) => east.on('conflict', resolve))
  const reordered = new Promise((resolve) => east.on('reordered', resolve))
  await cut(east, 'west', false)
  deepEqual(await conflict, { conflicts: 1, table: 't', kind: 'update-update' })
  deepEqual(await reordered, { transactions: 1 })
  deepEqual(await east.query('select v from t', [], { read: 'quorum' }), [{ v: 'east' }])
  ok((await west.query('select * from quorate_conflicts', [], { read: 'strong' })).length === 1)
})

test('with one leader there are no levels of groups', async (t) => {
  const dir = mkdtempSync(join(tmpdir(), 'quorate-client-groups-'))
  const db = await open(join(dir, 'a.db'), { name: 'a' })
  t.after(async () => {
    await db.close()
    rmSync(dir, { recursive: true })
  })
  const unsupported = { code: 'LEVEL_UNSUPPORTED' }
  for (const ack of ['quorum', 'local-quorum', 'each-quorum', 'stable', 8] as const) {
    await rejects(db.execute('create table t (a)', [], { ack }), unsupported)
  }
  for (const read of ['quorum', 'local-quorum', 'each-quorum', 1] as const) {
    await rejects(db.query('select 1', [], { read }), unsupported)
    await rejects(db.stream('select 1', [], { read }).next(), unsupported)
  }
  await rejects(
    db.begin({ ack: 'stable' }).then((tx) => tx.execute('create table t (a)')),
    unsupported,
  )
  deepEqual(await db.query('select name from sqlite_schema'), [])
  const { status } = await fetch(`${db.url}/admin/group-join`, {
    method: 'POST',
    body: JSON.stringify({ group: 'west', node: 'b:1' }),
  })
  equal(status, 400)
})
