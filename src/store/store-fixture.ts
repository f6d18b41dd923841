/** What the store's tests share: stores in a temporary folder, short ways to run SQL, comparison. */
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { inspect } from 'node:util'
import { toLogIndex, toTerm } from '../base/brand.ts'
import type { ErrorCode } from '../base/errors.ts'
import type { Entry } from '../model/entry.ts'
import type { Program, StatementResult, Step, StepResult, Value } from '../model/program.ts'
import type { OpenOptions } from './connections.ts'
import { Store } from './store.ts'
import type { Originating, Paused, StoreCommand, StoreReply } from './types.ts'

export const TERM = toTerm(1)
const BASE = { term: TERM, index: toLogIndex(1) }
const TICKET = 0
const AT = 1_700_000_000_000

type FoundOrigin = NonNullable<Extract<StoreCommand, { kind: 'found' }>['origin']>
type Executed = Extract<StoreReply, { kind: 'executed' }>
type Sql = string | readonly [sql: string, ...args: Value[]]

/** Whatever cleans up when it is over: a test's context, or another run's own. */
export interface Cleanup {
  after(run: () => void): void
}

/** A folder that goes with the test. */
export function folderOf(t: Cleanup): string {
  const folder = mkdtempSync(join(tmpdir(), 'quorate-store-'))
  t.after(() => rmSync(folder, { recursive: true }))
  return folder
}

function steps(sqls: readonly Sql[]): readonly Step[] {
  return sqls.map((sql) => {
    const [text, ...args] = typeof sql === 'string' ? [sql] : sql
    return { statement: { sql: text, args } }
  })
}

export function program(...sqls: Sql[]): Program {
  return { atomic: false, steps: steps(sqls) }
}

export function atomic(...sqls: Sql[]): Program {
  return { atomic: true, steps: steps(sqls) }
}

/** The result of a step that went well. */
export function ok(step: StepResult | undefined): StatementResult {
  assert.ok(step !== null && step !== undefined && 'ok' in step, inspect(step))
  return step.ok
}

/** The code of a step's error, 'ok', or 'skipped'. */
export function outcome(step: StepResult | undefined): ErrorCode | 'ok' | 'skipped' {
  if (step === null || step === undefined) return 'skipped'
  return 'error' in step ? step.error.code : 'ok'
}

export const codes = (steps: readonly StepResult[]) => steps.map(outcome)

/** Two small tables that most tests can do with. */
export const TABLES = `
  create table item (id integer primary key, name text unique, n integer check (n < 100));
  create table part (id integer primary key, item integer not null references item);`

/** A replica in a folder of its own. */
export function start(t: Cleanup, prepare = TABLES): Replica {
  return Replica.found(t, folderOf(t), 'a', prepare)
}

/** A store with a few words to drive it. */
export class Replica {
  readonly path: string
  store: Store
  readonly #options: OpenOptions
  /** What the leader's clock shows, ms. */
  at = AT
  /** With several origins. */
  originating: Originating = { answer: 'soon', schema: 'any' }

  constructor(path: string, options: OpenOptions = {}) {
    this.path = path
    this.#options = options
    this.store = Store.open(path, options)
  }

  /** A founded replica. Two with the same tables may follow each other. */
  static found(
    t: Cleanup,
    folder: string,
    name: string,
    prepare = '',
    origin?: FoundOrigin,
    options: OpenOptions = {},
  ): Replica {
    const path = join(folder, `${name}.db`)
    if (prepare !== '') {
      const db = new DatabaseSync(path)
      db.exec(prepare)
      db.close()
    }
    const replica = new Replica(path, options)
    t.after(() => replica.store.close())
    replica.found(name, origin)
    return replica
  }

  found(node: string, origin?: FoundOrigin): void {
    this.send({
      kind: 'found',
      ticket: TICKET,
      identity: { cluster: 'c', node },
      base: BASE,
      members: { cluster: 'c', members: [] },
      ...(origin === undefined ? {} : { origin }),
    })
  }

