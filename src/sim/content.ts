/**
 * Looks at a replica's content from outside, over a connection of its own that knows nothing of the
 * store: a checksum of every row of every table of the application, and plain queries.
 */
import { DatabaseSync, type StatementSync } from 'node:sqlite'
import { crc32 } from 'node:zlib'

interface TableQuery {
  readonly table: string
  readonly statement: StatementSync
}

/** Table -> checksum of its rows in order; `schema` -> of what sqlite_schema says. */
export type Content = ReadonlyMap<string, number>

const TABLES = `select name from sqlite_schema where type = 'table' and name not like '\\_quorate%'
  escape '\\' and (name not like 'sqlite\\_%' escape '\\' or name = 'sqlite_sequence') order by 1`
/** Tables that each replica may fill in a way of its own. */
const SHADOWS = "select name from pragma_table_list where schema = 'main' and type = 'shadow'"
const SCHEMA = `select group_concat(coalesce(sql, name), ';') as text from (select * from
  sqlite_schema where name not like '\\_quorate%' escape '\\' and tbl_name not like '\\_quorate%'
  escape '\\' order by name)`

export class ContentReader {
  readonly #file: string
  readonly #shadows: boolean
  #db: DatabaseSync | null = null
  #schemaVersion = -1
  #queries: readonly TableQuery[] = []
  #version: StatementSync | null = null
  #applied: StatementSync | null = null

  /** @param shadows whether what lies behind virtual tables must be equal as well */
  constructor(file: string, shadows = true) {
    this.#file = file
    this.#shadows = shadows
  }

  /** Checksums of the last committed state of the file, and the entry that it says it is at. */
  read(): { readonly applied: number; readonly tables: Content } {
    const db = this.#open()
    db.exec('begin')
    try {
      this.#refresh(db)
      const content = new Map<string, number>()
      for (const { table, statement } of this.#queries) {
        content.set(table, crc32(String(statement.get()?.['text'])))
      }
      return { applied: Number(this.#applied?.get()?.['value']), tables: content }
    } finally {
      db.exec('commit')
    }
  }

  /** Rows of a query, values as SQLite gives them, integers as numbers. */
  query(sql: string): readonly (readonly (string | number | null)[])[] {
    const statement = this.#open().prepare(sql)
    statement.setReturnArrays(true)
    return statement.all() as unknown as (string | number | null)[][]
  }

  /** Lets go of the file: before a crash, and when another one takes its place. */
  close(): void {
    this.#queries = []
    this.#schemaVersion = -1
    this.#db?.close()
    this.#db = null
  }

  #open(): DatabaseSync {
    if (this.#db === null) {
      this.#db = new DatabaseSync(this.#file, { readOnly: true })
      this.#version = this.#db.prepare('pragma schema_version')
      this.#applied = this.#db.prepare("select value from _quorate_state where key = 'applied'")
    }
    return this.#db
  }

  #refresh(db: DatabaseSync): void {
    const version = Number(this.#version?.get()?.['schema_version'])
    if (version === this.#schemaVersion) return
    this.#schemaVersion = version
    const tables = db.prepare(TABLES).all() as { name: string }[]
    const without = new Set(this.#shadows ? [] : db.prepare(SHADOWS).all().map(nameOf))
    this.#queries = [
      ...tables
        .filter((table) => !without.has(nameOf(table)))
        .map(({ name }) => ({ table: name, statement: rowsOf(db, name) })),
      { table: 'schema', statement: db.prepare(SCHEMA) },
    ]
  }
}

function nameOf(row: Record<string, unknown>): unknown {
  return row['name']
}

/** All rows in one text, made by SQLite: the cheapest way to look at all of them. */
function rowsOf(db: DatabaseSync, table: string): StatementSync {
  const name = `"${table}"`
  const columns = db.prepare(`select name from pragma_table_info(?)`).all(table) as {
    name: string
  }[]
  const list = columns.map((column) => `"${column.name}"`)
  const text = list.map((column) => `quote(${column})`).join(" || ',' || ")
  return db.prepare(
    `select group_concat(${text}, ';') as text from (select * from ${name} order by ${list})`,
  )
}

/** Names what differs between two contents; empty if nothing does. */
export function differences(one: Content, other: Content): readonly string[] {
  const tables = new Set([...one.keys(), ...other.keys()])
  return [...tables].filter((table) => one.get(table) !== other.get(table)).sort()
}
