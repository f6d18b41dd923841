import { deepEqual, equal, ok } from 'node:assert/strict'
import { mkdtempSync, renameSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { after, test } from 'node:test'
import type { ErrorData } from '../base/errors.ts'
import type { ReaderPort, ReadReply } from '../node/ports.ts'
import { openReaders } from './reader-port.ts'
import type { Verified } from './types.ts'

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
