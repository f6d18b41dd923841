/**
 * The leader's side of a store: runs clients' programs and logs their effects.
 *
 * One SQLite transaction, one session and one entry for a whole batch: that costs a third of what
 * one of each per program would. Whatever can't share (see scope.ts) runs between batches in
 * SQLite transactions of its own.
 */
import { AssertionError, assert, present } from '../../base/assert.ts'
import type { Term } from '../../base/brand.ts'
import type { Entry, EntryKind, Operation, WriteRecord } from '../../model/entry.ts'
import type { OriginEntry, OriginOperation } from '../../model/origin-entry.ts'
import type { Program, ProgramResult } from '../../model/program.ts'
import type { Connections } from '../connections.ts'
import type { Log } from '../log.ts'
import type { Origins } from '../origins/origins.ts'
import { OwnCapture } from '../origins/own-capture.ts'
import { Schema } from '../schema/schema.ts'
import type { Paused, ProgramOutcome, StoreReply } from '../types.ts'
import { Capture } from './capture.ts'
import { LeaderLog, type Round } from './leader-log.ts'
import { ProgramModes, type Wanted } from './program-mode.ts'
import { runRows } from './run-rows.ts'
import { ProgramRun, TransactionState, toStepError } from './runner.ts'
import { BatchLost, BatchScope, type Outlet, OwnScope } from './scope.ts'
import { Settings } from './settings.ts'
import { mayLeaveRows } from './statement.ts'

type Executed = Extract<StoreReply, { kind: 'executed' }>

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

export class Leader {
  readonly #connections: Connections
  readonly #log: Log
  readonly #entries: LeaderLog
  readonly #schema: Schema
  readonly #modes: ProgramModes
  readonly #capture: Capture
  readonly #own: OwnCapture
  readonly #batch: BatchScope
  /** The stream whose transaction is open: the writer is its alone. */
  #open: Stream | null = null
  readonly #settings: Settings
  constructor(connections: Connections, log: Log, origins: Origins) {
    this.#connections = connections
    this.#log = log
    this.#entries = new LeaderLog(connections, log, origins)
    const slot = (): number | null => (origins.state === null ? null : origins.slot)
    this.#schema = new Schema(connections.writer, slot)
    this.#modes = new ProgramModes(connections.writer, this.#schema)
    this.#capture = new Capture(connections, this.#schema)
    this.#own = new OwnCapture(connections.writer, this.#schema)
    this.#batch = new BatchScope(connections, this.#capture, this.#own)
    this.#settings = new Settings(connections.writer)
  }

  /** The stream that has a transaction open, or null. */
  get openStream(): string | null {
    return this.#open?.name ?? null
  }

  /** Runs programs in order until one changes the schema. See StoreCommand. */
  execute(round: Round, programs: readonly Program[], resume?: Paused): Executed {
    this.#prepare(round)
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
    const wants = this.#wants(programs[outcomes.length])
    return { kind: 'executed', entries, outcomes, notRun, open: false, ...wants }
  }

