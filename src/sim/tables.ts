/**
 * The application of a simulated world: its tables, what its clients do to them, and what must be
 * true of them in every snapshot. It has one of each thing that replication can get wrong: keys of
 * several kinds, AUTOINCREMENT, a trigger, a cascade, a CHECK, a table without rowid, and DDL.
 */
import type { Prng } from '../base/prng.ts'
import type { Step, Value } from '../model/program.ts'

const ACCOUNTS = 4
const BALANCE = 100

export const SCHEMA = `
create table ops (
  id integer primary key autoincrement, session text not null, number integer not null,
  kind text not null);
create table accounts (id integer primary key, balance integer not null check (balance >= 0));
create table counters (name text primary key not null, n integer not null);
create table items (
  id integer primary key autoincrement, session text not null, price real not null);
create table totals (id integer primary key, n integer not null);
create table kv (k text primary key not null, v text) without rowid;
create table parents (id integer primary key, name text unique);
create table children (
  parent integer not null references parents on delete cascade, nr integer not null, note blob,
  primary key (parent, nr));
create trigger items_added after insert on items begin
  update totals set n = n + 1 where id = 1;
end;
create trigger items_removed after delete on items begin
  update totals set n = n - 1 where id = 1;
end;
create virtual table docs using fts5 (body);
insert into totals values (1, 0);
insert into counters values ('c', 0);
insert into accounts values
  ${Array.from({ length: ACCOUNTS }, (_, i) => `(${i + 1}, ${BALANCE})`).join(', ')};
`

/** Two numbers that must be equal in any one snapshot. */
export interface Fact {
  readonly name: string
  readonly left: number
  readonly right: number
}

export const OPS_QUERY = "select session || '/' || number from ops"
/** One row: left and right of each fact. */
export const FACTS_QUERY = `select
  (select sum(balance) from accounts), ${ACCOUNTS * BALANCE},
  (select n from counters where name = 'c'), (select count(*) from ops where kind = 'count'),
  (select n from totals), (select count(*) from items),
  (select count(*) from children where parent not in (select id from parents)), 0`
const FACT_NAMES = ['sum of balances', 'counter', 'total of items', 'orphans']

export function factsOf(row: readonly unknown[]): readonly Fact[] {
  return FACT_NAMES.map((name, i) => {
    return { name, left: Number(row[2 * i]), right: Number(row[2 * i + 1]) }
  })
}

/** The transaction of a client that sends BEGIN and COMMIT itself, as Hrana's batches do. */
export function guarded(steps: readonly Step[]): readonly Step[] {
  const chained = [step('begin'), ...steps].map((one, i) => {
    return i === 0 ? one : { ...one, condition: { kind: 'ok' as const, step: i - 1 } }
  })
  const commit = chained.length
  return [
    ...chained,
    { ...step('commit'), condition: { kind: 'ok', step: commit - 1 } },
    {
      ...step('rollback'),
      condition: { kind: 'not', condition: { kind: 'ok', step: commit } },
    },
  ]
}

export interface Work {
  readonly kind: string
  /** Without the row in `ops`, which comes first. */
  readonly steps: readonly Step[]
  /** The step, counted with the row in `ops`, whose answer no other write may get; -1: none. */
  readonly unique: number
}

export function step(sql: string, ...args: Value[]): Step {
  return { statement: { sql, args } }
}

/** The row that names a write. */
export function opsRow(session: string, number: number, kind: string): Step {
  return step(
    'insert into ops (session, number, kind) values (?, ?, ?)',
    session,
    BigInt(number),
    kind,
  )
}

type Draw = (prng: Prng, session: string) => Work

const KINDS: readonly Draw[] = [
  () => ({
    kind: 'count',
    steps: [step("update counters set n = n + 1 where name = 'c' returning n")],
    unique: 1,
  }),
  (_, session) => ({
    kind: 'item',
    steps: [step('insert into items (session, price) values (?, ?) returning id', session, 1.5)],
    unique: 1,
  }),
  (_, session) => ({
    kind: 'shortItem',
    steps: [
      step('insert into items (session, price) values (?, -0.0) returning id', session),
      step('delete from items where id = (select max(id) from items)'),
    ],
    unique: 1,
  }),
  (prng) => {
    const amount = BigInt(prng.intInclusive(1, 120))
    const [from, to] = [prng.intInclusive(1, ACCOUNTS), prng.intInclusive(1, ACCOUNTS)]
    return {
      kind: 'transfer',
      steps: [
        step('update accounts set balance = balance + ? where id = ?', amount, BigInt(to)),
        step('update accounts set balance = balance - ? where id = ?', amount, BigInt(from)),
      ],
      unique: -1,
    }
  },
  (prng, session) => ({
    kind: 'upsert',
    steps: [
      step(
        'insert into kv values (?, ?) on conflict do update set v = excluded.v || length(v)',
        `k${prng.intInclusive(1, 5)}`,
        session,
      ),
    ],
    unique: -1,
  }),
  (prng) => ({
    kind: 'replace',
    steps: [
      step('delete from kv where k = ?', `k${prng.intInclusive(1, 5)}`),
      step(
        'insert or replace into parents values (?, ?)',
        BigInt(prng.intInclusive(1, 5)),
        `name${prng.intInclusive(1, 5)}`,
      ),
    ],
    unique: -1,
  }),
  (prng) => {
    const parent = BigInt(prng.intInclusive(1, 5))
    return {
      kind: 'children',
      steps: [
        step('insert or ignore into parents values (?, ?)', parent, `new${parent}`),
        step(
          'insert or replace into children select id, ?, randomblob(4) from parents where id = ?',
          BigInt(prng.intInclusive(1, 3)),
          parent,
        ),
      ],
      unique: -1,
    }
  },
  (prng, session) => ({
    kind: 'document',
    steps: [
      step(
        'insert or replace into docs (rowid, body) values (?, ?)',
        BigInt(prng.intInclusive(1, 9)),
        `words of ${session} ${prng.intInclusive(1, 99)}`,
      ),
    ],
    unique: -1,
  }),
  (prng) => ({
    kind: 'cascade',
    steps: [step('delete from parents where id = ?', BigInt(prng.intInclusive(1, 5)))],
    unique: -1,
  }),
]

/** Draws what a client does with data. */
export function drawWork(prng: Prng, session: string): Work {
  return prng.pick(KINDS)(prng, session)
}

/** Draws a change of the schema, together with some data. */
export function drawSchemaWork(prng: Prng): Work {
  const table = `extra${prng.intInclusive(1, 3)}`
  const sql = prng.pick([
    `create table if not exists ${table} (id integer primary key, v text)`,
    `drop table if exists ${table}`,
    `create index if not exists ${table}_price on items (price, session)`,
    `drop index if exists ${table}_price`,
    'create table if not exists extra1 as select 1', // Without a key.
    `alter table kv add column c${prng.intInclusive(1, 4)} integer default 7`,
  ])
  return { kind: 'schema', steps: [step(sql)], unique: -1 }
}
