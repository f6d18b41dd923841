/**
 * What goes to the store while this node leads: batches of programs, the core's own proposals and
 * one interactive transaction at a time, in the order in which they came.
 *
 * One command is under way at a time. While it runs, everything that arrives gathers for the next
 * batch; while its flush and its peers are waited for, the next batch runs already.
 */
import { assert, present } from '../base/assert.ts'
import type { LogIndex, NodeId, Term } from '../base/brand.ts'
import { ERRORS, type ErrorData } from '../base/errors.ts'
import { LIMITS } from '../base/limits.ts'
import type { EntryKind } from '../model/entry.ts'
import { decodeBatch } from '../model/entry-codec.ts'
import type { Program, ProgramResult } from '../model/program.ts'
import type { AckLevel, NodeReply } from '../model/request.ts'
import type { Paused, ProgramOutcome, StoreReply } from '../store/types.ts'
import { BatchTiming, LINGER_MS } from './batch-timing.ts'
import type { Context } from './context.ts'
import { hold, refusal } from './context.ts'

interface JobBase {
  readonly ack: AckLevel
  /** Monotonic ms. */
  readonly deadline: number
  readonly done: (reply: NodeReply) => void
  /** Leadership went before it had an effect: find the new leader. */
  readonly reroute: () => void
  /** Its first part has run and is logged at `index`; the rest waits for that to be committed. */
  begun?: { readonly paused: Paused; readonly index: LogIndex }
}

export interface ProgramJob extends JobBase {
  readonly kind: 'program'
  readonly program: Program
}

export interface StreamJob extends JobBase {
  readonly kind: 'stream'
  readonly stream: string
  /** The fellow node whose client's it is; null: a client here. */
  readonly from: NodeId | null
  readonly open: boolean
  readonly program: Program | null
  /** Nothing follows: what is open after it is rolled back. */
  end: boolean
}

type Job = ProgramJob | StreamJob

interface Proposal {
  readonly kind: Exclude<EntryKind, 'data' | 'schema'>
  readonly term: Term
  readonly body: Uint8Array
  readonly made: (index: LogIndex | null) => void
}

export class Writer {
  readonly #context: Context
  #queue: Job[] = []
  #proposals: Proposal[] = []
  #busy = false
  readonly #timing = new BatchTiming()
  /** A call back is due that looks at the queue again. */
  #lingering = false
  /** The stream whose transaction holds the writer, and when it was last used. */
  #open: { readonly stream: string; readonly from: NodeId | null; usedAt: number } | null = null
  /** The round of a stream that is at the store. */
  #round: StreamJob | null = null
  /** Streams whose transaction was rolled back for idleness: their next round is told so. */
  readonly #timedOut = new Set<string>()
  /** Numbered writes that are queued or running: a retry joins the first one. */
  readonly #pending = new Map<string, ProgramJob[]>()
  /** A snapshot is being pinned at the last entry; nothing may be added before it is. */
  #pinning = false

  constructor(context: Context) {
    this.#context = context
  }

  get queued(): number {
    return this.#queue.length
  }

  /** An interactive transaction has the store, or may have it after what is under way. */
  get streaming(): boolean {
    return this.#open !== null || this.#round !== null
  }

  /** The store may be adding to the log. */
  get busy(): boolean {
    return this.#busy
  }

