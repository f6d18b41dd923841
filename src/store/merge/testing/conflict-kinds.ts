/** The text of docs/conflicts.md: each kind of conflict, our rule, and examples that are run. */
import type { Example } from './outcomes.ts'

export interface Kind {
  readonly title: string
  readonly rule: string
  readonly examples: readonly Example[]
}

const STOCK = 'create table stock (id integer primary key, name text, left integer)'
const STOCK_ROWS = "insert into stock values (1, 'pen', 10)"
const USERS = 'create table users (id integer primary key, mail text unique)'
const parents = (
  action: string,
): string => `create table author (id integer primary key, name text);
  create table book (id integer primary key, author integer default 9 references author (id) ${action})`
const ruled = (rule: string, column = 'left') => [{ table: 'stock', column, rule }]
const both = (rule: string, when: string): Example => ({
  ...{ when, schema: STOCK, rows: STOCK_ROWS, rules: ruled(rule) },
  first: 'update stock set left = 7 where id = 1',
  second: 'update stock set left = 9 where id = 1',
})

export const KINDS: readonly Kind[] = [
  {
    title: 'Two insert a row with one key',
    rule: 'The later row is taken as a whole, so that no row is a mixture of two. A column with a rule of its own follows it. The other row is reported.',
    examples: [
      {
        when: 'the same id for two things',
        schema: STOCK,
        first: "insert into stock values (5, 'ink', 3)",
        second: "insert into stock values (5, 'cap', 8)",
      },
      {
        ...{ when: '`left` is a counter', schema: STOCK, rules: ruled('add') },
        first: "insert into stock values (5, 'ink', 3)",
        second: "insert into stock values (5, 'ink', 8)",
      },
      {
        ...{ when: 'the table has the rule `first`', schema: STOCK, rules: ruled('first', '') },
        first: "insert into stock values (5, 'ink', 3)",
        second: "insert into stock values (5, 'cap', 8)",
      },
    ],
  },
  {
    title: 'Both change the same column',
    rule: 'The rule of the column decides. By default the later one wins and the other value is reported.',
    examples: [
      both('last', '`last`, the default'),
      both('first', '`first`'),
      both('add', '`add`: 10 - 3 - 1'),
      both('max', '`max`'),
      both('min', '`min`'),
      both('both', '`both`: as `last`, and the conflict stays until somebody has dealt with it'),
      {
        ...{ when: '`union`: one adds, one removes', schema: STOCK, rules: ruled('union', 'name') },
        rows: `insert into stock values (1, '["a","b"]', 0)`,
        first: `update stock set name = '["a","b","c"]' where id = 1`,
        second: `update stock set name = '["b"]' where id = 1`,
      },
      {
        ...{ when: '`function:longest`, registered by the application', schema: STOCK },
        ...{ rows: STOCK_ROWS, rules: ruled('function:longest', 'name') },
        first: "update stock set name = 'pencil' where id = 1",
        second: "update stock set name = 'nib' where id = 1",
      },
    ],
  },
  {
    title: 'They change different columns of a row',
    rule: 'Both stay. It is no conflict.',
    examples: [
      {
        ...{ when: 'a name and a number', schema: STOCK, rows: STOCK_ROWS },
        first: "update stock set name = 'biro' where id = 1",
        second: 'update stock set left = 4 where id = 1',
      },
    ],
  },
  {
    title: 'One changes a row, the other deletes it',
    rule: 'The later one wins. A change brings the whole row back as it was when it was deleted; a deleted version that nobody had seen is reported.',
    examples: [
      {
        ...{ when: 'the change is later', schema: STOCK, rows: STOCK_ROWS },
        first: 'delete from stock where id = 1',
        second: 'update stock set left = 4 where id = 1',
      },
      {
        ...{ when: 'the delete is later', schema: STOCK, rows: STOCK_ROWS },
        first: 'update stock set left = 4 where id = 1',
        second: 'delete from stock where id = 1',
      },
    ],
  },
  {
    title: 'A key is used again',
    rule: 'Inserting a deleted key is a new row; what others did to the old one meets the new one in the order of stamps.',
    examples: [
      {
        ...{ when: 'deleted and inserted again, and the old row deleted elsewhere' },
        ...{ schema: STOCK, rows: STOCK_ROWS },
        first: "delete from stock where id = 1; insert into stock values (1, 'mug', 1)",
        second: 'delete from stock where id = 1',
      },
      {
        ...{ when: 'the old row changed elsewhere', schema: STOCK, rows: STOCK_ROWS },
        first: "delete from stock where id = 1; insert into stock values (1, 'mug', 1)",
        second: 'update stock set left = 4 where id = 1',
      },
    ],
  },
  {
    title: 'Two rows take the same UNIQUE value',
    rule: 'The earlier one has it. Of an update only the columns of that index are left out, an insert as a whole. All kinds of unique index count: several columns, NOCASE, expressions, some rows only.',
    examples: [
      {
        ...{ when: 'two inserts', schema: USERS },
        first: "insert into users values (1, 'eve@x')",
        second: "insert into users values (2, 'eve@x')",
      },
      {
        ...{
          when: 'an update takes it',
          schema: USERS,
          rows: "insert into users values (1, 'a'), (2, 'b')",
        },
        first: "update users set mail = 'c' where id = 1",
        second: "update users set mail = 'c' where id = 2",
      },
      {
        when: 'an index with an expression, on some rows',
        schema: `create table users (id integer primary key, mail text, gone int);
  create unique index one on users (lower(mail)) where gone = 0`,
        first: "insert into users values (1, 'Eve', 0), (2, 'adam', 0)",
        second: "insert into users values (3, 'eve', 0), (4, 'ADAM', 1)",
      },
    ],
  },
  {
    title: 'A foreign key loses its parent',
    rule: 'If the child comes first, what the schema declares is done to it when the parent goes, and reported; RESTRICT and NO ACTION keep the parent. If the parent has gone first, the child is left out. ON UPDATE actions of keys that are not the PRIMARY KEY likewise.',
    examples: [
      ...[
        'on delete restrict',
        'on delete cascade',
        'on delete set null',
        'on delete set default',
      ].map((action) => ({
        when: action,
        schema: parents(action),
        rows: "insert into author values (1, 'Ada'), (9, 'unknown')",
        first: 'insert into book values (7, 1)',
        second: 'delete from author where id = 1',
      })),
      {
        when: 'the parent has gone first',
        schema: parents('on delete cascade'),
        rows: "insert into author values (1, 'Ada'), (9, 'unknown')",
        first: 'delete from author where id = 1',
        second: 'insert into book values (7, 1)',
      },
      {
        when: 'on update cascade',
        schema: `create table land (id integer primary key, code text unique);
  create table town (id integer primary key, land text references land (code) on update cascade)`,
        rows: "insert into land values (1, 'D')",
        first: "insert into town values (1, 'D')",
        second: "update land set code = 'DE' where id = 1",
      },
    ],
  },
  {
    title: 'A CHECK or NOT NULL constraint would break',
    rule: 'The later change is left out: an update as a whole if SQLite does not say which column is to blame.',
    examples: [
      {
        when: 'each for itself is right',
        schema: 'create table slot (id integer primary key, low int, high int, check (low < high))',
        rows: 'insert into slot values (1, 1, 9)',
        first: 'update slot set low = 5 where id = 1',
        second: 'update slot set high = 4 where id = 1',
      },
    ],
  },
  {
    title: 'Counters',
    rule: 'Columns with the rule `add`: the difference that a transaction made is applied, once. A sum beyond 64 bits, or something that is no number, counts as `last`.',
    examples: [
      {
        ...{
          when: 'both take from the stock',
          schema: STOCK,
          rows: STOCK_ROWS,
          rules: ruled('add'),
        },
        first: 'update stock set left = left - 3 where id = 1',
        second: 'update stock set left = left - 4 where id = 1',
      },
      {
        when: 'a CHECK that both together would break',
        schema:
          'create table stock (id integer primary key, name text, left int check (left >= 0))',
        ...{ rows: STOCK_ROWS, rules: ruled('add') },
        first: 'update stock set left = left - 6 where id = 1',
        second: 'update stock set left = left - 6 where id = 1',
      },
    ],
  },
  {
    title: 'Ids that count up',
    rule: 'Ids must not collide in the first place; that is not decided here. If two rows have one id all the same, it is kind 1.',
    examples: [],
  },
  {
    title: 'Schema changes',
    rule: 'Not merged: they are agreed by all before anyone writes under them.',
    examples: [],
  },
  {
    title: 'Triggers',
    rule: 'They fire once, where the write happens, and what they changed travels with it as rows. The exception are triggers that only fill FTS5 and R*Tree tables: shadow rows do not travel, and every replica fires those triggers for the rows that merging changed. A virtual table that is written directly is refused.',
    examples: [],
  },
  {
    title: 'A PRIMARY KEY changes',
    rule: 'That is a delete of the old key and an insert of the new one. A later change of the old key brings the old row back beside the new one.',
    examples: [
      {
        ...{ when: 'moved here, changed there', schema: STOCK, rows: STOCK_ROWS },
        first: 'update stock set id = 2 where id = 1',
        second: 'update stock set left = 4 where id = 1',
      },
      {
        ...{ when: 'moved to two places', schema: STOCK, rows: STOCK_ROWS },
        first: 'update stock set id = 2 where id = 1',
        second: 'update stock set id = 3 where id = 1',
      },
    ],
  },
  {
    title: 'Many rows are deleted at once',
    rule: 'The rows that the writer saw go, row by row. Rows that it had not seen stay.',
    examples: [
      {
        ...{ when: 'delete everything', schema: STOCK, rows: STOCK_ROWS },
        first: "insert into stock values (2, 'ink', 3)",
        second: 'delete from stock',
      },
    ],
  },
  {
    title: 'Clocks that differ',
    rule: '"Later" is the stamp: a hybrid logical clock, then the name of the origin. What a writer had seen is always earlier than what it writes, whatever the clocks say; of two that knew nothing of each other a clock that is ahead wins.',
    examples: [],
  },
  {
    title: 'A condition over several rows',
    rule: 'What no constraint of the schema says is not kept: each of two writers may see it hold, and both together break it. Put it into one row with a CHECK, or give the table the rule `abort` and let both change one row.',
    examples: [
      {
        when: 'one of two must stay on duty; both sign off',
        schema: 'create table duty (name text primary key, works int)',
        rows: "insert into duty values ('ann', 1), ('bob', 1)",
        first: "update duty set works = 0 where name = 'ann'",
        second: "update duty set works = 0 where name = 'bob'",
      },
    ],
  },
  {
    title: 'A transaction of which only a part can stand',
    rule: 'By default the part that can stand stays. A conflict in a table with the rule `abort` leaves out the later transaction as a whole; everything that it wanted is reported and stays until somebody has dealt with it.',
    examples: [
      {
        when: 'a transfer between accounts',
        schema: 'create table account (id integer primary key, amount int)',
        rows: 'insert into account values (1, 100), (2, 100), (3, 100)',
        rules: [{ table: 'account', column: '', rule: 'abort' }],
        first: 'update account set amount = 20 where id = 1',
        second: `update account set amount = 70 where id = 1; update account set amount = 130 where id = 3`,
      },
    ],
  },
  {
    title: 'Rows that only some replicas hold',
    rule: 'There are none: every replica holds all rows.',
    examples: [],
  },
  {
    title: 'Both make the same change',
    rule: 'It is no conflict. Counters count it twice.',
    examples: [
      both('last', 'different values, for comparison'),
      {
        ...{ when: 'the same value', schema: STOCK, rows: STOCK_ROWS },
        first: 'update stock set left = 7 where id = 1',
        second: 'update stock set left = 7 where id = 1',
      },
    ],
  },
  {
    title: 'Unique values are exchanged',
    rule: 'All rows of a transaction go before any comes back, so that none is in the way of another, in swaps and chains of any length.',
    examples: [
      {
        when: 'a swap, and another column changed',
        schema: 'create table queue (id integer primary key, place int unique, who text)',
        rows: "insert into queue values (1, 1, 'a'), (2, 2, 'b')",
        first: "update queue set who = 'c' where id = 1",
        second: `update queue set place = -place; update queue set place = 3 + place`,
      },
      {
        when: 'a chain that loses a link',
        schema: 'create table queue (id integer primary key, place int unique, who text)',
        rows: "insert into queue values (1, 1, 'a'), (2, 2, 'b'), (3, 3, 'c')",
        first: "insert into queue values (4, 4, 'd')",
        second: `update queue set place = -place; update queue set place = 1 - place`,
      },
    ],
  },
]
