/** The command line: which commands there are, and what becomes of their errors. */
import { Command, CommanderError, type Option } from 'commander'
import { RELEASE } from '../base/release.ts'
import { registerBench } from './commands/bench.ts'
import { registerCheck } from './commands/check.ts'
import { registerConflicts } from './commands/conflicts.ts'
import { registerDemo } from './commands/demo.ts'
import { registerDetach } from './commands/detach.ts'
import { registerDump } from './commands/dump.ts'
import { registerExplain } from './commands/explain.ts'
import { registerGroups } from './commands/groups.ts'
import { registerLost } from './commands/lost.ts'
import { registerMembers } from './commands/members.ts'
import { registerRules } from './commands/rules.ts'
import { registerServe } from './commands/serve.ts'
import { registerSnapshot } from './commands/snapshot.ts'
import { registerSql } from './commands/sql.ts'
import { registerStatus } from './commands/status.ts'
import { registerTransfer } from './commands/transfer.ts'
import { registerVerify } from './commands/verify.ts'
import { EXIT_USAGE, errorLine, exitCodeOf, usageError } from './output.ts'

const REGISTER = [
  registerDemo,
  registerServe,
  registerStatus,
  registerExplain,
  registerSql,
  registerMembers,
  registerTransfer,
  registerGroups,
  registerRules,
  registerConflicts,
  registerSnapshot,
  registerDump,
  registerCheck,
  registerDetach,
  registerVerify,
  registerLost,
  registerBench,
]

const EXAMPLES = `
Examples:
  quorate demo                                       three nodes on this machine, a live view
  quorate serve shop.db --name a                     a first node, on a new or an existing file
  quorate serve copy.db --name b --listen 127.0.0.1:7002 --join http://127.0.0.1:7001
  quorate sql "select count(*) from orders"
  quorate status --watch

Commands find their cluster by --url or QUORATE_URL (default http://127.0.0.1:7001).
Exit codes: 0 done, 1 failed, 2 wrong usage.`

/** All commands, ready to parse. Separate from main so that a test can look at the help. */
export function program(): Command {
  const root = new Command('quorate')
    .description('SQLite that survives: copies of one file on several machines.')
    .version(RELEASE, '-V, --version', 'print the release')
    .helpOption('-h, --help', 'print this help')
    .helpCommand('help [command]', 'print help for a command')
    .addHelpText('after', EXAMPLES)
    .showHelpAfterError(false)
    .configureHelp({ showGlobalOptions: true, visibleGlobalOptions: optionsAbove })
  for (const register of REGISTER) register(root)
  for (const command of everyCommand(root)) quiet(command)
  for (const command of root.commands) if (command.commands.length > 0) nameTheUnknown(command)
  return root
}

/**
 * Runs one command; the exit code is left in process.exitCode.
 *
 * @param args what follows `quorate` on the command line
 */
export async function main(args: readonly string[]): Promise<void> {
  // `quorate status | head` is no failure of ours.
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    process.exit(error.code === 'EPIPE' ? 0 : 1)
  })
  try {
    const root = program()
    if (args.length === 0) root.outputHelp()
    else await root.parseAsync([...args], { from: 'user' })
  } catch (error) {
    fail(error)
  }
}

function fail(error: unknown): void {
  if (error instanceof CommanderError) {
    if (error.exitCode === 0) return
    const sentence = error.message.replace(/^error: /, '').replace(/\s*\n\s*/g, ' ')
    process.stderr.write(`${errorLine(usageError(sentenceOf(sentence)))}\n`)
    process.exitCode = EXIT_USAGE
    return
  }
  process.stderr.write(`${errorLine(error)}\n`)
  process.exitCode = exitCodeOf(error)
}

/** Commander's messages begin small and end without a stop. */
function sentenceOf(text: string): string {
  const ended = /[.?!)]$/.test(text) ? text : `${text}.`
  return ended.charAt(0).toUpperCase() + ended.slice(1)
}

/** Commander throws instead of exiting and printing: there is one place for errors, `fail`. */
function quiet(command: Command): void {
  command.exitOverride().configureOutput({ outputError: () => {} })
}

/** Options of the commands that a command belongs to, but for `quorate` itself. */
function optionsAbove({ parent }: Command): Option[] {
  if (parent === null || parent.parent === null) return []
  return [...parent.options, ...optionsAbove(parent)]
}

/** What is no command of a command that does something by itself would be called an argument too many. */
function nameTheUnknown(parent: Command): void {
  const names = parent.commands.map((command) => command.name()).join(', ')
  parent.allowExcessArguments().hook('preAction', (_parent, acting) => {
    const [unknown] = acting.args
    if (acting !== parent || unknown === undefined) return
    throw usageError(`quorate ${parent.name()} has no command '${unknown}'; it has ${names}.`)
  })
}

function everyCommand(command: Command): Command[] {
  return [command, ...command.commands.flatMap(everyCommand)]
}
