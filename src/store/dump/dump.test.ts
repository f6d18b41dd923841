import { deepEqual, equal, match, ok, throws } from 'node:assert/strict'
import { DatabaseSync } from 'node:sqlite'
import { test } from 'node:test'
import fc from 'fast-check'
import { verifyDatabase } from '../checksum.ts'
import { type DumpOptions, dumpSql } from './dump.ts'

const SCHEMA = `
  create table plain (a, b text, c real, d integer, e blob);
  create table keyed (id integer primary key, v);
  create table "odd ""name" ("select" text primary key, v any);
  create table wr (k text, n, v, primary key (k, n)) without rowid;
  create table strict_one (id int primary key, t text, a any, r real) strict;
  create table gen (id integer primary key autoincrement, v, w as (v || '!'), x text as (id) stored);
  create table taken (rowid text, _rowid_, v);
  create table descending (id integer primary key desc, v);
  create index plain_b on plain (b collate nocase) where b is not null;
  create view seen as select * from plain join words on 1;
  create virtual table words using fts5 (t, u unindexed, prefix = '2 3');
  create virtual table outside using fts5 (b, content = 'plain', content_rowid = 'rowid');
  create virtual table boxes using rtree (id, x0, x1, y0, y1, +note);
  create trigger plain_ai after insert on plain begin update keyed set v = 'fired; end'; end;
  pragma user_version = -7; pragma application_id = 99;`

/** Where each kind of table takes which values. */
const TABLES: readonly (readonly [insert: string, values: number])[] = [
  ['plain (rowid, a, b, c, d, e) values (abs(random() % 100000) - 50000, ?, ?, ?, ?, ?)', 5],
  ['keyed (v) values (?)', 1],
  ['"odd ""name" values (?, ?)', 2],
  ['wr values (quote(?), quote(?), ?)', 3],
  ['strict_one (id, a) values (abs(random() % 100000), ?)', 1],
  ['gen (v) values (?)', 1],
  ['taken (oid, rowid, _rowid_, v) values (abs(random() % 100000), ?, ?, ?)', 3],
  ['descending (id, v) values (abs(random() % 1000), ?)', 1],
  ['words (t, u) values (?, ?)', 2],
]

const text = fc.oneof(
  fc.string({ unit: 'binary', maxLength: 30 }),
  fc.constantFrom("it's; -- no\n/* x", 'a\r\nb', '\0', 'x\0y', '\u2028\ufeff', "';\n.quit\n"),
)
const value = fc.oneof(
  fc.constantFrom(null, -0, 1e300, 5e-324, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY),
  fc.constantFrom(2n ** 63n - 1n, -(2n ** 63n), 0n, 0.1, -1e15, 123456789012345680),
  fc.double({ noNaN: true }),
  fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
  text,
  fc.uint8Array({ maxLength: 40 }),
)
const rows = fc.array(
  fc.record({
    table: fc.nat({ max: TABLES.length - 1 }),
    values: fc.array(value, { minLength: 5, maxLength: 5 }),
  }),
  { maxLength: 40 },
)

function open(): DatabaseSync {
  return new DatabaseSync(':memory:', { defensive: false })
}

function dumped(db: DatabaseSync, options: DumpOptions = {}): string {
  return [...dumpSql(db, options)].join('')
}

/** The inside of virtual tables, which is made anew. */
const INSIDE = /_(data|idx|docsize|node|parent|rowid)$/

/** Everything that must come back. */
function contentOf(db: DatabaseSync): unknown {
  const all = (sql: string) => db.prepare(sql, { readBigInts: true, returnArrays: true }).all()
  const { tables, problems } = verifyDatabase(db)
  return {
    schema: all(`select type, name, tbl_name, sql from sqlite_schema
      where sql is not null order by type, name`),
    tables: Object.entries(tables).filter(([name]) => !INSIDE.test(name)),
    problems,
    rowids: all('select rowid from plain order by rowid'),
    oids: all('select oid, v from taken order by oid'),
    words: all("select rowid, * from words where words match 'a OR x' order by rowid"),
    boxes: all('select * from boxes order by id'),
    pragmas: [all('pragma user_version'), all('pragma application_id')],
  }
}

test('what is dumped and read back is the same to the last bit', () => {
  fc.assert(
    fc.property(rows, (given) => {
      using db = open()
      db.exec(SCHEMA)
      for (const { table, values } of given) {
        const [insert, count] = TABLES[table] ?? ['', 0]
        db.prepare(`insert or ignore into ${insert}`).run(...values.slice(0, count))
      }
      db.exec(`insert into boxes values (3, 0.1, 0.2, -5, 7e9, 'note'), (9, 1, 2, 3, 4, x'00');
        insert into keyed (v) values (cast(x'ff41c0' as text)), (''), (x'');
        insert into words (words, rank) values ('automerge', 2); delete from gen where id > 3;
        insert into outside (outside) values ('rebuild')`)
      using back = open()
      const sql = dumped(db)
      back.exec(sql)
      deepEqual(contentOf(back), contentOf(db))
      deepEqual(dumped(back), sql)
      back.exec("insert into outside (outside) values ('integrity-check')")
    }),
    { numRuns: 60 },
  )
})

test('contentless FTS5 comes back too, where writing to the schema is allowed', () => {
  using db = open()
  db.exec(`create virtual table c using fts5 (t, content = '');
    insert into c (rowid, t) values (5, 'hello world'), (9, 'good bye')`)
  using back = open()
  back.exec(dumped(db))
  deepEqual({ ...back.prepare("select rowid from c where c match 'world'").get() }, { rowid: 5 })
  back.exec("insert into c (rowid, t) values (10, 'new words')")
  equal(back.prepare('pragma integrity_check').get()?.['integrity_check'], 'ok')
})

test('text in UTF-16 becomes UTF-8', () => {
  using db = open()
  db.exec("pragma encoding = 'UTF-16be'; create table t (a)")
  db.prepare('insert into t values (?), (?)').run('Zürich 東京 😀', 'nul\0')
  using back = open()
  back.exec(dumped(db))
  deepEqual(back.prepare('select * from t').all(), db.prepare('select * from t').all())
})

test('parts of a database', () => {
  using db = open()
  db.exec(SCHEMA)
  db.exec("create table _quorate_log (idx integer primary key); insert into keyed values (1, 'x')")
  ok(!dumped(db).includes('_quorate'))
  match(dumped(db, { tables: ['KEYED'] }), /CREATE TABLE keyed.*INSERT INTO "keyed"/s)
  ok(!dumped(db, { tables: ['keyed'] }).includes('plain'))
  match(dumped(db, { tables: ['plain'] }), /CREATE INDEX plain_b.*CREATE TRIGGER plain_ai/s)
  ok(!dumped(db, { schema: false }).includes('CREATE'))
  ok(!dumped(db, { data: false }).includes('INSERT'))
  throws(() => dumped(db, { tables: ['none'] }), /no table or view none/)
})
