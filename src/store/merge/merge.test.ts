/** Rules that are set, what is refused, what is forgotten, and what can be replayed. */
import { deepEqual, equal, ok, throws } from 'node:assert/strict'
import { DatabaseSync } from 'node:sqlite'
import { test } from 'node:test'
import type { QuorateError } from '../../base/errors.ts'
import { NOTHING } from '../../core/order/clock/frontier.ts'
import { RawText } from '../../model/exact-value.ts'
import { readCatalog } from './catalog.ts'
import type { Transaction } from './merge-tables.ts'
import { OrderedTransactions } from './ordered.ts'
import { closeConflict, readConflicts, replayOf } from './replay.ts'
import { cellsFromJson, rowToJson } from './row-json.ts'
import { listRules, type MergeFunctions, setRule } from './rule-book.ts'
import { decide } from './rules.ts'

const TABLE = 'create table item (id integer primary key, name text unique, n integer)'
const NO_BYTES = new Uint8Array()
const NONE: MergeFunctions = new Map()

class Writer {
  readonly db = new DatabaseSync(':memory:', { enableForeignKeyConstraints: false })
  readonly ordered: OrderedTransactions
  readonly #name: string
  #sequence = 0

  constructor(name: string, setUp: (db: DatabaseSync) => void = () => {}) {
    this.#name = name
    this.db.exec(TABLE)
    setUp(this.db)
    this.ordered = new OrderedTransactions(this.db)
  }

