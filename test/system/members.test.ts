/** Members come, go, and hand the leadership over. */
import { deepEqual, equal, ok } from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { ChildNode, freePort, until } from '../../src/bench/child-node.ts'
import { Cluster, quorate } from '../cluster.ts'

async function roles(cluster: Cluster): Promise<Record<string, string>> {
  const status = await (await cluster.leader()).status()
  return Object.fromEntries((status?.members ?? []).map(({ name, role }) => [name, role]))
}

test('a learner joins, is promoted, votes in a failover, and is removed', async () => {
  await using cluster = await Cluster.start()
  const db = cluster.client()
  await db.execute('create table t (id integer primary key)')
  for (let id = 1; id <= 20; id += 1) await db.execute('insert into t values (?)', [id])
  const d = await cluster.add('d', ['--role', 'learner'])
  deepEqual(await roles(cluster), { a: 'voter', b: 'voter', c: 'voter', d: 'learner' })
  const reader = cluster.client({ discover: false }, [d.url])
  equal((await reader.query('select count(*) as n from t', [], { read: 'strong' }))[0]?.['n'], 20)

  equal((await quorate('members', 'promote', 'd', '--url', d.url)).code, 0)
  await until('d votes', 10_000, async () => (await roles(cluster))['d'] === 'voter')
  await (await cluster.leader()).kill()
  await db.execute('insert into t values (21)')

  const gone = cluster.nodes.find((node) => !node.running)
  ok(gone !== undefined)
  const leader = await cluster.leader()
  const { code, stderr } = await quorate('members', 'remove', gone.name, '--url', leader.url)
  equal(code, 0, stderr)
  cluster.nodes.splice(cluster.nodes.indexOf(gone), 1)
  await cluster.settled()
  equal(Object.keys(await roles(cluster)).length, 3)
  await cluster.verify()
})

test('leadership is handed over without a failed write', async () => {
  await using cluster = await Cluster.start()
  const db = cluster.client()
  await db.execute('create table t (id integer primary key)')
  const old = await cluster.leader()
  const [target = old] = await cluster.followers()
  const load = (async () => {
    for (let id = 1; id <= 200; id += 1) await db.execute('insert into t values (?)', [id])
  })()
  const { code, stderr } = await quorate('transfer', target.name, '--url', old.url)
  equal(code, 0, stderr)
  equal((await cluster.leader()).name, target.name)
  await load
  equal((await db.query('select count(*) as n from t', [], { read: 'strong' }))[0]?.['n'], 200)
  await cluster.settled()
  await cluster.verify()
})

test('a leader that is stopped hands over, and a restarted node finds its cluster by itself', async () => {
  await using cluster = await Cluster.start()
  const db = cluster.client()
  await db.execute('create table t (id integer primary key)')
  const old = await cluster.leader()
  await old.stop()
  await db.execute('insert into t values (1)')
  old.start()
  await old.ready()
  await cluster.settled()
  equal((await old.status())?.members.length, 3)
  await cluster.verify()
})

test('three that start at once with the same command line found one cluster', async (t) => {
  const dir = mkdtempSync(join(tmpdir(), 'quorate-test-'))
  const ports = [await freePort(), await freePort(), await freePort()]
  const urls = ports.map((port) => `http://127.0.0.1:${port}`)
  const nodes = ports.map((port, at) => {
    const flags = ['--expect', '3']
    return new ChildNode({ dir, name: 'abc'[at] ?? '', port, join: urls, flags })
  })
  t.after(async () => {
    await Promise.all(nodes.map((node) => node.kill()))
    rmSync(dir, { recursive: true, force: true })
  })
  for (const node of nodes) node.start()
  await Promise.all(nodes.map((node) => node.ready()))
  await until('all three vote', 10_000, async () => {
    const all = await Promise.all(nodes.map((node) => node.status()))
    return all.every((s) => s?.members.filter(({ role }) => role === 'voter').length === 3)
  })
  const clusters = await Promise.all(nodes.map(async (node) => (await node.status())?.cluster))
  equal(new Set(clusters).size, 1)
})

test('a name that is taken is refused', async () => {
  await using cluster = await Cluster.start({ names: ['a'] })
  const { url } = cluster.node('a')
  const file = `${cluster.dir}/second.db`
  const args = ['--name', 'a', '--listen', '127.0.0.1:0', '--join', url]
  const { code, stderr } = await quorate('serve', file, ...args)
  equal(code, 1)
  ok(stderr.startsWith('error: NAME_IN_USE: '), stderr)
})
