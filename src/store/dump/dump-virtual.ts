/**
 * Virtual tables as statements that fill them again. For R*Tree and FTS5 with its content that gives
 * the same content, also in a database that does not let anybody write to the tables behind.
 */
import type { DatabaseSync } from 'node:sqlite'
import { identifier, keyword, tokenize } from '../../model/sql-tokens.ts'
import { quote } from '../quote.ts'
import { insertRows, literal, type Stored, selectStored } from './dump-values.ts'

interface Module {
  readonly name: string
  /** Options of FTS5 by name, for example `content`. */
  readonly options: ReadonlyMap<string, string>
}

/** Whether dumpVirtual() can write the table. */
export function isRebuilt(db: DatabaseSync, table: string, sql: string): boolean {
  const { name, options } = moduleOf(sql)
  if (name === 'fts5vocab' || /^rtree(_i32)?$/.test(name)) return true
  if (name !== 'fts5' || options.get('content') === '') return false
  // A tokenizer that is not known here: only the tables behind can be read.
  return isReadable(db, table)
}

/** The content of a virtual table as statements. */
export function* dumpVirtual(db: DatabaseSync, table: string, sql: string): Generator<string> {
  const { name, options } = moduleOf(sql)
  if (name === 'fts5vocab') return
  if (name !== 'fts5') {
    yield* insertRows({ table, columns: null, values: rowsOf(db, table, []) })
    return
  }
  const self = quote(table)
  for (const [key, value] of configOf(db, table)) {
    yield `INSERT INTO ${self}(${self},rank) VALUES(${literal(Buffer.from(key))},${literal(value)});\n`
  }
  if (options.has('content')) {
    yield `INSERT INTO ${self}(${self}) VALUES('rebuild');\n`
    return
  }
  const columns = ['rowid', ...columnsOf(db, table)]
  yield* insertRows({ table, columns, values: rowsOf(db, table, ['rowid']) })
}

/** CREATE VIRTUAL TABLE name USING module(arguments). */
function moduleOf(sql: string): Module {
  const tokens = [...tokenize(sql)]
  const at = tokens.findIndex((token) => keyword(token) === 'USING') + 1
  const options = new Map<string, string>()
  for (let i = at; i < tokens.length; i += 1) {
    if (tokens[i]?.text !== '=') continue
    options.set(identifier(tokens[i - 1]).toLowerCase(), identifier(tokens[i + 1]))
  }
  return { name: identifier(tokens[at]).toLowerCase(), options }
}

function isReadable(db: DatabaseSync, table: string): boolean {
  try {
    db.prepare(`select 1 from ${quote(table)} limit 1`).get()
    return true
  } catch {
    return false
  }
}

function columnsOf(db: DatabaseSync, table: string): readonly string[] {
  const infos = db.prepare('select name from pragma_table_xinfo(?) where hidden = 0').all(table)
  return infos.map(({ name }) => String(name))
}

function rowsOf(
  db: DatabaseSync,
  table: string,
  before: readonly string[],
): Iterable<readonly Stored[]> {
  return selectStored(db, table, [...before, ...columnsOf(db, table)], before[0])
}

/** What was set by commands; the version is the module's own. */
function configOf(db: DatabaseSync, table: string): readonly (readonly [string, Stored])[] {
  const config = `select k, v from ${quote(`${table}_config`)} where k <> 'version' order by k`
  return db
    .prepare(config)
    .all()
    .map(({ k, v }) => [String(k), typeof v === 'string' ? Buffer.from(v) : toStored(v)] as const)
}

function toStored(value: unknown): Stored {
  return typeof value === 'number' && Number.isInteger(value) ? BigInt(value) : null
}
