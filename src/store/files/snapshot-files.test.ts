import { deepEqual, equal, match, ok } from 'node:assert/strict'
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { test } from 'node:test'
import type { SnapshotFile, SnapshotPort } from '../../node/ports.ts'
import { verifyDatabase } from '../checksum.ts'
import { copyLive, digestFile } from './snapshot-copy.ts'
import { SnapshotFiles } from './snapshot-files.ts'

/** A live database of a few MiB with a log, and two folders of snapshots: sender's, receiver's. */
function setUp(t: { after: (clean: () => void) => void }) {
  const folder = mkdtempSync(join(tmpdir(), 'quorate-snapshot-'))
  const live = join(folder, 'live.db')
  const db = new DatabaseSync(live)
  db.exec(`pragma journal_mode = wal; pragma wal_autocheckpoint = 0;
    create table _quorate_log (idx integer primary key, term integer);
    create table _quorate_state (key text primary key, value);
    insert into _quorate_state values ('applied', 41), ('baseIndex', 40), ('baseTerm', 2);
    insert into _quorate_log values (41, 3), (42, 5);
    create table item (id integer primary key, v blob);
    with recursive n(i) as (select 1 union all select i + 1 from n where i < 3000)
    insert into item select i, randomblob(1000) from n`)
  t.after(() => {
    db.close()
    rmSync(folder, { recursive: true })
  })
  const work = { copy: (path: string) => copyLive(live, path, () => {}), digest: digestFile }
  const openAs = (name: string): SnapshotPort & SnapshotFiles =>
    new SnapshotFiles(join(folder, name), work)
  return { folder, live, db, openAs }
}

const create = (port: SnapshotPort): Promise<SnapshotFile> =>
  new Promise((done, fail) => {
    port.create((reply) => ('code' in reply ? fail(new Error(reply.detail)) : done(reply)))
  })
const read = (port: SnapshotPort, snapshot: string, offset: number) =>
  new Promise<Uint8Array>((done, fail) => {
    port.readChunk(snapshot, offset, (reply) => {
      if ('code' in reply) fail(new Error(reply.detail))
      else done(reply)
    })
  })
const write = (port: SnapshotPort, snapshot: string, offset: number, data: Uint8Array) =>
  new Promise((done) => port.writeChunk(snapshot, offset, data, done))
const resume = (port: SnapshotPort, { snapshot, digest }: SnapshotFile) =>
  new Promise<number>((done) => port.resumeAt(snapshot, digest, done))
const finish = (port: SnapshotPort, { snapshot, bytes, digest }: SnapshotFile) =>
  new Promise<{ path?: string; detail?: string }>((done) =>
    port.finish(snapshot, bytes, digest, done),
  )

test('a snapshot is one moment of the database though writes go on, and one clean file', async (t) => {
  const { folder, live, db } = setUp(t)
  const target = join(folder, 'copy.db')
  let steps = 0
  const copied = await copyLive(live, target, () => {
    steps += 1
    db.exec('delete from item where id % 7 = 0; update item set v = randomblob(900)')
    db.exec(`insert into _quorate_log values (${100 + steps}, 6)`)
  })
  ok(steps >= 2, `${steps} steps`)
  deepEqual(copied.last, { term: 5, index: 42 })
  const bytes = readFileSync(target)
  equal(copied.bytes, bytes.length)
  ok(!existsSync(`${target}-wal`) && !existsSync(`${target}-journal`))
  const copy = new DatabaseSync(target)
  equal(copy.prepare('select count(*) as n from item').get()?.['n'], 3000)
  deepEqual(verifyDatabase(copy).problems, [])
  copy.close()
  deepEqual(readFileSync(target), bytes, 'reading it changes nothing')
})

test('an empty log says the entry that it is based on', async (t) => {
  const { folder, live, db } = setUp(t)
  db.exec('delete from _quorate_log')
  deepEqual((await copyLive(live, join(folder, 'a.db'))).last, { term: 2, index: 40 })
  db.exec('drop table _quorate_log; drop table _quorate_state')
  deepEqual((await copyLive(live, join(folder, 'b.db'))).last, { term: 0, index: 0 })
})

test('it travels in pieces, survives a restart of the receiver, and arrives equal', async (t) => {
  const { folder, openAs } = setUp(t)
  const sender = openAs('sender')
  const made = await create(sender)
  let receiver = openAs('receiver')
  equal(await resume(receiver, made), 0)
  let offset = 0
  for (let piece = 0; ; piece += 1) {
    const data = await read(sender, made.snapshot, offset)
    if (data.length === 0) break
    equal(await write(receiver, made.snapshot, offset, data), null)
    offset += data.length
    if (piece === 2) {
      receiver = openAs('receiver')
      equal(await resume(receiver, made), offset)
    }
  }
  equal(offset, made.bytes)
  const { path = '' } = await finish(receiver, made)
  equal((await digestFile(path)).digest, made.digest)
  deepEqual(readdirSync(join(folder, 'receiver', 'snapshots')), [`${made.snapshot}.db`])
  sender.release(made.snapshot)
  openAs('receiver')
  deepEqual(readdirSync(join(folder, 'receiver', 'snapshots')), [], 'left-overs go at the start')
})

test('pieces out of place, damage and strange names are refused', async (t) => {
  const { openAs } = setUp(t)
  const port = openAs('x')
  const file = { snapshot: 's1', bytes: 4, digest: 'd', last: { term: 0, index: 0 } } as unknown
  const offer = file as SnapshotFile
  equal(await resume(port, offer), 0)
  equal(await write(port, 's1', 0, new Uint8Array(4)), null)
  match(JSON.stringify(await write(port, 's1', 3, new Uint8Array(4))), /begins at 3, 4 bytes/)
  equal(await resume(port, offer), 4)
  match(JSON.stringify(await finish(port, offer)), /arrived damaged/)
  equal(await resume(port, offer), 0, 'what was damaged is gone')
  await write(port, 's1', 0, new Uint8Array(4))
  equal(await resume(port, { ...offer, digest: 'other' }), 0, 'another file of that name')
  for (const name of ['../../etc/passwd', '', 'a/b', 'x'.repeat(65)]) {
    match(JSON.stringify(await write(port, name, 0, new Uint8Array(1))), /BAD_REQUEST/)
    await read(port, name, 0).then(
      () => ok(false),
      (error: Error) => match(error.message, /letters/),
    )
  }
  await read(port, 'none', 0).catch((error: Error) => match(error.message, /no snapshot none/))
})
