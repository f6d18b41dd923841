import assert from 'node:assert/strict'
import test from 'node:test'
import { toTerm } from '../../base/brand.ts'
import { decodeBatch } from '../../model/entry-codec.ts'
import type { Program } from '../../model/program.ts'
import { atomic, codes, ok, outcome, program, start, TABLES, TERM } from '../store-fixture.ts'

test('a batch is one entry; a program that fails rolls back alone', (t) => {
  const a = start(t)
  const { entries, outcomes, notRun, open } = a.executePrograms([
    program(['insert into item (name) values (?)', 'x']),
    program(['insert into item (name) values (?)', 'x']),
    program('select name from item'),
    atomic("insert into item (name) values ('y')", 'insert into item (n) values (100)', 'select 1'),
    program("insert into item (name) values ('z'), ('z')", "insert into item (name) values ('w')"),
  ])
  assert.equal(notRun, 0)
  assert.equal(open, false)
  assert.deepEqual(
    outcomes.map(({ result, index }) => [codes(result.steps), index]),
    [
      [['ok'], 2],
      [['SQL_CONSTRAINT'], null],
      [['ok'], null],
      [['ok', 'SQL_CONSTRAINT', 'skipped'], null],
      [['SQL_CONSTRAINT', 'ok'], 2],
    ],
  )
  assert.deepEqual(
    entries.map(({ index, kind, term }) => [index, kind, term]),
    [[2, 'data', 1]],
  )
  assert.equal(decodeBatch(entries[0]?.body ?? new Uint8Array()).transactions, 2)
  assert.deepEqual(a.query('select name from item order by id'), [['x'], ['w']])
  assert.deepEqual([a.log.last.index, a.log.applied], [2, 2])
  const error = outcomes[1]?.result.steps[0]
  assert.deepEqual(error, {
    error: {
      code: 'SQL_CONSTRAINT',
      detail: 'UNIQUE constraint failed: item.name.',
      facts: { sqlite: 'SQLITE_CONSTRAINT' },
    },
  })
})

test('results have columns, values with their types, changes and rowids', (t) => {
  const a = start(t)
  const [inserted] = a.run(["insert into item (id, name) values (7, 'x'), (8, 'y')"])
  assert.deepEqual(ok(inserted), { columns: [], rows: [], changes: 2, lastInsertRowid: 8n })
  const [returned] = a.run('update item set n = id returning id, name as label, n / 2.0')
  assert.deepEqual(ok(returned), {
    columns: [
      { name: 'id', decltype: 'INTEGER' },
      { name: 'label', decltype: 'TEXT' },
      { name: 'n / 2.0', decltype: null },
    ],
    rows: [
      [7n, 'x', 3.5],
      [8n, 'y', 4],
    ],
    changes: 2,
    lastInsertRowid: null,
  })
})

test('no change, no entry', (t) => {
  const a = start(t)
  const { entries, outcomes } = a.executePrograms([
    program('update item set n = 1'),
    program('select 1'),
    program("insert into item (name) values ('x')", "delete from item where name = 'x'"),
    program('nonsense'),
  ])
  assert.deepEqual(entries, [])
  assert.ok(outcomes.every(({ index }) => index === null))
  assert.equal(a.log.last.index, 1)
})

test('writes with an id are recorded with their result', (t) => {
  const a = start(t)
  const id = (number: number) => ({ session: 's', number, since: 1 })
  const { entries, outcomes } = a.executePrograms([
    { ...program("insert into item (name) values ('x') returning id"), id: id(1) },
    { ...program('insert into item (id, name) values (1, 1)'), id: id(2) },
    program("insert into item (name) values ('y')"),
  ])
  const { writes } = decodeBatch(entries[0]?.body ?? new Uint8Array())
  assert.deepEqual(writes, [{ id: id(1), result: outcomes[0]?.result }])
})

