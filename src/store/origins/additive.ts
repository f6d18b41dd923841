/**
 * How much agreement a change of the schema needs among several origins, by its text. What only adds
 * may come to each replica at another time; all else needs every replica to be at the same place.
 */
import { identifier, keyword, statementTokens, type Token } from '../../model/sql-tokens.ts'

/** From little to much: it changes nothing, it only adds, or it may do anything. */
export const SCHEMA_NEEDS = ['never', 'additive', 'any'] as const
export type SchemaNeed = (typeof SCHEMA_NEEDS)[number]

/** What there is before the program. */
export interface SchemaNames {
  /** Virtual tables, in lower case. */
  readonly virtual: ReadonlySet<string>
  /** Whether there is a table, index, view or trigger of this name. */
  has(name: string): boolean
}

/** Whether `need` is more than what is allowed. */
export function exceeds(need: SchemaNeed, allowed: SchemaNeed): boolean {
  return SCHEMA_NEEDS.indexOf(need) > SCHEMA_NEEDS.indexOf(allowed)
}

/**
 * What a program needs. Statements that are wrong need nothing: they get their error when they run.
 *
 * @param sqls its statements
 */
export function schemaNeed(sqls: readonly string[], names: SchemaNames): SchemaNeed {
  const all = sqls.map(tokensOf)
  const virtual = new Set([...names.virtual, ...all.flatMap(madeVirtual)])
  let most: SchemaNeed = 'never'
  for (const tokens of all) {
    const need = needOf(tokens, { ...names, virtual, has: (name) => names.has(name) })
    if (exceeds(need, most)) most = need
  }
  return most
}

/** The table that a row change names as its own, in lower case; '' for anything else. */
export function writtenTable(tokens: readonly Token[]): string {
  const before = TARGETS[keyword(tokens[0])]
  if (before === undefined) return ''
  let at = before === '' ? 1 : tokens.findIndex((token) => keyword(token) === before) + 1
  if (before === '' && keyword(tokens[1]) === 'OR') at = 3
  if (tokens[at + 1]?.text === '.') at += 2
  return at === 0 ? '' : identifier(tokens[at]).toLowerCase()
}

/** What stands before the table; '': the first word, perhaps with OR and another. */
const TARGETS: Readonly<Record<string, string>> = {
  INSERT: 'INTO',
  REPLACE: 'INTO',
  DELETE: 'FROM',
  UPDATE: '',
}

function tokensOf(sql: string): readonly Token[] {
  return statementTokens(sql)[0] ?? []
}

function madeVirtual(tokens: readonly Token[]): string[] {
  const words = tokens.slice(0, 2).map(keyword)
  return words.join(' ') === 'CREATE VIRTUAL' ? [subject(tokens).name] : []
}

/** What CREATE or DROP is about. */
interface Subject {
  /** TABLE, INDEX, VIEW, TRIGGER. */
  readonly kind: string
  /** In lower case. */
  readonly name: string
  /** IF EXISTS or IF NOT EXISTS. */
  readonly perhaps: boolean
  /** Where what follows the name begins. */
  readonly rest: number
}

const KINDS: ReadonlySet<string> = new Set(['TABLE', 'INDEX', 'VIEW', 'TRIGGER'])

function subject(tokens: readonly Token[]): Subject {
  let at = tokens.findIndex((token) => KINDS.has(keyword(token)))
  const kind = keyword(tokens[at])
  at += 1
  const perhaps = keyword(tokens[at]) === 'IF'
  if (perhaps) at += keyword(tokens[at + 1]) === 'NOT' ? 3 : 2
  if (tokens[at + 1]?.text === '.') at += 2
  return { kind, name: identifier(tokens[at]).toLowerCase(), perhaps, rest: at + 1 }
}

function needOf(tokens: readonly Token[], names: SchemaNames): SchemaNeed {
  switch (keyword(tokens[0])) {
    case 'CREATE':
      return createNeed(tokens, names)
    case 'DROP': {
      const { name, perhaps } = subject(tokens)
      return perhaps && !names.has(name) ? 'never' : 'any'
    }
    case 'ALTER':
      return alterNeed(tokens)
    // Statistics and indexes of one replica.
    case 'ANALYZE':
    case 'REINDEX':
      return 'additive'
    case 'PRAGMA':
      return pragmaNeed(tokens)
    default:
      return names.virtual.has(writtenTable(tokens)) ? 'any' : 'never'
  }
}

function createNeed(tokens: readonly Token[], names: SchemaNames): SchemaNeed {
  const { kind, name, perhaps, rest } = subject(tokens)
  if (perhaps && names.has(name)) return 'never'
  switch (kind) {
    case 'TABLE':
      return has(tokens, rest, 'REFERENCES') ? 'any' : 'additive'
    case 'INDEX':
      return keyword(tokens[1]) === 'UNIQUE' ? 'any' : 'additive'
    case 'VIEW':
      return 'additive'
    // Rows that were there before it are derived from by nobody: there must be the same everywhere.
    case 'TRIGGER': {
      const fills = (token: Token) => names.virtual.has(identifier(token).toLowerCase())
      return tokens.slice(rest).some(fills) ? 'any' : 'additive'
    }
    // SQLite will say that it is none.
    default:
      return 'never'
  }
}

/** A column may come at any time if it means the same for all rows that there are anywhere. */
function alterNeed(tokens: readonly Token[]): SchemaNeed {
  const table = tokens[3]?.text === '.' ? 4 : 2
  if (keyword(tokens[table + 1]) !== 'ADD') return 'any'
  const rest = tokens.slice(table + 2)
  const words = rest.map(keyword)
  if (words.some((word) => CONSTRAINTS.has(word))) return 'any'
  const fallback = words.indexOf('DEFAULT')
  if (fallback === -1) return words.includes('NOT') ? 'any' : 'additive'
  const value = rest[fallback + 1]
  const varies = value?.text === '(' || words[fallback + 1]?.startsWith('CURRENT_') === true
  // TEXT DEFAULT 1.50 is '1.50' in rows that are there, and '1.5' in others.
  const isText = words.slice(0, fallback).some((word) => /CHAR|CLOB|TEXT/.test(word))
  const number = rest[fallback + (value?.text === '-' ? 2 : 1)]?.text ?? ''
  const isSpelled = isText && /^[\d.+]/.test(number) && !/^(0|[1-9]\d*)$/.test(number)
  return varies || isSpelled || words[fallback + 1] === 'NULL' ? 'any' : 'additive'
}

const CONSTRAINTS: ReadonlySet<string> = new Set([
  ...['REFERENCES', 'CHECK', 'UNIQUE', 'PRIMARY', 'GENERATED', 'AS', 'COLLATE', 'CONSTRAINT'],
])

const PRAGMAS: ReadonlySet<string> = new Set(['user_version', 'application_id'])

function pragmaNeed(tokens: readonly Token[]): SchemaNeed {
  const at = tokens[2]?.text === '.' ? 3 : 1
  const isSet = tokens.length > at + 1
  return isSet && PRAGMAS.has(identifier(tokens[at]).toLowerCase()) ? 'additive' : 'never'
}

function has(tokens: readonly Token[], from: number, word: string): boolean {
  return tokens.slice(from).some((token) => keyword(token) === word)
}
