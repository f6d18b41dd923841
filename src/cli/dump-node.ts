/**
 * Dumps a node's database, or a file, as SQL. A node's comes as a snapshot, one moment of it, which
 * is kept beside the system's other temporary files until it is written out.
 */
import { accessSync, constants, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { QuorateError } from '../base/errors.ts'
import { connect } from '../client/index.ts'
import type { ReadLevel } from '../model/request.ts'
import { type DumpOptions, dumpSql } from '../store/dump/dump.ts'
import type { Target } from './node-client.ts'
import { fetchSnapshot } from './snapshot-file.ts'

/** Pieces are gathered to about this many characters before they are written. */
const PIECE = 256 * 1024

/**
 * Dumps the first node that answers.
 *
 * @param options `read`: what it may miss; `strong` waits until it has everything acknowledged
 */
export async function dumpNode(
  target: Target,
  options: DumpOptions & { readonly read: ReadLevel },
  write: (text: string) => Promise<void>,
): Promise<void> {
  const dir = mkdtempSync(join(tmpdir(), 'quorate-dump-'))
  try {
    const [url] = target.urls
    if (options.read !== 'local' && url !== undefined) {
      // The snapshot is taken of what this very node has applied, so this one must have it all.
      const token = target.token === null ? {} : { token: target.token }
      await using db = connect(url, { discover: false, timeoutMs: 30_000, ...token })
      await db.query('select 1', [], { read: options.read })
    }
    const file = join(dir, 'snapshot.db')
    await fetchSnapshot(target, file)
    await dumpFile(file, options, write)
  } finally {
    rmSync(dir, { recursive: true, force: true })
  }
}

/** Dumps a file as it is at this moment, also while a node or another process writes to it. */
export async function dumpFile(
  file: string,
  options: DumpOptions,
  write: (text: string) => Promise<void>,
): Promise<void> {
  const db = openToRead(file)
  try {
    db.exec('begin')
    let pieces: string[] = []
    let length = 0
    for (const piece of dumpSql(db, options)) {
      pieces.push(piece)
      length += piece.length
      if (length < PIECE) continue
      await write(pieces.join(''))
      pieces = []
      length = 0
    }
    await write(pieces.join(''))
  } finally {
    db.close()
  }
}

/**
 * A connection that may write leaves nothing beside the file when it is closed; one that may not
 * leaves what WAL mode needs. So the latter is for files that can't be written to.
 */
function openToRead(file: string): DatabaseSync {
  const writable = isWritable(file)
  const db = new DatabaseSync(file, { readOnly: !writable, timeout: 5_000 })
  try {
    db.exec('pragma query_only = on; select 1 from sqlite_schema')
    return db
  } catch (cause) {
    db.close()
    const text = cause instanceof Error ? cause.message : String(cause)
    throw new QuorateError('BAD_USAGE', `${file} can't be read: ${text}.`, {}, { cause })
  }
}

function isWritable(file: string): boolean {
  try {
    accessSync(file, constants.W_OK)
    return true
  } catch {
    return false
  }
}
