/**
 * Random histories of groups with a leader and a follower each: programs, exchange in any order, changes
 * of leaders that lose what was not committed, restarts, compaction, forgetting, schema changes.
 * In the end all files must hold the same.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { CI_SEED } from '../../base/seed-fixture.ts'
import { type Cleanup, folderOf, program, type Replica } from '../store-fixture.ts'
import {
  exchangeOf,
  followerOf,
  forget,
  lacking,
  logMerge,
  ship,
  startOrigins,
} from './origin-fixture.ts'

const SCHEMA = `
  create table kv (id integer primary key, value text, n integer default 0);
  create table tag (name text primary key, kv integer references kv on delete set null) without rowid;
  create table seat (id integer primary key autoincrement, holder text unique not null,
    kv integer references kv on delete cascade, check (length(holder) < 9));
  create index tag_kv on tag (kv);
  create virtual table search using fts5 (value, content = '', contentless_delete = 1);
  create trigger kv_in after insert on kv begin
    insert into search (rowid, value) values (new.id, new.value); end;
  create trigger kv_out after delete on kv begin delete from search where rowid = old.id; end;
  create trigger kv_up after update of value on kv begin
    delete from search where rowid = old.id;
    insert into search (rowid, value) values (new.id, new.value); end;
  insert into kv (id, value) values (1, 'red'), (2, 'green'), (3, 'blue'), (4, 'red');
  insert into tag values ('red', 1), ('green', 2);
  insert into seat (id, holder, kv) values (1, 'red', 1), (2, 'green', 2), (3, 'blue', 4);`

const number = fc.integer({ min: 1, max: 5 })
const word = fc.constantFrom('red', 'green', 'blue')
/** Statements; what they break is refused where they are made, as any application's. */
const statement = fc.oneof(
  fc
    .tuple(number, word)
    .map(([id, value]) => `insert into kv (id, value) values (${id}, '${value}')`),
  word.map((value) => `insert into kv (value) values ('${value}')`),
  fc.tuple(number, word).map(([id, value]) => `update kv set value = '${value}' where id = ${id}`),
  number.map((id) => `update kv set n = n + ${id} where id <= ${id}`),
  number.map((id) => `delete from kv where id = ${id}`),
  fc
    .tuple(number, word)
    .map(([id, name]) => `insert or replace into tag values ('${name}', ${id})`),
  word.map((name) => `delete from tag where name = '${name}'`),
  fc
    .tuple(number, word)
    .map(([id, name]) => `insert into seat (holder, kv) values ('${name}', ${id})`),
  fc.tuple(number, word).map(([id, name]) => `update seat set holder = '${name}' where id = ${id}`),
  fc.constant('delete from seat where kv is null'),
)
const group = fc.nat(2)
const step = fc.oneof(
  {
    weight: 20,
    arbitrary: fc.record({
      kind: fc.constant('write' as const),
      group,
      skew: fc.nat(40),
      programs: fc.array(fc.array(statement, { minLength: 1, maxLength: 3 }), {
        minLength: 1,
        maxLength: 3,
      }),
    }),
  },
  {
    weight: 8,
    arbitrary: fc.record({
      kind: fc.constant('ship' as const),
      group,
      to: group,
      most: fc.nat(5),
      later: fc.boolean(),
    }),
  },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('restart' as const), group }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('fail' as const), group }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('follow' as const), group }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('forget' as const), group }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('compact' as const) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('grow' as const) }) },
)

type Step = typeof step extends fc.Arbitrary<infer T> ? T : never

/** A group: who leads it, who follows, and what of its log is known to be committed. */
class Group {
  readonly cleanup: Cleanup
  leader: Replica
  follower: Replica
  committed: number

  constructor(cleanup: Cleanup, leader: Replica) {
    this.cleanup = cleanup
    this.leader = leader
    this.follower = followerOf(cleanup, leader, 'follower')
    this.committed = leader.log.last.index
  }

  commit(): void {
    this.follower.follow(this.leader)
    this.committed = this.leader.log.last.index
  }

  /** The leader goes, and with it what only it had. */
  fail(): void {
    const { leader, follower } = this
    leader.truncate(this.committed)
    if (follower.log.last.index < this.committed)
      throw new Error('a majority lacks what is committed')
    this.leader = follower
    this.follower = leader
    follower.at = leader.at
    follower.applyAll()
  }
}

class World {
  readonly groups: readonly Group[]
  #columns = 0
  /** Then a leader may remember some deletes for longer than its follower. */
  #compacted = false

  constructor(cleanup: Cleanup) {
    const replicas = startOrigins(cleanup, folderOf(cleanup), 3, SCHEMA)
    this.groups = replicas.map((replica) => new Group(cleanup, replica))
  }

