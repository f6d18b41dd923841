/**
 * Rewrites INSERTs so that a missing or NULL id becomes what a function gives. SQLite itself would
 * give max + 1, which two origins give at the same time; it ignores a DEFAULT for an INTEGER
 * PRIMARY KEY, and no trigger can change the row that is coming.
 */
import { type Token, tokenize } from '../../model/sql-tokens.ts'
import { quote } from '../quote.ts'
import type { IdTable } from './id-tables.ts'
import {
  findInsert,
  type Insert,
  type InsertRow,
  type InsertSource,
  insertsOfTrigger,
  readInsert,
} from './insert-shape.ts'

/** (number of the table, an id that it must be above): the next id. */
export const NEXT_ID = '_quorate_next_id'
const ROWS = '_quorate_rows'

/** The table of a name if its ids are automatic. */
export type FindTable = (name: string) => IdTable | null

type Values = Extract<InsertSource, { kind: 'values' }>

/** To put a text in the place of another. */
interface Edit {
  readonly start: number
  readonly end: number
  readonly text: string
}

/** The text with ids in it; null if it is no INSERT, or none that SQLite would give an id to. */
export function withIds(sql: string, tokens: readonly Token[], find: FindTable): string | null {
  const at = findInsert(tokens)
  if (at === -1) return null
  const insert = readInsert(at === 0 ? tokens : tokens.slice(at))
  return insert === null ? null : rewritten(sql, editsOf(insert, find))
}

/** The same for the INSERTs of a trigger. */
export function triggerWithIds(sql: string, find: FindTable): string | null {
  const inserts = insertsOfTrigger([...tokenize(sql)])
  return rewritten(
    sql,
    inserts.flatMap((insert) => editsOf(insert, find)),
  )
}

function rewritten(sql: string, edits: readonly Edit[]): string | null {
  if (edits.length === 0) return null
  let text = ''
  let done = 0
  for (const { start, end, text: replacement } of edits) {
    text += sql.slice(done, start) + replacement
    done = end
  }
  return text + sql.slice(done)
}

/** In the order of the text. */
function editsOf(insert: Insert, find: FindTable): readonly Edit[] {
  const table = find(insert.table)
  if (table === null) return []
  const { source } = insert
  const place = placeOf(insert, table)
  switch (source.kind) {
    case 'defaults': {
      const text = `(${quote(table.column)}) select ${NEXT_ID}(${table.number})`
      return [replace(source.first, source.last, text)]
    }
    case 'values': {
      // What is wrong with it anyway is told in its own words.
      const count = insert.columns?.length ?? table.columns
      if (source.rows.some((row) => row.values.length !== count)) return []
      const columns = place === null ? nameColumn(insert, table) : []
      return [...columns, ...values(insert, source, place, table)]
    }
    case 'query':
      return [
        ...(place === null ? nameColumn(insert, table) : []),
        ...query(insert, source, place, table),
      ]
  }
}

/** Which of its values is the id; null: none. */
function placeOf({ columns }: Insert, table: IdTable): number | null {
  if (columns === null) return table.place
  const place = columns.findIndex((column) => table.isId(column))
  return place === -1 ? null : place
}

function replace(first: Token, last: Token, text: string): Edit {
  return { start: first.start, end: last.start + last.text.length, text }
}

function before(token: Token, text: string): Edit {
  return { start: token.start, end: token.start, text }
}

function after(token: Token, text: string): Edit {
  const end = token.start + token.text.length
  return { start: end, end, text }
}

/** As the last of the columns, where its value goes too. */
function nameColumn({ columns }: Insert, table: IdTable): readonly Edit[] {
  const last = columns?.at(-1)
  return last === undefined ? [] : [after(last, `, ${quote(table.column)}`)]
}

/**
 * Ids that are given in the text cost nothing. What one row needs is written into it, but not if
 * triggers come before it: SQLite would evaluate it once for them and once for the row.
 */
function values(
  insert: Insert,
  source: Values,
  place: number | null,
  table: IdTable,
): readonly Edit[] {
  const [row] = source.rows
  const alone = source.rows.length === 1 && !table.isAwaited
  if (place === null) {
    return alone && row !== undefined ? append(row, table) : query(insert, source, null, table)
  }
  const ids = source.rows.map((one) => one.values[place] ?? [])
  if (ids.every((id) => isGiven(id))) return []
  const [id] = ids
  return alone && id !== undefined ? coalesce(id, table) : query(insert, source, place, table)
}

/** It is a literal. */
function isGiven(value: readonly Token[]): boolean {
  const [first, second] = value
  const signed = first?.text === '-' || first?.text === '+'
  const literal = signed ? second : first
  if (value.length !== (signed ? 2 : 1)) return false
  return literal?.kind === 'number' || literal?.kind === 'string'
}

function append({ close }: InsertRow, { number }: IdTable): readonly Edit[] {
  return [before(close, `, ${NEXT_ID}(${number})`)]
}

function coalesce(id: readonly Token[], { number }: IdTable): readonly Edit[] {
  const [first] = id
  const last = id.at(-1)
  if (first === undefined || last === undefined) return []
  return [before(first, 'coalesce('), after(last, `, ${NEXT_ID}(${number}))`)]
}

/**
 * A query becomes one of its own, so that ids rise in the order of its rows: in one with ORDER BY
 * SQLite would call the function before it sorts. Automatic ids are above those that other rows
 * bring, which may not be in the table yet: if there are triggers or RETURNING, SQLite makes all
 * rows before it inserts the first.
 */
function query(
  { columns, upserts }: Insert,
  source: InsertSource,
  place: number | null,
  table: IdTable,
): readonly Edit[] {
  const count = columns?.length ?? table.columns
  const names = Array.from({ length: count }, (_, i) => `c${i}`)
  // Looked through twice, so they must be made once.
  const rows = place === null ? ROWS : `${ROWS}(${names.join(', ')})`
  const made = place === null ? 'as' : 'as materialized'
  const above = `(select max(cast(c${place} as integer)) from ${ROWS})`
  const values = names.map((name, i) =>
    i === place ? `coalesce(${name}, ${NEXT_ID}(${table.number}, ${above}))` : name,
  )
  const all = place === null ? `*, ${NEXT_ID}(${table.number})` : values.join(', ')
  return [
    before(source.first, `with ${rows} ${made} (`),
    // Without WHERE, ON would belong to the query.
    after(source.last, `) select ${all} from ${ROWS}${upserts ? ' where true' : ''}`),
  ]
}
