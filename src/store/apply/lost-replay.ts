/**
 * What was taken back, for people: as rows to look at, and as programs that do it again.
 *
 * A changeset knows columns by position only, so both ask the database of today for the names. A
 * replay is an ordinary write of today: constraints hold, and a row that is no longer as the lost
 * transaction found it makes its whole entry fail, with nothing changed. Only triggers whose effects
 * are among the lost rows don't fire (replay-triggers.ts).
 */
import type { RowChange } from '../../model/changeset.ts'
import type { Batch, Entry, Operation } from '../../model/entry.ts'
import { decodeBatch } from '../../model/entry-codec.ts'
import { decodeOriginOperations } from '../../model/origin-codec.ts'
import type { Program, Statement, Value } from '../../model/program.ts'
import { rowChanges } from '../../model/row-changes.ts'
import { keyword, tokenize } from '../../model/sql-tokens.ts'
import { openLive } from '../files/live-file.ts'
import { quote } from '../quote.ts'
import type { LostHead } from './lost-file.ts'
import { childrenFirst, type References, referencesIn } from './replay-order.ts'
import { failUnless, setAside, type Triggers, triggersIn } from './replay-triggers.ts'

/** A lost file, as readLostFile gives it. */
export interface Lost {
  readonly head: LostHead
  readonly entries: readonly Entry[]
}

/** Names of the columns in a table's changesets; null if it can't be written directly. */
export type ColumnsOf = (table: string) => readonly string[] | null

/** Values as JSON can hold them: large integers as text, blobs as `{ hex }`. */
type Plain = null | number | string | { readonly hex: string }

/** A changed row to look at. Columns that an update left alone are not in it. */
export interface LostRow {
  readonly table: string
  readonly op: RowChange['op']
  readonly before: Readonly<Record<string, Plain>> | null
  readonly after: Readonly<Record<string, Plain>> | null
}

export interface LostEntry {
  readonly index: number
  readonly term: number
  /** When it was made, ISO 8601. */
  readonly at: string
  readonly transactions: number
  readonly rows: readonly LostRow[]
  /** Schema changes and PRAGMAs, as SQL. */
  readonly statements: readonly string[]
}

export interface LostDescription {
  readonly cluster: string
  readonly node: string
  /** When it was taken back, ISO 8601. */
  readonly at: string
  readonly transactions: number
  readonly entries: readonly LostEntry[]
}

/** One lost entry as a program that does it again. */
export interface ReplayProgram {
  readonly index: number
  readonly program: Program
  /** Tables whose rows are left out: gone today, or internal to a virtual table. */
  readonly skipped: readonly string[]
  /** Triggers that don't fire, since what they did is among the rows. */
  readonly setAside: readonly string[]
}

/** Readable form of a lost file. Throws LOG_CORRUPT. */
export function describeLost(lost: Lost, columnsOf: ColumnsOf = () => null): LostDescription {
  const { cluster, node, at, transactions } = lost.head
  const entries = lost.entries.filter(hasContent).map((entry) => describe(entry, columnsOf))
  return { cluster, node, at: new Date(at).toISOString(), transactions, entries }
}

/**
 * The programs that do a lost file's work again, in order. Each is made when it is asked for, after
 * the one before has run, because that may have made its tables. Throws LOG_CORRUPT.
 */
export function* replayPrograms(
  lost: Lost,
  schema: ReplaySchema,
): Generator<ReplayProgram, void, undefined> {
  for (const entry of lost.entries) {
    if (!hasContent(entry)) continue
    const references = schema.references()
    const tables = { references, written: new Set<string>(), skipped: new Set<string>() }
    const statements = contentOf(entry).operations.flatMap((operation) =>
      replayOperation(operation, schema.columnsOf, tables),
    )
    const skipped = [...tables.skipped]
    if (statements.length === 0 && skipped.length === 0) continue
    const aside = setAside(schema.triggers(), tables.written)
    // What triggers of its own did is among its rows, too.
    const makes = statements.filter(({ sql }) => makesTrigger(sql))
    const steps = [
      { sql: 'PRAGMA defer_foreign_keys = ON' },
      ...aside.before,
      ...statements.filter((statement) => !makes.includes(statement)),
      ...aside.after,
      ...makes,
    ]
    const program = { atomic: true, steps: steps.map((statement) => ({ statement })) }
    yield { index: entry.index, program, skipped, setAside: aside.names }
  }
}

