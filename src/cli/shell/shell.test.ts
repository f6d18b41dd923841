import { deepEqual, equal, match } from 'node:assert/strict'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { type TestContext, test } from 'node:test'
import { start } from '../../server/testing/start.ts'
import { Completer } from './completion.ts'
import { ShellConnection } from './connection.ts'
import { defaultSettings } from './settings.ts'
import { Shell } from './shell.ts'

/** A shell on a node, and what it says. */
async function setUp(t: TestContext, person = false) {
  const { node, url } = await start(t)
  const dir = mkdtempSync(join(tmpdir(), 'quorate-shell-'))
  const target = { urls: [url], token: null }
  const connection = new ShellConnection(target, { timeoutMs: 10_000 })
  t.after(() => {
    connection.close()
    rmSync(dir, { recursive: true, force: true })
  })
  let out = ''
  let err = ''
  const shell = new Shell({
    ...{ connection, target, settings: defaultSettings(person), terminal: person },
    out: (text) => (out += text),
    err: (text) => (err += text),
  })
  const said = (): readonly [string, string] => {
    const both = [out, err] as const
    out = ''
    err = ''
    return both
  }
  const script = async (text: string): Promise<readonly [string, string]> => {
    await shell.script(Readable.from([Buffer.from(text)]), 'stdin')
    return said()
  }
  return { node, dir, shell, connection, said, script }
}

test('a script of statements and dot commands', async (t) => {
  const { script } = await setUp(t)
  const [out, err] = await script(`
    create table city (id integer primary key, name text, area real);
    insert into city values (1, 'Ulm', 118), (2, 'a;b', null);
    create index by_name on city (name);
    create table _quorate_log (idx integer primary key);
.headers on
    select *, 9007199254740993 as big from city;
.mode csv
.once ${'/dev/null'}
select 'not here';
select 'here';
.tables
.indexes
.schema ci%
.mode list
.parameter set :id 2
.parameter set @name Ulm
select name from city where id = :id or name = @name order by 1;
.level ack all
.level`)
  equal(err, '')
  equal(
    out,
    `id|name|area|big
1|Ulm|118.0|9007199254740993
2|a;b||9007199254740993
'here'
here
city
by_name
CREATE TABLE city (id integer primary key, name text, area real);
CREATE INDEX by_name on city (name);
name
Ulm
a;b
read session, ack all
`,
  )
})

test('a script ends at its first error, with the line; .bail off goes on', async (t) => {
  const { shell, script } = await setUp(t)
  const failing = 'select 1;\n\nselect\n  nosuch;\nselect 2;\n'
  const [out, err] = await script(failing)
  deepEqual([out, shell.failures], ['1\n', 1])
  match(err, /^stdin:3: error: SQL_ERROR: no such column: nosuch\. Correct the statement\.\n$/)
  shell.failures = 0
  const [more, errors] = await script(`.bail off\n${failing}.tabels\n.mode bax\n.headers\n`)
  equal(more, '1\n2\n')
  deepEqual(
    errors.split('\n').map((line) => /^stdin:(\d+): error: (\w+)/.exec(line)?.slice(1)),
    [['4', 'SQL_ERROR'], ['7', 'BAD_USAGE'], ['8', 'BAD_USAGE'], ['9', 'BAD_USAGE'], undefined],
  )
  match(errors, /no command \.tabels\. Did you mean \.tables\?/)
  match(errors, /no mode bax\. Did you mean box\?/)
})

test('statements of a transaction travel together, and errors keep their lines', async (t) => {
  const { node, shell, script, connection } = await setUp(t)
  node.db.exec('create table n (id integer primary key)')
  const rows = Array.from({ length: 600 }, (_, at) => `insert into n values (${at});`)
  const [out, err] = await script(`begin;\n${rows.join('\n')}\nselect count(*) from n;\ncommit;\n`)
  deepEqual([out, err, connection.state], ['600\n', '', 'none'])
  const more =
    'insert into n values (1000);\ninsert into n values (5);\ninsert into n values (1001);'
  const [, errors] = await script(`.bail off\nbegin;\n${more}\nrollback;\n`)
  match(errors, /^stdin:4: error: SQL_CONSTRAINT: .*\n$/)
  const [count] = await script(`begin; ${more} commit; select count(*) from n;`)
  equal(count, '602\n', 'what was good on both sides of the error is in')
  equal(shell.failures, 2)
})

test('savepoints, and a transaction that an error ended', async (t) => {
  const { node, shell, connection, said } = await setUp(t, true)
  node.db.exec('create table n (id integer primary key)')
  const states: string[] = []
  for (const line of [
    'savepoint a;',
    'insert into n values (1);',
    'savepoint b; insert into n values (2); rollback to b;',
    'release a;',
    'begin; insert into n values (3);',
    'insert or rollback into n values (1);',
    'select count(*) from n;',
  ]) {
    await shell.line(line)
    states.push(connection.state)
  }
  deepEqual(states, ['open', 'open', 'open', 'none', 'open', 'none', 'none'])
  match(said()[0], /│ {8}1 │\n/)
})

