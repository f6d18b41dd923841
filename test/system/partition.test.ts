/** A leader that is cut off: who leads, what it may still answer, and what becomes of its tail. */
import { deepEqual, equal, match, ok, rejects } from 'node:assert/strict'
import { test } from 'node:test'
import { type ChildNode, until } from '../../src/bench/child-node.ts'
import type { RemoteDb } from '../../src/client/index.ts'
import { Cluster, quorate } from '../cluster.ts'

/** Cuts the links between a node and all others, on both sides; an empty list heals. */
async function cut(cluster: Cluster, lonely: ChildNode, on: boolean): Promise<void> {
  for (const node of cluster.nodes) {
    const others = cluster.nodes.filter((other) => other !== node).map((other) => other.name)
    const names = node === lonely ? others : [lonely.name]
    await cluster.admin(node, 'fault', { cut: on ? names : [] })
  }
}

/** A client that asks this node and no other. */
function only(cluster: Cluster, node: ChildNode): RemoteDb {
  return cluster.client({ timeoutMs: 1_500, discover: false }, [node.url])
}

async function newLeader(cluster: Cluster, old: ChildNode): Promise<ChildNode> {
  let leader = old
  await until('another node leads', 10_000, async () => {
    leader = await cluster.leader()
    return leader !== old
  })
  return leader
}

test('a leader without a majority is replaced, and its uncommitted tail is taken back', async () => {
  await using cluster = await Cluster.start()
  const db = cluster.client()
  await db.execute('create table t (id integer primary key, who text not null)')
  await db.execute("insert into t values (1, 'both')")
  const old = await cluster.leader()
  const alone = only(cluster, old)
  await cut(cluster, old, true)
  await alone.execute("insert into t values (2, 'old leader')", [], { ack: 'local' })
  await alone.execute("update t set who = 'old leader' where id = 1", [], { ack: 'local' })
  const [seen] = await alone.query('select who from t where id = 2', [], { read: 'local' })
  equal(seen?.['who'], 'old leader', 'a local read may see what could be taken back')
  await rejects(alone.query('select who from t where id = 2', [], { read: 'strong' }))

  const leader = await newLeader(cluster, old)
  const others = cluster.client(
    {},
    cluster.urls.filter((url) => url !== old.url),
  )
  await others.execute("insert into t values (3, 'new leader')")
  await cut(cluster, old, false)
  await cluster.settled()

  for (const node of cluster.nodes) {
    const rows = await only(cluster, node).query('select id, who from t order by id')
    const expected = [
      { id: 1, who: 'both' },
      { id: 3, who: 'new leader' },
    ]
    deepEqual(rows, expected, node.name)
  }
  await cluster.verify()
  const status = await old.status()
  equal(status?.role, 'follower')
  equal(status?.leader?.name, leader.name)
  ok((status?.lostFiles ?? 0) > 0, 'the tail is kept')
  const { code, stdout } = await quorate('lost', '--url', old.url)
  equal(code, 0)
  match(stdout, /\b2\b/, 'two transactions were taken back')
})

test('a write at majority on a leader that is cut off is never acknowledged', async () => {
  await using cluster = await Cluster.start()
  const db = cluster.client()
  await db.execute('create table t (id integer primary key)')
  const old = await cluster.leader()
  await cut(cluster, old, true)
  const alone = only(cluster, old)
  // Its outcome stays unknown: the node may still hold the call when the links heal, and then the
  // new leader runs it. Until then nobody else may have it.
  await rejects(alone.execute('insert into t values (1)'), { code: 'UNKNOWN_OUTCOME' })
  await newLeader(cluster, old)
  const others = cluster.client(
    {},
    cluster.urls.filter((url) => url !== old.url),
  )
  deepEqual(await others.query('select * from t', [], { read: 'strong' }), [])
  await cut(cluster, old, false)
  await cluster.settled()
  await cluster.verify()
})

test('a follower that is cut off costs nothing and catches up', async () => {
  await using cluster = await Cluster.start()
  const db = cluster.client()
  await db.execute('create table t (id integer primary key)')
  const leader = await cluster.leader()
  const term = (await leader.status())?.term
  const [follower = leader] = await cluster.followers()
  await cut(cluster, follower, true)
  for (let id = 1; id <= 50; id += 1) await db.execute('insert into t values (?)', [id])
  const stale = only(cluster, follower)
  await rejects(stale.query('select count(*) from t', [], { read: 'strong' }))
  await cut(cluster, follower, false)
  await cluster.settled()
  equal((await leader.status())?.term, term, 'pre-vote: its return forces no election')
  await cluster.verify()
})
