/**
 * Reads on this replica, each at its level: wait until the replica has come as far as the level
 * asks, read, and let the answer go when nothing in it can be taken back any more.
 */
import type { LogIndex } from '../base/brand.ts'
import { toLogIndex } from '../base/brand.ts'
import type { ErrorData } from '../base/errors.ts'
import type { NodeReply, NodeRequest, ReadLevel, SessionToken } from '../model/request.ts'
import type { Context } from './context.ts'
import { hold, refusal } from './context.ts'
import { type Consulted, type Stable, unsupportedRead } from './origins/levels.ts'
import type { Origins } from './origins/origins.ts'
import type { StableAnswer, StableReads } from './origins/stable-reads.ts'
import type { ReadReply } from './ports.ts'

export interface ReadJob {
  readonly level: ReadLevel
  readonly token: SessionToken | null
  /** Monotonic ms. */
  readonly deadline: number
  readonly done: (reply: NodeReply) => void
  /** Asks the reader. Asked again when what it saw is taken back. */
  readonly look: (timeoutMs: number, seen: (what: Seen) => void) => void
  /**
   * Asks for what is stable and nothing else, as strong reads among several groups do. Null: what the
   * job reads is more than one program, which can't be had so.
   */
  readonly lookStable:
    | ((stable: Stable, timeoutMs: number, seen: (what: Seen) => void) => void)
    | null
}

/** What the reader answered. */
export type Seen =
  | {
      readonly kind: 'seen'
      /** The database as of this entry. */
      readonly applied: LogIndex
      readonly answer: (token: SessionToken) => NodeReply
      /** The answer will not be used. */
      readonly drop: () => void
    }
  | { readonly kind: 'notRead' }
  /** The schema changed meanwhile: only a later mark will do. */
  | { readonly kind: 'again' }
  | { readonly kind: 'failed'; readonly error: ErrorData }

interface Behind {
  readonly job: ReadJob
  readonly index: LogIndex
  readonly stable: Stable | null
}

interface Question {
  readonly deadline: number
  readonly done: (index: LogIndex | null) => void
}

export type Consult = (
  level: ReadLevel,
  deadline: number,
  done: (answer: Consulted | ErrorData) => void,
) => void

export class Reads {
  readonly stable: StableReads
  readonly #context: Context
  /** Reads that wait for this replica to have applied an index. */
  #behind: Behind[] = []
  /** Strong reads by the id of the round that confirms their index. */
  readonly #confirming = new Map<number, ReadJob>()
  /** Other questions than those of reads. */
  readonly #questions = new Map<number, Question>()
  #unanswered: Question[] = []
  /** Strong reads whose round failed: they try again with a fresh id at the next tick. */
  #unconfirmed: ReadJob[] = []
  /** Reads at levels of several groups, whose leader does not exchange with them yet. */
  #unconsulted: { readonly job: ReadJob; readonly why: ErrorData }[] = []
  /** Reads that saw a database which still held what was taken back: again when it does not. */
  #void: ReadJob[] = []
  #lastId = 0
  readonly #consult: Consult

  /**
   * @param consult with several origins: has the group's leader find what a level needs
   */
  constructor(context: Context, stable: StableReads, consult: Consult) {
    this.#context = context
    this.stable = stable
    this.#consult = consult
  }

  /** Some read waits for this replica to have applied more. */
  get behind(): boolean {
    return this.#behind.length > 0
  }

  /** Answers a whole program of reads. */
  read(request: Extract<NodeRequest, { kind: 'read' }>, done: (reply: NodeReply) => void): void {
    const { program, level, token, timeoutMs } = request
    const { reader } = this.#context.ports
    const look: ReadJob['look'] = (timeLeft, seen) => {
      reader.read(program, timeLeft, (reply) => seen(wholeOf(reply)))
    }
    const lookStable: ReadJob['lookStable'] = (stable, timeLeft, seen) => {
      this.stable.read(program, stable, timeLeft, (reply) => seen(wholeOf(reply)))
    }
    const deadline = this.#context.now() + timeoutMs
    this.start({ level, token, deadline, done, look, lookStable })
  }

