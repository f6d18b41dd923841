/** `quorate rules`: what is to happen when several groups change the same row. */
import type { Command } from 'commander'
import { QuorateError } from '../../base/errors.ts'
import type { RuleChange } from '../../model/origin-entry.ts'
import { type CommonFlags, targetOf, withJson, withTarget } from '../common.ts'
import { getJson, postJson } from '../node-client.ts'
import { print, printJson, usageError } from '../output.ts'
import { type Paint, paintFor, printable, tableLines } from '../terminal.ts'

const HELP = `
A rule is for a column, or for a table and all its columns that have none. Where there is none the
later write wins. docs/conflicts.md shows what each does:

  last first add max min union both function:NAME       abort (whole tables)

All groups must answer while a rule is changed, and writes wait for a moment.

Examples:
  quorate rules
  quorate rules set stock.left add       both sides' changes count
  quorate rules set booking abort        of two that meet the later one is left out as a whole
  quorate rules reset stock.left`

/** All groups answer before it is done. */
const CHANGE_TIMEOUT_MS = 60_000

export function registerRules(root: Command): void {
  const rules = root
    .command('rules')
    .summary('list, set or reset conflict rules')
    .description('Lists the rules for conflicts, or changes them.')
  withJson(withTarget(rules))
    .addHelpText('after', HELP)
    .action(async (flags: CommonFlags) => await list(flags))
  rules
    .command('list')
    .description('Lists the rules that were set.')
    .action(async (_flags: unknown, command: Command) => {
      await list(command.optsWithGlobals<CommonFlags>())
    })
  rules
    .command('set <table.column> <rule>')
    .description('Sets the rule of a column, or of a table.')
    .action(async (place: string, rule: string, _flags: unknown, command: Command) => {
      if (rule === '') throw usageError('Say which rule, or use `rules reset`.')
      const flags = command.optsWithGlobals<CommonFlags>()
      await change(flags, { ...placeOf(place), rule }, `has the rule ${printable(rule)} now`)
    })
  rules
    .command('reset <table.column>')
    .description('Takes the rule of a column, or of a table, away.')
    .action(async (place: string, _flags: unknown, command: Command) => {
      await reset(command.optsWithGlobals<CommonFlags>(), placeOf(place))
    })
}

/** `TABLE` or `TABLE.COLUMN`; the table's name may be in double quotes. Throws BAD_USAGE. */
export function placeOf(text: string): Omit<RuleChange, 'rule'> {
  const parts = /^(?:"((?:[^"]|"")+)"|([^".]+))(?:\.(.+))?$/.exec(text)
  if (parts === null) throw usageError(`${text} is not TABLE or TABLE.COLUMN.`)
  const [, quoted, bare = '', column = ''] = parts
  return { table: quoted?.replaceAll('""', '"') ?? bare, column: unquoted(column) }
}

function unquoted(column: string): string {
  return /^".+"$/.test(column) ? column.slice(1, -1).replaceAll('""', '"') : column
}

async function change(flags: CommonFlags, rule: RuleChange, did: string): Promise<void> {
  const answer = await postJson(targetOf(flags), '/admin/rule', rule, CHANGE_TIMEOUT_MS)
  if (flags.json) printJson(answer)
  else print(`${printable(nameOf(rule))} ${did}.`)
}

async function reset(flags: CommonFlags, place: Omit<RuleChange, 'rule'>): Promise<void> {
  const rules = await getJson<readonly RuleChange[]>(targetOf(flags), '/admin/rules')
  const called = (rule: Omit<RuleChange, 'rule'>): string => nameOf(rule).toLowerCase()
  if (!rules.some((rule) => called(rule) === called(place))) {
    throw new QuorateError('BAD_RULE', `${nameOf(place)} has no rule of its own.`)
  }
  await change(flags, { ...place, rule: '' }, 'has no rule of its own now')
}

async function list(flags: CommonFlags): Promise<void> {
  const rules = await getJson<readonly RuleChange[]>(targetOf(flags), '/admin/rules')
  if (flags.json) printJson(rules)
  else print(...ruleLines(rules, paintFor(process.stdout)))
}

/** The rules as a table. */
export function ruleLines(rules: readonly RuleChange[], paint: Paint): string[] {
  if (rules.length === 0) return ['No rules are set: the later write wins, by column.']
  const columns = [{ title: 'table' }, { title: 'column' }, { title: 'rule' }]
  const rows = rules.map(({ table, column, rule }) => [
    printable(table),
    column === '' ? ({ text: 'all others', style: 'dim' } as const) : printable(column),
    printable(rule),
  ])
  return tableLines(columns, rows, paint)
}

function nameOf({ table, column }: Omit<RuleChange, 'rule'>): string {
  return column === '' ? table : `${table}.${column}`
}
