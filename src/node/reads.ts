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

export interface ReadJob {
  readonly level: ReadLevel
  readonly token: SessionToken | null
  /** Monotonic ms. */
  readonly deadline: number
  readonly done: (reply: NodeReply) => void
  /** Asks the reader. Asked again when what it saw is taken back. */
  readonly look: (timeoutMs: number, seen: (what: Seen) => void) => void
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
  | { readonly kind: 'failed'; readonly error: ErrorData }

export class Reads {
  readonly #context: Context
  /** Reads that wait for this replica to have applied an index. */
  #behind: { readonly job: ReadJob; readonly index: LogIndex }[] = []
  /** Strong reads by the id of the round that confirms their index. */
  readonly #confirming = new Map<number, ReadJob>()
  /** Strong reads whose round failed: they try again with a fresh id at the next tick. */
  #unconfirmed: ReadJob[] = []
  /** Reads that saw a database which still held what was taken back: again when it does not. */
  #void: ReadJob[] = []
  #lastId = 0

  constructor(context: Context) {
    this.#context = context
  }

  /** Some read waits for this replica to apply more. */
  get behind(): boolean {
    return this.#behind.length > 0
  }

  /** Answers a whole program of reads. */
  read(request: Extract<NodeRequest, { kind: 'read' }>, done: (reply: NodeReply) => void): void {
    const { program, level, token, timeoutMs } = request
    const { reader } = this.#context.ports
    const look: ReadJob['look'] = (timeLeft, seen) => {
      reader.read(program, timeLeft, (reply) => {
        if (reply.kind !== 'rows') {
          seen(reply)
          return
        }
        const { result, applied } = reply
        const answer = (now: SessionToken): NodeReply => {
          return { kind: 'result', result, token: now, open: false }
        }
        seen({ kind: 'seen', applied, answer, drop: () => {} })
      })
    }
    this.start({ level, token, deadline: this.#context.now() + timeoutMs, done, look })
  }

  start(job: ReadJob): void {
    if (this.#context.order.last.index === 0) {
      job.done(refusal('NOT_READY', 'This node has joined, and its first snapshot is on the way.'))
      return
    }
    const reason = this.#otherHistory(job.token)
    if (reason !== null && job.level !== 'local') job.done(refusal('OTHER_HISTORY', reason))
    else if (job.level === 'strong') this.#confirm(job)
    else if (job.level === 'session') this.#whenApplied(job, toLogIndex(job.token?.index ?? 0))
    else this.#look(job)
  }

  /** The core answered a strong read's question. */
  confirmed(id: number, index: LogIndex | null): void {
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
    for (const { job } of ready) this.#whenApplied(job, toLogIndex(0))
  }

  /** What was taken back is out of the database. */
  tookBack(): void {
    const again = this.#void
    this.#void = []
    for (const job of again) this.start(job)
  }

  /** Retries what was not confirmed and ends what has waited too long. */
  tick(now: number): void {
    const again = this.#unconfirmed
    this.#unconfirmed = []
    for (const job of again) {
      if (job.deadline > now) this.#confirm(job)
      else this.#tooLate(job, 'No majority of voters confirmed the leader in time')
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
    const index = toLogIndex(token.index)
    const term = index <= order.last.index ? order.termAt(index) : null
    if (term === null || term === token.term) return null
    // A replica's own uncommitted tail proves nothing about the token.
    if (index > order.commit) return null
    return `Entry ${index} is of term ${term} here, the session saw it in term ${token.term}.`
  }

  #whenApplied(job: ReadJob, index: LogIndex): void {
    if (this.#context.order.applied < index) {
      this.#behind.push({ job, index })
      return
    }
    // Only now may the entry that the token names be known here.
    const reason = job.level === 'session' ? this.#otherHistory(job.token) : null
    if (reason === null) this.#look(job)
    else job.done(refusal('OTHER_HISTORY', reason))
  }

  #look(job: ReadJob): void {
    const { epoch } = this.#context
    job.look(Math.max(1, job.deadline - this.#context.now()), (seen) => {
      if (seen.kind === 'notRead') job.done({ kind: 'writeNeeded' })
      else if (seen.kind === 'failed') job.done({ kind: 'error', error: seen.error })
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
    this.#context.counters.reads += 1
    const answer = (index: LogIndex): void => job.done(seen.answer(this.#context.token(index)))
    if (job.level === 'local') {
      answer(toLogIndex(Math.min(applied, order.commit)))
      return
    }
    if (applied <= order.commit) {
      answer(applied)
      return
    }
    const term = order.termAt(applied)
    if (term === null) {
      this.#again(job, seen)
      return
    }
    hold(this.#context, applied, term, 'majority', job.deadline, (fate) => {
      if (fate === 'safe') answer(applied)
      else if (fate === 'takenBack' || this.#context.now() < job.deadline) this.#again(job, seen)
      else {
        seen.drop()
        this.#tooLate(job, `Entry ${applied}, which the read saw, is not on a majority yet`)
      }
    })
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