  start(job: ReadJob): void {
    if (this.#context.order.last.index === 0) {
      job.done(refusal('NOT_READY', 'This node has joined, and its first snapshot is on the way.'))
      return
    }
    const unsupported = unsupportedRead(this.#context, job.level, job.lookStable !== null)
    if (unsupported !== null) {
      job.done({ kind: 'error', error: unsupported })
      return
    }
    const reason = this.#otherHistory(job.token)
    const { origins } = this.#context
    if (reason !== null && job.level !== 'local') job.done(refusal('OTHER_HISTORY', reason))
    else if (job.level === 'local') this.#look(job)
    else if (origins !== null) this.#startAmongGroups(job, origins)
    else if (job.level === 'strong') this.#confirm(job)
    else this.#whenApplied(job, this.#tokenIndex(job))
  }

  /** With several origins: what the session has seen elsewhere, then what the level asks for. */
  #startAmongGroups(job: ReadJob, origins: Origins): void {
    const seen = new Map(job.token?.origins?.seen ?? [])
    origins.whenCovered(seen, job.deadline, (isHere) => {
      if (!isHere) this.#tooLate(job, 'What the session has seen has not come here in time')
      else if (job.level === 'session') this.#whenApplied(job, this.#tokenIndex(job))
      else {
        const ended = (answer: Consulted | ErrorData): void => {
          if (!('code' in answer)) this.#whenApplied(job, answer.index, answer.stable)
          else if (answer.code === 'NOT_READY') this.#unconsulted.push({ job, why: answer })
          else job.done({ kind: 'error', error: answer })
        }
        this.#consult(job.level, job.deadline, ended)
      }
    })
  }

  /** The position of a token, if it is one in this group's log. */
  #tokenIndex({ token }: ReadJob): LogIndex {
    if (token === null || !this.#isOwn(token)) return toLogIndex(0)
    return toLogIndex(token.index)
  }

