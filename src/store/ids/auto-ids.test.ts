import assert from 'node:assert/strict'
import { test } from 'node:test'
import { codeOf, Writer } from './ids-fixture.ts'
import { ID_STRIDE } from './next-id.ts'

const ITEMS = 'create table item (id integer primary key, name text unique, n default 7);'
const SLOT = 5
const at = (block: number) => block * ID_STRIDE + SLOT

test('every form of INSERT gives ids of the slot, above all that there are', (t) => {
  const writer = new Writer(
    t,
    `${ITEMS} create table "odd name" ("a]b" text, id integer primary key);
      create table odd (oid, rowid, id integer primary key)`,
    SLOT,
  )
  const given: readonly string[] = [
    "insert into item (name) values ('a')",
    "INSERT OR IGNORE INTO main.item AS i (name, id) VALUES ('b', NULL)",
    "replace into item values (null, 'c', 1)",
    "insert into item (rowid, name) values (null, 'd')",
    'insert into "item" default values',
    "insert into item ('name') values ('e') on conflict (name) do update set n = 1 returning id",
    "insert into item (name) select 'f'",
    "with x as (select 'g' as y) insert into item (name) select y from x where true on conflict do nothing",
    "insert into item (id, name) values ((select null), 'h') -- not (a, list)",
    "insert into item (name, n) values ('i', (select max(id) from item)) returning *",
    "insert into item select null, 'j', 3",
    "insert into item with y(z) as (values ('k')) select null, z, 1 from y",
    "insert into item values (null, 'l', 1) union all values (null, 'm', 2)",
  ]
  for (const [i, sql] of given.entries()) {
    const { lastInsertRowid } = writer.run(sql)
    const more = i === given.length - 1 ? 1 : 0
    assert.equal(lastInsertRowid, BigInt(at(i + 1 + more)), sql)
  }
  writer.run("insert into odd (rowid, oid) values (null, 'x'), (9000, 'y')")
  assert.deepEqual(writer.ids('select _rowid_ from odd order by oid'), [at(1), at(2)])
  writer.run(`insert into [odd name] values ('x', null), ('y', 3), ('z', null)`)
  assert.deepEqual(writer.ids('select id from "odd name" order by "a]b"'), [at(1), 3, at(2)])
})

test('ids that are given stay, and the next is above them', (t) => {
  const writer = new Writer(t, ITEMS, SLOT)
  writer.run('insert into item (id, name) values (?, ?)', 77n, 'a')
  writer.run("insert into item (id, name) values (-5, 'b'), (5000, 'c'), (?, 'd')", null)
  assert.deepEqual(writer.ids('select id from item order by name'), [77, -5, 5000, at(5)])
  writer.run("insert into item (id, name) values ('9000', 'e')")
  writer.run('insert into item (id, name) select iif(id = 9000, 90000, null), name || 1 from item')
  const made = writer.ids('select id from item where length(name) = 2 order by name')
  assert.deepEqual(made, [at(88), at(89), at(90), at(91), 90000])
})

test('a query gives its own ids together with automatic ones that are above them', (t) => {
  const writer = new Writer(
    t,
    `${ITEMS} insert into item values (1, 'a', 1), (2, 'b', 2), (3, 'c', 3)`,
    SLOT,
  )
  writer.run(
    'insert into item (name, id) select name || 1, iif(n = 3, 5000, null) from item order by n',
  )
  assert.deepEqual(writer.ids('select id from item order by name'), [1, at(5), 2, at(6), 3, 5000])
})

test('ids rise in the order of a query, and parameters keep their places', (t) => {
  const writer = new Writer(
    t,
    `${ITEMS} create view sorted as select * from item order by n desc`,
    SLOT,
  )
  writer.run('insert into item (n, name) values (?2, ?1), (?4, ?3)', 'a', 1n, 'b', 2n)
  const sql = 'insert into item (name, n) select name || ?, n + ? from sorted limit ?'
  writer.run(sql, 'x', 10n, 9n)
  assert.deepEqual(writer.rows('select name, n from item order by id'), [
    ['a', 1n],
    ['b', 2n],
    ['bx', 12n],
    ['ax', 11n],
  ])
})

test('ids rise in the order of ORDER BY, also in views and below', (t) => {
  const queries = [
    'select b from source order by a desc',
    'select b from sorted',
    'select * from (select b from source order by a desc)',
    'select b from source join other using (b) order by a desc',
    'select b from source group by b order by max(a) desc',
    "select b from sorted where b < 'z' union all select 'z'",
    'select distinct b from source order by a desc',
  ]
  const schema = `${ITEMS} create table source (a, b); create table other (b);
    insert into source values (2, 'y'), (1, 'z'), (3, 'x'); insert into other select b from source;
    create view sorted as select * from source order by a desc`
  for (const query of queries) {
    const writer = new Writer(t, schema, SLOT)
    writer.run(`insert into item (name) ${query}`)
    const rows = writer.rows('select group_concat(name) from (select name from item order by id)')
    assert.deepEqual(rows, [['x,y,z']], query)
  }
})

