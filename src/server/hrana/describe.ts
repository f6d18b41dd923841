/**
 * What Hrana's `describe` tells about a statement without running it: its parameters from its
 * tokens, because node:sqlite doesn't tell them, and the rest from SQLite (see store/execute/describe.ts).
 */
import { fromErrorData, QuorateError } from '../../base/errors.ts'
import type { Program, StepResult } from '../../model/program.ts'
import { firstKeyword, splitStatements, tokenize } from '../../model/sql-tokens.ts'
import type { Description } from './protocol.ts'

/** SQLite takes no higher number; the bound keeps a hostile one from filling memory. */
const PARAMETERS_MAX = 32_767

/**
 * @param run runs a program that describes one statement
 * @throws QuorateError SQL_NO_STATEMENT, SQL_MANY_STATEMENTS, SQL_ERROR and its kin
 */
export async function describe(
  sql: string,
  run: (program: Program) => Promise<Exclude<StepResult, null>>,
): Promise<Description> {
  const [only, ...more] = splitStatements(sql)
  if (only === undefined) throw new QuorateError('SQL_NO_STATEMENT', 'There is no statement.')
  if (more.length > 0)
    throw new QuorateError('SQL_MANY_STATEMENTS', 'There are several statements.')
  const result = await run({ atomic: true, steps: [{ statement: { sql: only } }], describe: true })
  if ('error' in result) throw fromErrorData(result.error)
  return {
    params: parameterNames(only),
    columns: result.ok.columns,
    isExplain: firstKeyword(only) === 'EXPLAIN',
    isReadonly: result.ok.readOnly ?? false,
  }
}

/** As sqlite3_bind_parameter_name tells them: a numbered one is called `?3`, a plain `?` is null. */
function parameterNames(sql: string): readonly (string | null)[] {
  const names: (string | null)[] = []
  for (const { kind, text } of tokenize(sql)) {
    if (kind !== 'parameter') continue
    if (text === '?') names.push(null)
    else if (text[0] !== '?') {
      if (!names.includes(text)) names.push(text)
    } else {
      const at = Math.min(Number(text.slice(1)), PARAMETERS_MAX) - 1
      while (names.length <= at) names.push(null)
      names[at] ??= text
    }
  }
  return names
}
