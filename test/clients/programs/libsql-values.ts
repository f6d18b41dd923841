/**
 * @libsql/client: what values become on their way through parameters, columns and results. Learnt
 * from the behaviours that the client's own test suite asks of a server.
 */
import { deepEqual, equal, rejects } from 'node:assert/strict'
import { type Client, createClient, type IntMode, type InValue, type Value } from '@libsql/client'

const MODES: readonly IntMode[] = ['number', 'bigint', 'string']
const REALS = [0, -2023, 12.345, 1e18, -1e18, Number.MAX_VALUE, -Number.MAX_VALUE, Number.MIN_VALUE]
const TEXTS = [
  'boomerang',
  '',
  'a\n\r\t "\\',
  'žluťoučký kůň',
  '漢字 𝄞 👩‍🚀',
  "it's",
  'x'.repeat(70_000),
]
const INTEGERS = [0n, -42n, 9007199254740991n, -(2n ** 60n), 2n ** 63n - 1n, -(2n ** 63n)]

/** Runs all of it on the node at `url`. */
export async function checkValues(url: string): Promise<void> {
  for (const intMode of MODES) {
    const db = createClient({ url, intMode })
    for (const real of REALS) await comesBack(db, real, real)
    for (const integer of INTEGERS) await integerComesBack(db, integer, intMode)
    await comesBack(db, true, integerAs(1n, intMode))
    await comesBack(db, false, integerAs(0n, intMode))
    db.close()
  }
  const db = createClient({ url })
  for (const text of TEXTS) await comesBack(db, text, text)
  await comesBack(db, null, null)
  const date = new Date('2023-01-02T12:34:56Z')
  await comesBack(db, date, date.getTime())
  await blobs(db)
  await storageClasses(db)
  await refused(db)
  await parameters(db)
  await results(db)
  db.close()
}

function integerAs(value: bigint, mode: IntMode): Value {
  if (mode === 'bigint') return value
  return mode === 'string' ? String(value) : Number(value)
}

async function echo(db: Client, value: InValue): Promise<Value | undefined> {
  const { rows } = await db.execute({ sql: 'select ?', args: [value] })
  return rows[0]?.[0]
}

async function comesBack(db: Client, sent: InValue, expected: Value): Promise<void> {
  equal(await echo(db, sent), expected)
}

async function integerComesBack(db: Client, value: bigint, mode: IntMode): Promise<void> {
  if (mode === 'number' && !Number.isSafeInteger(Number(value))) {
    await rejects(echo(db, value), RangeError)
  } else equal(await echo(db, value), integerAs(value, mode))
}

async function blobs(db: Client): Promise<void> {
  for (const length of [0, 1, 2, 3, 256, 100_000]) {
    const bytes = Uint8Array.from({ length }, (_, at) => (at ^ 0xab) & 0xff)
    for (const sent of [bytes, bytes.buffer]) {
      const got = await echo(db, sent)
      deepEqual(got instanceof ArrayBuffer ? new Uint8Array(got) : got, bytes)
    }
  }
}

/** What SQLite is given: JavaScript's numbers are reals, bigints and booleans integers. */
async function storageClasses(db: Client): Promise<void> {
  const args = [1, 1n, true, 'a', null, new Uint8Array(2), new Date(0)]
  const { rows } = await db.execute({
    sql: 'select typeof(?), typeof(?), typeof(?), typeof(?), typeof(?), typeof(?), typeof(?)',
    args,
  })
  const classes = ['real', 'integer', 'integer', 'text', 'null', 'blob', 'real']
  deepEqual(Array.from(rows[0] ?? []), classes)
  for (const edge of [2n ** 63n - 1n, -(2n ** 63n)]) {
    const text = await db.execute({ sql: "select ? || ''", args: [edge] })
    equal(text.rows[0]?.[0], String(edge))
  }
}

async function refused(db: Client): Promise<void> {
  await rejects(echo(db, Number.NaN), RangeError)
  await rejects(echo(db, Number.POSITIVE_INFINITY), RangeError)
  await rejects(echo(db, 2n ** 63n), RangeError)
  // @ts-expect-error what a program without types does
  await rejects(echo(db, undefined), TypeError)
}

async function parameters(db: Client): Promise<void> {
  const args = ['one', 'two', 'three']
  const positional: [string, string[]][] = [
    ['select ?, ?, ?', ['one', 'two', 'three']],
    ['select ?2, ?3, ?1', ['two', 'three', 'one']],
    ['select ?3, ?1', ['three', 'one']],
    ['select ?2, ?, ?3', ['two', 'three', 'three']],
  ]
  for (const [sql, expected] of positional) {
    const { rows } = await db.execute({ sql, args })
    deepEqual(Array.from(rows[0] ?? []), expected)
  }
  for (const sign of [':', '@', '$']) {
    const named = { a: 'one', [`${sign}b`]: 'two' }
    const sql = `select ${sign}b, ${sign}a, ${sign}b || ${sign}a, ?1`
    const { rows } = await db.execute({ sql, args: named })
    deepEqual(Array.from(rows[0] ?? []), ['two', 'one', 'twoone', 'two'])
  }
  const { rows } = await db.execute({ sql: "select '?', ? -- ? :a\n", args: ['x'] })
  deepEqual(Array.from(rows[0] ?? []), ['?', 'x'])
}

async function results(db: Client): Promise<void> {
  const one = await db.execute(
    'select 1 as one, \'two\' as two, 0.5 as three, 7 as "0 b", 8 as one',
  )
  deepEqual(one.columns, ['one', 'two', 'three', '0 b', 'one'])
  deepEqual(one.columnTypes, ['', '', '', '', ''])
  const [row] = one.rows
  deepEqual(Array.from(row ?? []), [1, 'two', 0.5, 7, 8])
  deepEqual([row?.['two'], row?.length], ['two', 5])
  const many = await db.execute("values (1, 'one'), (2, 'two')")
  deepEqual(
    many.rows.map((each) => Array.from(each)),
    [
      [1, 'one'],
      [2, 'two'],
    ],
  )
  await db.executeMultiple(`
    drop table if exists behaviour_types;
    create table behaviour_types (i INTEGER, f FLOAT, t text, b BLOB, x FURRY BUNNY, n);
    insert into behaviour_types values (42, 0.5, 'foo', x'626172', 'x', null);
  `)
  const typed = await db.execute('select i, f, t, b, x, n, i + 1 as e from behaviour_types')
  deepEqual(typed.columnTypes, ['INTEGER', 'FLOAT', 'TEXT', 'BLOB', 'FURRY BUNNY', '', ''])
  deepEqual(typed.toJSON()['rows'], [[42, 0.5, 'foo', 'YmFy', 'x', null, 43]])
  equal(typed.rowsAffected, 0)
  await db.execute('drop table behaviour_types')
}
