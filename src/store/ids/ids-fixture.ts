/** What the tests of automatic ids share: a writer's connection without a store around it. */
import assert from 'node:assert/strict'
import { DatabaseSync } from 'node:sqlite'
import { QuorateError } from '../../base/errors.ts'
import type { StatementResult, Value } from '../../model/program.ts'
import { Connection, DIALECT } from '../connections.ts'
import { runRows } from '../execute/run-rows.ts'
import { Schema } from '../schema/schema.ts'
import type { Cleanup } from '../store-fixture.ts'

/** A database whose INSERTs get ids of a slot; with null SQLite gives them. */
export class Writer {
  readonly db: DatabaseSync
  readonly connection: Connection
  readonly schema: Schema

  constructor(t: Cleanup, schema: string, slot: number | null, path = ':memory:') {
    this.db = new DatabaseSync(path, DIALECT)
    t.after(() => {
      this.db.setAuthorizer(null)
      this.db.close()
    })
    this.db.exec(`create table if not exists _quorate_state (key, value); ${schema}`)
    this.connection = new Connection(this.db)
    this.schema = new Schema(this.connection, () => slot)
  }

  /** Runs a statement as the leader does, in the transaction that is open or in one of its own. */
  run(sql: string, ...args: Value[]): StatementResult {
    const { statements } = this.schema
    return this.#within(() =>
      runRows(this.connection, statements, { sql, args }, statements.get(sql)),
    )
  }

  /** Changes the schema as the leader does. */
  ddl(sql: string): void {
    this.schema.unwatch()
    this.db.exec(sql)
    this.schema.forget()
  }

  /** The rows of a query. */
  rows(sql: string): readonly (readonly Value[])[] {
    const query = this.db.prepare(sql, { readBigInts: true, returnArrays: true })
    return query.all() as unknown as Value[][]
  }

  /** The first column of a query, of integers. */
  ids(sql: string): readonly number[] {
    return this.rows(sql).map(([id]) => Number(id))
  }

  #within<T>(run: () => T): T {
    if (this.db.isTransaction) return run()
    this.connection.begin()
    try {
      const result = run()
      this.connection.commit()
      return result
    } finally {
      this.connection.rollback()
    }
  }
}

/** The code of the error that something throws, or 'ok'. */
export function codeOf(run: () => unknown): string {
  try {
    run()
    return 'ok'
  } catch (error) {
    assert.ok(error instanceof QuorateError, String(error))
    return error.code
  }
}
