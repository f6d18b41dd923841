/**
 * Opening the live database beside the store that owns it.
 *
 * A connection that opens the old file while a snapshot takes its place could share a new WAL with
 * the new file, and copy frames of one into the other. So nobody opens it then. One opened before
 * that keeps the old files, which have no names any more, and does no harm.
 */
import { statSync } from 'node:fs'
import { DatabaseSync, type DatabaseSyncOptions } from 'node:sqlite'
import { QuorateError } from '../../base/errors.ts'
import { DIALECT } from '../connections.ts'
import { isInstalling } from './snapshot-install.ts'

/** Tells one file from another that took its place under the same name. Throws if there is none. */
export function inodeOf(path: string): number {
  return statSync(path).ino
}

/** Opens the live database. Throws NOT_READY while a snapshot takes its place. */
export function openLive(
  path: string,
  options: DatabaseSyncOptions = {},
): { readonly db: DatabaseSync; readonly inode: number } {
  refuseIfInstalling(path)
  const inode = inodeOf(path)
  const db = new DatabaseSync(path, { ...DIALECT, ...options })
  try {
    // SQLite opens the files at the first read; if the plan came between, this is the wrong time.
    db.exec('select 1 from sqlite_schema')
    refuseIfInstalling(path)
    return { db, inode }
  } catch (error) {
    db.close()
    throw error
  }
}

function refuseIfInstalling(path: string): void {
  if (isInstalling(path)) {
    throw new QuorateError('NOT_READY', 'A snapshot is just taking the place of the database.')
  }
}
