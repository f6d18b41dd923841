/** `quorate conflicts`: what rules discarded: list it, look at it, run it again, close it. */
import type { Command } from 'commander'
import { QuorateError } from '../../base/errors.ts'
import type { StoredConflict } from '../../store/merge/replay.ts'
import { type CommonFlags, targetOf, withJson, withTarget } from '../common.ts'
import { ConflictReader, type ConflictTable } from '../conflict-reader.ts'
import { conflictLines, jsonOf, listLines, parseId } from '../conflict-view.ts'
import { postJson } from '../node-client.ts'
import { print, printJson } from '../output.ts'
import { paintFor, printable } from '../terminal.ts'

const HELP = `
Whatever several groups wrote and nobody sees any more is here, with what was kept and what was lost;
the table quorate_conflicts has it for SQL. A conflict may go, or change, until the order of the
writes that it is about is final.

replay writes what was lost, as an ordinary write, over what was kept. close says that somebody has
dealt with it; those that a rule keeps open are not forgotten before that.

Examples:
  quorate conflicts
  quorate conflicts --open
  quorate conflicts show 1763720000123456.0@west-1f2e3d
  quorate conflicts replay 1763720000123456.0@west-1f2e3d
  quorate conflicts close 1763720000123456.0@west-1f2e3d`

interface ListFlags extends CommonFlags {
  readonly open?: true
}

export function registerConflicts(root: Command): void {
  const conflicts = root
    .command('conflicts')
    .summary('list, show, replay or close conflicts')
    .description('Lists what conflicts discarded, shows it, replays it or closes it.')
    .option('--open', 'only those that somebody has to deal with')
  withJson(withTarget(conflicts))
    .addHelpText('after', HELP)
    .action(async (flags: ListFlags) => await list(flags))
  conflicts
    .command('list')
    .description('Lists conflicts.')
    .action(async (_flags: unknown, command: Command) => {
      await list(command.optsWithGlobals<ListFlags>())
    })
  one(conflicts, 'show', 'Shows both sides of a conflict.', show)
  one(conflicts, 'replay', 'Writes what was lost again, over what was kept.', replay)
  one(conflicts, 'close', 'Says that somebody has dealt with a conflict.', close)
}

type Action = (flags: CommonFlags, id: string, reader: ConflictReader) => Promise<void>

function one(conflicts: Command, name: string, description: string, action: Action): void {
  conflicts
    .command(`${name} <id>`)
    .description(description)
    .action(async (id: string, _flags: unknown, command: Command) => {
      const flags = command.optsWithGlobals<CommonFlags>()
      using reader = new ConflictReader(targetOf(flags))
      await action(flags, id, reader)
    })
}

async function list(flags: ListFlags): Promise<void> {
  using reader = new ConflictReader(targetOf(flags))
  const conflicts = await reader.all(flags.open === true)
  if (flags.json) printJson(conflicts.map((conflict) => jsonOf(conflict, null)))
  else print(...listLines(conflicts, paintFor(process.stdout)))
}

async function show(flags: CommonFlags, id: string, reader: ConflictReader): Promise<void> {
  const { conflict, table } = await find(id, reader)
  if (flags.json) printJson(jsonOf(conflict, table))
  else print(...conflictLines(conflict, table, paintFor(process.stdout)))
}

async function replay(flags: CommonFlags, id: string, reader: ConflictReader): Promise<void> {
  const { conflict, table } = await find(id, reader)
  const changes = await reader.replay(conflict, table)
  if (flags.json) printJson({ id, changes })
  else if (changes === 0) print('Nothing had to be changed: the row is not there, or is as it was.')
  else {
    const close = conflict.open ? ` To close it: quorate conflicts close ${printable(id)}` : ''
    print(`What was lost is in ${printable(conflict.table)} again.${close}`)
  }
}

async function close(flags: CommonFlags, id: string, reader: ConflictReader): Promise<void> {
  const { conflict } = await find(id, reader)
  const answer = await postJson(targetOf(flags), '/admin/conflict-close', parseId(id))
  if (flags.json) printJson(answer)
  else if (conflict.open) print(`${printable(id)} is closed.`)
  else print(`${printable(id)} was not open: nobody has to deal with it.`)
}

async function find(
  id: string,
  reader: ConflictReader,
): Promise<{ readonly conflict: StoredConflict; readonly table: ConflictTable | null }> {
  const conflict = await reader.one(parseId(id))
  if (conflict === null) {
    throw new QuorateError('CONFLICT_UNKNOWN', `There is no conflict ${id}.`)
  }
  return { conflict, table: await reader.tableOf(conflict) }
}
