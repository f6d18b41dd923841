/** What replicas hold, table by table, as lines. */
import type { ErrorData } from '../base/errors.ts'
import type { VerifyReport } from '../node/verifier.ts'
import type { Verified } from '../store/types.ts'
import { type Cell, counted, type Paint, tableLines } from './terminal.ts'

const DIGEST_SHOWN = 12

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

export function isVerified(result: Verified | ErrorData | undefined): result is Verified {
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
