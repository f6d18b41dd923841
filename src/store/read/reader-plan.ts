/**
 * Which statements are reads: a replica's reader runs these and nothing else. Judged by what SQLite
 * itself says that a statement does while it is prepared.
 */
import { constants } from 'node:sqlite'
import { type ErrorData, QuorateError, toErrorData } from '../../base/errors.ts'
import type { Step } from '../../model/program.ts'
import { firstKeyword } from '../../model/sql-tokens.ts'
import { isTellingPragma } from '../execute/pragmas.ts'
import type { Action, Prepared, StatementCache } from '../execute/statement.ts'

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
  return isTellingPragma(name) || (READ_PRAGMAS_BARE.has(name) && action.second === null)
}

/** Denied are PRAGMAs that may act while they are being prepared; the rest is judged afterwards. */
export function mayPrepare(action: Action): boolean {
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

/** What to do for a step of a program of reads. */
export type Plan =
  | { readonly kind: 'run'; readonly prepared: Prepared }
  | { readonly kind: 'control'; readonly word: string }
  | { readonly kind: 'error'; readonly error: ErrorData }

/** What to do for each step, or null if the program is not one of reads only. */
export function planReads(cache: StatementCache, steps: readonly Step[]): readonly Plan[] | null {
  const plans: Plan[] = []
  let depth = 0
  for (const { statement } of steps) {
    const plan = planStep(cache, statement.sql, wrongHere)
    if (plan === null) return null
    if (plan.kind === 'control') depth = plan.word === 'BEGIN' ? 1 : 0
    plans.push(plan)
  }
  // A transaction that stays open is somebody's stream, which lives at the writer.
  return depth === 0 ? plans : null
}

/** The same for a transaction that only reads: what writes is an error of its step. */
export function planReadOnly(cache: StatementCache, steps: readonly Step[]): readonly Plan[] {
  return steps.map(({ statement }) => planStep(cache, statement.sql, () => true) ?? READ_ONLY)
}

/**
 * Null: not a read.
 *
 * @param isWrong whether an error of preparing is the answer, rather than a sign of a write
 */
function planStep(
  cache: StatementCache,
  sql: string,
  isWrong: (sql: string, error: QuorateError) => boolean,
): Plan | null {
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
    return isWrong(sql, error) ? { kind: 'error', error: toErrorData(error) } : null
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

const READ_ONLY: Plan = {
  kind: 'error',
  error: {
    code: 'SQL_ERROR',
    detail: 'attempt to write in a read-only transaction.',
    facts: { sqlite: 'SQLITE_READONLY' },
  },
}

/** Throws what SQLite would say to BEGIN, COMMIT or ROLLBACK, in its words. */
export function checkControl(word: string, autocommit: boolean): void {
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