  /** Takes a job; the answer comes through its `done` or `reroute`. */
  enqueue(job: Job): void {
    if (this.#queue.length >= LIMITS.queuedRequestsMax) {
      job.done(refusal('OVERLOADED', `${this.#queue.length} requests are waiting for the writer.`))
      return
    }
    if (job.kind === 'program' && job.program.id !== undefined && !this.#admit(job)) return
    this.#queue.push(job)
  }

  /** Has an entry without SQL effect made; `made` gets its index, or null if leadership went. */
  propose(
    kind: Proposal['kind'],
    term: Term,
    body: Uint8Array,
    made: (index: LogIndex | null) => void = () => {},
  ): void {
    this.#proposals.push({ kind, term, body, made })
  }

  /** Nothing is executed until `unpin`: a verify entry's snapshot must see exactly its position. */
  pin(): void {
    this.#pinning = true
  }

  unpin(): void {
    this.#pinning = false
  }

  /** Starts whatever may start now. */
  pump(): void {
    while (!this.#busy && this.#startNext()) {
      // Jobs that are answered without the store leave room for the next.
    }
  }

  /** Rolls back what is interactive. The store takes nothing from a new leader before that. */
  endStream(): void {
    if (this.#open === null) return
    const { stream } = this.#open
    this.#open = null
    this.#context.ports.store.submit({ kind: 'streamEnd', stream }, () => {})
  }

  /**
   * A fellow node can't be heard. If it died nobody will go on with what its clients have open, and
   * everybody else would wait until that has idled for too long; if not, they are told.
   */
  linkDown(peer: NodeId): void {
    const isTheirs = (job: Job): boolean => job.kind === 'stream' && job.from === peer
    const never = this.#queue.filter((job) => isTheirs(job) && job.begun === undefined)
    this.#queue = this.#queue.filter((job) => !never.includes(job))
    for (const job of never) this.#handBack(job)
    for (const job of [this.#round, ...this.#queue]) {
      if (job?.kind === 'stream' && job.from === peer) job.end = true
    }
    if (this.#open?.from === peer && this.#round === null) this.endStream()
  }

  /** Rolls back what was interactive, hands back what never ran. */
  leadershipLost(): void {
    this.endStream()
    for (const proposal of this.#proposals.splice(0)) proposal.made(null)
    this.#pinning = false
    const jobs = this.#queue
    this.#queue = []
    for (const job of jobs) this.#handBack(job)
  }

  /** Ends what has waited or idled too long. */
  expire(now: number): void {
    if (this.#queue.some((job) => job.deadline <= now)) {
      const late = this.#queue.filter((job) => job.deadline <= now)
      this.#queue = this.#queue.filter((job) => job.deadline > now)
      for (const job of late) this.#refuse(job, LATE)
    }
    const open = this.#open
    if (open === null || this.#busy) return
    if (now - open.usedAt < this.#context.options.transactionIdleMs) return
    this.#open = null
    this.#timedOut.add(open.stream)
    if (this.#timedOut.size > 1000) {
      this.#timedOut.delete(present(this.#timedOut.values().next().value, () => 'oldest stream'))
    }
    this.#context.ports.store.submit({ kind: 'streamEnd', stream: open.stream }, () => {})
  }

  // Admission of numbered writes

  /** False: answered or joined; nothing to queue. */
  #admit(job: ProgramJob): boolean {
    const id = present(job.program.id, () => 'write id')
    const key = `${id.number} ${id.session}`
    const twin = this.#pending.get(key)
    if (twin !== undefined) {
      twin.push(job)
      return false
    }
    const seen = this.#context.writeIds.look(id)
    if (seen === 'expired') {
      const detail = `Write ${id.number} of its session is older than what is remembered here.`
      job.done(refusal('SESSION_EXPIRED', detail))
      return false
    }
    if (seen !== 'new') {
      this.#repeat(job, seen.index)
      return false
    }
    this.#pending.set(key, [job])
    return true
  }

  /** Answers a retry with what the first run answered, found in the log. */
  #repeat(job: ProgramJob, index: LogIndex): void {
    const { store } = this.#context.ports
    const command = { kind: 'read', from: index, to: index, bytesMax: 0 } as const
    store.submit(command, (reply) => {
      const term = this.#context.order.termAt(index)
      const entry = reply.kind === 'entries' ? reply.entries[0] : undefined
      if (entry === undefined && index <= this.#context.order.base.index) {
        const detail = `The write ran as entry ${index}, and its result is no longer in the log.`
        this.#answer(job, refusal('SESSION_EXPIRED', detail))
        return
      }
      if (entry === undefined || term !== entry.term) {
        job.reroute()
        return
      }
      const id = present(job.program.id, () => 'write id')
      const record = decodeBatch(entry.body).writes.find(
        (write) => write.id.session === id.session && write.id.number === id.number,
      )
      const { result } = present(record, () => `write ${id.number} in entry ${index}`)
      this.#finish(job, result, { index, term, changed: true }, false)
    })
  }

  #joined(job: Job): readonly Job[] {
    if (job.kind !== 'program' || job.program.id === undefined) return [job]
    const { id } = job.program
    const key = `${id.number} ${id.session}`
    const jobs = this.#pending.get(key)
    if (jobs?.[0] !== job) return [job]
    this.#pending.delete(key)
    return jobs
  }

  #answer(job: Job, reply: NodeReply): void {
    for (const each of this.#joined(job)) each.done(reply)
  }

  /** It has no effect, as far as this node can tell. */
  #handBack(job: Job): void {
    if (job.begun !== undefined) this.#leaveHalf(job, job.begun.index)
    else for (const each of this.#joined(job)) each.reroute()
  }

  /** Another leader, or the same one later, must not run the first part once more. */
  #leaveHalf(job: Job, position: LogIndex): void {
    const detail = `The program stopped in the middle, after entry ${position}.`
    this.#answer(job, refusal('UNKNOWN_OUTCOME', detail, { position }))
  }

  /** Who may retry takes it that nothing was run: not true of a job that has begun. */
  #refuse(job: Job, error: ErrorData): void {
    if (job.begun !== undefined && ERRORS[error.code].retry !== 'never') {
      this.#leaveHalf(job, job.begun.index)
    } else this.#answer(job, { kind: 'error', error })
  }

  // Execution

  /** True: something was done and more may be possible. */
  #startNext(): boolean {
    const { order } = this.#context
    if (order.role !== 'leader') return false
    if (this.#open === null && this.#startProposal()) return true
    const isTime = this.#isTime()
    if (this.#queue.length === 0 || this.#pinning) return false
    if (!order.mayExecute || order.applied !== order.last.index) return false
    if (this.#open !== null) return this.#startOpenStream(this.#open.stream)
    const head = present(this.#queue[0], () => 'head of the queue')
    if (head.kind === 'stream') return this.#startStream(head)
    return isTime && this.#startBatch()
  }

  /** Whether a batch is to start now, rather than with more in it a moment later. */
  #isTime(): boolean {
    const { order, ports } = this.#context
    const underWay = order.commit < order.last.index
    const now = this.#context.now()
    const queued = this.#queue.length
    if (this.#timing.look({ queued, underWay, now }) === 'start') return true
    if (queued > 0 && !this.#lingering) {
      this.#lingering = true
      ports.clock.after(LINGER_MS, () => {
        this.#lingering = false
      })
    }
    return false
  }

  /**
   * The first proposal that may be made now. A `verify` entry's snapshot is pinned at its position,
   * so all before it must be applied (a new leader's noop goes first), and nothing may follow.
   */
  #takeProposal(): Proposal | undefined {
    if (this.#pinning) return undefined
    const { order } = this.#context
    const whole = order.applied === order.last.index
    const at = this.#proposals.findIndex(({ kind }) => kind !== 'verify' || whole)
    return at < 0 ? undefined : this.#proposals.splice(at, 1)[0]
  }

  #startProposal(): boolean {
    const { order, ports } = this.#context
    const proposal = this.#takeProposal()
    if (proposal === undefined) return false
    if (proposal.term !== order.term) {
      proposal.made(null)
      return true
    }
    const ticket = this.#begin()
    ports.store.submit(
      {
        kind: 'propose',
        ticket,
        term: proposal.term,
        at: ports.clock.now(),
        entry: proposal.kind,
        body: proposal.body,
      },
      (reply) => {
        const { entries } = this.#end(ticket, reply)
        proposal.made(entries[0]?.index ?? null)
      },
    )
    return true
  }

  #startBatch(): boolean {
    const { order, ports } = this.#context
    const jobs: ProgramJob[] = []
    for (const job of this.#queue) {
      if (job.kind !== 'program' || jobs.length >= LIMITS.batchTransactionsMax) break
      jobs.push(job)
      // What goes on goes alone; it is always at the head.
      if (job.begun !== undefined) break
    }
    const resume = jobs[0]?.begun?.paused
    this.#queue.splice(0, jobs.length)
    this.#timing.started(jobs.length, this.#context.now())
    const ticket = this.#begin()
    const command = {
      kind: 'execute',
      ticket,
      term: order.term,
      at: ports.clock.now(),
      programs: jobs.map((job) => job.program),
      ...(resume === undefined ? {} : { resume }),
    } as const
    ports.store.submit(command, (reply) => {
      const { outcomes, notRun, error } = this.#end(ticket, reply)
      if (error !== null) {
        for (const job of jobs) this.#refuse(job, error)
      } else {
        const ran = jobs.length - notRun
        assert(outcomes.length === ran, () => `${outcomes.length} outcomes for ${ran} programs`)
        this.#requeue(jobs.slice(ran))
        this.#context.counters.batches += 1
        for (const [i, outcome] of outcomes.entries()) {
          this.#settle(
            present(jobs[i], () => `job ${i}`),
            outcome,
            false,
          )
        }
      }
    })
    return true
  }

  /** What did not run goes back to the head, or to the new leader. */
  #requeue(jobs: readonly Job[]): void {
    if (this.#context.order.role === 'leader') this.#queue.unshift(...jobs)
    else for (const job of jobs) this.#handBack(job)
  }

  #startOpenStream(stream: string): boolean {
    const at = this.#queue.findIndex((job) => job.kind === 'stream' && job.stream === stream)
    const [job] = at < 0 ? [] : this.#queue.splice(at, 1)
    if (job === undefined || job.kind !== 'stream') return false
    if (!job.open) {
      job.done(refusal('BAD_REQUEST', `Stream ${stream} has a transaction open already.`))
      return true
    }
    this.#runStream(job)
    return true
  }

  #startStream(job: StreamJob): boolean {
    const { order } = this.#context
    if (job.open && job.begun === undefined) {
      this.#queue.shift()
      const timedOut = this.#timedOut.delete(job.stream)
      job.done(
        timedOut
          ? refusal('TRANSACTION_TIMEOUT', 'The transaction was not used for too long.')
          : refusal(
              'TRANSACTION_CLOSED',
              'The transaction is not open any more; it had no effect.',
            ),
      )
      return true
    }
    if (job.program === null) {
      this.#queue.shift()
      job.done(emptyReply(this.#context))
      return true
    }
    // What a transaction reads before it commits must be safe already: begin on committed ground.
    if (order.commit < order.last.index) return false
    this.#queue.shift()
    this.#runStream(job)
    return true
  }

  #runStream(job: StreamJob): void {
    const { order, ports } = this.#context
    if (job.program === null) {
      // Only an open stream's end comes here.
      this.#open = null
      ports.store.submit({ kind: 'streamEnd', stream: job.stream }, () => {})
      job.done(emptyReply(this.#context))
      return
    }
    const ticket = this.#begin()
    this.#round = job
    ports.store.submit(
      {
        kind: 'streamRun',
        ticket,
        term: order.term,
        at: ports.clock.now(),
        stream: job.stream,
        program: job.program,
        ...(job.begun === undefined ? {} : { resume: job.begun.paused }),
      },
      (reply) => {
        this.#round = null
        const { outcomes, open, error } = this.#end(ticket, reply)
        this.#streamRan(job, outcomes[0], open && !job.end, error)
        if (open && (job.end || order.role !== 'leader')) {
          this.#open = null
          ports.store.submit({ kind: 'streamEnd', stream: job.stream }, () => {})
        }
      },
    )
  }

  #streamRan(
    job: StreamJob,
    outcome: ProgramOutcome | undefined,
    open: boolean,
    error: ErrorData | null,
  ): void {
    const { stream, from } = job
    this.#open = open ? { stream, from, usedAt: this.#context.now() } : null
    if (error !== null) {
      this.#refuse(job, error)
      return
    }
    this.#settle(
      job,
      present(outcome, () => 'outcome of a stream round'),
      open,
    )
  }

  /** The store may add to the log from here on. */
  #begin(): number {
    const ticket = this.#context.order.nextTicket()
    this.#busy = true
    this.#context.step({ kind: 'executing', ticket })
    return ticket
  }

