import assert from 'node:assert/strict'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { type TestContext, test } from 'node:test'
import { toLogIndex, toTerm } from '../../base/brand.ts'
import { folderOf, Replica } from '../store-fixture.ts'
import {
  busy,
  clusterOf,
  contentless,
  copyOf,
  exchangeOf,
  followerOf,
  hits,
  lacking,
  originate,
  originsOf,
  ship,
  shipAll,
  startOrigins,
} from './origin-fixture.ts'

/** Makes a group of its own of a copy of another's file. */
function foundFrom(t: TestContext, from: Replica, self: string): Replica {
  const replica = new Replica(copyOf(from, join(folderOf(t), 'x.db')))
  t.after(() => replica.store.close())
  replica.found(`node of ${self}`, { self, cluster: null })
  return replica
}

test('a snapshot installed in a group keeps what it knows of the origins', (t) => {
  const [a, b] = busy(t)
  shipAll([a, b])
  a.must("insert into kv values (9, 'nine', 9)")
  const [empty] = startOrigins(t, folderOf(t), 1, '')
  assert.ok(empty !== undefined)
  const follower = followerOf(t, a, 'f')
  assert.deepEqual(originsOf(follower), originsOf(a))
  assert.deepEqual(contentless(follower), contentless(a))
  // Should it lead one day, others may ask it for what it did not make.
  assert.deepEqual(exchangeOf(follower).base, exchangeOf(a).base)
  assert.deepEqual(lacking(follower, empty), lacking(a, empty))
  // The leader's last entry was not known to be committed: it can still be taken back.
  follower.truncate(follower.log.last.index - 1)
  assert.deepEqual(follower.query('select id from kv where id = 9'), [])
  assert.deepEqual(originsOf(follower).applied.get('o0'), (originsOf(a).applied.get('o0') ?? 0) - 1)
})

test('a new group begins with the rows of another, and goes on from there', (t) => {
  const [a, b] = busy(t)
  shipAll([a, b])
  const { cluster } = originsOf(a)
  const joined = clusterOf(3)
  originate(a, [{ kind: 'cluster', cluster: { ...joined, epoch: cluster.epoch + 1 } }])
  shipAll([a, b])
  const before = contentless(a)
  // Nobody but the leader has this; the snapshot does.
  a.must("insert into kv values (9, 'nine', 9)")
  const c = foundFrom(t, a, 'o2')
  assert.deepEqual(contentless(c), before)
  assert.deepEqual([hits(c, 'nine'), hits(c, 'three')], [[], [3]])
  assert.equal(originsOf(c).self, 'o2')
  assert.equal(originsOf(c).cluster.epoch, 2)
  const state = exchangeOf(c)
  assert.deepEqual(state.latest.map(({ origin }) => origin).sort(), ['o0', 'o1'])
  assert.deepEqual(c.log.last, { term: 1, index: 1 })
  c.reopen()
  assert.equal(originsOf(c).self, 'o2')
  c.must("insert into kv values (11, 'eleven', 11)", "update kv set value = 'c' where id = 1")
  b.must("update kv set value = 'b' where id = 1")
  shipAll([a, b, c])
  for (const each of [b, c]) assert.deepEqual(contentless(each), contentless(a))
  assert.deepEqual(hits(b, 'eleven'), [11])
})

test('what a new group began with, it hands on to those who were not known to hold it', (t) => {
  const [a, b] = busy(t)
  shipAll([a, b])
  const joined = clusterOf(3)
  originate(a, [{ kind: 'cluster', cluster: { ...joined, epoch: 2 } }])
  b.must("update kv set value = 'b' where id = 3")
  ship(b, a)
  for (let i = 20; i < 30; i += 1) a.must(`insert into kv values (${i}, 'late', 1)`)
  // What b has said that it holds is not carried along.
  const known = exchangeOf(b).latest.find(({ origin }) => origin === 'o1')
  // With this the rest is known to be committed.
  originate(a, [])
  const c = foundFrom(t, a, 'o2')
  const { base, held } = exchangeOf(c)
  assert.equal(base.get('o0'), known?.dependencies.get('o0'))
  assert.equal(held.get('o0'), exchangeOf(a).held.get('o0'))
  assert.deepEqual(base.get('o1'), held.get('o1'))
  c.reopen()
  c.must("insert into kv values (11, 'eleven', 11)")
  // The one that it was copied from is gone.
  assert.equal(ship(c, b, 3), 3)
  while (ship(c, b) > 0);
  ship(b, c)
  assert.deepEqual(contentless(b), contentless(c))
  assert.deepEqual(b.query("select count(*) from kv where value = 'late'"), [[10]])
  // Once its own log is cut, everybody has it.
  c.send({ kind: 'compact', ticket: 0, to: toLogIndex(c.log.applied) })
  assert.deepEqual(c.query('select count(*) from _quorate_inherited'), [[0]])
  assert.deepEqual(exchangeOf(c).base, exchangeOf(c).held)
})

test('a group can only begin from a snapshot that knows it', (t) => {
  const [a, b] = busy(t)
  shipAll([a, b])
  const found = (path: string, cluster: string, self: string) => {
    const replica = new Replica(path)
    t.after(() => replica.store.close())
    const reply = replica.store.run({
      kind: 'found',
      ticket: 0,
      identity: { cluster, node: 'n' },
      base: { term: toTerm(1), index: toLogIndex(1) },
      members: { cluster, members: [] },
      origin: { self, cluster: null },
    })
    return reply.kind === 'failed' ? reply.error.code : reply.kind
  }
  const copy = () => copyOf(a, join(folderOf(t), 'x.db'))
  assert.equal(found(copy(), 'c', 'o2'), 'WRONG_CLUSTER')
  assert.equal(found(copy(), 'other', 'o1'), 'WRONG_CLUSTER')
  assert.equal(found(join(folderOf(t), 'empty.db'), 'c', 'o1'), 'WRONG_CLUSTER')
})

test('tables that can not be merged are not adopted', (t) => {
  const path = join(folderOf(t), 'x.db')
  const db = new DatabaseSync(path)
  db.exec('create table loose (a, b)')
  db.close()
  const replica = new Replica(path)
  t.after(() => replica.store.close())
  const reply = replica.store.run({
    kind: 'found',
    ticket: 0,
    identity: { cluster: 'c', node: 'n' },
    base: { term: toTerm(1), index: toLogIndex(1) },
    members: { cluster: 'c', members: [] },
    origin: { self: 'o0', cluster: clusterOf(1) },
  })
  assert.equal(reply.kind === 'failed' && reply.error.code, 'NOT_ADOPTABLE')
  assert.equal(replica.store.origins, null)
  assert.equal(replica.store.state().identity, null)
  assert.deepEqual(replica.query('select name from sqlite_schema'), [['loose']])
})