test('arguments by position and by name, and what does not fit', (t) => {
  const a = start(t)
  const run = (sql: string, given: Partial<Program['steps'][0]['statement']>) =>
    a.execute({ atomic: false, steps: [{ statement: { sql, ...given } }] }).outcomes[0]?.result
      .steps[0]
  assert.deepEqual(ok(run('select ?2, ?1, :a', { args: ['x', 2n], named: { a: 1.5 } })).rows, [
    [2n, 'x', 1.5],
  ])
  assert.equal(outcome(run('select ?', {})), 'SQL_ARGUMENTS')
  assert.equal(outcome(run('select ?', { args: [1, 2] })), 'SQL_ARGUMENTS')
  assert.equal(outcome(run('select :a', { named: { b: 1 } })), 'SQL_ARGUMENTS')
  assert.equal(outcome(run('select ?', { args: [2n ** 70n] })), 'SQL_ARGUMENTS')
  assert.equal(outcome(run('', {})), 'SQL_NO_STATEMENT')
  assert.equal(outcome(run(' -- nothing', {})), 'SQL_NO_STATEMENT')
  assert.equal(outcome(run('select 1; select 2', {})), 'SQL_MANY_STATEMENTS')
  assert.equal(outcome(run('select 1;', {})), 'ok')
  assert.equal(outcome(run('select nothing', {})), 'SQL_ERROR')
})

test('transactions of a program: BEGIN, COMMIT, ROLLBACK, savepoints, conditions', (t) => {
  const a = start(t)
  const names = () => a.query('select group_concat(name) from (select name from item order by id)')
  const insert = (name: string) => `insert into item (name) values ('${name}')`
  a.must(insert('a'))
  const steps = a.run('begin', insert('b'), insert('a'), insert('c'), 'commit', 'commit', 'end')
  assert.deepEqual(codes(steps), [
    'ok',
    'ok',
    'SQL_CONSTRAINT',
    'ok',
    'ok',
    'SQL_ERROR',
    'SQL_ERROR',
  ])
  assert.deepEqual(names(), [['a,b,c']])
  a.run('begin immediate', insert('d'), 'rollback', 'rollback')
  assert.deepEqual(names(), [['a,b,c']])
  const nested = a.run(
    ...['begin', insert('d'), 'savepoint S', insert('e'), 'rollback to s', insert('f')],
    ...['savepoint "s"', insert('g'), 'release S', 'rollback to nothing', 'begin', 'commit'],
  )
  assert.deepEqual(codes(nested).slice(8), ['ok', 'SQL_ERROR', 'SQL_ERROR', 'ok'])
  assert.deepEqual(names(), [['a,b,c,d,f,g']])
  a.run(
    'savepoint outer',
    insert('h'),
    'release outer',
    'savepoint x',
    insert('i'),
    'rollback to x',
  )
  assert.deepEqual(names(), [['a,b,c,d,f,g,h']])

  const conditional = a.execute({
    atomic: false,
    steps: [
      { statement: { sql: 'begin' } },
      { statement: { sql: insert('j') }, condition: { kind: 'ok', step: 0 } },
      { statement: { sql: insert('a') }, condition: { kind: 'ok', step: 1 } },
      { statement: { sql: 'commit' }, condition: { kind: 'ok', step: 2 } },
      {
        statement: { sql: 'rollback' },
        condition: { kind: 'not', condition: { kind: 'autocommit' } },
      },
    ],
  })
  assert.deepEqual(codes(conditional.outcomes[0]?.result.steps ?? []), [
    ...['ok', 'ok', 'SQL_CONSTRAINT', 'skipped', 'ok'],
  ])
  assert.deepEqual(names(), [['a,b,c,d,f,g,h']])
})

