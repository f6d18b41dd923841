/**
 * Decides what a statement is before it runs, and refuses what can't be replicated.
 *
 * The first words say which kind it is, because statements after DDL can't be prepared before the
 * DDL has run. SQLite's authorizer then says which tables it would write, triggers and foreign-key
 * actions included, so that no SQL has to be parsed here.
 */
import { constants, type DatabaseSync } from 'node:sqlite'
import { QuorateError } from '../../base/errors.ts'
import { identifier, keyword, statementTokens, type Token } from '../../model/sql-tokens.ts'
import { writtenTable } from '../origins/additive.ts'
import { isReserved, isSupportedModule, type SchemaFacts } from '../schema/schema-guard.ts'
import { isKnownPragma, type PragmaPlan, planPragma } from './pragmas.ts'
import { type Action, type Prepared, type Rewrite, StatementCache } from './statement.ts'

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
  /** A PRAGMA that sets something: see `pragma`. */
  | 'pragma'
  | 'vacuum'

/** What the text alone says. */
interface Scan {
  readonly kind: StatementKind
  readonly keyword: string
  /**
   * Of the savepoint, of the table that DROP TABLE drops, or of the one into which INSERT … SELECT *
   * copies; '' otherwise.
   */
  readonly name: string
  /** Null for anything but `pragma`. */
  readonly pragma: PragmaPlan | null
  /** What is prepared, where it is not the text given. */
  readonly sql: string
  /** Must have a SQLite transaction of its own: it may roll the whole transaction back. */
  readonly alone: boolean
  /** An error may leave some of its rows in place (OR FAIL). */
  readonly fails: boolean
  /** It may ask for changes(). */
  readonly counts: boolean
  /** It may delete rows without firing triggers (OR REPLACE). */
  readonly replaces: boolean
  /** The table that it names as the one to be written, in lower case; '' if that can't be told. */
  readonly target: string
}

/** A statement of a program: what the text says, and how it runs once it has been prepared. */
export interface Classified extends Scan {
  /** Prepares it, or says why not; again after an error. Not for transaction control. */
  prepare(): Prepared
  /** As `alone`, also for what only SQLite knows. Prepares it if it can. */
  needsOwnTransaction(): boolean
  /** It, or a trigger of it, writes sqlite_sequence by name. Prepares it. */
  writesSequence(): boolean
}

const CONTROL: Readonly<Record<string, StatementKind>> = {
  BEGIN: 'begin',
  COMMIT: 'commit',
  END: 'commit',
  ROLLBACK: 'rollback',
  SAVEPOINT: 'savepoint',
  RELEASE: 'release',
}
/** First words of statements that change the schema. */
export const DDL: ReadonlySet<string> = new Set(['CREATE', 'DROP', 'ALTER', 'ANALYZE', 'REINDEX'])
const ROWS: ReadonlySet<string> = new Set([
  ...['SELECT', 'VALUES', 'WITH', 'INSERT', 'UPDATE', 'DELETE', 'REPLACE'],
])
const REMEDY_FILES = 'Use one database file per cluster'
export const REMEDY_VIRTUAL =
  'With several leaders triggers on an ordinary table fill it, or a statement without arguments that begins with INSERT, REPLACE, UPDATE or DELETE.'

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
  const base = {
    keyword: word,
    name: '',
    pragma: null,
    sql,
    alone: false,
    fails: false,
    counts: false,
    replaces: false,
    target: '',
  }
  const control = CONTROL[word]
  if (control !== undefined) return scanControl(control, tokens, base)
  if (DDL.has(word)) return { ...base, kind: 'ddl', name: droppedTable(tokens) }
  if (word === 'PRAGMA') return scanPragma(tokens, base)
  if (word === 'EXPLAIN') return scanExplain(tokens, base)
  if (word === 'ATTACH' || word === 'DETACH') {
    throw refused(`${word} is not replicated; other files stay on one node. ${REMEDY_FILES}.`)
  }
  if (word === 'VACUUM') {
    if (tokens.some((token) => keyword(token) === 'INTO')) {
      throw refused('VACUUM INTO writes a file on one node. Use `quorate snapshot`.')
    }
    return { ...base, kind: 'vacuum' }
  }
  // A word that SQLite does not know is its business: it has the better message.
  const words = new Set(tokens.map(keyword))
  return {
    ...base,
    kind: 'rows',
    name: copyTarget(tokens),
    alone: words.has('ROLLBACK'),
    fails: words.has('FAIL'),
    counts: words.has('CHANGES'),
    replaces: words.has('REPLACE'),
    target: writtenTable(tokens),
  }
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

/** Of INSERT INTO table SELECT * FROM …: SQLite may copy the rows as they are, with their rowids. */
function copyTarget(tokens: readonly Token[]): string {
  const at = tokens.findIndex((token) => keyword(token) === 'SELECT')
  if (at < 3 || at > 7 || tokens[at + 1]?.text !== '*') return ''
  const into = tokens.findIndex((token) => keyword(token) === 'INTO')
  const between = at - into
  const qualified = between === 4 && tokens[into + 2]?.text === '.'
  if (!['INSERT', 'REPLACE'].includes(keyword(tokens[0]))) return ''
  return between === 2 || qualified ? identifier(tokens[at - 1]) : ''
}

