/**
 * `quorate/kysely`: Kysely on a database of Quorate, embedded or remote. Statements outside a
 * transaction go wherever the database sends them, so reads stay on the replica at hand; only a
 * transaction is bound to one place.
 */
import {
  CompiledQuery,
  type DatabaseConnection,
  type DatabaseIntrospector,
  type DatabaseMetadataOptions,
  type Dialect,
  type DialectAdapter,
  type Driver,
  type Kysely,
  type QueryCompiler,
  type QueryResult,
  SelectQueryNode,
  SqliteAdapter,
  SqliteIntrospector,
  SqliteQueryCompiler,
  type TableMetadata,
  type TransactionSettings,
} from 'kysely'
import { QuorateError } from '../base/errors.ts'
import type { Args, Db, ExecuteResult, OpenTransaction, Row } from '../client/types.ts'

export interface QuorateDialectConfig {
  /** From `open` or `connect`. Kysely's destroy() closes it. */
  readonly database: Db
}

/**
 * The dialect to give to Kysely.
 *
 * @example
 * const db = await open('shop.db')
 * const orm = new Kysely<Tables>({ dialect: new QuorateDialect({ database: db }) })
 */
export class QuorateDialect implements Dialect {
  readonly #database: Db

  constructor({ database }: QuorateDialectConfig) {
    this.#database = database
  }

  createDriver(): Driver {
    return new QuorateDriver(this.#database)
  }

  createQueryCompiler(): QueryCompiler {
    return new SqliteQueryCompiler()
  }

  createAdapter(): DialectAdapter {
    return new QuorateAdapter()
  }

  createIntrospector(db: Kysely<unknown>): DatabaseIntrospector {
    return new QuorateIntrospector(db)
  }
}

/** What differs from a local SQLite as Kysely knows it. */
class QuorateAdapter extends SqliteAdapter {
  /** Each query may be answered by another connection. */
  override get supportsMultipleConnections(): boolean {
    return true
  }

  /** So all pending migrations happen, or none. */
  override get supportsTransactionalDdl(): boolean {
    return true
  }
}

class QuorateDriver implements Driver {
  readonly #database: Db

  constructor(database: Db) {
    this.#database = database
  }

  async init(): Promise<void> {}

  async acquireConnection(): Promise<DatabaseConnection> {
    return new QuorateConnection(this.#database)
  }

  async beginTransaction(
    connection: DatabaseConnection,
    { accessMode }: TransactionSettings,
  ): Promise<void> {
    const mode = accessMode === 'read only' ? 'read' : 'write'
    ours(connection).transaction = await this.#database.begin({ mode })
  }

  async commitTransaction(connection: DatabaseConnection): Promise<void> {
    await ours(connection).take().commit()
  }

  async rollbackTransaction(connection: DatabaseConnection): Promise<void> {
    await ours(connection).take().rollback()
  }

  async savepoint(connection: DatabaseConnection, name: string): Promise<void> {
    await connection.executeQuery(CompiledQuery.raw(`savepoint ${quoted(name)}`))
  }

  async rollbackToSavepoint(connection: DatabaseConnection, name: string): Promise<void> {
    await connection.executeQuery(CompiledQuery.raw(`rollback to ${quoted(name)}`))
  }

  async releaseSavepoint(connection: DatabaseConnection, name: string): Promise<void> {
    await connection.executeQuery(CompiledQuery.raw(`release ${quoted(name)}`))
  }

  /** A transaction that its owner left open must not hold the writer. */
  async releaseConnection(connection: DatabaseConnection): Promise<void> {
    const left = ours(connection)
    if (left.transaction !== null) await left.take().rollback()
  }

  async destroy(): Promise<void> {
    await this.#database.close()
  }
}

class QuorateConnection implements DatabaseConnection {
  readonly #database: Db
  transaction: OpenTransaction | null = null

  constructor(database: Db) {
    this.#database = database
  }

  /** The open transaction, which ends with this. */
  take(): OpenTransaction {
    const transaction = this.transaction
    if (transaction === null) {
      throw new QuorateError('TRANSACTION_CLOSED', 'The connection has no transaction.')
    }
    this.transaction = null
    return transaction
  }

  async executeQuery<R>(
    query: CompiledQuery,
    options?: { readonly signal?: AbortSignal },
  ): Promise<QueryResult<R>> {
    const args = query.parameters as Args
    const signal = options?.signal
    signal?.throwIfAborted()
    const result =
      this.transaction === null
        ? await this.#database.execute(query.sql, args, signal === undefined ? {} : { signal })
        : await this.transaction.execute(query.sql, args)
    const rows = rowsOf(result) as R[]
    if (SelectQueryNode.is(query.query)) return { rows }
    const { changes, lastInsertRowid } = result
    const counts = { rows, numAffectedRows: BigInt(changes) }
    return lastInsertRowid === null ? counts : { ...counts, insertId: BigInt(lastInsertRowid) }
  }

  async *streamQuery<R>(
    query: CompiledQuery,
    chunkSize: number,
    options?: { readonly signal?: AbortSignal },
  ): AsyncIterableIterator<QueryResult<R>> {
    if (this.transaction !== null) {
      // The rows of a transaction come whole: a cursor beside it would not see what it wrote.
      yield await this.executeQuery<R>(query, options)
      return
    }
    const signal = options?.signal
    const call = signal === undefined ? {} : { signal }
    let rows: R[] = []
    for await (const row of this.#database.stream(query.sql, query.parameters as Args, call)) {
      rows.push(row as R)
      if (rows.length < chunkSize) continue
      yield { rows }
      rows = []
    }
    if (rows.length > 0) yield { rows }
  }
}

function ours(connection: DatabaseConnection): QuorateConnection {
  if (connection instanceof QuorateConnection) return connection
  throw new QuorateError('INTERNAL', 'Kysely gave back a connection that is not ours.')
}

function quoted(name: string): string {
  return `"${name.replaceAll('"', '""')}"`
}

function rowsOf({ columns, rows }: ExecuteResult): Row[] {
  return rows.map((values) =>
    Object.fromEntries(columns.map((name, at) => [name, values[at] ?? null])),
  )
}

/** Without Quorate's own tables. */
class QuorateIntrospector extends SqliteIntrospector {
  override async getTables(options?: DatabaseMetadataOptions): Promise<TableMetadata[]> {
    const tables = await super.getTables(options)
    return tables.filter(({ name }) => !name.startsWith('_quorate_'))
  }
}
