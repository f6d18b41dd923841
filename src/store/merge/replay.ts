/** Conflicts as people deal with them: looked at, replayed as an ordinary write, and closed. */
import type { DatabaseSync } from 'node:sqlite'
import type { Stamp } from '../../core/order/clock/stamp.ts'
import type { Statement, Value } from '../../model/program.ts'
import { binding } from '../exact-rows.ts'
import { quote } from '../quote.ts'
import { type Catalog, columnSql, type MergeTable } from './catalog.ts'
import type { Conflict, ConflictKind } from './conflict.ts'
import { cellsFromJson } from './row-json.ts'
import type { Cells, Row } from './table-rows.ts'

export interface StoredConflict extends Conflict {
  readonly stamp: Stamp
  /** Among those of its transaction, from 0. */
  readonly number: number
  /** Somebody has to deal with it. */
  readonly open: boolean
}

/** All that are kept, in the order of their transactions. */
export function readConflicts(db: DatabaseSync): readonly StoredConflict[] {
  const rows = db.prepare('select * from quorate_conflicts order by time, origin, number').all()
  return rows.map(conflictFrom)
}

/** A row of quorate_conflicts, by column. */
export function conflictFrom(row: Readonly<Record<string, unknown>>): StoredConflict {
  const cells = (name: string): Cells | null => {
    const text = row[name]
    return text === null ? null : cellsFromJson(String(text))
  }
  return {
    stamp: { time: Number(row['time']), origin: String(row['origin']) },
    number: Number(row['number']),
    kind: String(row['kind']) as ConflictKind,
    table: String(row['name']),
    key: known(cells('key')),
    columns: JSON.parse(String(row['columns'])) as string[],
    kept: row['kept'] === null ? null : known(cells('kept')),
    lost: cells('lost'),
    open: Number(row['open']) === 1,
  }
}

/** Somebody has dealt with it: it may be forgotten. */
export function closeConflict(
  db: DatabaseSync,
  { stamp, number }: Pick<StoredConflict, 'stamp' | 'number'>,
): void {
  const sql = 'update quorate_conflicts set open = 0 where time = ? and origin = ? and number = ?'
  db.prepare(sql).run(stamp.time, stamp.origin, number)
}

/**
 * The statement that gives the loser what it wanted, to be run as any other write, under all
 * constraints. Null: it only changed some columns of a row that nobody has, or the table is gone.
 */
export function replayOf(
  { table: name, key, kept, lost }: Conflict,
  catalog: Catalog,
): Statement | null {
  const table = catalog.get(name.toLowerCase())
  if (table === undefined) return null
  const where = list(table, table.key, key, ' and ')
  const from = `main.${quote(table.name)}`
  if (lost === null) return { sql: `delete from ${from} where ${where.sql}`, args: where.args }
  if (lost.length !== table.columns.length) return null
  const columns = lost.flatMap((value, i) => (value === undefined ? [] : [i]))
  const changed = columns.filter((column) => !table.key.includes(column))
  const set = list(table, changed, known(changed.map((column) => lost[column])), ', ')
  if (columns.length < lost.length) {
    if (kept === null || changed.length === 0) return null
    return {
      sql: `update ${from} set ${set.sql} where ${where.sql}`,
      args: [...set.args, ...where.args],
    }
  }
  const values = lost.map((value) => binding(value ?? null))
  const keys = table.key.map((column) => columnSql(table, column)).join(', ')
  const names = columns.map((column) => columnSql(table, column)).join(', ')
  const update = changed.map((at) => `${columnSql(table, at)} = excluded.${columnSql(table, at)}`)
  const otherwise = update.length === 0 ? 'nothing' : `update set ${update.join(', ')}`
  return {
    sql: `insert into ${from} (${names}) values (${values.map(({ sql }) => sql).join(', ')})
      on conflict (${keys}) do ${otherwise}`,
    args: values.map(({ arg }) => arg as Value),
  }
}

/** `a = ?, b = ?` and its arguments. */
function list(
  table: MergeTable,
  columns: readonly number[],
  row: Row,
  between: string,
): { readonly sql: string; readonly args: readonly Value[] } {
  const bound = row.map(binding)
  const terms = columns.map((column, i) => `${columnSql(table, column)} = ${bound[i]?.sql}`)
  return { sql: terms.join(between), args: bound.map(({ arg }) => arg as Value) }
}

function known(cells: Cells | null): Row {
  return (cells ?? []).map((value) => value ?? null)
}
