/**
 * Cuts a script into statements while it comes, line by line: a dump of many gigabytes is never in
 * memory as a whole, and a shell knows after each line whether a statement goes on.
 */
export interface ScriptStatement {
  /** Without the semicolon. */
  readonly sql: string
  /** Where its first word stands, counted from 1. */
  readonly line: number
}

/** What the text is inside of; each ends at its own text. */
const CLOSERS: Readonly<Record<string, string>> = {
  "'": "'",
  '"': '"',
  '`': '`',
  '[': ']',
  '--': '\n',
  '/*': '*/',
}
const OPENER = /'|"|`|\[|--|\/\*|;|[A-Za-z_\u0080-\uFFFF][A-Za-z0-9_$\u0080-\uFFFF]*|[^\s]/g

export class StatementSplitter {
  /** Pieces of the statement so far. */
  #parts: string[] = []
  /** The first words in capitals, and the last two tokens: enough to know a trigger's end. */
  #words: string[] = []
  #last: readonly [string, string] = ['', '']
  /** What must come before anything else is looked at; null in plain text. */
  #closer: string | null = null
  #line = 1
  #startLine = 1

  /** Where the next line is in the script, counted from 1. */
  get line(): number {
    return this.#line
  }

  /** Leaves out a line that is none of SQL. */
  skipLine(): void {
    this.#line += 1
  }

  /** A statement has begun and not ended. */
  get pending(): boolean {
    return this.#words.length > 0 || (this.#closer !== null && this.#closer !== '\n')
  }

  /**
   * Takes the next lines.
   *
   * @param text whole lines with their line ends
   * @returns the statements that end in them
   */
  push(text: string): ScriptStatement[] {
    const done: ScriptStatement[] = []
    let begin = 0
    let at = 0
    let counted = 0
    const lineAt = (position: number): number => {
      for (; counted < position; counted += 1) {
        if (text.charCodeAt(counted) === 10) this.#line += 1
      }
      return this.#line
    }
    while (at < text.length) {
      if (this.#closer !== null) {
        at = this.#skip(text, at)
        continue
      }
      OPENER.lastIndex = at
      const match = OPENER.exec(text)
      if (match === null) break
      const [token] = match
      at = match.index + token.length
      if (token === ';' && !this.#insideTrigger()) {
        if (this.#words.length > 0) {
          this.#parts.push(text.slice(begin, match.index))
          done.push({ sql: this.#parts.join('').trim(), line: this.#startLine })
        }
        this.#reset()
        begin = at
        continue
      }
      this.#open(token, () => lineAt(match.index))
    }
    lineAt(text.length)
    if (this.pending) this.#parts.push(text.slice(begin))
    else this.#parts = []
    return done
  }

  /** What is left at the end of the script; null if nothing is. Starts over. */
  finish(): ScriptStatement | null {
    const rest = { sql: this.#parts.join('').trim(), line: this.#startLine }
    const empty = this.#words.length === 0
    this.reset()
    return empty ? null : rest
  }

  /** Forgets the statement that has begun. */
  reset(): void {
    this.#reset()
    this.#closer = null
  }

  /** @returns where the text goes on after what it is inside of, or its end */
  #skip(text: string, at: number): number {
    const closer = this.#closer ?? ''
    const end = text.indexOf(closer, at)
    if (end === -1) return text.length
    this.#closer = null
    return end + closer.length
  }

  #open(token: string, line: () => number): void {
    const closer = CLOSERS[token]
    if (closer !== undefined) this.#closer = closer
    if (token === '--' || token === '/*') return
    if (this.#words.length === 0) this.#startLine = line()
    if (this.#words.length < 6) this.#words.push(token.toUpperCase())
    this.#last = [this.#last[1], token.toUpperCase()]
  }

  #reset(): void {
    this.#parts = []
    this.#words = []
    this.#last = ['', '']
  }

  /** The body of CREATE TRIGGER holds semicolons of its own, and ends at `; END ;`. */
  #insideTrigger(): boolean {
    let at = 0
    if (this.#words[0] === 'EXPLAIN') at = this.#words[1] === 'QUERY' ? 3 : 1
    if (this.#words[at] !== 'CREATE') return false
    at += 1
    if (/^TEMP(ORARY)?$/.test(this.#words[at] ?? '')) at += 1
    if (this.#words[at] !== 'TRIGGER') return false
    if (this.#last[1] === 'END' && this.#last[0] === ';') return false
    this.#last = [this.#last[1], ';']
    return true
  }
}
