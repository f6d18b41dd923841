/**
 * What a statement would return and whether it only reads, without running it. node:sqlite tells the
 * columns of a prepared statement, but not sqlite3_stmt_readonly: that follows from the opcodes that
 * EXPLAIN lists, because SQLite computes it from the same ones.
 */
import { constants, DatabaseSync } from 'node:sqlite'
import { QuorateError, toErrorData } from '../../base/errors.ts'
import type { Program, StatementResult, StepResult } from '../../model/program.ts'
import { firstKeyword, keyword, statementTokens } from '../../model/sql-tokens.ts'
import { mapSqliteError, StatementCache } from './statement.ts'

/** Of an EXPLAIN's row. */
const OPCODE = 1
const P2 = 3
/** Opcodes that make a statement one that writes, whatever their arguments. */
const WRITING: ReadonlySet<unknown> = new Set(['Vacuum', 'JournalMode', 'Checkpoint'])
/** PRAGMAs that act on the whole process while they are being prepared. */
const PROCESS_WIDE: ReadonlySet<string> = new Set([
  ...['hard_heap_limit', 'soft_heap_limit', 'temp_store_directory', 'data_store_directory'],
])

/** Describes each statement of a program. Errors of statements are in their steps. */
export function describeProgram({ steps }: Program, cache: StatementCache): StepResult[] {
  return steps.map(({ statement }) => {
    try {
      return { ok: describeStatement(statement.sql, cache) }
    } catch (thrown) {
      const error = mapSqliteError(thrown)
      if (error instanceof QuorateError) return { error: toErrorData(error) }
      throw error
    }
  })
}

function describeStatement(sql: string, cache: StatementCache): StatementResult {
  const explained = withoutExplain(sql)
  return firstKeyword(explained) === 'PRAGMA'
    ? describePragma(sql, explained)
    : describeOn(cache, sql, explained)
}

function describeOn(cache: StatementCache, sql: string, explained: string): StatementResult {
  const { columns } = cache.prepare(sql)
  const opcodes = cache.prepare(`EXPLAIN ${explained}`).statement.all() as unknown as unknown[][]
  const readOnly = !opcodes.some(isWrite)
  return { columns, rows: [], changes: 0, lastInsertRowid: null, readOnly }
}

function isWrite(row: readonly unknown[]): boolean {
  return WRITING.has(row[OPCODE]) || (row[OPCODE] === 'Transaction' && row[P2] !== 0n)
}

/** Many a PRAGMA acts while it is being prepared: on a database of nobody's. */
function describePragma(sql: string, explained: string): StatementResult {
  const db = new DatabaseSync(':memory:')
  const cache = new StatementCache(db, ({ code, first }) => {
    return code !== constants.SQLITE_PRAGMA || !PROCESS_WIDE.has((first ?? '').toLowerCase())
  })
  try {
    return describeOn(cache, sql, explained)
  } finally {
    cache.release()
    db.close()
  }
}

/** The statement behind EXPLAIN or EXPLAIN QUERY PLAN. */
function withoutExplain(sql: string): string {
  const [tokens = []] = statementTokens(sql)
  if (keyword(tokens[0]) !== 'EXPLAIN') return sql
  const first = tokens[keyword(tokens[1]) === 'QUERY' ? 3 : 1]
  return first === undefined ? sql : sql.slice(first.start)
}
