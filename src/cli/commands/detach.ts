/** `quorate detach`: makes a node's file an ordinary SQLite file again. */
import { existsSync } from 'node:fs'
import { createInterface } from 'node:readline/promises'
import type { Command } from 'commander'
import { type Departure, detachFile, planDeparture } from '../../store/files/plain-file.ts'
import { withJson } from '../common.ts'
import { print, printJson, usageError } from '../output.ts'
import { bytes, counted } from '../terminal.ts'

const HELP = `
Stop the node first. Its tables, rows and rowids stay as they are; Quorate's own tables and the
folder FILE-quorate go. A node started on the file afterwards founds a new cluster.
(A stopped node's file opens in any SQLite tool without this, too.)

Example:
  quorate detach shop.db --yes`

export function registerDetach(root: Command): void {
  const command = root
    .command('detach')
    .summary('make a node’s file an ordinary one')
    .description("Removes Quorate's own tables and folder from a stopped node's file.")
    .argument('<file>', "the stopped node's SQLite file")
    .option('-y, --yes', 'do not ask')
  withJson(command)
    .addHelpText('after', HELP)
    .action(async (file: string, flags: { yes?: true; json?: true }) => {
      if (!existsSync(file)) throw usageError(`${file} does not exist.`)
      const plan = planDeparture(file)
      if (plan.was === null && plan.folder === null) {
        if (flags.json) printJson({ file, was: null })
        else print(`${file} is an ordinary SQLite file already.`)
        return
      }
      if (!flags.yes && !(await confirmed(file, plan))) {
        print('Nothing was done.')
        return
      }
      const free = detachFile(file)
      if (flags.json) printJson({ file, ...plan, freeBytes: free })
      else print(...detachLines(file, plan, free))
    })
}

async function confirmed(file: string, plan: Departure): Promise<boolean> {
  if (!process.stdin.isTTY) throw usageError('Without a terminal to ask at, say --yes.')
  const who = plan.was === null ? '' : ` It is ${plan.was.node} of cluster ${plan.was.cluster}.`
  const behind = plan.unapplied === 0 ? '' : ` ${behindLine(plan.unapplied)}`
  const rl = createInterface({ input: process.stdin, output: process.stdout })
  try {
    const answer = await rl.question(`Take ${file} out of its cluster?${who}${behind} [y/N] `)
    return /^y(es)?$/i.test(answer.trim())
  } finally {
    rl.close()
  }
}

function behindLine(unapplied: number): string {
  const entries = counted(unapplied, 'entry', 'entries')
  return `${entries} of its log, not known here to be committed, are not in its data.`
}

export function detachLines(file: string, plan: Departure, free: number): string[] {
  const { was, folder, unapplied, lostFiles } = plan
  const lines = [`${file} is an ordinary SQLite file now.`]
  if (unapplied > 0) lines.push(behindLine(unapplied))
  if (lostFiles > 0)
    lines.push(`Lost work is kept: ${counted(lostFiles, 'file')} in ${folder}/lost.`)
  else if (folder !== null) lines.push(`The folder ${folder} is gone.`)
  if (free >= 1024 * 1024) lines.push(`${bytes(free)} inside it are free; VACUUM gives them back.`)
  if (was !== null) {
    const name = was.node.replace(/:[0-9a-f]+$/, '')
    lines.push(`If its cluster goes on elsewhere: quorate members remove ${name}`)
  }
  return lines
}
