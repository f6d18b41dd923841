/** `quorate lost`: work that failovers took back: list it, look at it, run it again. */
import type { Command } from 'commander'
import { type CommonFlags, targetOf, withJson, withTarget } from '../common.ts'
import { getJson, postJson } from '../node-client.ts'
import { print, printJson } from '../output.ts'
import { counted, type Paint, paintFor, printable, tableLines } from '../terminal.ts'

const HELP = `
What a leader had answered at ack local, or not answered at all, and no majority held when it lost
its leadership, is undone and kept in a file at that node. Each node keeps its own: give its --url.
So does a group that was removed with what it had sent to nobody.

A replay does each entry again as one transaction, or leaves it and says why. What triggers did is
among its rows: those don't fire for it.

Examples:
  quorate lost --url http://10.0.0.1:7001
  quorate lost show FILE
  quorate lost replay FILE       runs it again as new transactions; conflicts are reported`

type Facts = Readonly<Record<string, unknown>>

export function registerLost(root: Command): void {
  const lost = root
    .command('lost')
    .summary('list, show or replay work that was taken back')
    .description('Lists work that a failover took back at this node, shows it or replays it.')
  withJson(withTarget(lost))
    .addHelpText('after', HELP)
    .action(async (flags: CommonFlags) => {
      const answer = await getJson<unknown>(targetOf(flags), '/admin/lost')
      if (flags.json) printJson(answer)
      else print(...listLines(filesIn(answer), paintFor(process.stdout)))
    })
  lost
    .command('show <file>')
    .description('Shows the transactions of a file, as JSON.')
    .action(async (file: string, _flags: unknown, command: Command) => {
      const flags = command.optsWithGlobals<CommonFlags>()
      printJson(await getJson(targetOf(flags), pathOf(file)))
    })
  lost
    .command('replay <file>')
    .description('Runs the transactions of a file again, as new ones.')
    .action(async (file: string, _flags: unknown, command: Command) => {
      const flags = command.optsWithGlobals<CommonFlags>()
      const answer = await postJson<unknown>(targetOf(flags), `${pathOf(file)}/replay`, {})
      if (flags.json || !isRecord(answer)) printJson(answer)
      else print(`${printable(file)} was replayed. ${factsLine(answer)}`.trimEnd())
    })
}

/** A table of the files; its columns are what the node tells about them. */
export function listLines(files: readonly Facts[], paint: Paint): string[] {
  if (files.length === 0) return ['Nothing was taken back at this node.']
  const titles = [...new Set(files.flatMap((file) => Object.keys(file)))]
  const rows = files.map((file) => titles.map((title) => cellText(file[title])))
  const table = tableLines(
    titles.map((title) => ({ title })),
    rows,
    paint,
  )
  return [...table, paint('dim', `${counted(files.length, 'file')}: quorate lost show FILE`)]
}

function pathOf(file: string): string {
  return `/admin/lost/${encodeURIComponent(file)}`
}

function filesIn(answer: unknown): readonly Facts[] {
  const list = isRecord(answer) ? (answer['files'] ?? []) : answer
  return Array.isArray(list) ? list.filter(isRecord) : []
}

function cellText(value: unknown): string {
  if (value === undefined || value === null) return ''
  if (isRecord(value) && 'term' in value && 'index' in value) {
    return `${value['term']}/${value['index']}`
  }
  return printable(typeof value === 'object' ? JSON.stringify(value) : String(value))
}

function factsLine(facts: Facts): string {
  const parts = Object.entries(facts).map(([key, value]) => `${key}: ${cellText(value)}`)
  return parts.length === 0 ? '' : `${parts.join(', ')}.`
}

function isRecord(value: unknown): value is Facts {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
