/**
 * The leader's side of a store: runs clients' programs and logs their effects.
 *
 * One SQLite transaction, one session and one entry for a whole batch: that costs a third of what
 * one of each per program would. Whatever can't share (see scope.ts) runs between batches in
 * SQLite transactions of its own.
 */
import { AssertionError, assert, present } from '../base/assert.ts'
import { next, type Term } from '../base/brand.ts'
import { LIMITS } from '../base/limits.ts'
import type { Entry, EntryKind, Operation, WriteRecord } from '../model/entry.ts'
import { encodeBatch, sealEntry } from '../model/entry-codec.ts'
import type { Program, ProgramResult } from '../model/program.ts'
import { firstKeyword } from '../model/sql-tokens.ts'
import { Capture } from './capture.ts'
import type { Connections } from './connections.ts'
import type { Log } from './log.ts'
import { runRows } from './run-rows.ts'
import { ProgramRun, TransactionState, toStepError } from './runner.ts'
import { Schema } from './schema.ts'
import { BatchLost, BatchScope, OwnScope } from './scope.ts'
import { Settings } from './settings.ts'
import { mayLeaveRows } from './statement.ts'
import type { Paused, ProgramOutcome, StoreReply } from './types.ts'

type Executed = Extract<StoreReply, { kind: 'executed' }>

/** How a program has to run: with others, by itself, or by itself as the last. */
type Mode = 'batch' | 'own' | 'schema'

/** What came of one program in a batch. */
interface Ran {
  readonly result: ProgramResult
  /** Its transactions that wrote. */
  readonly written: number
}

/** An interactive stream that has a transaction open. */
interface Stream {
  readonly name: string
  readonly scope: OwnScope
  readonly state: TransactionState
}

const DDL: ReadonlySet<string> = new Set(['CREATE', 'DROP', 'ALTER', 'ANALYZE', 'REINDEX'])

export class Leader {
  readonly #connections: Connections
  readonly #log: Log
  readonly #schema: Schema
  readonly #capture: Capture
  readonly #batch: BatchScope
  /** The stream whose transaction is open: the writer is its alone. */
  #open: Stream | null = null
  readonly #settings: Settings
  #term: Term
  #at = 0

  constructor(connections: Connections, log: Log) {
    this.#connections = connections
    this.#log = log
    this.#schema = new Schema(connections.writer)
    this.#capture = new Capture(connections, this.#schema)
    this.#batch = new BatchScope(connections, this.#capture)
    this.#settings = new Settings(connections.writer)
    this.#term = log.last.term
  }

  /** The stream that has a transaction open, or null. */
  get openStream(): string | null {
    return this.#open?.name ?? null
  }

  /** Runs programs in order until one changes the schema. See StoreCommand. */
  execute(term: Term, at: number, programs: readonly Program[], resume?: Paused): Executed {
    this.#prepare(term, at)
    if (resume !== undefined) return this.#resumed(programs, resume)
    const entries: Entry[] = []
    const outcomes: ProgramOutcome[] = []
    try {
      this.#runAll(programs, entries, outcomes)
    } catch (error) {
      // What has committed stands; the rest is given again and fails by itself if it must.
      if (error instanceof AssertionError || entries.length === 0) throw error
      this.abandon()
    }
    const notRun = programs.length - outcomes.length
    return { kind: 'executed', entries, outcomes, notRun, open: false }
  }

