/**
 * Decides what a statement is before it runs, and refuses what can't be replicated.
 *
 * The first words say which kind it is, because statements after DDL can't be prepared before the
 * DDL has run. SQLite's authorizer then says which tables it would write, triggers and foreign-key
 * actions included, so that no SQL has to be parsed here.
 */
import { constants, type DatabaseSync } from 'node:sqlite'
import { QuorateError } from '../base/errors.ts'
import { identifier, keyword, statementTokens, type Token } from '../model/sql-tokens.ts'
import { isReserved, isSupportedModule, type SchemaFacts } from './schema-guard.ts'
import { type Action, type Prepared, StatementCache } from './statement.ts'

export type StatementKind =
  /** Certainly leaves the database as it is. */
  | 'read'
  /** Rows: a query or a change, which SQLite knows once the statement is prepared. */
  | 'rows'
  | 'ddl'
  | 'begin'
  | 'commit'
  | 'rollback'
  | 'savepoint'
  | 'release'
  | 'rollbackTo'
  /** PRAGMA user_version = …, application_id = … */
  | 'setPragma'
  | 'foreignKeys'
  | 'deferForeignKeys'

/** What the text alone says. */
interface Scan {
  readonly kind: StatementKind
  readonly keyword: string
  /** Of the savepoint or PRAGMA, or of the table that DROP TABLE drops; '' otherwise. */
  readonly name: string
  /** foreignKeys, deferForeignKeys: the state asked for. */
  readonly on: boolean
  /** What is prepared, where it is not the text given. */
  readonly sql: string
  /** Must have a SQLite transaction of its own: it may roll the whole transaction back. */
  readonly alone: boolean
  /** An error may leave some of its rows in place (OR FAIL). */
  readonly fails: boolean
}

/** A statement of a program: what the text says, and how it runs once it has been prepared. */
export interface Classified extends Scan {
  /** Prepares it, or says why not; again after an error. Not for transaction control. */
  prepare(): Prepared
  /** As `alone`, also for what only SQLite knows. Prepares it if it can. */
  needsOwnTransaction(): boolean
}

const CONTROL: Readonly<Record<string, StatementKind>> = {
  BEGIN: 'begin',
  COMMIT: 'commit',
  END: 'commit',
  ROLLBACK: 'rollback',
  SAVEPOINT: 'savepoint',
  RELEASE: 'release',
}
const DDL: ReadonlySet<string> = new Set(['CREATE', 'DROP', 'ALTER', 'ANALYZE', 'REINDEX'])
const ROWS: ReadonlySet<string> = new Set([
  ...['SELECT', 'VALUES', 'WITH', 'INSERT', 'UPDATE', 'DELETE', 'REPLACE'],
])
const REMEDY_FILES = 'Use one database file per cluster'

/** PRAGMAs that tell something, with an argument or without. */
const READING: ReadonlySet<string> = new Set([
  ...['table_info', 'table_xinfo', 'table_list', 'index_list', 'index_info', 'index_xinfo'],
  ...['foreign_key_list', 'foreign_key_check', 'integrity_check', 'quick_check'],
  ...['compile_options', 'database_list', 'collation_list', 'function_list', 'module_list'],
  'pragma_list',
])
/** PRAGMAs that tell without an argument. */
const READING_BARE: ReadonlySet<string> = new Set([
  ...['application_id', 'auto_vacuum', 'data_version', 'defer_foreign_keys', 'encoding'],
  ...['foreign_keys', 'freelist_count', 'max_page_count', 'page_count', 'page_size'],
  ...['recursive_triggers', 'schema_version', 'user_version', 'legacy_alter_table'],
])
/** Tuning that libraries send by habit: answered with the value in force, never changed. */
const IGNORED: ReadonlySet<string> = new Set([
  ...['journal_mode', 'synchronous', 'busy_timeout', 'cache_size', 'temp_store', 'mmap_size'],
  ...['wal_autocheckpoint', 'locking_mode', 'journal_size_limit'],
])

