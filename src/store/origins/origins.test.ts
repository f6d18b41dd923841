/** Origins in stores, by themselves: exchange, taking back, keeping, compaction, what is agreed on. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { decodeOwn } from '../../model/entry-codec.ts'
import { encodeOriginOperations } from '../../model/origin-codec.ts'
import { atomic, folderOf, program } from '../store-fixture.ts'
import {
  applied,
  busy,
  contentless,
  exchangeOf,
  followerOf,
  forget,
  hits,
  KV,
  lacking,
  logMerge,
  originate,
  originsOf,
  shipAll,
  startOrigins,
} from './origin-fixture.ts'

test('what two origins write ends the same at both', (t) => {
  const [a, b] = startOrigins(t, folderOf(t), 2, KV)
  assert.ok(a !== undefined && b !== undefined)
  a.must("insert into kv values (1, 'a', 1)", "insert into kv values (2, 'a', 1)")
  b.must("insert into kv values (3, 'b', 1)")
  shipAll([a, b])
  assert.deepEqual(a.content(), b.content())
  a.must('update kv set n = 5 where id = 1')
  b.must("update kv set value = 'x' where id = 1", 'delete from kv where id = 2')
  shipAll([a, b])
  assert.deepEqual(a.content(), b.content())
  assert.deepEqual(a.query('select id, value, n from kv order by id'), [
    [1, 'x', 5],
    [3, 'b', 1],
  ])
  assert.deepEqual(originsOf(a).applied, new Map(Object.entries({ o0: 3, o1: 3 })))
  assert.deepEqual(exchangeOf(a).held, exchangeOf(b).held)
})

test('a follower ends with the rows of its leader', (t) => {
  const [a, b] = busy(t)
  const follower = followerOf(t, a, 'follower')
  assert.deepEqual(contentless(follower), contentless(a))
  shipAll([a, b])
  a.must("insert into kv values (7, 'seven', 7)", 'delete from kv where id = 3')
  follower.follow(a)
  assert.deepEqual(contentless(follower), contentless(a))
  assert.deepEqual(originsOf(follower).applied.get('o1'), originsOf(a).applied.get('o1'))
  assert.deepEqual(hits(follower, 'seven'), [7])
  assert.deepEqual(hits(follower, 'yours'), hits(a, 'yours'))
  follower.reopen()
  follower.follow(a)
  assert.deepEqual(originsOf(follower), originsOf(a))
  assert.deepEqual(exchangeOf(follower).held, exchangeOf(a).held)
})

test('own entries that nobody else has are taken back, with what is derived from them', (t) => {
  const [a, b] = busy(t)
  shipAll([a, b])
  const before = contentless(a)
  const { last } = a.log
  const known = originsOf(a)
  a.must("insert into kv values (8, 'eight', 8)", "update kv set value = 'changed' where id = 1")
  a.must('delete from kv where id = 3')
  assert.deepEqual(hits(a, 'changed'), [1])
  const { lost } = a.truncate(last.index)
  assert.equal(lost?.transactions, 3)
  assert.deepEqual(contentless(a), before)
  assert.deepEqual([hits(a, 'changed'), hits(a, 'eight'), hits(a, 'three')], [[], [], [3]])
  assert.deepEqual(originsOf(a), known)
  const [again] = a.executePrograms([program('delete from kv where id = 3')]).entries
  assert.equal(again && decodeOwn(again.body)?.sequence, (known.applied.get('o0') ?? 0) + 1)
  shipAll([a, b])
  assert.deepEqual(contentless(a), contentless(b))
})

test('entries that are in the file already are taken back as well', (t) => {
  const [a, b] = busy(t)
  shipAll([a, b])
  const before = contentless(a)
  const { last } = a.log
  const large = 'zeroblob(1000000)'
  for (let i = 0; i < 10; i += 1) a.must(`insert into kv values (${100 + i}, ${large}, 1)`)
  for (let i = 10; i < 300; i += 1) a.must(`insert into kv values (${100 + i}, 'x', 1)`)
  a.must('delete from kv where id > 150')
  assert.ok(Number(a.query('select count(*) from _quorate_transactions').flat()[0]) > 4)
  a.reopen()
  a.truncate(last.index)
  assert.deepEqual(contentless(a), before)
  a.must("insert into kv values (5, 'five', 5)")
  shipAll([a, b])
  assert.deepEqual(contentless(a), contentless(b))
})

test('a merge that is not committed yet is not applied, and can be dropped', (t) => {
  const [a, b] = busy(t)
  const { index } = a.log.last
  const before = contentless(a)
  const entries = lacking(b, a)
  logMerge(
    a,
    entries.map((entry) => ({ kind: 'take', entry, apply: true })),
  )
  assert.equal(a.log.applied, index)
  assert.deepEqual(contentless(a), before)
  const { lost } = a.truncate(index)
  assert.equal(lost, null)
  shipAll([a, b])
  assert.deepEqual(contentless(a), contentless(b))
})

test('what an apply tells: origins that changed, and new conflicts', (t) => {
  const [a, b] = busy(t)
  shipAll([b, a])
  const [taken] = lacking(b, a)
  assert.equal(taken, undefined)
  b.must("update kv set value = 'again' where id = 3")
  a.must("update kv set value = 'else' where id = 3")
  logMerge(
    a,
    lacking(b, a).map((entry) => ({ kind: 'take', entry, apply: true })),
  )
  const { merged, origins } = applied(a)
  assert.equal(merged?.transactions, 1)
  assert.equal(merged?.conflictCount, 1)
  assert.deepEqual(
    merged?.conflicts.map(({ kind, table }) => [kind, table]),
    [['update-update', 'kv']],
  )
  assert.deepEqual(origins, originsOf(a))
  assert.equal(applied(a).origins, undefined)
  assert.equal(applied(a).merged, undefined)
})

test('an entry whose time has not come is kept, and handed on', (t) => {
  const [a, b] = busy(t)
  shipAll([a, b])
  const before = contentless(a)
  b.at += 3_600_000
  b.must("update kv set value = 'tomorrow' where id = 1", "insert into kv values (20, 'x', 20)")
  const entries = lacking(b, a)
  const held = exchangeOf(a)
  logMerge(
    a,
    entries.map((entry) => ({ kind: 'take', entry, apply: false })),
  )
  a.applyAll()
  assert.deepEqual(contentless(a), before)
  const state = exchangeOf(a)
  assert.deepEqual(state.applied, held.applied)
  assert.equal(state.held.get('o1'), (held.held.get('o1') ?? 0) + 2)
  assert.deepEqual(
    state.unapplied.map(({ sequence }) => sequence),
    entries.map(({ sequence }) => sequence),
  )
  a.send({ kind: 'compact', ticket: 0, to: a.log.applied })
  a.must("update kv set value = 'today' where id = 1")
  a.reopen()
  assert.deepEqual(
    exchangeOf(a).unapplied.map(({ sequence }) => sequence),
    entries.map(({ sequence }) => sequence),
  )
  // The log has forgotten them, and they can be had here all the same.
  const first = (held.held.get('o1') ?? 0) + 1
  assert.equal(exchangeOf(a).base.get('o1'), first - 1)
  const asked = { ranges: [{ origin: 'o1', first, last: first + 1 }], bytesMax: 1e6, entriesMax: 9 }
  const reply = a.send({ kind: 'readOrigins', ...asked })
  assert.deepEqual(reply.kind === 'originEntries' && reply.entries, entries)
  logMerge(
    a,
    entries.map(({ origin, sequence }) => ({ kind: 'apply', origin, sequence })),
  )
  a.applyAll()
  assert.deepEqual(exchangeOf(a).unapplied, [])
  shipAll([a, b])
  assert.deepEqual(contentless(a), contentless(b))
  assert.deepEqual(hits(a, 'tomorrow'), [1])
})

test('compaction leaves what others may still ask about', (t) => {
  const [a, b] = busy(t)
  shipAll([a, b])
  a.must('update kv set n = 10 where id = 1', 'update kv set n = 11 where id = 1')
  originate(a, [])
  shipAll([a, b])
  const before = exchangeOf(b)
  assert.deepEqual(before.base, new Map())
  b.send({ kind: 'compact', ticket: 0, to: b.log.applied })
  const { base, ...rest } = exchangeOf(b)
  const { base: _, ...same } = before
  assert.deepEqual(rest, same)
  assert.deepEqual(base, before.held)
  assert.ok(rest.wanted.has('o0'))
  b.reopen()
  assert.deepEqual(exchangeOf(b), { base, ...rest })
  b.must('update kv set n = 12 where id = 3')
  assert.equal(exchangeOf(b).base.get('o1'), base.get('o1'))
  assert.equal(lacking(b, a).length, 1)
  const ranges = [{ origin: 'o1', first: 1, last: 100 }]
  const reply = b.send({ kind: 'readOrigins', ranges, bytesMax: 1e6, entriesMax: 100 })
  assert.equal(reply.kind === 'originEntries' && reply.entries.length, 1)
  shipAll([a, b])
  assert.deepEqual(contentless(a), contentless(b))
})

test('entries are read in the order of the log, within limits', (t) => {
  const [a, b, c] = startOrigins(t, folderOf(t), 3, KV)
  assert.ok(a !== undefined && b !== undefined && c !== undefined)
  a.must("insert into kv values (1, 'a', 1)")
  shipAll([a, b])
  b.must('update kv set n = 2 where id = 1')
  shipAll([a, b])
  a.must('update kv set n = 3 where id = 1')
  const names = (entriesMax: number) =>
    lacking(a, c, entriesMax).map(({ origin, sequence }) => `${origin} ${sequence}`)
  assert.deepEqual(names(9), ['o0 1', 'o1 1', 'o0 2'])
  assert.deepEqual(names(2), ['o0 1', 'o1 1'])
  assert.deepEqual(names(0), ['o0 1'])
  const ranges = [{ origin: 'o0', first: 1, last: 9 }]
  const reply = a.send({ kind: 'readOrigins', ranges, bytesMax: 1, entriesMax: 9 })
  assert.equal(reply.kind === 'originEntries' && reply.entries.length, 1)
})

test('what is final is forgotten, and nothing changes', (t) => {
  const [a, b] = busy(t)
  shipAll([a, b])
  b.must('delete from kv where id = 3')
  shipAll([a, b])
  // Both have seen everything of the other, and say so.
  originate(a, [])
  originate(b, [])
  shipAll([a, b])
  originate(a, [])
  shipAll([a, b])
  const before = contentless(a)
  const marks = exchangeOf(a).latest.map(({ time }) => time)
  const stable = Math.min(...marks)
  for (const each of [a, b]) forget(each, stable)
  assert.deepEqual(contentless(a), before)
  const left = a.query(`select (select count(*) from _quorate_transactions where time <= ${stable}),
    (select count(*) from _quorate_deleted), (select count(*) from quorate_conflicts) > 0`)
  assert.deepEqual(left, [[0, 0, 1]])
  assert.equal(exchangeOf(a).stable, stable)
  forget(a, stable + 1, stable + 1)
  assert.deepEqual(a.query('select count(*) from quorate_conflicts'), [[0]])
  a.reopen()
  assert.equal(exchangeOf(a).stable, stable + 1)
})

test('schema, rules, nodes and holds reach everybody', (t) => {
  const [a, b] = busy(t)
  shipAll([a, b])
  a.must('alter table kv add column extra', 'create table later (id integer primary key, x)')
  a.must("insert into later values (1, 'x')", 'pragma user_version = 7')
  originate(a, [{ kind: 'hold' }])
  shipAll([a, b])
  assert.equal(originsOf(b).held, true)
  originate(a, [{ kind: 'rule', rule: { table: 'kv', column: 'n', rule: 'add' } }])
  originate(a, [{ kind: 'release' }])
  const nodes = [{ id: 'x', name: 'node x', url: 'http://127.0.0.1:1' }]
  originate(b, [{ kind: 'nodes', nodes }])
  shipAll([a, b])
  assert.equal(originsOf(b).held, false)
  assert.deepEqual(originsOf(a).nodes.get('o1'), nodes)
  a.must('update kv set n = n + 10 where id = 1')
  b.must('update kv set n = n + 100 where id = 1', "update kv set extra = 'e' where id = 3")
  shipAll([a, b])
  assert.deepEqual(contentless(a), contentless(b))
  assert.deepEqual(a.query('select n from kv where id = 1'), [[111]])
  assert.deepEqual(b.query('pragma user_version'), [[7]])
  b.reopen()
  assert.deepEqual(originsOf(b).nodes, originsOf(a).nodes)
})

test('a conflict that somebody has dealt with is closed everywhere', (t) => {
  const [a, b] = busy(t)
  shipAll([a, b])
  originate(a, [{ kind: 'rule', rule: { table: 'kv', column: 'value', rule: 'both' } }])
  shipAll([a, b])
  a.must("update kv set value = 'mine' where id = 3")
  b.must("update kv set value = 'yours' where id = 3")
  shipAll([a, b])
  const sql = 'select time, origin, number, open from quorate_conflicts where open = 1'
  const [[time, origin, number] = []] = a.query(sql)
  originate(b, [
    { kind: 'closed', time: Number(time), origin: String(origin), number: Number(number) },
  ])
  shipAll([a, b])
  for (const each of [a, b]) assert.deepEqual(each.query(sql), [])
})

test('an operation that can not be applied is not logged', (t) => {
  const [a] = busy(t)
  const { last } = a.log
  const rule = { table: 'nowhere', column: '', rule: 'add' }
  const reply = a.store.run({
    kind: 'originate',
    ticket: 0,
    term: last.term,
    at: a.at,
    answer: 'none',
    operations: [{ kind: 'rule', rule }],
  })
  assert.equal(reply.kind === 'failed' && reply.error.code, 'BAD_RULE')
  assert.deepEqual(a.log.last, last)
  a.must('delete from kv where id = 3')
})

test('an entry that can not be applied is named, and nothing has changed', (t) => {
  const [a, b] = busy(t)
  const before = contentless(a)
  const [entry] = lacking(b, a)
  assert.ok(entry !== undefined)
  const { last } = a.log
  const damaged = { ...entry, body: entry.body.with(0, 9) }
  const reply = a.store.run({
    kind: 'merge',
    ticket: 0,
    term: last.term,
    at: a.at,
    operations: [{ kind: 'take', entry: damaged, apply: true }],
  })
  assert.equal(reply.kind === 'failed' && reply.error.code, 'LOG_CORRUPT')
  assert.deepEqual(a.log.last, last)
  const ddl = encodeOriginOperations([{ kind: 'ddl', sql: 'create table kv (a)' }])
  logMerge(a, [{ kind: 'take', entry: { ...entry, body: ddl }, apply: true }])
  const failed = a.store.run({ kind: 'apply', to: a.log.last.index })
  assert.ok(failed.kind === 'failed')
  assert.match(failed.error.detail, /Entry 1 of o1 can't be applied/)
  assert.deepEqual(contentless(a), before)
  a.truncate(last.index)
  a.must('delete from kv where id = 3')
  shipAll([a, b])
  assert.deepEqual(contentless(a), contentless(b))
})

test('a follower can follow what SQLite can not do row by row', (t) => {
  const unique = 'create table u (id integer primary key, v text unique)'
  const [a] = startOrigins(t, folderOf(t), 1, unique)
  assert.ok(a !== undefined)
  const follower = followerOf(t, a, 'f')
  a.must("insert into u values (1, 'x'), (2, 'y')")
  a.execute(
    atomic(
      'update u set v = null where id = 1',
      "update u set v = 'x' where id = 2",
      "update u set v = 'y' where id = 1",
    ),
  )
  follower.follow(a)
  assert.deepEqual(follower.query('select id, v from u order by id'), [
    [1, 'y'],
    [2, 'x'],
  ])
  assert.deepEqual(follower.content(), a.content())
})

test('what comes late after much was written is prepared for in slices', (t) => {
  const [a, b] = startOrigins(t, folderOf(t), 2, KV)
  assert.ok(a !== undefined && b !== undefined)
  b.must("insert into kv values (1, 'early', 1)")
  const entries = lacking(b, a)
  const insert = "insert into kv values (?, 'x', 1)"
  const many = (from: number) =>
    Array.from({ length: 4000 }, (_, n) => program([insert, BigInt(from + n)]))
  a.at += 1
  for (let i = 0; i < 6; i += 1) a.executePrograms(many(2 + i * 4000))
  a.send({ kind: 'compact', ticket: 0, to: a.log.applied })
  const { applied: before } = a.log
  logMerge(
    a,
    entries.map((entry) => ({ kind: 'take', entry, apply: true })),
  )
  assert.equal(applied(a).index, before)
  a.applyAll()
  assert.deepEqual(a.query('select count(*) from kv'), [[24_001]])
})
