/**
 * The property that replication rests on: a follower that puts the leader's entries in place has
 * what the leader has, at every index; and a leader that takes its tail back has what a follower
 * has that never went further. On a schema with everything that is known to be delicate.
 */
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import test from 'node:test'
import fc from 'fast-check'
import { type Prng, prngFromSeed } from '../base/prng.ts'
import type { Program, Value } from '../model/program.ts'
import { atomic, contentOf, folderOf, program, Replica } from './store-fixture.ts'

const SCHEMA = `
  create table parent (id integer primary key, name text unique, n integer default 0);
  create table child (
    id integer primary key autoincrement,
    parent integer references parent on delete cascade on update cascade,
    other integer references parent (id) on delete set null,
    note text
  );
  create table keyed (k text collate nocase primary key not null, v, unique (v)) without rowid;
  create table compound (a text, b text, v real, primary key (a, b));
  create table tally (what text primary key not null, count integer not null);
  create table late (id integer primary key, p integer references parent deferrable initially deferred);
  create table made (id integer primary key, n integer, twice as (n * 2) stored, w as (n + 1));
  create virtual table notes using fts5 (note, content = '');
  create virtual table words using fts5 (body);
  create virtual table boxes using rtree (id, x0, x1);
  create index child_note on child (note) where note is not null;
  create view both as select p.name, c.note from parent p join child c on c.parent = p.id;
  create trigger child_added after insert on child begin
    insert into tally values ('child', 1) on conflict (what) do update set count = count + 1;
    update parent set n = n + 1 where id = new.parent;
  end;
  create trigger child_gone after delete on child begin
    update tally set count = count - 1 where what = 'child';
    insert into words (body) values ('gone ' || old.note);
  end;
  create trigger no_bad before insert on parent when new.name = 'bad' begin
    select raise(abort, 'bad name');
  end;
  create trigger no_worse before update on parent when new.name = 'worse' begin
    select raise(rollback, 'worse name');
  end;
  create trigger both_insert instead of insert on both begin
    insert into parent (name) values (new.name);
  end;`

const NAMES = ['a', 'B', 'b', 'bad', 'worse', '', 'ä', 'x'.repeat(300)]

function value(prng: Prng): Value {
  const values: readonly Value[] = [
    null,
    BigInt(prng.intInclusive(-3, 3)),
    9_007_199_254_740_993n,
    prng.intInclusive(-5, 5) / 2,
    -0,
    prng.pick(NAMES),
    new Uint8Array([prng.intInclusive(0, 3)]),
  ]
  return prng.pick(values)
}

/** Statements that succeed, fail, or hit nothing, each about as often. */
function statement(prng: Prng): readonly [string, ...Value[]] {
  const id = () => BigInt(prng.intInclusive(1, 6))
  const name = () => prng.pick(NAMES)
  const or = prng.pick([
    '',
    '',
    '',
    'or replace',
    'or ignore',
    'or fail',
    'or rollback',
    'or abort',
  ])
  return prng.pick<readonly [string, ...Value[]]>([
    [`insert ${or} into parent (id, name) values (?, ?)`, id(), name()],
    [`insert ${or} into parent (name) values (?), (?)`, name(), name()],
    [`update ${or} parent set id = ? where id = ?`, id(), id()],
    [`update ${or} parent set name = ? where id = ?`, name(), id()],
    ['update parent set id = case id when 1 then -2 else -1 end where id in (1, 2)'],
    ['update parent set id = -id where id < 0'],
    ['delete from parent where id = ?', id()],
    ['insert into child (parent, other, note) values (?, ?, ?)', id(), id(), name()],
    ['insert into child (parent, note) values (?, ?) returning id, note', id(), name()],
    [`replace into child (id, parent, note) values (?, ?, ?)`, id(), id(), name()],
    ['delete from child where id > ?', id()],
    ['update child set note = ? where id = ?', value(prng), id()],
    [`insert ${or} into keyed values (?, ?)`, name(), value(prng)],
    ['update keyed set k = upper(k)'],
    ['update keyed set v = ? where k = ?', value(prng), name()],
    ['delete from keyed where k = ?', name()],
    [`insert ${or} into compound values (?, ?, ?)`, value(prng), value(prng), value(prng)],
    ['update compound set a = b, b = a'],
    ['insert into late values (?, ?)', id(), id()],
    ['update late set p = ? where id = ?', id(), id()],
    ['delete from late where id = ?', id()],
    [`insert ${or} into made (id, n) values (?, ?)`, id(), value(prng)],
    ['update made set n = n + 1'],
    ['insert into words (body) values (?)', `${name()} word ${id()}`],
    ['update words set body = ? where rowid = ?', name(), id()],
    ["delete from words where words match 'word'"],
    ["insert into words (words) values ('optimize')"],
    ["insert into words (words) values ('integrity-check')"],
    ['insert into notes (rowid, note) values (?, ?)', id(), name()],
    ['insert or replace into boxes values (?, ?, ?)', id(), 1, 2],
    ['delete from boxes where id = ?', id()],
    ['insert into both (name) values (?)', name()],
    ["delete from sqlite_sequence where name = 'child'"],
    [`pragma user_version = ${id()}`],
    ['select count(*) from both'],
    ['select nothing from nowhere'],
  ])
}

