/** A thread that computes the checksums of a live database once, and ends. */
import { parentPort, workerData } from 'node:worker_threads'
import { present } from '../../base/assert.ts'
import type { LogIndex } from '../../base/brand.ts'
import { type ErrorData, toErrorData } from '../../base/errors.ts'
import { appliedIn, verifyDatabase } from '../checksum.ts'
import { openLive } from '../files/live-file.ts'
import type { Verified } from '../types.ts'

export type FromVerifier =
  | { readonly kind: 'pinned'; readonly applied: LogIndex }
  | { readonly kind: 'verified'; readonly result: Verified }
  | { readonly kind: 'failed'; readonly error: ErrorData }

const port = present(parentPort, () => 'the port of the thread that started this one')
const { path } = workerData as { readonly path: string }
const post = (message: FromVerifier): void => port.postMessage(message)

function verify(): Verified {
  const { db } = openLive(path, { readOnly: true, timeout: 5_000 })
  try {
    db.exec('begin')
    post({ kind: 'pinned', applied: appliedIn(db) })
    return verifyDatabase(db)
  } finally {
    db.close()
  }
}

try {
  post({ kind: 'verified', result: verify() })
} catch (error) {
  post({ kind: 'failed', error: toErrorData(error) })
}
