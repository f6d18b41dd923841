/**
 * A schema with every kind of constraint, a few rows that all replicas begin with, and statements
 * over so few keys that transactions of different origins meet all the time.
 */
import type { RuleSetting } from '../rule-book.ts'

export const SCHEMA = `
  create table item (id integer primary key, code text unique, stock integer default 0 check (stock > -50),
    tag text, a int, b int, unique (a, b));
  create table box (id text primary key, size integer) without rowid;
  create table part (id integer primary key, item integer references item (id) on delete cascade,
    box text references box (id) on delete set null, note text not null default '');
  create table label (id integer primary key, part integer references part (id) on delete cascade,
    item integer references item (id) on delete restrict, word text collate nocase unique);
  create table node (id integer primary key, up integer references node (id) deferrable initially deferred,
    rank real);
  create table hen (id integer primary key, egg integer references egg (id) on delete cascade
    deferrable initially deferred, weight int not null);
  create table egg (id integer primary key, hen integer references hen (id) on delete set null
    deferrable initially deferred);
  create table slot (id integer primary key, place int, active int, name text, low int, high int,
    check (low < high));
  create unique index slot_place on slot (place) where active = 1;
  create unique index slot_name on slot (lower(name));
  create table line (doc int not null, no int not null, item int default 1 references item (id)
    on delete set default, qty int, primary key (doc, no)) without rowid;
  create table remark (id integer primary key, doc int, no int, word text,
    foreign key (doc, no) references line (doc, no) on delete cascade on update cascade);
  create table land (id integer primary key, iso text collate nocase unique);
  create table town (id integer primary key, iso text references land (iso)
    on update cascade on delete set null);
  create table seat (id integer primary key, iso text not null references land (iso)
    on delete set null on update cascade);
  create table tree (id integer primary key, up integer references tree (id) on delete cascade,
    word text unique);
  create table pair (id integer primary key, a int, b int, unique (a, b));
  create table half (id integer primary key, a int, b int, foreign key (a, b) references pair (a, b)
    on update cascade on delete set null);
  create table thing (id integer primary key, v, w);
  create table price (id integer primary key, net int, gross int generated always as (net / 2) stored unique);
  create table chain (id integer primary key, pos int unique);
  create table tally (id integer primary key, n integer not null) strict;
  create table mixed (id integer primary key, low int, high int, first text, words text, story text, own int);
  create table ledger (id integer primary key, amount int, word text unique);`

/** Rows of every table, the same on all replicas from the start. */
export const BASE = `
  insert into item (id, code, a, b) values (1,'c1',1,1),(2,'c2',2,2),(3,'c3',3,3),(4,'c4',null,null);
  insert into box values ('x1', 1), ('x2', 2);
  insert into part (id, item, box) values (1,1,'x1'),(2,2,'x2'),(3,3,null);
  insert into label (id, part, item, word) values (1,1,4,'w1'),(2,2,null,'w2');
  insert into node (id, up) values (1,null),(2,1),(3,2),(4,3);
  insert into egg (id) values (1),(2); insert into hen values (1,1,5),(2,2,5);
  update egg set hen = id;
  insert into slot values (1,1,1,'Ann',1,5),(2,2,1,'Bob',2,9),(3,2,0,null,0,3);
  insert into line values (1,1,1,1),(1,2,2,1),(2,1,3,5);
  insert into remark (id, doc, no) values (1,1,1),(2,1,2),(3,2,1);
  insert into land values (1,'de'),(2,'FR'); insert into town values (1,'de'),(2,'fr'),(3,'DE');
  insert into seat values (1,'DE'),(2,'FR');
  insert into tree values (1,null,'t1'),(2,1,'t2'),(3,2,'t3'),(4,2,'t4');
  insert into pair values (1,1,1),(2,1,2); insert into half values (1,1,1),(2,1,2);
  insert into thing values (1,null,1),(2,'2',2.5),(3,x'00ff','');
  insert into price (id, net) values (1,10),(2,20);
  insert into chain values (1,1),(2,2),(3,3),(4,4);
  insert into tally values (1,0),(2,100);
  insert into mixed values (1,5,5,'a','["a"]','s',1),(2,5,5,'a','["a","b"]','s',1);
  insert into ledger values (1,10,'l1'),(2,10,'l2');`

