/** Turns a node's file into a SQLite file like any other. */
import { DatabaseSync } from 'node:sqlite'

/**
 * Removes Quorate's own tables and the write-ahead mode from a file that no node has open. What is
 * left is one file that any tool opens, and that a new cluster can be founded with.
 */
export function makePlain(path: string): void {
  const db = new DatabaseSync(path, { defensive: false })
  try {
    db.exec('drop table if exists _quorate_log; drop table if exists _quorate_state')
    db.exec('pragma journal_mode = delete')
    db.exec('vacuum')
  } finally {
    db.close()
  }
}
