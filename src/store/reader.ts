/**
 * Reads one database file: runs programs of reads, each in one read transaction that also tells
 * which entry the database is at. Synchronous and without threads, so that the simulator, an
 * application's own thread and the reader threads all use this one.
 */
import { constants, type DatabaseSync, type StatementSync } from 'node:sqlite'
import { type LogIndex, toLogIndex } from '../base/brand.ts'
import { type ErrorData, QuorateError, toErrorData } from '../base/errors.ts'
import type { Program, ProgramResult, Step, StepResult } from '../model/program.ts'
import { firstKeyword } from '../model/sql-tokens.ts'
import { inodeOf, openLive } from './live-file.ts'
import {
  type Action,
  conditionHolds,
  mapSqliteError,
  type Prepared,
  runPrepared,
  StatementCache,
} from './statement.ts'

export type ReadReply =
  | {
      readonly kind: 'rows'
      readonly result: ProgramResult
      /** The database as of this entry. */
      readonly applied: LogIndex
    }
  /** At least one statement is not a read: nothing was run. */
  | { readonly kind: 'notRead' }
  | { readonly kind: 'failed'; readonly error: ErrorData }

/** PRAGMAs that tell about the database and change nothing, with an argument or without. */
const READ_PRAGMAS: ReadonlySet<string> = new Set([
  'table_info',
  'table_xinfo',
  'table_list',
  'index_list',
  'index_info',
  'index_xinfo',
  'foreign_key_list',
  'foreign_key_check',
  'integrity_check',
  'quick_check',
  'compile_options',
  'database_list',
  'collation_list',
  'function_list',
  'module_list',
  'pragma_list',
])

/** PRAGMAs that tell when they have no argument, and set when they have one. */
const READ_PRAGMAS_BARE: ReadonlySet<string> = new Set([
  'application_id',
  'auto_vacuum',
  'data_version',
  'encoding',
  'foreign_keys',
  'freelist_count',
  'journal_mode',
  'page_count',
  'page_size',
  'schema_version',
  'user_version',
])

const READ_ACTIONS: ReadonlySet<number> = new Set([
  constants.SQLITE_SELECT,
  constants.SQLITE_READ,
  constants.SQLITE_FUNCTION,
  constants.SQLITE_RECURSIVE,
])

/** Statements that begin so are reads even if they can't be prepared. */
const READ_KEYWORDS: ReadonlySet<string> = new Set(['SELECT', 'VALUES', 'EXPLAIN', 'PRAGMA'])
/** SQLite says these whatever the schema, so they are errors here as much as at the leader. */
const WRONG_ANYWHERE = /syntax error|incomplete input|unrecognized token/

function isReadPragma(action: Action): boolean {
  const name = (action.first ?? '').toLowerCase()
  return READ_PRAGMAS.has(name) || (READ_PRAGMAS_BARE.has(name) && action.second === null)
}

/** Denied are PRAGMAs that may act while they are being prepared; the rest is judged afterwards. */
function mayPrepare(action: Action): boolean {
  return action.code !== constants.SQLITE_PRAGMA || isReadPragma(action)
}

/** BEGIN, COMMIT or ROLLBACK, if it is one of those. */
function transactionControl(actions: readonly Action[]): string | null {
  const [action] = actions
  return action?.code === constants.SQLITE_TRANSACTION ? action.first : null
}

/** A statement without any action (VACUUM) is not a read. */
function onlyReads(actions: readonly Action[]): boolean {
  return (
    actions.length > 0 &&
    actions.every((a) => READ_ACTIONS.has(a.code) || a.code === constants.SQLITE_PRAGMA)
  )
}

type Plan =
  | { readonly kind: 'run'; readonly prepared: Prepared }
  | { readonly kind: 'control'; readonly word: string }
  | { readonly kind: 'error'; readonly error: ErrorData }

/** One open connection and what belongs to it. */
class Connection {
  readonly db: DatabaseSync
  readonly cache: StatementCache
  /** To notice that another file has taken the place of this one. */
  readonly inode: number
  readonly begin: StatementSync
  readonly commit: StatementSync
  readonly #schemaVersion: StatementSync
  #applied: StatementSync | null = null
  #seenSchema: unknown = null

  constructor(path: string) {
    const { db, inode } = openLive(path, { readOnly: true, timeout: 5_000 })
    this.db = db
    this.inode = inode
    this.begin = this.db.prepare('begin')
    this.commit = this.db.prepare('commit')
    this.#schemaVersion = this.db.prepare('pragma schema_version', { returnArrays: true })
    this.cache = new StatementCache(this.db, mayPrepare)
  }

  /** Within the transaction: drops what another schema made stale, and says what is applied. */
  look(): LogIndex {
    const [version] = this.#schemaVersion.get() as unknown as [number]
    if (version !== this.#seenSchema) {
      this.cache.clear()
      this.#seenSchema = version
      this.#applied = this.#prepareApplied()
    }
    return toLogIndex(Number(this.#applied?.get()?.['value'] ?? 0))
  }

  /** null in a file that belongs to no cluster yet. */
  #prepareApplied(): StatementSync | null {
    const table = this.db.prepare("select 1 from sqlite_master where name = '_quorate_state'").get()
    if (table === undefined) return null
    return this.db.prepare("select value from _quorate_state where key = 'applied'")
  }
}

/** Reads of one database file. Opens it when first asked, and anew when the file was replaced. */
export class Reader {
  readonly #path: string
  #connection: Connection | null = null

