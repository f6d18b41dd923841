import { deepEqual, equal, ok } from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { toLogIndex, toNodeId, toTerm } from '../../base/brand.ts'
import type { SnapshotFile, SnapshotPort, StorePort } from '../../node/ports.ts'
import { openStorePort } from '../store-port.ts'
import type { StoreCommand, StoreReply } from '../types.ts'
import { CHECKPOINT, Checkpointer, planCheckpoint } from './checkpoint.ts'
import { openFolder } from './hard-state.ts'
import { openMaintenance } from './maintenance-port.ts'

const { backlogFrames, restartFrames } = CHECKPOINT

test('the background copies a backlog, and asks the writer only for a long WAL', () => {
  const plan = (frames: number, checkpointed: number, finishedAt = 0) =>
    planCheckpoint({ frames, checkpointed }, finishedAt)
  equal(plan(0, 0), 'nothing')
  equal(plan(backlogFrames - 1, 0), 'nothing')
  equal(plan(backlogFrames, 0), 'background')
  equal(plan(restartFrames - 1, restartFrames - 10), 'nothing')
  equal(plan(restartFrames, restartFrames - 10), 'finish')
  equal(plan(restartFrames + 10, restartFrames, restartFrames), 'nothing', 'a reader holds it')
  equal(plan(restartFrames + backlogFrames, restartFrames, restartFrames), 'finish')
  equal(plan(restartFrames, 0, 3 * restartFrames), 'finish', 'the WAL has started over since')
})

const cluster = 'c1'
const node = 'a:00000001'

/** A founded store with its maintenance, in threads as in production. */
async function openNode(t: { after: (clean: () => Promise<void>) => void }) {
  const folder = mkdtempSync(join(tmpdir(), 'quorate-node-'))
  const path = join(folder, 'x.db')
  const store = await openStorePort({ path })
  const maintenance = await openMaintenance({
    path,
    folder: openFolder(path),
    finishCheckpoint: (done) => store.checkpoint(done),
    onProblem: (error) => ok(false, error.detail),
  })
  t.after(async () => {
    await maintenance.close()
    await store.close()
    rmSync(folder, { recursive: true })
  })
  const id = toNodeId(node)
  const self = { id, name: 'a', url: 'http://127.0.0.1:1', role: 'voter', priority: 1 } as const
  const members = { cluster, members: [{ ...self, wants: 'voter' as const }] }
  const base = { term: toTerm(1), index: toLogIndex(1) }
  const identity = { cluster, node }
  const reply = await run(store.port, { kind: 'found', ticket: 1, identity, base, members })
  equal(reply.kind, 'done')
  return { path, store, maintenance }
}

const run = (port: StorePort, command: StoreCommand): Promise<StoreReply> =>
  new Promise((done) => port.submit(command, done))

/** A batch of transactions that each write `bytes` of random content. */
function batch(ticket: number, sql: string, count = 1): StoreCommand {
  const program = { atomic: true, steps: [{ statement: { sql } }] }
  const programs = Array.from({ length: count }, () => program)
  return { kind: 'execute', ticket, term: toTerm(1), at: 0, programs }
}

test('entries are logged, flushed and read back through the thread', async (t) => {
  const { store } = await openNode(t)
  const flushed = new Promise<void>((done) => {
    store.port.onFlushed((ticket) => {
      if (ticket === 3) done()
    })
  })
  const created = await run(store.port, batch(2, 'create table t (id integer primary key, v)'))
  equal(created.kind, 'executed')
  await run(store.port, { kind: 'apply', to: toLogIndex(2) })
  const made = await run(store.port, batch(3, "insert into t (v) values ('x')", 5))
  await flushed
  ok(made.kind === 'executed')
  deepEqual(
    made.outcomes.map(({ index }) => index),
    [3, 3, 3, 3, 3],
  )
  const range = { from: toLogIndex(3), to: toLogIndex(3), bytesMax: 1 }
  const read = await run(store.port, { kind: 'read', ...range })
  ok(read.kind === 'entries')
  deepEqual(read.entries, made.entries)
})

test('the WAL stays bounded while writes never pause, and a snapshot is made meanwhile', async (t) => {
  const { path, store, maintenance } = await openNode(t)
  await run(store.port, batch(2, 'create table t (id integer primary key, v)'))
  await run(store.port, { kind: 'apply', to: toLogIndex(2) })
  const snapshots: SnapshotPort = maintenance.snapshots
  const snapshot = new Promise<SnapshotFile>((done, fail) => {
    snapshots.create((reply) => ('code' in reply ? fail(new Error(reply.detail)) : done(reply)))
  })
  const looker = new Checkpointer(path)
  let restarts = 0
  let last = 0
  let most = 0
  let taken = false
  void snapshot.then(() => (taken = true))
  const sql = 'insert into t (v) values (randomblob(60000))'
  // Two at a time, so that the next write is always there before the one before has ended.
  let ticket = 3
  let before = run(store.port, batch(ticket, sql, 16))
  while (restarts < 2 || !taken) {
    ticket += 1
    const next = run(store.port, batch(ticket, sql, 16))
    equal((await before).kind, 'executed')
    before = next
    const { frames } = looker.look()
    if (frames < last) restarts += 1
    last = frames
    most = Math.max(most, frames)
    ok(ticket < 600, `${restarts} restarts after ${ticket} batches, at most ${most} frames`)
  }
  await before
  looker.close()
  const { last: inIt, bytes } = await snapshot
  ok(inIt.index >= 2 && bytes > 0)
  snapshots.release((await snapshot).snapshot)
})
