/**
 * Where scripts run: plain SQLite and three replicas, a leader and two followers, that get each
 * other's entries as a cluster would hand them on. Every answer is compared at once, everything
 * that the databases hold whenever the script says `check`.
 */
import { copyFileSync, mkdirSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { isDeepStrictEqual } from 'node:util'
import { toLogIndex, toTerm } from '../../base/brand.ts'
import type { Entry } from '../../model/entry.ts'
import type { Program, ProgramResult, StepResult } from '../../model/program.ts'
import { verifyDatabase } from '../checksum.ts'
import { type Cleanup, Replica } from '../store-fixture.ts'
import type { Paused, ProgramOutcome, StoreCommand } from '../types.ts'
import { contentOf, contentOfFile, difference } from './content.ts'
import type { Coverage, Feature } from './features.ts'
import { Plain, type PlainResult } from './plain.ts'
import { type Item, type Script, type ScriptProgram, type Sql, statementsOf } from './script.ts'

const FOLLOWERS = 2
const AT = 1_700_000_000_000
const TICKET = 0
const STREAM = 's'

/** Two that should be equal are not. */
export class Difference extends Error {
  override readonly name = 'Difference'
  /** What was compared; a shorter script must fail in the same way. */
  readonly what: string

  constructor(what: string, message: string) {
    super(`${what}: ${message}`)
    this.what = what
  }
}

/** SQLite itself leaves open what comes next, or docs/sqlite.md says so: the script ends, well. */
export class Unclear extends Error {
  override readonly name = 'Unclear'
}

/** While nothing is committed: where the history that stands ended, and plain SQLite there. */
interface Fork {
  readonly index: number
  readonly image: Uint8Array
}

export class World {
  readonly #coverage: Coverage
  #plain: Plain
  /** The leader is the first. */
  #replicas: Replica[]
  #fork: Fork | null = null
  #snapshots = 0

  constructor(cleanup: Cleanup, folder: string, prepare: readonly Sql[], coverage: Coverage) {
    this.#coverage = coverage
    mkdirSync(folder)
    this.#plain = new Plain()
    for (const one of prepare) this.#countPrepared(one)
    const image = this.#plain.image()
    this.#replicas = Array.from({ length: 1 + FOLLOWERS }, (_, i) => {
      writeFileSync(join(folder, `r${i}.db`), image)
      return Replica.found(cleanup, folder, `r${i}`)
    })
    cleanup.after(() => this.#plain.close())
  }

  /** Plain SQLite as it is now: what the generator looks at. */
  get database(): DatabaseSync {
    return this.#plain.db
  }

  /** Nothing of what happens now stays. */
  get forked(): boolean {
    return this.#fork !== null
  }

  /** Runs one item. Throws Difference. */
  run(item: Item): void {
    // A leader whose schema change is not committed runs nothing more.
    const stuck = this.#fork !== null && this.#waits()
    if (stuck && item.kind !== 'takeBack') return
    this.#coverage.statements += statementsOf(item).length
    switch (item.kind) {
      case 'batch':
        this.#batch(item.programs)
        break
      case 'stream':
        this.#stream(item.rounds)
        break
      case 'check':
        this.#check(item.oneByOne)
        break
      case 'restart':
        this.#restart(item.replica)
        break
      case 'snapshot':
        this.#snapshot()
        break
      case 'compact':
        this.#compact()
        break
      case 'fork':
        this.#begin()
        break
      case 'takeBack':
        this.#takeBack(item.heldByOther)
    }
  }

  /** Compares all that is left to compare, the insides of every file included. */
  finish(): void {
    this.#takeBack(false)
    this.#check(false)
    this.#verify()
  }

  get #leader(): Replica {
    return this.#replicas[0] as Replica
  }

  get #followers(): readonly Replica[] {
    return this.#replicas.slice(1)
  }

  // Statements

  #countPrepared(one: Sql): void {
    const { steps, effects } = this.#plain.program({ atomic: false, statements: [one] })
    this.#count([one], steps, effects)
  }

  #batch(programs: readonly ScriptProgram[]): void {
    let left = programs
    let resume: Paused | undefined
    while (left.length > 0) {
      const given = resume === undefined ? left : left.slice(0, 1)
      const outcomes = this.#execute(given, resume)
      const done = outcomes.filter(({ paused }) => paused === undefined)
      resume = outcomes.at(-1)?.paused
      for (const [i, { result }] of done.entries()) {
        const program = left[i] as ScriptProgram
        this.#compare(program.statements, result, this.#plain.program(program))
      }
      left = left.slice(done.length)
      if (this.#waits() && !this.#committed()) return
    }
  }

  #execute(given: readonly ScriptProgram[], resume: Paused | undefined) {
    const { term } = this.#leader.log.last
    const programs = given.map(toProgram)
    const command = { kind: 'execute', ticket: TICKET, term, at: AT, programs } as const
    return this.#run(resume === undefined ? command : { ...command, resume })
  }

  #stream(rounds: readonly (readonly Sql[])[]): void {
    for (const statements of rounds) {
      const outcome = this.#round(statements)
      if (outcome === null) break
      this.#compare(statements, outcome.result, this.#plain.round(statements))
      if (this.#waits() && !this.#committed()) break
    }
    this.#leader.send({ kind: 'streamEnd', stream: STREAM })
    this.#plain.endStream()
  }

  /** Null: it waits for what can't be committed. */
  #round(statements: readonly Sql[]): ProgramOutcome | null {
    const program = toProgram({ atomic: false, statements })
    let resume: { readonly resume?: Paused } = {}
    for (;;) {
      const { term } = this.#leader.log.last
      const given = { ticket: TICKET, term, at: AT, stream: STREAM, program }
      const [outcome] = this.#run({ kind: 'streamRun', ...given, ...resume })
      if (outcome === undefined) throw new Difference('stream', 'no outcome')
      if (outcome.paused === undefined) return outcome
      if (this.#waits() && !this.#committed()) return null
      resume = { resume: outcome.paused }
    }
  }

  #run(command: StoreCommand): readonly ProgramOutcome[] {
    const reply = this.#leader.send(command)
    if (reply.kind !== 'executed') throw new Difference(command.kind, `reply ${reply.kind}`)
    return reply.outcomes
  }

  /** The leader has logged a schema change that it may apply once it is committed. */
  #waits(): boolean {
    const { applied, last } = this.#leader.log
    return applied < last.index
  }

  #committed(): boolean {
    if (this.#fork !== null) return false
    this.#leader.applyAll()
    return true
  }

  #compare(statements: readonly Sql[], result: ProgramResult, expected: PlainResult): void {
    if (expected.unclear) throw new Unclear('a wrong type within a transaction')
    for (const [i, one] of statements.entries()) {
      const want = sorted(expected.steps[i] ?? null, one)
      const got = comparable(sorted(result.steps[i] ?? null, one), want)
      if (isDeepStrictEqual(got, want)) continue
      if (tellsOfOthers(statements, expected.steps, i)) continue
      const open = openReason(got, one)
      if (open !== null) throw new Unclear(open)
      if (isDrawn(got) && isDrawn(want)) throw new Unclear('a rowid drawn at random')
      if (otherRule(got, want)) continue
      const what = `result of ${one.sql.split(' ', 2).join(' ')} ${kindOf(got)} not ${kindOf(want)}`
      const message = `\n${one.sql}\nleader: ${show(got)}\nplain:  ${show(want)}`
      throw new Difference(what, message)
    }
    if (result.autocommit !== expected.autocommit) {
      throw new Difference('autocommit', `leader ${result.autocommit}`)
    }
    this.#count(statements, expected.steps, expected.effects)
  }

  #count(statements: readonly Sql[], steps: readonly StepResult[], effects: readonly boolean[]) {
    for (const [i, { features, effects: byEffect }] of statements.entries()) {
      const step = steps[i] ?? null
      if (step === null) continue
      const succeeded = 'ok' in step
      this.#coverage.count(features, succeeded)
      if (!succeeded || effects[i] === true) this.#coverage.count(byEffect, succeeded)
    }
  }

  // Replication

  #entriesAfter(index: number): readonly Entry[] {
    const { last } = this.#leader.log
    if (index >= last.index) return []
    const from = toLogIndex(index + 1)
    const reply = this.#leader.send({ kind: 'read', from, to: last.index, bytesMax: Infinity })
    return reply.kind === 'entries' ? reply.entries : []
  }

  /** A follower gets and applies what is committed: everything, or what was before the fork. */
  #catchUp(follower: Replica, oneByOne = false): void {
    const committed = this.#fork?.index ?? this.#leader.log.last.index
    const entries = this.#entriesAfter(follower.log.last.index)
    follower.append(entries.filter(({ index }) => index <= committed))
    for (let to = follower.log.applied + 1; oneByOne && to < committed; to += 1) follower.apply(to)
    follower.apply(committed)
  }

  #check(oneByOne: boolean): void {
    const plain = contentOf(this.#plain.db, { loosely: true })
    const leader = contentOfFile(this.#leader.path, { loosely: true })
    report('content of the leader', difference(leader, plain))
    if (this.#fork !== null) return
    const exact = contentOfFile(this.#leader.path, { loosely: false })
    for (const follower of this.#followers) {
      this.#catchUp(follower, oneByOne)
      const content = contentOfFile(follower.path, { loosely: false })
      report('content of a follower', difference(content, exact))
    }
  }

  #restart(replica: number): void {
    const one = this.#replicas[replica % this.#replicas.length]
    one?.reopen()
    this.#coverage.count(['replica: restarted'], true)
  }

  /** The first follower is far behind: it gets the other's file. */
  #snapshot(): void {
    const [to, from] = this.#followers
    if (to === undefined || from === undefined) return
    this.#catchUp(from)
    const path = join(`${to.path}-quorate`, `received-${this.#snapshots}.db`)
    this.#snapshots += 1
    mkdirSync(dirname(path), { recursive: true })
    // Closed, everything is in one file.
    from.store.close()
    copyFileSync(from.path, path)
    from.open()
    const copy = new DatabaseSync(path)
    copy.exec('pragma journal_mode = delete')
    copy.close()
    to.send({ kind: 'install', ticket: TICKET, path })
    this.#coverage.count(['replica: made from a snapshot'], true)
  }

  #compact(): void {
    if (this.#fork !== null) return
    for (const follower of this.#followers) this.#catchUp(follower)
    const to = toLogIndex(this.#leader.log.last.index)
    for (const one of this.#replicas) one.send({ kind: 'compact', ticket: TICKET, to })
    this.#coverage.count(['replica: compacted its log'], true)
  }

  // Another history

  #begin(): void {
    if (this.#fork !== null) return
    for (const follower of this.#followers) this.#catchUp(follower)
    this.#fork = { index: this.#leader.log.last.index, image: this.#plain.image() }
  }

  /**
   * The first follower leads in a new term. What the old leader, and perhaps the other follower,
   * had beyond the fork is taken back.
   */
  #takeBack(heldByOther: boolean): void {
    const fork = this.#fork
    if (fork === null) return
    const [old, leader, other] = this.#replicas as [Replica, Replica, Replica]
    if (heldByOther) other.append(this.#entriesAfter(fork.index))
    const term = toTerm(old.log.last.term + 1)
    const noop = { ticket: TICKET, term, at: AT, entry: 'noop', body: new Uint8Array() } as const
    leader.send({ kind: 'propose', ...noop })
    for (const one of [old, other]) one.truncate(fork.index)
    this.#plain.close()
    this.#plain = new Plain(fork.image)
    const plain = contentOf(this.#plain.db, { loosely: true })
    const taken = contentOfFile(old.path, { loosely: true })
    report('content of a leader that went back', difference(taken, plain))
    const exact = contentOfFile(leader.path, { loosely: false })
    const back = contentOfFile(old.path, { loosely: false })
    report('content of a leader that went back, and of its follower', difference(back, exact))
    this.#fork = null
    this.#replicas = [leader, other, old]
    for (const follower of this.#followers) this.#catchUp(follower)
    this.#coverage.count(['history: taken back'], true)
  }

  // The insides

  #verify(): void {
    const plain = verifyDatabase(this.#plain.db)
    const [first, ...rest] = this.#replicas.map(({ path }) => {
      const db = new DatabaseSync(path)
      try {
        return { verified: verifyDatabase(db), fts: ftsProblems(db) }
      } finally {
        db.close()
      }
    })
    if (first === undefined) return
    const { problems } = first.verified
    same('problems of the leader', comparableProblems(problems), comparableProblems(plain.problems))
    same('FTS5 of the leader', first.fts, ftsProblems(this.#plain.db))
    for (const { verified, fts } of rest) {
      same('checksums', verified.tables, first.verified.tables)
      same(
        'problems of a follower',
        comparableProblems(verified.problems),
        comparableProblems(problems),
      )
      same('FTS5 of a follower', fts, first.fts)
    }
  }
}

/** Runs a script from its beginning. Throws Difference, or whatever the store throws. */
export function runScript(cleanup: Cleanup, folder: string, script: Script, coverage: Coverage) {
  const world = new World(cleanup, folder, script.prepare, coverage)
  for (const item of script.items) world.run(item)
  world.finish()
}

function toProgram({ atomic, statements }: ScriptProgram): Program {
  return { atomic, steps: statements.map(({ sql, args }) => ({ statement: { sql, args } })) }
}

/** Without a rowid that is of whoever inserted before. */
function comparable(step: StepResult, wanted: StepResult): StepResult {
  if (step === null || wanted === null || 'error' in step || 'error' in wanted) return step
  return wanted.ok.lastInsertRowid === null ? { ok: { ...step.ok, lastInsertRowid: null } } : step
}

/**
 * RETURNING gives the rows of an UPDATE or DELETE in any order, which triggers can change;
 * foreign_key_check goes through the tables in any order.
 */
function sorted(step: StepResult, { sql }: Sql): StepResult {
  if (step === null || 'error' in step) return step
  if (step.ok.changes < 2 && sql !== 'pragma foreign_key_check') return step
  const rows = step.ok.rows.toSorted((a, b) => (String(a) < String(b) ? -1 : 1))
  return { ok: { ...step.ok, rows } }
}

/** changes() and last_insert_rowid() where no change of the same program came right before. */
function tellsOfOthers(
  statements: readonly Sql[],
  steps: readonly StepResult[],
  at: number,
): boolean {
  if (!/\b(changes|last_insert_rowid)\(\)/.test(statements[at]?.sql ?? '')) return false
  const before = steps[at - 1] ?? null
  return statements[at - 1]?.verb === 'other' || before === null || 'error' in before
}

/**
 * A row of a STRICT table that breaks two rules: where the store watches a table with triggers,
 * SQLite looks at the types first.
 */
function otherRule(got: StepResult, want: StepResult): boolean {
  if (got === null || want === null || !('error' in got) || !('error' in want)) return false
  return got.error.code === want.error.code && got.error.detail.startsWith('cannot store ')
}

/** After the largest rowid of all SQLite draws; nobody else goes near such numbers. */
function isDrawn(step: StepResult): boolean {
  if (step === null || 'error' in step) return false
  const { lastInsertRowid } = step.ok
  return lastInsertRowid !== null && lastInsertRowid > 2n ** 50n && lastInsertRowid < 2n ** 62n
}

const CLAUSE: Feature = 'conflict clause of a column'

/**
 * Whether SQLite complains of a broken foreign key when a row comes into its parent depends on how
 * the statement was compiled: triggers, such as the store's own, make it. And ROLLBACK by a trigger
 * after DDL in the same program takes more back than in SQLite. In watched STRICT tables types are
 * looked at before other rules, so that OR IGNORE does not come to ignore (docs/sqlite.md).
 */
function openReason(step: StepResult, { sql, features }: Sql): string | null {
  if (step === null || 'ok' in step) return null
  const { detail } = step.error
  const ignores = /\b(ignore|replace|fail|rollback|on conflict)\b/i.test(sql)
  if (detail.startsWith('cannot store ') && (ignores || features.includes(CLAUSE))) {
    return 'a wrong type beside a conflict'
  }
  if (/^drop table/.test(sql) && detail.startsWith('no such table: main.')) {
    return 'a parent dropped that refers to nothing'
  }
  return /^(foreign key mismatch|ROLLBACK took the whole program back)/.exec(detail)?.[0] ?? null
}

function kindOf(step: StepResult): string {
  if (step === null) return 'skipped'
  return 'ok' in step ? 'ok' : step.error.code
}

const SHOWN_LENGTH = 600

function show(step: StepResult): string {
  const text = JSON.stringify(step, (_, value: unknown) =>
    typeof value === 'bigint' ? `${value}n` : value,
  )
  return text.slice(0, SHOWN_LENGTH)
}

function report(what: string, found: string | null): void {
  if (found !== null) throw new Difference(what, `\n${found}`)
}

function same(what: string, got: unknown, want: unknown): void {
  if (isDeepStrictEqual(got, want)) return
  const message = `\n${JSON.stringify(got).slice(0, 2000)}\n${JSON.stringify(want).slice(0, 2000)}`
  throw new Difference(what, message)
}

/** They come in any order, and only the first ten. */
function comparableProblems(problems: readonly string[]): readonly string[] | number {
  return problems.length < 10 ? problems.toSorted() : problems.length
}

/** What FTS5's own check says about each of its tables. */
function ftsProblems(db: DatabaseSync): readonly string[] {
  const tables = db.prepare("select name from sqlite_schema where sql like '%using fts5%'").all()
  return tables.flatMap(({ name }) => {
    db.exec('begin')
    try {
      db.exec(`insert into "${name}" ("${name}", rank) values ('integrity-check', 1)`)
      return []
    } catch (error) {
      return [`${name}: ${(error as Error).message}`]
    } finally {
      db.exec('rollback')
    }
  })
}