test('a program that ends inside its transaction is rolled back and told', (t) => {
  const a = start(t)
  const { outcomes, entries } = a.executePrograms([
    program('begin', "insert into item (name) values ('x')"),
    program("insert into item (name) values ('y')"),
  ])
  assert.deepEqual(codes(outcomes[0]?.result.steps ?? []), ['ok', 'TRANSACTION_CLOSED'])
  assert.equal(outcomes[0]?.index, null)
  assert.equal(entries.length, 1)
  assert.deepEqual(a.query('select name from item'), [['y']])
  const inside = a.execute(atomic("insert into item (name) values ('z')", 'commit'))
  assert.deepEqual(codes(inside.outcomes[0]?.result.steps ?? []), ['ok', 'SQL_REFUSED'])
  assert.deepEqual(a.query('select name from item'), [['y']])
})

test('a statement that rolls everything back takes nobody else along', (t) => {
  const a = start(
    t,
    `${TABLES} create trigger no before insert on item when new.name = 'no' begin
       select raise(rollback, 'no'); end;
     create table odd (id integer primary key on conflict rollback);`,
  )
  const { outcomes } = a.executePrograms([
    program("insert into item (name) values ('a')"),
    program("insert or rollback into item (name) values ('a')"),
    program("insert into item (name) values ('b')"),
    program("insert into item (name) values ('no')"),
    program('insert into odd values (1)', 'insert into odd values (1)'),
    program(
      'begin',
      "insert into item (name) values ('c')",
      'insert into odd values (1)',
      'commit',
    ),
    atomic("insert into item (name) values ('d')", "insert into item (name) values ('no')"),
    program("insert into item (name) values ('e')"),
  ])
  assert.deepEqual(
    outcomes.map(({ result }) => codes(result.steps)),
    [
      ['ok'],
      ['SQL_CONSTRAINT'],
      ['ok'],
      ['SQL_CONSTRAINT'],
      ['ok', 'SQL_CONSTRAINT'],
      ['ok', 'ok', 'SQL_CONSTRAINT', 'SQL_ERROR'],
      ['ok', 'SQL_CONSTRAINT'],
      ['ok'],
    ],
  )
  assert.deepEqual(a.query('select name from item order by 1'), [['a'], ['b'], ['e']])
  assert.deepEqual(a.query('select * from odd'), [[1]])
  assert.equal(a.log.applied, a.log.last.index)
})

test('OR FAIL keeps what came before the error, unless the program is atomic', (t) => {
  const a = start(t)
  const [step] = a.run("insert or fail into item (id, name) values (1, 'a'), (2, 'a'), (3, 'b')")
  assert.equal(outcome(step), 'SQL_CONSTRAINT')
  assert.deepEqual(a.query('select name from item'), [['a']])
  a.execute(atomic("insert or fail into item (id, name) values (4, 'c'), (5, 'c')"))
  assert.deepEqual(a.query('select name from item'), [['a']])
})

test('deferred foreign keys are checked at the end of each transaction', (t) => {
  const a = start(
    t,
    `create table p (id integer primary key);
     create table c (id integer primary key, p references p deferrable initially deferred);`,
  )
  const { outcomes, entries } = a.executePrograms([
    program('insert into c values (1, 1)'),
    program('insert into p values (1)'),
    atomic('insert into c values (2, 2)', 'insert into p values (2)'),
    program('begin', 'insert into c values (3, 3)', 'commit', 'insert into p values (3)', 'commit'),
    program(
      'begin',
      'insert into c values (4, 4)',
      'commit',
      'rollback',
      'insert into p values (5)',
    ),
    atomic('insert into c values (6, 6)'),
  ])
  assert.deepEqual(
    outcomes.map(({ result }) => codes(result.steps)),
    [
      ['SQL_CONSTRAINT'],
      ['ok'],
      ['ok', 'ok'],
      ['ok', 'ok', 'SQL_CONSTRAINT', 'ok', 'ok'],
      ['ok', 'ok', 'SQL_CONSTRAINT', 'ok', 'ok'],
      ['SQL_CONSTRAINT'],
    ],
  )
  assert.equal(entries.length, 4)
  assert.deepEqual(a.query('select id from c'), [[2], [3]])
  assert.deepEqual(a.query('pragma foreign_key_check'), [])
})

