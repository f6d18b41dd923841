/** What the embedded database can do beyond statements: streams, transactions, events, types. */
import { deepEqual, equal, ok, rejects, throws } from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { QuorateError } from '../base/errors.ts'
import type { Arg, Cell, ChangeEvent, Db, Row, RowChange } from '../client/types.ts'
import { type Database, open } from './embedded.ts'

const folder = mkdtempSync(join(tmpdir(), 'quorate-api-'))
const BIG = 2n ** 60n
/** Far above what events take: only a failing test waits so long. */
const EVENTS_MS = 20_000
let db: Database

before(async () => {
  db = await open(join(folder, 'api.db'), { name: 'a' })
  await db.execute('create table item (id integer primary key, name text, size integer)')
})

after(async () => {
  await db.close()
  rmSync(folder, { recursive: true })
})

const code = (wanted: string) => (error: unknown) =>
  error instanceof QuorateError && error.code === wanted

async function fill(count: number): Promise<void> {
  await db.batch([
    'delete from item',
    [
      `insert into item with recursive n (i) as (select 1 union all select i + 1 from n)
       select i, printf('%.1000c', 'x'), ?1 from n limit ?2`,
      [BIG, count],
    ],
  ])
}

async function collect<T>(rows: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = []
  for await (const row of rows) all.push(row)
  return all
}

/** Rows of one entry are in no order. */
function inOrder(rows: readonly RowChange[]): readonly RowChange[] {
  const text = ({ op, key }: RowChange): string => `${op} ${Object.values(key ?? {}).join()}`
  return rows.toSorted((a, b) => (text(a) < text(b) ? -1 : 1))
}

/** Collects change events until one satisfies. */
function changesUntil(last: (event: ChangeEvent) => boolean): Promise<ChangeEvent[]> {
  const seen: ChangeEvent[] = []
  return new Promise((resolve, reject) => {
    const late = setTimeout(() => reject(new Error(`only ${seen.length} events`)), EVENTS_MS)
    const stop = db.on('change', (event) => {
      seen.push(event)
      if (!last(event)) return
      stop()
      clearTimeout(late)
      resolve(seen)
    })
  })
}

test('writes asked for in one turn share a batch', async () => {
  const before = await db.status()
  const writes = Array.from({ length: 20 }, (_, id) =>
    db.execute('insert into item (id) values (?)', [id]),
  )
  await Promise.all(writes)
  const { counters } = await db.status()
  equal(counters.batches, before.counters.batches + 1)
  await db.execute('delete from item')
})

test('the types of rows, arguments and results are what they say', async () => {
  interface Item {
    id: number
    name: string
  }
  const rows: Item[] = await db.query<Item>('select id, name from item')
  const first: Item | null = await db.first<Item>('select id, name from item')
  const sync: Item[] = db.querySync<Item>('select id, name from item')
  const lists: Cell[][] = db.querySync('select id from item', [], { raw: true })
  const plain: Row[] = await db.query('select 1')
  const shared: Db = db
  const value: number = await shared.transaction(async () => 1)
  // @ts-expect-error undefined is no value of SQLite
  const wrong: Arg = undefined
  // @ts-expect-error there is no such event
  const stop = (): void => db.on('nothing', () => {})()
  deepEqual([rows, first, sync, lists, plain.length, value], [[], null, [], [], 1, 1])
  ok(wrong === undefined && typeof stop === 'function')
})

test('integers come as bigints where that is asked for, and are exact in any case', async () => {
  await fill(1)
  const sql = 'select id, size, 1.5 as half from item'
  deepEqual(await db.first(sql), { id: 1, size: BIG, half: 1.5 })
  deepEqual(await db.first(sql, [], { bigints: true }), { id: 1n, size: BIG, half: 1.5 })
  deepEqual(db.querySync(sql, [], { bigints: true }), [{ id: 1n, size: BIG, half: 1.5 }])
  deepEqual(db.querySync(sql, [], { raw: true }), [[1, BIG, 1.5]])
  const written = await db.execute("insert into item (name) values ('b')", [], { bigints: true })
  equal(written.lastInsertRowid, 2n)
})

test('what SQLite has no value for is refused, a Date is its milliseconds', async () => {
  const when = new Date(1_234)
  const buffer = new Uint8Array([1, 2]).buffer
  deepEqual(await db.first('select ? as a, ? as b', [when, buffer]), {
    a: 1_234,
    b: new Uint8Array([1, 2]),
  })
  const wrong: unknown[] = [undefined, Number.NaN, new Date(Number.NaN), 2n ** 64n, {}, Symbol('x')]
  for (const arg of wrong) {
    await rejects(db.execute('select ?', [arg as Arg]), code('SQL_ARGUMENTS'), String(arg))
    throws(() => db.querySync('select $a', { a: arg as Arg }), code('SQL_ARGUMENTS'))
  }
  deepEqual(
    await db.first('select 1 as "__proto__", 2 as b').then((row) => Object.keys(row ?? {})),
    ['__proto__', 'b'],
  )
})

