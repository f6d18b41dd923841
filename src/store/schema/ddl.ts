/**
 * Runs one DDL statement on the writer, and says what replicas are to run for it. For most it is the
 * same text. Not where replicas would do something else: they have foreign keys off and a SELECT
 * would give them other rows.
 */
import { constants } from 'node:sqlite'
import { present } from '../../base/assert.ts'
import { QuorateError } from '../../base/errors.ts'
import { firstKeyword } from '../../model/sql-tokens.ts'
import type { Connections } from '../connections.ts'
import type { Capture } from '../execute/capture.ts'
import type { Classified } from '../execute/classify.ts'
import type { Settings } from '../execute/settings.ts'
import { type Action, mapSqliteError } from '../execute/statement.ts'
import { quote } from '../quote.ts'
import type { Schema } from './schema.ts'
import { checkTables } from './schema-guard.ts'

/** What belongs to the writer's connection. */
export interface Writing {
  readonly connections: Connections
  readonly schema: Schema
  readonly capture: Capture
  readonly settings: Settings
}

/** What came of it. */
export interface DdlOutcome {
  /** False for IF NOT EXISTS and the like: nothing to log. */
  readonly effect: boolean
  /** Rows were deleted that others may still refer to, which COMMIT would find. */
  readonly deletedParents: boolean
}

export class Ddl {
  readonly #connections: Connections
  readonly #schema: Schema
  readonly #capture: Capture
  readonly #settings: Settings
  #effect = false

  constructor({ connections, schema, capture, settings }: Writing) {
    this.#connections = connections
    this.#schema = schema
    this.#capture = capture
    this.#settings = settings
  }

  /** Throws SQL_REFUSED, SQL_ERROR, SQL_CONSTRAINT; the transaction is as it was then. */
  run(statement: Classified): DdlOutcome {
    this.#effect = false
    // To SQLite our triggers are part of their table; they come back when they are needed.
    if (statement.keyword === 'ALTER') this.#schema.unwatch()
    else if (statement.name !== '') this.#schema.unwatch(statement.name)
    const { actions } = statement.prepare()
    const { sql } = statement
    const deletedParents = this.#dropsParent(statement.name)
    this.#undoable(() => {
      if (deletedParents) this.#dropParent(statement)
      else if (isTableAsSelect(actions)) this.#tableAsSelect(sql, actions)
      else if (statement.keyword === 'ANALYZE') this.#analyze(sql)
      else this.#exec(sql, this.#forReplicas(statement))
      if (this.#effect) checkTables(this.#schema.facts)
    })
    return { effect: this.#effect, deletedParents }
  }

