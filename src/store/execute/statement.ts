/**
 * Preparing, binding and running one statement, and what SQLite's errors mean to a caller: shared
 * by the reader and the writer, so that a statement behaves the same wherever it runs.
 */
import { constants, type DatabaseSync, type StatementSync } from 'node:sqlite'
import { type ErrorCode, QuorateError } from '../../base/errors.ts'
import { LIMITS } from '../../base/limits.ts'
import type {
  Column,
  Condition,
  Statement,
  StatementResult,
  StepResult,
  Value,
} from '../../model/program.ts'
import {
  keyword,
  type Parameters,
  parametersOf,
  statementTokens,
  type Token,
} from '../../model/sql-tokens.ts'
import { makeOwnTableViews, withoutOurTables } from '../schema/own-tables.ts'

/** One thing a statement does, as SQLite's authorizer tells it while the statement is prepared. */
export interface Action {
  readonly code: number
  readonly first: string | null
  readonly second: string | null
  readonly database: string | null
  /** The trigger or view that does it; null if the statement itself does. */
  readonly within: string | null
}

/** A statement ready to run, with what is known about it. */
export interface Prepared {
  readonly statement: StatementSync
  /** Its first word, in capitals. */
  readonly keyword: string
  readonly parameters: Parameters
  readonly columns: readonly Column[]
  readonly actions: readonly Action[]
  /** Which kind of row change it makes by itself; null for anything else. */
  readonly changes: 'insert' | 'update' | 'delete' | null
}

/** What is allowed to happen during prepare; some PRAGMAs act right then. */
export type Judge = (action: Action) => boolean

/** The text to prepare instead of a client's, with the same parameters and columns; null: his own. */
export type Rewrite = (sql: string, tokens: readonly Token[]) => string | null

const CHANGES: ReadonlyMap<number, 'insert' | 'update' | 'delete'> = new Map([
  [constants.SQLITE_INSERT, 'insert'],
  [constants.SQLITE_UPDATE, 'update'],
  [constants.SQLITE_DELETE, 'delete'],
])

/** DDL writes to these; a statement that starts there is no row change. */
const SCHEMA_TABLES: ReadonlySet<string> = new Set(['sqlite_master', 'sqlite_temp_master'])

/** The first use of a virtual table prepares its module's own writes along with a SELECT. */
const NO_CHANGES: ReadonlySet<string> = new Set(['EXPLAIN', 'SELECT', 'VALUES'])

/** The first write among the actions is the statement's own; triggers and cascades come after it. */
function changesOf(word: string, actions: readonly Action[]): Prepared['changes'] {
  if (NO_CHANGES.has(word)) return null
  const own = actions.find((action) => CHANGES.has(action.code))
  if (own === undefined || SCHEMA_TABLES.has(own.first ?? '')) return null
  return CHANGES.get(own.code) ?? null
}

/**
 * The statements of one connection, prepared once each. Takes over the connection's authorizer.
 * Whoever changes the schema, or sees that it changed, must call `clear`: SQLite prepares anew by
 * itself, but columns and actions would still be the old ones.
 */
export class StatementCache {
  readonly #db: DatabaseSync
  readonly #max: number
  readonly #rewrite: Rewrite
  readonly #prepared = new Map<string, Prepared>()
  #actions: Action[] = []
  #counters: StatementSync | null = null

  /**
   * @param judge decides about each action; false denies it, and the statement with it
   * @param max statements kept; the one unused for longest goes first
   * @param rewrite gives automatic ids
   */
  constructor(
    db: DatabaseSync,
    judge: Judge = () => true,
    max = 500,
    rewrite: Rewrite = () => null,
  ) {
    this.#db = db
    this.#max = max
    this.#rewrite = rewrite
    makeOwnTableViews(db)
    db.setAuthorizer((code, first, second, database, within) => {
      const action = { code, first, second, database, within }
      this.#actions.push(action)
      return judge(action) ? constants.SQLITE_OK : constants.SQLITE_DENY
    })
  }

  /**
   * Prepares a statement or finds it prepared. Throws SQL_ERROR and its kin.
   *
   * @param seen gets the actions also when preparing fails half-way
   */
  prepare(sql: string, seen?: (actions: readonly Action[]) => void): Prepared {
    const known = this.#prepared.get(sql)
    if (known !== undefined) {
      this.#prepared.delete(sql)
      this.#prepared.set(sql, known)
      seen?.(known.actions)
      return known
    }
    const made = this.#make(sql, seen)
    this.#prepared.set(sql, made)
    if (this.#prepared.size > this.#max) {
      const oldest = this.#prepared.keys().next().value
      if (oldest !== undefined) this.#prepared.delete(oldest)
    }
    return made
  }

