/** Several groups as real processes: writes on both sides of a cut, failures, and how they heal. */
import { deepEqual, equal, ok, rejects } from 'node:assert/strict'
import { copyFileSync, mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import type { QuorateError } from '../../src/base/errors.ts'
import { until } from '../../src/bench/child-node.ts'
import { quorate } from '../cluster.ts'
import { Groups } from '../groups.ts'

const COUNTER = 'create table page (name text primary key not null, hits integer not null)'

test('both sides of a cut count, and after it both have counted', {
  timeout: 120_000,
}, async () => {
  await using groups = await Groups.start({ a: 1, b: 1 })
  const [a, b] = [groups.client('a'), groups.client('b')]
  await a.execute(COUNTER)
  await a.execute('create table seat (id integer primary key, label text unique not null)')
  await a.execute("insert into page values ('home', 0)")
  const url = groups.nodes[0]?.url ?? ''
  const set = await quorate('rules', 'set', 'page.hits', 'add', '--url', url)
  equal(set.code, 0, set.stderr)
  await groups.level()
  await groups.cut('b')
  for (let i = 0; i < 5; i += 1) {
    await a.execute("update page set hits = hits + 1 where name = 'home'")
    await b.execute("update page set hits = hits + 10 where name = 'home'")
  }
  await a.execute("insert into seat (label) values ('window')")
  await b.execute("insert into seat (label) values ('window')")
  await groups.heal()
  await groups.verify()
  for (const db of [a, b]) {
    deepEqual(await db.query('select hits from page'), [{ hits: 55 }])
    deepEqual(await db.query('select count(*) as n from seat'), [{ n: 1 }])
    deepEqual(await db.query('select count(*) as n from quorate_conflicts'), [{ n: 1 }])
  }
  const listed = await quorate('conflicts', '--url', url, '--json')
  equal(listed.code, 0, listed.stderr)
  ok(listed.stdout.includes('seat'), listed.stdout)
})

test('peers in a zone go on by themselves when another zone is gone', {
  timeout: 120_000,
}, async () => {
  await using peers = await Groups.start({ a: 1, b: 1, c: 1 }, 'peer', ['--zone', 'eu'])
  const [a, b] = [peers.client('a'), peers.client('b')]
  const url = peers.nodes[0]?.url ?? ''
  const set = await quorate('groups', 'zone', 'c', 'us', '--url', url)
  equal(set.stdout, 'c is in zone us now.\n', set.stderr)
  await a.execute(COUNTER)
  await a.execute("insert into page values ('home', 0)", [], { ack: 'each-quorum' })
  const [c] = peers.nodesOf('c')
  await c?.kill()
  for (let i = 1; i <= 5; i += 1) {
    await a.execute('update page set hits = hits + 1', [], { ack: 'local-quorum' })
    const read = { read: 'local-quorum' } as const
    deepEqual(await b.query('select hits from page', [], read), [{ hits: i }])
  }
  // For a while it is only waited for.
  await until('it is known to be gone', 20_000, async () => {
    const options = { ack: 'each-quorum', timeoutMs: 500 } as const
    const write = a.execute('update page set hits = hits + 1', [], options)
    const error: QuorateError = await write.then(
      () => Promise.reject(new Error('a write at each-quorum without a zone')),
      (reason) => reason,
    )
    return error.code === 'ACK_UNAVAILABLE' && error.detail.endsWith(': c.')
  })
  c?.start()
  await peers.level()
  await a.execute('update page set hits = 0', [], { ack: 'each-quorum' })
})

test('a group survives its leader, and the others do not notice', {
  timeout: 120_000,
}, async () => {
  await using groups = await Groups.start({ a: 3, b: 1 })
  const [a, b] = [groups.client('a'), groups.client('b')]
  // The schema changes through another group than the one that orders that.
  await b.execute('create table note (id integer primary key, text text not null)')
  const ids: unknown[] = []
  const write = async (db: typeof a, text: string): Promise<void> => {
    const { lastInsertRowid } = await db.execute('insert into note (text) values (?)', [text])
    ids.push(lastInsertRowid)
  }
  for (let i = 0; i < 10; i += 1) await Promise.all([write(a, `a${i}`), write(b, `b${i}`)])
  const leader = await groups.leaderOf('a')
  await leader.kill()
  for (let i = 10; i < 20; i += 1) await Promise.all([write(a, `a${i}`), write(b, `b${i}`)])
  leader.start()
  await leader.ready()
  await groups.verify()
  equal(new Set(ids.map(String)).size, 40)
  deepEqual(await b.query('select count(*) as n, count(distinct text) as d from note'), [
    { n: 40, d: 40 },
  ])
})

test('all at once stopped and started, and a third group joins', { timeout: 120_000 }, async () => {
  await using groups = await Groups.start({ a: 1, b: 1 })
  await groups.client('a').execute(COUNTER)
  await groups.client('b').execute("insert into page values ('one', 1)")
  await groups.level()
  await Promise.all(groups.nodes.map((node) => node.stop()))
  for (const node of groups.nodes) node.start()
  await Promise.all(groups.nodes.map((node) => node.ready()))
  await groups.client('a').execute("insert into page values ('two', 2)")
  await groups.add('c')
  await groups.client('c').execute("insert into page values ('three', 3)")
  await groups.verify()
  for (const group of groups.names) {
    deepEqual(await groups.client(group).query('select hits from page order by hits'), [
      { hits: 1 },
      { hits: 2 },
      { hits: 3 },
    ])
  }
})

/** What can't be acknowledged is not even run, once it is clear that a group is away. */
async function refused(write: () => Promise<unknown>): Promise<void> {
  await until('the write is refused', 30_000, async () => {
    const code = await write().then(
      () => 'done',
      (error: QuorateError) => error.code,
    )
    ok(['UNKNOWN_OUTCOME', 'ACK_UNAVAILABLE'].includes(code), code)
    return code === 'ACK_UNAVAILABLE'
  })
}

test('the group that orders changes is lost: another takes over, and the old one learns of it', {
  timeout: 120_000,
}, async () => {
  await using groups = await Groups.start({ a: 1, b: 1, c: 1 })
  const [a, b] = [groups.client('a'), groups.client('b')]
  await a.execute(COUNTER)
  await groups.level()
  await groups.cut('a')
  await a.execute("insert into page values ('alone', 1)")
  const [old] = groups.nodesOf('a')
  await old?.kill()
  await groups.heal()
  const url = groups.nodesOf('b')[0]?.url ?? ''
  const taken = await quorate('groups', 'keeper', 'b', '--force', '--url', url)
  equal(taken.code, 0, taken.stderr)
  await b.execute('create unique index by_hits on page (hits)')
  await groups.client('c').execute("insert into page values ('later', 2)")
  old?.start()
  await until('the old one knows', 30_000, async () => {
    const status = await old?.status()
    return status?.origins?.groups.find(({ name }) => name === 'a')?.standing === 'removed'
  })
  await rejects(a.execute("insert into page values ('never', 3)"), { code: 'GROUP_REMOVED' })
  const lost = await quorate('lost', '--url', old?.url ?? '', '--json')
  equal(JSON.parse(lost.stdout).length, 1, lost.stdout)
  // What it had handed to nobody is handed in by hand.
  const [{ file }] = JSON.parse(lost.stdout)
  const folderOf = (name: string) => join(groups.dir, `${name}.db-quorate`, 'lost')
  const [from, to] = [folderOf('a1'), folderOf('b1')]
  mkdirSync(to, { recursive: true })
  copyFileSync(join(from, file), join(to, file))
  const replayed = await quorate('lost', 'replay', file, '--url', url)
  equal(replayed.code, 0, replayed.stderr)
  const names = async () => await groups.client('c').query('select name from page order by hits')
  await until('the rows', 30_000, async () => (await names()).length === 2)
  deepEqual(await names(), [{ name: 'alone' }, { name: 'later' }])
})

test('stable writes wait for every group and say so', { timeout: 120_000 }, async () => {
  await using groups = await Groups.start({ a: 1, b: 1 })
  const [a, b] = [groups.client('a'), groups.client('b')]
  await a.execute(COUNTER)
  await a.execute("insert into page values ('x', 1)", [], { ack: 'stable' })
  deepEqual(await b.query('select hits from page', [], { read: 'strong' }), [{ hits: 1 }])
  await groups.cut('b')
  await refused(() => {
    const options = { ack: 'stable', timeoutMs: 500 } as const
    return a.execute("update page set hits = hits + 1 where name = 'x'", [], options)
  })
  await rejects(b.query('select hits from page', [], { read: 'strong', timeoutMs: 1_000 }), {
    code: 'READ_LEVEL_UNAVAILABLE',
  })
  deepEqual(await b.query('select hits from page'), [{ hits: 1 }])
  await a.execute("update page set hits = 2 where name = 'x'")
  await groups.heal()
  await groups.verify()
  deepEqual(await b.query('select hits from page'), [{ hits: 2 }])
})

test('peers: two of three are enough, one is not', { timeout: 120_000 }, async () => {
  await using groups = await Groups.start({ a: 1, b: 1, c: 1 }, 'peer')
  const a = groups.client('a')
  await a.execute(COUNTER)
  await groups.level()
  await groups.nodesOf('c')[0]?.kill()
  await a.execute("insert into page values ('x', 1)")
  deepEqual(await groups.client('b').query('select hits from page'), [{ hits: 1 }])
  await groups.nodesOf('b')[0]?.kill()
  await refused(() => a.execute('update page set hits = hits + 1', [], { timeoutMs: 500 }))
  await a.execute('update page set hits = 2', [], { ack: 'majority' })
  await rejects(a.query('select hits from page', [], { timeoutMs: 1_000 }), {
    code: 'READ_LEVEL_UNAVAILABLE',
  })
  deepEqual(await a.query('select hits from page', [], { read: 'local' }), [{ hits: 2 }])
  for (const name of ['b', 'c']) {
    groups.nodesOf(name)[0]?.start()
    await groups.nodesOf(name)[0]?.ready()
  }
  await groups.verify()
})
