import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { after, test } from 'node:test'
import { inspect } from 'node:util'
import fc from 'fast-check'
import type { Column, Condition, Program, Step, StepResult, Value } from '../../model/program.ts'
import type { CursorEntry } from '../../model/request.ts'
import { type CursorReply, Reader } from './reader.ts'

const folder = mkdtempSync(join(tmpdir(), 'quorate-cursor-'))
const path = join(folder, 'shop.db')
const writer = new DatabaseSync(path)
writer.exec(`
  pragma journal_mode = wal;
  create table _quorate_state (key text primary key, value) without rowid;
  insert into _quorate_state values ('applied', 7);
  create table item (id integer primary key, name text);
  with recursive n (i) as (select 1 union all select i + 1 from n where i < 500)
    insert into item select i, 'item ' || i from n;
`)
const reader = new Reader(path)

after(() => {
  reader.close()
  writer.close()
  rmSync(folder, { recursive: true })
})

type Chunk = Extract<CursorReply, { kind: 'chunk' }>

function chunk(reply: CursorReply): Chunk {
  assert.ok(reply.kind === 'chunk', inspect(reply))
  return reply
}

const program = (...sqls: readonly string[]): Program => ({
  atomic: false,
  steps: sqls.map((sql) => ({ statement: { sql } })),
})

const ENDLESS = 'with recursive n (i) as (select 1 union all select i + 1 from n) select i from n'

/** All entries, fetched chunk by chunk. */
function pull(of: Reader, cursor: number, asked: Program, chunkBytes: number): CursorEntry[] {
  let reply = chunk(of.open({ cursor, program: asked, chunkBytes, keep: false }))
  const entries = [...reply.entries]
  while (!reply.done) {
    assert.equal(reply.cursor, cursor)
    reply = chunk(of.fetch({ cursor, program: null, chunkBytes }))
    entries.push(...reply.entries)
  }
  assert.equal(reply.cursor, null)
  return entries
}

/** The results that the entries tell of. */
function together(entries: readonly CursorEntry[], steps: number): StepResult[] {
  const results = new Array<StepResult>(steps).fill(null)
  let columns: readonly Column[] = []
  let rows: (readonly Value[])[] = []
  for (const entry of entries) {
    if (entry.kind === 'begin') [columns, rows] = [entry.columns, []]
    else if (entry.kind === 'rows') rows.push(...entry.rows)
    else if (entry.kind === 'error') results[entry.step] = { error: entry.error }
    else results[entry.step] = { ok: { columns, rows, changes: 0, lastInsertRowid: null } }
  }
  return results
}

test('piece by piece a program gives what it gives as a whole', () => {
  const sql = fc.constantFrom(
    'select * from item order by id limit 40',
    'select name from item where id > 480',
    'select 1 where 0',
    'select nothing',
    'selec',
    "select json('{') from item",
    'select case when id = 30 then abs(-9223372036854775808) else id end from item',
    ...['begin', 'commit', 'rollback', 'values (1), (2)', 'explain select 1'],
  )
  const leaf = fc.oneof(
    fc.nat(3).map((step): Condition => ({ kind: 'ok', step })),
    fc.nat(3).map((step): Condition => ({ kind: 'error', step })),
    fc.constant<Condition>({ kind: 'autocommit' }),
  )
  const condition = fc.oneof(
    leaf,
    leaf.map((inner): Condition => ({ kind: 'not', condition: inner })),
  )
  const step = fc
    .record({ sql, wantRows: fc.boolean(), condition: fc.option(condition) })
    .map(({ sql: text, wantRows, condition: when }): Step => {
      const statement = { sql: text, wantRows }
      return when === null ? { statement } : { statement, condition: when }
    })
  const programs = fc.record({ atomic: fc.boolean(), steps: fc.array(step, { maxLength: 5 }) })
  let cursor = 0
  let read = 0
  const property = fc.property(programs, fc.nat(3000), (asked, chunkBytes) => {
    cursor += 1
    const whole = reader.read(asked)
    if (whole.kind !== 'rows') {
      const opened = reader.open({ cursor, program: asked, chunkBytes, keep: false })
      assert.deepEqual(opened, whole)
      return
    }
    read += 1
    const entries = pull(reader, cursor, asked, chunkBytes)
    assert.deepEqual(together(entries, asked.steps.length), whole.result.steps)
  })
  fc.assert(property, { seed: 42, numRuns: 1000 })
  assert.ok(read > 300, `${read} programs were reads`)
  assert.equal(reader.cursors, 0)
})

