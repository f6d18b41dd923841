import { deepEqual, equal, ok } from 'node:assert/strict'
import { mkdtempSync, renameSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { after, test } from 'node:test'
import { inspect } from 'node:util'
import type { ErrorData } from '../../base/errors.ts'
import type { CursorReply, ReaderPort, ReadReply } from '../../node/ports.ts'
import type { Verified } from '../types.ts'
import { openReaders } from './reader-port.ts'

const folder = mkdtempSync(join(tmpdir(), 'quorate-readers-'))
after(() => rmSync(folder, { recursive: true }))

function makeFile(name: string, value: number): string {
  const path = join(folder, name)
  const db = new DatabaseSync(path)
  db.exec(`create table _quorate_state (key text primary key, value);
    insert into _quorate_state values ('applied', ${value});
    create table t (id integer primary key, v); insert into t values (1, ${value})`)
  db.close()
  return path
}

const read = (port: ReaderPort, sql: string, timeoutMs = 20_000): Promise<ReadReply> =>
  new Promise((done) => {
    port.read({ atomic: true, steps: [{ statement: { sql } }] }, timeoutMs, done)
  })

function firstValue(reply: ReadReply): unknown {
  const step = reply.kind === 'rows' ? reply.result.steps[0] : null
  return step && 'ok' in step ? step.ok.rows[0]?.[0] : reply
}

/** Runs for as long as it is let; a second or so, so that the test's process can end. */
const slow = (rows: number): string =>
  `with recursive n(i) as (select 1 union all select i + 1 from n where i < ${rows})
   select count(*) from n`

test('reads are answered, each with its own rows', async () => {
  const { port, close } = await openReaders({ path: makeFile('a.db', 7) })
  const wanted = Array.from({ length: 300 }, (_, i) => BigInt(i))
  const replies = await Promise.all(wanted.map((i) => read(port, `select ${i} + v - 7 from t`)))
  deepEqual(replies.map(firstValue), wanted)
  ok(replies.every((reply) => reply.kind === 'rows' && reply.applied === 7))
  equal((await read(port, 'delete from t')).kind, 'notRead')
  await close()
  equal((await read(port, 'select 1')).kind, 'failed')
})

test('a slow statement holds up nobody else', async () => {
  const { port, close } = await openReaders({ path: makeFile('b.db', 1) })
  await Promise.all([read(port, 'select 1'), read(port, 'select 1')])
  const order: string[] = []
  const long = read(port, slow(3_000_000)).then((reply) => {
    order.push('slow')
    return reply
  })
  const quick = Array.from({ length: 20 }, () => read(port, 'select v from t'))
  equal((await Promise.all(quick)).filter((reply) => firstValue(reply) === 1n).length, 20)
  order.push('quick')
  equal(firstValue(await long), 3_000_000n)
  deepEqual(order, ['quick', 'slow'])
  await close()
})

test('a read over its time gets DEADLINE, and its thread a successor', async () => {
  const { port, close } = await openReaders({ path: makeFile('c.db', 1) })
  await Promise.all([read(port, 'select 1'), read(port, 'select 1')])
  const late = await Promise.all([1, 2].map(() => read(port, slow(4_000_000), 50)))
  for (const reply of late) equal(reply.kind === 'failed' && reply.error.code, 'DEADLINE')
  equal(firstValue(await read(port, 'select v from t')), 1n)
  await close()
})

test('closing waits for no statement, and tells how many still run', async () => {
  const readers = await openReaders({ path: makeFile('k.db', 1) })
  await Promise.all([read(readers.port, 'select 1'), read(readers.port, 'select 1')])
  equal(readers.running, 0)
  const late = await read(readers.port, slow(4_000_000), 50)
  equal(late.kind === 'failed' && late.error.code, 'DEADLINE')
  const cut = read(readers.port, slow(4_000_000))
  await readers.close()
  equal(readers.running, 2)
  equal((await cut).kind, 'failed')
})

test('after reopening the file that is there now is read', async () => {
  const path = makeFile('d.db', 1)
  const { port, close } = await openReaders({ path })
  equal(firstValue(await read(port, 'select v from t')), 1n)
  renameSync(makeFile('e.db', 2), path)
  port.reopen()
  equal(firstValue(await read(port, 'select v from t')), 2n)
  await close()
})

test('verifying tells the pinned position first, then the checksums of just that state', async () => {
  const path = makeFile('f.db', 5)
  const db = new DatabaseSync(path)
  db.exec('pragma journal_mode = wal')
  const { port, close } = await openReaders({ path })
  const verify = (pinned: (applied: number) => void) =>
    new Promise<Verified | ErrorData>((done) => port.verify(pinned, done))
  const first = await verify((applied) => {
    equal(applied, 5)
    db.exec('update t set v = 9; update _quorate_state set value = 6')
  })
  const second = await verify((applied) => equal(applied, 6))
  ok('tables' in first && 'tables' in second)
  ok(first.index <= second.index && first.tables['schema'] === second.tables['schema'])
  equal(first.index, 5)
  ok(first.tables['t'] !== second.tables['t'])
  db.close()
  rmSync(path)
  const failed = await verify(() => ok(false))
  ok('code' in failed)
  await close()
})

const ENDLESS = 'with recursive n (i) as (select 1 union all select i + 1 from n) select i from n'

function openCursor(port: ReaderPort, sql: string, chunkBytes = 10_000): Promise<CursorReply> {
  const program = { atomic: false, steps: [{ statement: { sql } }] }
  return new Promise((done) => {
    port.openCursor({ program, chunkBytes, keep: false }, 20_000, done)
  })
}

const fetchCursor = (port: ReaderPort, cursor: number, timeoutMs = 20_000): Promise<CursorReply> =>
  new Promise((done) => {
    port.fetchCursor({ cursor, program: null, chunkBytes: 10_000 }, timeoutMs, done)
  })

function cursorOf(reply: CursorReply): number {
  ok(reply.kind === 'chunk' && reply.cursor !== null, inspect(reply))
  return reply.cursor
}

const codeOf = (reply: CursorReply): unknown => (reply.kind === 'failed' ? reply.error.code : reply)

test('cursors on several threads give their rows in order beside other reads', async (t) => {
  const { port, close } = await openReaders({ path: makeFile('g.db', 1) })
  t.after(close)
  const sum = async (last: number): Promise<bigint> => {
    let reply = await openCursor(port, `${ENDLESS} limit ${last}`)
    let total = 0n
    for (;;) {
      ok(reply.kind === 'chunk', inspect(reply))
      for (const entry of reply.entries) {
        if (entry.kind === 'rows') for (const [i] of entry.rows) total += i as bigint
      }
      if (reply.cursor === null) return total
      reply = await fetchCursor(port, reply.cursor)
    }
  }
  const lasts = [10, 5_000, 5_001, 9_999]
  const [value, ...sums] = await Promise.all([read(port, 'select v from t'), ...lasts.map(sum)])
  equal(firstValue(value as ReadReply), 1n)
  deepEqual(
    sums,
    lasts.map((last) => (BigInt(last) * BigInt(last + 1)) / 2n),
  )
  equal((await openCursor(port, 'delete from t')).kind, 'notRead')
})

test('a cursor that was closed is gone, and what it held is free', async (t) => {
  const path = makeFile('h.db', 1)
  const db = new DatabaseSync(path)
  db.exec('pragma journal_mode = wal')
  const { port, close } = await openReaders({ path })
  t.after(close)
  const cursors = await Promise.all(
    [1, 2, 3].map(async () => cursorOf(await openCursor(port, ENDLESS))),
  )
  db.exec('update t set v = 2')
  for (const cursor of cursors) port.closeCursor(cursor)
  for (const cursor of cursors) equal(codeOf(await fetchCursor(port, cursor)), 'CURSOR_CLOSED')
  // The threads hear of it a little later.
  const busy = (): unknown => db.prepare('pragma wal_checkpoint(truncate)').get()?.['busy']
  while (busy() !== 0) await read(port, 'select v from t')
  db.close()
})

test('a fetch over its time takes its thread down, and with it only the cursors there', async (t) => {
  const { port, close } = await openReaders({ path: makeFile('i.db', 1) })
  t.after(close)
  const silent = `${ENDLESS.replace('select i from n', 'select i from n where i = 1 or i > 4000000')}`
  const stuck = cursorOf(await openCursor(port, silent, 1))
  const others = await Promise.all(
    [1, 2].map(async () => cursorOf(await openCursor(port, ENDLESS))),
  )
  equal(codeOf(await fetchCursor(port, stuck, 50)), 'DEADLINE')
  equal(codeOf(await fetchCursor(port, stuck)), 'CURSOR_CLOSED')
  const left = await Promise.all(others.map((cursor) => fetchCursor(port, cursor)))
  ok(
    left.some((reply) => reply.kind === 'chunk'),
    inspect(left),
  )
  cursorOf(await openCursor(port, ENDLESS))
})