  #isOwn({ origins: theirs }: SessionToken): boolean {
    const { origins } = this.#context
    return origins === null || theirs === undefined || theirs.self === origins.self
  }

  /**
   * Finds an index that covers all that was acknowledged before.
   *
   * @param deadline monotonic, ms; after it `done` is given null
   */
  confirm(deadline: number, done: Question['done']): void {
    this.#ask({ deadline, done })
  }

  #ask(question: Question): void {
    this.#lastId += 1
    this.#questions.set(this.#lastId, question)
    this.#context.step({ kind: 'read', id: this.#lastId })
  }

  /** The core answered a strong read's question. */
  confirmed(id: number, index: LogIndex | null): void {
    const question = this.#questions.get(id)
    if (question !== undefined) {
      this.#questions.delete(id)
      if (index === null) this.#unanswered.push(question)
      else question.done(index)
      return
    }
    const job = this.#confirming.get(id)
    if (job === undefined) return
    this.#confirming.delete(id)
    if (index === null) this.#unconfirmed.push(job)
    else this.#whenApplied(job, index)
  }

  /** This replica applied more. */
  applied(): void {
    if (this.#behind.length === 0) return
    const { applied } = this.#context.order
    const ready = this.#behind.filter((wait) => wait.index <= applied)
    if (ready.length === 0) return
    this.#behind = this.#behind.filter((wait) => wait.index > applied)
    for (const { job, stable } of ready) this.#whenApplied(job, toLogIndex(0), stable)
  }

  /** What was taken back is out of the database. */
  tookBack(): void {
    const again = this.#void
    this.#void = []
    for (const job of again) this.start(job)
  }

  /** Retries what was not confirmed and ends what has waited too long. */
  tick(now: number): void {
    this.#tickQuestions(now)
    const again = this.#unconfirmed
    this.#unconfirmed = []
    for (const job of again) {
      if (job.deadline > now) this.#confirm(job)
      else this.#tooLate(job, 'No majority of voters confirmed the leader in time')
    }
    const unconsulted = this.#unconsulted
    this.#unconsulted = []
    for (const { job, why } of unconsulted) {
      if (job.deadline > now) this.start(job)
      else job.done({ kind: 'error', error: why })
    }
    for (const [id, job] of this.#confirming) {
      if (job.deadline > now) continue
      this.#confirming.delete(id)
      this.#tooLate(job, 'No majority of voters confirmed the leader in time')
    }
    for (const job of this.#void.filter((each) => each.deadline <= now)) {
      this.#tooLate(job, 'This replica is still taking back what a new leader does not have')
    }
    this.#void = this.#void.filter((job) => job.deadline > now)
    if (this.#behind.some(({ job }) => job.deadline <= now)) {
      const late = this.#behind.filter(({ job }) => job.deadline <= now)
      this.#behind = this.#behind.filter(({ job }) => job.deadline > now)
      for (const { job, index } of late) {
        const { applied } = this.#context.order
        this.#tooLate(job, `This replica has applied entry ${applied} of the ${index} needed`)
      }
    }
  }

  #tickQuestions(now: number): void {
    const again = this.#unanswered
    this.#unanswered = []
    for (const question of again) {
      if (question.deadline > now) this.#ask(question)
      else question.done(null)
    }
    for (const [id, { deadline, done }] of this.#questions) {
      if (deadline > now) continue
      this.#questions.delete(id)
      done(null)
    }
  }

  #confirm(job: ReadJob): void {
    this.#lastId += 1
    this.#confirming.set(this.#lastId, job)
    this.#context.step({ kind: 'read', id: this.#lastId })
  }

  /** Why a token can't be honoured here; null if it can, or if that can't be told yet. */
  #otherHistory(token: SessionToken | null): string | null {
    if (token === null || token.index === 0) return null
    const { order, options } = this.#context
    if (token.cluster !== options.cluster) {
      return `The session token is of cluster ${token.cluster}, this is ${options.cluster}.`
    }
    if (!this.#isOwn(token)) return null
    const index = toLogIndex(token.index)
    const term = index <= order.last.index ? order.termAt(index) : null
    if (term === null || term === token.term) return null
    // A replica's own uncommitted tail proves nothing about the token.
    if (index > order.commit) return null
    return `Entry ${index} is of term ${term} here, the session saw it in term ${token.term}.`
  }

  #whenApplied(job: ReadJob, index: LogIndex, stable: Stable | null = null): void {
    if (this.#context.order.applied < index) {
      this.#behind.push({ job, index, stable })
      return
    }
    if (stable !== null) {
      this.#lookStable(job, stable)
      return
    }
    // Only now may the entry that the token names be known here.
    const reason = job.level === 'session' ? this.#otherHistory(job.token) : null
    if (reason === null) this.#look(job)
    else job.done(refusal('OTHER_HISTORY', reason))
  }

  /** What is stable is never taken back, so there is nothing more to wait for. */
  #lookStable(job: ReadJob, stable: Stable): void {
    const timeoutMs = Math.max(1, job.deadline - this.#context.now())
    job.lookStable?.(stable, timeoutMs, (seen) => {
      if (seen.kind === 'notRead') job.done({ kind: 'writeNeeded' })
      else if (seen.kind === 'failed') job.done({ kind: 'error', error: seen.error })
      else if (seen.kind === 'again') this.start(job)
      else this.#answer(job, seen)
    })
  }

  #look(job: ReadJob): void {
    const { epoch } = this.#context
    job.look(Math.max(1, job.deadline - this.#context.now()), (seen) => {
      if (seen.kind === 'notRead') job.done({ kind: 'writeNeeded' })
      else if (seen.kind === 'failed') job.done({ kind: 'error', error: seen.error })
      else if (seen.kind === 'again') this.start(job)
      else if (job.level !== 'local' && this.#context.takingBack) {
        seen.drop()
        this.#void.push(job)
      } else if (job.level !== 'local' && this.#context.epoch !== epoch) this.#again(job, seen)
      else this.#release(job, seen)
    })
  }

  /** The answer leaves when a majority holds what it saw; a local one leaves at once. */
  #release(job: ReadJob, seen: Extract<Seen, { kind: 'seen' }>): void {
    const { order } = this.#context
    const { applied } = seen
    const { origins } = this.#context
    if (origins?.knows(applied) === false) {
      // The reader was faster than the store's word on what it has applied.
      const { epoch } = this.#context
      origins.whenKnows(applied, job.deadline, (knows) => {
        if (knows && this.#context.epoch === epoch) this.#release(job, seen)
        else this.#again(job, seen)
      })
      return
    }
    if (job.level === 'local' || applied <= order.commit) {
      this.#answer(job, seen)
      return
    }
    this.#context.counters.reads += 1
    const term = order.termAt(applied)
    if (term === null) {
      this.#again(job, seen)
      return
    }
    hold(this.#context, applied, term, 'majority', job.deadline, (fate) => {
      if (fate === 'safe') job.done(seen.answer(this.#context.token(applied)))
      else if (fate === 'takenBack' || this.#context.now() < job.deadline) this.#again(job, seen)
      else {
        seen.drop()
        this.#tooLate(job, `Entry ${applied}, which the read saw, is not on a majority yet`)
      }
    })
  }

  /** Answers at once, with the position of what is committed of it. */
  #answer(job: ReadJob, { applied, answer }: Extract<Seen, { kind: 'seen' }>): void {
    this.#context.counters.reads += 1
    const index = toLogIndex(Math.min(applied, this.#context.order.commit))
    job.done(answer(this.#context.token(index)))
  }

  #again(job: ReadJob, seen: Extract<Seen, { kind: 'seen' }>): void {
    seen.drop()
    this.start(job)
  }

  #tooLate(job: ReadJob, what: string): void {
    const missing = this.#context.unreachable().join(', ')
    const detail = missing === '' ? `${what}.` : `${what}; not in contact with ${missing}.`
    job.done(refusal('READ_LEVEL_UNAVAILABLE', detail))
  }
}

/** All rows at once. */
function wholeOf(reply: ReadReply | StableAnswer): Seen {
  if (reply.kind !== 'rows') return reply
  const { result, applied } = reply
  const answer = (token: SessionToken): NodeReply => {
    return { kind: 'result', result, token, open: false }
  }
  return { kind: 'seen', applied, answer, drop: () => {} }
}