test('statements are told of as they were written', (t) => {
  const writer = new Writer(t, ITEMS, SLOT)
  const { cache } = writer.schema.statements
  const sql = 'insert into item (name, n) values (:name, ?) returning id, id+1, upper(name) as u'
  const { columns, parameters } = cache.prepare(sql)
  assert.deepEqual(
    columns.map(({ name, decltype }) => [name, decltype]),
    [
      ['id', 'INTEGER'],
      ['id+1', null],
      ['u', null],
    ],
  )
  assert.deepEqual(parameters, { count: 2, names: [':name', null] })
  const plan = cache.prepare(`explain ${sql}`).statement.all({ ':name': 'x' }, 1)
  assert.doesNotMatch(
    JSON.stringify(plan, (_, one) => String(one)),
    /_quorate/,
  )
  for (const [wrong, message] of [
    ['insert into item (name) values (1, 2)', /^2 values for 1 columns/],
    ['insert into item values (1, 2)', /^table item has 3 columns but 2 values were supplied/],
    ['insert into item (nam) select 1', /^table item has no column named nam/],
    ['insert into item (name) select 1, 2', /^2 values for 1 columns/],
  ] as const) {
    assert.throws(() => writer.run(wrong), { detail: message })
  }
})

test('with one leader, and for keys of other kinds, SQLite does what it does', (t) => {
  const keys = `create table word (id text primary key); create table pair (a integer, b, primary key (a, b));
    create table apart (id integer primary key, x) without rowid; create table down (id integer primary key desc)`
  const plain = new Writer(t, ITEMS, null)
  plain.run("insert into item (name) values ('a'), ('b')")
  assert.deepEqual(plain.ids('select id from item'), [1, 2])
  const writer = new Writer(t, keys, SLOT)
  writer.run("insert into word values ('a')")
  writer.run('insert into pair values (1, 2)')
  writer.run('insert into down values (null)')
  assert.deepEqual(writer.rows('select rowid, id from down'), [[1n, null]])
  assert.equal(
    codeOf(() => writer.run('insert into apart (x) values (1)')),
    'SQL_CONSTRAINT',
  )
})

test('an id is not given twice by one process, and AUTOINCREMENT remembers longer', (t) => {
  const writer = new Writer(
    t,
    `${ITEMS} create table kept (id integer primary key autoincrement, x)`,
    SLOT,
  )
  for (const table of ['item', 'kept']) {
    writer.run(`insert into ${table} default values`)
    writer.run(`delete from ${table}`)
    writer.run(`insert into ${table} default values`)
    assert.deepEqual(writer.ids(`select id from ${table}`), [at(2)])
    writer.run(`delete from ${table}`)
  }
  // Another process begins with the file alone.
  const content = writer.rows('select seq from sqlite_sequence')
  assert.deepEqual(content, [[BigInt(at(2))]])
  const next = new Writer(t, 'create table kept (id integer primary key autoincrement, x)', SLOT)
  next.db.exec(`insert into sqlite_sequence values ('kept', ${at(2)})`)
  next.run('insert into kept (x) values (1)')
  assert.deepEqual(next.ids('select id from kept'), [at(3)])
})

test('another leader of the slot goes on above what it finds', (t) => {
  const writer = new Writer(
    t,
    `${ITEMS} insert into item (id) values (${at(9)}), (${at(9) + 3})`,
    SLOT,
  )
  writer.run("insert into item (name) values ('a')")
  assert.equal(writer.ids('select max(id) from item')[0], at(10))
})

test('where the numbers end, an error says what to do and nothing stays', (t) => {
  const writer = new Writer(t, ITEMS, SLOT)
  writer.run(`insert into item (id, name) values (${2n ** 53n - 2048n}, 'a')`)
  writer.run("insert into item (name) values ('b')")
  assert.ok(Number.isSafeInteger(writer.ids('select max(id) from item')[0]))
  const full = "insert into item (name) values ('c'), ('d')"
  assert.equal(
    codeOf(() => writer.run(full)),
    'IDS_EXHAUSTED',
  )
  writer.run("insert into item (id, name) values (9223372036854775807, 'e')")
  assert.throws(() => writer.run(full), { message: /9007199254740991 or more.*quorate_id/ })
  assert.deepEqual(writer.rows('select name from item order by name'), [['a'], ['b'], ['e']])
})
