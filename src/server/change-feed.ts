/**
 * Tells a listener what entries change as this replica applies them. Reads the entries from the log
 * in the file, on the reading threads, so the way of a write pays nothing for it; takes the next
 * ones only when the listener is done, so the log itself is the buffer. What the log has dropped
 * by then is a gap.
 */
import { fromErrorData, QuorateError } from '../base/errors.ts'
import type { Changes } from '../model/changes.ts'
import type { Program, ProgramResult, Statement, Value } from '../model/program.ts'
import type { NodeReply, NodeRequest } from '../model/request.ts'
import { changesOf, type LoggedEntry, type Schema, waitedFor } from './entry-changes.ts'

/** Entries of one reading together; a larger one is a gap. */
const PAGE_BYTES = 4 * 1024 * 1024
const READ_TIMEOUT_MS = 10_000
/** After a reading that failed. */
const RETRY_MS = 250

/** Through `total` bytes; the first entry comes in any case, without its body if that is too large. */
const PAGE = `with next as (
    select idx, length(body) as bytes from _quorate_log
    where idx > ?1 and idx <= ?2 order by idx limit 256),
  page as (select idx, sum(bytes) over (order by idx) as total from next)
  select idx, kind, case when length(body) <= ?3 then body end
  from page join _quorate_log using (idx)
  where total <= ?3 or idx = (select min(idx) from page) order by idx`

const EARLIER = `select body from _quorate_entries join _quorate_log using (idx)
  where origin = ? and sequence = ? and length(body) <= ?`

/** Virtual tables with the tables inside them, and the columns that changesets tell of. */
const TABLES = `select t.name, t.type, x.name from pragma_table_list as t
    left join pragma_table_info(t.name) as x on t.type = 'table'
  where t.schema = 'main' order by t.name, x.cid`

const NO_SCHEMA: Schema = { version: -1n, columns: new Map(), owners: new Map() }

export class ChangeFeed {
  readonly #request: (request: NodeRequest) => Promise<NodeReply>
  readonly #give: (changes: Changes) => Promise<void> | void
  #schema = NO_SCHEMA
  /** What was told, or passed over as nothing; null before the first position. */
  #seen: number | null
  #position = 0
  #running = false
  #closed = false

  /**
   * @param give the next changes are read when what it returns has resolved
   * @param after the first entry to tell is the one after this; null: what comes from now on
   */
  constructor(
    request: (request: NodeRequest) => Promise<NodeReply>,
    give: (changes: Changes) => Promise<void> | void,
    after: number | null,
  ) {
    this.#request = request
    this.#give = give
    this.#seen = after
  }

  /** Entries through this one are committed and applied. The first call says where "now" is. */
  moved(position: number): void {
    this.#seen ??= position
    this.#position = Math.max(this.#position, position)
    if (!this.#running) void this.#run()
  }

  close(): void {
    this.#closed = true
  }

  async #run(): Promise<void> {
    this.#running = true
    while (!this.#closed && this.#seen !== null && this.#seen < this.#position) {
      try {
        await this.#page(this.#seen, this.#position)
      } catch (error) {
        if (!(error instanceof QuorateError)) throw error
        await new Promise((resolve) => setTimeout(resolve, RETRY_MS).unref())
      }
    }
    this.#running = false
  }

  async #page(after: number, through: number): Promise<void> {
    const [version, rows] = await this.#read([
      { sql: 'pragma schema_version' },
      { sql: PAGE, args: [after, through, PAGE_BYTES].map(BigInt) },
    ])
    const entries = (rows ?? []).map(toEntry)
    if (entries[0]?.index !== after + 1) {
      await this.#tell({ kind: 'gap', through: (entries[0]?.index ?? through + 1) - 1 })
      return
    }
    await this.#learn(version?.[0]?.[0])
    for (const entry of entries) {
      if (this.#closed) return
      const changes = changesOf(entry, this.#schema, await this.#earlier(entry))
      if (changes === null) this.#seen = entry.index
      else await this.#tell(changes)
    }
  }

  async #tell(changes: Changes): Promise<void> {
    await this.#give(changes)
    this.#seen = changes.kind === 'gap' ? changes.through : changes.index
  }

  /**
   * With several origins an entry may apply what an earlier one of the log brought: that one. Where
   * the log has it no more it is not in what this returns.
   */
  async #earlier(entry: LoggedEntry): Promise<readonly Uint8Array[]> {
    const waited = waitedFor(entry)
    if (waited.length === 0) return []
    const results = await this.#read(
      waited.map(({ origin, sequence }) => ({
        sql: EARLIER,
        args: [origin, BigInt(sequence), BigInt(PAGE_BYTES)],
      })),
    )
    return results.flatMap(([row]) => (row?.[0] instanceof Uint8Array ? [row[0]] : []))
  }

  async #learn(version: Value | undefined): Promise<void> {
    if (typeof version !== 'bigint' || version === this.#schema.version) return
    const [rows] = await this.#read([{ sql: TABLES }])
    this.#schema = { version, ...tablesOf(rows ?? []) }
  }

  /** The rows of each statement. */
  async #read(statements: readonly Statement[]): Promise<(readonly (readonly Value[])[])[]> {
    const program: Program = {
      atomic: true,
      steps: statements.map((statement) => ({ statement })),
    }
    const request = { kind: 'read', program, level: 'local', token: null } as const
    const reply = await this.#request({ ...request, timeoutMs: READ_TIMEOUT_MS })
    if (reply.kind === 'error') throw fromErrorData(reply.error)
    if (reply.kind !== 'result') throw new QuorateError('INTERNAL', `Answered ${reply.kind}.`)
    return rowsOf(reply.result)
  }
}

function rowsOf({ steps }: ProgramResult): (readonly (readonly Value[])[])[] {
  return steps.map((step) => {
    if (step !== null && 'error' in step) throw fromErrorData(step.error)
    return step?.ok.rows ?? []
  })
}

function toEntry([index, kind, body]: readonly Value[]): LoggedEntry {
  const whole = body instanceof Uint8Array ? body : null
  return { index: Number(index), kind: String(kind), body: whole }
}

function tablesOf(rows: readonly (readonly Value[])[]): Omit<Schema, 'version'> {
  const columns = new Map<string, string[]>()
  const owners = new Map<string, string>()
  const virtual = new Set(
    rows.flatMap(([name, type]) => (type === 'virtual' ? [String(name)] : [])),
  )
  for (const [name, type, column] of rows) {
    const table = String(name)
    if (type === 'table') {
      const known = columns.get(table) ?? []
      if (column !== null) known.push(String(column))
      columns.set(table, known)
    } else if (type === 'shadow') {
      const owner = [...virtual].find((each) => table.startsWith(`${each}_`))
      if (owner !== undefined) owners.set(table, owner)
    }
  }
  return { columns, owners }
}
