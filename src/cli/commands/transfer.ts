/** `quorate transfer`: another node leads, without a gap. */
import type { Command } from 'commander'
import { type CommonFlags, targetOf, withJson, withTarget } from '../common.ts'
import { postJson } from '../node-client.ts'
import { print, printJson } from '../output.ts'

const HELP = `
Writes wait a moment and go on. Do it before the leader's machine is taken down.

Examples:
  quorate transfer b
  quorate transfer            to whoever is furthest`

export function registerTransfer(root: Command): void {
  const command = root
    .command('transfer')
    .summary('hand leadership over')
    .description('Hands leadership over to a node, or to the one that is furthest.')
    .argument('[name]', 'the node that is to lead')
  withJson(withTarget(command))
    .addHelpText('after', HELP)
    .action(async (name: string | undefined, flags: CommonFlags) => {
      const answer = await postJson(targetOf(flags), '/admin/transfer', { name: name ?? null })
      if (flags.json) printJson(answer)
      else print(name === undefined ? 'Leadership was handed over.' : `${name} leads now.`)
    })
}
