/**
 * What becomes of each PRAGMA. SQLite's act on one connection or one file, while clients share the
 * writer's connection and every node keeps its file as it must be. So there are five kinds: those
 * that tell, those that are replicated, those that hold for one client's program, those whose
 * answer is enough, and the few that are refused. docs/sqlite.md lists them.
 */
import { QuorateError } from '../../base/errors.ts'
import { identifier, type Token } from '../../model/sql-tokens.ts'

const TELLING: ReadonlySet<string> = new Set([
  ...['table_info', 'table_xinfo', 'table_list', 'index_list', 'index_info', 'index_xinfo'],
  ...['foreign_key_list', 'foreign_key_check', 'integrity_check', 'quick_check'],
  ...['compile_options', 'database_list', 'collation_list', 'function_list', 'module_list'],
  'pragma_list',
])

/** It tells something and changes nothing, with an argument or without. */
export function isTellingPragma(name: string): boolean {
  return TELLING.has(name)
}

/** PRAGMAs of a connection that change what statements do: `on` holds for the client's program. */
const SETTINGS = {
  foreign_keys: true,
  recursive_triggers: false,
  ignore_check_constraints: false,
  legacy_alter_table: false,
  reverse_unordered_selects: false,
} as const
export type SettingName = keyof typeof SETTINGS
/** Those that are not as every connection has them, with what they are. */
export type ChangedSettings = readonly (readonly [name: SettingName, on: boolean])[]

/** PRAGMAs of the file that travel in entries. */
export type ReplicatedPragma = 'user_version' | 'application_id'

/** Tuning, and things that are Quorate's to decide: setting them does nothing and is no error. */
const ANSWERED: ReadonlySet<string> = new Set([
  ...['auto_vacuum', 'automatic_index', 'cache_size', 'cache_spill', 'cell_size_check'],
  ...['checkpoint_fullfsync', 'default_cache_size', 'encoding', 'fullfsync', 'page_size'],
  ...['read_uncommitted', 'synchronous', 'temp_store', 'trusted_schema', 'temp_store_directory'],
])
/** The same, but SQLite answers with the value in force when it is set. */
const ANSWERED_ALWAYS: ReadonlySet<string> = new Set([
  ...['analysis_limit', 'busy_timeout', 'hard_heap_limit', 'journal_mode', 'journal_size_limit'],
  ...['locking_mode', 'max_page_count', 'mmap_size', 'secure_delete', 'soft_heap_limit'],
  ...['threads', 'wal_autocheckpoint'],
])
/** Only told, as SQLite has it: an argument changes nothing. */
const COUNTERS: ReadonlySet<string> = new Set(['data_version', 'freelist_count', 'page_count'])
/**
 * Answered with this. Checkpoints are Quorate's own; nothing is ever left for a client to do.
 * Statistics made by `optimize` would be of one replica.
 */
const INSTEAD: ReadonlyMap<string, string> = new Map([
  ['optimize', "select '' as optimize where 0"],
  ['wal_checkpoint', 'select 0 as busy, 0 as log, 0 as checkpointed'],
])

/** May only be what they are: the value allowed, and why another is not. */
const FIXED: Readonly<Record<string, { readonly is: boolean; readonly sentence: string }>> = {
  case_sensitive_like: {
    is: false,
    sentence:
      'PRAGMA case_sensitive_like would change what indexes hold on one replica. Use GLOB, or compare with COLLATE BINARY.',
  },
  query_only: {
    is: false,
    sentence:
      'PRAGMA query_only would stop the writer for everybody. Use BEGIN READONLY or a token that allows reading only.',
  },
  writable_schema: {
    is: false,
    sentence: 'PRAGMA writable_schema is not replicated. Use ALTER TABLE.',
  },
  count_changes: {
    is: false,
    sentence: 'PRAGMA count_changes is deprecated. Use the count in the result, or changes().',
  },
  empty_result_callbacks: {
    is: false,
    sentence:
      'PRAGMA empty_result_callbacks is deprecated and has no effect on prepared statements.',
  },
  full_column_names: {
    is: false,
    sentence: 'PRAGMA full_column_names is deprecated. Name the columns with AS.',
  },
  short_column_names: {
    is: true,
    sentence: 'PRAGMA short_column_names is deprecated. Name the columns with AS.',
  },
}

