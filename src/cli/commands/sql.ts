/** `quorate sql`: one statement and its rows, a script from standard input, or the shell. */
import { type Command, Option } from 'commander'
import type { AckLevel, Cell, ExecuteResult, ReadLevel } from '../../client/index.ts'
import { connect } from '../../client/index.ts'
import { ACK_FORM, READ_FORM } from '../../model/levels.ts'
import { toAck, toRead, whole } from '../arguments.ts'
import { type CommonFlags, targetOf, withJson, withTarget } from '../common.ts'
import { print, printJson, usageError } from '../output.ts'
import { Patience } from '../patience.ts'
import { MODES, type RenderMode } from '../shell/render.ts'
import { counted, type Paint, paintFor, printable, tableLines } from '../terminal.ts'

const HELP = `
Without a statement it is a shell on a terminal, and runs a script from standard input otherwise; a
script ends at its first error with exit code 1, or goes on after ".bail off". Type .help in it.

Levels:
  --read local    this replica as it is         --ack local     on the leader's disk
  --read session  what this session saw (default) --ack majority  on most disks (default)
  --read strong   everything acknowledged       --ack all       on every voter's disk

Examples:
  quorate sql
  quorate sql < schema.sql
  quorate sql "select name, population from city order by population desc limit 5"
  quorate sql --csv "select * from city" > city.csv
  quorate sql --ack all "update city set population = population + 1 where id = 3041563"
  quorate sql --read strong --json "select count(*) as n from visit"`

interface SqlFlags extends CommonFlags {
  readonly read?: ReadLevel
  readonly ack?: AckLevel
  readonly timeout: number
  readonly mode?: RenderMode
  readonly csv?: true
  readonly headers: boolean
}

export function registerSql(root: Command): void {
  const command = root
    .command('sql')
    .summary('run statements, or a shell')
    .description('Runs SQL on any node: a statement, a script, or an interactive shell.')
    .argument('[statement]', 'the statement')
    .addOption(new Option('--read <level>', READ_FORM).argParser(toRead))
    .addOption(new Option('--ack <level>', ACK_FORM).argParser(toAck))
    .addOption(new Option('--mode <mode>', 'how rows look').choices(MODES))
    .option('--csv', 'print CSV with a line of names, the same as --mode csv')
    .option('--no-headers', 'without the names of columns')
    .addOption(
      new Option('--timeout <ms>', 'for each statement')
        .argParser(whole(1, 86_400_000))
        .default(30_000),
    )
  withJson(withTarget(command))
    .addHelpText('after', HELP)
    .action(async (statement: string | undefined, flags: SqlFlags) => await run(statement, flags))
}

async function run(statement: string | undefined, flags: SqlFlags): Promise<void> {
  if ([flags.csv, flags.json, flags.mode].filter(Boolean).length > 1) {
    throw usageError('Give one of --csv, --json and --mode.')
  }
  const mode = flags.csv ? 'csv' : flags.mode
  if (statement !== undefined && mode === undefined) await runOne(statement, flags)
  else {
    const { runShell } = await import('../shell/run.ts')
    const settings = { mode: flags.json ? 'json' : mode, headers: flags.headers } as const
    const { read, ack, timeout: timeoutMs } = flags
    const levels = { timeoutMs, ...(read ? { read } : {}), ...(ack ? { ack } : {}) }
    await runShell(targetOf(flags), levels, settings, statement)
  }
}

async function runOne(statement: string, flags: SqlFlags): Promise<void> {
  const { urls, token } = targetOf(flags)
  const patience = new Patience((text) => process.stderr.write(text))
  await using db = connect(urls, {
    timeoutMs: flags.timeout,
    ...(token === null ? {} : { token }),
    ...(flags.json ? {} : { retrying: patience.retrying }),
    ...(flags.read === undefined ? {} : { read: flags.read }),
    ...(flags.ack === undefined ? {} : { ack: flags.ack }),
  })
  const result = await db.execute(statement)
  if (flags.json) printJson(jsonOf(result))
  else print(...resultLines(result, paintFor(process.stdout)))
}

/** Rows as objects where there are columns, what changed otherwise. */
function jsonOf(result: ExecuteResult): unknown {
  const { columns, rows, changes, lastInsertRowid } = result
  if (columns.length === 0) return { changes, lastInsertRowid }
  return rows.map((row) => Object.fromEntries(columns.map((name, at) => [name, row[at]])))
}

/** A result for people: a table and how many rows it has, or what changed. */
export function resultLines(result: ExecuteResult, paint: Paint): string[] {
  const { columns, rows, changes } = result
  if (columns.length === 0) return [paint('dim', `${counted(changes, 'row')} changed`)]
  const table = tableLines(
    columns.map((title, at) => ({
      title: printable(title),
      align: rows.every((row) => isNumber(row[at] ?? null)) ? 'right' : 'left',
    })),
    rows.map((row) => row.map((cell) => cellOf(cell))),
    paint,
  )
  return [...table, paint('dim', counted(rows.length, 'row'))]
}

function isNumber(cell: Cell): boolean {
  return cell === null || typeof cell === 'number' || typeof cell === 'bigint'
}

const BLOB_BYTES_SHOWN = 16

function cellOf(cell: Cell): { readonly text: string; readonly style?: 'dim' } {
  if (cell === null) return { text: 'null', style: 'dim' }
  if (cell instanceof Uint8Array) {
    const hex = Buffer.from(cell.subarray(0, BLOB_BYTES_SHOWN)).toString('hex')
    const more = cell.length > BLOB_BYTES_SHOWN ? `… (${cell.length} bytes)` : ''
    return { text: `x'${hex}'${more}` }
  }
  return { text: printable(String(cell)) }
}