test('PRAGMA foreign_keys and defer_foreign_keys hold for their program only', (t) => {
  const a = start(t)
  a.must("insert into item (id, name) values (1, 'a')")
  const orphan = 'insert into part (item) values (99)'
  assert.deepEqual(codes(a.run('pragma foreign_keys = off', orphan, 'pragma foreign_keys')), [
    ...['ok', 'ok', 'ok'],
  ])
  assert.deepEqual(codes(a.run(orphan)), ['SQL_CONSTRAINT'])
  a.must('delete from part')
  const deferred = a.run(
    ...['begin', 'pragma defer_foreign_keys = on', 'insert into part (item) values (2)', 'commit'],
    ...["insert into item (id, name) values (2, 'b')", 'commit'],
  )
  assert.deepEqual(codes(deferred), ['ok', 'ok', 'ok', 'SQL_CONSTRAINT', 'ok', 'ok'])
  assert.deepEqual(a.query('select item from part'), [[2]])
})

test('a stream keeps its transaction open between commands', (t) => {
  const a = start(t)
  const first = a.stream('s', 'begin', "insert into item (name) values ('a')")
  assert.equal(first.open, true)
  assert.deepEqual(first.entries, [])
  assert.throws(() => a.executePrograms([program('select 1')]), /stream s/)
  const b = start(t)
  b.stream('s', 'begin')
  assert.throws(() => b.stream('other', 'select 1'), /stream other while s is open/)
  const c = start(t)
  c.stream('s', 'begin')
  assert.throws(() => c.append([]), /append while stream s/)
})

test('a stream commits, rolls back, ends', (t) => {
  const a = start(t)
  const insert = (name: string) => `insert into item (name) values ('${name}')`
  a.stream('s', 'begin', insert('a'))
  a.stream('s', insert('b'), 'savepoint x')
  const done = a.stream('s', insert('c'), 'rollback to x', 'commit', 'select last_insert_rowid()')
  assert.equal(done.open, false)
  assert.equal(done.entries.length, 1)
  assert.equal(done.outcomes[0]?.index, 2)
  a.stream('s', 'begin', insert('d'))
  assert.equal(a.stream('s', insert('a'), 'select count(*) from item').open, true)
  a.stream('s', 'rollback')
  a.stream('s', 'begin', insert('e'))
  a.send({ kind: 'streamEnd', stream: 'other' })
  a.send({ kind: 'streamEnd', stream: 's' })
  a.send({ kind: 'streamEnd', stream: 's' })
  const outside = a.stream('s', insert('f'), insert('g'))
  assert.equal(outside.entries.length, 2)
  assert.deepEqual(a.query('select name from item order by id'), [['a'], ['b'], ['f'], ['g']])
})

test('the log does not show in last_insert_rowid()', (t) => {
  const a = start(t)
  a.stream('s', 'insert into item (id, name) values (77, 1)')
  const [step] = a.stream('s', 'select last_insert_rowid()').outcomes[0]?.result.steps ?? []
  assert.deepEqual(ok(step).rows, [[77n]])
})

test('a setting holds for its program, or until its open transaction has ended', (t) => {
  const a = start(t)
  const off = 'pragma foreign_keys = off'
  assert.deepEqual(codes(a.run(off, 'insert into part (item) values (9)')), ['ok', 'ok'])
  assert.deepEqual(codes(a.run('insert into part (item) values (9)')), ['SQL_CONSTRAINT'])
  a.stream('s', off, 'begin')
  const [step] = a.stream('s', 'insert into part (item) values (9)').outcomes[0]?.result.steps ?? []
  assert.equal(outcome(step), 'ok')
  a.stream('s', 'commit')
  const again = a.stream('s', 'insert into part (item) values (9)').outcomes[0]?.result.steps ?? []
  assert.deepEqual(codes(again), ['SQL_CONSTRAINT'])
  assert.deepEqual(ok(a.run('pragma foreign_keys')[0]).rows, [[1n]])
})

