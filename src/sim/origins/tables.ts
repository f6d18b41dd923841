/**
 * The application of a world of several groups: all that merging has to decide, in tables of which
 * something must be true in every snapshot of every replica, whatever met whatever: counters,
 * unique values, foreign keys, CHECK, a table whose conflicts leave out whole transactions, a full
 * text index, ids that nobody chose, rows that come and go.
 */
import type { Prng } from '../../base/prng.ts'
import type { RuleChange } from '../../model/origin-entry.ts'
import type { MergeFunctions } from '../../store/merge/rule-book.ts'
import type { Fact, Work } from '../tables.ts'
import { step } from '../tables.ts'

const ACCOUNTS = 4
/** Tables that schema changes make and drop. */
const EXTRAS = 2
const BALANCE = 100

export const SCHEMA = `
create table ops (
  id integer primary key autoincrement, session text not null, number integer not null,
  kind text not null);
create table accounts (id integer primary key, balance integer not null);
create table counters (name text primary key not null, n integer not null);
create table items (
  id integer primary key autoincrement, session text not null, price real not null);
create table totals (id integer primary key, n integer not null);
create table kv (k text primary key not null, v text) without rowid;
create table users (id integer primary key, name text unique, mail text);
create table stock (id integer primary key, n integer not null check (n >= 0));
create table ledger (id integer primary key, amount integer not null);
create table parents (id integer primary key, name text unique);
create table children (
  parent integer not null references parents on delete cascade, nr integer not null, note blob,
  primary key (parent, nr));
create table chain (id integer primary key, pos integer unique);
create table pages (id integer primary key, body text not null);
create virtual table docs using fts5 (body, content = 'pages', content_rowid = 'id');
create trigger items_added after insert on items begin
  update totals set n = n + 1 where id = 1;
end;
create trigger pages_in after insert on pages begin
  insert into docs (rowid, body) values (new.id, new.body);
end;
create trigger pages_out after delete on pages begin
  insert into docs (docs, rowid, body) values ('delete', old.id, old.body);
end;
create trigger pages_up after update on pages begin
  insert into docs (docs, rowid, body) values ('delete', old.id, old.body);
  insert into docs (rowid, body) values (new.id, new.body);
end;
insert into totals values (1, 0);
insert into counters values ('c', 0);
insert into stock values (1, 5), (2, 5);
insert into ledger values (1, 0), (2, 0);
insert into chain values (1, 1), (2, 2), (3, 3);
insert into accounts values
  ${Array.from({ length: ACCOUNTS }, (_, i) => `(${i + 1}, ${BALANCE})`).join(', ')};
`

export const RULES: readonly RuleChange[] = [
  { table: 'accounts', column: 'balance', rule: 'add' },
  { table: 'counters', column: 'n', rule: 'add' },
  { table: 'totals', column: 'n', rule: 'add' },
  { table: 'stock', column: 'n', rule: 'add' },
  { table: 'ledger', column: '', rule: 'abort' },
]

/** Merge functions of the application. */
export const FUNCTIONS: MergeFunctions = new Map([
  ['longer', (_, ours, theirs) => (sizeOf(ours) > sizeOf(theirs) ? ours : theirs)],
  [
    'picky',
    // One that fails counts as `last`.
    (base, ours) => {
      if (base === null) throw new Error('It was not there.')
      return ours
    },
  ],
])

function sizeOf(value: unknown): number {
  return typeof value === 'string' ? value.length : 0
}

/** Rules that somebody may set and reset while all goes on. */
export function drawRule(prng: Prng): RuleChange {
  const rule = prng.pick(['first', 'last', 'max', 'both', 'function:longer', 'function:picky'])
  return { table: 'kv', column: 'v', rule }
}

/** One row: left and right of each fact. Unique values are counted past their index. */
export const FACTS_QUERY = `select
  (select sum(balance) from accounts), ${ACCOUNTS * BALANCE},
  (select n from counters where name = 'c'), (select count(*) from ops where kind = 'count'),
  (select n from totals), (select count(*) from items),
  (select count(*) from children where parent not in (select id from parents)), 0,
  (select count(*) - count(distinct +name) from users not indexed where +name is not null), 0,
  (select count(*) - count(distinct +pos) from chain not indexed where +pos is not null), 0,
  (select count(*) from stock where n < 0), 0,
  (select count(*) from docs where docs match 'word'),
  (select count(*) from pages where body like '%word %'),
  (select sum(amount) from ledger), 0`
const FACT_NAMES = [
  'sum of balances',
  'counter',
  'total of items',
  'orphans',
  'names twice',
  'places twice',
  'stock below zero',
  'full text index',
  'sum of the ledger',
]

export function factsOf(row: readonly unknown[]): readonly Fact[] {
  return FACT_NAMES.map((name, i) => {
    return { name, left: Number(row[2 * i]), right: Number(row[2 * i + 1]) }
  })
}

/** Transactions of this kind may be left out as a whole, by the rule `abort`. */
export const MAY_ABORT = 'ledger'

/** Changes the schema, which the keeper does. */
export const SCHEMA_WORK = 'schema'

type Draw = (prng: Prng, session: string) => Work

function work(kind: string, unique: number, ...steps: Work['steps'][number][]): Work {
  return { kind, steps, unique }
}

