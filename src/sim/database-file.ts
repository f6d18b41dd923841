/** What the ports of a simulated node do to a database file beside the store's own connections. */
import { DatabaseSync } from 'node:sqlite'
import { crc32 } from 'node:zlib'
import { entryChecksum } from '../model/entry-codec.ts'
import type { Checksums } from '../model/wire.ts'
import type { SnapshotFile } from '../node/ports.ts'
import { verifyDatabase } from '../store/checksum.ts'
import { lastEntryOf } from '../store/files/snapshot-copy.ts'
import type { Verified } from '../store/types.ts'

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
  return lastEntryOf(to)
}

/** What production's verify says of the last committed state. */
export function verifyFile(file: string): Verified {
  const db = new DatabaseSync(file, { readOnly: true })
  try {
    db.exec('begin')
    return verifyDatabase(db)
  } finally {
    db.close()
  }
}