function makesTrigger(sql: string): boolean {
  const [first, second] = tokenize(sql)
  return keyword(first) === 'CREATE' && keyword(second) === 'TRIGGER'
}

/** What a replay asks of the database of today. */
export interface ReplaySchema {
  readonly columnsOf: ColumnsOf
  readonly triggers: () => Triggers
  readonly references: () => References
}

/** Looks all of it up in a live database, each time anew. */
export function schemaIn(databasePath: string): ReplaySchema {
  return {
    columnsOf: columnsIn(databasePath),
    triggers: () => triggersIn(databasePath),
    references: () => referencesIn(databasePath),
  }
}

/** Generated columns are not in a changeset; tables inside a virtual table can't be written. */
const COLUMNS = `select x.name from pragma_table_list(?1) as t, pragma_table_xinfo(?1) as x
  where t.schema = 'main' and t.type = 'table' and x.hidden = 0 order by x.cid`

/** Looks the columns up in a live database, each time anew. */
export function columnsIn(databasePath: string): ColumnsOf {
  return (table) => {
    const { db } = openLive(databasePath, { readOnly: true, timeout: 5_000 })
    try {
      const names = db
        .prepare(COLUMNS)
        .all(table)
        .map((row) => String(row['name']))
      return names.length > 0 ? names : null
    } finally {
      db.close()
    }
  }
}

/** Asks once for each table, as long as the schema can't change. */
function remember(columnsOf: ColumnsOf): ColumnsOf {
  const known = new Map<string, readonly string[] | null>()
  return (table) => {
    const columns = known.get(table)
    if (columns !== undefined) return columns
    const found = columnsOf(table)
    known.set(table, found)
    return found
  }
}

function hasContent(entry: Entry): boolean {
  return entry.kind === 'data' || entry.kind === 'schema'
}

/** With several origins, what matters is in the part that the others would have got. */
function contentOf({ body }: Entry): Pick<Batch, 'transactions' | 'operations'> {
  const { transactions, operations, own } = decodeBatch(body)
  if (own === undefined) return { transactions, operations }
  const parts = decodeOriginOperations(own.body).flatMap((operation): Operation[] => {
    switch (operation.kind) {
      case 'transaction':
        return [{ kind: 'changeset', bytes: operation.changes }]
      case 'ddl':
        return [operation]
      case 'pragma':
        return [{ kind: 'pragma', name: operation.name, before: 0, after: operation.value }]
      default:
        return []
    }
  })
  return { transactions, operations: [...parts, ...operations] }
}

function describe(entry: Entry, columnsOf: ColumnsOf): LostEntry {
  const { index, term, at } = entry
  const { transactions, operations } = contentOf(entry)
  const rows: LostRow[] = []
  const statements: string[] = []
  for (const operation of operations) {
    rows.push(...describeRows(operation, columnsOf))
    statements.push(...sqlOf(operation))
  }
  return { index, term, at: new Date(at).toISOString(), transactions, rows, statements }
}

function describeRows(operation: Operation, columnsOf: ColumnsOf): LostRow[] {
  const known = remember(columnsOf)
  return rowChanges(operation).map(({ table, op, byRowid, before, after }) => {
    const columns = known(table) ?? []
    const names = byRowid ? ['rowid', ...columns] : columns
    return { table, op, before: record(before, names), after: record(after, names) }
  })
}