  #end(ticket: number, reply: StoreReply) {
    this.#busy = false
    const executed = reply.kind === 'executed' ? reply : null
    const entries = executed?.entries ?? []
    this.#context.step({ kind: 'executed', ticket, entries })
    assert(
      executed !== null || reply.kind === 'failed',
      () => `the store answered ${reply.kind} to an execution`,
    )
    return {
      entries,
      outcomes: executed?.outcomes ?? [],
      notRun: executed?.notRun ?? 0,
      open: executed?.open ?? false,
      error: reply.kind === 'failed' ? reply.error : null,
    }
  }

  // Answers

  #settle(job: Job, outcome: ProgramOutcome, open: boolean): void {
    const { order, writeIds } = this.#context
    const id = job.kind === 'program' ? job.program.id : undefined
    if (id !== undefined && outcome.index !== null) writeIds.note(id, outcome.index)
    if (outcome.paused !== undefined) {
      job.begun = { paused: outcome.paused, index: outcome.index ?? order.last.index }
      this.#requeue([job])
      return
    }
    this.#context.counters.writes += 1
    if (open) {
      // Inside a transaction that began on committed ground everything it sees is safe.
      const token = this.#context.token(order.commit)
      this.#answer(job, { kind: 'result', result: outcome.result, token, open })
      return
    }
    // Even an answer that changed nothing (an error, no row hit) depends on what it saw.
    const index = outcome.index ?? order.last.index
    const term = order.termAt(index)
    if (term === null) {
      this.#handBack(job)
      return
    }
    this.#finish(job, outcome.result, { index, term, changed: outcome.index !== null }, open)
  }

  #finish(
    job: Job,
    result: ProgramResult,
    at: { readonly index: LogIndex; readonly term: Term; readonly changed: boolean },
    open: boolean,
  ): void {
    const { index, term, changed } = at
    const cluster = this.#context.options.cluster
    hold(this.#context, index, term, job.ack, job.deadline, (fate) => {
      if (fate === 'safe') {
        this.#answer(job, { kind: 'result', result, token: { cluster, term, index }, open })
      } else if (fate === 'takenBack' && job.kind === 'program') {
        this.#handBack(job)
      } else if (fate === 'takenBack') {
        const detail = `Entry ${index} was taken back by a new leader.`
        this.#refuse(job, { code: 'TAKEN_BACK', detail })
      } else if (changed) {
        const detail = `Entry ${index} did not reach ack level ${job.ack} in time.`
        this.#answer(job, refusal('UNKNOWN_OUTCOME', detail, { position: index }))
      } else {
        this.#refuse(job, UNCONFIRMED)
      }
    })
  }
}

const LATE: ErrorData = {
  code: 'DEADLINE',
  detail: 'The writer did not get to the request in time.',
}
const UNCONFIRMED: ErrorData = {
  code: 'DEADLINE',
  detail: 'What the request saw was not confirmed in time.',
}

function emptyReply(context: Context): NodeReply {
  return {
    kind: 'result',
    result: { steps: [], autocommit: true },
    token: context.token(context.order.commit),
    open: false,
  }
}
