/**
 * The reference: the same programs on SQLite as it is, one statement after the other, with nothing
 * of the store but its words for results and errors.
 */
import { DatabaseSync } from 'node:sqlite'
import { type ErrorData, QuorateError, toErrorData } from '../../base/errors.ts'
import type { StatementResult, StepResult } from '../../model/program.ts'
import { DIALECT } from '../connections.ts'
import { isWrongType, mapSqliteError } from '../execute/statement.ts'
import type { ScriptProgram, Sql } from './script.ts'

const RAW = { readBigInts: true, returnArrays: true } as const
/** What a client may have set for itself; the next one does not have it. */
const RESET = `pragma foreign_keys = on; pragma defer_foreign_keys = off;
  pragma recursive_triggers = off; pragma legacy_alter_table = off;
  pragma ignore_check_constraints = off; pragma reverse_unordered_selects = off`

/** What became of one program or round. */
export interface PlainResult {
  readonly steps: readonly StepResult[]
  readonly autocommit: boolean
  /** For each statement: it changed more rows than its own. */
  readonly effects: readonly boolean[]
  /** A statement with a wrong type may have left some of its rows, which is a fault of SQLite. */
  readonly unclear: boolean
}

export class Plain {
  readonly db: DatabaseSync

  /** @param image a database as `image` gives it */
  constructor(image: Uint8Array | null = null) {
    this.db = new DatabaseSync(':memory:', DIALECT)
    if (image !== null) this.db.deserialize(image)
    this.db.exec('pragma foreign_keys = on')
  }

  close(): void {
    this.db.close()
  }

  /** The whole database as the bytes of its file. */
  image(): Uint8Array {
    return this.db.serialize()
  }

  /** Runs one program; what it leaves open is rolled back. */
  program({ atomic, statements }: ScriptProgram): PlainResult {
    const run = new Run(this.db, statements)
    if (atomic) run.atomic()
    else run.each()
    const open = this.db.isTransaction
    if (open) run.closed()
    this.#end()
    return run.result(true)
  }

  /** Runs one round of a stream. */
  round(statements: readonly Sql[]): PlainResult {
    const run = new Run(this.db, statements)
    run.each()
    const autocommit = !this.db.isTransaction
    // Settings end with the round, or with the transaction that it leaves open.
    if (autocommit) this.#end()
    return run.result(autocommit)
  }

  endStream(): void {
    this.#end()
  }

  #end(): void {
    if (this.db.isTransaction) this.db.exec('rollback')
    this.db.exec(RESET)
  }
}

class Run {
  readonly #db: DatabaseSync
  readonly #statements: readonly Sql[]
  readonly #steps: StepResult[]
  readonly #effects: boolean[]
  #unclear = false

  constructor(db: DatabaseSync, statements: readonly Sql[]) {
    this.#db = db
    this.#statements = statements
    this.#steps = statements.map(() => null)
    this.#effects = statements.map(() => false)
  }

  result(autocommit: boolean): PlainResult {
    const unclear = this.#unclear
    return { steps: this.#steps, autocommit, effects: this.#effects, unclear }
  }

  each(): void {
    for (const [i, one] of this.#statements.entries()) this.#step(i, one)
  }

  /** All or nothing; the first error ends it. */
  atomic(): void {
    this.#db.exec('begin')
    for (const [i, one] of this.#statements.entries()) {
      if (this.#step(i, one)) continue
      if (this.#db.isTransaction) this.#db.exec('rollback')
      return
    }
    try {
      this.#db.exec('commit')
    } catch (error) {
      this.#steps[this.#steps.length - 1] = { error: toError(error) }
      this.#db.exec('rollback')
    }
  }

  /** The program ended inside its transaction. */
  closed(): void {
    const detail = 'The program ended inside its transaction, which was rolled back.'
    const last = this.#steps.findLastIndex((step) => step !== null)
    this.#steps[last] = { error: { code: 'TRANSACTION_CLOSED', detail } }
  }

  #step(i: number, one: Sql): boolean {
    const before = this.#total()
    try {
      const ok = this.#run(one)
      this.#steps[i] = { ok }
      this.#effects[i] = this.#total() - before > BigInt(ok.changes)
      return true
    } catch (error) {
      this.#steps[i] = { error: toError(error) }
      if (this.#db.isTransaction) this.#unclear ||= leavesRows(one, mapSqliteError(error))
      return false
    }
  }

  #run({ sql, args, verb }: Sql): StatementResult {
    const [, before] = this.#counters()
    const statement = this.#db.prepare(sql, RAW)
    const rows = statement.all(...args) as unknown as StatementResult['rows']
    // ALTER TABLE shows columns of a query that it runs for itself.
    const shown = /^(create|drop|alter)/.test(sql) ? [] : statement.columns()
    const columns = shown.map(({ name, type }) => ({ name, decltype: type }))
    if (verb === 'other') return { columns, rows, changes: 0, lastInsertRowid: null }
    const [changes, rowid] = this.#counters()
    // Unchanged, it is of whoever inserted before.
    const lastInsertRowid = verb === 'insert' && rowid !== before ? rowid : null
    return { columns, rows, changes: Number(changes), lastInsertRowid }
  }

  #counters(): readonly [changes: bigint, lastInsertRowid: bigint] {
    const row = this.#db.prepare('select changes(), last_insert_rowid()', RAW).get()
    return row as unknown as [bigint, bigint]
  }

  #total(): bigint {
    const row = this.#db.prepare('select total_changes()', RAW).get() as unknown as [bigint]
    return row[0]
  }
}

/** SQLite's own message and base code. */
function toError(error: unknown): ErrorData {
  const mapped = mapSqliteError(error)
  if (!(mapped instanceof QuorateError)) throw error
  const data = toErrorData(mapped)
  // There is no disk here: it is the last id of an AUTOINCREMENT table that was given.
  return data.facts?.sqlite === 'SQLITE_FULL' ? { ...data, code: 'SQL_ERROR' } : data
}

/** SQLite thinks that these can't fail half-way, and so can't take their first rows back. */
function leavesRows({ sql, features, effects }: Sql, error: unknown): boolean {
  const risky =
    features.includes('strict') ||
    features.includes('conflict clause of a column') ||
    effects.length > 0
  return isWrongType(error) && (risky || /\b(replace|ignore|fail)\b/i.test(sql))
}
