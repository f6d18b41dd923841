/**
 * FTS5 and R*Tree tables among several origins. Their shadow rows are made by each replica for itself
 * and do not travel: two of them never go together. What triggers keep in step with ordinary rows
 * is kept in step here as well: after rows have been put in place, those triggers are fired for the
 * rows that are different from before, and for nothing else.
 */
import type { DatabaseSync } from 'node:sqlite'
import { present } from '../../base/assert.ts'
import { QuorateError } from '../../base/errors.ts'
import { readExactly, withoutTables } from '../../model/changeset.ts'
import { keyword, type Token, tokenize } from '../../model/sql-tokens.ts'
import { binding } from '../exact-rows.ts'
import { quote } from '../quote.ts'
import { triggerWrites } from '../schema/trigger-writes.ts'
import { type Catalog, columnSql, type MergeTable } from './catalog.ts'
import { PreparedTexts } from './prepared-texts.ts'
import { pick, type Row, TableRows } from './table-rows.ts'

/** A trigger that writes virtual tables only. */
interface IndexTrigger {
  readonly name: string
  readonly table: string
  /** DELETE, INSERT, UPDATE or UPDATE OF columns, as SQL. */
  readonly event: string
  /** WHEN and the body, as SQL. */
  readonly rest: string
}

export class Derived {
  readonly #db: DatabaseSync
  readonly #shadows: ReadonlySet<string>
  readonly #sources: readonly Source[]

  /** Throws NOT_ADOPTABLE if something derived could not be kept in step. */
  constructor(db: DatabaseSync, catalog: Catalog) {
    this.#db = db
    const { shadows, byTable } = readDerived(db)
    this.#shadows = shadows
    this.#sources = [...byTable].flatMap(([name, some]) => {
      const table = catalog.get(name)
      return table === undefined ? [] : [new Source(db, table, some)]
    })
  }

  /** A changeset without shadow rows. */
  without(changes: Uint8Array): Uint8Array {
    return this.#shadows.size === 0 ? changes : withoutTables(changes, this.#shadows)
  }

  /** Does work that changes rows, and brings into step what is derived from them. */
  follow<T>(work: () => T): T {
    if (this.#sources.length === 0) return work()
    const sessions = this.#sources.map(({ table }) => this.#db.createSession({ table: table.name }))
    try {
      const result = work()
      for (const [i, source] of this.#sources.entries()) {
        const session = present(sessions[i], () => `session ${i}`)
        source.fire(session.changeset())
      }
      return result
    } finally {
      for (const session of sessions) session.close()
    }
  }
}

/** Drops what stands in the TEMP schema: it names tables, and a change of these would fail over it. */
export function releaseDerived(db: DatabaseSync): void {
  const sql = `select type, name from sqlite_temp_schema where type in ('view', 'table')
    and (name like '\\_quorate\\_now\\_%' escape '\\' or name like '\\_quorate\\_old\\_%' escape '\\')
    order by type desc`
  for (const { type, name } of db.prepare(sql).all()) {
    db.exec(`drop ${type} if exists temp.${quote(String(name))}`)
  }
}

/** Throws NOT_ADOPTABLE if something derived could not be kept in step; makes nothing. */
export function checkDerived(db: DatabaseSync, catalog: Catalog): void {
  for (const [name, triggers] of readDerived(db).byTable) {
    const table = catalog.get(name)
    if (table !== undefined) checkRowids(table, hasRowid(db, table), triggers)
    else {
      const detail = `Trigger ${triggers[0]?.name} on the view ${name} writes a virtual table, which no row of an ordinary table tells the other replicas. Let it write an ordinary table, and fill the virtual one from that.`
      throw new QuorateError('NOT_ADOPTABLE', detail)
    }
  }
}

/** Virtual tables with content that no trigger fills: only the application can have written them. */
export function unfilledTables(db: DatabaseSync): readonly string[] {
  const { owners, filled } = readDerived(db)
  return owners.filter((name) => !filled.has(lower(name)))
}

/** What is derived in a database. Throws NOT_ADOPTABLE. */
function readDerived(db: DatabaseSync) {
  const names = (type: string) =>
    db
      .prepare(`select name from pragma_table_list where schema = 'main' and type = ?`)
      .all(type)
      .map(({ name }) => String(name))
  const shadows = names('shadow')
  const hasShadow = (name: string) =>
    shadows.some((shadow) => lower(shadow).startsWith(`${lower(name)}_`))
  const owners = names('virtual').filter(hasShadow)
  const triggers = owners.length === 0 ? [] : readTriggers(db, new Set(owners.map(lower)))
  return {
    shadows: new Set(shadows),
    owners,
    filled: new Set(triggers.flatMap(({ writes }) => [...writes])),
    byTable: Map.groupBy(triggers, ({ table }) => lower(table)),
  }
}

/**
 * Fires a table's index triggers for changes that have happened already: the triggers stand on a
 * TEMP view here, which has the row as it was.
 */
class Source {
  readonly table: MergeTable
  readonly #rows: TableRows
  readonly #db: DatabaseSync
  readonly #view: string
  readonly #old: string
  /** Columns of the view: the table's, and the rowid under its own name. */
  readonly #columns: readonly string[]
  readonly #statements: PreparedTexts

