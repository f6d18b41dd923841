/**
 * The shell itself: takes lines, finds statements and dot commands in them, runs them, prints what
 * comes back. Knows no terminal, so that scripts and people get the same, and a test needs none.
 */
import { createReadStream } from 'node:fs'
import type { Readable } from 'node:stream'
import { StringDecoder } from 'node:string_decoder'
import { QuorateError } from '../../base/errors.ts'
import type { Statement, StatementResult, Value } from '../../model/program.ts'
import { firstKeyword, parameters } from '../../model/sql-tokens.ts'
import type { Target } from '../node-client.ts'
import { errorLine } from '../output.ts'
import { counted } from '../terminal.ts'
import { isQuiet, type ShellConnection } from './connection.ts'
import { runDotCommand } from './dot-commands.ts'
import { planLines, renderLines } from './render.ts'
import { Output, reasonOf, type ShellSettings } from './settings.ts'
import { type ScriptStatement, StatementSplitter } from './splitter.ts'

/** What a script's statements may gather to before they travel. */
const TOGETHER_MAX = 256
const TOGETHER_LENGTH = 1024 * 1024
/** Scripts that read scripts. */
const DEPTH_MAX = 20

export interface ShellOptions {
  readonly connection: ShellConnection
  readonly target: Target
  readonly settings: ShellSettings
  /** Where output goes that no command sends elsewhere, and where errors go. */
  readonly out: (text: string) => void
  readonly err: (text: string) => void
  /** A terminal obeys control characters: none from the database may reach it. */
  readonly terminal: boolean
}

/** A script's source of statements, and how far in it an error is. */
interface Source {
  /** Errors of a person's own lines need no line number. */
  readonly name: string | null
  readonly splitter: StatementSplitter
  /** Statements that wait to travel together. */
  readonly waiting: ScriptStatement[]
  length: number
}

export class Shell {
  readonly connection: ShellConnection
  readonly target: Target
  readonly settings: ShellSettings
  readonly output: Output
  /** Values of .parameter by name with prefix. */
  readonly parameters = new Map<string, Value>()
  /** Set by .quit: the code to end with. */
  exit: number | null = null
  /** Errors so far. */
  failures = 0
  totalChanges = 0
  readonly #options: ShellOptions
  readonly #person: Source
  #depth = 0
  #abort: AbortController | null = null

  constructor(options: ShellOptions) {
    this.#options = options
    this.connection = options.connection
    this.target = options.target
    this.settings = options.settings
    this.output = new Output((text) => options.out(options.terminal ? tame(text) : text))
    this.#person = source(null)
  }

  /** A statement has begun and not ended. */
  get pending(): boolean {
    return this.#person.splitter.pending
  }

  /** Something is being run that cancel() would stop. */
  get busy(): boolean {
    return this.#abort !== null
  }