  write(time: number, sql: string): Transaction {
    this.db.exec('begin')
    const session = this.db.createSession()
    this.db.exec(sql)
    this.#sequence += 1
    const stamp = { time, origin: this.#name }
    const made = { stamp, sequence: this.#sequence, seen: NOTHING, changes: session.changeset() }
    session.close()
    this.ordered.adopt([made])
    this.db.exec('commit')
    return made
  }

  merge(...transactions: Transaction[]) {
    this.db.exec('begin')
    const report = this.ordered.merge(transactions)
    this.db.exec('commit')
    return report
  }

  rows(): unknown {
    return this.db
      .prepare('select * from item order by id')
      .all()
      .map((row) => Object.values(row))
  }

  count(table: string): number {
    return Number(this.db.prepare(`select count(*) as n from ${table}`).get()?.['n'])
  }
}

function code(expected: string): (error: unknown) => boolean {
  return (error) => (error as QuorateError).code === expected
}

test('rules that make no sense are refused, and nothing changes', () => {
  const db = new DatabaseSync(':memory:')
  db.exec(TABLE)
  const set = (table: string, column: string, rule: string) => () =>
    setRule(db, { table, column, rule }, NONE)
  throws(set('nothing', 'n', 'add'), code('BAD_RULE'))
  throws(set('item', 'm', 'add'), code('BAD_RULE'))
  throws(set('item', 'id', 'add'), code('BAD_RULE'))
  throws(set('item', 'n', 'newest'), code('BAD_RULE'))
  throws(set('item', 'n', 'abort'), code('BAD_RULE'))
  throws(set('item', 'n', 'function:mine'), code('MERGE_FUNCTION_MISSING'))
  deepEqual(listRules(db), [])
  set('ITEM', 'N', 'add')()
  equal(listRules(db).length, 1)
})

test('a node without a merge function that a rule names does not merge', () => {
  const db = new DatabaseSync(':memory:')
  db.exec(TABLE)
  const functions: MergeFunctions = new Map([['mine', (_base, ours) => ours]])
  setRule(db, { table: 'item', column: 'n', rule: 'function:mine' }, functions)
  throws(() => new OrderedTransactions(db), code('MERGE_FUNCTION_MISSING'))
  ok(new OrderedTransactions(db, functions))
  db.exec('drop table item')
  ok(new OrderedTransactions(db))
})

test('tables whose rows could not be kept alike are refused', () => {
  const refuses = (sql: string): void => {
    const db = new DatabaseSync(':memory:')
    db.exec(sql)
    throws(() => new OrderedTransactions(db), code('NOT_ADOPTABLE'))
  }
  refuses('create table t (a)')
  refuses('create table t (a text collate nocase primary key)')
  refuses('create table t (a primary key)')
  refuses('create table t (a integer primary key, b unique on conflict replace)')
})

test('a merge function that throws or gives nonsense counts as last', () => {
  const throwing = () => {
    throw new Error('no')
  }
  deepEqual(decide(throwing, 1n, 2n, 3n), { value: 3n, lost: 2n })
  deepEqual(
    decide(() => Number.NaN, 1n, 2n, 3n),
    { value: 3n, lost: 2n },
  )
  deepEqual(
    decide((_base, ours, theirs) => [ours, theirs].join(), 1n, 2n, 3n),
    {
      value: '2,3',
      lost: undefined,
    },
  )
  deepEqual(decide('add', 0n, 2n ** 63n - 1n, 1n), { value: 1n, lost: 2n ** 63n - 1n })
})

test('values beside their table read back as they were', () => {
  const row = [null, undefined, 2n ** 63n - 1n, 1, -0, Infinity, 'é', '', new Uint8Array([0, 255])]
  deepEqual(cellsFromJson(rowToJson(row)), row)
  const raw = new RawText(new Uint8Array([0xff]))
  deepEqual(cellsFromJson(rowToJson([raw])), [raw])
})

test('both zeros, and text that is not UTF-8, survive rules and being taken back', () => {
  const setUp = (db: DatabaseSync) => db.exec('create table odd (id integer primary key, v, w, x)')
  const [a, b] = [new Writer('a', setUp), new Writer('b', setUp)]
  const first = a.write(1, `insert into odd values (1, 0.0 * -1, cast(x'ff' as text), 1)`)
  b.merge(first)
  const late = a.write(2, 'update odd set x = 2')
  const ran = b.write(3, 'delete from odd')
  const back = a.write(4, 'update odd set x = 3')
  b.merge(back)
  b.merge(late)
  a.merge(ran)
  for (const { db } of [a, b]) {
    const row = db.prepare('select v, hex(cast(w as blob)) as w, typeof(w) as t, x from odd').get()
    ok(Object.is(row?.['v'], -0))
    deepEqual([row?.['w'], row?.['t'], row?.['x']], ['FF', 'text', 3])
  }
})

test('transactions of a time with fewer columns find their place', () => {
  const rows = (db: DatabaseSync) => db.exec("insert into item values (1, 'a', 1), (2, 'b', 2)")
  const [old, other, here] = [new Writer('o', rows), new Writer('p', rows), new Writer('h', rows)]
  const made = old.write(
    1,
    `insert into item values (3, 'c', 3); update item set n = 9 where id = 1;
    delete from item where id = 2`,
  )
  const met = other.write(2, `insert into item values (3, 'd', 4); update item set n = 8`)
  for (const { db, ordered } of [here, other]) {
    db.exec(`alter table item add column size integer default 7`)
    ordered.reread()
  }
  here.merge(met)
  here.merge(made)
  other.merge(made)
  const expected = [
    [1, 'a', 8, 7],
    [2, 'b', 8, 7],
    [3, 'd', 8, 7],
  ]
  deepEqual(here.rows(), expected)
  deepEqual(other.rows(), expected)
  const wide = here.write(3, 'update item set size = 5 where id = 1')
  throws(() => old.merge({ ...wide, sequence: 9 }), code('LOG_CORRUPT'))
  old.db.exec('rollback; drop table item')
  old.ordered.reread()
  throws(() => old.merge(met), code('LOG_CORRUPT'))
})

test('transactions with fewer and with more columns are not applied as one', () => {
  const [old, wide, here] = [new Writer('o'), new Writer('w'), new Writer('h')]
  const narrow = [1, 3, 5].map((time) =>
    old.write(10 + time, `insert into item values (${time}, 'n${time}', 1)`),
  )
  for (const { db, ordered } of [wide, here]) {
    db.exec('alter table item add column size integer default 7')
    ordered.reread()
  }
  const later = [2, 4, 6].map((time) =>
    wide.write(10 + time, `insert into item values (${time}, 'n${time}', 1, ${time})`),
  )
  here.merge(...narrow, ...later)
  const sizes = here.db.prepare('select size from item order by id').all()
  deepEqual(
    sizes.map(({ size }) => size),
    [7, 2, 7, 4, 7, 6],
  )
  // All of them are taken back for one that comes before them.
  here.merge(
    new Writer('a').write(1, `insert into item values (9, 'n1', 1), (8, 'n2', 1), (7, 'n3', 1)`),
  )
  equal(here.count('quorate_conflicts'), 3)
})

test('a REAL default that was never written is no INTEGER', () => {
  const added = (db: DatabaseSync) => {
    db.exec(`insert into item values (1, 'a', 1); alter table item add column w real default 0`)
  }
  const [a, b] = [new Writer('a', added), new Writer('b', added)]
  const first = a.write(1, 'update item set n = 2')
  const second = b.write(2, 'update item set n = 3, w = 4')
  a.merge(second)
  b.merge(first)
  for (const { db } of [a, b]) {
    deepEqual(
      readConflicts(db).map(({ columns }) => columns),
      [['n']],
    )
  }
})

test('what is final is forgotten, and what comes too late is refused', () => {
  const [a, b] = [new Writer('a'), new Writer('b')]
  const made = Array.from({ length: 10_000 }, (_, i) => {
    const id = (i % 50) + 1
    if (i < 50) return a.write(i + 1, `insert into item values (${id}, 'n${id}', 0)`)
    if (i % 97 === 0) return a.write(i + 1, `delete from item where id = ${id}`)
    return a.write(
      i + 1,
      `insert into item values (${id}, 'n${id}', 1)
      on conflict (id) do update set n = n + 1`,
    )
  })
  b.merge(...made)
  deepEqual(b.rows(), a.rows())
  const seen = new Map([['a', 10_000]])
  const before = b.count('_quorate_deleted')
  b.ordered.forget(
    10_000,
    new Map([
      ['a', seen],
      ['b', new Map()],
    ]),
  )
  equal(b.count('_quorate_transactions'), 0)
  equal(b.count('_quorate_deleted'), before)
  b.ordered.forget(
    10_001,
    new Map([
      ['a', seen],
      ['b', seen],
    ]),
  )
  equal(b.count('_quorate_deleted'), 0)
  equal(b.count('_quorate_forgotten'), 2)
  deepEqual(b.merge(...made.slice(-3)), { merged: 0, takenBack: 0, byRules: 0, conflicts: [] })
  const late = {
    stamp: { time: 9_000, origin: 'c' },
    sequence: 1,
    seen: NOTHING,
    changes: NO_BYTES,
  }
  throws(() => b.merge(late), code('LOG_CORRUPT'))
})

test('conflicts that wait for somebody are kept, can be replayed, and go when they are closed', () => {
  const rule = (db: DatabaseSync) => {
    setRule(db, { table: 'item', column: 'n', rule: 'both' }, NONE)
    db.exec("insert into item values (1, 'pen', 5), (2, 'ink', 5)")
  }
  const [a, b] = [new Writer('a', rule), new Writer('b', rule)]
  b.merge(a.write(1, 'update item set n = 7 where id = 1; insert into item values (3, null, 3)'))
  const late = new Writer('c', rule)
  const made = late.write(
    2,
    `update item set n = 9 where id = 1; delete from item where id = 2;
    insert into item values (3, null, 4)`,
  )
  const other = b.write(3, 'update item set n = 6 where id = 2')
  b.merge(made)
  a.merge(made, other)
  deepEqual(a.rows(), b.rows())
  deepEqual(a.rows(), [
    [1, 'pen', 9],
    [2, 'ink', 6],
    [3, null, 4],
  ])
  const conflicts = readConflicts(a.db)
  deepEqual(
    conflicts.map(({ kind, open }) => [kind, open]),
    [
      ['update-update', true],
      ['insert-insert', true],
      ['update-deleted', true],
    ],
  )
  const catalog = readCatalog(a.db)
  for (const conflict of conflicts) {
    const { sql, args = [] } = replayOf(conflict, catalog) ?? { sql: '' }
    a.db.prepare(sql).run(...args)
  }
  deepEqual(a.rows(), [
    [1, 'pen', 7],
    [3, null, 3],
  ])
  a.ordered.forget(5, new Map(), 5)
  equal(a.count('quorate_conflicts'), 3)
  for (const conflict of conflicts) closeConflict(a.db, conflict)
  a.ordered.forget(5, new Map(), 5)
  equal(a.count('quorate_conflicts'), 0)
})
