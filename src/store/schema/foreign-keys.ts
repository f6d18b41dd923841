/** Looks for rows that refer to nothing, where COMMIT can't: what is only tried never gets there. */
import type { Connection } from '../connections.ts'

const CHILDREN = `select distinct l.name from pragma_table_list l, pragma_foreign_key_list(l.name, 'main') f
  where l.schema = 'main' and l.type = 'table'`

/**
 * How many there are. Table by table, because a key that refers to columns without an index can't be
 * checked, and would keep all others from it; COMMIT does not count such a one either.
 */
export function foreignKeyViolations(connection: Connection): number {
  const check = connection.internal("select count(*) from pragma_foreign_key_check(?, 'main')")
  let count = 0
  for (const [table] of connection.internal(CHILDREN).rows()) {
    try {
      count += Number(check.row(String(table))?.[0])
    } catch (error) {
      if ((error as { errcode?: number }).errcode !== 1) throw error
    }
  }
  return count
}
