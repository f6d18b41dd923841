/** A statement of several election timeouts: it may take its time, and costs no leadership. */
import { equal, ok } from 'node:assert/strict'
import { DatabaseSync } from 'node:sqlite'
import { test } from 'node:test'
import type { ChildNode } from '../../src/bench/child-node.ts'
import { Cluster } from '../cluster.ts'

/** Many times the election timeout of half a second. */
const SECONDS = 3
const COUNT = `select count(*) from (
  with recursive numbers (n) as (select 1 union all select n + 1 from numbers where n < ?1)
  select n from numbers)`

/** How far this machine counts in the wanted time. */
function numbersIn(seconds: number): number {
  const database = new DatabaseSync(':memory:')
  const statement = database.prepare(COUNT)
  const sample = 300_000
  const began = performance.now()
  statement.get(sample)
  const took = performance.now() - began
  database.close()
  return Math.round((sample * seconds * 1_000) / took)
}

/** Runs the statement, and looks all the while whether the node answers and who leads. */
async function watched(
  leader: ChildNode,
  statement: Promise<unknown>,
): Promise<{ readonly slowestMs: number; readonly tookMs: number }> {
  const began = performance.now()
  let done = false
  const finished = statement.finally(() => {
    done = true
  })
  let slowestMs = 0
  while (!done) {
    const asked = performance.now()
    await leader.status()
    slowestMs = Math.max(slowestMs, performance.now() - asked)
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
  await finished
  return { slowestMs, tookMs: performance.now() - began }
}

test('a long SELECT and a long UPDATE leave the leader in office', async () => {
  await using cluster = await Cluster.start()
  const db = cluster.client({ timeoutMs: 60_000 })
  await db.execute('create table t (id integer primary key, n integer)')
  await db.execute('insert into t values (1, 0)')
  const leader = await cluster.leader()
  const term = (await leader.status())?.term
  const count = numbersIn(SECONDS)

  const select = db.query(COUNT, [count], { read: 'strong' })
  const meanwhile = cluster.client().execute('insert into t values (2, 0)')
  const read = await watched(leader, select)
  await meanwhile
  ok(read.tookMs > 1_500, `the SELECT took only ${read.tookMs} ms`)
  ok(read.slowestMs < 1_000, `/status took ${read.slowestMs} ms during a SELECT`)

  const update = db.execute(`update t set n = (${COUNT}) where id = 1`, [count])
  const write = await watched(leader, update)
  ok(write.tookMs > 1_500, `the UPDATE took only ${write.tookMs} ms`)
  ok(write.slowestMs < 1_000, `/status took ${write.slowestMs} ms during an UPDATE`)

  equal((await leader.status())?.term, term)
  equal((await leader.status())?.role, 'leader')
  await cluster.verify()
})
