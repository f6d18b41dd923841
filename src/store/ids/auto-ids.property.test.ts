/**
 * Random INSERTs, as SQLite runs them and with automatic ids: the same rows in the same order, the
 * same counts, results and errors; only the ids differ, which leave the slot as their rest.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import type { Value } from '../../model/program.ts'
import { codeOf, Writer } from './ids-fixture.ts'
import { ID_STRIDE } from './next-id.ts'

const SCHEMA = `create table item (name text unique, id integer primary key, n integer check (n < 90),
    twice as (n * 2));
  create table counted (id integer primary key autoincrement, name text unique, n integer);
  create table audit (id integer primary key, what text, item integer, last integer);
  create table source (a text, b integer);
  insert into source values ('p', 3), ('q', 1), ('r', 2);
  create view sorted as select a, b from source order by b;
  create trigger audited after insert on item begin
    insert into audit (what, item) values (new.name, new.id);
    insert into audit select null, 'again', new.id, last_insert_rowid();
    insert into counted (name, n) values ('of ' || new.name, 1) on conflict (name) do update set n = n + 1;
  end;`

interface Insert {
  readonly sql: string
  readonly args: readonly Value[]
}

/** Above all that anybody gives automatically, each larger than the ones before. */
const givenId = (n: number) => 10_000_000 * n

const name = fc.constantFrom('a', 'b', 'c', 'd', 'e', 'f', null)
const number = fc.constantFrom(1, 50, 89, 95, null)
const row = fc.record({
  name,
  n: number,
  id: fc.constantFrom('none', 'null', 'param null', 'param', 'literal', 'expression'),
})
const insert = fc.record({
  verb: fc.constantFrom(
    'insert',
    'insert or ignore',
    'insert or replace',
    'replace',
    'insert or fail',
  ),
  table: fc.constantFrom('item', 'main.counted', '"item"', 'counted'),
  names: fc.constantFrom('all', 'id first', 'id last', 'rowid', 'no list', 'no id'),
  source: fc.constantFrom(
    'values',
    'values',
    'values',
    'union',
    'query',
    'ordered',
    'with',
    'default',
    'itself',
  ),
  upsert: fc.constantFrom('', '', 'do nothing', 'do update set n = coalesce(n, 0) + 1'),
  returning: fc.constantFrom('', '', ' returning name, n', ' returning *'),
  rows: fc.array(row, { minLength: 1, maxLength: 4 }),
})
type Draft = typeof insert extends fc.Arbitrary<infer T> ? T : never

/** @param given how many ids were given before */
function textOf(draft: Draft, given: number): Insert & { readonly given: number } {
  const args: Value[] = []
  let count = given
  const idOf = (id: string): string => {
    if (id === 'none' || id === 'null') return 'null'
    if (id === 'param null') return `?${args.push(null)}`
    count += 1
    if (id === 'param') return `?${args.push(BigInt(givenId(count)))}`
    return id === 'literal' ? String(givenId(count)) : `(1 + ${givenId(count) - 1})`
  }
  const isItem = draft.table.includes('item')
  const param = (value: string | number | null) => `?${args.push(value)}`
  const columns = columnsOf(draft.names, isItem)
  // Within a statement automatic ids are above all that are given, so those come first here.
  const isGiven = (id: string) => (['param', 'literal', 'expression'].includes(id) ? 0 : 1)
  const inOrder = draft.rows.toSorted((one, other) => isGiven(one.id) - isGiven(other.id))
  const rows = inOrder.map((one) =>
    columns.order
      .map((column) => (column === 'id' ? idOf(one.id) : param(column === 'n' ? one.n : one.name)))
      .join(', '),
  )
  const source = sourceOf(draft, columns.order, rows, isItem)
  if (draft.source === 'default') args.length = 0
  const list = draft.source === 'default' ? '' : columns.list
  const upsert =
    draft.upsert === '' || draft.source === 'default' ? '' : ` on conflict (name) ${draft.upsert}`
  const sql = `${draft.verb} into ${draft.table}${list} ${source}${upsert}${draft.returning}`
  return { sql, args, given: count }
}

function columnsOf(names: Draft['names'], isItem: boolean) {
  const all = isItem ? ['name', 'id', 'n'] : ['id', 'name', 'n']
  const listed = (order: readonly string[], texts = order) => ({
    order,
    list: ` (${texts.join(', ')})`,
  })
  switch (names) {
    case 'no list':
      return { order: all, list: '' }
    case 'all':
      return listed(all)
    case 'id first':
      return listed(['id', 'n', 'name'])
    case 'id last':
      return listed(['name', 'id'], ['"name"', "'ID'"])
    case 'rowid':
      return listed(['name', 'id', 'n'], ['name', '[rowid]', 'n'])
    case 'no id':
      return listed(['name', 'n'])
  }
}

