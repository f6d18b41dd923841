/**
 * A snapshot that is the live file itself: a large database is sent to a joiner without a second copy
 * of it on this disk.
 *
 * While a reader holds a transaction that began when the whole WAL was in the database file, nobody
 * may write to that file: later changes go to the WAL and stay there. So the file is the state of
 * that moment until the reader lets go. Price: the WAL grows meanwhile by all that is written.
 *
 * The file is read through a descriptor that stays open as long as SQLite has the file open in this
 * process: closing any descriptor of a file ends all of the process's locks on it (POSIX), and
 * another program could then take the WAL away. (sqlite.org/howtocorrupt.html, 2.2)
 */
import { createHash } from 'node:crypto'
import { fstatSync, read } from 'node:fs'
import type { DatabaseSync } from 'node:sqlite'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import { QuorateError } from '../../base/errors.ts'
import type { Checkpointer } from './checkpoint.ts'
import { openLive } from './live-file.ts'
import { type CopiedDatabase, lastEntryIn } from './snapshot-copy.ts'

const readAt = promisify(read)

/** How often, and after how long, to try again while readers hold back the WAL: 5 s in all. */
const FREEZE_TRIES = 50
const PAUSE_MS = 100
const PIECE_BYTES = 1024 * 1024
/** Rest after each piece, which lets the writer's flushes through. */
const REST_MS = 1
/** Where a database says that it is in WAL mode (sqlite.org/fileformat2.html, 1.3.3). */
const MODE_OFFSET = 18

/** What keeps the file as it is. */
export interface Frozen extends CopiedDatabase {
  release(): void
}

/**
 * Keeps the live file as it is from now on and digests it.
 *
 * @param fd the file, open for reading
 * @param checkpointer copies the WAL into the file
 * @param tries how often, a tenth of a second apart
 * @throws QuorateError NOT_READY if others' long reads are in the way, or the file is being replaced
 */
export async function freeze(
  livePath: string,
  fd: number,
  checkpointer: Pick<Checkpointer, 'copy'>,
  tries = FREEZE_TRIES,
): Promise<Frozen> {
  const { db, inode } = openLive(livePath, { readOnly: true, timeout: 5_000 })
  try {
    if (fstatSync(fd).ino !== inode) throw busy('The database was just replaced.')
    await hold(livePath, db, checkpointer, tries)
    const bytes = number(db, 'page_count') * number(db, 'page_size')
    const copied = { last: lastEntryIn(db), bytes, digest: await digest(fd, bytes) }
    return { ...copied, release: () => db.close() }
  } catch (error) {
    db.close()
    throw error
  }
}

/** Begins the reader's transaction at a moment when the WAL is in the file to its last frame. */
async function hold(
  livePath: string,
  db: DatabaseSync,
  checkpointer: Pick<Checkpointer, 'copy'>,
  tries: number,
): Promise<void> {
  const { db: blocker } = openLive(livePath, { timeout: 5_000 })
  try {
    for (let left = tries; left > 0; left -= 1) {
      // Most of it while others may write, so that they wait only for the rest.
      checkpointer.copy()
      blocker.exec('begin immediate')
      try {
        const { frames, checkpointed } = checkpointer.copy()
        if (frames === checkpointed) {
          db.exec('begin; select 1 from sqlite_schema')
          return
        }
      } finally {
        blocker.exec('rollback')
      }
      await sleep(PAUSE_MS)
    }
  } finally {
    blocker.close()
  }
  throw busy('Long reads keep the database file from being up to date.')
}

/**
 * Reads a piece of a frozen file as it is to arrive: not in WAL mode, because it comes alone.
 *
 * @param bytes length of the snapshot, beyond which nothing is read
 */
export async function readFrozen(
  fd: number,
  bytes: number,
  offset: number,
  length: number,
): Promise<Uint8Array> {
  const wanted = Math.max(0, Math.min(length, bytes - offset))
  const data = new Uint8Array(wanted)
  let got = 0
  while (got < wanted) {
    const { bytesRead } = await readAt(fd, data, got, wanted - got, offset + got)
    if (bytesRead === 0) throw busy('The database file is shorter than its snapshot.')
    got += bytesRead
  }
  for (const at of [MODE_OFFSET - offset, MODE_OFFSET + 1 - offset]) {
    if (at >= 0 && at < wanted) data[at] = 1
  }
  return data
}

async function digest(fd: number, bytes: number): Promise<string> {
  const hash = createHash('sha256')
  for (let offset = 0; offset < bytes; offset += PIECE_BYTES) {
    hash.update(await readFrozen(fd, bytes, offset, PIECE_BYTES))
    await sleep(REST_MS)
  }
  return hash.digest('hex')
}

function number(db: DatabaseSync, pragma: string): number {
  return Number(db.prepare(`pragma ${pragma}`).get()?.[pragma])
}

function busy(detail: string): QuorateError {
  return new QuorateError('NOT_READY', detail)
}