function refused(sentence: string): QuorateError {
  return new QuorateError('SQL_REFUSED', sentence)
}

/** Looks at the text alone. Throws SQL_NO_STATEMENT, SQL_MANY_STATEMENTS, SQL_REFUSED. */
function scan(sql: string): Scan {
  const [tokens, ...more] = statementTokens(sql)
  if (tokens === undefined) throw new QuorateError('SQL_NO_STATEMENT', 'The text has no statement.')
  if (more.length > 0) {
    throw new QuorateError('SQL_MANY_STATEMENTS', `The text has ${more.length + 1} statements.`)
  }
  const word = keyword(tokens[0])
  const base = { keyword: word, name: '', on: false, sql, alone: false, fails: false }
  const control = CONTROL[word]
  if (control !== undefined) return scanControl(control, tokens, base)
  if (DDL.has(word)) return { ...base, kind: 'ddl', name: droppedTable(tokens) }
  if (word === 'PRAGMA') return scanPragma(tokens, base)
  if (word === 'EXPLAIN') return scanExplain(tokens, base)
  if (word === 'ATTACH' || word === 'DETACH') {
    throw refused(`${word} is not replicated; other files stay on one node. ${REMEDY_FILES}.`)
  }
  if (word === 'VACUUM') {
    throw refused('VACUUM would have to stop the whole cluster; freed pages are used again anyway.')
  }
  // A word that SQLite does not know is its business: it has the better message.
  const words = new Set(tokens.map(keyword))
  return { ...base, kind: 'rows', alone: words.has('ROLLBACK'), fails: words.has('FAIL') }
}

function scanControl(
  kind: StatementKind,
  tokens: readonly Token[],
  base: Omit<Scan, 'kind'>,
): Scan {
  const rest = tokens.slice(1).filter((token) => keyword(token) !== 'TRANSACTION')
  const to = kind === 'rollback' && keyword(rest[0]) === 'TO'
  if (to) rest.shift()
  if (rest.length > 1 && keyword(rest[0]) === 'SAVEPOINT') rest.shift()
  const name = identifier(rest[0])
  if (isReserved(name)) throw refused(`The savepoint name ${name} is reserved.`)
  return { ...base, kind: to ? 'rollbackTo' : kind, name }
}

function droppedTable(tokens: readonly Token[]): string {
  if (keyword(tokens[0]) !== 'DROP' || keyword(tokens[1]) !== 'TABLE') return ''
  return identifier(tokens.at(-1))
}

/** EXPLAIN of a PRAGMA would run it: some act while they are being prepared. */
function scanExplain(tokens: readonly Token[], base: Omit<Scan, 'kind'>): Scan {
  const plan = keyword(tokens[1]) === 'QUERY'
  const word = keyword(tokens[plan ? 3 : 1])
  if (ROWS.has(word)) return { ...base, kind: 'read' }
  throw refused(`EXPLAIN ${word} is not offered; explain queries and row changes only.`)
}

function scanPragma(tokens: readonly Token[], base: Omit<Scan, 'kind'>): Scan {
  const qualified = tokens[2]?.text === '.'
  const name = identifier(tokens[qualified ? 3 : 1]).toLowerCase()
  const rest = tokens.slice(qualified ? 4 : 2)
  const value = rest.filter(({ text }) => !['=', '(', ')'].includes(text))
  const found = { ...base, name }
  if (READING.has(name)) return { ...found, kind: 'read' }
  if (IGNORED.has(name)) return { ...found, kind: 'read', sql: `pragma ${name}` }
  if (value.length === 0 && READING_BARE.has(name)) return { ...found, kind: 'read' }
  if (value.length > 0 && (name === 'user_version' || name === 'application_id')) {
    return { ...found, kind: 'setPragma' }
  }
  if (value.length > 0 && (name === 'foreign_keys' || name === 'defer_foreign_keys')) {
    const on = ['1', 'on', 'yes', 'true'].includes(identifier(value[0]).toLowerCase())
    const kind = name === 'foreign_keys' ? 'foreignKeys' : 'deferForeignKeys'
    return { ...found, kind, on, alone: true }
  }
  if (name === 'optimize') throw refused('PRAGMA optimize is not replicated. Run ANALYZE instead.')
  throw refused(
    `PRAGMA ${name} would act on one replica only. Each node's file is set up by Quorate.`,
  )
}