  #resumed(programs: readonly Program[], resume: Paused): Executed {
    assert(programs.length === 1, () => `${programs.length} programs go on at once`)
    const scope = this.#ownScope(false)
    const program = present(programs[0], () => 'a program that goes on')
    const wants = this.#wants(program, resume.at)
    if (wants !== null) return notRun(wants, false)
    const outcome = this.#runInScope(scope, new TransactionState(), program, resume)
    this.#resetSettings()
    const { entries } = scope
    return { kind: 'executed', entries, outcomes: [outcome], notRun: 0, open: false }
  }

  #runAll(programs: readonly Program[], entries: Entry[], outcomes: ProgramOutcome[]): void {
    let from = 0
    while (from < programs.length) {
      const mode = this.#modes.of(programs[from] as Program)
      if (mode === 'schema' && (from > 0 || this.#wants(programs[from]) !== null)) return
      let to = from + 1
      if (mode === 'batch') to = this.#modes.endOfBatch(programs, from)
      const run = programs.slice(from, to)
      if (mode === 'batch') this.#runBatch(run, entries, outcomes)
      else this.#runOwn(run, entries, outcomes)
      from = to
      if (mode === 'schema') return
    }
  }

  /** What a program wants to do to the schema beyond what is allowed now; null: nothing. */
  #wants(program: Program | undefined, from = 0): Wanted | null {
    const allowed = this.#entries.originating?.schema ?? 'any'
    return this.#modes.wants(program, allowed, from)
  }

  /** Runs one round of a stream. See StoreCommand. */
  streamRun(round: Round, name: string, program: Program, resume?: Paused): Executed {
    const open = this.#open
    if (open === null) this.#prepare(round)
    assert(open === null || open.name === name, () => `stream ${name} while ${open?.name} is open`)
    this.#entries.begin(round)
    const wants = this.#wants(program, resume?.at)
    if (wants !== null) return notRun(wants, open !== null)
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

  /** Logs an entry of our own that is no client's. See StoreCommand. */
  originate(
    term: Term,
    at: number,
    answer: OriginEntry['answer'],
    operations: readonly OriginOperation[],
  ): Executed {
    this.#assertNoStream()
    const entry = this.#entries.originate(term, at, answer, operations)
    return { kind: 'executed', entries: [entry], outcomes: [], notRun: 0, open: false }
  }

  /** Logs an entry without SQL effect. It counts as applied if everything before it is. */
  propose(term: Term, at: number, kind: EntryKind, body: Uint8Array): Entry {
    this.#assertNoStream()
    return this.#entries.propose(term, at, kind, body)
  }

  /** The applier is about to run DDL. */
  beforeDdl(): void {
    this.#schema.release()
  }

  /** After any error: nothing stays open. */
  abandon(): void {
    this.#open = null
    this.#capture.end()
    this.#own.end()
    this.#connections.writer.rollback()
    this.#resetSettings()
    this.#schema.forget()
  }

  #assertNoStream(): void {
    assert(this.#open === null, () => `the writer belongs to stream ${this.#open?.name}`)
  }

  #prepare(round: Round): void {
    const { applied, last } = this.#log
    this.#assertNoStream()
    assert(applied === last.index, () => `execution at ${last.index} with ${applied} applied`)
    this.#entries.begin(round)
    if (this.#connections.hasChanged(this.#connections.writer)) this.#schema.refresh()
    else this.#schema.facts
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
      if (this.#merges) this.#own.start()
      const ran = programs.map((program) => this.#runShared(program))
      const operations = [...this.#ownChanges(), ...this.#capture.peekData()]
      this.#capture.end()
      if (operations.length === 0) return { entry: null, ran }
      const transactions = ran.reduce((sum, { written }) => sum + written, 0)
      const writes = recordsOf(programs, ran)
      const entry = this.#entries.data({ transactions, writes, operations })
      this.#connections.commit(writer)
      this.#entries.committed(entry)
      return { entry, ran }
    } finally {
      this.#capture.end()
      this.#own.end()
      writer.rollback()
    }
  }

  /** With several origins: what each transaction changed. Throws BatchLost. */
  #ownChanges(): Operation[] {
    if (!this.#merges) return []
    const changes = this.#own.finish()
    if (changes === null) throw new BatchLost('rows of the batch belong to no transaction')
    return changes.map((bytes) => ({ kind: 'changeset', bytes }))
  }

  /** There are several origins. */
  get #merges(): boolean {
    return this.#entries.originating !== null
  }

  #runShared(program: Program): Ran {
    const quick = this.#runQuick(program)
    if (quick !== null) return quick
    const runs = () => this.#runSteps(program)
    const shares = this.#merges && this.#modes.shareSession(program)
    return shares ? this.#own.sharedProgram(runs) : runs()
  }

  #runSteps(program: Program): Ran {
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
      const { statement } = step
      const ok =
        written > 0 && this.#merges
          ? this.#own.statement(this.#modes.sharesSession(found), () =>
              runRows(writer, statements, statement, found),
            )
          : runRows(writer, statements, statement, found)
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
    const writesOf = (write: WriteRecord | null) => (write === null ? [] : [write])
    const outlet: Outlet = {
      data: (operations, write) =>
        this.#entries.data({ transactions: 1, writes: writesOf(write), operations }),
      committed: (entry) => this.#entries.committed(entry),
      schema: (operations, transactions, write) =>
        this.#entries.schema({ transactions, writes: writesOf(write), operations }),
    }
    return new OwnScope(writing, outlet, interactive)
  }

  #resetSettings(): void {
    if (this.#settings.reset()) this.#schema.statements.clear()
  }
}

/** The reply if a program may not begin. */
function notRun(wants: Wanted, open: boolean): Executed {
  return { kind: 'executed', entries: [], outcomes: [], notRun: 1, open, ...wants }
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