export const RULES: readonly RuleSetting[] = [
  { table: 'item', column: 'stock', rule: 'add' },
  { table: 'box', column: 'size', rule: 'max' },
  { table: 'tally', column: 'n', rule: 'add' },
  { table: 'mixed', column: '', rule: 'both' },
  { table: 'mixed', column: 'low', rule: 'min' },
  { table: 'mixed', column: 'high', rule: 'max' },
  { table: 'mixed', column: 'first', rule: 'first' },
  { table: 'mixed', column: 'words', rule: 'union' },
  { table: 'mixed', column: 'own', rule: 'function:sum' },
  { table: 'ledger', column: '', rule: 'abort' },
]

/** $4: a number from 1 to 4. $V: any value, odd ones too. */
export const STATEMENTS = [
  "insert into item (id, code, stock) values ($6, 'c$5', $9)",
  "insert or replace into item (id, code, tag) values ($6, 'c$5', 't$9')",
  'update item set stock = stock + $9 - 5 where id = $4',
  'update item set stock = stock - $9 * 5 where id = $2',
  "update item set code = 'c$6' where id = $4",
  "update item set tag = 't$9', stock = stock - $9 where id = $4",
  'update item set a = $3, b = $3 where id = $4',
  'update item set a = $3 where id = $4',
  'delete from item where id = $6',
  'update item set id = $9 where id = $6',
  `update item set code = case id when 1 then (select code from item where id = $4)
    else code end where id = 1`,
  "insert into box values ('x$3', $9)",
  "update box set size = $9 where id = 'x$3'",
  "delete from box where id = 'x$3'",
  "insert into part (id, item, box) values ($6, $6, 'x$3')",
  'insert into part (id, item) values ($6, $4)',
  "update part set item = $4, note = 'n$9' where id = $4",
  "update part set note = 'n$9', box = 'x$3' where id = $4",
  'delete from part where id = $4',
  "insert into label (id, part, item, word) values ($6, $4, $4, 'W$4')",
  "insert into label (id, word) values ($6, 'w$4')",
  "update label set word = 'W$4' where id = $4",
  'update label set part = $4 where id = $4',
  'delete from label where id = $4',
  'insert into node (id, up) values ($6, $6)',
  'update node set up = $6, rank = $9 where id = $6',
  'delete from node where id = $6',
  'update node set up = null where id = $4; delete from node where id = $4',
  'insert into egg values ($4, $4); insert into hen values ($4, $4, $9)',
  'update hen set egg = $3, weight = $9 where id = $3',
  'delete from egg where id = $3',
  'delete from hen where id = $3',
  "insert into slot values ($5, $3, $2 - 1, 'n$3', 1, $9)",
  "update slot set name = 'N$3' where id = $4",
  'update slot set place = $3 where id = $4',
  'update slot set active = $2 - 1 where id = $4',
  'update slot set low = $9 where id = $3',
  'update slot set high = $9 where id = $3',
  'delete from slot where id = $4',
  'insert into line values ($2, $3, $4, $9)',
  'update line set qty = $9 where doc = $2 and no = $3',
  'update line set item = $4 where doc = $2 and no = $3',
  'update line set no = $3 where doc = $2 and no = $3',
  'delete from line where doc = $2 and no = $3',
  'delete from line where doc = $2',
  "insert into remark values ($6, $2, $3, 'r$9')",
  "update remark set word = 'r$9' where id = $4",
  'delete from remark where id = $4',
  "insert into land values ($3, 'n$2')",
  'update land set iso = upper(iso) where id = $2',
  "update land set iso = 'n$2' where id = $3",
  'delete from land where id = $3',
  "insert into town values ($5, 'N$2')",
  "update town set iso = 'n$2' where id = $4",
  "update town set iso = 'De' where id = $4",
  "insert into seat values ($4, 'N$2')",
  'delete from seat where id = $3',
  "insert into tree values ($5, $4, 't$6')",
  'update tree set up = $4 where id = $4',
  "update tree set word = 't$6' where id = $4",
  'delete from tree where id = $4',
  'insert into pair values ($4, $2, $3)',
  'update pair set b = $3 where id = $3',
  'delete from pair where id = $3',
  'insert into half values ($4, $2, $3)',
  'update half set b = $3 where id = $3',
  'insert into thing values ($5, $V, $V)',
  'update thing set v = $V where id = $4',
  'update thing set w = $V, v = $V where id = $4',
  'update thing set v = v * 1.0, w = w + 0 where id = $4',
  'update thing set v = cast(v as text) where id = $4',
  'delete from thing where id = $4',
  'insert into price (id, net) values ($4, $9 * 3)',
  'update price set net = net + $3 where id = $3',
  'update chain set pos = -pos where id in ($4, $4); update chain set pos = -pos % 5 + 1 where pos < 0',
  'update chain set pos = (select max(pos) + 1 from chain) where id = $4',
  'update chain set pos = pos + 10; update chain set pos = (pos - 9) % 4',
  'delete from chain where id = $4; insert into chain values ($4, $5)',
  'update tally set n = n + $9 where id = $2',
  'update tally set n = n - $9 where id = $2',
  'update mixed set low = $9, high = $9 where id = $2',
  "update mixed set first = 'f$9', story = 's$9' where id = $2",
  `update mixed set words = json_insert(words, '$[#]', 'x$9') where id = $2`,
  `update mixed set words = json_remove(words, '$[0]') where id = $2`,
  'update mixed set own = own + $9 where id = $2',
  "insert into mixed values (3, $9, $9, 'f$9', '[$9]', 's$9', $9)",
  'delete from mixed where id = 3',
  'update ledger set amount = amount - $9 where id = 1; update ledger set amount = amount + $9 where id = 2',
  "update ledger set word = 'l$4' where id = $2",
  "insert into ledger values ($4, $9, 'l$4')",
]