test('a transaction that is lost refuses everything until ROLLBACK', async (t) => {
  const { node, shell, connection, said } = await setUp(t, true)
  node.db.exec('create table n (id integer primary key)')
  await shell.line('begin; insert into n values (1);')
  const running = shell.line(
    'with recursive c(i) as (select 1 union all select i + 1 from c limit 1000000) select count(*) from c;',
  )
  while (!shell.busy) await new Promise(setImmediate)
  shell.cancel()
  await running
  equal(connection.state, 'lost')
  match(said()[1], /^Cancelled/)
  await shell.line('insert into n values (2);')
  match(said()[1], /TRANSACTION_CLOSED: .*ROLLBACK/)
  await shell.line('rollback;')
  deepEqual([said()[1], connection.state], ['', 'none'])
})

test('CSV comes in, bad rows are told and left out', async (t) => {
  const { dir, shell, script } = await setUp(t)
  const file = join(dir, 'in.csv')
  writeFileSync(file, '\ufeffid,name\n1,"a, ""b"""\n2,"two\nlines"\n1,again\n3\n')
  const [out, err] = await script(`create table p (id integer primary key, name text);
.bail off
.import --skip 1 ${file} p
select quote(id), quote(name) from p;
.import ${file} made
select count(*), max(name) from made;
.import none.csv p
`)
  equal(
    out,
    `3 rows of ${file} imported into p, 1 refused, 1 had more or fewer than 2 columns.
1|'a, "b"'
2|'two
lines'
3|NULL
4 rows of ${file} imported into made, 1 had more or fewer than 2 columns.
4|two
lines
`,
  )
  match(
    err,
    /in\.csv:5: error: SQL_CONSTRAINT: .*\n.*Not all rows.*\n.*none\.csv can't be read: it/,
  )
  equal(shell.failures, 2)
})

test('files: .read with its own line numbers, .output', async (t) => {
  const { dir, script } = await setUp(t)
  writeFileSync(join(dir, 'inner.sql'), "select 'inner';\n\nselect nope;\nselect 'not run';")
  const [out, err] = await script(
    `.output ${dir}/out.txt\nselect 1;\n.read ${dir}/inner.sql\nselect 'not run either';`,
  )
  deepEqual([out, readFileSync(join(dir, 'out.txt'), 'utf8')], ['', '1\ninner\n'])
  match(err, /^.*inner\.sql:3: error: SQL_ERROR: no such column: nope/)
})

test('.dump writes what .read takes back', async (t) => {
  const { dir, script } = await setUp(t)
  const first = await script(`create table t (id integer primary key, v);
    insert into t values (1, 'x'), (2, x'00ff'), (3, -0.0);
.output ${dir}/d.sql
.dump
.output
drop table t;
.read ${dir}/d.sql
select id, quote(v) from t;`)
  deepEqual(first, ["1|'x'\n2|X'00FF'\n3|-0.0\n".replace('-0.0', '0.0'), ''])
})

test('the shell ends with the code that it is told', async (t) => {
  const { shell, script } = await setUp(t)
  deepEqual(await script('select 1;\n.exit 7\nselect 2;\n'), ['1\n', ''])
  equal(shell.exit, 7)
})

test('control characters of the database do not reach a terminal', async (t) => {
  const { shell, said } = await setUp(t, true)
  await shell.line('.mode list')
  await shell.line("select 'a' || char(27) || '[2J';")
  equal(said()[0], 'a\\x1b[2J\n')
})

test('Tab completes commands, modes, tables, columns and keywords in the case that was begun', async (t) => {
  const { node, shell } = await setUp(t, true)
  node.db.exec('create table city (id integer primary key, country text)')
  const completer = new Completer(shell)
  deepEqual(await completer.complete('.ta'), [['.tables'], '.ta'])
  deepEqual(await completer.complete('.mode ma'), [['markdown'], 'ma'])
  const [found] = await completer.complete('select c')
  deepEqual(found.slice(0, 4), ['city', 'country', 'cascade', 'case'])
  deepEqual(await completer.complete('SELEC'), [['SELECT'], 'SELEC'])
})

// If it fails: REWRITE=1 node --test src/cli/shell/shell.test.ts, and look at the diff.
test('.help, .show and .mode', async (t) => {
  const { script, shell } = await setUp(t)
  const [out, err] = await script('.mode\n.show\n.help\n.help sch\n.head on\n.mode\n')
  const text = out.replaceAll(shell.target.urls[0] ?? '', 'http://127.0.0.1:7001')
  const file = new URL('../golden/shell-help.txt', import.meta.url)
  if (process.env['REWRITE'] === '1') writeFileSync(file, text)
  deepEqual([text, err], [readFileSync(file, 'utf8'), ''])
})
