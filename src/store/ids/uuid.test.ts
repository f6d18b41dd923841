import assert from 'node:assert/strict'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { test } from 'node:test'
import { prngFromSeed } from '../../base/prng.ts'
import { Connections } from '../connections.ts'
import { ReaderConnection } from '../read/reader-connection.ts'
import { folderOf } from '../store-fixture.ts'
import { type UuidInputs, UuidSource } from './uuid.ts'

const FORM = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/

/** Chance from a seed, and a clock that is set by hand. */
function inputs(): UuidInputs & { time: number } {
  const prng = prngFromSeed(1)
  return {
    time: 1_700_000_000_000,
    now() {
      return this.time
    },
    fill: (bytes) => {
      for (const i of bytes.keys()) bytes[i] = prng.intInclusive(0, 255)
    },
  }
}

const timeOf = (id: string) => Number.parseInt(id.slice(0, 8) + id.slice(9, 13), 16)

test('ids have the form of version 7 and the time of their making', () => {
  const given = inputs()
  const source = new UuidSource(given)
  const first = source.next()
  assert.match(first, FORM)
  assert.equal(timeOf(first), given.time)
  given.time += 1.5
  assert.equal(timeOf(source.next()), given.time - 0.5)
  assert.equal(new UuidSource(inputs()).next(), first)
})

test('ids rise within a millisecond, after more than it has numbers for, and if the clock goes back', () => {
  const given = inputs()
  const source = new UuidSource(given)
  const ids: string[] = []
  for (let i = 0; i < 10_000; i += 1) {
    if (i === 9_000) given.time -= 60_000
    ids.push(source.next())
  }
  assert.deepEqual(ids, ids.toSorted())
  assert.equal(new Set(ids).size, ids.length)
  for (const id of ids) assert.match(id, FORM)
  assert.ok(timeOf(ids.at(-1) ?? '') > inputs().time)
  // What follows the count is chance: 62 bits that differ from id to id.
  assert.equal(new Set(ids.map((id) => id.slice(19))).size, ids.length)
})

test('SQL knows quorate_id() in statements, DEFAULTs and views, wherever clients ask', (t) => {
  const path = join(folderOf(t), 'file.db')
  const { writer, applier, ...connections } = open(path)
  t.after(() => connections.close())
  writer.db.exec(`create table note (id text primary key default (quorate_id()), x);
    create view fresh as select quorate_id() as id; insert into note (x) values (1), (2)`)
  const rows = writer.db.prepare('select id from note order by x').all()
  const ids = rows.map(({ id }) => String(id))
  assert.match(String(ids), /7/)
  assert.deepEqual(ids, ids.toSorted())
  applier.db.exec('alter table note add column y; insert into note (x) values (3)')
  const reader = new ReaderConnection(path)
  t.after(() => reader.close())
  const [[id] = []] = reader.cache.prepare('select id from fresh').statement.all() as unknown as [
    [string],
  ]
  assert.match(String(id), FORM)
})

function open(path: string) {
  const connections = new Connections(path, { uuids: inputs() })
  const { writer, applier } = connections
  return { writer, applier, close: () => connections.close() }
}

test('elsewhere a file whose schema names it can be read, and written where ids are given', (t) => {
  const path = join(folderOf(t), 'file.db')
  const { writer, close } = open(path)
  writer.db.exec('create table note (id text primary key default (quorate_id()), x)')
  close()
  const plain = new DatabaseSync(path)
  t.after(() => plain.close())
  plain.exec(
    "insert into note values ('a', 1); update note set x = 2; alter table note add column y",
  )
  assert.deepEqual({ ...plain.prepare('select * from note').get() }, { id: 'a', x: 2, y: null })
  assert.throws(() => plain.exec('insert into note (x) values (1)'), /unknown function: quorate_id/)
})
