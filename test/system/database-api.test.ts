/** Streams, change events and transactions of several nodes: embedded ones and remote clients. */
import { deepEqual, equal, ok } from 'node:assert/strict'
import { after, before, type TestContext, test } from 'node:test'
import { until } from '../../src/bench/child-node.ts'
import { connect, type RemoteDb } from '../../src/client/index.ts'
import { nodeTransport } from '../../src/client/node-transport.ts'
import type { ChangeEvent, Database, Db } from '../../src/index.ts'
import { openThree } from '../embedded-cluster.ts'

let a: Database
let b: Database
let c: Database
const closing: (() => Promise<void> | void)[] = []

before(async () => {
  const nodes = await openThree((close) => closing.push(close))
  ;[a, b, c] = nodes
})

after(async () => {
  for (const close of closing) await close()
})

function remote(t: TestContext, url: string, fast = false): RemoteDb {
  const db = connect(
    url,
    fast ? { transport: nodeTransport(), discover: false } : { discover: false },
  )
  t.after(() => db.close())
  return db
}

/** The keys that change events tell, as they come. */
function keysOf(db: Db): { readonly keys: unknown[]; readonly events: ChangeEvent[] } {
  const keys: unknown[] = []
  const events: ChangeEvent[] = []
  db.on('change', (event) => {
    events.push(event)
    if (event.kind === 'change') keys.push(...event.rows.map(({ key }) => key?.['id']))
  })
  return { keys, events }
}

test('every replica and every client is told of every change, in one order', async (t) => {
  await a.execute('create table told (id integer primary key, v text)')
  await c.query('select * from told', [], { read: 'strong' })
  const listeners: readonly Db[] = [a, b, remote(t, c.url), remote(t, b.url, true)]
  // Remote ones begin where their session stands: known before the first write.
  for (const db of listeners) await db.query('select * from told', [], { read: 'strong' })
  const told = listeners.map(keysOf)
  const wanted = Array.from({ length: 30 }, (_, at) => at + 1)
  for (const id of wanted) {
    const writer = [a, b, c][id % 3] ?? a
    await writer.execute('insert into told values (?, ?)', [id, 'x'])
  }
  for (const { keys, events } of told) {
    await until('all changes are told', 10_000, () => keys.length >= wanted.length)
    deepEqual(keys, wanted)
    ok(events.every(({ kind }) => kind === 'change'))
  }
})

test('a remote stream gives rows as they are taken, from a snapshot, also an endless one', async (t) => {
  for (const db of [remote(t, a.url), remote(t, a.url, true)]) {
    await db.execute('create table if not exists rows (id integer primary key, v text)')
    await db.execute('delete from rows')
    await db.execute(`insert into rows
      with recursive n (i) as (select 1 union all select i + 1 from n where i < 5000)
      select i, printf('%.500c', 'x') from n`)
    let sum = 0
    for await (const { id } of db.stream<{ id: number }>('select id, v from rows')) sum += id
    equal(sum, 12_502_500)
    const endless =
      'with recursive n (i) as (select 1 union all select i + 1 from n) select i from n'
    let last = 0
    for await (const { i } of db.stream<{ i: number }>(endless)) {
      last = i
      if (i === 20_000) break
    }
    equal(last, 20_000)
    deepEqual(
      await db.first('select count(*) as n from rows'),
      { n: 5_000 },
      'the node is free again',
    )
  }
})

test('a remote transaction of mode read sees one snapshot and keeps no writer waiting', async (t) => {
  const db = remote(t, a.url)
  // In the same session: others may read before it is in place here.
  await db.execute('create table snapshot (id integer primary key)')
  await db.transaction(
    async (tx) => {
      deepEqual(await tx.first('select count(*) as n from snapshot'), { n: 0 })
      await db.execute('insert into snapshot values (1)', [], { timeoutMs: 3_000 })
      deepEqual(await tx.first('select count(*) as n from snapshot'), { n: 0 })
    },
    { mode: 'read' },
  )
  deepEqual(await db.first('select count(*) as n from snapshot'), { n: 1 })
})

test('a transaction that lost its leader runs again at the next one, if that was asked for', async () => {
  await b.execute('create table moved (id integer primary key, by text)')
  await b.query('select * from moved', [], { read: 'strong' })
  let runs = 0
  const value = await b.transaction(
    async (tx) => {
      runs += 1
      await tx.execute('insert into moved values (?, ?)', [runs, 'b'])
      // The first time the leader goes while the transaction is open.
      if (runs === 1) await a.close()
      await tx.execute('insert into moved values (?, ?)', [runs + 10, 'b'])
      return runs
    },
    { retries: 3, timeoutMs: 10_000 },
  )
  equal(value, runs)
  ok(runs >= 2, 'the first run was lost')
  const rows = await c.query('select id from moved order by id', [], { read: 'strong' })
  deepEqual(rows, [{ id: runs }, { id: runs + 10 }])
})
