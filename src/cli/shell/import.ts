/**
 * .import: rows of a CSV file into a table, as a stream. Rows travel in batches, each a transaction of
 * its own unless one is open; a batch with a bad row is tried again row by row, so that only the bad
 * ones are left out, as in the sqlite3 shell.
 */
import { createReadStream } from 'node:fs'
import { finished } from 'node:stream'
import { parse } from 'csv-parse'
import { QuorateError } from '../../base/errors.ts'
import { quote } from '../../store/quote.ts'
import { errorLine, usageError } from '../output.ts'
import { counted } from '../terminal.ts'
import { reasonOf } from './settings.ts'
import type { Shell } from './shell.ts'

export interface ImportOptions {
  readonly file: string
  readonly table: string
  /** Lines at the beginning to leave out. */
  readonly skip: number
  readonly separator: string
}

/** SQLite allows 32,766 parameters in a statement. */
const PARAMETERS_MAX = 30_000
const ROWS_MAX = 1_000
const LENGTH_MAX = 1024 * 1024
const ERRORS_SHOWN = 10

interface Row {
  readonly cells: string[]
  readonly line: number
}

/** Throws BAD_USAGE if the file can't be read or is no CSV; SQL_* if the table can't be made. */
export async function importCsv(shell: Shell, options: ImportOptions): Promise<void> {
  const { file, table } = options
  const rows = rowsOf(options)
  try {
    let columns = await columnsOf(shell, table)
    let first: Row | undefined
    if (columns === null) {
      first = (await rows.next()).value ?? undefined
      if (first === undefined) throw usageError(`${file} has no line with names of columns.`)
      columns = first.cells
      const list = columns.map((name) => `${quote(name)} TEXT`).join(', ')
      await shell.query(`CREATE TABLE ${quote(table)}(${list})`)
    }
    const work = new Import(shell, options, columns.length)
    for await (const row of rows) await work.add(row)
    await work.end()
  } finally {
    await rows.return(undefined)
  }
}

class Import {
  readonly #shell: Shell
  readonly #options: ImportOptions
  readonly #columns: number
  #batch: Row[] = []
  #length = 0
  #done = 0
  #refused = 0
  #uneven = 0

  constructor(shell: Shell, options: ImportOptions, columns: number) {
    this.#shell = shell
    this.#options = options
    this.#columns = columns
  }

  async add(row: Row): Promise<void> {
    if (row.cells.length !== this.#columns) this.#uneven += 1
    this.#batch.push(row)
    for (const cell of row.cells) this.#length += cell.length
    const many = Math.min(ROWS_MAX, Math.floor(PARAMETERS_MAX / this.#columns))
    if (this.#batch.length >= many || this.#length >= LENGTH_MAX) await this.#send()
  }

  async end(): Promise<void> {
    await this.#send()
    const { file, table } = this.#options
    const parts = [`${counted(this.#done, 'row')} of ${file} imported into ${table}`]
    if (this.#refused > 0) parts.push(`${this.#refused} refused`)
    if (this.#uneven > 0) {
      parts.push(`${this.#uneven} had more or fewer than ${this.#columns} columns`)
    }
    this.#shell.print(`${parts.join(', ')}.`)
    if (this.#refused > 0) {
      throw new QuorateError('SQL_CONSTRAINT', `Not all rows of ${file} were imported.`)
    }
  }

  async #send(): Promise<void> {
    const batch = this.#batch
    this.#batch = []
    this.#length = 0
    if (batch.length === 0) return
    try {
      await this.#insert(batch)
      this.#done += batch.length
    } catch (error) {
      if (!isAboutRows(error)) throw error
      await this.#oneByOne(batch)
    }
  }

  async #oneByOne(batch: readonly Row[]): Promise<void> {
    for (const row of batch) {
      try {
        await this.#insert([row])
        this.#done += 1
      } catch (error) {
        if (!isAboutRows(error)) throw error
        this.#refused += 1
        if (this.#refused <= ERRORS_SHOWN) {
          this.#shell.complain(`${this.#options.file}:${row.line}: ${errorLine(error)}`)
        }
      }
    }
  }

  async #insert(rows: readonly Row[]): Promise<void> {
    const marks = `(${Array.from({ length: this.#columns }, () => '?').join(',')})`
    const sql = `INSERT INTO ${quote(this.#options.table)} VALUES ${rows.map(() => marks).join(',')}`
    const args = rows.flatMap(({ cells }) =>
      Array.from({ length: this.#columns }, (_, at) => cells[at] ?? null),
    )
    await this.#shell.query(sql, args)
  }
}

/** What a row did wrong, as opposed to a node that does not answer. */
function isAboutRows(error: unknown): boolean {
  return error instanceof QuorateError && error.code.startsWith('SQL')
}

/** The columns that an INSERT without names fills; null: there is no such table. */
async function columnsOf(shell: Shell, table: string): Promise<string[] | null> {
  const sql = 'select name from pragma_table_xinfo(?) where hidden = 0 order by cid'
  const { rows } = await shell.query(sql, [table])
  return rows.length === 0 ? null : rows.map(([name]) => String(name))
}

async function* rowsOf({ file, separator, skip }: ImportOptions): AsyncGenerator<Row, void> {
  const input = createReadStream(file)
  const parser = input.pipe(
    parse({
      ...{ bom: true, delimiter: separator, relaxColumnCount: true, skipEmptyLines: true },
      ...{ fromLine: skip + 1, info: true, relaxQuotes: true },
    }),
  )
  finished(input, (error) => {
    if (error) parser.destroy(error)
  })
  try {
    for await (const item of parser) {
      const { record, info } = item as { record: string[]; info: { lines: number } }
      yield { cells: record, line: info.lines }
    }
  } catch (error) {
    throw usageError(`${file} can't be read: ${reasonOf(error).replace(/\.$/, '')}.`)
  } finally {
    input.destroy()
  }
}
