import { deepEqual, equal, ok, throws } from 'node:assert/strict'
import { DatabaseSync } from 'node:sqlite'
import { test } from 'node:test'
import fc from 'fast-check'
import { type Prng, prngFromSeed } from '../base/prng.ts'
import { changesetTables, invertChangeset, readChangeset } from './changeset.ts'
import type { Value } from './program.ts'

const SCHEMA = `
  create table plain (id integer primary key, a, b text, c real, u unique);
  create table "odd ""näme" (k text, n integer, v blob collate nocase, primary key (n, k));
  create table compact (p text primary key, q any, r integer default 7) without rowid;
  create table parent (id integer primary key, label);
  create table child (id integer primary key, parent references parent on delete cascade, w);
  create view seen as select id from plain;
`
const TABLES = ['plain', 'odd "näme', 'compact', 'parent', 'child']

/** Values that are easy to get wrong on the way through an encoding. */
function randomValue(prng: Prng): Value {
  switch (prng.intInclusive(0, 9)) {
    case 0:
      return null
    case 1:
      return BigInt(prng.intInclusive(-3, 3))
    case 2:
      return prng.pick([9_223_372_036_854_775_807n, -9_223_372_036_854_775_808n, 2n ** 53n + 1n])
    case 3:
      return prng.pick([-0, 0.1, 1e308, -5e-324, Number.POSITIVE_INFINITY])
    case 4:
      return ''
    case 5:
      return new Uint8Array(prng.intInclusive(0, 3))
    case 6:
      return new Uint8Array(prng.intInclusive(100, 300)).fill(prng.intInclusive(0, 255))
    case 7:
      return `\uFEFFå🦜${prng.intInclusive(0, 9)}`
    default:
      return 'x'.repeat(prng.pick([1, 5, 127, 128, 129, 400]))
  }
}

const small = (prng: Prng): bigint => BigInt(prng.intInclusive(1, 12))

/** One random change; constraint errors are part of the game. */
function mutate(db: DatabaseSync, prng: Prng): void {
  const v = () => randomValue(prng)
  const k = () => small(prng)
  const statements: readonly (readonly [string, ...Value[]])[] = [
    ['insert into plain values (?, ?, ?, ?, ?)', k(), v(), v(), v(), k()],
    ['replace into plain values (?, ?, ?, ?, ?)', k(), v(), v(), v(), k()],
    ['update plain set a = ?, c = ? where id = ?', v(), v(), k()],
    ['update plain set id = id + 20 where id = ?', k()],
    ['update plain set u = -u where id < ?', k()],
    ['delete from plain where id = ?', k()],
    ['replace into "odd ""näme" values (?, ?, ?)', prng.pick(['a', 'A', 'b']), k(), v()],
    ['update "odd ""näme" set k = upper(k), v = ? where n = ?', v(), k()],
    ['insert into compact(p, q) values (?, ?)', String(k()), v()],
    ['update compact set q = ?, r = r + 1 where p < ?', v(), String(k())],
    ['delete from compact where p = ?', String(k())],
    ['insert into parent values (?, ?)', k(), v()],
    ['insert into child values (?, ?, ?)', k(), k(), v()],
    ['delete from parent where id = ?', k()],
  ]
  const [sql, ...args] = prng.pick(statements)
  try {
    db.prepare(sql).run(...args)
  } catch (error) {
    ok(/constraint failed/.test(String(error)), String(error))
  }
}

function open(): DatabaseSync {
  const db = new DatabaseSync(':memory:')
  db.exec(SCHEMA)
  return db
}

/** Everything in the database, with -0.0, types and blobs kept apart. */
function content(db: DatabaseSync): unknown {
  return TABLES.map((table) => {
    const name = `"${table.replaceAll('"', '""')}"`
    const rows = db.prepare(`select * from ${name} order by 1, 2`, { readBigInts: true }).all()
    return rows.map((row) =>
      Object.values(row).map((v) => [typeof v, Object.is(v, -0), v instanceof Uint8Array, v]),
    )
  })
}

/** A database with random content and a random changeset on top of it. */
function randomChange(seed: number) {
  const prng = prngFromSeed(seed)
  const db = open()
  for (let i = 0; i < 25; i += 1) mutate(db, prng)
  const before = content(db)
  const session = db.createSession()
  for (let i = prng.intInclusive(0, 40); i > 0; i -= 1) mutate(db, prng)
  const bytes = session.changeset()
  session.close()
  db.exec('pragma foreign_keys = off')
  return { db, before, after: content(db), bytes }
}

const apply = (db: DatabaseSync, bytes: Uint8Array) =>
  bytes.length === 0 || db.applyChangeset(bytes, { onConflict: () => 2 })

test('an inverse restores the content, and the inverse of it is the original', () => {
  let updates = 0
  for (let seed = 1; seed <= 400; seed += 1) {
    const { db, before, after, bytes } = randomChange(seed)
    const inverse = invertChangeset(bytes)
    deepEqual(invertChangeset(inverse), new Uint8Array(bytes), `seed ${seed}`)
    ok(apply(db, inverse), `seed ${seed}: inverse has conflicts`)
    deepEqual(content(db), before, `seed ${seed}`)
    ok(apply(db, bytes), `seed ${seed}: original has conflicts`)
    deepEqual(content(db), after, `seed ${seed}`)
    updates += [...readChangeset(bytes)].filter((change) => change.op === 'update').length
    db.close()
  }
  ok(updates > 400, `${updates} updates are too few to prove anything`)
})