const WRITES: ReadonlySet<number> = new Set([
  constants.SQLITE_INSERT,
  constants.SQLITE_UPDATE,
  constants.SQLITE_DELETE,
])
const TEMPORARY: ReadonlySet<number> = new Set([
  ...[constants.SQLITE_CREATE_TEMP_INDEX, constants.SQLITE_CREATE_TEMP_TABLE],
  ...[constants.SQLITE_CREATE_TEMP_TRIGGER, constants.SQLITE_CREATE_TEMP_VIEW],
  ...[constants.SQLITE_DROP_TEMP_INDEX, constants.SQLITE_DROP_TEMP_TABLE],
  ...[constants.SQLITE_DROP_TEMP_TRIGGER, constants.SQLITE_DROP_TEMP_VIEW],
])
/** Name of the object and of its table come first and second in these. */
const DEFINITIONS: ReadonlySet<number> = new Set([
  ...[
    constants.SQLITE_CREATE_INDEX,
    constants.SQLITE_CREATE_TABLE,
    constants.SQLITE_CREATE_TRIGGER,
  ],
  ...[constants.SQLITE_CREATE_VIEW, constants.SQLITE_CREATE_VTABLE, constants.SQLITE_DROP_INDEX],
  ...[constants.SQLITE_DROP_TABLE, constants.SQLITE_DROP_TRIGGER, constants.SQLITE_DROP_VIEW],
  ...[constants.SQLITE_DROP_VTABLE, constants.SQLITE_ALTER_TABLE],
])

/** Why an action of a client's statement is not allowed; null if it is. */
function objection({ code, first, second, database }: Action, ddl: boolean): string | null {
  const name = first ?? ''
  if (code === constants.SQLITE_ATTACH || code === constants.SQLITE_DETACH) {
    return `Other database files are not replicated. ${REMEDY_FILES}.`
  }
  if (TEMPORARY.has(code)) {
    return 'TEMP tables, views and triggers are not offered: the writer serves all clients. Use an ordinary table or WITH.'
  }
  if (code === constants.SQLITE_FUNCTION && second?.toLowerCase() === 'load_extension') {
    return 'Extensions must be loaded on every node alike.'
  }
  if (code === constants.SQLITE_CREATE_VTABLE && !isSupportedModule(second ?? '')) {
    return `Virtual tables of ${second} are not replicated. Use fts5 or rtree, or a table.`
  }
  if (code === constants.SQLITE_PRAGMA) {
    const pragma = name.toLowerCase()
    const known = READING.has(pragma) || READING_BARE.has(pragma) || IGNORED.has(pragma)
    return known ? null : `PRAGMA ${name} is not offered.`
  }
  const names = DEFINITIONS.has(code) ? [first, second] : WRITES.has(code) ? [first] : []
  const taken = names.find((one) => one !== null && isReserved(one))
  if (taken !== undefined) return `The name ${taken} is reserved for Quorate.`
  return WRITES.has(code) && database === 'main' && !ddl ? systemWrite(code, name) : null
}

function systemWrite(code: number, table: string): string | null {
  if (/^sqlite_stat/i.test(table)) return 'Statistics are written by ANALYZE only.'
  if (code === constants.SQLITE_INSERT && /^sqlite_sequence$/i.test(table)) {
    return 'Insert a row with the wanted id instead of writing to sqlite_sequence.'
  }
  return null
}

const NO_TABLES: ReadonlySet<string> = new Set()

/** The statements of the writer's clients, each looked at once as long as the schema stays. */
export class Statements {
  readonly cache: StatementCache
  readonly #facts: () => SchemaFacts
  #known = new Map<string, Classified>()
  /** The second chance of a statement before it is forgotten. */
  #older = new Map<string, Classified>()
  /** Set while a client's statement is being prepared: only then is anything denied. */
  #judging: { readonly ddl: boolean; objection: string | null } | null = null

