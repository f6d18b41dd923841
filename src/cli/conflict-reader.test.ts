import { deepEqual, equal, rejects } from 'node:assert/strict'
import { test } from 'node:test'
import type { ExactValue } from '../model/exact-value.ts'
import { start } from '../server/testing/start.ts'
import { MergeTables } from '../store/merge/merge-tables.ts'
import { rowToJson } from '../store/merge/row-json.ts'
import { ConflictReader } from './conflict-reader.ts'

const BIG = 2n ** 60n + 1n

test('conflicts are read as they are stored, and what was lost is written again to the last bit', async (t) => {
  const { node, url } = await start(t)
  const { db } = node
  new MergeTables(db)
  db.exec(`create table stock (id integer primary key, a, b, c text check (length(c) < 9), "d d",
    e generated always as (a), unique (b))`)
  const add = db.prepare(`insert into quorate_conflicts
    (time, origin, number, kind, name, key, columns, kept, lost, open) values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`)
  const kept: ExactValue[] = [5n, 1n, 2n, 'x', null]
  const lost: ExactValue[] = [5n, 42, BIG, "y'", new Uint8Array([1, 255])]
  const place = { time: 1_763_720_000_123_456, origin: 'west-1f2e3d' }
  const insert = (number: number, name: string, left: ExactValue[] | null, open: number): void => {
    const both = [rowToJson(kept), left === null ? null : rowToJson(left)] as const
    add.run(
      place.time,
      place.origin,
      number,
      'insert-insert',
      name,
      '[{"i":"5"}]',
      '[]',
      ...both,
      open,
    )
  }
  insert(0, 'stock', lost, 1)
  insert(1, 'stock', null, 0)
  insert(2, 'gone', lost, 0)
  db.exec("insert into stock (id, a, b, c) values (5, 1, 2, 'x')")
  using reader = new ConflictReader({ urls: [url], token: null })
  deepEqual(
    (await reader.all(false)).map(({ number, open }) => [number, open]),
    [
      [0, true],
      [1, false],
      [2, false],
    ],
  )
  equal((await reader.all(true)).length, 1)
  equal(await reader.one({ ...place, number: 7 }), null)

  const replay = async (number: number): Promise<number> => {
    const conflict = await reader.one({ ...place, number })
    if (conflict === null) throw new Error(`no conflict ${number}`)
    return await reader.replay(conflict, await reader.tableOf(conflict))
  }
  equal(await replay(0), 1)
  const types = db.prepare('select typeof(a) a, a = 42.0 as is42, b, c, hex("d d") d from stock')
  types.setReadBigInts(true)
  deepEqual({ ...types.get() }, { a: 'real', is42: 1n, b: BIG, c: "y'", d: '01FF' })
  equal(await replay(1), 1, 'a delete that lost')
  equal(db.prepare('select count(*) as n from stock').get()?.['n'], 0)
  await rejects(replay(2), { code: 'CONFLICT_NOT_REPLAYABLE' })
})
