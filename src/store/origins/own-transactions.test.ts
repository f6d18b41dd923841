/** What the leader of an origin makes of programs: one transaction each for the others, whatever they share here. */
import assert from 'node:assert/strict'
import { DatabaseSync } from 'node:sqlite'
import { type TestContext, test } from 'node:test'
import { prngFromSeed } from '../../base/prng.ts'
import { readChangeset } from '../../model/changeset.ts'
import type { Entry } from '../../model/entry.ts'
import { decodeBatch } from '../../model/entry-codec.ts'
import { decodeOriginOperations } from '../../model/origin-codec.ts'
import type { OriginOperation } from '../../model/origin-entry.ts'
import type { Program } from '../../model/program.ts'
import { atomic, codes, folderOf, ok, outcome, program, Replica } from '../store-fixture.ts'
import { clusterOf, originate, originsOf, shipAll, startOrigins } from './origin-fixture.ts'

const TABLES = `
  create table item (id integer primary key, name text unique, n integer check (n < 100));
  create table part (id integer primary key, item integer references item on delete cascade);
  create table word (text text primary key, n integer);
  create table pair (a integer, b text, n integer, primary key (b, a)) without rowid;
  create table audit (id integer primary key autoincrement, what text);
  create trigger item_gone after delete on item begin
    insert into audit (id, what) values (1000 + old.id, old.name); end;
  insert into item values (1, 'one', 1), (2, 'two', 2), (3, 'three', 3);
  insert into part values (1, 1), (2, 2), (3, 3);
  insert into word values ('a', 1), ('b', 2);
  insert into pair values (1, 'x', 1), (2, 'x', 2);`

function two(t: TestContext, tables = TABLES): readonly [Replica, Replica] {
  const [a, b] = startOrigins(t, folderOf(t), 2, tables)
  assert.ok(a !== undefined && b !== undefined)
  return [a, b]
}

/** All content but the group's own. */
function rowsOf(replica: Replica): Readonly<Record<string, unknown>> {
  const { sqlite_sequence: _, ...rows } = replica.content()
  return rows
}

/** What an entry gives to other origins. */
function ownOf(entry: Entry): readonly OriginOperation[] {
  const { own } = decodeBatch(entry.body)
  return own === undefined ? [] : decodeOriginOperations(own.body)
}

const kinds = (entry: Entry) => ownOf(entry).map(({ kind }) => kind)

/** The rows that each transaction of an entry changes, as text. */
function changesOf(entry: Entry): readonly string[] {
  return ownOf(entry).map((operation) => {
    assert.ok(operation.kind === 'transaction')
    return textOf(operation.changes)
  })
}

function textOf(changes: Uint8Array): string {
  const rows = [...readChangeset(changes)].map(
    ({ table, op, before, after }) => `${op} ${table} ${row(before)} ${row(after)}`,
  )
  return rows.sort().join('; ')
}

function row(cells: readonly unknown[] | null): string {
  return cells === null ? '-' : `(${cells.map((cell) => (cell === undefined ? '' : cell)).join()})`
}

test('programs of a batch become one entry with a transaction for each', (t) => {
  const [a, b] = two(t)
  const { entries, outcomes } = a.executePrograms([
    program("insert into item values (10, 'ten', 10)"),
    program('update item set n = 20 where id = 1'),
    program("update word set n = n + 1 where text = 'a'", "insert into pair values (5, 'y', 1)"),
    atomic("update word set n = n + 1 where text = 'b'", "delete from word where text = 'b'"),
    program('delete from item where id = 2'),
    program('select * from item'),
    program('update item set n = 5 where id = 99'),
    program("insert into item values (11, 'ten', 1)"),
  ])
  const [entry] = entries
  assert.ok(entry !== undefined && entries.length === 1)
  assert.deepEqual(changesOf(entry), [
    'insert item - (10,ten,10)',
    'update item (1,,1) (,,20)',
    'update word (a,1) (,2)',
    'insert pair - (5,y,1)',
    'delete word (b,2) -',
    'delete item (2,two,2) -; delete part (2,2) -; insert audit - (1002,two)',
  ])
  const { transactions, operations } = decodeBatch(entry.body)
  assert.deepEqual(
    operations.map(({ kind }) => kind),
    ['sequence'],
  )
  assert.equal(transactions, 7, 'those that changed nothing wrote, too')
  assert.deepEqual(
    outcomes.map(({ result, index }) => [outcome(result.steps[0]), index]),
    [
      ...Array.from({ length: 5 }, () => ['ok', entry.index]),
      ['ok', null],
      ['ok', entry.index],
      ['SQL_CONSTRAINT', null],
    ],
  )
  shipAll([a, b])
  assert.deepEqual(rowsOf(a), rowsOf(b))
})

