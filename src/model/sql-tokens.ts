/**
 * A tokenizer for SQL as SQLite reads it: enough to split a script, to see what kind of statement a
 * text is and to number its parameters. It is not a parser: what a statement touches is asked of
 * SQLite itself (see store/execute/classify.ts).
 */

export type TokenKind =
  /** Keyword or bare identifier. */
  | 'word'
  /** "x", `x` or [x]: an identifier (SQLite may take "x" for a string). */
  | 'quoted'
  /** 'x' or x'00'. */
  | 'string'
  | 'number'
  | 'parameter'
  /** One character, operators of several characters come as several tokens. */
  | 'mark'

export interface Token {
  readonly kind: TokenKind
  readonly text: string
  /** Where it begins in the statement, in UTF-16 code units. */
  readonly start: number
}

export interface Parameters {
  /** How many values the statement takes. */
  readonly count: number
  /** Name with prefix (:a, @a, $a) of each parameter from the first; null for ? and ?1. */
  readonly names: readonly (string | null)[]
}

/** What lies between tokens; also unfinished comments, which SQLite lets run to the end. */
const SPACE = /(?:[ \t\n\f\r\uFEFF]|--[^\n]*|\/\*(?:[^*]|\*(?!\/))*(?:\*\/|$))+/y
const WORD = /[A-Za-z_\u0080-\uFFFF][A-Za-z0-9_$\u0080-\uFFFF]*/y
const NUMBER =
  /(?:0[xX][0-9A-Fa-f_]+|(?:[0-9][0-9_]*\.?[0-9_]*|\.[0-9][0-9_]*)(?:[eE][+-]?[0-9_]+)?)/y
const STRING = /'(?:[^']|'')*(?:'|$)/y
const BLOB = /[xX]'[^']*(?:'|$)/y
const QUOTED = /"(?:[^"]|"")*(?:"|$)|`(?:[^`]|``)*(?:`|$)|\[[^\]]*(?:\]|$)/y
const PARAMETER =
  /\?[0-9]*|[@:#][A-Za-z0-9_$\u0080-\uFFFF]+|\$(?:[A-Za-z0-9_$\u0080-\uFFFF]|::)+(?:\([^)\s]*\))?/y

const RULES: readonly (readonly [TokenKind, RegExp])[] = [
  ['string', BLOB],
  ['word', WORD],
  ['number', NUMBER],
  ['string', STRING],
  ['quoted', QUOTED],
  ['parameter', PARAMETER],
]

function match(rule: RegExp, sql: string, at: number): string | null {
  rule.lastIndex = at
  return rule.exec(sql)?.[0] ?? null
}

function tokenAt(sql: string, start: number): Token {
  for (const [kind, rule] of RULES) {
    const text = match(rule, sql, start)
    if (text !== null) return { kind, text, start }
  }
  return { kind: 'mark', text: sql[start] ?? '', start }
}

/** The tokens of a text, without space and comments. Like SQLite, it ends at a NUL character. */
export function* tokenize(sql: string): Generator<Token, void, undefined> {
  const nul = sql.indexOf('\0')
  const end = nul === -1 ? sql.length : nul
  const text = nul === -1 ? sql : sql.slice(0, nul)
  let at = 0
  while (at < end) {
    at += match(SPACE, text, at)?.length ?? 0
    if (at >= end) return
    const token = tokenAt(text, at)
    yield token
    at += token.text.length
  }
}

/** The token as a keyword, in capitals; '' if it is not a bare word. */
export function keyword(token: Token | undefined): string {
  return token?.kind === 'word' ? token.text.toUpperCase() : ''
}

/** The token as an identifier, without its quotes. */
export function identifier(token: Token | undefined): string {
  if (token === undefined) return ''
  if (token.kind !== 'quoted' && token.kind !== 'string') return token.text
  const close = token.text[0] === '[' ? ']' : (token.text[0] ?? '')
  const inner = token.text.slice(1, token.text.endsWith(close) ? -1 : undefined)
  return close === ']' ? inner : inner.replaceAll(close + close, close)
}

/** The first keyword of a statement in capitals; '' if it has none. */
export function firstKeyword(sql: string): string {
  // Nearly all begin with it, and this is asked several times on the way of each.
  let letters = 0
  while (isLetter(sql.charCodeAt(letters))) letters += 1
  if (letters > 0 && /[\s;(]/.test(sql.charAt(letters) || ';')) {
    return sql.slice(0, letters).toUpperCase()
  }
  const first = tokenize(sql).next().value
  return first === undefined ? '' : keyword(first)
}

function isLetter(code: number): boolean {
  const lower = code | 0x20
  return lower >= 0x61 && lower <= 0x7a
}

/**
 * The tokens of each statement of a script, without the semicolons. The body of CREATE TRIGGER
 * holds semicolons of its own: such a statement ends at `; END ;`, as in sqlite3_complete().
 */
export function statementTokens(sql: string): readonly (readonly Token[])[] {
  const statements: Token[][] = []
  let current: Token[] = []
  for (const token of tokenize(sql)) {
    if (token.text === ';' && !insideTrigger(current)) {
      if (current.length > 0) statements.push(current)
      current = []
    } else current.push(token)
  }
  if (current.length > 0) statements.push(current)
  return statements
}

function insideTrigger(tokens: readonly Token[]): boolean {
  let at = 0
  if (keyword(tokens[at]) === 'EXPLAIN') {
    at += keyword(tokens[at + 1]) === 'QUERY' ? 3 : 1
  }
  if (keyword(tokens[at]) !== 'CREATE') return false
  at += 1
  if (['TEMP', 'TEMPORARY'].includes(keyword(tokens[at]))) at += 1
  if (keyword(tokens[at]) !== 'TRIGGER') return false
  return !(keyword(tokens.at(-1)) === 'END' && tokens.at(-2)?.text === ';')
}

/** The statements of a script, each from its first token to its last, without semicolons. */
export function splitStatements(sql: string): readonly string[] {
  return statementTokens(sql).map((tokens) => {
    const last = tokens.at(-1)
    return last === undefined ? '' : sql.slice(tokens[0]?.start ?? 0, last.start + last.text.length)
  })
}

/** Numbers the parameters of one statement as SQLite does. */
export function parameters(sql: string): Parameters {
  return parametersOf([...tokenize(sql)])
}

export function parametersOf(tokens: readonly Token[]): Parameters {
  const names: (string | null)[] = []
  for (const { kind, text } of tokens) {
    if (kind !== 'parameter') continue
    if (text === '?') names.push(null)
    else if (text[0] !== '?') {
      if (!names.includes(text)) names.push(text)
    } else {
      // SQLite refuses numbers above 32766; the bound keeps a hostile one from filling memory.
      const number = Math.min(Number(text.slice(1)), 32_767)
      while (names.length < number) names.push(null)
    }
  }
  return { count: names.length, names }
}
