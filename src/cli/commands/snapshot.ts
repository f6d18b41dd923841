/** `quorate snapshot`: a consistent copy of the database as a file of its own. */
import { statSync } from 'node:fs'
import type { Command } from 'commander'
import { type CommonFlags, targetOf, withJson, withTarget } from '../common.ts'
import { print, printJson } from '../output.ts'
import { fetchSnapshot } from '../snapshot-file.ts'
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
      await fetchSnapshot(targetOf(flags), flags.output)
      const size = statSync(flags.output).size
      if (flags.json) printJson({ file: flags.output, bytes: size })
      else print(`${flags.output}: ${bytes(size)}.`)
    })
}
