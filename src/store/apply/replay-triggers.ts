/**
 * Triggers in the way of a replay. What they did when the work was first done is among the lost
 * rows, so they must not do it again: they are dropped for the length of the replay, in its
 * transaction. Those whose effects are not among the rows stay: what only checks or fills an index
 * (FTS5, R*Tree), whose inside is not replayed, and what is new.
 */
import type { Statement } from '../../model/program.ts'
import { tokenize } from '../../model/sql-tokens.ts'
import { openLive } from '../files/live-file.ts'
import { quote } from '../quote.ts'
import { triggerWrites } from '../schema/trigger-writes.ts'

interface Trigger {
  readonly name: string
  /** Lower case, as the others. */
  readonly table: string
  readonly sql: string
  readonly writes: ReadonlySet<string>
}

/** The triggers of a database as they are now. */
export interface Triggers {
  /** In the order in which they were made. */
  readonly all: readonly Trigger[]
  readonly virtualTables: ReadonlySet<string>
  /** Names and texts of all of them, as `TEXTS` gives them. */
  readonly texts: string | null
}

/** What is run around the rows, and of which triggers. */
export interface SetAside {
  readonly names: readonly string[]
  readonly before: readonly Statement[]
  readonly after: readonly Statement[]
}

const TEXTS = `(SELECT group_concat(name || ' ' || sql, char(10) ORDER BY name)
  FROM main.sqlite_schema WHERE type = 'trigger')`

/** Looks them up in a live database. */
export function triggersIn(databasePath: string): Triggers {
  const { db } = openLive(databasePath, { readOnly: true, timeout: 5_000 })
  try {
    const rows = db.prepare(
      `select name, lower(tbl_name) as "table", sql from main.sqlite_schema
        where type = 'trigger' order by rowid`,
    )
    const virtual = db.prepare(
      `select lower(name) as name from pragma_table_list where schema = 'main' and type = 'virtual'`,
    )
    const texts = db.prepare(`select ${TEXTS} as texts`).get()?.['texts']
    const all = rows.all().map(({ name, table, sql }) => {
      const writes = triggerWrites([...tokenize(String(sql))])
      return { name: String(name), table: String(table), sql: String(sql), writes }
    })
    return {
      all,
      virtualTables: new Set(virtual.all().map(({ name }) => String(name))),
      texts: typeof texts === 'string' ? texts : null,
    }
  } finally {
    db.close()
  }
}

/**
 * Which triggers must not fire while rows of some tables are written again.
 *
 * @param tables all that have such rows, in lower case
 */
export function setAside(triggers: Triggers, tables: ReadonlySet<string>): SetAside {
  const found = holding(triggers, tables).filter(({ table }) => tables.has(table))
  const names = found.map(({ name }) => name)
  if (found.length === 0) return { names, before: [], after: [] }
  const { virtualTables, texts } = triggers
  const mixed = found.find(({ writes }) => !virtualTables.isDisjointFrom(writes))
  if (mixed !== undefined) {
    const reason =
      `Trigger ${mixed.name} fills a virtual table and writes rows that are in the entry already: ` +
      'make two triggers of it first.'
    return { names: [], before: [failUnless('false', [], reason)], after: [] }
  }
  return {
    names,
    before: [
      failUnless(`${TEXTS} IS ?`, [texts], 'A trigger has been changed in the meantime.'),
      ...names.map((name) => ({ sql: `DROP TRIGGER main.${quote(name)}` })),
    ],
    after: found.map(({ sql }) => ({ sql })),
  }
}

/** Those whose effects are rows of the tables, and those that make them fire. */
function holding({ all }: Triggers, tables: ReadonlySet<string>): readonly Trigger[] {
  const reached = new Set(tables)
  const held = new Set<Trigger>()
  for (let before = -1; before < held.size; ) {
    before = held.size
    for (const trigger of all) {
      if (reached.isDisjointFrom(trigger.writes)) continue
      held.add(trigger)
      reached.add(trigger.table)
    }
  }
  return all.filter((trigger) => held.has(trigger))
}

/** SQL can only fail through an expression that fails; this one says why in its message. */
export function failUnless(
  condition: string,
  args: readonly (string | null)[],
  reason: string,
): Statement {
  const sql = `SELECT json_extract('{}', iif(${condition}, '$', ?))`
  return { sql, args: [...args, reason], wantRows: false }
}