test('a cursor sees one snapshot, whatever is written and read meanwhile', () => {
  const begin = {
    cursor: 1,
    program: program('select count(*) over () as n from item'),
    keep: false,
  }
  const first = chunk(reader.open({ ...begin, chunkBytes: 100 }))
  writer.exec("insert into item values (1000, 'new')")
  const count = reader.read(program('select count(*) from item'))
  assert.ok(count.kind === 'rows')
  assert.deepEqual((count.result.steps[0] as { ok: { rows: unknown } }).ok.rows, [[501n]])
  const next = chunk(reader.fetch({ cursor: 1, program: null, chunkBytes: 1_000_000 }))
  assert.deepEqual([first.done, next.done, next.cursor], [false, true, null])
  const seen = [...first.entries, ...next.entries].flatMap((e) => (e.kind === 'rows' ? e.rows : []))
  assert.deepEqual([seen.length, seen[499]], [500, [500n]])
  writer.exec('delete from item where id = 1000')
})

test('a query that failed in a cursor is as new for the next', () => {
  const sql = 'select abs(?) as n'
  const asked = (n: bigint): Program => ({
    atomic: false,
    steps: [{ statement: { sql, args: [n] } }],
  })
  for (let round = 0; round < 2; round += 1) {
    const [, failed] = pull(reader, 70 + round, asked(-(2n ** 63n)), 1_000)
    assert.equal(failed?.kind, 'error', inspect(failed))
    const [, rows] = pull(reader, 80 + round, asked(-5n), 1_000)
    assert.deepEqual(rows, { kind: 'rows', rows: [[5n]] })
  }
})

test('a kept cursor is a transaction that reads, until COMMIT or ROLLBACK', () => {
  const begin = { cursor: 2, chunkBytes: 10_000, keep: true }
  const opened = chunk(reader.open({ ...begin, program: program('begin', 'select 1') }))
  assert.deepEqual([opened.done, opened.cursor], [true, 2])
  writer.exec("insert into item values (1000, 'new')")
  const run = (...sqls: readonly string[]): StepResult[] => {
    const reply = chunk(reader.fetch({ cursor: 2, program: program(...sqls), chunkBytes: 10_000 }))
    return together(reply.entries, sqls.length)
  }
  const [count, write, again] = run('select count(*) from item', 'delete from item', 'begin')
  assert.deepEqual(count && 'ok' in count && count.ok.rows, [[500n]])
  assert.equal(write && 'error' in write && write.error.facts?.sqlite, 'SQLITE_READONLY')
  assert.match(inspect(again), /within a transaction/)
  // What is left of an endless one is forgotten.
  chunk(reader.fetch({ cursor: 2, program: program(ENDLESS), chunkBytes: 100 }))
  assert.equal(run('select 5').length, 1)
  const ended = chunk(reader.fetch({ cursor: 2, program: program('commit'), chunkBytes: 100 }))
  assert.equal(ended.cursor, null)
  assert.equal(reader.fetch({ cursor: 2, program: null, chunkBytes: 1 }).kind, 'failed')
  writer.exec('delete from item where id = 1000')
})

test('an endless statement is let go of, and the snapshot with it', () => {
  const begin = { program: program(ENDLESS), chunkBytes: 1000, keep: false }
  chunk(reader.open({ cursor: 3, ...begin }))
  assert.ok(chunk(reader.fetch({ cursor: 3, program: null, chunkBytes: 1000 })).entries.length > 0)
  assert.equal(reader.open({ cursor: 3, ...begin }).kind, 'failed', 'it is open already')
  reader.closeCursor(3)
  assert.equal(reader.cursors, 0)
  const [busy] = writer.prepare('pragma wal_checkpoint(truncate)').all()
  assert.equal(busy?.['busy'], 0, 'nothing keeps the WAL')
})

test('cursors are bounded, and a chunk ends when it is enough', () => {
  let rows = 0
  const enough = (): boolean => {
    rows += 1
    return rows >= 10
  }
  const few = new Reader(path, { cursorsMax: 1, enough })
  const begin = { program: program(ENDLESS), chunkBytes: 1_000_000, keep: false }
  const first = chunk(few.open({ cursor: 1, ...begin }))
  const counted = first.entries.flatMap((entry) => (entry.kind === 'rows' ? entry.rows : []))
  assert.ok(counted.length < 10, `${counted.length} rows`)
  const second = few.open({ cursor: 2, ...begin })
  assert.equal(second.kind === 'failed' && second.error.code, 'OVERLOADED')
  few.closeCursor(1)
  chunk(few.open({ cursor: 3, ...begin }))
  few.close()
})

test('rows that are not streamed have a limit', () => {
  const asked = { ...program('select 1', ENDLESS, 'select 2'), resultBytesMax: 100_000 }
  const reply = reader.read(asked)
  assert.ok(reply.kind === 'rows')
  const [before, endless, next] = reply.result.steps
  assert.ok(before && 'ok' in before && next && 'error' in next)
  assert.equal(endless && 'error' in endless && endless.error.code, 'RESPONSE_TOO_LARGE')
})