function sourceOf(
  { source }: Draft,
  order: readonly string[],
  rows: readonly string[],
  isItem: boolean,
): string {
  const pick = (one: string, n: string) =>
    order.map((column) => (column === 'id' ? 'null' : column === 'n' ? n : one)).join(', ')
  // So that every parameter is used.
  const where = `where true or 1 in (${rows.join(', ')})`
  switch (source) {
    case 'default':
      return 'default values'
    case 'values':
      return `values (${rows.join('), (')})`
    case 'union':
      return `values (${rows.join('), (')}) union all select ${pick("'u'", '4')} where true`
    case 'query':
      return `select ${pick('a', 'b')} from source ${where}`
    case 'ordered':
      return `select ${pick('a || b', 'b')} from sorted ${where} order by b desc`
    case 'with':
      return `with q (x, y) as (select a, b from sorted) select ${pick("x || 'w'", 'y')} from q ${where}`
    case 'itself':
      return `select ${pick('name || n', 'n')} from ${isItem ? 'item' : 'counted'} ${where} limit 5`
  }
}

const SLOT = 1023
const TABLES = ['item', 'counted', 'audit'] as const

/** What a statement does on one of the two, without the ids. */
function attempt(writer: Writer, { sql, args }: Insert) {
  let seen: unknown = null
  const code = codeOf(() => {
    const { changes, rows, columns, lastInsertRowid } = writer.run(sql, ...args)
    const names = columns.map((column) => column.name)
    const shown = rows.map((row) => row.filter((_, i) => names[i] !== 'id'))
    seen = { changes, names, shown, inserted: lastInsertRowid !== null }
  })
  return { code, seen }
}

/** The rows of the two in the order of their ids, which differ. */
function assertAlike(plain: Writer, ours: Writer, sql: string): void {
  // What an id of ours is at the other, by table.
  const ids = new Map(TABLES.map((table) => [table, alike(plain, ours, table, sql)]))
  for (const table of ['item', 'counted']) {
    const rows = `select name, n from ${table} order by id`
    assert.deepEqual(ours.rows(rows), plain.rows(rows), sql)
  }
  const rows = 'select what, item, last from audit order by id'
  const expected = plain.rows(rows)
  for (const [i, [what, item, last]] of ours.rows(rows).entries()) {
    const [sameWhat, sameItem, sameLast] = expected[i] ?? []
    // The row that it tells of may be gone.
    const known = ids.get('item')?.get(Number(item)) ?? sameItem
    const same = last === null ? null : ids.get('audit')?.get(Number(last))
    assert.deepEqual([what, known, same], [sameWhat, sameItem, sameLast], sql)
  }
}

function alike(plain: Writer, ours: Writer, table: string, sql: string): Map<number, bigint> {
  const all = `select id from ${table} order by id`
  const there = plain.ids(all)
  const ids = new Map<number, bigint>()
  for (const [i, id] of ours.ids(all).entries()) {
    const same = there[i] ?? -1
    const given = id % givenId(1) === 0
    assert.ok(given ? id === same : id % ID_STRIDE === SLOT, `${id} in ${table}: ${sql}`)
    ids.set(id, BigInt(same))
  }
  return ids
}

test('INSERTs do what they do in SQLite but for their ids', () => {
  const campaign = fc.array(insert, { minLength: 1, maxLength: 12 })
  fc.assert(
    fc.property(campaign, (drafts) => {
      const cleanups: (() => void)[] = []
      const cleanup = { after: (run: () => void) => cleanups.push(run) }
      try {
        const plain = new Writer(cleanup, SCHEMA, null)
        const ours = new Writer(cleanup, SCHEMA, SLOT)
        let given = 0
        for (const draft of drafts) {
          const made = textOf(draft, given)
          given = made.given
          assert.deepEqual(attempt(ours, made), attempt(plain, made), made.sql)
          assertAlike(plain, ours, made.sql)
        }
      } finally {
        for (const run of cleanups) run()
      }
    }),
    { numRuns: 60 },
  )
})

test('what no INSERT is changes nothing of a text', () => {
  const words = [
    'insert',
    'into',
    'item',
    '(',
    ')',
    'values',
    ',',
    'id',
    'name',
    'null',
    '?',
    'select',
  ]
  const word = fc.constantFrom(
    ...words,
    'with',
    'as',
    '.',
    "'x'",
    'on',
    'conflict',
    'do',
    'default',
  )
  fc.assert(
    fc.property(fc.array(word, { maxLength: 12 }), (text) => {
      const cleanups: (() => void)[] = []
      const cleanup = { after: (run: () => void) => cleanups.push(run) }
      try {
        const sql = text.join(' ')
        const [plain, ours] = [null, SLOT].map((slot) => {
          const writer = new Writer(cleanup, SCHEMA, slot)
          return codeOf(() => writer.schema.statements.get(sql).prepare())
        })
        assert.equal(ours, plain, sql)
      } finally {
        for (const run of cleanups) run()
      }
    }),
    { numRuns: 100 },
  )
})