test('automatic ids and triggers that insert, many in a batch', (t) => {
  const log = `create table log (id integer primary key, item integer);
    create trigger item_in after insert on item begin insert into log (item) values (new.id); end;`
  const [a, b] = two(t, TABLES + log)
  const programs = ['x', 'y', 'z'].map((name) =>
    program([`insert into item (name, n) values (?, 1) returning id`, name]),
  )
  for (const replica of [a, b]) {
    const { entries, outcomes } = replica.executePrograms(programs)
    const ids = outcomes.map(({ result }) => ok(result.steps[0]).rows.flat()[0])
    assert.equal(new Set(ids).size, 3)
    assert.equal(entries.length, 1)
    const made = replica.query('select id from log order by item').flat()
    assert.deepEqual(
      entries.flatMap(changesOf),
      ids.map((id, i) => `insert item - (${id},${'xyz'[i]},1); insert log - (${made[i]},${id})`),
    )
  }
  a.must("update item set name = name || 'a' where n = 1")
  shipAll([a, b])
  assert.deepEqual(rowsOf(a), rowsOf(b))
})

test('a statement that writes very many rows between small ones', (t) => {
  const [a, b] = two(t)
  const many = `with recursive up (i) as (select 1 union all select i + 1 from up where i < 30000)
    insert into word select 'w' || i, i from up`
  const { entries } = a.executePrograms([
    program("insert into word values ('first', 1)"),
    program(many),
    program("delete from word where text = 'first'"),
    program("insert into word values ('last', 1)"),
    atomic("update word set n = n + 1 where text = 'w5'", 'update word set n = n + 1'),
    program("update word set n = 0 where text = 'last'"),
  ])
  const sizes = entries.flatMap(changesOf).map((text) => text.split('; ').length)
  assert.deepEqual(sizes, [1, 30_000, 1, 1, 30_003, 1])
  shipAll([a, b])
  assert.deepEqual(rowsOf(a), rowsOf(b))
})

test('times rise inside an entry and from one to the next, whatever the clock says', (t) => {
  const [a] = two(t)
  const times: number[] = []
  for (const at of [5, 1, 9]) {
    a.at = 1_700_000_000_000 + at
    const { entries } = a.executePrograms([
      program('update item set n = n + 1 where id = 1'),
      program('update item set n = n + 1 where id = 2'),
    ])
    for (const entry of entries) {
      const { own } = decodeBatch(entry.body)
      const inside = ownOf(entry).map((each) => (each.kind === 'transaction' ? each.time : 0))
      assert.equal(own?.time, inside.at(-1))
      assert.equal(own?.epoch, 1)
      times.push(...inside)
    }
  }
  assert.deepEqual(
    times,
    [...new Set(times)].sort((one, other) => one - other),
  )
  assert.equal(times.length, 6)
})