/** EXPLAIN of a PRAGMA would run it: some act while they are being prepared. */
function scanExplain(tokens: readonly Token[], base: Omit<Scan, 'kind'>): Scan {
  const plan = keyword(tokens[1]) === 'QUERY'
  const word = keyword(tokens[plan ? 3 : 1])
  if (ROWS.has(word)) return { ...base, kind: 'read' }
  throw refused(`EXPLAIN ${word} is not offered; explain queries and row changes only.`)
}

function scanPragma(tokens: readonly Token[], base: Omit<Scan, 'kind'>): Scan {
  const plan = planPragma(base.sql, tokens)
  if (plan.kind === 'read') return { ...base, kind: 'read', sql: plan.sql }
  const alone = plan.kind === 'setting' || plan.kind === 'deferForeignKeys'
  return { ...base, kind: 'pragma', pragma: plan, alone }
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
    return `Virtual tables of ${second} are not replicated. Use fts5, fts4, rtree or geopoly, or an ordinary table.`
  }
  if (code === constants.SQLITE_PRAGMA) {
    return isKnownPragma(name) ? null : `PRAGMA ${name} is not offered.`
  }
  if (code === constants.SQLITE_READ && name.toLowerCase() === 'pragma_optimize') {
    return 'The table pragma_optimize would write statistics on one replica. Use ANALYZE.'
  }
  const names = DEFINITIONS.has(code) ? [first, second] : WRITES.has(code) ? [first] : []
  const taken = names.find((one) => one !== null && isReserved(one))
  if (taken !== undefined) return `The name ${taken} is reserved for Quorate.`
  const statistics = WRITES.has(code) && database === 'main' && /^sqlite_stat/i.test(name)
  return statistics && !ddl ? 'Statistics are written by ANALYZE only.' : null
}

/** What has to happen for the changes of a client's statement to be noticed. See Schema. */
interface Watching {
  watchFor(prepared: Prepared): void
  /** Runs a statement that may copy rows into a table as they are. */
  copying<T>(table: string, run: () => T): T
  /** What is prepared instead of a statement; null: itself. */
  readonly rewrite: Rewrite
}

/** It may change rows. */
export function isWrite({ code }: Action): boolean {
  return WRITES.has(code)
}

const SEQUENCE = 'sqlite_sequence'
const NO_TABLES: ReadonlySet<string> = new Set()

/** The statements of the writer's clients, each looked at once as long as the schema stays. */
export class Statements {
  readonly cache: StatementCache
  readonly #facts: () => SchemaFacts
  readonly watching: Watching
  #known = new Map<string, Classified>()
  /** The second chance of a statement before it is forgotten. */
  #older = new Map<string, Classified>()
  /** Set while a client's statement is being prepared: only then is anything denied. */
  #judging: { readonly ddl: boolean; objection: string | null } | null = null
  /** Actions of any statement while SQLite compiles it, also when it does so again by itself. */
  judged = 0

  constructor(db: DatabaseSync, facts: () => SchemaFacts, watching: Watching) {
    this.#facts = facts
    this.watching = watching
    this.cache = new StatementCache(
      db,
      (action) => this.#judge(action),
      GENERATION,
      watching.rewrite,
    )
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
      return this.cache.prepare(found.sql)
    } catch (error) {
      if (judging.objection !== null) throw refused(judging.objection)
      throw error
    } finally {
      this.#judging = null
    }
  }

  #judge(action: Action): boolean {
    this.judged += 1
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

class OneStatement implements Classified {
  readonly kind: StatementKind
  readonly keyword: string
  readonly name: string
  readonly pragma: PragmaPlan | null
  readonly sql: string
  readonly alone: boolean
  readonly fails: boolean
  readonly counts: boolean
  readonly replaces: boolean
  readonly target: string
  readonly #all: Statements
  #prepared: Prepared | null = null
  #own: boolean | null = null
  #writesSequence: boolean | null = null

  constructor(found: Scan, all: Statements) {
    // What is in a virtual table is made by each replica, so it changes like the schema.
    const derived = all.facts.merging?.virtual.has(found.target) === true
    this.kind = derived ? 'ddl' : found.kind
    this.keyword = found.keyword
    this.name = found.name
    this.pragma = found.pragma
    this.sql = found.sql
    this.alone = found.alone
    this.fails = found.fails || (found.kind === 'rows' && all.facts.fails)
    this.counts = found.counts
    this.replaces = found.replaces
    this.target = found.target
    this.#all = all
  }

  prepare(): Prepared {
    if (this.#prepared !== null) return this.#prepared
    const prepared = this.#all.prepare(this)
    if (this.kind === 'rows') this.#refuseDerived(prepared)
    this.#prepared = prepared
    return prepared
  }

  #refuseDerived({ actions }: Prepared): void {
    const { merging } = this.#all.facts
    if (merging === null || merging.virtual.size === 0) return
    const own = actions.filter(({ code, within }) => WRITES.has(code) && within === null)
    const name = own.find(({ first }) => merging.virtual.has((first ?? '').toLowerCase()))?.first
    if (name !== undefined) throw refused(`Table ${name} is virtual. ${REMEDY_VIRTUAL}`)
  }

  needsOwnTransaction(): boolean {
    this.#own ??= this.alone || (this.kind === 'rows' && this.#touchesDeferred())
    return this.#own
  }

  writesSequence(): boolean {
    this.#writesSequence ??=
      this.#all.facts.hasSequence &&
      this.prepare().actions.some(({ code, first }) => WRITES.has(code) && first === SEQUENCE)
    return this.#writesSequence
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
