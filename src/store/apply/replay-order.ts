/**
 * In which order rows of several tables are written again: those that refer to others first. What
 * foreign-key actions did is among the lost rows; done first, it leaves these nothing to do. A row
 * that comes before the one it refers to is no trouble where foreign keys are deferred.
 */
import { openLive } from '../files/live-file.ts'

/** Names of the tables that a table's foreign keys refer to, all in lower case. */
export type References = ReadonlyMap<string, ReadonlySet<string>>

/** Looks them up in a live database. */
export function referencesIn(databasePath: string): References {
  const { db } = openLive(databasePath, { readOnly: true, timeout: 5_000 })
  try {
    const rows = db.prepare(
      `select distinct lower(t.name) as child, lower(f."table") as parent
        from pragma_table_list as t, pragma_foreign_key_list(t.name) as f where t.schema = 'main'`,
    )
    const pairs = rows.all().map(({ child, parent }) => [String(child), String(parent)] as const)
    const groups = Map.groupBy(pairs, ([child]) => child)
    return new Map([...groups].map(([child, of]) => [child, new Set(of.map(([, to]) => to))]))
  } finally {
    db.close()
  }
}

/** The same changes, those of a table before those of the ones that it refers to. */
export function childrenFirst<T extends { readonly table: string }>(
  changes: readonly T[],
  references: References,
): readonly T[] {
  if (references.size === 0) return changes
  const byTable = Map.groupBy(changes, ({ table }) => table.toLowerCase())
  const parentsFirst = new Set<string>()
  const begun = new Set<string>()
  const visit = (table: string): void => {
    // Of tables that refer to each other in a circle none is first.
    if (begun.has(table)) return
    begun.add(table)
    for (const parent of references.get(table) ?? []) visit(parent)
    parentsFirst.add(table)
  }
  for (const table of byTable.keys()) visit(table)
  return [...parentsFirst].reverse().flatMap((table) => byTable.get(table) ?? [])
}
