/**
 * Keeps a second node off a database that one is serving: SQLite itself lets many processes open a
 * file. The lock is SQLite's own, on a file beside the database, so it ends with the process,
 * however that ends.
 */
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { QuorateError } from '../../base/errors.ts'

export interface FileLock {
  release(): void
}

/**
 * Takes the lock of a database's folder.
 *
 * @param folder see openFolder
 * @throws QuorateError FILE_IN_USE
 */
export function lockFolder(folder: string): FileLock {
  const db = new DatabaseSync(join(folder, 'lock'), { timeout: 0 })
  try {
    db.exec('pragma journal_mode = memory; begin exclusive')
  } catch (cause) {
    db.close()
    const detail = `Another node has ${folder.replace(/-quorate$/, '')} open.`
    throw new QuorateError('FILE_IN_USE', detail, {}, { cause })
  }
  return { release: () => db.close() }
}