/**
 * As SQL; each must come through a merge to the last bit. Without -0.0: that a value changed from one
 * zero to the other is more than SQLite's session extension records.
 */
export const ODD_VALUES = [
  ...['null', '0', '0.0', '1', '1.0', "'1'", "'1.0'", '9007199254740993', '0.1 + 0.2'],
  ...['9223372036854775807', '-9223372036854775807 - 1', '1e308', '5e-324', '1e999', '-1e999'],
  ...["''", "x''", "'A'", "'a '", "x'41'", "x'00'", "'n' || char(0) || 'l'", "'\ufeffb'", "'é€😀'"],
  ...["cast(x'ff41' as text)", "cast(x'c3' as text)", "'\ufffd'", 'randomblob(0)', 'zeroblob(300)'],
]

/** Statements that belong together; a history that keeps to a few of these meets itself often. */
const THEMES: readonly (readonly string[])[] = [
  ['item', 'box', 'part', 'label'],
  ...[['item'], ['item', 'label'], ['node'], ['hen', 'egg'], ['slot'], ['line', 'remark', 'item']],
  ...[
    ['line', 'remark'],
    ['land', 'town', 'seat'],
    ['pair', 'half'],
    ['thing'],
    ['price'],
    ['chain'],
    ['tree'],
  ],
  ...[['tally', 'mixed', 'ledger'], ['ledger'], ['mixed']],
]

const TABLE_NAME = /(?:into|update|from) (?!case)(\w+)/

/** For each theme its statements. */
export const THEMED: readonly (readonly string[])[] = THEMES.map((tables) =>
  STATEMENTS.filter((sql) => tables.includes(TABLE_NAME.exec(sql)?.[1] ?? '')),
)
