import { deepEqual, equal, ok, rejects } from 'node:assert/strict'
import { createHash } from 'node:crypto'
import {
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { type TestContext, test } from 'node:test'
import { verifyDatabase } from '../checksum.ts'
import { Checkpointer } from './checkpoint.ts'
import { type Frozen, freeze } from './frozen-file.ts'
import { LiveSnapshots } from './live-snapshots.ts'
import { openMaintenance } from './maintenance-port.ts'
import { digestFile } from './snapshot-copy.ts'
import { SnapshotFiles } from './snapshot-files.ts'

/** A database in use, and its snapshots, which are the file itself whatever its size. */
function setUp(t: TestContext, pageBytes = 4096) {
  const folder = mkdtempSync(join(tmpdir(), 'quorate-frozen-'))
  const path = join(folder, 'live.db')
  const db = new DatabaseSync(path)
  db.exec(`pragma page_size = ${pageBytes}; pragma journal_mode = wal; pragma wal_autocheckpoint = 0;
    create table _quorate_log (idx integer primary key, term integer);
    insert into _quorate_log values (41, 3), (42, 5);
    create table item (id integer primary key, v blob);
    with recursive n(i) as (select 1 union all select i + 1 from n where i < 2000)
    insert into item select i, randomblob(700) from n`)
  const checkpointer = new Checkpointer(path)
  let frozen: Frozen | null = null
  const work = {
    freeze: async (fd: number) => {
      frozen = await freeze(path, fd, checkpointer, 3)
      return frozen
    },
    thaw: () => frozen?.release(),
  }
  const live = new LiveSnapshots(path, work, 0)
  const copies: string[] = []
  const copying = {
    copy: async (target: string) => {
      copies.push(target)
      throw new Error('not here')
    },
    digest: digestFile,
  }
  const files = new SnapshotFiles(join(folder, 'q'), copying, live)
  t.after(() => {
    live.release()
    checkpointer.close()
    db.close()
    live.close()
    rmSync(folder, { recursive: true })
  })
  return { folder, path, db, checkpointer, files, live, copies }
}

const created = (files: SnapshotFiles) =>
  new Promise<{ snapshot: string; bytes: number; digest: string; last: unknown }>((done, fail) => {
    files.create((reply) => ('code' in reply ? fail(new Error(reply.detail)) : done(reply)))
  })

/** All of a snapshot, with work between the pieces. */
async function received(files: SnapshotFiles, snapshot: string, between: () => void) {
  const parts: Uint8Array[] = []
  for (let offset = 0; ; ) {
    const data = await new Promise<Uint8Array>((done, fail) => {
      files.readChunk(snapshot, offset, (reply) => {
        if ('code' in reply) fail(new Error(reply.detail))
        else done(reply)
      })
    })
    if (data.length === 0) return Buffer.concat(parts)
    parts.push(data)
    offset += data.length
    between()
  }
}

for (const pageBytes of [512, 4096, 65536]) {
  test(`the live file is sent as it was, pages of ${pageBytes}`, async (t) => {
    const { folder, db, files, checkpointer } = setUp(t, pageBytes)
    const before = db.prepare('select id, v from item').all()
    const made = await created(files)
    deepEqual(made.last, { term: 5, index: 42 })
    let changes = 0
    const bytes = await received(files, made.snapshot, () => {
      changes += 1
      db.exec(`update item set v = randomblob(800) where id % 3 = 0;
        insert into _quorate_log values (${100 + changes}, 9)`)
      checkpointer.copy()
    })
    ok(changes > 2)
    equal(bytes.length, made.bytes)
    const target = join(folder, 'received.db')
    writeFileSync(target, bytes)
    equal((await digestFile(target)).digest, made.digest)
    using copy = new DatabaseSync(target)
    deepEqual(copy.prepare('select id, v from item').all(), before)
    equal(copy.prepare('pragma journal_mode').get()?.['journal_mode'], 'delete')
    deepEqual(verifyDatabase(copy).problems, [])
    files.release(made.snapshot)
    const { frames, checkpointed } = checkpointer.copy()
    equal(checkpointed, frames, 'the WAL goes into the file again')
    db.exec('pragma wal_checkpoint(truncate)')
    equal(db.prepare('pragma integrity_check').get()?.['integrity_check'], 'ok')
  })
}

/**
 * This process's locks on a file, as Linux lists them: while others come and go it may list one
 * twice, under two numbers.
 */
function locksOn(path: string): readonly string[] {
  const { ino } = statSync(path)
  const lines = readFileSync('/proc/locks', 'utf8').split('\n')
  const own = lines.filter((line) => line.includes(` ${process.pid} `) && line.includes(`:${ino} `))
  return [...new Set(own.map((line) => line.slice(line.indexOf(':') + 1)))]
}

const hasLocks = existsSync('/proc/locks')

test('reading the file takes no lock away from SQLite', { skip: !hasLocks }, async (t) => {
  const { path, db, files } = setUp(t)
  db.prepare('select 1 from item').get()
  equal(locksOn(path).length, 1, 'what tells other programs that the WAL is in use')
  const made = await created(files)
  await received(files, made.snapshot, () => {})
  files.release(made.snapshot)
  equal(locksOn(path).length, 1)
})

test('a long read that is in the way is told, and then there is a copy instead', async (t) => {
  const { path, db, live, files, copies } = setUp(t)
  using reader = new DatabaseSync(path, { readOnly: true })
  reader.exec('begin; select 1 from item')
  db.exec('insert into item values (10000, null)')
  await rejects(created(files), /not here/)
  equal(copies.length, 1)
  equal(live.wanted, true)
  reader.exec('commit')
  ok(live.has((await created(files)).snapshot))
  equal(live.wanted, false, 'one at a time')
  await rejects(created(files), /not here/)
})

test('through the maintenance thread: no file is made, and the WAL moves on afterwards', async (t) => {
  const { folder, path, db } = setUp(t)
  db.exec(`create table big (v blob);
    with recursive n(i) as (select 1 union all select i + 1 from n where i < 70)
    insert into big select zeroblob(1048576) from n; pragma wal_checkpoint(truncate)`)
  const inside = join(folder, 'm')
  const finishCheckpoint = (done: () => void): void => done()
  const maintenance = await openMaintenance({ path, folder: inside, finishCheckpoint })
  t.after(() => maintenance.letGo())
  const { snapshots } = maintenance
  const made = await created(snapshots)
  db.exec('delete from item')
  const bytes = await received(snapshots, made.snapshot, () => {})
  equal(createHash('sha256').update(bytes).digest('hex'), made.digest)
  deepEqual(readdirSync(join(inside, 'snapshots')), [])
  snapshots.release(made.snapshot)
  await maintenance.close()
  const { busy, log, checkpointed } = db.prepare('pragma wal_checkpoint(passive)').get() ?? {}
  deepEqual([busy, log], [0, checkpointed])
})