const KINDS: readonly Draw[] = [
  () => work('count', -1, step("update counters set n = n + 1 where name = 'c'")),
  (_, session) => {
    const sql = 'insert into items (session, price) values (?, ?) returning id'
    return work('item', 1, step(sql, session, 1.5))
  },
  (prng) => {
    const amount = BigInt(prng.intInclusive(1, 120))
    const [from, to] = [prng.intInclusive(1, ACCOUNTS), prng.intInclusive(1, ACCOUNTS)]
    const sql = 'update accounts set balance = balance + ? where id = ?'
    return work('transfer', -1, step(sql, amount, BigInt(to)), step(sql, -amount, BigInt(from)))
  },
  (prng, session) => {
    const key = `k${prng.intInclusive(1, 4)}`
    const sql = 'insert into kv values (?, ?) on conflict do update set v = excluded.v || length(v)'
    return work('upsert', -1, step(sql, key, `${session} ${prng.intInclusive(1, 99)}`))
  },
  (prng) => work('forget', -1, step('delete from kv where k = ?', `k${prng.intInclusive(1, 4)}`)),
  (prng, session) => {
    const sql = 'insert or ignore into users (name, mail) values (?, ?)'
    return work('register', -1, step(sql, `user${prng.intInclusive(1, 6)}`, session))
  },
  (prng, session) => {
    const sql = 'update or ignore users set name = ?, mail = ? where name = ?'
    const [to, from] = [prng.intInclusive(1, 6), prng.intInclusive(1, 6)]
    return work('rename', -1, step(sql, `user${to}`, session, `user${from}`))
  },
  (prng) => {
    return work(
      'leave',
      -1,
      step('delete from users where name = ?', `user${prng.intInclusive(1, 6)}`),
    )
  },
  (prng) => {
    const amount = BigInt(prng.intInclusive(1, 4))
    const sql = 'update stock set n = n - ? where id = ?'
    return work(
      'take',
      -1,
      step(sql, prng.percent(50) ? amount : -amount, BigInt(prng.intInclusive(1, 2))),
    )
  },
  (prng) => {
    const amount = BigInt(prng.intInclusive(1, 9))
    return work(
      MAY_ABORT,
      -1,
      step('update ledger set amount = amount + ? where id = 1', amount),
      step('update ledger set amount = amount - ? where id = 2', amount),
    )
  },
  (prng) => {
    const parent = BigInt(prng.intInclusive(1, 4))
    const child =
      'insert or replace into children select id, ?, randomblob(4) from parents where id = ?'
    return work(
      'children',
      -1,
      step('insert or ignore into parents values (?, ?)', parent, `new${parent}`),
      step(child, BigInt(prng.intInclusive(1, 3)), parent),
    )
  },
  (prng) => {
    const sql = 'insert or replace into parents values (?, ?)'
    return work(
      'replace',
      -1,
      step(sql, BigInt(prng.intInclusive(1, 4)), `name${prng.intInclusive(1, 4)}`),
    )
  },
  (prng) =>
    work('cascade', -1, step('delete from parents where id = ?', BigInt(prng.intInclusive(1, 4)))),
  () => {
    return work(
      'rotate',
      -1,
      step('update chain set pos = -pos'),
      step('update chain set pos = -pos % 3 + 1 where pos < 0'),
    )
  },
  (prng, session) => {
    // Not OR REPLACE, which fires no trigger for the row that it replaces.
    const sql = 'insert into pages values (?, ?) on conflict do update set body = excluded.body'
    const text = `${prng.pick(['word', 'text'])} of ${session} ${prng.intInclusive(1, 99)}`
    return work('page', -1, step(sql, BigInt(prng.intInclusive(1, 6)), text))
  },
  (prng) => {
    const sql = "update pages set body = 'word ' || body where id = ? and length(body) < 60"
    return work('edit', -1, step(sql, BigInt(prng.intInclusive(1, 6))))
  },
  (prng) =>
    work('tear', -1, step('delete from pages where id = ?', BigInt(prng.intInclusive(1, 6)))),
]

/** Into a table that may be there or not, as somebody has made it. */
function drawExtra(prng: Prng): Work {
  const sql = `insert into extra${prng.intInclusive(1, EXTRAS)} (v) values (?)`
  return work('extra', -1, step(sql, `v${prng.intInclusive(1, 20)}`))
}

/** Draws what a client does with data. */
export function drawOriginsWork(prng: Prng, session: string, ddl: boolean): Work {
  return prng.pick(ddl ? [...KINDS, drawExtra, drawExtra] : KINDS)(prng, session)
}

/** Draws a change of the schema: such as only add to it, and such as need all groups' consent. */
export function drawOriginsSchemaWork(prng: Prng): Work {
  const table = `extra${prng.intInclusive(1, EXTRAS)}`
  const sql = prng.pick([
    `create table if not exists ${table} (id integer primary key, v text)`,
    `create table if not exists ${table} (id integer primary key, v text)`,
    `create index if not exists ${table}_price on items (price, session)`,
    `alter table kv add column c${prng.intInclusive(1, 4)} integer default 7`,
    `drop table if exists ${table}`,
    `create unique index if not exists ${table}_v on ${table} (v)`,
    `create unique index if not exists ${table}_v on ${table} (v)`,
    `drop index if exists ${table}_v`,
  ])
  return work(SCHEMA_WORK, -1, step(sql))
}