  constructor(db: DatabaseSync, table: MergeTable, triggers: readonly IndexTrigger[]) {
    this.#db = db
    this.#statements = new PreparedTexts(db)
    this.table = table
    this.#rows = new TableRows(db)
    this.#old = `temp.${quote(`_quorate_old_${table.name}`)}`
    const view = quote(`_quorate_now_${table.name}`)
    this.#view = `temp.${view}`
    const withRowid = hasRowid(db, table)
    checkRowids(table, withRowid, triggers)
    this.#columns = [...table.columns.map(quote), ...(withRowid ? ['rowid'] : [])]
    db.exec(`drop view if exists ${this.#view}; drop table if exists ${this.#old};
      create table ${this.#old} (${this.#columns.join(', ')});
      create view ${this.#view} as select * from ${this.#old}`)
    // SQLite refuses what no trigger is for, also when those there are ask for other columns.
    for (const event of ['delete', 'insert', 'update']) {
      const name = quote(`_quorate_index_${table.name}_${event}`)
      db.exec(`create trigger temp.${name} instead of ${event} on ${view} begin select 1; end`)
    }
    for (const [i, { event, rest }] of triggers.entries()) {
      const name = quote(`_quorate_index_${table.name}_${i}`)
      db.exec(`create trigger temp.${name} instead of ${event} on ${view} ${rest}`)
    }
  }

  fire(changes: Uint8Array): void {
    const all = [...readExactly(changes)]
    // What goes makes room for what comes.
    const order = { delete: 0, update: 1, insert: 2 }
    for (const { op, before, after } of all.sort((a, b) => order[a.op] - order[b.op])) {
      if (op === 'insert') {
        const row = (after ?? []).map((value) => value ?? null)
        this.#run(`insert into ${this.#view} (${this.#columns.join(', ')})`, this.#withRowid(row))
        continue
      }
      const cells = present(before, () => 'a row before')
      const now = op === 'update' ? this.#rows.find(this.table, pick(cells, this.table.key)) : null
      const was = cells.map((value, i) => (value === undefined ? (now?.[i] ?? null) : value))
      this.#run(`insert into ${this.#old}`, this.#withRowid(was))
      if (op === 'delete') this.#db.exec(`delete from ${this.#view}`)
      else
        this.#update(
          (after ?? []).flatMap((value, i) => (value === undefined ? [] : [i])),
          now,
        )
      this.#db.exec(`delete from ${this.#old}`)
    }
  }

  #update(columns: readonly number[], now: Row | null): void {
    const bound = pick(now ?? [], columns).map(binding)
    const sets = columns.map((column, i) => `${columnSql(this.table, column)} = ${bound[i]?.sql}`)
    const sql = `update ${this.#view} set ${sets.join(', ')}`
    this.#statements.get(sql).run(...bound.map(({ arg }) => arg))
  }

  #run(head: string, row: Row): void {
    const bound = row.map(binding)
    const sql = `${head} values (${bound.map(({ sql }) => sql).join(', ')})`
    this.#statements.get(sql).run(...bound.map(({ arg }) => arg))
  }

  #withRowid(row: Row): Row {
    const [key = -1] = this.table.key
    return this.#columns.length > row.length ? [...row, row[key] ?? null] : row
  }
}

/** Whether triggers may speak of a table's rowid: it is its key, and no column is called so. */
function hasRowid(db: DatabaseSync, table: MergeTable): boolean {
  return isAlias(db, table) && !table.columns.some((name) => lower(name) === 'rowid')
}

function checkRowids(
  { name: table }: MergeTable,
  withRowid: boolean,
  triggers: readonly IndexTrigger[],
): void {
  for (const { name, rest } of triggers) {
    if (withRowid || ![...tokenize(rest)].some((token) => keyword(token) === 'ROWID')) continue
    const detail = `Trigger ${name} uses the rowid of ${table}, which is not its INTEGER PRIMARY KEY, so it differs between replicas.`
    throw new QuorateError('NOT_ADOPTABLE', detail)
  }
}

/** Whether the rowid of a table is its key. */
function isAlias(db: DatabaseSync, { name, key }: MergeTable): boolean {
  const sql = `select 1 from pragma_index_list(?) where origin = 'pk'`
  return key.length === 1 && db.prepare(sql).get(name) === undefined
}

/** The triggers that write virtual tables. */
function readTriggers(
  db: DatabaseSync,
  virtual: ReadonlySet<string>,
): readonly (IndexTrigger & { readonly writes: ReadonlySet<string> })[] {
  const rows = db.prepare(
    `select name, tbl_name, sql from main.sqlite_schema where type = 'trigger'`,
  )
  return rows.all().flatMap(({ name, tbl_name: table, sql }) => {
    const text = String(sql)
    const tokens = [...tokenize(text)]
    const writes = triggerWrites(tokens)
    const derived = [...writes].filter((each) => virtual.has(each))
    if (derived.length === 0) return []
    if (derived.length < writes.size) {
      const detail = `Trigger ${name} writes virtual and ordinary tables; make two triggers of it.`
      throw new QuorateError('NOT_ADOPTABLE', detail)
    }
    return [{ ...parts(text, tokens), name: String(name), table: String(table), writes }]
  })
}

/** Event and rest of CREATE TRIGGER. */
function parts(sql: string, tokens: readonly Token[]): Pick<IndexTrigger, 'event' | 'rest'> {
  const events = ['DELETE', 'INSERT', 'UPDATE']
  const event = tokens.findIndex((token) => events.includes(keyword(token)))
  const on = tokens.findIndex((token, i) => i > event && keyword(token) === 'ON')
  // ON table FOR EACH ROW
  const qualified = tokens[on + 2]?.text === '.' ? 2 : 0
  const after = on + 2 + qualified
  const rest = keyword(tokens[after]) === 'FOR' ? after + 3 : after
  const startOf = (i: number) => present(tokens[i], () => `token ${i} of a trigger`).start
  return { event: sql.slice(startOf(event), startOf(on)), rest: sql.slice(startOf(rest)) }
}

function lower(text: string): string {
  return text.toLowerCase()
}