test('transactions that meet in a row each keep their own changes', (t) => {
  const [a, b] = two(t)
  const { entries } = a.executePrograms([
    program('update item set n = n + 1 where id = 1'),
    program('update item set n = n + 1 where id = 1'),
    program('delete from item where id = 1'),
    program("insert into item values (1, 'again', 0)"),
    program('update item set id = 50 where id = 1'),
    program("insert into item values (1, 'anew', 0)"),
    program("insert or replace into item values (7, 'three', 0)"),
    program("replace into word values ('a', 9)"),
    program('update pair set a = a + 2'),
    program("update pair set n = 0 where b = 'x'"),
  ])
  const [entry] = entries
  assert.ok(entry !== undefined)
  assert.deepEqual(changesOf(entry), [
    'update item (1,,1) (,,2)',
    'update item (1,,2) (,,3)',
    'delete item (1,one,3) -; delete part (1,1) -; insert audit - (1001,one)',
    'insert item - (1,again,0)',
    'delete item (1,again,0) -; insert item - (50,again,0)',
    'insert item - (1,anew,0)',
    'delete item (3,three,3) -; delete part (3,3) -; insert item - (7,three,0)',
    'update word (a,1) (,9)',
    'delete pair (1,x,1) -; delete pair (2,x,2) -; insert pair - (3,x,1); insert pair - (4,x,2)',
    'update pair (3,x,1) (,,0); update pair (4,x,2) (,,0)',
  ])
  shipAll([a, b])
  assert.deepEqual(rowsOf(a), rowsOf(b))
})

/** Random programs of one statement, many of which meet. */
function draw(seed: number): readonly Program[] {
  const prng = prngFromSeed(seed)
  const id = () => prng.intInclusive(1, 6)
  const name = () => `'${['one', 'two', 'three', 'four', 'A', 'é'][prng.intInclusive(0, 5)]}'`
  const makers: readonly (() => string)[] = [
    () => `insert into item values (${id()}, ${name()}, ${id()})`,
    () => `insert or ignore into item values (${id()}, ${name()}, 200)`,
    () => `insert or replace into item values (${id()}, ${name()}, ${id()})`,
    () =>
      `insert into item values (${id()}, ${name()}, 1) on conflict (id) do update set n = n + 1`,
    () => `update item set n = ${id()}, name = ${name()} where id = ${id()}`,
    () => `update or replace item set name = ${name()} where n = ${id()}`,
    () => `update item set id = ${id()} where id = ${id()}`,
    () => `delete from item where id > ${id()}`,
    () => `insert into part values (${id()}, ${id()})`,
    () => `update part set item = ${id()} where id < ${id()}`,
    () => `replace into word values (${name()}, ${id()})`,
    () => `update word set text = ${name()}, n = n + 1 where text = ${name()}`,
    () => 'delete from word',
    () => `insert into pair values (${id()}, ${name()}, 0)`,
    () => `update pair set a = ${id()} where b = ${name()}`,
    () => `delete from pair where a = ${id()}`,
    () => "update item set n = case id when 3 then 'x' else n end || ''",
  ]
  return Array.from({ length: 30 }, () => {
    const make = () => (makers[prng.intInclusive(0, makers.length - 1)] as () => string)()
    if (prng.intInclusive(0, 9) > 2) return program(make())
    return prng.intInclusive(0, 1) === 0 ? atomic(make(), make()) : program(make(), make())
  })
}

/** What each transaction changes in plain SQLite under a session of its own. */
function plainly(programs: readonly Program[], tables: string): readonly string[] {
  const db = new DatabaseSync(':memory:')
  db.exec(tables)
  const changes: string[] = []
  const run = (sqls: readonly string[]) => {
    const session = db.createSession()
    db.exec('begin')
    try {
      for (const sql of sqls) db.exec(sql)
      db.exec('commit')
      changes.push(textOf(session.changeset()))
    } catch {
      db.exec('rollback')
    }
    session.close()
  }
  for (const { atomic: whole, steps } of programs) {
    const sqls = steps.map(({ statement }) => statement.sql)
    if (whole) run(sqls)
    else for (const sql of sqls) run([sql])
  }
  db.close()
  return changes.filter((text) => text !== '')
}

