/** Makes a snapshot of the live database while it is being written. Slow: for the maintenance thread. */
import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { rm } from 'node:fs/promises'
import { backup, DatabaseSync } from 'node:sqlite'
import { type LogIndex, type Term, toLogIndex, toTerm } from '../../base/brand.ts'
import { openLive } from './live-file.ts'

/** What a copy of the database is. */
export interface CopiedDatabase {
  /** Last log entry in it; index 0 if it belongs to no cluster. */
  readonly last: { readonly term: Term; readonly index: LogIndex }
  readonly bytes: number
  /** sha256, hex. */
  readonly digest: string
}

/** Pages copied in one go: 1 MiB. */
const STEP_PAGES = 256
/** Rest after each, which lets the writer's flushes through: at most about 200 MB/s. */
const STEP_REST_MS = 5

/**
 * Copies the database as it is now into a new file and digests it. Holds a read transaction the
 * whole time: the state stays the same though others write, and the backup never starts over.
 *
 * @param rest called between two steps with the milliseconds to rest
 */
export async function copyLive(
  livePath: string,
  target: string,
  rest: (ms: number) => void = sleep,
): Promise<CopiedDatabase> {
  await rm(target, { force: true })
  const { db } = openLive(livePath, { readOnly: true, timeout: 5_000 })
  try {
    db.exec('begin; select 1 from sqlite_schema')
    await backup(db, target, { rate: STEP_PAGES, progress: () => rest(STEP_REST_MS) })
    db.exec('commit')
  } finally {
    db.close()
  }
  return { last: lastEntryOf(target), ...(await digestFile(target)) }
}

/** Blocks the thread: a backup goes on by itself as soon as its progress call returns. */
function sleep(ms: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms)
}

/** The last entry of the log in a database file that nobody else uses. */
export function lastEntryOf(path: string): CopiedDatabase['last'] {
  const db = new DatabaseSync(path)
  try {
    // A single file that is renamed into place must not need a WAL of its own to be read.
    db.exec('pragma journal_mode = delete')
    return lastEntryIn(db)
  } finally {
    db.close()
  }
}

/** The last entry of the log that a connection sees. */
export function lastEntryIn(db: DatabaseSync): CopiedDatabase['last'] {
  const there = "select 1 from sqlite_schema where name = '_quorate_log'"
  if (db.prepare(there).get() === undefined) return { term: toTerm(0), index: toLogIndex(0) }
  const last = 'select term, idx from _quorate_log order by idx desc limit 1'
  const base = `select (select value from _quorate_state where key = 'baseTerm') as term,
    (select value from _quorate_state where key = 'baseIndex') as idx`
  const row = db.prepare(last).get() ?? db.prepare(base).get()
  return { term: toTerm(Number(row?.['term'])), index: toLogIndex(Number(row?.['idx'])) }
}

/** Size and sha256 of a file. */
export async function digestFile(path: string): Promise<{ bytes: number; digest: string }> {
  const hash = createHash('sha256')
  let bytes = 0
  for await (const chunk of createReadStream(path, { highWaterMark: 256 * 1024 })) {
    hash.update(chunk)
    bytes += chunk.length
  }
  return { bytes, digest: hash.digest('hex') }
}