  /** ANALYZE, but not of Quorate's own tables, which differ from replica to replica. */
  #analyze(sql: string): void {
    const { writer } = this.#connections
    this.#exec(sql, () => {
      if (writer.internal(STATISTICS).row() === undefined) return sql
      writer.db.exec(FORGET_OURS)
      return `${sql}\n; ${FORGET_OURS}`
    })
  }

  /** What RENAME does to other tables depends on a PRAGMA, which goes along if it is not the usual. */
  #forReplicas({ sql, keyword }: Classified): string {
    if (keyword !== 'ALTER' || !this.#settings.isOn('legacy_alter_table')) return sql
    if (this.#settings.isOn('foreign_keys')) {
      throw new QuorateError(
        'SQL_REFUSED',
        'ALTER TABLE with PRAGMA legacy_alter_table needs PRAGMA foreign_keys = off too, as replicas have it.',
      )
    }
    return `pragma legacy_alter_table = on; ${sql}\n; pragma legacy_alter_table = off`
  }

  /** @param replicas what they run, told once it has run here */
  #exec(sql: string, replicas: string | (() => string)): void {
    const { writer } = this.#connections
    this.#capture.ddl(() => {
      const before = writer.schemaVersion()
      try {
        writer.db.exec(sql)
      } catch (error) {
        throw mapSqliteError(error)
      } finally {
        this.#schema.forget()
      }
      const effect = writer.schemaVersion() !== before || !VERSIONED.has(firstKeyword(sql))
      this.#effect ||= effect
      if (!effect) return null
      return typeof replicas === 'string' ? replicas : replicas()
    })
  }

  /** An error takes all of it back. */
  #undoable(run: () => void): void {
    const { writer } = this.#connections
    const mark = this.#capture.mark()
    writer.db.exec('savepoint _quorate_ddl')
    try {
      run()
    } catch (error) {
      if (writer.db.isTransaction) {
        writer.db.exec('rollback to _quorate_ddl')
        this.#schema.forget()
        this.#capture.cut(mark)
      }
      throw mapSqliteError(error)
    } finally {
      if (writer.db.isTransaction) writer.db.exec('release _quorate_ddl')
    }
  }

  /**
   * CREATE TABLE … AS SELECT: the SELECT may give other rows elsewhere, so replicas get the CREATE
   * TABLE that SQLite made of it, and the rows as they are here. They came before the table could be
   * watched, so they are told one by one.
   */
  #tableAsSelect(sql: string, actions: readonly Action[]): void {
    const { writer } = this.#connections
    const { rows } = this.#schema
    const name = actions.find(({ code }) => code === constants.SQLITE_CREATE_TABLE)?.first ?? ''
    const text = writer.internal(
      "select sql from main.sqlite_schema where type = 'table' and name = ?",
    )
    this.#exec(sql, () => String(text.row(name)?.[0]))
    // Without one the table can't be followed, and is refused.
    const table = this.#schema.facts.watched.find((one) => one.name === name)
    if (table === undefined) return
    const rowid = present(table.rowid, () => `rowid of ${name}`)
    const all = writer.db.prepare(`select ${rowid} from main.${quote(name)}`, RAW)
    for (const row of all.iterate()) rows.onTouch(name, (row as unknown as [bigint])[0])
  }

  /** DROP TABLE of a table that a foreign key in force refers to. */
  #dropsParent(table: string): boolean {
    if (!this.#schema.facts.parents.has(table.toLowerCase())) return false
    if (!this.#settings.isOn('foreign_keys')) return false
    const there = "select 1 from sqlite_schema where type = 'table' and lower(name) = lower(?)"
    return this.#connections.writer.internal(there).row(table) !== undefined
  }

  /**
   * DROP TABLE deletes the rows first if a foreign key refers to them, with all that follows in
   * other tables. Replicas run DDL without foreign keys, so the deleting becomes a changeset.
   * Triggers don't fire when SQLite does it.
   */
  #dropParent({ name, sql }: Classified): void {
    const { writer } = this.#connections
    const triggers = writer.internal(
      "select name from sqlite_schema where type = 'trigger' and lower(tbl_name) = lower(?)",
    )
    for (const [trigger] of triggers.rows(name)) {
      writer.db.exec(`drop trigger main.${quote(String(trigger))}`)
    }
    this.#schema.watch()
    const standIns = this.#makeParents(name)
    writer.db.exec(`delete from main.${quote(name)}`)
    for (const parent of standIns) writer.db.exec(`drop table main.${quote(parent)}`)
    this.#exec(sql, sql)
  }

  /**
   * DROP TABLE does not mind if tables are missing that this one refers to, but DELETE does: they are
   * made, empty. Returns their names.
   */
  #makeParents(table: string): readonly string[] {
    const { writer } = this.#connections
    const parents = new Map<string, Set<string>>()
    for (const [parent, columns, key] of writer.internal(MISSING_PARENTS).rows(table)) {
      const parts = parents.get(String(parent)) ?? new Set()
      for (const column of String(columns).split('\n')) parts.add(column)
      parents.set(String(parent), parts.add(String(key)))
    }
    for (const [parent, parts] of parents) {
      // Columns go before keys.
      const definition = [...parts].sort((one, other) => rank(one) - rank(other)).join(', ')
      writer.db.exec(`create table main.${quote(parent)} (${definition})`)
    }
    return [...parents.keys()]
  }
}

/**
 * For each foreign key to a table that is missing: the table, its columns, and the key that they
 * must be. Without columns the table's PRIMARY KEY is meant.
 */
const MISSING_PARENTS = `select parent, group_concat(name, char(10)),
    case when named then 'unique (' else 'primary key (' end || group_concat(name, ', ') || ')'
  from (select f.id, lower(f."table") as parent, f."to" is not null as named,
      '"' || replace(lower(coalesce(f."to", 'c' || f.seq)), '"', '""') || '"' as name
    from pragma_foreign_key_list(?, 'main') f where not exists (
      select 1 from main.sqlite_schema s where s.type = 'table' and lower(s.name) = lower(f."table"))
    order by f.id, f.seq)
  group by id, parent, named`
/** What counts up the version of the schema if it has an effect; ANALYZE may change statistics only. */
const VERSIONED: ReadonlySet<string> = new Set(['CREATE', 'DROP', 'ALTER', 'REINDEX'])
const STATISTICS = "select 1 from main.sqlite_schema where name = 'sqlite_stat1'"
const FORGET_OURS = "delete from main.sqlite_stat1 where tbl like '\\_quorate\\_%' escape '\\'"

const RAW = { readBigInts: true, returnArrays: true } as const

function rank(part: string): number {
  return part.startsWith('"') ? 0 : 1
}

function isTableAsSelect(actions: readonly Action[]): boolean {
  const codes = new Set(actions.map(({ code }) => code))
  return codes.has(constants.SQLITE_CREATE_TABLE) && codes.has(constants.SQLITE_SELECT)
}