test('random programs: the transactions are those of plain SQLite, one by one', (t) => {
  for (let seed = 1; seed <= 8; seed += 1) {
    const [a, b] = two(t)
    const programs = [draw(seed), draw(seed + 1000)]
    const made = programs.flatMap((some) => a.executePrograms(some).entries.flatMap(changesOf))
    assert.deepEqual(made, plainly(programs.flat(), TABLES), `seed ${seed}`)
    shipAll([a, b])
    assert.deepEqual(rowsOf(a), rowsOf(b), `seed ${seed}`)
  }
})

test('a follower of the group ends with the rows and sequences of its leader', (t) => {
  const folder = folderOf(t)
  const [a] = startOrigins(t, folder, 1, TABLES)
  assert.ok(a !== undefined)
  const origin = { self: 'o0', cluster: clusterOf(1) }
  const follower = Replica.found(t, folder, 'follower', TABLES, origin)
  for (let seed = 20; seed < 24; seed += 1) a.executePrograms(draw(seed))
  a.must("insert into audit (what) values ('x')", 'delete from audit')
  a.execute(
    program(
      'create table counted (id integer primary key autoincrement, n)',
      'insert into counted (n) values (1), (2)',
      'create table gone (id integer primary key autoincrement, n)',
      'insert into gone (n) values (1)',
      'delete from counted',
      'drop table gone',
      'alter table audit rename to history',
      "insert into history (what) values ('y')",
      'pragma application_id = 5',
    ),
  )
  a.stream('s', 'begin', 'delete from pair', "insert into history (what) values ('z')", 'commit')
  follower.follow(a)
  assert.deepEqual(follower.content(), a.content())
})

test('streams: one entry for each transaction, savepoints and all', (t) => {
  const [a, b] = two(t)
  const first = a.stream('s', 'begin', 'update item set n = 30 where id = 1', 'savepoint p')
  assert.deepEqual([first.entries, first.open], [[], true])
  a.stream('s', 'delete from item', 'rollback to p')
  const last = a.stream('s', "insert into word values ('s', 1)", 'commit')
  const [entry] = last.entries
  assert.ok(entry !== undefined)
  assert.deepEqual(changesOf(entry), ['insert word - (s,1); update item (1,,1) (,,30)'])
  const none = a.stream('s', 'begin', 'delete from item', 'rollback')
  assert.deepEqual([none.entries, none.open], [[], false])
  shipAll([a, b])
  assert.deepEqual(rowsOf(a), rowsOf(b))
})

test('a key can not be NULL, and Quorate’s own tables can not be written', (t) => {
  const [a] = two(t)
  const refused = (sql: string) => a.run(sql).map(outcome)[0]
  assert.equal(refused('insert into word values (null, 1)'), 'SQL_CONSTRAINT')
  assert.equal(refused("update word set text = null where text = 'a'"), 'SQL_CONSTRAINT')
  assert.deepEqual(codes(a.run('begin', 'insert into word (n) values (1)', 'commit')), [
    'ok',
    'SQL_CONSTRAINT',
    'ok',
  ])
  assert.equal(a.query('select count(*) from word where text is null').flat()[0], 0)
  assert.equal(refused('delete from quorate_conflicts'), 'SQL_REFUSED')
  assert.equal(refused("insert into _quorate_rules values ('t', '', 'first')"), 'SQL_REFUSED')
  assert.equal(refused('drop table quorate_conflicts'), 'SQL_REFUSED')
  assert.equal(refused('create index q on quorate_conflicts (kind)'), 'SQL_REFUSED')
  assert.equal(ok(a.run('select count(*) from quorate_conflicts')[0]).rows.length, 1)
})

test('AUTOINCREMENT: the sequence is the group’s own affair', (t) => {
  const [a, b] = two(t)
  a.must("insert into audit (id, what) values (40, 'a')", 'delete from audit where id = 40')
  const entry = a.entries().at(-1)
  assert.ok(entry !== undefined)
  assert.deepEqual(changesOf(entry), ['delete audit (40,a) -'])
  shipAll([a, b])
  assert.deepEqual(a.query('select * from audit'), b.query('select * from audit'))
  assert.deepEqual(a.query('select seq from sqlite_sequence'), [[40]])
})