  /**
   * Lets go of the connection, before it is closed: node:sqlite holds its authorizer in a way that the
   * garbage collector can't see through, so the two would keep each other for ever.
   */
  release(): void {
    this.clear()
    this.#db.setAuthorizer(null)
  }

  /** Forgets everything: the schema changed. */
  clear(): void {
    this.#prepared.clear()
    this.#counters = null
  }

  /** Rows changed by the latest change, and the rowid of the latest insert. */
  counters(): readonly [changes: bigint, lastInsertRowid: bigint] {
    this.#counters ??= this.#db.prepare('select changes(), last_insert_rowid()', RAW)
    return this.#counters.get() as unknown as [bigint, bigint]
  }

  #make(sql: string, seen?: (actions: readonly Action[]) => void): Prepared {
    const tokens = onlyStatement(sql)
    const word = keyword(tokens[0])
    this.#actions = []
    try {
      const statement = this.#compile(sql, tokens)
      const actions = this.#actions
      const columns = statement.columns().map(({ name, type }) => ({ name, decltype: type }))
      return {
        statement,
        keyword: word,
        parameters: parametersOf(tokens),
        columns,
        actions,
        changes: changesOf(word, actions),
      }
    } catch (error) {
      throw mapSqliteError(error)
    } finally {
      seen?.(this.#actions)
      this.#actions = []
    }
  }

  #compile(sql: string, tokens: readonly Token[]): StatementSync {
    const instead = this.#rewrite(sql, tokens)
    if (instead === null) return this.#compileQuery(sql, tokens)
    try {
      return this.#db.prepare(instead, RAW)
    } catch (error) {
      this.#actions = []
      // What is wrong with the client's own words is told of those.
      this.#db.prepare(sql, RAW)
      throw error
    }
  }

  /** Without Quorate's own tables in what it says of the schema, where that is possible. */
  #compileQuery(sql: string, tokens: readonly Token[]): StatementSync {
    const instead = withoutOurTables(sql, tokens)
    if (instead === null) return this.#db.prepare(sql, RAW)
    try {
      return this.#db.prepare(instead, RAW)
    } catch {
      this.#actions = []
      return this.#db.prepare(sql, RAW)
    }
  }
}

/** How every statement is read: whole values, no loss of 64-bit integers. */
const RAW = {
  readBigInts: true,
  returnArrays: true,
  allowBareNamedParameters: false,
} as const

/**
 * Room for the rows that a program reads. It is used row by row, because a recursive query may give
 * more of them than any memory holds.
 */
export class ResultRoom {
  readonly #bytesMax: number
  #used = 0

  constructor(bytesMax: number = LIMITS.resultBytesMax) {
    this.#bytesMax = bytesMax
  }

