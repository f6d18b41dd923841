/**
 * Keeps Quorate's own tables out of what a client sees of the schema. Tools compare the list of
 * tables with the one they expect, and would drop what is too much. Their queries read
 * sqlite_schema or pragma_table_list; in the text of a query these names are replaced by TEMP views
 * of the same columns without our tables. quorate_conflicts is for people and can be read by its
 * name; it is not listed all the same.
 */
import type { DatabaseSync } from 'node:sqlite'
import { identifier, keyword, type Token } from '../../model/sql-tokens.ts'

const VIEWS = `create temp view if not exists _quorate_schema as select * from main.sqlite_schema
    where tbl_name not like '\\_quorate\\_%' escape '\\' and tbl_name <> 'quorate_conflicts';
  create temp view if not exists _quorate_table_list as select * from pragma_table_list
    where name not like '\\_quorate\\_%' escape '\\' and name <> 'quorate_conflicts'`

/** To be called once for a connection whose statements go through `withoutOurTables`. */
export function makeOwnTableViews(db: DatabaseSync): void {
  db.exec('pragma temp_store = memory')
  db.exec(VIEWS)
}

const INSTEAD: ReadonlyMap<string, string> = new Map([
  ['sqlite_schema', '_quorate_schema'],
  ['sqlite_master', '_quorate_schema'],
  ['pragma_table_list', '_quorate_table_list'],
])
const QUERIES: ReadonlySet<string> = new Set(['SELECT', 'WITH'])
/** What may stand before a table; of words only these. */
const BEFORE: ReadonlySet<string> = new Set(['FROM', 'JOIN', ',', '('])
/** A word after a table is its alias, unless it is one of these. */
const AFTER: ReadonlySet<string> = new Set([
  ...['WHERE', 'GROUP', 'HAVING', 'WINDOW', 'ORDER', 'LIMIT', 'UNION', 'EXCEPT', 'INTERSECT'],
  ...['JOIN', 'NATURAL', 'LEFT', 'RIGHT', 'FULL', 'INNER', 'OUTER', 'CROSS', 'ON', 'USING'],
  ...['INDEXED', 'NOT'],
])

/** The text of a statement that does not see our tables; null if the one given does not ask. */
export function withoutOurTables(sql: string, tokens: readonly Token[]): string | null {
  const word = keyword(tokens[0])
  if (word === 'PRAGMA') return isTableList(tokens) ? 'select * from _quorate_table_list' : null
  if (!QUERIES.has(word)) return null
  let text = ''
  let end = 0
  for (const [i, token] of tokens.entries()) {
    const view = INSTEAD.get(isName(token) ? identifier(token).toLowerCase() : '')
    if (view === undefined) continue
    const first = isQualified(tokens, i) ? i - 2 : i
    if (!isTable(tokens, first, i)) continue
    const alias = hasAlias(tokens[i + 1]) ? '' : ` as ${token.text}`
    text += `${sql.slice(end, tokens[first]?.start)}${view}${alias}`
    end = token.start + token.text.length
  }
  return end === 0 ? null : text + sql.slice(end)
}

function isTableList(tokens: readonly Token[]): boolean {
  const words = tokens.slice(1).map((token) => identifier(token).toLowerCase())
  return ['table_list', 'main . table_list'].includes(words.join(' '))
}

function isName({ kind }: Token): boolean {
  return kind === 'word' || kind === 'quoted'
}

/** It is written main.x. */
function isQualified(tokens: readonly Token[], i: number): boolean {
  return tokens[i - 1]?.text === '.' && identifier(tokens[i - 2]).toLowerCase() === 'main'
}

/** A name from `first` to `last` stands where a table does; one with arguments is a function. */
function isTable(tokens: readonly Token[], first: number, last: number): boolean {
  const next = tokens[last + 1]?.text
  return BEFORE.has((tokens[first - 1]?.text ?? '').toUpperCase()) && next !== '(' && next !== '.'
}

function hasAlias(next: Token | undefined): boolean {
  return next !== undefined && isName(next) && !AFTER.has(keyword(next))
}
