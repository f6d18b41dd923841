/**
 * The rows that an operation changed, for whoever looks at them or does them again: each row once,
 * whether it travels in SQLite's changeset or by rowid.
 */
import { type RowChange, readChangeset } from './changeset.ts'
import type { Operation } from './entry.ts'
import { identical } from './exact-value.ts'
import type { Value } from './program.ts'

/** Throws LOG_CORRUPT. */
export function rowChanges(operation: Operation): readonly RowChange[] {
  if (operation.kind === 'changeset') return [...readChangeset(operation.bytes)]
  return operation.kind === 'rows' ? joined([...readChangeset(operation.bytes)]) : []
}

/**
 * In `rows` a row may be deleted and inserted instead of updated; whole records tell what it was. If
 * the DELETE only makes room, nobody knows whether a row was there: it counts as an INSERT.
 */
function joined(changes: readonly RowChange[]): RowChange[] {
  const made = new Map<string, RowChange>()
  for (const change of changes) if (change.op === 'insert') made.set(nameOf(change), change)
  const rows: RowChange[] = []
  for (const change of changes) {
    const after = change.op === 'delete' ? made.get(nameOf(change)) : undefined
    if (after === undefined) {
      if (change.op !== 'insert' || made.has(nameOf(change))) rows.push(change)
    } else if (change.before?.includes(undefined) !== true) {
      made.delete(nameOf(change))
      rows.push(updateOf(change, after))
    }
  }
  return rows
}

function updateOf(deleted: RowChange, inserted: RowChange): RowChange {
  const { before } = deleted
  const after = inserted.after?.map((value, i) =>
    identical(value ?? null, before?.[i] ?? null) ? undefined : value,
  )
  return { ...deleted, op: 'update', after: after ?? null }
}

function nameOf({ table, keyColumns, byRowid, before, after }: RowChange): string {
  const row = before ?? after ?? []
  const key = byRowid ? row.slice(0, 1) : keyColumns.map((column) => row[column])
  return JSON.stringify([table, ...key.map(named)])
}

/** A value as JSON, apart from others of equal look. */
function named(value: Value | undefined): unknown {
  if (value instanceof Uint8Array) return ['b', value.toBase64()]
  return typeof value === 'bigint' ? ['i', String(value)] : value
}