function record(
  values: RowChange['before'],
  names: readonly string[],
): Readonly<Record<string, Plain>> | null {
  if (values === null) return null
  const entries = values.flatMap((value, i) =>
    value === undefined ? [] : [[names[i] ?? `column ${i + 1}`, plain(value)] as const],
  )
  return Object.fromEntries(entries)
}

function plain(value: Value): Plain {
  if (typeof value === 'bigint') {
    const number = Number(value)
    return Number.isSafeInteger(number) ? number : String(value)
  }
  return value instanceof Uint8Array ? { hex: value.toHex() } : value
}

/** SQL of what is not a row. Counters of AUTOINCREMENT are none: inserting moves them. */
function sqlOf(operation: Operation): readonly string[] {
  if (operation.kind === 'ddl') return [operation.sql]
  if (operation.kind !== 'pragma') return []
  return [`PRAGMA ${operation.name} = ${operation.after}`]
}

function replayOperation(
  operation: Operation,
  columnsOf: ColumnsOf,
  tables: {
    readonly references: References
    readonly written: Set<string>
    readonly skipped: Set<string>
  },
): readonly Statement[] {
  const { references, written, skipped } = tables
  const known = remember(columnsOf)
  const rows = childrenFirst(rowChanges(operation), references).flatMap((change) => {
    const columns = known(change.table)
    if (columns === null) {
      skipped.add(change.table)
      return []
    }
    written.add(change.table.toLowerCase())
    return replayRow(change, columns)
  })
  return [...rows, ...sqlOf(operation).map((sql) => ({ sql }))]
}

/** One row's change as a statement, and one that fails if the first found no such row. */
function replayRow(change: RowChange, given: readonly string[]): readonly Statement[] {
  const table = quote(change.table)
  const rowid = change.byRowid ? freeRowid(given) : null
  const names = [...(rowid === null ? [] : [rowid]), ...given.map(quote)]
  if (change.before === null) {
    const { columns, values } = present(change.after, names)
    const marks = values.map(() => '?')
    // A rowid that has been taken since is not worth an error: the row gets another.
    if (rowid !== null) {
      marks[0] = `iif(EXISTS (SELECT 1 FROM ${table} WHERE ${rowid} = ?1), NULL, ?1)`
    }
    const sql = `INSERT INTO ${table} (${columns.join(', ')}) VALUES (${marks.join(', ')})`
    return [{ sql, args: values }]
  }
  const where = present(conditionOf(change), names)
  const condition = where.columns.map((column) => `${column} IS ?`).join(' AND ')
  if (change.after === null) {
    const sql = `DELETE FROM ${table} WHERE ${condition}`
    return [{ sql, args: where.values }, mustHaveChanged(change.table)]
  }
  const set = present(change.after, names)
  const assignments = set.columns.map((column) => `${column} = ?`).join(', ')
  const sql = `UPDATE ${table} SET ${assignments} WHERE ${condition}`
  return [{ sql, args: [...set.values, ...where.values] }, mustHaveChanged(change.table)]
}

const freeRowid = (columns: readonly string[]): string =>
  ['rowid', '_rowid_', 'oid'].find((name) => !columns.includes(name)) ?? 'rowid'

/** What must be as it was: not the rowid where a PRIMARY KEY names the row. */
function conditionOf({ byRowid, keyColumns, before }: RowChange): RowChange['before'] {
  const own = keyColumns.filter((column) => column > 0)
  const named = own.length > 0 && own.every((column) => (before?.[column] ?? null) !== null)
  return byRowid && named ? [undefined, ...(before?.slice(1) ?? [])] : before
}

/** The columns that a record has values for. */
function present(record: RowChange['before'], names: readonly string[]) {
  const columns: string[] = []
  const values: Value[] = []
  for (const [i, value] of (record ?? []).entries()) {
    const name = names[i]
    if (value === undefined || name === undefined) continue
    columns.push(name)
    values.push(value)
  }
  return { columns, values }
}

function mustHaveChanged(table: string): Statement {
  return failUnless('changes() = 1', [], `The row of ${table} is not as it was.`)
}
