/**
 * What Hrana's `describe` tells about a statement without running it. node:sqlite has no call for
 * most of it, so parameters come from the tokens, and columns from running a SELECT for no rows.
 */
import { type ErrorData, fromErrorData, QuorateError } from '../../base/errors.ts'
import type { Column, Statement, StatementResult, StepResult } from '../../model/program.ts'
import { firstKeyword, parameters, splitStatements } from '../../model/sql-tokens.ts'
import type { Description } from './protocol.ts'

/** Runs a statement as a read. */
type Probe = (statement: Statement) => Promise<Exclude<StepResult, null>>

/** These are read-only as sqlite3_stmt_readonly sees it. */
const READS: ReadonlySet<string> = new Set([
  ...['SELECT', 'VALUES', 'EXPLAIN', 'BEGIN', 'COMMIT', 'END', 'ROLLBACK', 'SAVEPOINT', 'RELEASE'],
])

/** Throws SQL_ERROR and its kin; SQL_REFUSED for what can't be told without running it. */
export async function describe(sql: string, probe: Probe): Promise<Description> {
  const [only, ...more] = splitStatements(sql)
  if (only === undefined) throw new QuorateError('SQL_NO_STATEMENT', 'There is no statement.')
  if (more.length > 0)
    throw new QuorateError('SQL_MANY_STATEMENTS', 'There are several statements.')
  const keyword = firstKeyword(only)
  const selected = keyword === 'SELECT' || keyword === 'VALUES' || keyword === 'WITH'
  const columns = selected
    ? await columnsOf(only, keyword, probe)
    : await otherColumns(only, keyword, probe)
  return {
    params: parameters(only).names,
    columns: columns ?? [],
    isExplain: keyword === 'EXPLAIN',
    isReadonly: READS.has(keyword) || (keyword === 'WITH' && columns !== null),
  }
}

/** Null: it turned out to write. */
async function columnsOf(
  sql: string,
  keyword: string,
  probe: Probe,
): Promise<readonly Column[] | null> {
  // The line break ends a comment at the end of the statement.
  const found = await probe({ sql: `SELECT * FROM (${sql.replace(/;\s*$/, '')}\n) LIMIT 0` })
  if ('ok' in found) return found.ok.columns
  if (keyword !== 'WITH') throw fromErrorData(found.error)
  await check(sql, probe)
  return null
}

async function otherColumns(
  sql: string,
  keyword: string,
  probe: Probe,
): Promise<readonly Column[]> {
  if (keyword === 'EXPLAIN') return (await run({ sql }, probe)).columns
  if (/\breturning\b/i.test(sql)) {
    const detail = 'The columns of RETURNING are not known before the statement has run.'
    throw new QuorateError('SQL_REFUSED', detail)
  }
  if (/^(insert|update|delete|replace)$/i.test(keyword)) await check(sql, probe)
  return []
}

/** EXPLAIN prepares a statement and does not run it: its errors are those of the statement. */
async function check(sql: string, probe: Probe): Promise<void> {
  await run({ sql: `EXPLAIN ${sql}` }, probe)
}

async function run(statement: Statement, probe: Probe): Promise<StatementResult> {
  const result = await probe(statement)
  if ('ok' in result) return result.ok
  throw fromErrorData(result.error satisfies ErrorData)
}