  constructor(db: DatabaseSync, facts: () => SchemaFacts) {
    this.#facts = facts
    this.cache = new StatementCache(db, (action) => this.#judge(action), GENERATION)
  }

  /** Throws SQL_NO_STATEMENT, SQL_MANY_STATEMENTS, SQL_REFUSED. */
  get(sql: string): Classified {
    const known = this.#known.get(sql)
    if (known !== undefined) return known
    const made = this.#older.get(sql) ?? new OneStatement(scan(sql), this)
    if (sql.length <= CACHED_LENGTH_MAX) this.#known.set(sql, made)
    if (this.#known.size > GENERATION) {
      this.#older = this.#known
      this.#known = new Map()
    }
    return made
  }

  /** The schema has changed: nothing that was known about statements holds. */
  clear(): void {
    this.#known.clear()
    this.#older.clear()
    this.cache.clear()
  }

  get facts(): SchemaFacts {
    return this.#facts()
  }

  /** Prepares a client's statement under the rules. Throws SQL_REFUSED, SQL_ERROR and its kin. */
  prepare(found: Scan): Prepared {
    const judging = { ddl: found.kind === 'ddl', objection: null as string | null }
    this.#judging = judging
    try {
      const prepared = this.cache.prepare(found.sql)
      if (judging.ddl) refuseTableAsSelect(prepared)
      return prepared
    } catch (error) {
      if (judging.objection !== null) throw refused(judging.objection)
      throw error
    } finally {
      this.#judging = null
    }
  }

  #judge(action: Action): boolean {
    if (this.#judging === null) return true
    const why = objection(action, this.#judging.ddl)
    if (why === null) return true
    this.#judging.objection ??= why
    return false
  }
}

/** Statements kept in each of two generations. */
const GENERATION = 500
/** Longer texts are rarely sent twice and would fill memory. */
const CACHED_LENGTH_MAX = 16_384

function refuseTableAsSelect({ actions }: Prepared): void {
  const codes = new Set(actions.map(({ code }) => code))
  if (codes.has(constants.SQLITE_CREATE_TABLE) && codes.has(constants.SQLITE_SELECT)) {
    throw refused(
      'CREATE TABLE … AS SELECT makes a table without a key. Create the table with a PRIMARY KEY, then INSERT … SELECT.',
    )
  }
}

class OneStatement implements Classified {
  readonly kind: StatementKind
  readonly keyword: string
  readonly name: string
  readonly on: boolean
  readonly sql: string
  readonly alone: boolean
  readonly fails: boolean
  readonly #all: Statements
  #prepared: Prepared | null = null
  #own: boolean | null = null

  constructor(found: Scan, all: Statements) {
    this.kind = found.kind
    this.keyword = found.keyword
    this.name = found.name
    this.on = found.on
    this.sql = found.sql
    this.alone = found.alone
    this.fails = found.fails || (found.kind === 'rows' && all.facts.fails)
    this.#all = all
  }

  prepare(): Prepared {
    this.#prepared ??= this.#all.prepare(this)
    return this.#prepared
  }

  needsOwnTransaction(): boolean {
    this.#own ??= this.alone || (this.kind === 'rows' && this.#touchesDeferred())
    return this.#own
  }

  /** Whether it may leave a deferred foreign key broken until COMMIT. */
  #touchesDeferred(): boolean {
    const { deferred } = this.#all.facts
    if (deferred.size === 0) return false
    return [...this.#tables()].some((table) => deferred.has(table))
  }

  #tables(): ReadonlySet<string> {
    try {
      const writes = this.prepare().actions.filter(({ code }) => WRITES.has(code))
      return new Set(writes.map(({ first }) => (first ?? '').toLowerCase()))
    } catch {
      // It gets its error when its turn comes.
      return NO_TABLES
    }
  }
}