test('DDL and the rows around it travel in their order in an entry of their own', (t) => {
  const [a, b] = two(t)
  const sqls = [
    'begin',
    'update item set n = 9 where id = 1',
    'create table tag (name text primary key, item integer)',
    "insert into tag values ('red', 1)",
    'alter table tag add column n integer',
    "update tag set n = 1 where name = 'red'",
    'commit',
    'pragma user_version = 7',
    "insert into tag values ('blue', 2, 3)",
  ]
  const { entries } = a.execute(program(...sqls))
  assert.deepEqual(entries.map(kinds), [
    [...['transaction', 'ddl', 'transaction', 'ddl', 'transaction'], ...['pragma', 'transaction']],
  ])
  assert.deepEqual(
    entries.map(({ kind }) => kind),
    ['schema'],
  )
  shipAll([a, b])
  assert.deepEqual(rowsOf(a), rowsOf(b))
  assert.deepEqual(b.query('select * from tag order by name'), [
    ['blue', 2, 3],
    ['red', 1, 1],
  ])
  assert.deepEqual(b.query('pragma user_version'), [[7]])
  b.must("update tag set n = 5 where name = 'blue'")
  shipAll([a, b])
  assert.deepEqual(rowsOf(a), rowsOf(b))
})

test('what the schema may not do here is not begun, and comes back', (t) => {
  const [a] = two(t)
  const { last } = a.log
  const create = program('create table n (id integer primary key)')
  const drop = program("update word set n = 5 where text = 'a'", 'drop table pair')
  const nothing = program('create table if not exists item (id)', 'drop table if exists gone')
  const tried = (schema: 'never' | 'additive' | 'any', ...programs: Program[]) => {
    a.originating = { answer: 'soon', schema }
    const { outcomes, notRun, wants, entries } = a.executePrograms(programs)
    return [outcomes.length, notRun, wants, entries.length]
  }
  assert.deepEqual(tried('never', create), [0, 1, 'additive', 0])
  assert.deepEqual(tried('never', drop), [0, 1, 'any', 0])
  assert.deepEqual(tried('additive', drop, create), [0, 2, 'any', 0])
  assert.deepEqual(tried('never', program('pragma user_version = 3')), [0, 1, 'additive', 0])
  assert.equal(a.log.last.index, last.index)
  assert.deepEqual(tried('never', nothing), [1, 0, undefined, 0])
  const data = program("update word set n = 6 where text = 'a'")
  assert.deepEqual(tried('never', data, create), [1, 1, 'additive', 1])
  assert.deepEqual(tried('never', program('create tabel x')), [1, 0, undefined, 0])
  assert.deepEqual(tried('additive', create), [1, 0, undefined, 1])
  a.applyAll()
  assert.deepEqual(tried('any', drop), [1, 0, undefined, 2])
  a.applyAll()
  assert.deepEqual(a.query("select name from sqlite_schema where name in ('n', 'pair')"), [['n']])
})

test('a stream’s open transaction stays as it is when DDL may not be', (t) => {
  const [a] = two(t)
  a.originating = { answer: 'soon', schema: 'never' }
  a.stream('s', 'begin', "update word set n = 7 where text = 'a'")
  const command = { kind: 'streamRun', ticket: 0, term: a.log.last.term, at: a.at } as const
  const ddl = program('create table n (id integer primary key)')
  const round = { ...command, stream: 's', program: ddl, originating: a.originating }
  const reply = a.send(round)
  assert.ok(reply.kind === 'executed')
  const { outcomes, notRun, open, wants } = reply
  assert.deepEqual([outcomes.length, notRun, open, wants], [0, 1, true, 'additive'])
  const { entries } = a.stream('s', 'commit')
  assert.deepEqual(entries.map(changesOf), [['update word (a,1) (,7)']])
  const after = a.send(round)
  assert.ok(after.kind === 'executed' && after.notRun === 1 && !after.open)
})

