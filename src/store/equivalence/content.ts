/** Everything that a database holds, as text to compare: rows with their rowids, schema, settings. */
import { DatabaseSync } from 'node:sqlite'
import type { Value } from '../../model/program.ts'
import { quote } from '../quote.ts'

const RAW = { readBigInts: true, returnArrays: true } as const

/** For each table (and `schema`, `settings`) its rows. */
export type Content = ReadonlyMap<string, readonly string[]>

export interface ContentOptions {
  /**
   * Leave out what may differ from plain SQLite: how FTS5 lays out its index depends on when it
   * writes it, and random() and time are what they are.
   */
  readonly loosely: boolean
}

/** Tables whose columns, except `id`, differ between two runs by right. */
export const VARYING = /^vary/

export function contentOfFile(path: string, options: ContentOptions): Content {
  const db = new DatabaseSync(path, { readOnly: true })
  try {
    return contentOf(db, options)
  } finally {
    db.close()
  }
}

export function contentOf(db: DatabaseSync, { loosely }: ContentOptions): Content {
  const all = (sql: string) => db.prepare(sql, RAW).all() as unknown as Value[][]
  const content = new Map<string, readonly string[]>()
  const schema = all(`select type, name, tbl_name, sql from sqlite_schema
    where tbl_name not like '\\_quorate%' escape '\\' order by rowid`)
  content.set('schema', schema.map(rowText))
  content.set(
    'settings',
    [...all('pragma user_version'), ...all('pragma application_id')].map(rowText),
  )
  const tables = all(`select name, type, wr from pragma_table_list where schema = 'main'
    and type in ('table', 'shadow')`)
  const hidden = loosely ? indexTables(schema) : new Set<string>()
  for (const [given, , withoutRowid] of tables) {
    const name = String(given)
    if (/^_quorate|^sqlite_(schema|stat)/.test(name) || hidden.has(name)) continue
    const only = loosely && VARYING.test(name)
    content.set(`table ${name}`, tableRows(db, name, withoutRowid === 1n, only))
  }
  return content
}

/** Where FTS5 keeps its index, and with contentless_delete notes which part of it is a row's. */
function indexTables(schema: readonly Value[][]): Set<string> {
  const fts = schema.filter(([, , , sql]) => /using fts5/i.test(String(sql)))
  return new Set(
    fts.flatMap(([, name, , sql]) => {
      const names = [`${name}_data`, `${name}_idx`]
      return String(sql).includes('contentless_delete') ? [...names, `${name}_docsize`] : names
    }),
  )
}

function tableRows(
  db: DatabaseSync,
  table: string,
  withoutRowid: boolean,
  onlyId: boolean,
): readonly string[] {
  const info = db.prepare('select name from pragma_table_xinfo(?) where hidden <> 1', RAW)
  const names = (info.all(table) as unknown as string[][]).map(([name]) => String(name))
  const taken = new Set(names.map((name) => name.toLowerCase()))
  const rowid = ['rowid', '_rowid_', 'oid'].find((name) => !taken.has(name))
  const columns = names.filter((name) => !onlyId || name === 'id').map(exact)
  // SQLite numbers the rows of its own table as it likes.
  const hasRowid = !withoutRowid && rowid !== undefined && table !== 'sqlite_sequence'
  const terms = hasRowid ? [rowid, ...columns] : columns
  const rows = db.prepare(`select ${terms.join(', ')} from ${quote(table)}`, RAW).all()
  return (rows as unknown as Value[][]).map(rowText).sort()
}

/** A term that shows every byte of a column. */
function exact(column: string): string {
  const name = quote(column)
  return `case typeof(${name}) when 'text' then 't' || hex(${name})
    when 'blob' then 'b' || hex(${name}) else ${name} end`
}

function rowText(row: readonly Value[]): string {
  return row.map(valueText).join('|')
}

function valueText(value: Value): string {
  if (typeof value === 'number') return Object.is(value, -0) ? '-0.0' : `r${value}`
  return value === null ? 'NULL' : String(value)
}

const SHOWN_MAX = 5

/** What differs, as text for people; null if nothing does. */
export function difference(one: Content, other: Content): string | null {
  const lines: string[] = []
  for (const name of new Set([...one.keys(), ...other.keys()])) {
    const left = one.get(name)
    const right = other.get(name)
    if (left === undefined || right === undefined) {
      lines.push(`${name}: only ${left === undefined ? 'the second' : 'the first'} has it`)
    } else if (left.join('\n') !== right.join('\n')) {
      lines.push(`${name}:`, ...rowsOnly(left, right, '-'), ...rowsOnly(right, left, '+'))
    }
  }
  return lines.length === 0 ? null : lines.join('\n')
}

function rowsOnly(left: readonly string[], right: readonly string[], sign: string): string[] {
  const others = new Set(right)
  const only = left.filter((row) => !others.has(row))
  const shown = only.slice(0, SHOWN_MAX).map((row) => `  ${sign} ${row.slice(0, 300)}`)
  if (only.length > SHOWN_MAX) shown.push(`  ${sign} … ${only.length - SHOWN_MAX} more`)
  return shown
}
