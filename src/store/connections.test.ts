import assert from 'node:assert/strict'
import test from 'node:test'
import { folderOf, program, Replica } from './store-fixture.ts'

test('deleting all rows is replicated though the statement was prepared before recording began', (t) => {
  // A DEFERRABLE key makes the leader prepare statements to see what they write.
  const prepare = `create table u (a text primary key not null); insert into u values ('x');
    create table d (id integer primary key, u references u deferrable initially deferred)`
  const folder = folderOf(t)
  const [a, b] = ['a', 'b'].map((name) => Replica.found(t, folder, name, prepare))
  assert.ok(a !== undefined && b !== undefined)
  const { entries } = a.executePrograms([program('delete from u')])
  assert.equal(entries.length, 1)
  b.follow(a)
  for (const replica of [a, b]) assert.deepEqual(replica.query('select * from u'), [])
})
