/**
 * UNIQUE indexes as SQL: which rows of a table have the entry that a coming row will have. Needed
 * because REPLACE deletes these without firing a trigger (see row-watch.ts).
 */
import { keyword, type Token, tokenize } from '../../model/sql-tokens.ts'
import { quote } from '../quote.ts'

export interface UniqueIndex {
  /** SQL over the table under its own name and `new`, the row that comes. */
  readonly condition: string
  /** The columns that it is made of, as SQL; null: it can be any. */
  readonly columns: readonly string[] | null
}

/** A column of a table. */
export interface Column {
  readonly name: string
  /** As SQL. */
  readonly quoted: string
  readonly type: string
  readonly generated: boolean
  /** What a row that comes has in it, as SQL. */
  readonly coming: string
  /** In the PRIMARY KEY, from 1; 0 if it is not part of it. */
  readonly place: number
}

/** A column of an index; null: an expression. */
export interface IndexPart {
  readonly column: Column | null
  /** As SQL. */
  readonly collation: string
}

/** From a row of pragma table_xinfo: name, type, hidden, notnull, dflt_value, pk. */
export function toColumn(row: readonly unknown[]): Column {
  const [given, type, hidden, notNull, fallback, place] = row
  const quoted = quote(String(given))
  // OR REPLACE puts the default in the place of a NULL that may not be.
  const replaced = Number(notNull) !== 0 && fallback !== null
  return {
    name: String(given),
    quoted,
    type: String(type).toUpperCase(),
    generated: Number(hidden) !== 0,
    coming: replaced
      ? `coalesce(new.${quoted}, ${defaultValue(String(fallback))})`
      : `new.${quoted}`,
    place: Number(place),
  }
}

const CONSTANTS: ReadonlySet<string> = new Set([
  ...['TRUE', 'FALSE', 'NULL', 'CURRENT_DATE', 'CURRENT_TIME', 'CURRENT_TIMESTAMP'],
])

/** A default as an expression: SQLite takes a mere name for a string. */
function defaultValue(sql: string): string {
  const [first, second] = tokenize(sql)
  if (first === undefined || second !== undefined) return `(${sql})`
  const name = first.kind === 'quoted' ? first.text.slice(1, -1) : keyword(first) && first.text
  if (name === '' || CONSTANTS.has(keyword(first))) return `(${sql})`
  return `'${name.replaceAll("'", "''")}'`
}

/** @param sql of CREATE INDEX; null: the index of a constraint */
export function uniqueIndex(
  table: string,
  columns: readonly Column[],
  parts: readonly IndexPart[],
  sql: string | null,
): UniqueIndex {
  const { expressions, where } = sql === null ? { expressions: [], where: '' } : indexText(sql)
  const values = columns.map(({ coming, quoted }) => `${coming} as ${quoted}`).join(', ')
  const terms = parts.map(({ column, collation }, i) => {
    if (column !== null) {
      return `${quote(table)}.${column.quoted} collate ${collation} = ${column.coming}`
    }
    const given = `(${expressions[i] ?? ''})`
    const coming = `(select ${given} from (select ${values}) as ${quote(table)})`
    return `${given} collate ${collation} = ${coming}`
  })
  if (where !== '') terms.push(`(${where})`)
  const simple = where === '' && parts.every(({ column }) => column?.generated === false)
  const names = parts.flatMap(({ column }) => (column === null ? [] : [column.quoted]))
  return { condition: terms.join(' and '), columns: simple ? names : null }
}

/** The indexed expressions of a CREATE INDEX, and what follows its WHERE. */
function indexText(sql: string): {
  readonly expressions: readonly string[]
  readonly where: string
} {
  const tokens = [...tokenize(sql)]
  const open = tokens.findIndex(({ text }) => text === '(')
  const expressions: string[] = []
  let depth = 0
  let part: Token[] = []
  let at = open
  for (const token of tokens.slice(open)) {
    at += 1
    const closes = token.text === ')'
    if (closes) depth -= 1
    if (depth === 0 || (depth === 1 && token.text === ',')) {
      if (part.length > 0) expressions.push(textOf(sql, part))
      part = []
      if (closes) break
    } else part.push(token)
    if (token.text === '(') depth += 1
  }
  const where = tokens.findIndex((token, i) => i >= at && keyword(token) === 'WHERE')
  return { expressions, where: where === -1 ? '' : textOf(sql, tokens.slice(where + 1)) }
}

/** The SQL from the first to the last token, without the direction of an indexed expression. */
function textOf(sql: string, tokens: readonly Token[]): string {
  const directed = ['ASC', 'DESC'].includes(keyword(tokens.at(-1)))
  const last = tokens.at(directed ? -2 : -1)
  const end = last === undefined ? 0 : last.start + last.text.length
  return sql.slice(tokens[0]?.start ?? 0, end)
}
