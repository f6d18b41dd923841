/** `quorate check`: whether a file can be adopted, without doing anything to it. */
import { type Command, Option } from 'commander'
import { QuorateError } from '../../base/errors.ts'
import { STRATEGIES, type Strategy } from '../../model/origin-entry.ts'
import {
  assertAlone,
  type FileReport,
  hasBeside,
  inspectFile,
} from '../../store/schema/adoption.ts'
import { withJson } from '../common.ts'
import { print, printJson } from '../output.ts'
import { bytes, counted } from '../terminal.ts'

const HELP = `
It says what "quorate serve FILE" would say, and changes nothing. The schema is read and not the
rows, so it takes no time on a large file; --integrity reads every page.

Examples:
  quorate check shop.db
  quorate check --integrity shop.db
  quorate check --strategy multi-leader shop.db`

export function registerCheck(root: Command): void {
  const command = root
    .command('check')
    .summary('tell whether a file can be adopted')
    .description('Tells whether a SQLite file can be adopted by a node, and changes nothing.')
    .argument('<file>', 'a SQLite file')
    .option('--integrity', 'look for damage in every page as well')
    .addOption(
      new Option('--strategy <strategy>', 'by a cluster of which kind')
        .choices(STRATEGIES)
        .default('leader'),
    )
  withJson(command)
    .addHelpText('after', HELP)
    .action((file: string, flags: { integrity?: true; strategy: Strategy; json?: true }) => {
      const merges = flags.strategy !== 'leader'
      const report = inspectFile(file, { integrity: flags.integrity === true, merges })
      if (flags.json) printJson({ file, adoptable: report.problems.length === 0, ...report })
      if (report.problems.length > 0) {
        const detail = `${file} can't be replicated: ${report.problems.join(' ')}`
        throw new QuorateError('NOT_ADOPTABLE', detail)
      }
      // Trying would merge a log that is left over into the file.
      const beside = hasBeside(file)
      if (report.kind === 'plain' && !beside) assertAlone(file)
      if (!flags.json) print(...checkLines(file, report, beside))
    })
}

export function checkLines(file: string, report: FileReport, beside: boolean): string[] {
  const { kind, identity, tables, pageBytes, journalMode } = report
  if (kind === 'none') return [`${file} has no content yet: a node begins with a new database.`]
  const facts = `${counted(tables, 'table')}, ${bytes(report.bytes)}, page size ${pageBytes}, journal mode ${journalMode}`
  if (identity !== null) {
    return [`${file} is node ${identity.node} of cluster ${identity.cluster}: ${facts}.`]
  }
  const note = 'A log is beside it: it was not closed in order, or another process has it open.'
  return [`${file} can be adopted: ${facts}.`, ...(beside ? [note] : [])]
}
