/**
 * Conflicts of a running cluster, read as any client reads. How a table looks is learned from its
 * schema in a database in memory, so that the store's own code says what a replay is.
 */
import { DatabaseSync } from 'node:sqlite'
import { QuorateError } from '../base/errors.ts'
import type { StatementResult, Value } from '../model/program.ts'
import { type Catalog, type MergeTable, readCatalog } from '../store/merge/catalog.ts'
import { conflictFrom, replayOf, type StoredConflict } from '../store/merge/replay.ts'
import type { Target } from './node-client.ts'
import { ShellConnection } from './shell/connection.ts'

export type ConflictTable = MergeTable

/** Which conflict of which transaction. */
export interface ConflictPlace {
  readonly time: number
  readonly origin: string
  readonly number: number
}

const TIMEOUT_MS = 30_000

export class ConflictReader {
  readonly #connection: ShellConnection
  readonly #catalogs = new Map<string, Catalog>()

  constructor(target: Target) {
    this.#connection = new ShellConnection(target, { timeoutMs: TIMEOUT_MS })
  }

  /** The conflicts in the order of their transactions. */
  async all(open: boolean): Promise<readonly StoredConflict[]> {
    const where = open ? ' where open = 1' : ''
    return await this.#read(`select * from quorate_conflicts${where} order by time, origin, number`)
  }

  /** Null: there is none. */
  async one({ time, origin, number }: ConflictPlace): Promise<StoredConflict | null> {
    const sql = 'select * from quorate_conflicts where time = ? and origin = ? and number = ?'
    const [found] = await this.#read(sql, [BigInt(time), origin, BigInt(number)])
    return found ?? null
  }

  /** The table that a conflict is about; null: it is gone. */
  async tableOf({ table }: StoredConflict): Promise<ConflictTable | null> {
    const catalog = await this.#catalog(table)
    return catalog.get(table.toLowerCase()) ?? null
  }

  /**
   * Writes what was lost, as any other write.
   *
   * @returns how many rows that changed
   * @throws QuorateError CONFLICT_NOT_REPLAYABLE if it can't be written any more, SQL_CONSTRAINT
   */
  async replay(conflict: StoredConflict, table: ConflictTable | null): Promise<number> {
    const catalog: Catalog = new Map(table === null ? [] : [[table.name.toLowerCase(), table]])
    const statement = replayOf(conflict, catalog)
    if (statement === null) {
      const detail =
        `What was lost in ${conflict.table} can't be written again: ` +
        'it changed some columns of a row that nobody has, or the table has changed since.'
      throw new QuorateError('CONFLICT_NOT_REPLAYABLE', detail)
    }
    return (await this.#connection.run(statement)).changes
  }

  [Symbol.dispose](): void {
    this.#connection.close()
  }

  async #read(sql: string, args: readonly Value[] = []): Promise<StoredConflict[]> {
    try {
      return rowsOf(await this.#connection.run({ sql, args })).map(conflictFrom)
    } catch (error) {
      throw isWithoutConflicts(error) ? noGroups() : error
    }
  }

  /** Of the one table, without what hangs on it. */
  async #catalog(table: string): Promise<Catalog> {
    const known = this.#catalogs.get(table)
    if (known !== undefined) return known
    const sql = "select sql from sqlite_schema where type = 'table' and name = ? collate nocase"
    const { rows } = await this.#connection.run({ sql, args: [table] })
    const catalog = catalogOf(rows.map(([text]) => String(text)))
    this.#catalogs.set(table, catalog)
    return catalog
  }
}

/** Only clusters of several groups have the table. */
function isWithoutConflicts(error: unknown): boolean {
  return error instanceof QuorateError && /no such table: .*quorate_conflicts/.test(error.detail)
}

function noGroups(): QuorateError {
  const detail = 'The cluster has one leader: no writes can clash, and there are no conflicts.'
  return new QuorateError('NO_GROUPS', detail)
}

function catalogOf(schema: readonly string[]): Catalog {
  const db = new DatabaseSync(':memory:')
  try {
    for (const sql of schema) db.exec(sql)
    return readCatalog(db)
  } finally {
    db.close()
  }
}

function rowsOf({ columns, rows }: StatementResult): Readonly<Record<string, Value>>[] {
  return rows.map((row) =>
    Object.fromEntries(columns.map(({ name }, at) => [name, row[at] ?? null])),
  )
}
