/**
 * `quorate/drizzle`: Drizzle on a database of Quorate, embedded or remote. Rests on Drizzle's own
 * driver for anything that is given SQL and gives rows (sqlite-proxy); what that lacks is added:
 * transactions on a line of their own, results of writes, raw queries whose rows are objects.
 */
import {
  createTableRelationsHelpers,
  DefaultLogger,
  type DrizzleConfig,
  type ExtractTablesWithRelations,
  extractTablesRelationalConfig,
  type Logger,
  type Query,
  type RelationalSchemaConfig,
  type TablesRelationalConfig,
} from 'drizzle-orm'
import type { BatchResponse, BatchItem as DrizzleItem } from 'drizzle-orm/batch'
import { type Cache, NoopCache } from 'drizzle-orm/cache/core'
import type { WithCacheConfig } from 'drizzle-orm/cache/core/types'
import { NoopLogger } from 'drizzle-orm/logger'
import { type MigrationConfig, type MigrationMeta, readMigrationFiles } from 'drizzle-orm/migrator'
import {
  type BaseSQLiteDatabase,
  SQLiteAsyncDialect,
  type SQLiteTransaction,
  type SQLiteTransactionConfig,
} from 'drizzle-orm/sqlite-core'
import type { SelectedFieldsOrdered } from 'drizzle-orm/sqlite-core/query-builders/select.types'
import type { SQLiteExecuteMethod } from 'drizzle-orm/sqlite-core/session'
import {
  type AsyncRemoteCallback,
  type PreparedQueryConfig,
  RemotePreparedQuery,
  SQLiteProxyTransaction,
  SQLiteRemoteSession,
  SqliteRemoteDatabase,
} from 'drizzle-orm/sqlite-proxy'
import type {
  Args,
  BatchItem,
  Cell,
  Db,
  ExecuteResult,
  Queryable,
  Row,
  TransactionOptions,
} from '../client/types.ts'

type AnySchema = Record<string, unknown>

/** A database as Drizzle gives it to the application. What writes return is Quorate's result. */
export interface QuorateDatabase<TSchema extends AnySchema = Record<string, never>>
  extends BaseSQLiteDatabase<'async', ExecuteResult, TSchema> {
  /** Runs the queries as one transaction in one round trip. */
  batch<U extends DrizzleItem<'sqlite'>, T extends Readonly<[U, ...U[]]>>(
    queries: T,
  ): Promise<BatchResponse<T>>
  /** As Drizzle's, and takes what `db.transaction` of Quorate takes. */
  transaction: <T>(
    work: (
      transaction: SQLiteTransaction<
        'async',
        ExecuteResult,
        TSchema,
        ExtractTablesWithRelations<TSchema>
      >,
    ) => Promise<T>,
    config?: QuorateTransactionConfig,
  ) => Promise<T>
  /** What was given to `drizzle`. */
  readonly $client: Db
}

/** What `orm.transaction` takes as its second argument. */
export type QuorateTransactionConfig = SQLiteTransactionConfig & TransactionOptions

/**
 * Makes a Drizzle database of one that is open.
 *
 * @example
 * const orm = drizzle(await open('shop.db'), { schema })
 * const rows = await orm.select().from(orders).where(eq(orders.id, 1))
 */
export function drizzle<TSchema extends AnySchema = Record<string, never>>(
  client: Db,
  config: DrizzleConfig<TSchema> = {},
): QuorateDatabase<TSchema> {
  const { casing, cache } = config
  const dialect = new SQLiteAsyncDialect(casing === undefined ? {} : { casing })
  const schema = relationsOf(config.schema)
  const parts = {
    dialect,
    schema,
    logger: loggerOf(config.logger),
    cache: cache ?? new NoopCache(),
  }
  const session = new QuorateSession<TSchema>(client, client, parts)
  const database = new SqliteRemoteDatabase<TSchema>('async', dialect, session, schema as never)
  // The class says less about the results of writes than the session gives.
  return Object.assign(database, { $client: client }) as unknown as QuorateDatabase<TSchema>
}

function loggerOf(logger: boolean | Logger | undefined): Logger {
  if (logger === true) return new DefaultLogger()
  return typeof logger === 'object' ? logger : new NoopLogger()
}

type Relations = RelationalSchemaConfig<TablesRelationalConfig>

function relationsOf(fullSchema: AnySchema | undefined): Relations | undefined {
  if (fullSchema === undefined) return undefined
  const { tables, tableNamesMap } = extractTablesRelationalConfig(
    fullSchema,
    createTableRelationsHelpers,
  )
  return { fullSchema, schema: tables, tableNamesMap }
}

interface Parts {
  readonly dialect: SQLiteAsyncDialect
  readonly schema: Relations | undefined
  readonly logger: Logger
  readonly cache: Cache
}

/** What a query of a batch is after it was prepared. */
interface Prepared {
  getQuery(): Query & { readonly method?: string }
  mapResult(result: unknown, isFromBatch: boolean): unknown
}

class QuorateSession<TSchema extends AnySchema> extends SQLiteRemoteSession<
  TSchema,
  ExtractTablesWithRelations<TSchema>