test('a stream gives every row, of any size, and stops when it is left', async () => {
  await fill(3_000)
  let sum = 0
  for await (const { id } of db.stream<{ id: number; name: string }>('select id, name from item')) {
    sum += id
  }
  equal(sum, 4_501_500)
  const endless = 'with recursive n (i) as (select 1 union all select i + 1 from n) select i from n'
  let last: Cell = null
  for await (const { i } of db.stream<{ i: number }>(endless)) {
    last = i
    if (i === 100_000) break
  }
  equal(last, 100_000)
  const none = await collect(db.stream('select * from item where id = ?', [0]))
  deepEqual(none, [])
  await rejects(collect(db.stream('delete from item')), code('SQL_REFUSED'))
  await rejects(collect(db.stream('select nothing')), code('SQL_ERROR'))
})

test('a stream sees one snapshot, and an abort ends it', async () => {
  await fill(2_000)
  let count = 0
  for await (const { id } of db.stream<{ id: number }>('select id, name from item order by id')) {
    if (id === 1) await db.execute('delete from item where id > 1000')
    count += 1
  }
  equal(count, 2_000)
  const stop = new AbortController()
  const reason = new Error('enough')
  const rows = db.stream('select id, name from item', [], { signal: stop.signal })
  await rows.next()
  stop.abort(reason)
  await rejects(collect(rows), (error) => error === reason)
})

test('a transaction of mode read sees one snapshot and can not write', async () => {
  await fill(3)
  const counts = await db.transaction(
    async (tx) => {
      const before = await tx.first<{ n: number }>('select count(*) as n from item')
      await db.execute('delete from item where id = 1')
      const after = await tx.first<{ n: number }>('select count(*) as n from item')
      return [before?.n, after?.n]
    },
    { mode: 'read' },
  )
  deepEqual(counts, [3, 3])
  const writing = db.transaction((tx) => tx.execute('delete from item'), { mode: 'read' })
  await rejects(writing, code('SQL_ERROR'))
  equal((await db.query('select id from item')).length, 2)
})

test('a write or a transaction inside a transaction is refused instead of waiting for ever', async () => {
  await fill(1)
  const inside = db.transaction(async (tx) => {
    await tx.execute('update item set name = null')
    deepEqual(await db.first('select count(name) as n from item'), { n: 1 }, 'reads are fine')
    await rejects(db.execute('delete from item'), code('NESTED_TRANSACTION'))
    await rejects(
      db.transaction(async () => {}),
      code('NESTED_TRANSACTION'),
    )
    return 'done'
  })
  equal(await inside, 'done')
  await db.execute('update item set size = 1')
})

test('a transaction that is begun by hand ends by hand, or by leaving its scope', async () => {
  await fill(1)
  {
    await using tx = await db.begin()
    await tx.execute('delete from item')
  }
  equal((await db.query('select * from item')).length, 1)
  const tx = await db.begin()
  await tx.execute('delete from item')
  await tx.commit()
  await rejects(tx.execute('select 1'), code('TRANSACTION_CLOSED'))
  await rejects(tx.commit(), code('TRANSACTION_CLOSED'))
  await tx.rollback()
  equal((await db.query('select * from item')).length, 0)
})

test('a statement that ends the transaction by itself is not followed by one outside it', async () => {
  await db.batch(['delete from item', 'insert into item (id) values (1)'])
  const work = db.transaction(async (tx) => {
    await tx.execute('insert into item (id) values (2)')
    await rejects(
      tx.execute('insert or rollback into item (id) values (1)'),
      code('SQL_CONSTRAINT'),
    )
    await tx.execute('insert into item (id) values (3)')
  })
  await rejects(work, code('TRANSACTION_CLOSED'))
  deepEqual(db.querySync('select id from item', [], { raw: true }), [[1]])
})

test('a call whose signal is aborted before is never sent', async () => {
  await fill(1)
  const reason = new Error('no')
  const signal = AbortSignal.abort(reason)
  const same = (error: unknown): boolean => error === reason
  await rejects(db.execute('delete from item', [], { signal }), same)
  await rejects(db.batch(['delete from item'], { signal }), same)
  await rejects(
    db.transaction((tx) => tx.execute('delete from item'), { signal }),
    same,
  )
  equal((await db.query('select * from item')).length, 1)
})

test('a batch without foreign keys rebuilds a table under its children', async () => {
  await db.batch([
    'create table parent (id integer primary key)',
    'create table child (id integer primary key, p integer references parent (id) on delete cascade)',
    'insert into parent values (1)',
    'insert into child values (1, 1)',
  ])
  const results = await db.batch(
    [
      'create table parent2 (id integer primary key, more text)',
      'insert into parent2 (id) select id from parent',
      'drop table parent',
      'alter table parent2 rename to parent',
    ],
    { foreignKeys: false },
  )
  equal(results.length, 4)
  equal((await db.query('select * from child')).length, 1)
  const failing = db.batch(['drop table parent', 'nonsense'], { foreignKeys: false })
  await rejects(failing, code('SQL_ERROR'))
  equal((await db.query('select * from parent')).length, 1)
  await rejects(db.execute('insert into child values (2, 9)'), code('SQL_CONSTRAINT'))
})

