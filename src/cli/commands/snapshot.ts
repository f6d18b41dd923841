/** `quorate snapshot`: a consistent copy of the database as a file of its own. */
import { createWriteStream, statSync } from 'node:fs'
import { rename, rm } from 'node:fs/promises'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import type { Command } from 'commander'
import { QuorateError } from '../../base/errors.ts'
import { makePlain } from '../../store/plain-file.ts'
import { type CommonFlags, targetOf, withJson, withTarget } from '../common.ts'
import { getStream } from '../node-client.ts'
import { print, printJson } from '../output.ts'
import { bytes } from '../terminal.ts'

const HELP = `
The copy is made while the node goes on, and is complete or not there at all. It is a plain SQLite
file, without Quorate's own tables; a node started on it founds a new cluster.

Examples:
  quorate snapshot --output shop-copy.db
  quorate snapshot --url http://10.0.0.2:7001 --output shop-copy.db`

export function registerSnapshot(root: Command): void {
  const command = root
    .command('snapshot')
    .summary('save a copy of the database')
    .description('Saves a consistent copy of the database, taken while it is in use.')
    .requiredOption('-o, --output <file>', 'where to; an existing file is replaced')
  withJson(withTarget(command))
    .addHelpText('after', HELP)
    .action(async (flags: CommonFlags & { output: string }) => {
      const size = await save(targetOf(flags), flags.output)
      if (flags.json) printJson({ file: flags.output, bytes: size })
      else print(`${flags.output}: ${bytes(size)}.`)
    })
}

async function save(target: Parameters<typeof getStream>[0], output: string): Promise<number> {
  const response = await getStream(target, '/admin/snapshot')
  if (response.body === null) throw new QuorateError('INTERNAL', 'The snapshot has no content.')
  const part = `${output}.part`
  try {
    const file = createWriteStream(part, { flush: true })
    await pipeline(Readable.fromWeb(response.body), file)
    checkLength(response.headers.get('content-length'), file.bytesWritten)
    makePlain(part)
    await rename(part, output)
    return statSync(output).size
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
