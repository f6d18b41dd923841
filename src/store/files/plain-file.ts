/**
 * Turns a node's file into a SQLite file like any other. Nothing of the user's is touched: rows keep
 * their rowids, which a VACUUM would give anew, so the room that the log took stays free inside.
 */
import { existsSync, readdirSync, rmSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { QuorateError } from '../../base/errors.ts'
import { lostFolder } from '../apply/lost-file.ts'
import { quote } from '../quote.ts'
import { readFileState } from '../schema/adoption.ts'
import { isReserved } from '../schema/schema-guard.ts'
import type { FileIdentity } from '../types.ts'
import { syncDirectory } from './durable-file.ts'
import { lockFolder } from './file-lock.ts'
import { resumeInstall } from './snapshot-install.ts'

/**
 * Removes Quorate's own tables and the write-ahead mode from a file that no node has open. What is
 * left is one file that any tool opens, and that a new cluster can be founded with.
 *
 * @returns bytes inside the file that are free now
 */
export function makePlain(path: string): number {
  const db = new DatabaseSync(path, { defensive: false, timeout: 1_000 })
  try {
    // In WAL mode, too, this fails while anybody else has the file open; nothing is done then.
    db.exec('pragma locking_mode = exclusive')
    const tables = db.prepare("select name from sqlite_schema where type = 'table'").all()
    const ours = tables.map(({ name }) => String(name)).filter(isReserved)
    const drops = ours.map((name) => `drop table ${quote(name)};`)
    db.exec(`begin exclusive; ${drops.join(' ')} commit`)
    const mode = db.prepare('pragma journal_mode = delete').get()?.['journal_mode']
    if (mode !== 'delete') throw inUse(path)
    const pages = Number(db.prepare('pragma freelist_count').get()?.['freelist_count'])
    return pages * Number(db.prepare('pragma page_size').get()?.['page_size'])
  } catch (error) {
    if ((error as { errcode?: number }).errcode === 5) throw inUse(path)
    throw error
  } finally {
    db.close()
  }
}

/** What leaving its cluster means for a file. */
export interface Departure {
  /** Who the file was; null if it belongs to no cluster. */
  readonly was: FileIdentity | null
  /** Entries of its log that are not in the data, because they were not known to be committed. */
  readonly unapplied: number
  /** The folder beside it, if there is one. */
  readonly folder: string | null
  /** Files of lost transactions in there, which stay. */
  readonly lostFiles: number
}

/** Looks what detachFile() would find. Throws NOT_ADOPTABLE if the file is no database. */
export function planDeparture(path: string): Departure {
  const folder = `${path}-quorate`
  const lost = lostFolder(path)
  const { identity, unapplied } = readFileState(path)
  return {
    was: identity,
    unapplied,
    folder: existsSync(folder) ? folder : null,
    lostFiles: existsSync(lost) ? readdirSync(lost).length : 0,
  }
}

/**
 * Makes a node's file plain and removes its folder, but for lost transactions. The file goes first:
 * after a crash between the two, doing it again finishes it.
 *
 * @returns bytes inside the file that are free now
 * @throws QuorateError FILE_IN_USE if a node or another process has it open; nothing was done
 */
export function detachFile(path: string): number {
  const folder = `${path}-quorate`
  const lock = existsSync(folder) ? lockFolder(folder) : null
  try {
    resumeInstall(path)
    const free = makePlain(path)
    // What a reader of the file in WAL mode may have left means nothing any more.
    rmSync(`${path}-shm`, { force: true })
    removeFolder(path, folder)
    return free
  } finally {
    lock?.release()
  }
}

function removeFolder(path: string, folder: string): void {
  if (!existsSync(folder)) return
  const lost = lostFolder(path)
  const keepsLost = existsSync(lost) && readdirSync(lost).length > 0
  for (const name of readdirSync(folder)) {
    const inside = join(folder, name)
    if (!keepsLost || inside !== lost) rmSync(inside, { recursive: true, force: true })
  }
  if (!keepsLost) rmSync(folder, { recursive: true, force: true })
  syncDirectory(dirname(path))
}

function inUse(path: string): QuorateError {
  return new QuorateError('FILE_IN_USE', `${path} is open in another process.`)
}