  #resumed(programs: readonly Program[], resume: Paused): Executed {
    assert(programs.length === 1, () => `${programs.length} programs go on at once`)
    const scope = this.#ownScope(false)
    const program = present(programs[0], () => 'a program that goes on')
    const outcome = this.#runInScope(scope, new TransactionState(), program, resume)
    this.#resetSettings()
    const { entries } = scope
    return { kind: 'executed', entries, outcomes: [outcome], notRun: 0, open: false }
  }

  #runAll(programs: readonly Program[], entries: Entry[], outcomes: ProgramOutcome[]): void {
    let from = 0
    while (from < programs.length) {
      const mode = this.#modeOf(programs[from] as Program)
      if (mode === 'schema' && from > 0) return
      let to = from + 1
      if (mode === 'batch') {
        while (to < programs.length && this.#modeOf(programs[to] as Program) === 'batch') to += 1
      }
      const run = programs.slice(from, to)
      if (mode === 'batch') this.#runBatch(run, entries, outcomes)
      else this.#runOwn(run, entries, outcomes)
      from = to
      if (mode === 'schema') return
    }
  }

  /** Runs one round of a stream. See StoreCommand. */
  streamRun(term: Term, at: number, name: string, program: Program, resume?: Paused): Executed {
    const open = this.#open
    if (open === null) this.#prepare(term, at)
    assert(open === null || open.name === name, () => `stream ${name} while ${open?.name} is open`)
    this.#term = term
    this.#at = at
    const stream = open ?? { name, scope: this.#ownScope(true), state: new TransactionState() }
    // On the way out of an error the transaction is gone, and with it the stream's claim.
    this.#open = null
    stream.scope.entries.length = 0
    const outcome = this.#runInScope(stream.scope, stream.state, program, resume)
    if (stream.state.open) this.#open = stream
    else this.#resetSettings()
    const entries = [...stream.scope.entries]
    return { kind: 'executed', entries, outcomes: [outcome], notRun: 0, open: stream.state.open }
  }

  streamEnd(name: string): void {
    if (this.#open?.name !== name) return
    this.#open.scope.close()
    this.#open = null
    this.#resetSettings()
  }

  /** Logs an entry without SQL effect. It counts as applied if everything before it is. */
  propose(term: Term, at: number, kind: EntryKind, body: Uint8Array): Entry {
    const log = this.#log
    const { applier } = this.#connections
    this.#assertNoStream()
    const entry = sealEntry({ index: next(log.last.index), term, kind, at, body })
    const applies = log.applied === log.last.index
    this.#connections.transaction(applier, () => {
      log.write(applier, entry)
      if (applies) log.saveApplied(applier, entry.index)
    })
    log.notedEntries([entry])
    if (applies) log.notedApplied(entry.index)
    return entry
  }

  /** The applier is about to run DDL. */
  beforeDdl(): void {
    this.#schema.release()
  }

  /** After any error: nothing stays open. */
  abandon(): void {
    this.#open = null
    this.#capture.end()
    this.#connections.writer.rollback()
    this.#resetSettings()
    this.#schema.forget()
  }

  #assertNoStream(): void {
    assert(this.#open === null, () => `the writer belongs to stream ${this.#open?.name}`)
  }

  #prepare(term: Term, at: number): void {
    const { applied, last } = this.#log
    this.#assertNoStream()
    assert(applied === last.index, () => `execution at ${last.index} with ${applied} applied`)
    assert(term >= last.term, () => `execution in term ${term} after ${last.term}`)
    this.#term = term
    this.#at = at
    this.#schema.refresh()
  }

  /** Only the text is sure before the program runs: what follows DDL can't be prepared. */
  #modeOf(program: Program): Mode {
    let mode: Mode = 'batch'
    const { statements } = this.#schema
    for (const { statement } of program.steps) {
      try {
        const found = statements.get(statement.sql)
        if (found.kind === 'ddl') return 'schema'
        if (mode === 'batch' && found.needsOwnTransaction()) mode = 'own'
      } catch {
        // A wrong statement gets its error when its turn comes.
        if (DDL.has(firstKeyword(statement.sql))) return 'schema'
      }
    }
    return mode
  }

  // Programs that share a transaction

  #runBatch(programs: readonly Program[], entries: Entry[], outcomes: ProgramOutcome[]): void {
    try {
      const { entry, ran } = this.#tryBatch(programs)
      if (entry !== null) entries.push(entry)
      const index = entry?.index ?? null
      for (const { result, written } of ran) {
        outcomes.push({ result, index: written > 0 ? index : null })
      }
    } catch (error) {
      if (!(error instanceof BatchLost)) throw error
      this.#runOwn(programs, entries, outcomes)
    }
  }

  /** Throws BatchLost if the programs must be run one by one. */
  #tryBatch(programs: readonly Program[]): { entry: Entry | null; ran: readonly Ran[] } {
    const { writer } = this.#connections
    this.#connections.begin(writer)
    try {
      this.#capture.start(false)
      const ran = programs.map((program) => this.#runShared(program))
      const operations = this.#capture.peekData()
      this.#capture.end()
      if (operations.length === 0) return { entry: null, ran }
      const transactions = ran.reduce((sum, { written }) => sum + written, 0)
      const entry = this.#logData(operations, transactions, recordsOf(programs, ran))
      this.#connections.commit(writer)
      this.#noted(entry)
      return { entry, ran }
    } finally {
      this.#capture.end()
      writer.rollback()
    }
  }

  #runShared(program: Program): Ran {
    const quick = this.#runQuick(program)
    if (quick !== null) return quick
    const { writer } = this.#connections
    const state = new TransactionState()
    const run = new ProgramRun(writer, this.#schema.statements, this.#batch, state, program)
    run.run()
    run.closeOpen()
    return { result: run.result, written: run.written }
  }

  /**
   * The common case, a program of one statement, without a savepoint: SQLite itself takes a failed
   * statement back, unless it says FAIL, or there is a wrong type, for which it forgets to. Null if this is another case.
   */
  #runQuick(program: Program): Ran | null {
    const [step, more] = program.steps
    if (step === undefined || more !== undefined || step.condition !== undefined) return null
    const { statements } = this.#schema
    const { writer } = this.#connections
    let written = 0
    try {
      const found = statements.get(step.statement.sql)
      if (found.kind !== 'rows' || found.fails) return null
      written = found.prepare().changes === null ? 0 : 1
      const ok = runRows(writer, statements, step.statement, found)
      return { result: { steps: [{ ok }], autocommit: true }, written }
    } catch (error) {
      if (!writer.db.isTransaction) this.#batch.lost()
      if (written > 0 && mayLeaveRows(error)) throw new BatchLost('a statement stopped half-way')
      return { result: { steps: [{ error: toStepError(error) }], autocommit: true }, written: 0 }
    }
  }

  // Programs with transactions of their own

  #runOwn(programs: readonly Program[], entries: Entry[], outcomes: ProgramOutcome[]): void {
    for (const program of programs) {
      const scope = this.#ownScope(false)
      outcomes.push(this.#runInScope(scope, new TransactionState(), program))
      entries.push(...scope.entries)
      this.#resetSettings()
    }
  }

  #runInScope(
    scope: OwnScope,
    state: TransactionState,
    program: Program,
    resume?: Paused,
  ): ProgramOutcome {
    const { writer } = this.#connections
    const run = new ProgramRun(writer, this.#schema.statements, scope, state, program, resume)
    const { id } = program
    scope.record = () => (id === undefined ? null : { id, result: { ...run.result } })
    for (const [name, on] of resume?.settings ?? []) scope.set(name, on)
    try {
      run.run()
      if (!scope.interactive) run.closeOpen()
      if (!state.open) scope.finish()
    } catch (error) {
      if (error instanceof AssertionError || scope.entries.length === 0) throw error
      this.abandon()
      run.stopped(error)
    }
    const index = scope.entries.at(-1)?.index ?? null
    const { result, pausedAt } = run
    if (pausedAt === null) return { result, index }
    const { changed } = this.#settings
    return { result, index, paused: { at: pausedAt, steps: run.steps, settings: changed } }
  }

  #ownScope(interactive: boolean): OwnScope {
    const writing = {
      connections: this.#connections,
      schema: this.#schema,
      capture: this.#capture,
      settings: this.#settings,
    }
    return new OwnScope(
      writing,
      {
        data: (operations, write) => this.#logData(operations, 1, write === null ? [] : [write]),
        committed: (entry) => this.#noted(entry),
        schema: (operations, transactions, write) =>
          this.#logSchema(operations, transactions, write === null ? [] : [write]),
      },
      interactive,
    )
  }

  #resetSettings(): void {
    if (this.#settings.reset()) this.#schema.statements.clear()
  }

  // Entries

  #logData(
    operations: readonly Operation[],
    transactions: number,
    writes: readonly WriteRecord[],
  ): Entry {
    const { writer } = this.#connections
    const entry = this.#entry('data', operations, transactions, writes)
    this.#log.write(writer, entry)
    this.#log.saveApplied(writer, entry.index)
    return entry
  }

  #noted(entry: Entry): void {
    this.#log.notedEntries([entry])
    this.#log.notedApplied(entry.index)
  }

  #logSchema(
    operations: readonly Operation[],
    transactions: number,
    writes: readonly WriteRecord[],
  ): Entry {
    const { writer } = this.#connections
    const entry = this.#entry('schema', operations, transactions, writes)
    this.#connections.transaction(writer, () => this.#log.write(writer, entry))
    this.#log.notedEntries([entry])
    return entry
  }

  #entry(
    kind: 'data' | 'schema',
    operations: readonly Operation[],
    transactions: number,
    writes: readonly WriteRecord[],
  ): Entry {
    const body = encodeBatch({ transactions, writes, operations })
    if (body.length > LIMITS.entryBytesMax) throw new BatchLost(`an entry of ${body.length} bytes`)
    const index = next(this.#log.last.index)
    return sealEntry({ index, term: this.#term, kind, at: this.#at, body })
  }
}

/** The numbered writes among the programs that had an effect. */
function recordsOf(programs: readonly Program[], ran: readonly Ran[]): readonly WriteRecord[] {
  const records: WriteRecord[] = []
  for (const [i, { result, written }] of ran.entries()) {
    const id = programs[i]?.id
    if (id !== undefined && written > 0) records.push({ id, result })
  }
  return records
}
