/** What the ports of a simulated node do to a database file beside the store's own connections. */
import { DatabaseSync } from 'node:sqlite'
import { crc32 } from 'node:zlib'
import { toLogIndex, toTerm } from '../base/brand.ts'
import { entryChecksum } from '../model/entry-codec.ts'
import type { Checksums } from '../model/wire.ts'
import type { SnapshotFile } from '../node/ports.ts'

/** As production gives them to the codec. */
export const checksums: Checksums = {
  crc32: (data) => crc32(data),
  entry: (entry) => entryChecksum(entry),
}

/** Moves the WAL into the file and empties it. False if somebody is in the way. */
export function checkpointFile(file: string): boolean {
  const db = new DatabaseSync(file, { timeout: 0 })
  try {
    return Number(db.prepare('pragma wal_checkpoint(truncate)').get()?.['busy']) === 0
  } finally {
    db.close()
  }
}

/** Copies the last committed state, log and all, into a file of its own. */
export function copyDatabase(from: string, to: string): SnapshotFile['last'] {
  const db = new DatabaseSync(from, { readOnly: true })
  try {
    db.prepare('vacuum into ?').run(to)
  } finally {
    db.close()
  }
  const copy = new DatabaseSync(to, { readOnly: true })
  try {
    const row = copy
      .prepare(
        `select idx, term from _quorate_log union all select
          (select value from _quorate_state where key = 'baseIndex'),
          (select value from _quorate_state where key = 'baseTerm') order by 1 desc limit 1`,
      )
      .get()
    return { index: toLogIndex(Number(row?.['idx'])), term: toTerm(Number(row?.['term'])) }
  } finally {
    copy.close()
  }
}
