/** Fetches a node's snapshot into a file: a plain SQLite file, complete or not there at all. */
import { createWriteStream } from 'node:fs'
import { rename, rm } from 'node:fs/promises'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { QuorateError } from '../base/errors.ts'
import { makePlain } from '../store/files/plain-file.ts'
import { getStream, type Target } from './node-client.ts'

/** Throws UNREACHABLE if it did not come whole; nothing is left then. */
export async function fetchSnapshot(target: Target, output: string): Promise<void> {
  const response = await getStream(target, '/admin/snapshot')
  if (response.body === null) throw new QuorateError('INTERNAL', 'The snapshot has no content.')
  const part = `${output}.part`
  try {
    const file = createWriteStream(part, { flush: true })
    await pipeline(Readable.fromWeb(response.body), file)
    checkLength(response.headers.get('content-length'), file.bytesWritten)
    makePlain(part)
    await rename(part, output)
  } catch (error) {
    await rm(part, { force: true })
    if (error instanceof QuorateError) throw error
    const text = error instanceof Error ? error.message : String(error)
    throw new QuorateError('UNREACHABLE', `The copy is incomplete and was removed: ${text}.`)
  }
}

function checkLength(promised: string | null, got: number): void {
  if (promised === null || Number(promised) === got) return
  const detail = `The copy has ${got} of ${promised} bytes and was removed.`
  throw new QuorateError('UNREACHABLE', detail)
}
