/** Dot commands about what is in the database. Quorate's own tables and SQLite's are not shown. */
import type { Value } from '../../model/program.ts'
import { textWidth } from '../terminal.ts'
import type { DotCommand } from './dot-command.ts'
import type { Shell } from './shell.ts'

/** Not a user's: SQLite's, ours, and the tables behind virtual ones. */
const USERS = `name not like 'sqlite\\_%' escape '\\' and name not like '\\_quorate\\_%' escape '\\'
  and name not like 'quorate\\_%' escape '\\'
  and name not in (select name from pragma_table_list where schema = 'main' and type = 'shadow')`

/** Names of the user's tables and views, those alone that a LIKE pattern names. */
export async function tableNames(shell: Shell, pattern = '%'): Promise<string[]> {
  const sql = `select name from sqlite_schema
    where type in ('table', 'view') and ${USERS} and name like ? order by name`
  const { rows } = await shell.query(sql, [pattern])
  return rows.map(([name]) => String(name))
}

/** Names beside each other, as many columns as fit in 80 places. */
function inColumns(names: readonly string[]): string[] {
  const width = Math.max(0, ...names.map(textWidth)) + 2
  const columns = Math.max(1, Math.floor(80 / width))
  const rows = Math.ceil(names.length / columns)
  return Array.from({ length: rows }, (_, row) => {
    const line = names.filter((_, at) => at % rows === row)
    return line
      .map((name) => name + ' '.repeat(width - textWidth(name)))
      .join('')
      .trimEnd()
  })
}

async function schema(shell: Shell, pattern: string | undefined): Promise<void> {
  const sql = `select sql from sqlite_schema where sql is not null and ${USERS}
    and tbl_name not like '\\_quorate\\_%' escape '\\'
    and (?1 is null or tbl_name like ?1 or name like ?1)
    order by case type when 'table' then 0 when 'index' then 1 when 'view' then 2 else 3 end, rowid`
  const value: Value = pattern ?? null
  const { rows } = await shell.query(sql, [value])
  shell.print(...rows.map(([text]) => `${String(text)};`))
}

async function indexes(shell: Shell, table: string | undefined): Promise<void> {
  const sql = `select name from sqlite_schema where type = 'index' and ${USERS}
    and tbl_name not like '\\_quorate\\_%' escape '\\'
    and (?1 is null or tbl_name like ?1) order by name`
  const { rows } = await shell.query(sql, [table ?? null])
  shell.print(...inColumns(rows.map(([name]) => String(name))))
}

export const SCHEMA_COMMANDS: readonly DotCommand[] = [
  {
    name: 'tables',
    args: '[PATTERN]',
    help: 'list tables and views, those that are LIKE PATTERN',
    takes: [0, 1],
    run: async (shell, [pattern]) => shell.print(...inColumns(await tableNames(shell, pattern))),
  },
  {
    name: 'schema',
    args: '[PATTERN]',
    help: 'show the CREATE statements of what is LIKE PATTERN',
    takes: [0, 1],
    run: (shell, [pattern]) => schema(shell, pattern),
  },
  {
    name: 'indexes',
    args: '[TABLE]',
    help: 'list the indexes, those of a table LIKE TABLE',
    takes: [0, 1],
    run: (shell, [table]) => indexes(shell, table),
  },
]