  run(one: Step): void {
    switch (one.kind) {
      case 'write': {
        const { leader } = this.#group(one.group)
        leader.at += one.skew
        leader.executePrograms(one.programs.map((sqls) => program(...sqls)))
        break
      }
      case 'ship':
        if (one.group !== one.to) this.#ship(this.#group(one.group), this.#group(one.to), one)
        break
      case 'restart':
        this.#group(one.group).leader.reopen()
        break
      case 'fail':
        this.#group(one.group).fail()
        break
      case 'follow':
        this.#group(one.group).commit()
        break
      case 'forget':
        this.#forget(this.#group(one.group))
        break
      case 'compact':
        this.#compacted = true
        this.shipAll()
        for (const { leader } of this.groups) {
          leader.send({ kind: 'compact', ticket: 0, to: leader.log.applied })
        }
        break
      case 'grow':
        this.#grow()
        break
    }
  }

  #group(at: number): Group {
    const group = this.groups[at]
    assert.ok(group !== undefined)
    return group
  }

  #ship(from: Group, to: Group, how: { readonly most: number; readonly later: boolean }): void {
    from.commit()
    const entries = lacking(from.leader, to.leader, how.most + 1)
    if (entries.length === 0) return
    // A leader that must wait for its merges has others' entries in its log which it has not applied.
    logMerge(
      to.leader,
      entries.map((entry) => ({ kind: 'take', entry, apply: !how.later })),
    )
    to.leader.applyAll()
    if (how.later) {
      logMerge(
        to.leader,
        entries.map(({ origin, sequence }) => ({ kind: 'apply', origin, sequence })),
      )
      to.leader.applyAll()
    }
    to.commit()
  }

  #forget(group: Group): void {
    group.commit()
    const { latest } = exchangeOf(group.leader)
    if (latest.length < 3) return
    forget(group.leader, Math.min(...latest.map(({ time }) => time)))
    group.commit()
  }

  /** Adding to the schema needs nobody's consent; the rows of others may be of a time before it. */
  #grow(): void {
    this.#columns += 1
    const { leader } = this.#group(0)
    leader.must(`alter table kv add column c${this.#columns} default ${this.#columns}`)
    leader.must(`update kv set c${this.#columns} = n where id = 1`)
    this.#group(0).commit()
  }

  shipAll(): void {
    for (let moved = 1; moved > 0; ) {
      moved = 0
      for (const from of this.groups) {
        from.commit()
        for (const to of this.groups) {
          if (from !== to) moved += ship(from.leader, to.leader)
          to.commit()
        }
      }
    }
  }

  check(): void {
    this.shipAll()
    // What is in the log only is put into the tables then.
    for (const replica of this.groups.flatMap(({ leader, follower }) => [leader, follower]))
      replica.send({ kind: 'compact', ticket: 0, to: replica.log.applied })
    const [first, ...others] = this.groups.flatMap(({ leader, follower }) => [leader, follower])
    assert.ok(first !== undefined)
    for (const { leader, follower } of this.groups) {
      const deleted = this.#compacted ? [] : ['select * from _quorate_deleted']
      for (const sql of [...OF_A_GROUP, ...deleted])
        assert.deepEqual(follower.query(sql), leader.query(sql), sql)
    }
    const expected = contentOf(first)
    for (const other of others) assert.deepEqual(contentOf(other), expected)
    for (const word of ['red', 'green', 'blue']) {
      const sql = `select rowid from search where search match '${word}'`
      const found = first.query(`select id from kv where value = '${word}' order by id`)
      for (const each of [first, ...others]) {
        assert.deepEqual(each.query(sql).flat().toSorted(byNumber), found.flat())
      }
    }
    assert.deepEqual(first.query('pragma foreign_key_check'), [])
    assert.deepEqual(first.query('pragma integrity_check'), [['ok']])
  }
}

/** What the replicas of one group have alike, and groups need not. */
const OF_A_GROUP = [
  'select name, seq from sqlite_sequence order by name',
  'select * from _quorate_transactions',
  'select origin, max(sequence), time from _quorate_entries group by origin',
  "select key, value from _quorate_state where key in ('self', 'origins', 'held', 'stable')",
]

const byNumber = (a: unknown, b: unknown) => Number(a) - Number(b)

/** Without the index's own tables, and numbers that are a group's own. */
function contentOf(replica: Replica): Readonly<Record<string, unknown>> {
  const all = Object.entries(replica.content())
  return Object.fromEntries(
    all.filter(([name]) => !name.startsWith('search') && name !== 'sqlite_sequence'),
  )
}

function runHistory(steps: readonly Step[]): void {
  const ends: (() => void)[] = []
  const world = new World({ after: (end) => ends.unshift(end) })
  try {
    for (const one of steps) world.run(one)
    world.check()
  } finally {
    for (const end of ends) end()
  }
}

/** What the long form is told; without, it is what CI runs. */
const { QUORATE_SEED: seed = CI_SEED, QUORATE_RUNS: runs = 6 } = process.env

test('whatever happens on the way, all groups end with the same', () => {
  const steps = fc.array(step, { minLength: 15, maxLength: 50 })
  fc.assert(
    fc.property(steps, (list) => runHistory(list)),
    { seed: Number(seed), numRuns: Number(runs), endOnFailure: true },
  )
})
