/** Lost work is done again on real stores with triggers: each effect once, or nothing at all. */
import { deepEqual, equal, match, ok } from 'node:assert/strict'
import { test } from 'node:test'
import { outcome, type Replica, start } from '../store-fixture.ts'
import { readLostFile } from './lost-file.ts'
import { type Lost, type ReplayProgram, replayPrograms, schemaIn } from './lost-replay.ts'

const SCHEMA = `
  create table item (id integer primary key, name text, n integer, changed integer default 0);
  create table stats (what text primary key, n integer) without rowid;
  create table audit (id integer primary key autoincrement, text);
  create virtual table words using fts5(name, content='item', content_rowid='id');
  insert into stats values ('items', 0);
  create trigger count_items after insert on item begin
    update stats set n = n + 1 where what = 'items';
    insert into audit (text) values ('made ' || new.name);
  end;
  create trigger touch after update of n on item begin
    update item set changed = changed + 1 where id = new.id;
  end;
  create trigger words_in after insert on item begin
    insert into words (rowid, name) values (new.id, new.name);
  end;
  create trigger no_less before update on stats when new.n < old.n begin
    select raise(abort, 'stats go up only');
  end;`

/** Does work, and takes it back. */
function lose(replica: Replica, ...sqls: string[]): Lost {
  const base = replica.log.last.index
  replica.must(...sqls)
  const { lost } = replica.truncate(base)
  return readLostFile(lost?.file ?? '')
}

/** What became of each entry: null, or the sentence of its error. */
function replay(replica: Replica, lost: Lost): readonly (string | null)[] {
  const told: (string | null)[] = []
  for (const { program } of programs(replica, lost)) {
    const steps = replica.execute(program).outcomes[0]?.result.steps ?? []
    const failed = steps.find((step) => !['ok', 'skipped'].includes(outcome(step)))
    told.push(
      failed !== null && failed !== undefined && 'error' in failed ? failed.error.detail : null,
    )
  }
  return told
}

function programs({ path }: Replica, lost: Lost): Iterable<ReplayProgram> {
  return replayPrograms(lost, schemaIn(path))
}

test('what triggers did is done once, and they fire again afterwards', (t) => {
  const replica = start(t, SCHEMA)
  const work = ["insert into item (id, name, n) values (1, 'pen', 1)", 'update item set n = 5']
  const lost = lose(replica, ...work)
  equal(replica.query('select * from item').length, 0)
  const [first] = programs(replica, lost)
  deepEqual(first?.setAside, ['count_items', 'touch'])
  deepEqual(replay(replica, lost), [null, null])
  const rows = [
    [[1, 'pen', 5, 1]],
    [['items', 1]],
    [[1, 'made pen']],
    // The index is not among the lost rows: its trigger fired.
    [['pen']],
  ]
  const tables = ['item', 'stats', 'audit', "words where words match 'pen'"]
  const all = () => tables.map((table) => replica.query(`select * from ${table}`))
  deepEqual(all(), rows)
  replica.must("insert into item (name, n) values ('ink', 1)", 'update item set n = 2 where id = 1')
  deepEqual(replica.query('select n from stats'), [[2]])
  deepEqual(replica.query('select id, changed from item'), [
    [1, 2],
    [2, 0],
  ])
  const texts = replica.query("select name from sqlite_schema where type = 'trigger' order by name")
  deepEqual(texts.flat(), ['count_items', 'no_less', 'touch', 'words_in'])
  // Nothing is done a second time, and triggers that check do so.
  match(replay(replica, lost)[0] ?? '', /UNIQUE constraint failed: item\.id/)
  deepEqual(replica.query('select n from stats'), [[2]])
})

test('a follower has the same', (t) => {
  const replica = start(t, SCHEMA)
  const lost = lose(replica, "insert into item (id, name, n) values (1, 'pen', 1)")
  deepEqual(replay(replica, lost), [null])
  const follower = start(t, SCHEMA)
  follower.follow(replica)
  deepEqual(follower.content(), replica.content())
})

test('triggers that work through a table that ends as it was are found', (t) => {
  const replica = start(
    t,
    `create table a (id integer primary key); create table b (id integer primary key);
    create table c (n integer primary key, times integer);
    insert into c values (1, 0);
    create trigger a_to_b after insert on a begin insert into b values (new.id); end;
    create trigger b_to_c after insert on b begin
      update c set times = times + 1; delete from b where id = new.id;
    end;`,
  )
  const lost = lose(replica, 'insert into a values (7)')
  const [only] = programs(replica, lost)
  deepEqual(only?.setAside, ['a_to_b'])
  deepEqual(replay(replica, lost), [null])
  deepEqual(replica.query('select * from c'), [[1, 1]])
})

test('a trigger that came later fires, for what it does is not there yet', (t) => {
  const replica = start(t, 'create table a (id integer primary key); create table b (id integer);')
  const lost = lose(replica, 'insert into a values (7)')
  replica.must('create trigger late after insert on a begin insert into b values (new.id); end')
  deepEqual(replay(replica, lost), [null])
  deepEqual(replica.query('select * from b'), [[7]])
})

test('a trigger that does both, and one that changes in between, fail with nothing changed', (t) => {
  const replica = start(
    t,
    `create table a (id integer primary key, name text); create table n (n integer primary key);
    create virtual table words using fts5(name);
    create trigger both after insert on a begin
      insert into words (name) values (new.name); insert into n values (new.id);
    end;`,
  )
  const lost = lose(replica, "insert into a values (1, 'x')")
  match(replay(replica, lost)[0] ?? '', /Trigger both fills a virtual table and writes rows/)
  replica.must(
    'drop trigger both',
    'create trigger both after insert on a begin insert into n values (new.id); end',
  )
  const path = replica.path
  const [stale] = replayPrograms(lost, schemaIn(path))
  ok(stale)
  replica.must('create trigger more after insert on n begin select 1; end')
  const { outcomes } = replica.execute(stale.program)
  const failed = outcomes[0]?.result.steps.find((step) => step !== null && 'error' in step)
  ok(failed !== null && failed !== undefined && 'error' in failed)
  match(failed.error.detail, /A trigger has been changed in the meantime/)
  deepEqual(replica.query('select * from a'), [])
  deepEqual(replay(replica, lost), [null])
  deepEqual(replica.query('select * from n'), [[1]])
})