test('the rows read are those that a plain diff of the tables finds', () => {
  for (let seed = 1000; seed <= 1100; seed += 1) {
    const { db, bytes } = randomChange(seed)
    const key = (row: readonly unknown[], keys: readonly number[]) =>
      JSON.stringify(keys.map((i) => `${typeof row[i]} ${row[i]}`))
    for (const change of readChangeset(bytes)) {
      const name = `"${change.table.replaceAll('"', '""')}"`
      const statement = db.prepare(`select * from ${name}`, {
        readBigInts: true,
        returnArrays: true,
      })
      const rows = statement.all() as unknown as Value[][]
      const identity = change.before ?? change.after ?? []
      const row = rows.find((r) => key(r, change.keyColumns) === key(identity, change.keyColumns))
      equal(row === undefined, change.op === 'delete', `seed ${seed}`)
      for (const [i, value] of (change.after ?? []).entries()) {
        if (value !== undefined) {
          const got = row?.[i]
          deepEqual(got instanceof Uint8Array ? new Uint8Array(got) : got, value, `seed ${seed}`)
        }
      }
    }
    db.close()
  }
})

test('an update tells the key, the old and the new values, and nothing of other columns', () => {
  const db = open()
  db.exec("insert into plain values (1, 'a', 'b', 1.5, 4)")
  const session = db.createSession()
  db.exec("update plain set b = null, c = 2 where id = 1; insert into parent values (9, 'p')")
  const bytes = session.changeset()
  deepEqual(
    [...readChangeset(bytes)],
    [
      {
        table: 'plain',
        op: 'update',
        keyColumns: [0],
        byRowid: false,
        before: [1n, undefined, 'b', 1.5, undefined],
        after: [undefined, undefined, null, 2, undefined],
      },
      {
        table: 'parent',
        op: 'insert',
        keyColumns: [0],
        byRowid: false,
        before: null,
        after: [9n, 'p'],
      },
    ],
  )
  deepEqual(changesetTables(bytes), ['plain', 'parent'])
  deepEqual(changesetTables(new Uint8Array()), [])
})

test('a changeset within a larger buffer reads the same', () => {
  const { bytes } = randomChange(7)
  const big = new Uint8Array(bytes.length + 20)
  big.set(bytes, 10)
  const view = big.subarray(10, 10 + bytes.length)
  deepEqual([...readChangeset(view)], [...readChangeset(bytes)])
  deepEqual(invertChangeset(view), invertChangeset(bytes))
})

/** Runs all readers; the only error that may come out is LOG_CORRUPT. */
function provoke(bytes: Uint8Array): boolean {
  let failed = false
  for (const read of [invertChangeset, changesetTables, (b: Uint8Array) => [...readChangeset(b)]]) {
    try {
      read(bytes)
    } catch (error) {
      equal((error as { code?: string }).code, 'LOG_CORRUPT', String(error))
      failed = true
    }
  }
  return failed
}

test('every true prefix either ends at a row or is LOG_CORRUPT', () => {
  const { bytes } = randomChange(3)
  let failed = 0
  for (let end = 1; end < Math.min(bytes.length, 3000); end += 1) {
    if (provoke(bytes.subarray(0, end))) failed += 1
  }
  ok(failed > 500, `${failed} prefixes failed`)
})

test('no bytes whatever make the readers loop or crash', () => {
  const { bytes } = randomChange(11)
  const edits = fc.array(fc.tuple(fc.nat(bytes.length - 1), fc.nat(255)), { maxLength: 6 })
  fc.assert(
    fc.property(edits, (list) => {
      const broken = Uint8Array.from(bytes)
      for (const [at, byte] of list) broken[at] = byte
      provoke(broken)
    }),
    { seed: 42, numRuns: 500 },
  )
  const bytesLike = fc.array(fc.constantFrom(0x54, 18, 9, 23, 0, 1, 2, 3, 4, 5, 128, 255, 97))
  fc.assert(
    fc.property(bytesLike, (list) => {
      provoke(Uint8Array.from(list))
    }),
    { seed: 43, numRuns: 1000 },
  )
})

test('what is malformed says where', () => {
  const cases: readonly (readonly [number[], RegExp])[] = [
    [[0x50, 1, 1, 97, 0], /at byte 0: it is a patchset/],
    [[18, 0, 5], /a row comes before any table/],
    [[0x54, 0, 0], /0 columns/],
    [[0x54, 1, 1, 97], /a table name does not end/],
    [[0x54, 0x81], /ends within a number/],
    [[0x54, 1, 1, 97, 0, 18, 0, 9], /value type 9/],
    [[0x54, 1, 1, 97, 0, 18, 0, 3, 5, 97], /ends within a value/],
    [[0x54, 1, 1, 97, 0, 18, 0, 3, 0xff, 0xff, 0xff, 0xff, 0xff], /a length is too large/],
    [[7], /record type 7/],
  ]
  for (const [bytes, message] of cases) {
    throws(() => invertChangeset(Uint8Array.from(bytes)), message)
    throws(() => [...readChangeset(Uint8Array.from(bytes))], message)
  }
})