  constructor(path: string) {
    this.#path = path
  }

  /**
   * Runs a program of reads in one read transaction. BEGIN, COMMIT and ROLLBACK among them do
   * nothing beyond what they say in the result. Never throws for what a caller can get wrong:
   * errors of statements are in their steps, those of the file in `failed`.
   */
  read(program: Program): ReadReply {
    try {
      const connection = this.#connect()
      connection.begin.run()
      try {
        const applied = connection.look()
        const plans = planSteps(connection.cache, program.steps)
        if (plans === null) return { kind: 'notRead' }
        return { kind: 'rows', result: run(connection.cache, program, plans), applied }
      } finally {
        connection.commit.run()
      }
    } catch (error) {
      return { kind: 'failed', error: toErrorData(mapSqliteError(error)) }
    }
  }

  /** Lets go of the file; the next read opens it again. */
  reopen(): void {
    this.#connection?.db.close()
    this.#connection = null
  }

  close(): void {
    this.reopen()
  }

  #connect(): Connection {
    const known = this.#connection
    if (known !== null && inodeOf(this.#path) === known.inode) return known
    this.reopen()
    this.#connection = new Connection(this.#path)
    return this.#connection
  }
}

/** What to do for each step, or null if the program is not one of reads only. */
function planSteps(cache: StatementCache, steps: readonly Step[]): readonly Plan[] | null {
  const plans: Plan[] = []
  let depth = 0
  for (const { statement } of steps) {
    const plan = planStep(cache, statement.sql)
    if (plan === null) return null
    if (plan.kind === 'control') depth = plan.word === 'BEGIN' ? 1 : 0
    plans.push(plan)
  }
  // A transaction that stays open is somebody's stream, which lives at the writer.
  return depth === 0 ? plans : null
}

function planStep(cache: StatementCache, sql: string): Plan | null {
  let denied = false
  try {
    const prepared = cache.prepare(sql, (actions) => {
      denied = !actions.every(mayPrepare)
    })
    if (prepared.keyword === 'EXPLAIN') return { kind: 'run', prepared }
    const word = transactionControl(prepared.actions)
    if (word !== null) return { kind: 'control', word }
    return onlyReads(prepared.actions) ? { kind: 'run', prepared } : null
  } catch (error) {
    if (denied) return null
    if (!(error instanceof QuorateError)) throw error
    return wrongHere(sql, error) ? { kind: 'error', error: toErrorData(error) } : null
  }
}

/**
 * Whether an error of preparing is this replica's to give. A write to a table that has not come
 * here yet is for the leader to judge.
 */
function wrongHere(sql: string, error: QuorateError): boolean {
  if (error.code !== 'SQL_ERROR' || WRONG_ANYWHERE.test(error.detail)) return true
  return READ_KEYWORDS.has(firstKeyword(sql))
}

function run(cache: StatementCache, program: Program, plans: readonly Plan[]): ProgramResult {
  const results: StepResult[] = []
  let autocommit = true
  let ended = false
  for (const [i, step] of program.steps.entries()) {
    const plan = plans[i]
    const skip = ended || !conditionHolds(step.condition, results, autocommit)
    if (skip || plan === undefined) {
      results.push(null)
      continue
    }
    const result = runStep(cache, step, plan, autocommit)
    if (plan.kind === 'control' && 'ok' in result) autocommit = plan.word !== 'BEGIN'
    ended = program.atomic && 'error' in result
    results.push(result)
  }
  return { steps: results, autocommit }
}

function runStep(
  cache: StatementCache,
  step: Step,
  plan: Plan,
  autocommit: boolean,
): Exclude<StepResult, null> {
  try {
    if (plan.kind === 'error') return { error: plan.error }
    if (plan.kind === 'run') return { ok: runPrepared(cache, plan.prepared, step.statement) }
    checkControl(plan.word, autocommit)
    return { ok: { columns: [], rows: [], changes: 0, lastInsertRowid: null } }
  } catch (error) {
    if (error instanceof QuorateError) return { error: toErrorData(error) }
    throw error
  }
}

/** The errors that SQLite would give, in its words. */
function checkControl(word: string, autocommit: boolean): void {
  const sqlite = 'SQLITE_ERROR'
  if (word === 'BEGIN' && !autocommit) {
    const detail = 'cannot start a transaction within a transaction.'
    throw new QuorateError('SQL_ERROR', detail, { sqlite })
  }
  if (word !== 'BEGIN' && autocommit) {
    const detail = `cannot ${word.toLowerCase()} - no transaction is active.`
    throw new QuorateError('SQL_ERROR', detail, { sqlite })
  }
}