/** What to do about one PRAGMA statement. */
export type PragmaPlan =
  /** Run this text: it changes nothing. */
  | { readonly kind: 'read'; readonly sql: string }
  /** It is done already, or means nothing: no rows, no effect. */
  | { readonly kind: 'nothing' }
  | { readonly kind: 'replicated'; readonly name: ReplicatedPragma }
  | { readonly kind: 'setting'; readonly name: SettingName; readonly on: boolean }
  | { readonly kind: 'deferForeignKeys'; readonly on: boolean }

const ON: ReadonlySet<string> = new Set(['on', 'yes', 'true'])

/** SQLite's reading of a PRAGMA's boolean: a word, or a number other than 0. */
function isOn(token: Token | undefined): boolean {
  const text = identifier(token).toLowerCase()
  return ON.has(text) || (/^[0-9]/.test(text) && Number.parseInt(text, 10) !== 0)
}

function isSetting(name: string): name is SettingName {
  return Object.hasOwn(SETTINGS, name)
}

/** Its state on every connection, unless a client changed it for its program. */
export function settingDefault(name: SettingName): boolean {
  return SETTINGS[name]
}

/**
 * Whether an authorizer may let it pass: what acts while it is being prepared was judged by its
 * text before.
 */
export function isKnownPragma(name: string): boolean {
  const known = name.toLowerCase()
  return TELLING.has(known) || tellsBare(known)
}

function tellsBare(name: string): boolean {
  return (
    ['user_version', 'application_id', 'schema_version', 'defer_foreign_keys'].includes(name) ||
    [ANSWERED, ANSWERED_ALWAYS, COUNTERS].some((names) => names.has(name)) ||
    isSetting(name) ||
    Object.hasOwn(FIXED, name)
  )
}

/**
 * Judges a PRAGMA by its text.
 *
 * @param sql the whole statement; `tokens` are its own
 *
 * Throws SQL_REFUSED.
 */
export function planPragma(sql: string, tokens: readonly Token[]): PragmaPlan {
  const qualified = tokens[2]?.text === '.'
  const name = identifier(tokens[qualified ? 3 : 1]).toLowerCase()
  const rest = tokens.slice(qualified ? 4 : 2)
  const value = rest.filter(({ text }) => !['=', '(', ')'].includes(text))
  if (TELLING.has(name)) return { kind: 'read', sql }
  const instead = INSTEAD.get(name)
  if (instead !== undefined) return { kind: 'read', sql: instead }
  if (value.length > 0) return planSetting(name, value)
  // One that SQLite does not know does nothing there either.
  return tellsBare(name) ? { kind: 'read', sql } : NOTHING
}

const NOTHING: PragmaPlan = { kind: 'nothing' }

function planSetting(name: string, value: readonly Token[]): PragmaPlan {
  if (name === 'user_version' || name === 'application_id') return { kind: 'replicated', name }
  if (name === 'schema_version') {
    throw refused('PRAGMA schema_version counts schema changes. Use PRAGMA user_version.')
  }
  const on = isOn(value[0])
  if (isSetting(name)) return { kind: 'setting', name, on }
  if (name === 'defer_foreign_keys') return { kind: 'deferForeignKeys', on }
  const fixed = FIXED[name]
  if (fixed !== undefined && fixed.is !== on) throw refused(fixed.sentence)
  if (ANSWERED_ALWAYS.has(name) || COUNTERS.has(name)) {
    return { kind: 'read', sql: `pragma ${name}` }
  }
  return NOTHING
}

function refused(sentence: string): QuorateError {
  return new QuorateError('SQL_REFUSED', sentence)
}
