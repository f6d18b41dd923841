/**
 * Finds the parts of an INSERT by its tokens: table, column list, and where the rows come from. Only
 * as much of the grammar as automatic-ids.ts needs; whatever looks unusual is left alone, and what
 * SQLite then makes of it is SQLite's business.
 */
import { identifier, keyword, type Token } from '../../model/sql-tokens.ts'

export interface Insert {
  /** Name of the table, without quotes. */
  readonly table: string
  /** One token for each column named; null: there is no list. */
  readonly columns: readonly Token[] | null
  readonly source: InsertSource
  /** ON CONFLICT follows the rows. */
  readonly upserts: boolean
}

export type InsertSource = { readonly first: Token; readonly last: Token } & (
  | { readonly kind: 'defaults' }
  | { readonly kind: 'values'; readonly rows: readonly InsertRow[] }
  /** Of any form, also VALUES with something behind it. */
  | { readonly kind: 'query' }
)

/** One row of VALUES. */
export interface InsertRow {
  readonly values: readonly (readonly Token[])[]
  /** Its closing parenthesis. */
  readonly close: Token
}

/** Where a statement's INSERT or REPLACE begins, past its WITH; -1 if it is another statement. */
export function findInsert(tokens: readonly Token[]): number {
  const word = keyword(tokens[0])
  if (word === 'INSERT' || word === 'REPLACE') return 0
  if (word !== 'WITH') return -1
  let depth = 0
  for (const [i, token] of tokens.entries()) {
    depth += nesting(token)
    if (depth > 0) continue
    const next = keyword(tokens[i + 1])
    const begins = keyword(token) === 'INSERT' || keyword(token) === 'REPLACE'
    // A common table expression may have such a name.
    if (begins && (next === 'INTO' || next === 'OR')) return i
  }
  return -1
}

/** Reads the INSERT that the tokens are, from its first word on; null if it is none of a known form. */
export function readInsert(tokens: readonly Token[]): Insert | null {
  let at = keyword(tokens[1]) === 'OR' ? 3 : 1
  if (keyword(tokens[at]) !== 'INTO') return null
  const qualified = tokens[at + 2]?.text === '.'
  if (qualified && identifier(tokens[at + 1]).toLowerCase() !== 'main') return null
  at += qualified ? 3 : 1
  const table = identifier(tokens[at])
  at += keyword(tokens[at + 1]) === 'AS' ? 3 : 1
  const columns = readColumns(tokens, at)
  if (columns !== null) at += columns.length * 2 + 1
  const rest = tokens.slice(at)
  const end = endOfSource(rest)
  const source = readSource(rest.slice(0, end))
  if (source === null || table === '') return null
  return { table, columns, source, upserts: keyword(rest[end]) === 'ON' }
}

/** A list is names with commas between them, in parentheses. */
function readColumns(tokens: readonly Token[], open: number): readonly Token[] | null {
  if (tokens[open]?.text !== '(') return null
  const columns: Token[] = []
  for (let at = open + 1; at < tokens.length; at += 2) {
    const name = tokens[at]
    if (name !== undefined) columns.push(name)
    if (tokens[at + 1]?.text !== ',') return columns
  }
  return columns
}

/** What may follow the rows is ON CONFLICT and RETURNING. */
function endOfSource(tokens: readonly Token[]): number {
  let depth = 0
  for (const [i, token] of tokens.entries()) {
    depth += nesting(token)
    if (depth > 0 || tokens[i - 1]?.text === '.') continue
    if (keyword(token) === 'RETURNING') return i
    if (keyword(token) === 'ON' && keyword(tokens[i + 1]) === 'CONFLICT') return i
  }
  return tokens.length
}

function readSource(tokens: readonly Token[]): InsertSource | null {
  const [first] = tokens
  const last = tokens.at(-1)
  if (first === undefined || last === undefined) return null
  switch (keyword(first)) {
    case 'DEFAULT':
      return { kind: 'defaults', first, last }
    case 'VALUES': {
      const rows = readRows(tokens)
      return rows === null ? { kind: 'query', first, last } : { kind: 'values', first, last, rows }
    }
    case 'SELECT':
    case 'WITH':
      return { kind: 'query', first, last }
    default:
      return null
  }
}

/** Null: it is not all rows. */
function readRows(tokens: readonly Token[]): readonly InsertRow[] | null {
  const rows: InsertRow[] = []
  let depth = 0
  let values: Token[][] = []
  for (const token of tokens.slice(1)) {
    const before = depth
    depth += nesting(token)
    if (before === 0) {
      if (depth === 0 && token.text !== ',') return null
      values = [[]]
    } else if (depth === 0) rows.push({ values, close: token })
    else if (depth === 1 && token.text === ',') values.push([])
    else values.at(-1)?.push(token)
  }
  return depth === 0 ? rows : null
}

/**
 * The INSERT statements in the text of a trigger. Its statements end with semicolons, which occur
 * nowhere else in it.
 */
export function insertsOfTrigger(tokens: readonly Token[]): readonly Insert[] {
  const inserts: Insert[] = []
  let statement: Token[] = []
  for (const token of tokens.slice(bodyOf(tokens))) {
    if (token.kind !== 'mark' || token.text !== ';') statement.push(token)
    else {
      const insert = findInsert(statement) === 0 ? readInsert(statement) : null
      if (insert !== null) inserts.push(insert)
      statement = []
    }
  }
  return inserts
}

/** Past BEGIN, which may also be a column of NEW in WHEN. */
function bodyOf(tokens: readonly Token[]): number {
  let depth = 0
  for (const [i, token] of tokens.entries()) {
    depth += nesting(token)
    if (depth === 0 && keyword(token) === 'BEGIN' && tokens[i - 1]?.text !== '.') return i + 1
  }
  return tokens.length
}

function nesting({ kind, text }: Token): number {
  if (kind !== 'mark') return 0
  return text === '(' ? 1 : text === ')' ? -1 : 0
}