  /** Forgets the statement that has begun, or gives up the one that runs. */
  cancel(): void {
    if (this.#abort === null) this.#person.splitter.reset()
    else this.#abort.abort()
  }

  /** The signal of what runs now. */
  get signal(): AbortSignal | undefined {
    return this.#abort?.signal
  }

  /** Takes one line that a person typed. Never rejects: errors are printed. */
  async line(text: string): Promise<void> {
    await this.#takeLine(this.#person, `${text}\n`)
  }

  /** Runs statements given as one text. Never rejects: errors are printed. */
  async statement(text: string): Promise<void> {
    await this.#takeLine(this.#person, `${text}\n`)
    await this.#finish(this.#person)
  }

  /**
   * Runs a script to its end, or to its first error under .bail on.
   *
   * @param name what errors call it
   */
  async script(input: Readable, name: string): Promise<void> {
    if (this.#depth >= DEPTH_MAX) {
      throw new QuorateError('BAD_USAGE', `Scripts read each other more than ${DEPTH_MAX} deep.`)
    }
    this.#depth += 1
    const from = source(name)
    try {
      for await (const lines of linesOf(input)) {
        await this.#takeLine(from, lines)
        if (this.#stopped) return
      }
      await this.#finish(from)
    } finally {
      this.#depth -= 1
      input.destroy()
    }
  }

  /** .read: throws NOT_FOUND if the file can't be read. */
  async readFile(path: string): Promise<void> {
    const input = createReadStream(path)
    await new Promise<void>((done, fail) => {
      input.once('open', () => done())
      input.once('error', (error) => {
        fail(new QuorateError('BAD_USAGE', `${path} can't be read: ${reasonOf(error)}.`))
      })
    })
    await this.script(input, path)
  }

  print(...lines: readonly string[]): void {
    if (lines.length > 0) this.output.write(`${lines.join('\n')}\n`)
  }

  /** Tells of trouble that ends nothing. */
  complain(text: string): void {
    this.#options.err(`${text}\n`)
  }

  /** Runs one statement with the parameters that it names; for dot commands. */
  async query(sql: string, args: readonly Value[] = []): Promise<StatementResult> {
    return await this.connection.run({ sql, args }, this.signal)
  }

  /** Rows of a statement in the mode that is set. */
  show(result: StatementResult): void {
    const names = result.columns.map(({ name }) => name)
    const { mode, headers, nullText, separator, widths, table } = this.settings
    const shown = { mode, headers, nullText, separator, widths, table }
    this.print(...renderLines(names, result.rows, shown))
  }

  get #stopped(): boolean {
    return this.exit !== null || (this.failures > 0 && this.settings.bail)
  }

  async #takeLine(from: Source, text: string): Promise<void> {
    if (!from.splitter.pending && /^\s*\./.test(text)) {
      const { line } = from.splitter
      from.splitter.skipLine()
      await this.#flush(from)
      if (this.#stopped && from.name !== null) return
      if (this.settings.echo) this.print(text.trim())
      await this.#guarded(from, line, () => runDotCommand(this, text.trim()))
      this.output.ended()
      return
    }
    for (const statement of from.splitter.push(text)) {
      await this.#statement(from, statement)
      if (this.#stopped && from.name !== null) return
    }
  }

  async #finish(from: Source): Promise<void> {
    const last = from.splitter.finish()
    if (last !== null) await this.#statement(from, last)
    if (!this.#stopped || from.name === null) await this.#flush(from)
  }

  async #statement(from: Source, statement: ScriptStatement): Promise<void> {
    if (this.#mayWait(from, statement)) {
      from.waiting.push(statement)
      from.length += statement.sql.length
      if (from.waiting.length < TOGETHER_MAX && from.length < TOGETHER_LENGTH) return
      await this.#flush(from)
      return
    }
    await this.#flush(from)
    if (this.#stopped && from.name !== null) return
    if (this.settings.echo) this.print(`${statement.sql};`)
    await this.#guarded(from, statement.line, () => this.#run(statement.sql))
    this.output.ended()
  }

  /** In a script's transaction, statements without rows need no answer each. */
  #mayWait(from: Source, { sql }: ScriptStatement): boolean {
    const { echo, timer, changes, eqp } = this.settings
    if (from.name === null || echo || timer || changes || eqp) return false
    return this.connection.state === 'open' && this.parameters.size === 0 && isQuiet(sql)
  }

  /** Sends what waited. Under .bail off what follows an error is sent again without it. */
  async #flush(from: Source): Promise<void> {
    while (from.waiting.length > 0) {
      const statements = from.waiting.map(({ sql }): Statement => ({ sql, wantRows: false }))
      let error: unknown
      let done = 0
      await this.#guarded(from, from.waiting[0]?.line ?? 0, async () => {
        const ran = await this.connection.runAll(statements, this.signal)
        done = ran.done
        error = ran.error
      })
      if (error === undefined || error === null) done = statements.length
      else this.#failed(from, from.waiting[done]?.line ?? 0, error)
      from.waiting.splice(0, done + (error ? 1 : 0))
      if (this.#stopped) from.waiting.length = 0
    }
    from.length = 0
  }

  /** Prints what goes wrong and notes that it did. */
  async #guarded(from: Source, line: number, work: () => Promise<void>): Promise<void> {
    const outer = this.#abort
    const own = outer ?? new AbortController()
    this.#abort = own
    try {
      await work()
    } catch (error) {
      if (own.signal.aborted) this.#cancelled()
      else this.#failed(from, line, error)
    } finally {
      this.#abort = outer
    }
  }

  #cancelled(): void {
    this.failures += 1
    this.#options.err('Cancelled. A write that was under way may still happen.\n')
  }

  #failed({ name }: Source, line: number, error: unknown): void {
    this.failures += 1
    const where = name === null ? '' : `${name}:${line}: `
    this.#options.err(`${where}${errorLine(error)}\n`)
  }

  async #run(sql: string): Promise<void> {
    const { eqp, timer, changes } = this.settings
    const started = performance.now()
    if (eqp && firstKeyword(sql) !== 'EXPLAIN') await this.#plan(sql)
    const result = await this.connection.run(this.#bound(sql), this.signal)
    this.totalChanges += result.changes
    if (/^\s*explain\s+query\s+plan\b/i.test(sql)) this.print(...planLines(result.rows))
    else this.show(result)
    if (changes && result.changes > 0) this.print(`${counted(result.changes, 'row')} changed`)
    if (timer) this.print(`Run Time: real ${((performance.now() - started) / 1000).toFixed(3)}`)
  }

  async #plan(sql: string): Promise<void> {
    if (!/^(select|with|values|insert|update|delete|replace)\b/i.test(firstKeyword(sql))) return
    const { rows } = await this.query(`EXPLAIN QUERY PLAN ${sql}`)
    if (rows.length > 0) this.print(...planLines(rows))
  }

  /** A parameter without a value is NULL, as in the sqlite3 shell. */
  #bound(sql: string): Statement {
    const { names, count } = parameters(sql)
    if (count === 0) return { sql }
    const args = names.map((name, at) => this.parameters.get(name ?? `?${at + 1}`) ?? null)
    return { sql, args }
  }
}

function source(name: string | null): Source {
  return { name, splitter: new StatementSplitter(), waiting: [], length: 0 }
}

/** Lines with their ends. Only \n ends one: text in a dump may hold any other character. */
async function* linesOf(input: Readable): AsyncGenerator<string, void> {
  const decoder = new StringDecoder('utf8')
  let rest: string[] = []
  for await (const chunk of input) {
    const text = typeof chunk === 'string' ? chunk : decoder.write(chunk as Buffer)
    let begin = 0
    for (let end = text.indexOf('\n'); end !== -1; end = text.indexOf('\n', begin)) {
      rest.push(text.slice(begin, end + 1))
      yield rest.join('')
      rest = []
      begin = end + 1
    }
    if (begin < text.length) rest.push(text.slice(begin))
  }
  const last = rest.join('') + decoder.end()
  if (last !== '') yield `${last}\n`
}

/** Control characters made visible, but for those that lines are made of. */
function tame(text: string): string {
  return text.replaceAll(/[^\P{Cc}\n\t]/gu, (character) => {
    return `\\x${character.charCodeAt(0).toString(16).padStart(2, '0')}`
  })
}
