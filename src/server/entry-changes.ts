/**
 * What one entry of the log changed, as a listener is told: each row once, by its key. With several
 * origins it is told as its writer made it, and once it is in the data here; what the rules for
 * conflicts made of it is in other events.
 */
import type { ChangedRow, Changes } from '../model/changes.ts'
import type { RowChange } from '../model/changeset.ts'
import { decodeBatch } from '../model/entry-codec.ts'
import { decodeMergeOperations, decodeOriginOperations } from '../model/origin-codec.ts'
import type { OriginEntry } from '../model/origin-entry.ts'
import { rowChanges } from '../model/row-changes.ts'
import { encodeValue } from '../model/value-codec.ts'

export interface LoggedEntry {
  readonly index: number
  readonly kind: string
  /** null: too large. */
  readonly body: Uint8Array | null
}

/** Ordinary tables by their columns, and the tables inside virtual tables by their owner. */
export interface Schema {
  readonly version: bigint
  readonly columns: ReadonlyMap<string, readonly string[]>
  readonly owners: ReadonlyMap<string, string>
}

/** An entry of another origin, by name. */
interface Name {
  readonly origin: string
  readonly sequence: number
}

/** What an entry changed before it is told by which rows. */
interface Content {
  readonly changes: readonly RowChange[]
  /** Tables were made, altered or dropped as well. */
  readonly schema: boolean
  /** No row is in it twice. */
  readonly once: boolean
}

/**
 * null: nothing that anybody sees has changed.
 *
 * @param earlier bodies of the `merge` entries that hold what this one waited for, see waitedFor
 */
export function changesOf(
  entry: LoggedEntry,
  schema: Schema,
  earlier: readonly Uint8Array[],
): Changes | null {
  const { index, kind, body } = entry
  if (kind !== 'data' && kind !== 'schema' && kind !== 'merge') return null
  const content = body === null ? null : contentOf(kind, body, earlier)
  if (content === null) return { kind: 'gap', through: index }
  const told = rowsOf(content.changes, schema)
  const rows = content.once ? told : onceEach(told)
  if (rows.length === 0 && !content.schema) return null
  return { kind: 'change', index, schema: content.schema, rows }
}

/** Entries of other origins that an earlier entry of the log brought, and this one applies. */
export function waitedFor({ kind, body }: LoggedEntry): readonly Name[] {
  if (kind !== 'merge' || body === null) return []
  return decodeMergeOperations(body).filter((operation) => operation.kind === 'apply')
}

/** null: not all of it is at hand. */
function contentOf(
  kind: 'data' | 'schema' | 'merge',
  body: Uint8Array,
  earlier: readonly Uint8Array[],
): Content | null {
  if (kind === 'merge') return mergedContent(body, earlier)
  const { operations, own } = decodeBatch(body)
  if (own === undefined) {
    return { changes: operations.flatMap(rowChanges), schema: kind === 'schema', once: true }
  }
  return ownContent([own])
}

function mergedContent(body: Uint8Array, earlier: readonly Uint8Array[]): Content | null {
  const entries: OriginEntry[] = []
  for (const operation of decodeMergeOperations(body)) {
    if (operation.kind === 'take' && operation.apply) entries.push(operation.entry)
    if (operation.kind !== 'apply') continue
    const entry = find(operation, earlier)
    if (entry === undefined) return null
    entries.push(entry)
  }
  return ownContent(entries)
}

function find({ origin, sequence }: Name, bodies: readonly Uint8Array[]): OriginEntry | undefined {
  for (const body of bodies) {
    for (const operation of decodeMergeOperations(body)) {
      if (operation.kind !== 'take') continue
      const { entry } = operation
      if (entry.origin === origin && entry.sequence === sequence) return entry
    }
  }
  return undefined
}

function ownContent(entries: readonly OriginEntry[]): Content {
  const operations = entries.flatMap(({ body }) => decodeOriginOperations(body))
  const changes = operations.flatMap((operation) =>
    operation.kind === 'transaction'
      ? rowChanges({ kind: 'changeset', bytes: operation.changes })
      : [],
  )
  const schema = operations.some(({ kind }) => kind === 'ddl' || kind === 'pragma')
  return { changes, schema, once: false }
}

function rowsOf(changes: readonly RowChange[], schema: Schema): readonly ChangedRow[] {
  const rows: ChangedRow[] = []
  const inside = new Set<string>()
  for (const change of changes) {
    const { table, op } = change
    const owner = schema.owners.get(table)
    if (owner !== undefined) inside.add(owner)
    else rows.push({ table, op, key: keyOf(schema.columns.get(table), change) })
  }
  for (const table of inside) rows.push({ table, op: 'update', key: null })
  return rows
}

/**
 * The key by name. In front of a table's columns there may be the rowid: that is the key where there
 * is no PRIMARY KEY, or NULL in it, or where of a deleted row no more is known.
 */
function keyOf(columns: readonly string[] | undefined, change: RowChange): ChangedRow['key'] {
  const { keyColumns, byRowid } = change
  const values = change.before ?? change.after ?? []
  if (columns === undefined) return null
  const names = byRowid ? ['rowid', ...columns] : columns
  if (names.length !== values.length) return null
  const known = keyColumns.filter((at) => values[at] !== undefined)
  const own = byRowid ? known.filter((at) => at > 0) : known
  const enough = own.length > 0 && own.every((at) => values[at] !== null)
  return (enough ? own : known).map((at) => [names[at] ?? '', values[at] ?? null])
}

/** Transactions of one entry may touch a row again: what became of it in the end. */
function onceEach(rows: readonly ChangedRow[]): readonly ChangedRow[] {
  const byKey = new Map<unknown, ChangedRow>()
  for (const row of rows) {
    const key = row.key?.map(([name, value]) => [name, encodeValue(value)])
    const name = key === undefined ? row : JSON.stringify([row.table, key])
    const before = byKey.get(name)
    byKey.set(name, before === undefined ? row : { ...row, op: together(before.op, row.op) })
  }
  return [...byKey.values()]
}

function together(first: ChangedRow['op'], then: ChangedRow['op']): ChangedRow['op'] {
  if (then === 'delete') return 'delete'
  return first === 'insert' ? 'insert' : 'update'
}