function randomProgram(prng: Prng): Program {
  const count = prng.percent(60) ? 1 : prng.intInclusive(2, 6)
  const list = Array.from({ length: count }, () => statement(prng))
  if (prng.percent(30)) return atomic(...list)
  if (prng.percent(60)) return program(...list)
  const control = () =>
    prng.pick(['begin', 'commit', 'rollback', 'savepoint s', 'rollback to s', 'release s'])
  const mixed = list.flatMap((one) => [[control()] as const, one])
  return program(['begin'], ...mixed, [prng.pick(['commit', 'rollback', 'select 1'])])
}

/** More of them: EQ_SEED=7 EQ_RUNS=200. */
const SEEDS = {
  seed: Number(process.env['EQ_SEED'] ?? 2024),
  numRuns: Number(process.env['EQ_RUNS'] ?? 6),
}

test('property: followers equal the leader at every index, and so does a leader that went back', (t) => {
  const folder = folderOf(t)
  let runs = 0
  fc.assert(
    fc.property(fc.integer(), (seed) => {
      runs += 1
      const prng = prngFromSeed(seed)
      const name = (what: string) => `${what}${runs}`
      const leader = Replica.found(t, folder, name('leader'), SCHEMA)
      const follower = Replica.found(t, folder, name('follower'), SCHEMA)
      const short = Replica.found(t, folder, name('short'), SCHEMA)
      for (let batch = 0; batch < 12; batch += 1) {
        const programs = Array.from({ length: prng.intInclusive(1, 12) }, () => randomProgram(prng))
        const { outcomes } = leader.executePrograms(programs)
        assert.equal(outcomes.length, programs.length)
        assert.equal(leader.log.applied, leader.log.last.index)
      }
      follower.follow(leader)
      assert.deepEqual(follower.content(), leader.content())
      assert.deepEqual(follower.query('pragma integrity_check'), [['ok']])

      const to = prng.intInclusive(leader.log.base.index, leader.log.last.index)
      short.append(leader.entries())
      short.apply(to)
      if (short.log.applied > to) return
      leader.truncate(to)
      assert.deepEqual(leader.content(), short.content())
      assert.deepEqual(leader.query('pragma integrity_check'), [['ok']])
      // The leader's own connection works on: nothing of the tail is remembered anywhere.
      short.truncate(to)
      const more = Array.from({ length: 10 }, () => randomProgram(prng))
      leader.executePrograms(more)
      short.follow(leader)
      assert.deepEqual(leader.content(), short.content())
    }),
    SEEDS,
  )
})

/** Runs a program as SQLite by itself does, and says which steps went well. */
function runPlain(db: DatabaseSync, given: Program): readonly string[] {
  const run = ({ statement: { sql, args = [] } }: Program['steps'][0]): boolean => {
    try {
      db.prepare(sql).all(...args)
      return true
    } catch {
      return false
    }
  }
  const end = () => {
    if (db.isTransaction) db.exec('rollback')
  }
  if (!given.atomic) {
    const went = given.steps.map((step) => (run(step) ? 'ok' : 'error'))
    if (db.isTransaction) went[went.length - 1] = 'error'
    end()
    return went
  }
  db.exec('begin')
  const failed = given.steps.findIndex((step) => !run(step))
  let at = failed
  try {
    if (failed === -1) db.exec('commit')
  } catch {
    at = given.steps.length - 1
  }
  end()
  return given.steps.map((_, i) => (at === -1 || i < at ? 'ok' : i === at ? 'error' : 'skipped'))
}

/** Without NULL keys, which SQLite alone would take. */
function withoutNullKeys(given: Program): Program {
  const steps = given.steps.map(({ statement: { sql, args = [] } }) => {
    const filled = sql.includes('into compound') ? args.map((arg) => arg ?? 0n) : args
    return { statement: { sql, args: filled } }
  })
  return { ...given, steps }
}

test('property: programs do in batches what they do one by one in plain SQLite', (t) => {
  const folder = folderOf(t)
  let runs = 0
  fc.assert(
    fc.property(fc.integer(), (seed) => {
      runs += 1
      const prng = prngFromSeed(seed)
      const leader = Replica.found(t, folder, `leader${runs}`, SCHEMA)
      const plain = new DatabaseSync(join(folder, `plain${runs}.db`))
      plain.exec(SCHEMA)
      for (let batch = 0; batch < 15; batch += 1) {
        const programs = Array.from({ length: prng.intInclusive(1, 12) }, () =>
          withoutNullKeys(randomProgram(prng)),
        )
        const { outcomes } = leader.executePrograms(programs)
        for (const [i, given] of programs.entries()) {
          const steps = outcomes[i]?.result.steps ?? []
          const went = steps.map((step) =>
            step === null ? 'skipped' : 'ok' in step ? 'ok' : 'error',
          )
          assert.deepEqual(went, runPlain(plain, given), JSON.stringify(given, bigints))
        }
        assert.deepEqual(withoutShadows(leader.content()), withoutShadows(contentOf(plain)))
      }
      plain.close()
    }),
    SEEDS,
  )
})

/** How full-text search arranges its index depends on when it is flushed. */
function withoutShadows(content: Readonly<Record<string, unknown>>) {
  const entries = Object.entries(content)
  return Object.fromEntries(entries.filter(([name]) => !/^(words|notes|boxes)_/.test(name)))
}

function bigints(_: string, one: unknown): unknown {
  return typeof one === 'bigint' ? String(one) : one
}
