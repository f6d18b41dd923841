/**
 * Between what an application writes (42, true, a Date) and what SQLite holds (INTEGER, REAL, TEXT,
 * BLOB): one place, so that embedded and remote agree.
 */
import { QuorateError } from '../base/errors.ts'
import type { Changes } from '../model/changes.ts'
import type { Statement, StatementResult, Value } from '../model/program.ts'
import type { Arg, Args, Cell, ChangeEvent, ExecuteResult, Row } from './types.ts'

/** SQLite takes it outside a transaction only; it holds for the program that it is in. */
export const FOREIGN_KEYS_OFF: Statement = { sql: 'PRAGMA foreign_keys = off' }

/**
 * One statement with its arguments as SQLite takes them.
 *
 * @throws QuorateError SQL_ARGUMENTS for a value that SQLite has no type for
 */
export function toStatement(sql: string, args: Args = []): Statement {
  if (isList(args)) return { sql, args: args.map((arg, at) => toValue(arg, at + 1)) }
  const named = Object.entries(args).map(([name, arg]): [string, Value] => [
    name,
    toValue(arg, name),
  ])
  return { sql, named: Object.fromEntries(named) }
}

function isList(args: Args): args is readonly Arg[] {
  return Array.isArray(args)
}

function toValue(arg: Arg, at: number | string): Value {
  switch (typeof arg) {
    case 'number':
      return fromNumber(arg, at)
    case 'boolean':
      return arg ? 1n : 0n
    case 'bigint':
      return fromBigint(arg, at)
    case 'string':
      return arg
    default:
      if (arg === null || arg instanceof Uint8Array) return arg
      if (arg instanceof ArrayBuffer) return new Uint8Array(arg)
      if (arg instanceof Date) return fromNumber(arg.getTime(), at)
      throw refused(at, `SQLite has no type for a value of type ${typeof arg}; bind null or a text`)
  }
}

function fromNumber(arg: number, at: number | string): Value {
  if (Number.isSafeInteger(arg) && !Object.is(arg, -0)) return BigInt(arg)
  // SQLite would make it NULL without a word.
  if (Number.isNaN(arg)) throw refused(at, 'it is NaN; bind null for no value')
  return arg
}

function fromBigint(arg: bigint, at: number | string): bigint {
  if (BigInt.asIntN(64, arg) === arg) return arg
  throw refused(at, 'the bigint does not fit into 64 bits; bind it as a text')
}

function refused(at: number | string, why: string): QuorateError {
  return new QuorateError('SQL_ARGUMENTS', `Argument ${at} can't be bound: ${why}.`)
}

/** A value as the application sees it: an INTEGER is a number while that is exact. */
export function toCell(value: Value): Cell {
  if (typeof value !== 'bigint') return value
  const number = Number(value)
  return Number.isSafeInteger(number) ? number : value
}

/** A value as it is, where bigints were asked for. */
function sameCell(value: Value): Cell {
  return value
}

function cellsAs(bigints: boolean): (value: Value) => Cell {
  return bigints ? sameCell : toCell
}

/** @param bigints every INTEGER as a bigint */
export function toExecuteResult(result: StatementResult, bigints: boolean): ExecuteResult {
  const cell = cellsAs(bigints)
  const { columns, rows, changes, lastInsertRowid } = result
  return {
    columns: columns.map(({ name }) => name),
    rows: rows.map((row) => row.map(cell)),
    changes,
    lastInsertRowid:
      lastInsertRowid === null || bigints ? lastInsertRowid : toInteger(lastInsertRowid),
  }
}

function toInteger(value: bigint): number | bigint {
  const number = Number(value)
  return Number.isSafeInteger(number) ? number : value
}

/** Rows as lists, for who takes none of the rest. */
export function toCells(result: StatementResult, bigints: boolean): Cell[][] {
  const cell = cellsAs(bigints)
  return result.rows.map((row) => row.map(cell))
}

/**
 * Makes rows into objects by column name; of two columns of one name the later wins. The caller says
 * what type they have: nothing here can check it.
 */
export function rowMaker<T extends object>(
  columns: readonly { readonly name: string }[],
  bigints: boolean,
): (values: readonly Value[]) => T {
  const names = columns.map(({ name }) => name)
  const cell = cellsAs(bigints)
  // Setting it would set the prototype.
  if (names.includes('__proto__')) {
    return (values) =>
      Object.fromEntries(names.map((name, at) => [name, cell(values[at] ?? null)])) as T
  }
  return (values) => {
    const row: Row = {}
    for (let at = 0; at < names.length; at += 1) row[names[at] as string] = cell(values[at] ?? null)
    return row as T
  }
}

export function toRows<T extends object>(result: StatementResult, bigints: boolean): T[] {
  return result.rows.map(rowMaker<T>(result.columns, bigints))
}

/** Changes as listeners see them. */
export function toChangeEvent(changes: Changes, bigints: boolean): ChangeEvent {
  if (changes.kind === 'gap') return changes
  const cell = cellsAs(bigints)
  const rows = changes.rows.map(({ table, op, key }) => ({
    table,
    op,
    key: key === null ? null : Object.fromEntries(key.map(([name, value]) => [name, cell(value)])),
  }))
  return { ...changes, rows }
}
