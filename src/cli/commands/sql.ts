/** `quorate sql`: one statement, its rows as a table. */
import { type Command, Option } from 'commander'
import type { AckLevel, Cell, ExecuteResult, ReadLevel } from '../../client/index.ts'
import { connect } from '../../client/index.ts'
import { READ_LEVELS } from '../../model/request.ts'
import { toAck, whole } from '../arguments.ts'
import { type CommonFlags, targetOf, withJson, withTarget } from '../common.ts'
import { print, printJson, usageError } from '../output.ts'
import { counted, type Paint, paintFor, printable, tableLines } from '../terminal.ts'

const HELP = `
Levels:
  --read local    this replica as it is         --ack local     on the leader's disk
  --read session  what this session saw (default) --ack majority  on most disks (default)
  --read strong   everything acknowledged       --ack all       on every voter's disk

Examples:
  quorate sql "select name, population from city order by population desc limit 5"
  quorate sql --ack all "update city set population = population + 1 where id = 3041563"
  quorate sql --read strong --json "select count(*) as n from visit"`

interface SqlFlags extends CommonFlags {
  readonly read?: ReadLevel
  readonly ack?: AckLevel
  readonly timeout: number
}

export function registerSql(root: Command): void {
  const command = root
    .command('sql')
    .summary('run one statement')
    .description('Runs one SQL statement on any node and prints its rows.')
    .argument('[statement]', 'the statement')
    .addOption(new Option('--read <level>', 'what a read may miss').choices(READ_LEVELS))
    .addOption(
      new Option('--ack <level>', 'local, majority, all or a number of voters').argParser(toAck),
    )
    .addOption(
      new Option('--timeout <ms>', 'for the whole call')
        .argParser(whole(1, 86_400_000))
        .default(30_000),
    )
  withJson(withTarget(command))
    .addHelpText('after', HELP)
    .action(async (statement: string | undefined, flags: SqlFlags) => await run(statement, flags))
}

async function run(statement: string | undefined, flags: SqlFlags): Promise<void> {
  if (statement === undefined) {
    throw usageError(
      'The interactive shell comes with the next release; for now give a statement: ' +
        'quorate sql "select 1".',
    )
  }
  const { urls, token } = targetOf(flags)
  const db = connect(urls, {
    timeoutMs: flags.timeout,
    ...(token === null ? {} : { token }),
    ...(flags.read === undefined ? {} : { read: flags.read }),
    ...(flags.ack === undefined ? {} : { ack: flags.ack }),
  })
  try {
    const result = await db.execute(statement)
    if (flags.json) printJson(jsonOf(result))
    else print(...resultLines(result, paintFor(process.stdout)))
  } finally {
    db.close()
  }
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
