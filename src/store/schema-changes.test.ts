/** Random programs with DDL among row changes: replicas follow, triggers and all. */
import assert from 'node:assert/strict'
import test from 'node:test'
import fc from 'fast-check'
import { type Prng, prngFromSeed } from '../base/prng.ts'
import { atomic, folderOf, program, Replica } from './store-fixture.ts'

const TABLES = ['t', 'u', 'v']

function statement(prng: Prng): string {
  const table = prng.pick(TABLES)
  const other = prng.pick(TABLES)
  const id = prng.intInclusive(1, 4)
  return prng.pick([
    `create table ${table} (id integer primary key autoincrement, n, name text collate nocase)`,
    `create table if not exists ${table} (id text primary key, n) without rowid`,
    `create table ${table} (id integer primary key, n references ${other} on delete cascade)`,
    `create table ${table} (a text collate nocase, n, primary key (a, n))`,
    `drop table ${table}`,
    `drop table if exists ${table}`,
    `alter table ${table} rename to ${other}`,
    `alter table ${table} add column c${id} default ${id}`,
    `alter table ${table} drop column c${id}`,
    `alter table ${table} rename column n to m`,
    `create index if not exists i${id} on ${table} (n)`,
    `drop index if exists i${id}`,
    `create trigger if not exists g${id} after insert on ${table} begin
       insert or ignore into ${other} values (new.n, 'by trigger'); end`,
    `drop trigger if exists g${id}`,
    `create view if not exists w${id} as select * from ${table}`,
    `drop view if exists w${id}`,
    `create virtual table f${id} using fts5 (body)`,
    `drop table f${id}`,
    'analyze',
    'pragma foreign_keys = off',
    'pragma user_version = 7',
    ...[1, 2, 3].flatMap((n) => [
      `insert into ${table} (n) values (${n}), (${id})`,
      `insert or replace into ${table} values (${id}, ${n})`,
      `insert or replace into ${table} values ('a', ${n}, 'B')`,
      `insert or rollback into ${table} values (${id}, 'x', 'y')`,
      `update ${table} set n = n + ${n}`,
      `update ${table} set a = upper(a)`,
      `delete from ${table} where n = ${id}`,
      `insert into f${id} values ('some words')`,
      `delete from f${id}`,
    ]),
  ])
}

function randomProgram(prng: Prng) {
  const list = Array.from({ length: prng.intInclusive(1, 8) }, () => statement(prng))
  if (prng.percent(40)) return program(...list)
  if (prng.percent(30)) return atomic(...list)
  const control = ['savepoint s', 'rollback to s', 'release s', 'commit', 'rollback', 'begin']
  return program('begin', ...list.flatMap((one) => [prng.pick(control), one]), 'commit')
}

test('property: followers equal the leader through schema changes', (t) => {
  const folder = folderOf(t)
  let runs = 0
  fc.assert(
    fc.property(fc.integer(), (seed) => {
      runs += 1
      const prng = prngFromSeed(seed)
      const leader = Replica.found(t, folder, `leader${runs}`)
      const follower = Replica.found(t, folder, `follower${runs}`)
      for (let round = 0; round < 15; round += 1) {
        let left = Array.from({ length: prng.intInclusive(1, 4) }, () => randomProgram(prng))
        while (left.length > 0) {
          const { notRun } = leader.executePrograms(left)
          if (leader.log.applied < leader.log.last.index && prng.percent(20)) {
            // A new leader that does not have it: nothing must be left of the try.
            leader.truncate(leader.log.last.index - 1)
          }
          leader.applyAll()
          left = notRun === 0 ? [] : left.slice(-notRun)
        }
        if (prng.percent(30)) leader.stream('s', 'begin', statement(prng), statement(prng))
        leader.send({ kind: 'streamEnd', stream: 's' })
        follower.append(leader.entries().slice(follower.log.last.index - 1))
        follower.applyAll()
        assert.deepEqual(follower.content(), leader.content())
      }
      assert.deepEqual(follower.query('pragma integrity_check'), [['ok']])
    }),
    {
      seed: Number(process.env['EQ_SEED'] ?? 2024),
      numRuns: Number(process.env['EQ_RUNS'] ?? 6),
    },
  )
})
