/** `quorate serve existing.db`: the content becomes the first state, and followers get it. */
import { deepEqual, equal, match, notEqual } from 'node:assert/strict'
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, dirname, join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { type TestContext, test } from 'node:test'
import { Cluster, problemsOf, quorate, rowsOf } from '../cluster.ts'

const SCHEMA = `
  create table authors (id integer primary key autoincrement, name text not null unique);
  create table books (
    id integer primary key, author_id integer not null references authors (id) on delete cascade,
    title text not null, price real, cover blob);
  create index books_by_author on books (author_id, title);
  create table counts (name text primary key, n integer not null) without rowid;
  create trigger books_counted after insert on books begin
    update counts set n = n + 1 where name = 'books'; end;
  create virtual table book_search using fts5 (title, content = '', contentless_delete = 1);
  create view cheap as select * from books where price < 5;
  insert into counts values ('books', 0);
  with recursive ids (id) as (select 1 union all select id + 1 from ids where id < 200)
    insert into authors select id, 'author ' || id from ids;
  with recursive ids (id) as (select 1 union all select id + 1 from ids where id < 5000)
    insert into books select id, 1 + id % 200, 'book ' || id, id * 0.01, randomblob(50) from ids;
  pragma user_version = 7;`

const TABLES = ['authors', 'books', 'counts']

function existing(t: TestContext, schema: string): string {
  const dir = mkdtempSync(join(tmpdir(), 'quorate-test-'))
  t.after(() => rmSync(dir, { recursive: true, force: true }))
  const file = join(dir, 'existing.db')
  const database = new DatabaseSync(file)
  database.exec(schema)
  database.close()
  return file
}

test('an existing database is adopted, and followers hold the same', async (t) => {
  const file = existing(t, SCHEMA)
  const before = TABLES.map((table) => rowsOf(file, `select * from ${table}`))
  await using cluster = await Cluster.start({ file })
  for (const node of cluster.nodes) {
    const db = cluster.client({ discover: false }, [node.url])
    const [row] = await db.query('select count(*) as n from books', [], { read: 'local' })
    equal(row?.['n'], 5000, node.name)
  }
  await cluster.verify()
  await cluster.stop()
  for (const node of cluster.nodes) {
    const after = TABLES.map((table) => rowsOf(node.file, `select * from ${table}`))
    deepEqual(after, before, node.name)
    deepEqual(problemsOf(node.file), [])
    deepEqual(rowsOf(node.file, 'pragma user_version')[0], rowsOf(file, 'pragma user_version')[0])
  }
})

test('triggers, cascades and generated ids have the same effect on every replica', async (t) => {
  const file = existing(t, SCHEMA)
  await using cluster = await Cluster.start({ file })
  const db = cluster.client()
  await db.execute("insert into authors (name) values ('new one')")
  await db.batch([
    "insert into books (id, author_id, title) values (9001, 201, 'x')",
    'delete from authors where id = 1',
    'delete from authors where id = 201',
  ])
  const { lastInsertRowid } = await db.execute("insert into authors (name) values ('newer one')")
  equal(lastInsertRowid, 202, 'AUTOINCREMENT does not use an id again')
  await cluster.verify()
  const [counted] = await db.query("select n from counts where name = 'books'")
  equal(counted?.['n'], 5001, 'once for each insert: applying it elsewhere fires nothing')
  const [left] = await db.query('select count(*) as n from books where author_id in (1, 201)')
  equal(left?.['n'], 0)
})

test('a database that can not be replicated is refused and left as it was', async (t) => {
  const file = existing(t, "pragma encoding = 'UTF-16'; create table logs (line text)")
  const before = readFileSync(file)
  const { code, stderr } = await quorate('serve', file, '--name', 'a', '--listen', '127.0.0.1:0')
  notEqual(code, 0)
  match(stderr, /error: NOT_ADOPTABLE: .*UTF-16/s)
  const checked = await quorate('check', file)
  deepEqual([checked.code, checked.stderr], [1, stderr])
  deepEqual(readFileSync(file), before)
  deepEqual(readdirSync(dirname(file)), [basename(file)])
})

test('a stopped node leaves a file that any tool opens, and detach makes it an ordinary one', async (t) => {
  const file = existing(t, SCHEMA)
  await using cluster = await Cluster.start({ file, names: ['a'] })
  const [node] = cluster.nodes
  const db = cluster.client()
  await db.execute("insert into authors (name) values ('new one')")
  const early = await quorate('detach', file, '--yes')
  match(early.stderr, /^error: FILE_IN_USE: /)
  equal((await quorate('sql', '--url', node?.url ?? '', 'select count(*) from authors')).code, 0)
  await cluster.stop()
  deepEqual(problemsOf(file), [])
  equal(existsSync(`${file}-wal`), false, 'it is one file')
  const dumped = await quorate('dump', file)
  equal(dumped.code, 0)
  const { code, stdout } = await quorate('detach', file, '--yes')
  equal(code, 0)
  match(stdout, /is an ordinary SQLite file now\.\nThe folder .*-quorate is gone\.\n/)
  deepEqual(readdirSync(dirname(file)), [basename(file)])
  equal((await quorate('dump', file)).stdout, dumped.stdout)
  match((await quorate('check', file)).stdout, /can be adopted: \d+ tables/)
})
