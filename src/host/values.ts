/** Between what an application writes (42, true) and what SQLite holds (INTEGER, REAL). */
import { QuorateError } from '../base/errors.ts'
import type { Arg, Args, Cell, ExecuteResult, Row } from '../client/types.ts'
import type { Statement, StatementResult, Value } from '../model/program.ts'

/**
 * One statement with its arguments as SQLite takes them.
 *
 * @throws QuorateError SQL_ARGUMENTS for a value that SQLite has no type for
 */
export function toStatement(sql: string, args: Args = []): Statement {
  if (Array.isArray(args)) return { sql, args: args.map(toValue) }
  const named: Record<string, Value> = {}
  for (const [name, arg] of Object.entries(args)) named[name] = toValue(arg)
  return { sql, named }
}

function toValue(arg: Arg): Value {
  switch (typeof arg) {
    case 'number':
      return Number.isSafeInteger(arg) && !Object.is(arg, -0) ? BigInt(arg) : arg
    case 'boolean':
      return arg ? 1n : 0n
    case 'bigint':
    case 'string':
      return arg
    default:
      if (arg === null || arg instanceof Uint8Array) return arg
      throw new QuorateError('SQL_ARGUMENTS', `SQLite has no type for a value of ${typeof arg}.`)
  }
}

/** An INTEGER is a number while that is exact, and a bigint beyond. */
export function toCell(value: Value): Cell {
  if (typeof value !== 'bigint') return value
  const number = Number(value)
  return Number.isSafeInteger(number) ? number : value
}

export function toExecuteResult(result: StatementResult): ExecuteResult {
  return {
    columns: result.columns.map((column) => column.name),
    rows: result.rows.map((row) => row.map(toCell)),
    changes: result.changes,
    lastInsertRowid:
      result.lastInsertRowid === null ? null : (toCell(result.lastInsertRowid) as number | bigint),
  }
}

/** Rows as objects by column name; of two columns of one name the later wins. */
export function toRows(result: StatementResult): Row[] {
  const names = result.columns.map((column) => column.name)
  return result.rows.map((values) => {
    const row: Row = {}
    for (const [i, name] of names.entries()) row[name] = toCell(values[i] ?? null)
    return row
  })
}
