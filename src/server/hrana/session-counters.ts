/**
 * changes(), last_insert_rowid() and total_changes() as a client of a connection expects them: of its
 * own statements. Its statements run on connections that everybody shares, or on a reader that never
 * inserts. So the stream remembers, and where a query asks outside of what it has just written in
 * the same transaction, it puts the numbers into the text.
 */
import type { Program, Statement, StatementResult, Step, StepResult } from '../../model/program.ts'
import { firstKeyword, keyword, type Token, tokenize } from '../../model/sql-tokens.ts'

const ASKS = /\b(?:changes|last_insert_rowid|total_changes)\b/i
const CHANGES: ReadonlySet<string> = new Set(['INSERT', 'REPLACE', 'UPDATE', 'DELETE'])
/** How an expression looks that took a function's place: what it was, and its value. */
const REPLACED = /\(\/\*((?:changes|last_insert_rowid|total_changes)\s*\(\s*\))\*\/-?\d+\)/gi

export class SessionCounters {
  #changes = 0
  #lastInsertRowid = 0n
  #totalChanges = 0
  /** The open transaction has changed rows, so the connection tells its own truth. */
  #wrote = false

  /** The program with the numbers in it. */
  before(program: Program): Program {
    if (this.#wrote || program.describe || !program.steps.some(({ statement }) => asks(statement)))
      return program
    const firstChange = program.steps.findIndex(({ statement }) => mayChange(statement))
    const steps = program.steps.map((step, i): Step => {
      const isBefore = firstChange === -1 || i <= firstChange
      return isBefore && asks(step.statement) ? this.#filled(step) : step
    })
    return { ...program, steps }
  }

  /** Takes note of what has run. @param open a transaction is open after it */
  saw({ steps }: Program, results: readonly StepResult[], open: boolean): void {
    for (const [i, result] of results.entries()) {
      const statement = steps[i]?.statement
      if (statement === undefined || result === null || 'error' in result) continue
      const { changes, lastInsertRowid } = result.ok
      const isChange = changes > 0 || CHANGES.has(firstKeyword(statement.sql))
      if (!isChange) continue
      this.#changes = changes
      this.#totalChanges += changes
      this.#wrote = true
      // Without a row the number is of whoever inserted before.
      if (lastInsertRowid !== null && changes > 0) this.#lastInsertRowid = lastInsertRowid
    }
    this.#wrote &&= open
  }

  #filled(step: Step): Step {
    const { statement } = step
    let sql = ''
    let end = 0
    const tokens = [...tokenize(statement.sql)]
    for (const [i, token] of tokens.entries()) {
      const value = this.#valueOf(tokens, i)
      const close = tokens[i + 2]
      if (value === null || close === undefined) continue
      const asked = statement.sql.slice(token.start, close.start + 1)
      sql += `${statement.sql.slice(end, token.start)}(/*${asked}*/${value})`
      end = close.start + 1
    }
    return { ...step, statement: { ...statement, sql: sql + statement.sql.slice(end) } }
  }

  #valueOf(tokens: readonly Token[], i: number): number | bigint | null {
    if (tokens[i + 1]?.text !== '(' || tokens[i + 2]?.text !== ')') return null
    switch (keyword(tokens[i])) {
      case 'CHANGES':
        return this.#changes
      case 'LAST_INSERT_ROWID':
        return this.#lastInsertRowid
      case 'TOTAL_CHANGES':
        return this.#totalChanges
      default:
        return null
    }
  }
}

/** Whether a program may ask for the numbers. */
export function asksForCounters({ steps }: Program): boolean {
  return steps.some(({ statement }) => asks(statement))
}

/** The results with the names that their columns have without numbers in the text. */
export function withAskedNames(results: readonly StepResult[]): readonly StepResult[] {
  return results.map((result) =>
    result === null || 'error' in result ? result : { ok: renamed(result.ok) },
  )
}

function renamed(result: StatementResult): StatementResult {
  if (!result.columns.some(({ name }) => name.includes('(/*'))) return result
  const columns = result.columns.map((column) => ({
    ...column,
    name: column.name.replaceAll(REPLACED, '$1'),
  }))
  return { ...result, columns }
}

function asks({ sql }: Statement): boolean {
  return ASKS.test(sql) && !['CREATE', 'ALTER', 'PRAGMA'].includes(firstKeyword(sql))
}

function mayChange({ sql }: Statement): boolean {
  const word = firstKeyword(sql)
  return word === 'WITH' || CHANGES.has(word)
}
