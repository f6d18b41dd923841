/** Results without end, on a real node: read a while, broken off, and the node is as before. */
import { equal, ok } from 'node:assert/strict'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { type IncomingMessage, request } from 'node:http'
import { test } from 'node:test'
import { createClient } from '@libsql/client'
import type { ChildNode } from '../../src/bench/child-node.ts'
import { Cluster } from '../cluster.ts'

const ENDLESS = `with recursive n (i) as (select 1 union all select i + 1 from n)
  select i, 'a text of some length' from n`
const READ_BYTES = 40_000_000
/** Memory may grow by this much; the rows that are read are far more, and those to come endless. */
const GROWTH_MIB = 150

/** Resident memory of a process in MiB; null where the system doesn't tell. */
function memoryMiB(node: ChildNode): number | null {
  try {
    const text = readFileSync(`/proc/${node.pid}/status`, 'utf8')
    return Number(/^VmRSS:\s+(\d+) kB$/m.exec(text)?.[1]) / 1024
  } catch {
    return null
  }
}

/** Reads so many bytes of an endless answer, then breaks it off. */
async function readSome(url: string, bytes: number): Promise<void> {
  const sent = request(`${url}/v3/cursor`, { method: 'POST' })
  sent.end(JSON.stringify({ baton: null, batch: { steps: [{ stmt: { sql: ENDLESS } }] } }))
  const [response] = (await once(sent, 'response')) as [IncomingMessage]
  let read = 0
  for await (const data of response) {
    read += (data as Buffer).length
    if (read >= bytes) break
  }
  sent.destroy()
  ok(read >= bytes, `the answer ended after ${read} bytes`)
}

test('an endless result is streamed, broken off, and leaves nothing behind', async () => {
  await using cluster = await Cluster.start({ names: ['a'] })
  const node = cluster.node('a')
  const db = cluster.client()
  await db.execute('create table t (id integer primary key)')
  await readSome(node.url, 1_000_000)
  const before = memoryMiB(node)
  await Promise.all([1, 2, 3].map(() => readSome(node.url, READ_BYTES)))
  const after = memoryMiB(node)
  if (before !== null && after !== null) {
    ok(after - before < GROWTH_MIB, `${Math.round(after - before)} MiB more`)
  }
  equal((await db.execute('insert into t values (1)')).changes, 1)
})

test('transactions that read hold up no writer, on the leader and on a follower', async (t) => {
  await using cluster = await Cluster.start()
  const leader = await cluster.leader()
  const [follower = leader] = await cluster.followers()
  await cluster.client().execute('create table t (id integer primary key)')
  for (const scheme of ['http', 'ws']) {
    for (const node of [leader, follower]) {
      const client = createClient({ url: node.url.replace('http', scheme) })
      t.after(() => client.close())
      const count = 'select count(*) as n from t'
      const reading = await client.transaction('read')
      const before = (await reading.execute(count)).rows[0]?.['n']
      await client.batch(['insert into t (id) select coalesce(max(id), 0) + 1 from t'], 'write')
      equal((await reading.execute(count)).rows[0]?.['n'], before, 'the snapshot stays')
      await reading.commit()
      ok(Number((await client.execute(count)).rows[0]?.['n']) > Number(before))
    }
  }
  await cluster.verify()
})