  /** What a command of the leader's says beside its programs. */
  get #round() {
    const several = this.store.origins !== null
    const { at, originating } = this
    return { ticket: TICKET, at, ...(several ? { originating } : {}) }
  }

  get log() {
    return this.store.log
  }

  /** Runs a command that must not fail. */
  send(command: StoreCommand): StoreReply {
    const reply = this.store.run(command)
    if (reply.kind === 'failed') assert.fail(`${reply.error.code}: ${reply.error.detail}`)
    return reply
  }

  executePrograms(programs: readonly Program[], term = this.log.last.term): Executed {
    const reply = this.send({ kind: 'execute', ...this.#round, term, programs })
    assert.equal(reply.kind, 'executed')
    return reply as Executed
  }

  /** Runs one program; what it tried with DDL is applied at once, as if it had been committed. */
  execute(given: Program): Executed {
    const { term } = this.log.last
    const command = { kind: 'execute', ...this.#round, term, programs: [given] } as const
    return this.#throughPauses((resume) => this.send({ ...command, ...resume }), true)
  }

  /** Runs a program to its end as the node does: committing what it stops for. */
  #throughPauses(
    run: (resume: { readonly resume?: Paused }) => StoreReply,
    appliesLast: boolean,
  ): Executed {
    const entries: Entry[] = []
    let resume: { readonly resume?: Paused } = {}
    for (;;) {
      const reply = run(resume)
      assert.ok(reply.kind === 'executed')
      entries.push(...reply.entries)
      const paused = reply.outcomes[0]?.paused
      const behind = this.log.applied < this.log.last.index
      if (behind && (appliesLast || paused !== undefined)) this.applyAll()
      if (paused === undefined) return { ...reply, entries }
      resume = { resume: paused }
    }
  }

  /** The steps of one program. */
  run(...sqls: Sql[]): readonly StepResult[] {
    const [first] = this.execute(program(...sqls)).outcomes
    assert.ok(first !== undefined)
    return first.result.steps
  }

  /** Runs statements that must all succeed. */
  must(...sqls: Sql[]): void {
    for (const sql of sqls) for (const step of this.run(sql)) ok(step)
  }

  stream(stream: string, ...sqls: Sql[]): Executed {
    const given = program(...sqls)
    const { term } = this.log.last
    const command = { kind: 'streamRun', ...this.#round, term, stream } as const
    const round = { ...command, program: given }
    return this.#throughPauses((resume) => this.send({ ...round, ...resume }), false)
  }

  append(entries: readonly Entry[]): void {
    this.send({ kind: 'append', ticket: TICKET, entries })
  }

  apply(to: number): void {
    while (this.log.applied < to) this.send({ kind: 'apply', to: toLogIndex(to) })
  }

  applyAll(): void {
    this.apply(this.log.last.index)
  }

  truncate(to: number): Extract<StoreReply, { kind: 'truncated' }> {
    const reply = this.send({ kind: 'truncate', ticket: TICKET, to: toLogIndex(to), at: AT })
    assert.equal(reply.kind, 'truncated')
    return reply as Extract<StoreReply, { kind: 'truncated' }>
  }

  /** All entries after the base. */
  entries(): readonly Entry[] {
    const { base, last } = this.log
    if (base.index === last.index) return []
    const from = toLogIndex(base.index + 1)
    const reply = this.send({ kind: 'read', from, to: last.index, bytesMax: Infinity })
    return reply.kind === 'entries' ? reply.entries : []
  }

  /** Gets everything that another has and applies it. */
  follow(leader: Replica): void {
    this.append(leader.entries().slice(this.log.last.index - leader.log.base.index))
    this.applyAll()
  }

  reopen(): void {
    this.store.close()
    this.open()
  }

  /** After its store was closed. */
  open(): void {
    this.store = Store.open(this.path, this.#options)
  }

  query(sql: string): readonly (readonly unknown[])[] {
    const db = new DatabaseSync(this.path, { readOnly: true })
    try {
      return db.prepare(sql, { returnArrays: true }).all() as unknown as unknown[][]
    } finally {
      db.close()
    }
  }

  /** The whole content without the log: equal for replicas that are at the same entry. */
  content(): Readonly<Record<string, unknown>> {
    const db = new DatabaseSync(this.path, { readOnly: true })
    try {
      return contentOf(db)
    } finally {
      db.close()
    }
  }
}

/** See Replica.content. */
export function contentOf(db: DatabaseSync): Readonly<Record<string, unknown>> {
  const read = { readBigInts: true, returnArrays: true } as const
  const all = (sql: string) => db.prepare(sql, read).all() as unknown as unknown[][]
  const content: Record<string, unknown> = {
    schema: all(`select type, name, tbl_name, sql from sqlite_schema
      where name not like '\\_quorate%' escape '\\' order by type, name`),
    userVersion: all('pragma user_version'),
    applicationId: all('pragma application_id'),
  }
  const tables = all("select name from pragma_table_list where schema = 'main' and type <> 'view'")
  for (const [name] of tables) {
    if (/^_quorate|^sqlite_(schema|stat)/.test(String(name))) continue
    // Values as SQL text, which tells 1 from 1.0 and -0.0 from 0.0.
    const columns = all(`select name from pragma_table_info('${name}')`)
    const quoted = columns.map(([column]) => `quote("${column}")`).join(', ')
    const rows = all(`select ${quoted} from "${name}"`).map((row) => row.join('|'))
    content[String(name)] = rows.sort()
  }
  return content
}
