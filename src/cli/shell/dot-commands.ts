/** The shell's dot commands: one table of names, arguments, help and what each does. */
import { QuorateError } from '../../base/errors.ts'
import { usageError } from '../output.ts'
import type { DotCommand } from './dot-command.ts'
import { DATA_COMMANDS } from './dot-data.ts'
import { OUTPUT_COMMANDS } from './dot-output.ts'
import { SCHEMA_COMMANDS } from './dot-schema.ts'
import { SESSION_COMMANDS } from './dot-session.ts'
import type { Shell } from './shell.ts'
import { nearest, wordsOf } from './words.ts'

const HELP: DotCommand = {
  name: 'help',
  args: '[COMMAND]',
  help: 'show the dot commands, or one of them',
  takes: [0, 1],
  run: (shell, [name]) => {
    const shown = name === undefined ? DOT_COMMANDS : [find(name.replace(/^\./, ''))]
    const width = Math.max(...shown.map(({ name, args }) => usageOf(name, args).length))
    shell.print(
      ...shown.map(({ name, args, help }) => `${usageOf(name, args).padEnd(width)}  ${help}`),
    )
    if (name === undefined) {
      shell.print('', 'Statements end with a semicolon. docs/shell.md tells more.')
    }
  },
}

export const DOT_COMMANDS: readonly DotCommand[] = [
  ...SCHEMA_COMMANDS,
  ...OUTPUT_COMMANDS,
  ...DATA_COMMANDS,
  ...SESSION_COMMANDS,
  HELP,
].toSorted((a, b) => (a.name < b.name ? -1 : 1))

/** Other names that people know. */
const ALIASES: Readonly<Record<string, string>> = { header: 'headers', indices: 'indexes' }

function usageOf(name: string, args: string): string {
  return `.${name} ${args}`.trimEnd()
}

/**
 * Runs one dot command.
 *
 * @param line with its dot
 * @throws QuorateError BAD_USAGE for an unknown name or wrong arguments, and what the command throws
 */
export async function runDotCommand(shell: Shell, line: string): Promise<void> {
  const [first = '', ...args] = wordsOf(line.slice(1))
  const command = find(first)
  const [least, most] = command.takes
  if (args.length < least || args.length > most) {
    throw usageError(`It is ${usageOf(command.name, command.args)}.`)
  }
  await command.run(shell, args, line)
}

/** By name, or by the beginning of one name only, as the sqlite3 shell allows. */
function find(given: string): DotCommand {
  const name = ALIASES[given] ?? given
  const exact = DOT_COMMANDS.find((command) => command.name === name)
  if (exact !== undefined) return exact
  const begun = DOT_COMMANDS.filter((command) => name !== '' && command.name.startsWith(name))
  const [only] = begun
  if (begun.length === 1 && only !== undefined) return only
  const names = DOT_COMMANDS.map((command) => command.name)
  const near = begun[0]?.name ?? nearest(name, names)
  const hint = near === null ? '.help lists them all.' : `Did you mean .${near}?`
  throw new QuorateError('BAD_USAGE', `There is no command .${given}. ${hint}`)
}