test('tables that can not be merged are refused with the reason', (t) => {
  const [a] = two(t)
  const refused = (sql: string) => {
    const [step] = a.run(sql)
    return step !== null && step !== undefined && 'error' in step ? step.error : null
  }
  const error = refused('create table n (a, b)')
  assert.deepEqual(
    [error?.code, error?.detail],
    [
      'SQL_REFUSED',
      'Table n has no PRIMARY KEY, so its rows have no name that all replicas share. Make one of the columns that tell them apart, or of a new INTEGER column.',
    ],
  )
  const clause = 'create table n (id integer primary key, a unique on conflict ignore)'
  assert.match(refused(clause)?.detail ?? '', /ON CONFLICT/)
  assert.match(refused('create table n as select 1 as a')?.detail ?? '', /no PRIMARY KEY/)
  assert.equal(a.run('create table n (id integer primary key)').map(outcome)[0], 'ok')
})

test('files that can not be merged are not adopted, for their schema or their rows', (t) => {
  const adopting = (tables: string) => () => startOrigins(t, folderOf(t), 1, tables)
  assert.throws(adopting('create table n (a, b)'), /NOT_ADOPTABLE: .*no PRIMARY KEY/)
  const empty = 'create table n (a text primary key); insert into n values (null)'
  assert.throws(adopting(empty), /NOT_ADOPTABLE: .*Table n has rows with NULL in their PRIMARY KEY/)
  const alone = 'create virtual table f using fts5 (a)'
  assert.throws(adopting(alone), /NOT_ADOPTABLE: .*no trigger fills it/)
})

const INDEXED = `
  create table doc (id integer primary key, body text);
  create virtual table found using fts5 (body, content = 'doc', content_rowid = 'id');
  create trigger doc_in after insert on doc begin
    insert into found (rowid, body) values (new.id, new.body); end;
  create trigger doc_out after delete on doc begin
    insert into found (found, rowid, body) values ('delete', old.id, old.body); end;
  create trigger doc_up after update on doc begin
    insert into found (found, rowid, body) values ('delete', old.id, old.body);
    insert into found (rowid, body) values (new.id, new.body); end;`

const hits = (replica: Replica, word: string) =>
  replica.query(`select rowid from found where found match '${word}' order by rowid`).flat()

test('FTS5: the index stays out of what travels and is right everywhere', (t) => {
  const [a, b] = two(t, INDEXED)
  const { entries } = a.executePrograms([
    program("insert into doc values (1, 'first words')"),
    program("insert into doc values (2, 'second words')"),
    program("update doc set body = 'first thoughts' where id = 1"),
  ])
  assert.deepEqual(entries.flatMap(changesOf), [
    'insert doc - (1,first words)',
    'insert doc - (2,second words)',
    'update doc (1,first words) (,first thoughts)',
  ])
  b.must("insert into doc values (3, 'more words')")
  shipAll([a, b])
  for (const replica of [a, b]) {
    assert.deepEqual([hits(replica, 'words'), hits(replica, 'thoughts')], [[2, 3], [1]])
  }
})

