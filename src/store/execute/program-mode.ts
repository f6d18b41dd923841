/** Decides how programs have to run, before they do: by the text of their statements. */
import { TRANSACTIONS_MAX } from '../../model/origin-entry.ts'
import type { Program } from '../../model/program.ts'
import { firstKeyword } from '../../model/sql-tokens.ts'
import type { Connection } from '../connections.ts'
import { exceeds, type SchemaNeed, schemaNeed } from '../origins/additive.ts'
import type { Schema } from '../schema/schema.ts'
import { type Classified, DDL } from './classify.ts'

/** With others in one transaction, by itself, or by itself as the last. */
export type Mode = 'batch' | 'own' | 'schema'

/** How a program wants to change the schema. */
export interface Wanted {
  readonly wants: Exclude<SchemaNeed, 'never'>
}

/** Whatever has a name. */
const NAMED = 'select 1 from main.sqlite_schema where lower(name) = lower(?)'
const NO_TABLES: ReadonlySet<string> = new Set()

export class ProgramModes {
  readonly #writer: Connection
  readonly #schema: Schema

  constructor(writer: Connection, schema: Schema) {
    this.#writer = writer
    this.#schema = schema
  }

  get #merges(): boolean {
    return this.#schema.facts.merging !== null
  }

  /** Only the text is sure before the program runs: what follows DDL can't be prepared. */
  of(program: Program): Mode {
    let mode: Mode = this.#merges && program.steps.length > TRANSACTIONS_MAX ? 'own' : 'batch'
    const { statements } = this.#schema
    for (const { statement } of program.steps) {
      try {
        const found = statements.get(statement.sql)
        if (this.#isSchemaChange(found)) return 'schema'
        if (mode === 'batch' && found.needsOwnTransaction()) mode = 'own'
      } catch {
        // A wrong statement gets its error when its turn comes.
        if (DDL.has(firstKeyword(statement.sql))) return 'schema'
      }
    }
    return mode
  }

  /**
   * The end of the programs from one on that share a transaction. With several origins they are so
   * many that one entry holds their transactions.
   */
  endOfBatch(programs: readonly Program[], from: number): number {
    let transactions = programs[from]?.steps.length ?? 0
    let to = from + 1
    for (; to < programs.length; to += 1) {
      const program = programs[to] as Program
      transactions += program.steps.length
      if (this.#merges && transactions > TRANSACTIONS_MAX) break
      if (this.of(program) !== 'batch') break
    }
    return to
  }

  /**
   * What a program wants to do to the schema beyond what is allowed; null: nothing.
   *
   * @param from its first step that has not run
   */
  wants(program: Program | undefined, allowed: SchemaNeed, from = 0): Wanted | null {
    if (program === undefined || program.describe === true || allowed === 'any') return null
    const sqls = program.steps.slice(from).map(({ statement }) => statement.sql)
    if (!sqls.some((sql) => this.#changesSchema(sql))) return null
    const wants = schemaNeed(sqls, {
      virtual: this.#schema.facts.merging?.virtual ?? NO_TABLES,
      has: (name) => this.#writer.internal(NAMED).row(name) !== undefined,
    })
    return wants !== 'never' && exceeds(wants, allowed) ? { wants } : null
  }

  #changesSchema(sql: string): boolean {
    try {
      return this.#isSchemaChange(this.#schema.statements.get(sql))
    } catch {
      return false
    }
  }

  /** Among several origins PRAGMA user_version is agreed on like DDL. */
  #isSchemaChange({ kind, pragma }: Classified): boolean {
    return kind === 'ddl' || (this.#merges && pragma?.kind === 'replicated')
  }

  /** Whether triggers see every row that the statement touches, so that it may share a session. */
  sharesSession(found: Classified): boolean {
    return !found.replaces && this.#schema.facts.merging?.shares === true
  }

  /** The same of a whole program; false if one of its statements is wrong. */
  shareSession({ steps }: Program): boolean {
    const { statements } = this.#schema
    try {
      return steps.every(({ statement }) => this.sharesSession(statements.get(statement.sql)))
    } catch {
      return false
    }
  }
}
