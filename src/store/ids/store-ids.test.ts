/** Automatic ids through whole stores of several origins. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { followerOf, shipAll, startOrigins } from '../origins/origin-fixture.ts'
import { atomic, codes, folderOf, ok, program, type Replica, start } from '../store-fixture.ts'
import { ID_STRIDE } from './next-id.ts'

const SCHEMA = `create table item (id integer primary key, name text, n integer);
  create table audit (id integer primary key autoincrement, what text, item integer);
  create trigger audited after insert on item begin
    insert into audit (what, item) values (new.name, new.id); end;`
const at = (block: number, slot: number) => block * ID_STRIDE + slot
const insert = (name: string) => ['insert into item (name) values (?)', name] as const

/** The ids of both tables. */
function idsOf(replica: Replica): readonly number[] {
  const ids = replica.query('select id from item union all select id from audit order by id')
  return ids.map(([id]) => Number(id))
}

test('origins that write at the same time give other ids, also in triggers', (t) => {
  const replicas = startOrigins(t, folderOf(t), 3, SCHEMA)
  for (const [slot, replica] of replicas.entries()) {
    const reply = replica.executePrograms([program(insert('a')), program(insert('b'))])
    const last = reply.outcomes.map(({ result }) => ok(result.steps[0]).lastInsertRowid)
    assert.deepEqual(last, [BigInt(at(1, slot)), BigInt(at(2, slot))])
    replica.execute(program('begin', insert('c'), insert('d'), 'commit'))
  }
  shipAll(replicas)
  const [first] = replicas
  assert.ok(first !== undefined)
  // Each table has ids of its own.
  assert.deepEqual([idsOf(first).length, new Set(idsOf(first)).size], [24, 12])
  for (const table of ['item', 'audit']) {
    const rows = `select * from ${table} order by id`
    for (const replica of replicas) assert.deepEqual(replica.query(rows), first.query(rows))
  }
  replicas[2]?.must(insert('e'))
  assert.equal(replicas[2]?.query('select max(id) from item')[0]?.[0], at(5, 2))
})

test('another leader of the group, or the same after a restart, goes on above', (t) => {
  const [leader] = startOrigins(t, folderOf(t), 2, SCHEMA)
  assert.ok(leader !== undefined)
  leader.must(insert('a'), insert('b'))
  const follower = followerOf(t, leader, 'f')
  leader.must(insert('c'), 'delete from audit')
  follower.follow(leader)
  for (const replica of [follower, leader]) {
    if (replica === leader) replica.reopen()
    replica.must(insert('d'))
    assert.equal(replica.query('select max(id) from item')[0]?.[0], at(4, 0))
    // AUTOINCREMENT remembers what is gone.
    assert.deepEqual(replica.query('select id from audit'), [[at(4, 0)]])
  }
})

test('a trigger made by a program gives ids to what the program inserts', (t) => {
  const [leader] = startOrigins(t, folderOf(t), 2, SCHEMA)
  assert.ok(leader !== undefined)
  const trigger = `create trigger again after insert on item begin
    insert into audit (what, item) values ('again', last_insert_rowid()); end`
  leader.execute(atomic(insert('a'), trigger, insert('b'), 'drop trigger again', insert('c')))
  leader.run('drop trigger audited', insert('d'))
  const what = leader.query('select what from audit order by what').map(([one]) => one)
  assert.deepEqual(what, ['a', 'again', 'b', 'c'])
  for (const id of idsOf(leader)) assert.equal(id % ID_STRIDE, 0)
})

test('without room for ids a statement has no effect, and its neighbours have theirs', (t) => {
  const [leader] = startOrigins(t, folderOf(t), 2, SCHEMA)
  assert.ok(leader !== undefined)
  leader.must(['insert into audit (id) values (?)', 2n ** 53n - 1n])
  const reply = leader.executePrograms([
    program("insert into item (id, name, n) values (1, 'a', 1)"),
    program("insert into audit (what) values ('x')"),
    program('insert into audit (id) values (7)'),
  ])
  const [first, second, third] = reply.outcomes.map(({ result }) => codes(result.steps))
  assert.deepEqual([first, second, third], [['IDS_EXHAUSTED'], ['IDS_EXHAUSTED'], ['ok']])
  assert.deepEqual(idsOf(leader), [7, Number.MAX_SAFE_INTEGER])
})

test('with one leader ids are what they are in SQLite', (t) => {
  const replica = start(t, SCHEMA)
  replica.must(insert('a'), insert('b'))
  assert.deepEqual(idsOf(replica), [1, 1, 2, 2])
})