test('an empty batch is done at once, a closed database says so', async () => {
  deepEqual(await db.batch([]), [])
  deepEqual(await db.batch([], { mode: 'read' }), [])
  const other = await open(join(folder, 'other.db'), { name: 'o' })
  equal(other.querySync('select 1').length, 1)
  await other.close()
  throws(() => other.querySync('select 1'), code('NOT_READY'))
  await rejects(other.query('select 1'), code('NOT_READY'))
  await rejects(other.status(), code('NOT_READY'))
  await other.close()
})

test('change events tell tables and keys, in order, own writes included', async () => {
  await fill(0)
  const changed = changesUntil((event) => event.kind === 'change' && event.schema)
  await db.execute("insert into item (id, name) values (1, 'a'), (2, 'b')")
  await db.batch(["update item set name = 'c' where id = 1", 'delete from item where id = 2'])
  await db.execute(
    'create table tag (item integer, name text, primary key (item, name)) without rowid',
  )
  const events = await changed
  const rows = events.flatMap((event) => (event.kind === 'change' ? inOrder(event.rows) : []))
  deepEqual(
    rows.map(({ table, op, key }) => [table, op, key]),
    [
      ['item', 'insert', { id: 1 }],
      ['item', 'insert', { id: 2 }],
      ['item', 'delete', { id: 2 }],
      ['item', 'update', { id: 1 }],
    ],
  )
  const indexes = events.map((event) => (event.kind === 'change' ? event.index : -1))
  deepEqual(
    indexes,
    indexes.toSorted((a, b) => a - b),
  )
  const tagged = changesUntil((event) => event.kind === 'change' && !event.schema)
  await db.execute("insert into tag values (1, 'x')")
  const event = (await tagged).at(-1)
  deepEqual(event?.kind === 'change' && event.rows, [
    { table: 'tag', op: 'insert', key: { item: 1, name: 'x' } },
  ])
})

test('a row of a table without PRIMARY KEY is told by its rowid', async () => {
  await db.execute('create table loose (a text, b text)')
  const changed = changesUntil((event) => event.kind === 'change' && event.rows[0]?.op === 'delete')
  await db.execute("insert into loose (rowid, a) values (7, 'x')")
  await db.execute("update loose set b = 'y'")
  await db.execute('delete from loose')
  const rows = (await changed).flatMap((event) => (event.kind === 'change' ? event.rows : []))
  deepEqual(
    rows.map(({ table, op, key }) => [table, op, key]),
    [
      ['loose', 'insert', { rowid: 7 }],
      ['loose', 'update', { rowid: 7 }],
      ['loose', 'delete', { rowid: 7 }],
    ],
  )
})

test('a row with a text for a key is told by that, and with NULL in it by its rowid as well', async () => {
  await db.execute('create table named (name text primary key, b text)')
  const changed = changesUntil((event) => {
    const [row] = event.kind === 'change' ? event.rows : []
    return row?.op === 'delete' && row.key?.['rowid'] === 9
  })
  await db.execute("insert into named values ('x', 1)")
  await db.execute("insert or replace into named values ('x', 2)")
  await db.execute('insert into named (rowid) values (9)')
  await db.execute('delete from named where rowid = 9')
  const rows = (await changed).flatMap((event) => (event.kind === 'change' ? event.rows : []))
  const keys = rows.map(({ op, key }) => [op, key])
  deepEqual(keys[0], ['insert', { name: 'x' }])
  deepEqual(keys.slice(-2), [
    ['insert', { rowid: 9, name: null }],
    ['delete', { rowid: 9, name: null }],
  ])
})

test('a slow listener gets the changes later, none of them lost', async () => {
  await fill(0)
  const seen: number[] = []
  const gate = Promise.withResolvers<void>()
  const all = Promise.withResolvers<void>()
  const stop = db.on('change', async (event) => {
    await gate.promise
    if (event.kind === 'change') for (const { key } of event.rows) seen.push(Number(key?.['id']))
    if (seen.length === 50) all.resolve()
  })
  for (let id = 1; id <= 50; id += 1) await db.execute('insert into item (id) values (?)', [id])
  equal(seen.length, 0)
  gate.resolve()
  await all.promise
  stop()
  deepEqual(
    seen,
    Array.from({ length: 50 }, (_, at) => at + 1),
  )
})

test('what happens inside a full-text table is told as a change of that table', async () => {
  await db.execute('create virtual table note using fts5 (body)')
  const changed = changesUntil((event) => event.kind === 'change' && !event.schema)
  await db.execute("insert into note values ('hello')")
  const event = (await changed).at(-1)
  deepEqual(event?.kind === 'change' && event.rows, [{ table: 'note', op: 'update', key: null }])
})
