import { deepEqual, equal } from 'node:assert/strict'
import { DatabaseSync } from 'node:sqlite'
import { test } from 'node:test'
import fc from 'fast-check'
import { present } from '../../base/assert.ts'
import { readExactly } from '../../model/changeset.ts'
import { readCatalog, tableOf } from './catalog.ts'
import { Footprints } from './footprint.ts'
import { keyOf, seedOf } from './key-hash.ts'

const SCHEMA = `
  create table plain (a integer, x text, b text, c text, primary key (a, b, c)) without rowid;
  create table turned (a integer, x text, b text, c text, primary key (c, a, b)) without rowid;
  create table tied (a integer, x text unique, b text, c text, primary key (a, b, c)) without rowid;`

const integer = fc.oneof(
  fc.constantFrom(0.5, -0.5),
  fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
  fc.integer({ min: -3, max: 3 }).map(BigInt),
  fc.constantFrom(2n ** 53n, 2n ** 53n + 1n, -(2n ** 53n) - 1n, 2n ** 62n + 3n),
)
const text = fc.oneof(fc.string(), fc.constantFrom('12', ' 12', '1e3', 'Abc', 'abc ', '', '-0'))
const key = fc.tuple(integer, text, fc.string({ maxLength: 200 }))

test('the key of a row is the same whether it is read alone or with all of the row', () => {
  const db = new DatabaseSync(':memory:')
  db.exec(SCHEMA)
  const catalog = readCatalog(db)
  const footprints = new Footprints(catalog)
  const changesOf = (
    name: string,
    some: readonly (readonly [bigint | number, string, string])[],
  ) => {
    const session = db.createSession()
    const insert = db.prepare(`insert or ignore into ${name} values (?, ?, ?, ?)`)
    for (const [i, [a, b, c]] of some.entries()) insert.run(a, `${i}`, b, c)
    const made = session.changeset()
    session.close()
    return made
  }
  const written = (changes: Uint8Array) =>
    [...readExactly(changes)].map(({ table: name, before, after }) => {
      const table = tableOf(catalog, name)
      const cells = present(before ?? after, () => 'a row')
      return keyOf(seedOf('row', table.name), cells, table.key)
    })
  fc.assert(
    fc.property(fc.array(key, { minLength: 1, maxLength: 5 }), (some) => {
      db.exec('begin')
      for (const name of ['plain', 'turned', 'tied']) {
        const inserted = changesOf(name, some)
        const own = footprints.of(inserted)
        const keys = written(inserted)
        deepEqual(
          own.written.filter((one) => keys.includes(one)),
          keys,
          name,
        )
        equal(own.written.length === keys.length, name !== 'tied')
        equal(own.deletes, false)
        const session = db.createSession()
        db.exec(`update ${name} set x = x || 'y' where a >= 0; delete from ${name} where a < 0`)
        const more = session.changeset()
        session.close()
        const after = footprints.of(more)
        for (const one of written(more)) equal(after.written.includes(one), true)
        equal(
          after.deletes,
          some.some(([a]) => a < 0),
        )
      }
      db.exec('rollback')
    }),
  )
  db.close()
})