  /** Throws RESPONSE_TOO_LARGE. */
  take(row: readonly Value[]): void {
    this.#used += rowBytes(row)
    if (this.#used <= this.#bytesMax) return
    const detail = `The rows of the answer take more than ${this.#bytesMax} bytes.`
    throw new QuorateError('RESPONSE_TOO_LARGE', detail)
  }
}

/** About what a row takes, wherever it is kept or sent. */
export function rowBytes(row: readonly Value[]): number {
  let bytes = 16
  for (const value of row) {
    bytes += 16
    if (typeof value === 'string') bytes += value.length
    else if (value !== null && typeof value === 'object') bytes += value.byteLength
  }
  return bytes
}

/**
 * Runs a prepared statement with the arguments given. Rows of a statement that writes take no room:
 * it has written when they come, and they are bounded by what it wrote.
 *
 * Throws SQL_ARGUMENTS if they don't fit the parameters, SQL_CONSTRAINT, SQL_ERROR,
 * RESPONSE_TOO_LARGE.
 */
export function runPrepared(
  cache: StatementCache,
  prepared: Prepared,
  request: Statement,
  room?: ResultRoom,
): StatementResult {
  const args = bindArgs(prepared, request)
  try {
    if (prepared.columns.length === 0) {
      const { changes, lastInsertRowid } = prepared.statement.run(...args)
      return toResult(prepared, [], BigInt(changes), BigInt(lastInsertRowid))
    }
    const wantRows = request.wantRows !== false
    if (prepared.changes === null) {
      const rows = readRows(prepared.statement, args, wantRows, room ?? new ResultRoom())
      return toResult(prepared, rows, 0n, 0n)
    }
    const rows = prepared.statement.all(...args) as unknown as Value[][]
    return toResult(prepared, wantRows ? rows : [], ...cache.counters())
  } catch (error) {
    throw mapSqliteError(error)
  }
}

function readRows(
  statement: StatementSync,
  args: readonly Value[],
  wantRows: boolean,
  room: ResultRoom,
): Value[][] {
  const rows: Value[][] = []
  try {
    for (const each of statement.iterate(...args)) {
      if (!wantRows) continue
      const row = each as unknown as Value[]
      room.take(row)
      rows.push(row)
    }
  } catch (error) {
    settle(statement)
    throw error
  }
  return rows
}

/**
 * To be called when reading a statement's rows has failed: node:sqlite resets it only when it is read
 * next, whoever does that, and takes SQLite's answer, which is the old error, for a new one.
 */
export function settle(statement: StatementSync): void {
  try {
    statement.iterate()
  } catch {
    // It was thrown when it happened.
  }
}

/** Builds the result that callers see. */
function toResult(
  prepared: Prepared,
  rows: readonly (readonly Value[])[],
  changes: bigint,
  lastInsertRowid: bigint,
): StatementResult {
  return {
    columns: prepared.columns,
    rows,
    changes: prepared.changes === null ? 0 : Number(changes),
    lastInsertRowid: prepared.changes === 'insert' ? lastInsertRowid : null,
  }
}

/** The arguments as node:sqlite takes them: named ones in an object that goes first. */
export function bindArgs({ parameters }: Prepared, request: Statement): Value[] {
  const { count, names } = parameters
  const args = request.args ?? []
  const named = request.named === undefined ? NO_NAMES : Object.entries(request.named)
  if (named.length === 0 && args.length !== count) throw wrongCount(count, args.length)
  if (named.length === 0 && !names.some((name) => name !== null)) return args as Value[]
  const values: (Value | undefined)[] = [...args]
  if (args.length > count) throw wrongCount(count, args.length)
  for (const [name, value] of named) values[indexOfName(names, name)] = value
  const byName: Record<string, Value> = {}
  const anonymous: Value[] = []
  for (let i = 0; i < count; i += 1) {
    const value = values[i]
    const name = names[i] ?? null
    if (value === undefined) {
      const detail = `Parameter ${name ?? i + 1} has no value.`
      throw new QuorateError('SQL_ARGUMENTS', detail)
    }
    if (name === null) anonymous.push(value)
    else byName[name] = value
  }
  return [byName as unknown as Value, ...anonymous]
}

const NO_NAMES: readonly [string, Value][] = []

function wrongCount(count: number, given: number): QuorateError {
  const detail = `The statement takes ${count} values and was given ${given}.`
  return new QuorateError('SQL_ARGUMENTS', detail)
}

function indexOfName(names: Parameters['names'], name: string): number {
  const index = names.findIndex((known) => known === name || known?.slice(1) === name)
  if (index !== -1) return index
  throw new QuorateError('SQL_ARGUMENTS', `The statement has no parameter ${name}.`)
}

/** The tokens of the one statement that the text must be. */
function onlyStatement(sql: string): readonly Token[] {
  const [tokens, ...more] = statementTokens(sql)
  if (tokens === undefined) throw new QuorateError('SQL_NO_STATEMENT', 'The text has no statement.')
  if (more.length === 0) return tokens
  const detail = `The text has ${more.length + 1} statements.`
  throw new QuorateError('SQL_MANY_STATEMENTS', detail)
}

/**
 * Whether a step with this condition runs.
 *
 * @param done results of the steps before it
 */
export function conditionHolds(
  condition: Condition | undefined,
  done: readonly StepResult[],
  autocommit: boolean,
): boolean {
  if (condition === undefined) return true
  const of = (inner: Condition): boolean => conditionHolds(inner, done, autocommit)
  switch (condition.kind) {
    case 'ok':
    case 'error': {
      const result = done[condition.step] ?? null
      return result !== null && condition.kind in result
    }
    case 'not':
      return !of(condition.condition)
    case 'and':
      return condition.conditions.every(of)
    case 'or':
      return condition.conditions.some(of)
    case 'autocommit':
      return autocommit
  }
}

/** Names of SQLite's primary result codes, by number. */
const SQLITE_CODES: readonly string[] = [
  ...['OK', 'ERROR', 'INTERNAL', 'PERM', 'ABORT', 'BUSY', 'LOCKED', 'NOMEM', 'READONLY'],
  ...['INTERRUPT', 'IOERR', 'CORRUPT', 'NOTFOUND', 'FULL', 'CANTOPEN', 'PROTOCOL', 'EMPTY'],
  ...['SCHEMA', 'TOOBIG', 'CONSTRAINT', 'MISMATCH', 'MISUSE', 'NOLFS', 'AUTH', 'FORMAT'],
  ...['RANGE', 'NOTADB'],
]

/** Which of them are something else than a wrong statement. */
const MEANING: Readonly<Record<string, ErrorCode>> = {
  CONSTRAINT: 'SQL_CONSTRAINT',
  RANGE: 'SQL_ARGUMENTS',
  TOOBIG: 'TOO_LARGE',
  AUTH: 'SQL_REFUSED',
  BUSY: 'FILE_IN_USE',
  LOCKED: 'FILE_IN_USE',
  CORRUPT: 'LOG_CORRUPT',
  NOTADB: 'LOG_CORRUPT',
  IOERR: 'INTERNAL',
  FULL: 'INTERNAL',
  NOMEM: 'INTERNAL',
  CANTOPEN: 'INTERNAL',
  PROTOCOL: 'INTERNAL',
  MISUSE: 'INTERNAL',
}

/** SQLite's extended code of an error that `mapSqliteError` made; 0 if it is not SQLite's. */
function extendedCode(error: unknown): number {
  const cause = error instanceof Error ? error.cause : undefined
  return Number((cause as { errcode?: number } | undefined)?.errcode ?? 0)
}

/** "datatype mismatch" and its kin in STRICT tables. */
const MISMATCHES: ReadonlySet<number> = new Set([20, 3091])
const CONSTRAINT = 19
/** CHECK, NOT NULL, PRIMARY KEY, UNIQUE, rowid, RAISE. */
const RULES: ReadonlySet<number> = new Set([275, 1299, 1555, 2067, 2579, 1811])

/** A value of a type that a table does not take. */
export function isWrongType(error: unknown): boolean {
  return MISMATCHES.has(extendedCode(error))
}

/**
 * After these SQLite leaves the rows before the wrong one, if there is a transaction around. It takes
 * them back where it foresees an error, as with constraints; not where a function fails half-way,
 * or a value has the wrong type.
 */
export function mayLeaveRows(error: unknown): boolean {
  if (error instanceof QuorateError && error.code === 'IDS_EXHAUSTED') return true
  const code = extendedCode(error)
  return isWrongType(error) || (code > 0 && (code & 0xff) !== CONSTRAINT)
}

/** OR FAIL keeps the rows before the wrong one for these; after any other error none stays. */
export function failKeepsRows(error: unknown): boolean {
  return RULES.has(extendedCode(error))
}

/** What node:sqlite itself complains about before SQLite sees the statement or its arguments. */
const NODE_ERRORS: readonly (readonly [RegExp, ErrorCode])[] = [
  [/contains no statements/, 'SQL_NO_STATEMENT'],
  [/named parameter|cannot be bound|to bind|bare named/i, 'SQL_ARGUMENTS'],
]

/**
 * The error that a caller gets for whatever a statement threw. SQLite's message stays as it is.
 * Anything that SQLite did not say comes back unchanged: it is a bug of ours and must show as one.
 */
export function mapSqliteError(error: unknown): unknown {
  if (!(error instanceof Error) || error instanceof QuorateError) return error
  const { code, errcode } = error as Error & { code?: string; errcode?: number }
  const detail = `${error.message.replace(/\.$/, '')}.`
  if (code === 'ERR_SQLITE_ERROR' && errcode !== undefined) {
    const name = SQLITE_CODES[errcode & 0xff] ?? 'ERROR'
    const sqlite = `SQLITE_${name}`
    return new QuorateError(MEANING[name] ?? 'SQL_ERROR', detail, { sqlite }, { cause: error })
  }
  const known = NODE_ERRORS.find(([pattern]) => pattern.test(error.message))
  return known === undefined ? error : new QuorateError(known[1], detail, {}, { cause: error })
}
