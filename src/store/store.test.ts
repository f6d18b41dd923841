import assert from 'node:assert/strict'
import { existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import test, { type TestContext } from 'node:test'
import { toLogIndex, toNodeId, toTerm } from '../base/brand.ts'
import { QuorateError } from '../base/errors.ts'
import { decodeBatch, encodeBatch, encodeMembers } from '../model/entry-codec.ts'
import { listLostFiles, readLostFile } from './apply/lost-file.ts'
import { Store } from './store.ts'
import { folderOf, program, Replica, TERM } from './store-fixture.ts'
import type { StoreCommand } from './types.ts'

const TABLES = 'create table item (id integer primary key, name text)'
const TICKET = 0
const NOBODY = { cluster: 'c', members: [] }
const SOMEBODY = {
  cluster: 'c',
  members: [
    {
      id: toNodeId('a:1'),
      name: 'a',
      url: 'http://127.0.0.1:1',
      role: 'voter' as const,
      wants: 'voter' as const,
      priority: 1,
    },
  ],
}

function pair(t: TestContext, prepare = TABLES): readonly [Replica, Replica] {
  const folder = folderOf(t)
  return [Replica.found(t, folder, 'a', prepare), Replica.found(t, folder, 'b', prepare)]
}

function insert(replica: Replica, ...names: string[]): void {
  for (const name of names) replica.must(['insert into item (name) values (?)', name])
}

function foundCommand(index: number): StoreCommand {
  return {
    kind: 'found',
    ticket: TICKET,
    identity: { cluster: 'c', node: 'x' },
    base: { term: toTerm(index === 0 ? 0 : 1), index: toLogIndex(index) },
    members: NOBODY,
  }
}

function proposal(entry: 'noop' | 'members' | 'verify', term = TERM): StoreCommand {
  const body = entry === 'members' ? encodeMembers(SOMEBODY) : new Uint8Array()
  return { kind: 'propose', ticket: TICKET, term, at: 5, entry, body }
}

test('a new file belongs to nobody; once founded it knows its cluster after a restart', (t) => {
  const path = join(folderOf(t), 'x.db')
  const first = new Replica(path)
  assert.deepEqual(first.store.state(), {
    identity: null,
    log: {
      base: { term: 0, index: 0 },
      last: { term: 0, index: 0 },
      terms: [{ term: 0, index: 0 }],
      members: [{ index: 0, members: { cluster: '', members: [] } }],
      applied: 0,
      commit: 0,
    },
    logParts: [],
    origins: null,
  })
  assert.throws(() => first.executePrograms([program('select 1')]), /identity/)
  first.reopen()
  first.send(foundCommand(0))
  const state = first.store.state()
  assert.deepEqual(state.identity, { cluster: 'c', node: 'x' })
  first.reopen()
  t.after(() => first.store.close())
  assert.deepEqual(first.store.state(), state)
  const again = first.store.run(foundCommand(0))
  assert.ok(again.kind === 'failed' && again.error.code === 'WRONG_CLUSTER')
})

test('adoption names everything that stands against it', (t) => {
  const path = join(folderOf(t), 'x.db')
  const db = new DatabaseSync(path)
  db.exec(`create table heap (oid, rowid, _rowid_); create table k (a text primary key, b); create table fine (id integer primary key);
    create virtual table old using dbstat; create table quorate_mine (id integer primary key);
    insert into k values (null, 1), (null, 2), ('x', 3); insert into fine values (1)`)
  db.close()
  const replica = new Replica(path)
  t.after(() => replica.store.close())
  const reply = replica.store.run(foundCommand(1))
  assert.ok(reply.kind === 'failed')
  assert.equal(reply.error.code, 'NOT_ADOPTABLE')
  for (const part of [
    'Table heap has columns named rowid, oid and _rowid_',
    'Virtual table old uses the module dbstat',
    'The name quorate_mine is reserved',
  ]) {
    assert.ok(reply.error.detail.includes(part), reply.error.detail)
  }
  assert.ok(!reply.error.detail.includes('fine'))
  const joining = replica.store.run(foundCommand(0))
  assert.ok(joining.kind === 'failed' && joining.error.detail.includes('holds the table fine'))
  assert.equal(replica.store.state().identity, null)
})

test('a file that is no database', (t) => {
  const path = join(folderOf(t), 'x.db')
  writeFileSync(path, 'x'.repeat(5_000))
  assert.throws(
    () => Store.open(path),
    (error) => error instanceof QuorateError && error.code === 'NOT_ADOPTABLE',
  )
})

test('a follower logs, then applies what it is told to, also after a restart', (t) => {
  const [a, b] = pair(t)
  insert(a, 'x', 'y', 'z')
  b.append(a.entries().slice(0, 1))
  b.append(a.entries().slice(1))
  b.append([])
  assert.deepEqual([b.log.last.index, b.log.applied, b.log.commit], [4, 1, 1])
  assert.deepEqual(b.query('select * from item'), [])
  b.apply(3)
  assert.deepEqual([b.log.applied, b.log.commit], [3, 3])
  assert.deepEqual(b.query('select name from item'), [['x'], ['y']])
  const state = b.store.state()
  b.reopen()
  assert.deepEqual(b.store.state(), state)
  b.applyAll()
  b.send({ kind: 'apply', to: toLogIndex(4) })
  assert.deepEqual(b.content(), a.content())
})

test('append refuses damaged entries as a whole, and asserts their order', (t) => {
  const [a, b] = pair(t)
  insert(a, 'x', 'y')
  const [first, second] = a.entries()
  assert.ok(first !== undefined && second !== undefined)
  const damaged = { ...second, body: second.body.map((byte, i) => (i === 9 ? byte ^ 1 : byte)) }
  const reply = b.store.run({ kind: 'append', ticket: TICKET, entries: [first, damaged] })
  assert.ok(reply.kind === 'failed' && reply.error.code === 'LOG_CORRUPT')
  assert.equal(b.log.last.index, 1)
  assert.throws(() => b.append([second]), /append of 3 after 1/)
})

test('damage in the stored log is found when it is read', (t) => {
  const [a, b] = pair(t)
  insert(a, 'x', 'y')
  b.append(a.entries())
  b.store.close()
  const db = new DatabaseSync(b.path)
  db.exec("update _quorate_log set body = x'0102' where idx = 3")
  db.close()
  b.store = Store.open(b.path)
  const apply = b.store.run({ kind: 'apply', to: toLogIndex(3) })
  assert.ok(apply.kind === 'failed' && apply.error.code === 'LOG_CORRUPT')
  assert.deepEqual(b.query('select * from item'), [])
  b.send({ kind: 'apply', to: toLogIndex(2) })
})

test('an entry that does not fit the data is LOG_CORRUPT and changes nothing', (t) => {
  const [a, b] = pair(t)
  insert(a, 'x', 'y')
  a.must("update item set name = 'z' where id = 1")
  b.append(a.entries())
  b.apply(3)
  b.store.close()
  const db = new DatabaseSync(b.path)
  db.exec("update item set name = 'other' where id = 1")
  db.close()
  b.store = Store.open(b.path)
  const apply = b.store.run({ kind: 'apply', to: toLogIndex(4) })
  assert.ok(apply.kind === 'failed' && apply.error.code === 'LOG_CORRUPT')
  assert.match(apply.error.detail, /entry 4 of term 1: a row of table item/)
  assert.equal(b.log.applied, 3)
})

test('proposals are logged, count as applied on a leader that has applied everything', (t) => {
  const [a, b] = pair(t)
  a.send(proposal('noop', toTerm(3)))
  a.send(proposal('members', toTerm(3)))
  a.send(proposal('verify', toTerm(4)))
  insert(a, 'x')
  assert.deepEqual(a.log.terms, [
    { term: 1, index: 1 },
    { term: 3, index: 2 },
    { term: 4, index: 4 },
  ])
  assert.deepEqual(a.log.members, [
    { index: 1, members: NOBODY },
    { index: 3, members: SOMEBODY },
  ])
  assert.deepEqual([a.log.last.index, a.log.applied], [5, 5])
  b.append(a.entries())
  const applied = b.send({ kind: 'apply', to: toLogIndex(5) })
  assert.deepEqual(applied, { kind: 'applied', index: 4 })
  assert.deepEqual(b.send({ kind: 'apply', to: toLogIndex(5) }), { kind: 'applied', index: 5 })
  assert.deepEqual(b.log.members, a.log.members)
  assert.deepEqual(b.log.terms, a.log.terms)
  b.reopen()
  assert.deepEqual({ ...b.log, commit: 0 }, { ...a.log, commit: 0 })
  // A new leader with something unapplied may propose, but has then not applied it.
  const [c, d] = pair(t)
  insert(c, 'x')
  d.append(c.entries())
  d.send(proposal('noop', toTerm(2)))
  assert.deepEqual([d.log.last.index, d.log.applied], [3, 1])
  assert.throws(() => d.executePrograms([program('select 1')]), /execution at 3 with 1 applied/)
})

test('what says that a write was handed on changes nothing, and nobody misses it', (t) => {
  const [a, b] = pair(t)
  const write = {
    id: { session: 's', number: 1, since: 1 },
    handedOn: { keeper: 'x-1', since: 7 },
  }
  const body = encodeBatch({ transactions: 0, writes: [write], operations: [] })
  const command = {
    kind: 'propose',
    ticket: TICKET,
    term: TERM,
    at: 5,
    entry: 'data',
    body,
  } as const
  insert(a, 'x')
  a.send(command)
  assert.deepEqual([a.log.last.index, a.log.applied], [3, 3])
  insert(a, 'y')
  b.follow(a)
  assert.deepEqual(b.query('select name from item'), [['x'], ['y']])
  assert.deepEqual(decodeBatch(b.entries()[1]?.body ?? new Uint8Array()).writes, [write])
  for (const { lost } of [b.truncate(2), a.truncate(3), a.truncate(2)]) {
    assert.ok(lost === null || (lost.transactions === 1 && lost.first.index === 4))
  }
  assert.deepEqual(a.truncate(2).lost, null)
  assert.deepEqual(a.query('select name from item'), [['x']])
  a.send(command)
  assert.deepEqual(a.truncate(2), { kind: 'truncated', lost: null, applied: 2 })
})

test('reading entries stops at the bytes asked for, but gives one', (t) => {
  const [a] = pair(t)
  insert(a, 'x'.repeat(1_000), 'y'.repeat(1_000), 'z')
  const read = (bytesMax: number) => {
    const reply = a.send({ kind: 'read', from: toLogIndex(2), to: toLogIndex(4), bytesMax })
    return reply.kind === 'entries' ? reply.entries.map(({ index }) => index) : []
  }
  assert.deepEqual(
    [read(0), read(1_500), read(2_500), read(10_000)],
    [[2], [2], [2, 3, 4], [2, 3, 4]],
  )
  const gone = a.send({ kind: 'read', from: toLogIndex(1), to: toLogIndex(2), bytesMax: 1 })
  assert.deepEqual(gone, { kind: 'entries', entries: [] })
})

test('truncation takes applied entries back and keeps them in a file', (t) => {
  const [a, b] = pair(t)
  insert(a, 'x')
  a.send(proposal('noop', TERM))
  insert(a, 'y')
  a.must("update item set name = 'w' where name = 'x'", 'delete from item where id = 2')
  b.follow(a)
  const { lost, applied } = a.truncate(2)
  assert.deepEqual([applied, a.log.last.index, a.log.applied], [2, 2, 2])
  assert.deepEqual(a.query('select id, name from item'), [[1, 'x']])
  assert.ok(lost !== null)
  assert.deepEqual(
    { ...lost, file: '' },
    { file: '', transactions: 3, first: { term: 1, index: 4 }, last: { term: 1, index: 6 } },
  )
  assert.deepEqual(listLostFiles(a.path), [lost.file])
  const { head, entries } = readLostFile(lost.file)
  assert.deepEqual([head.node, head.cluster, head.transactions], ['a', 'c', 3])
  assert.deepEqual(entries, b.entries().slice(2))
  assert.equal(decodeBatch(entries[0]?.body ?? new Uint8Array()).operations.length, 1)
  insert(a, 'new')
  assert.deepEqual(a.query('select id, name from item'), [
    [1, 'x'],
    [2, 'new'],
  ])
  assert.deepEqual(a.truncate(3), { kind: 'truncated', lost: null, applied: 3 })
  a.reopen()
  assert.equal(a.log.last.index, 3)
})

test('truncation of what is not applied, of schema entries, of nothing worth a file', (t) => {
  const [a, b] = pair(t)
  insert(a, 'x')
  a.executePrograms([program('create table more (id integer primary key)')])
  b.append(a.entries())
  b.apply(2)
  const { lost } = a.truncate(2)
  assert.equal(lost?.transactions, 1)
  a.must("insert into item (name) values ('y')")
  assert.equal(b.truncate(1).lost?.transactions, 2)
  assert.deepEqual(b.query('select * from item'), [])
  a.send(proposal('noop'))
  a.send(proposal('members'))
  assert.equal(a.log.members.length, 2)
  assert.deepEqual(a.truncate(3).lost, null)
  assert.equal(a.log.members.length, 1)
  assert.equal(listLostFiles(a.path).length, 1)
})

test('a lost file is written again with the same name, and damage to it is noticed', (t) => {
  const [a] = pair(t)
  insert(a, 'x')
  const [entry] = a.entries()
  const file = a.truncate(1).lost?.file ?? ''
  assert.ok(entry !== undefined)
  a.append([entry])
  assert.equal(a.truncate(1).lost?.file, file)
  assert.equal(readdirSync(join(`${a.path}-quorate`, 'lost')).length, 1)
  const whole = readLostFile(file).entries
  assert.deepEqual(whole, [entry])
  writeFileSync(file, 'quorate lost 1\n{}\nx')
  assert.throws(() => readLostFile(file), QuorateError)
})

test('the store tells how much its log holds', (t) => {
  const [a] = pair(t)
  for (let i = 0; i < 600; i += 1) insert(a, 'x'.repeat(i))
  const parts = a.store.state().logParts
  const sum = (from: number, to: number): number => {
    const inside = a.entries().filter(({ index }) => index > from && index <= to)
    return inside.reduce((bytes, { body }) => bytes + body.length, 0)
  }
  let from: number = a.log.base.index
  for (const { last, bytes } of parts) {
    assert.equal(bytes, sum(from, last))
    from = last
  }
  assert.equal(from, a.log.last.index)
  assert.ok(parts.length > 100 && parts.length <= 256, `${parts.length} parts`)
  a.send({ kind: 'compact', ticket: TICKET, to: a.log.last.index })
  assert.deepEqual(a.store.state().logParts, [])
})

test('compaction drops entries and keeps terms and members as of its base', (t) => {
  const [a] = pair(t)
  insert(a, 'x')
  a.send(proposal('members', toTerm(2)))
  insert(a, 'y')
  a.executePrograms([program("insert into item (name) values ('z')")], toTerm(3))
  a.send({ kind: 'compact', ticket: TICKET, to: toLogIndex(4) })
  const { log } = a
  assert.deepEqual(log.base, { term: 2, index: 4 })
  assert.deepEqual(log.terms, [
    { term: 2, index: 4 },
    { term: 3, index: 5 },
  ])
  assert.deepEqual(log.members, [{ index: 4, members: SOMEBODY }])
  assert.deepEqual(
    a.entries().map(({ index }) => index),
    [5],
  )
  a.reopen()
  assert.deepEqual(a.log, log)
  a.send({ kind: 'compact', ticket: TICKET, to: toLogIndex(5) })
  a.send({ kind: 'compact', ticket: TICKET, to: toLogIndex(5) })
  assert.deepEqual(a.log.last, { term: 3, index: 5 })
  a.executePrograms([program("insert into item (name) values ('w')")], toTerm(3))
  assert.deepEqual(a.log.last, { term: 3, index: 6 })
  assert.throws(() => a.send({ kind: 'compact', ticket: TICKET, to: toLogIndex(9) }))
})

test('a snapshot takes the place of the file; the node stays who it is', (t) => {
  const [a, b] = pair(t)
  insert(a, 'x')
  a.send(proposal('members', toTerm(2)))
  insert(a, 'y')
  const install = (name: string) => {
    const path = join(`${b.path}-quorate`, name)
    mkdirSync(`${b.path}-quorate`, { recursive: true })
    const source = new DatabaseSync(a.path)
    source.exec(`vacuum into '${path}'`)
    source.close()
    const reply = b.send({ kind: 'install', ticket: TICKET, path })
    assert.deepEqual(reply, { kind: 'installed', state: b.store.state() })
    assert.deepEqual(b.store.state().identity, { cluster: 'c', node: 'b' })
    assert.equal(existsSync(path), false)
  }
  insert(b, 'mine')
  // A leader's file may be ahead of what is committed: the entries to take that back come along.
  install('early.db')
  assert.deepEqual(b.log.base, { term: 1, index: 1 })
  assert.deepEqual([b.log.last.index, b.log.applied], [4, 4])
  assert.deepEqual(b.query('select name from item'), [['x'], ['y']])
  b.truncate(3)
  assert.deepEqual(b.query('select name from item'), [['x']])

  a.send({ kind: 'apply', to: toLogIndex(3) })
  install('later.db')
  assert.deepEqual(b.log.base, { term: 2, index: 3 })
  assert.deepEqual([b.log.last.index, b.log.applied], [4, 4])
  assert.deepEqual(b.log.members, [{ index: 3, members: SOMEBODY }])
  insert(a, 'z')
  b.append(a.entries().slice(-1))
  b.applyAll()
  assert.deepEqual(b.content(), a.content())
  b.reopen()
  assert.equal(b.log.last.index, 5)
})

test('writes of another process are noticed, our own two connections are not', (t) => {
  const [a, b] = pair(t)
  insert(a, 'x', 'y')
  a.send(proposal('noop'))
  insert(a, 'z')
  a.truncate(2)
  insert(a, 'w')
  b.follow(a)
  b.send(proposal('noop'))
  insert(b, 'v')
  assert.deepEqual([a.store.foreignWrites, b.store.foreignWrites], [0, 0])
  const db = new DatabaseSync(a.path)
  db.exec("insert into item (name) values ('foreign')")
  db.close()
  insert(a, 'after')
  assert.equal(a.store.foreignWrites, 1)
  insert(a, 'later')
  a.send(proposal('noop'))
  insert(a, 'last')
  assert.ok(a.store.foreignWrites <= 2)
})

test('a foreign DDL is seen by the next batch', (t) => {
  const [a] = pair(t)
  insert(a, 'x')
  const db = new DatabaseSync(a.path)
  db.exec('alter table item add column w; create table k (k text primary key)')
  db.close()
  const [step] = a.run('select * from item')
  assert.ok(step && 'ok' in step && step.ok.columns.length === 3)
  a.must('insert into k values (null)')
  assert.deepEqual(
    a.entries().map(({ body }) => decodeBatch(body).operations.map(({ kind }) => kind)),
    [['changeset'], ['rows']],
  )
})

test('triggers do not fire on apply, also after every kind of schema change', (t) => {
  const [a, b] = pair(
    t,
    `${TABLES}; create table log (id integer primary key, what);
     create trigger t after insert on item begin insert into log (what) values (new.name); end`,
  )
  insert(a, 'x')
  a.must('create index i on item (name)')
  insert(a, 'y')
  a.must("create trigger u after update on item begin insert into log (what) values ('u'); end")
  a.must("update item set name = 'z'")
  a.must('drop trigger t')
  insert(a, 'w')
  b.follow(a)
  assert.deepEqual(b.content(), a.content())
  assert.deepEqual(b.query('select count(*) from log'), [[4]])
  // As a leader it fires those that there are.
  b.must("update item set name = 'q'")
  assert.deepEqual(b.query('select count(*) from log'), [[7]])
  assert.deepEqual(b.query('pragma integrity_check'), [['ok']])
})

test('dropping two tables gives the plain database back', (t) => {
  const [a] = pair(t)
  insert(a, 'x')
  a.store.close()
  const db = new DatabaseSync(a.path)
  db.exec('drop table _quorate_log; drop table _quorate_state')
  const left = db.prepare('select name from sqlite_schema').all()
  db.close()
  assert.deepEqual(
    left.map(({ name }) => name),
    ['item'],
  )
  a.store = Store.open(a.path)
  assert.equal(a.store.state().identity, null)
})