test('user_version and application_id travel and can be taken back', (t) => {
  const a = start(t)
  a.must('pragma user_version = 5')
  a.run('begin', 'pragma application_id = 9', 'rollback')
  a.must('pragma main.application_id(-7)')
  const b = start(t)
  b.follow(a)
  assert.deepEqual(
    [b.query('pragma user_version'), b.query('pragma application_id')],
    [[[5]], [[-7]]],
  )
  a.truncate(1)
  assert.deepEqual(
    [a.query('pragma user_version'), a.query('pragma application_id')],
    [[[0]], [[0]]],
  )
})

test('terms and times come from the command', (t) => {
  const a = start(t)
  const programs = [program("insert into item (name) values ('x')")]
  const { entries } = a.executePrograms(programs, toTerm(4))
  assert.deepEqual(
    entries.map(({ term, at }) => [term, at]),
    [[4, 1_700_000_000_000]],
  )
  assert.throws(() => a.executePrograms(programs, TERM), /term 1 after 4/)
})

test('text, blobs, integers and reals are bound and come back as they were', (t) => {
  const a = start(t)
  const blob = new Uint8Array([0, 255])
  const [step] = a.run(['select ?, ?, ?, ?, ?', 'ä\0b', blob, 2n ** 63n - 1n, -0, null])
  assert.deepEqual(ok(step).rows, [['ä\0b', blob, 2n ** 63n - 1n, -0, null]])
})

/** A statement at which something breaks that is no statement's fault, as a full disk would. */
const BROKEN = {
  sql: 'select :a',
  named: new Proxy({}, { ownKeys: () => assert.fail(new Error('disk full')) }),
}

test('after a failure in the middle nothing of a batch remains, and all of what had committed', (t) => {
  const a = start(t)
  const broken = { atomic: false, steps: [{ statement: BROKEN }] }
  const programs = [program("insert into item (name) values ('x')"), broken]
  const reply = a.store.run({ kind: 'execute', ticket: 0, term: TERM, at: 0, programs })
  assert.deepEqual(reply, { kind: 'failed', error: { code: 'INTERNAL', detail: 'disk full.' } })
  assert.equal(a.log.last.index, 1)
  const half: Program = {
    atomic: false,
    steps: [
      { statement: { sql: 'pragma foreign_keys = off' } },
      { statement: { sql: "insert into item (name) values ('a')" } },
      { statement: BROKEN },
      { statement: { sql: "insert into item (name) values ('b')" } },
    ],
  }
  const { entries, outcomes, notRun } = a.executePrograms([half, program('select 1')])
  assert.deepEqual(codes(outcomes[0]?.result.steps ?? []), ['ok', 'ok', 'INTERNAL', 'skipped'])
  assert.deepEqual([entries.length, outcomes[0]?.index, notRun], [1, 2, 0])
  const own = program('pragma foreign_keys = off', "insert into item (name) values ('c')")
  const rest = a.executePrograms([own, broken])
  assert.deepEqual([rest.outcomes.length, rest.notRun], [1, 1])
  assert.deepEqual(codes(a.run('insert into part (item) values (99)')), ['SQL_CONSTRAINT'])
  assert.deepEqual(a.query('select name from item order by name'), [['a'], ['c']])
})

test('too large a transaction is refused alone', { skip: process.env['LARGE'] !== '1' }, (t) => {
  const a = start(t, 'create table big (id integer primary key, b blob)')
  const given = ['insert into big (b) values (zeroblob(100000000))', 'select 1'] as const
  const { outcomes } = a.executePrograms([
    program(given[0]),
    atomic(given[0], given[0], given[0]),
    program(given[0]),
    program(given[0]),
  ])
  assert.deepEqual(
    outcomes.map(({ result, index }) => [outcome(result.steps.at(-1)), index]),
    [
      ['ok', 2],
      ['TOO_LARGE', null],
      ['ok', 3],
      ['ok', 4],
    ],
  )
})
