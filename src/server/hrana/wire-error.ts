/**
 * What an error is called on the wire, the same in every encoding and carrier. Clients of libSQL know
 * SQLite's codes and those of libSQL's server, so that is what they are told wherever one fits; ours
 * stays readable beside it.
 */
import { type ErrorCode, type ErrorData, fromErrorData } from '../../base/errors.ts'

/**
 * Codes that say that nothing was changed and that the same may be tried again: to a client of SQLite
 * that is a database which somebody else holds. No code may be here that can follow an effect, not
 * even of a part: not UNKNOWN_OUTCOME, and not CURSOR_CLOSED, after which rows may have been given.
 * What is told of a transaction (TRANSACTION_CLOSED, TRANSACTION_TIMEOUT, STREAM_EXPIRED) is not here
 * either, because trying the one statement again would not do.
 */
const BUSY: ReadonlySet<ErrorCode> = new Set([
  'NO_LEADER',
  'NOT_READY',
  'OVERLOADED',
  'DEADLINE',
  'TAKEN_BACK',
  'KEEPER_UNREACHABLE',
  'READ_LEVEL_UNAVAILABLE',
  'ACK_UNAVAILABLE',
  'SCHEMA_CHANGE_PENDING',
])

interface WireError {
  readonly message: string
  readonly code: string
}

/** An error as Hrana has it. The sentence begins with our code where SQLITE_BUSY would hide it. */
export function wireError(error: ErrorData): WireError {
  const { code, detail, facts } = error
  const sqlite = facts?.sqlite
  const message = sqlite === undefined ? fromErrorData(error).message : detail
  if (code === 'SQL_ARGUMENTS') return { message, code: 'ARGS_INVALID' }
  if (BUSY.has(code)) return { message: `${code}: ${message}`, code: 'SQLITE_BUSY' }
  return { message, code: sqlite ?? code }
}