> {
  readonly #database: Db
  readonly #target: Queryable
  readonly #parts: Parts

  /** @param target where statements go: the database, or one of its transactions */
  constructor(database: Db, target: Queryable, parts: Parts) {
    const { dialect, schema, logger, cache } = parts
    super(rowsAsLists(target), dialect, schema as never, undefined, { logger, cache })
    this.#database = database
    this.#target = target
    this.#parts = parts
  }

  override prepareQuery<T extends Omit<PreparedQueryConfig, 'run'>>(
    query: Query,
    fields: SelectedFieldsOrdered | undefined,
    executeMethod: SQLiteExecuteMethod,
    isResponseInArrayMode: boolean,
    customResultMapper?: ResultMapper,
    queryMetadata?: QueryMetadata,
    cacheConfig?: WithCacheConfig,
  ): RemotePreparedQuery<T> {
    const raw = fields === undefined && customResultMapper === undefined
    return new RemotePreparedQuery<T>(
      raw ? rowsAsObjects(this.#target) : rowsAsLists(this.#target),
      query,
      this.#parts.logger,
      this.#parts.cache,
      queryMetadata,
      cacheConfig,
      fields,
      executeMethod,
      isResponseInArrayMode,
      customResultMapper,
    )
  }

  override async batch(queries: readonly unknown[]): Promise<unknown[]> {
    const prepared = queries.map((query) => (query as { _prepare(): Prepared })._prepare())
    const items = prepared.map((each): BatchItem => {
      const { sql, params } = each.getQuery()
      return [sql, params as Args]
    })
    const results = await this.#database.batch(items)
    return prepared.map((each, at) => {
      const result = results[at] ?? NOTHING
      return each.mapResult(shaped(each, result), true)
    })
  }

  override async transaction<T>(
    work: (transaction: Transaction<TSchema>) => Promise<T>,
    config: QuorateTransactionConfig = {},
  ): Promise<T> {
    const { dialect, schema } = this.#parts
    return await this.#database.transaction(async (target) => {
      const session = new QuorateSession<TSchema>(this.#database, target, this.#parts)
      return await work(new SQLiteProxyTransaction('async', dialect, session, schema as never))
    }, config)
  }
}

type Transaction<TSchema extends AnySchema> = SQLiteProxyTransaction<
  TSchema,
  ExtractTablesWithRelations<TSchema>
>
type Prepare = SQLiteRemoteSession<AnySchema, TablesRelationalConfig>['prepareQuery']
type ResultMapper = NonNullable<Parameters<Prepare>[4]>
type QueryMetadata = NonNullable<Parameters<Prepare>[5]>

const NOTHING: ExecuteResult = { columns: [], rows: [], changes: 0, lastInsertRowid: null }

function rowsAsLists(target: Queryable): AsyncRemoteCallback {
  return async (sql, params, method) => {
    const result = await target.execute(sql, params as Args)
    return answer(result, method, result.rows)
  }
}

/** For queries that Drizzle knows no columns of. */
function rowsAsObjects(target: Queryable): AsyncRemoteCallback {
  return async (sql, params, method) => {
    const result = await target.execute(sql, params as Args)
    return answer(result, method, method === 'values' ? result.rows : objectsOf(result))
  }
}

/** Drizzle takes the one row of `get` for the rows. */
function answer(
  result: ExecuteResult,
  method: 'run' | 'all' | 'values' | 'get',
  rows: readonly (Row | readonly Cell[])[],
): Awaited<ReturnType<AsyncRemoteCallback>> {
  return { ...result, rows: (method === 'get' ? rows[0] : rows) as unknown[] }
}

/** A result of a batch in the form that its query reads. */
function shaped(query: Prepared, result: ExecuteResult): unknown {
  const { method } = query.getQuery()
  if (method === 'run') return result
  if (query instanceof RemotePreparedQuery) {
    return { ...result, rows: method === 'get' ? result.rows[0] : result.rows }
  }
  return { ...result, rows: method === 'values' ? result.rows : objectsOf(result) }
}

function objectsOf({ columns, rows }: ExecuteResult): Row[] {
  return rows.map((values) =>
    Object.fromEntries(columns.map((name, at) => [name, values[at] ?? null])),
  )
}

/**
 * Applies the migrations of a folder that drizzle-kit wrote and that are not applied yet, all of
 * them in one transaction. Foreign keys are not enforced meanwhile, so that tables can be rebuilt.
 *
 * @throws QuorateError SQL_ERROR and its kin for a migration that fails; then none is applied
 */
export async function migrate<TSchema extends AnySchema>(
  database: QuorateDatabase<TSchema>,
  config: Pick<MigrationConfig, 'migrationsFolder' | 'migrationsTable'>,
): Promise<void> {
  const client = database.$client
  const table = `"${(config.migrationsTable ?? '__drizzle_migrations').replaceAll('"', '""')}"`
  await client.execute(`create table if not exists ${table} (
    id integer primary key, hash text not null, created_at numeric)`)
  const last = await client.first<{ at: number | null }>(
    `select max(created_at) as at from ${table}`,
    [],
    { read: 'strong' },
  )
  const wanted = readMigrationFiles(config).filter(
    ({ folderMillis }) => folderMillis > (last?.at ?? -1),
  )
  if (wanted.length === 0) return
  const items = wanted.flatMap((migration) => itemsOf(migration, table))
  await client.batch(items, { foreignKeys: false })
}

function itemsOf({ sql, hash, folderMillis }: MigrationMeta, table: string): BatchItem[] {
  const statements = sql.filter((text) => text.trim() !== '')
  const insert = `insert into ${table} (hash, created_at) values (?, ?)`
  return [...statements, [insert, [hash, folderMillis]]]
}
