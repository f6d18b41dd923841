/** Changes of the schema and of the rules, for histories in which they change. */
import type { RuleSetting } from '../rule-book.ts'

/** Those that only add to it may come at any time. */
export const ADDITIONS = [
  'alter table item add column size integer default 7',
  `alter table thing add column x default 'x'`,
  'alter table tally add column hits integer not null default 3',
  `alter table mixed add column late text collate nocase default 'Late'`,
  'alter table chain add column extra int default -1',
  `create table extra (id integer primary key, note text unique default 'e', n int check (n < 9))`,
  'alter table extra add column more int default 5',
  'alter table tree add column weight real default 0',
  'alter table hen add column tag text default 5',
  'alter table node add column kind default 1.0',
  'alter table label add column note default abc',
  'create index part_note on part (note, item)',
  'create view items as select id, code from item',
  'create table more (a int, b text, c, primary key (a, b)) without rowid',
]

/** Those that need that nobody writes; some fail where rows are in the way. */
export const REBUILDS = [
  'create unique index town_iso on town (iso)',
  'create unique index ledger_amount on ledger (amount)',
  'create unique index tree_up on tree (up) where up is not null',
  'create unique index item_tag on item (lower(tag))',
  'drop index slot_name',
  'drop index slot_place',
  'alter table thing drop column w',
  'alter table thing rename column v to w2',
  'alter table tree rename to bush',
  'drop table remark',
  'drop table seat; drop table town',
  `create table kid (id integer primary key, item integer references item (id) on delete cascade,
    word text unique)`,
  'create table elder (id integer primary key, up integer references chain (pos) on update cascade)',
  `create table chain2 (id integer primary key, pos int unique, kind text default 'k', unique (kind, pos));
    insert into chain2 (id, pos) select id, pos from chain; drop table chain;
    alter table chain2 rename to chain`,
  `create table box2 (id text primary key, size integer check (size < 9)) without rowid;
    insert into box2 select id, min(size, 8) from box; drop table box; alter table box2 rename to box`,
]

export const NEW_RULES: readonly RuleSetting[] = [
  { table: 'item', column: 'stock', rule: 'last' },
  { table: 'item', column: 'tag', rule: 'first' },
  { table: 'item', column: '', rule: 'both' },
  { table: 'tally', column: 'n', rule: 'max' },
  { table: 'mixed', column: '', rule: 'abort' },
  { table: 'mixed', column: 'high', rule: 'add' },
  { table: 'ledger', column: '', rule: '' },
  { table: 'tree', column: '', rule: 'abort' },
  { table: 'chain', column: 'pos', rule: 'min' },
  { table: 'extra', column: 'n', rule: 'add' },
]

/** Statements over what was added; refused where it is not there. */
export const LATER_STATEMENTS = [
  'update item set size = $9 where id = $4',
  'update item set size = size + 1, stock = stock - 1 where id = $4',
  'update thing set x = $V where id = $4',
  'update thing set w2 = $V where id = $4',
  'insert into thing (id, x) values ($5, $V)',
  'update tally set hits = hits + $9 where id = $2',
  "update mixed set late = 'L$4' where id = $2",
  'update chain set extra = $9 where id = $4',
  "update chain set kind = 'k$2', pos = $4 where id = $4",
  'update tree set weight = $9 where id = $4',
  "update hen set tag = 't$9' where id = $3",
  'update node set kind = $V where id = $4',
  "update label set note = 'n$9' where id = $4",
  "insert into extra (id, note, n) values ($5, 'n$4', $9)",
  'update extra set n = n + $4, more = $9 where id = $5',
  "update extra set note = 'n$4' where id = $5",
  'delete from extra where id = $5',
  "insert into more values ($2, 'b$2', $V)",
  "update more set c = $V where a = $2 and b = 'b$2'",
  'delete from more where a = $2',
  "insert into kid values ($5, $4, 'k$4')",
  'update kid set item = $4 where id = $4',
  'delete from kid where id = $4',
  'insert into elder values ($4, $4)',
  'delete from elder where id = $4',
  'update bush set up = $4 where id = $4',
  "insert into bush values ($6, $4, 't$6')",
  'delete from bush where id = $4',
]
