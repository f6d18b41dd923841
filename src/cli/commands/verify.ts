/** `quorate verify`: whether all replicas hold the same rows at one position. */
import type { Command } from 'commander'
import type { ErrorData } from '../../base/errors.ts'
import type { Verified } from '../../store/types.ts'
import { type CommonFlags, targetOf, withJson, withTarget } from '../common.ts'
import { postJson } from '../node-client.ts'
import { EXIT_FAILURE, print, printJson } from '../output.ts'
import { type Cell, counted, type Paint, paintFor, tableLines } from '../terminal.ts'

/** What POST /admin/verify answers. */
export interface VerifyReport {
  readonly index: number
  readonly identical: boolean
  /** Name of the node -> its checksums, or why there are none. */
  readonly nodes: Readonly<Record<string, Verified | ErrorData>>
}

const HELP = `
Every replica computes a checksum of each table at the same position in the log, and runs SQLite's
integrity and foreign-key checks. It may go on for a while on a large database; nothing stops.

Exit code 1 if any replica differs, has a problem, or could not be asked.`

const TIMEOUT_MS = 10 * 60_000
const DIGEST_SHOWN = 12

export function registerVerify(root: Command): void {
  const command = root
    .command('verify')
    .summary('compare all replicas')
    .description('Compares the content of all replicas, table by table, at one position.')
  withJson(withTarget(command))
    .addHelpText('after', HELP)
    .action(async (flags: CommonFlags) => {
      const report = await postJson<VerifyReport>(targetOf(flags), '/admin/verify', {}, TIMEOUT_MS)
      if (flags.json) printJson(report)
      else print(...verifyLines(report, paintFor(process.stdout)))
      if (!report.identical) process.exitCode = EXIT_FAILURE
    })
}

/** A line for each table and replica, then the problems, then the verdict. */
export function verifyLines(report: VerifyReport, paint: Paint): string[] {
  const names = Object.keys(report.nodes).toSorted()
  const results = names.map((name) => report.nodes[name])
  const tables = new Set(results.flatMap((r) => (isVerified(r) ? Object.keys(r.tables) : [])))
  const rows: (Cell | string)[][] = []
  for (const table of [...tables].toSorted()) {
    const usual = mostCommon(results.flatMap((r) => (isVerified(r) ? [r.tables[table] ?? ''] : [])))
    results.forEach((result, at) => {
      if (!isVerified(result)) return
      const digest = result.tables[table] ?? ''
      const same = digest === usual
      rows.push([
        table,
        names[at] ?? '',
        digest === '' ? 'missing' : digest.slice(0, DIGEST_SHOWN),
        same ? 'same' : { text: 'DIFFERENT', style: 'red' },
      ])
    })
  }
  const head = [{ title: 'table' }, { title: 'replica' }, { title: 'checksum' }, { title: '' }]
  const lines = rows.length > 0 ? [...tableLines(head, rows, paint), ''] : []
  const problems = names.flatMap((name) => problemsOf(name, report.nodes[name]))
  lines.push(...problems.map((problem) => paint('red', `! ${problem}`)))
  if (problems.length > 0) lines.push('')
  const subject = `${counted(names.length, 'replica')} at position ${report.index}`
  lines.push(
    report.identical
      ? paint('green', `identical: ${subject}, ${counted(tables.size, 'table')}`)
      : paint('red', `NOT identical: ${subject}`),
  )
  return lines
}

function isVerified(result: Verified | ErrorData | undefined): result is Verified {
  return result !== undefined && 'tables' in result
}

function problemsOf(name: string, result: Verified | ErrorData | undefined): string[] {
  if (result === undefined) return []
  if (!isVerified(result)) return [`${name}: ${result.code}: ${result.detail}`]
  return result.problems.map((problem) => `${name}: ${problem}`)
}

function mostCommon(digests: readonly string[]): string | undefined {
  const counts = new Map<string, number>()
  for (const digest of digests) counts.set(digest, (counts.get(digest) ?? 0) + 1)
  return [...counts].toSorted((a, b) => b[1] - a[1])[0]?.[0]
}