test('an index of several origins is filled by triggers, or by everybody at once', (t) => {
  const [a, b] = two(t, 'create table doc (id integer primary key, body text)')
  a.must("insert into doc values (1, 'first words')")
  shipAll([a, b])
  const [, ...rest] = INDEXED.split(/(?<=;)\n/)
  const text = rest.join('\n')
  a.must(text.slice(0, text.indexOf(';')))
  const direct = (sql: string, ...args: string[]) => outcome(a.run([sql, ...args])[0])
  assert.equal(direct('insert into found (rowid, body) values (9, ?)', 'x'), 'SQL_ARGUMENTS')
  const within = 'with one as (select 1) insert into found (rowid, body) select 9, 1 from one'
  assert.equal(direct(within), 'SQL_REFUSED')
  const trigger = (body: string) => {
    const [step] = a.run(`create trigger tr ${body}; end`)
    return step !== null && step !== undefined && 'error' in step ? step.error.detail : 'ok'
  }
  const log = 'insert into log values (new.id)'
  a.must('create table log (id integer primary key)', 'create view docs as select * from doc')
  const both = `after insert on doc begin insert into found (body) values (new.body); ${log}`
  assert.match(trigger(both), /make two triggers/)
  const view = 'instead of insert on docs begin insert into found (body) values (new.body)'
  assert.match(trigger(view), /Trigger tr on the view docs writes a virtual table/)
  a.originating = { answer: 'soon', schema: 'additive' }
  const rebuild = program("insert into found (found) values ('rebuild')")
  assert.equal(a.executePrograms([rebuild]).wants, 'any')
  a.originating = { answer: 'soon', schema: 'any' }
  assert.deepEqual(a.execute(rebuild).entries.map(kinds), [['ddl']])
  shipAll([a, b])
  for (const replica of [a, b]) assert.deepEqual(hits(replica, 'words'), [1])
})

test('entries of no client: logged, applied when committed, with a number and a time', (t) => {
  const [a, b] = two(t)
  const { index } = a.log.last
  a.must('update item set n = 4 where id = 1')
  const reply = originate(a, [{ kind: 'hold' }], 'now')
  assert.ok(reply.kind === 'executed')
  const [entry] = reply.entries
  assert.ok(entry !== undefined)
  const { own } = decodeBatch(entry.body)
  assert.deepEqual([entry.index, entry.kind], [index + 2, 'schema'])
  assert.deepEqual([own?.sequence, own?.answer, own?.origin], [2, 'now', 'o0'])
  assert.equal(originsOf(a).held, true)
  shipAll([a, b])
  assert.equal(originsOf(b).held, true)
  const rows = rowsOf(b)
  b.originating = { answer: 'soon', schema: 'additive' }
  assert.equal(b.stream('s', 'begin', "update word set n = 3 where text = 'a'").open, true)
  const [step] = b.stream('s', 'commit').outcomes[0]?.result.steps ?? []
  assert.equal(outcome(step), 'SCHEMA_CHANGE_PENDING')
  b.send({ kind: 'streamEnd', stream: 's' })
  assert.deepEqual(rowsOf(b), rows)
  originate(a, [{ kind: 'release' }])
  originate(b, [])
  shipAll([a, b])
  assert.deepEqual([originsOf(a).held, originsOf(b).held], [false, false])
  assert.deepEqual(originsOf(a).applied, originsOf(b).applied)
})

test('a program with more statements than an entry holds transactions gets several', (t) => {
  const [a] = two(t)
  const many = program(...Array.from({ length: 4097 }, () => 'update item set n = 1 where id = 99'))
  const wide = Array.from({ length: 210 }, (_, i) =>
    program(...Array.from({ length: 20 }, (_, k) => `update item set n = ${(i + k) % 90}`)),
  )
  const reply = a.executePrograms([...wide, many])
  assert.equal(reply.outcomes.length, 211)
  assert.equal(reply.entries.length, 2)
  for (const entry of reply.entries) assert.ok(ownOf(entry).length <= 4096)
})

test('ids of writes are kept with their results', (t) => {
  const [a] = two(t)
  const id = { session: 's', number: 1, since: 0 }
  const { entries } = a.executePrograms([
    { ...program('update item set n = 8 where id = 1'), id },
    { ...program('update item set n = 8 where id = 99'), id: { ...id, number: 2 } },
  ])
  const [entry] = entries
  assert.ok(entry !== undefined)
  const { writes } = decodeBatch(entry.body)
  assert.deepEqual(
    writes.map((write) => write.id.number),
    [1, 2],
  )
})
