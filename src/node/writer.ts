/**
 * What goes to the store while this node leads: batches of programs, the core's own proposals and
 * one interactive transaction at a time, in the order in which they came.
 *
 * One command is under way at a time. While it runs, everything that arrives gathers for the next
 * batch; while its flush and its peers are waited for, the next batch runs already.
 */
import { assert, present } from '../base/assert.ts'
import type { NodeId, Term } from '../base/brand.ts'
import type { ErrorData } from '../base/errors.ts'
import { LIMITS } from '../base/limits.ts'
import type { NodeReply } from '../model/request.ts'
import type { Making, Originating, ProgramOutcome, StoreReply } from '../store/types.ts'
import { BatchTiming, LINGER_MS } from './batch-timing.ts'
import type { Context } from './context.ts'
import { refusal } from './context.ts'
import type { Job, ProgramJob, StreamJob } from './jobs.ts'
import { isBeyondGroup, unavailableAck, unsupportedAck } from './origins/levels.ts'
import { SchemaChanges } from './origins/schema-changes.ts'
import {
  type CoreProposal,
  commandOf,
  type MergeProposal,
  type OwnProposal,
  Proposals,
  type Proposing,
} from './proposals.ts'
import { WriteAnswers } from './write-answers.ts'

export class Writer implements Proposing {
  readonly #context: Context
  #queue: Job[] = []
  readonly #proposals = new Proposals()
  readonly #answers: WriteAnswers
  #busy = false
  readonly #timing = new BatchTiming()
  /** The last entry of the last batch. */
  #batchAt = 0
  /** A call back is due that looks at the queue again. */
  #lingering = false
  /** The stream whose transaction holds the writer, and when it was last used. */
  #open: { readonly stream: string; readonly from: NodeId | null; usedAt: number } | null = null
  /** The round of a stream that is at the store. */
  #round: StreamJob | null = null
  /** Streams whose transaction was rolled back for idleness: their next round is told so. */
  readonly #timedOut = new Set<string>()
  /** A snapshot is being pinned at the last entry; nothing may be added before it is. */
  #pinning = false
  /** With several origins: those who change the schema. */
  readonly #changes: SchemaChanges

  constructor(context: Context) {
    this.#context = context
    this.#answers = new WriteAnswers(context, (job, handedOn, at) => {
      this.#changes.startAgain(job, handedOn, at)
    })
    this.#changes = new SchemaChanges({
      context,
      log: (term, body, made) => this.propose('data', term, body, made),
      answer: (job, reply) => this.#answers.answer(job, reply),
      refuse: (job, error) => this.#answers.refuse(job, error),
      handBack: (job) => this.#answers.handBack(job),
    })
  }

  get queued(): number {
    return this.#queue.length + this.#changes.size
  }

  /** When a batch of writes last started, or was seen under way, monotonic ms. */
  get activeAt(): number {
    return this.#timing.activeAt
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
    const unsupported = unsupportedAck(this.#context, job.ack)
    if (unsupported !== null) {
      job.done({ kind: 'error', error: unsupported })
      return
    }
    if (job.kind === 'program' && job.program.id !== undefined && !this.#answers.admit(job)) return
    // Only what has not begun: of an open transaction more was said already.
    const isNew =
      job.begun === undefined && job.program !== null && !(job.kind === 'stream' && job.open)
    const unavailable = isNew ? unavailableAck(this.#context, job.ack) : null
    if (unavailable === null) this.#queue.push(job)
    else this.#answers.answer(job, { kind: 'error', error: unavailable })
  }

  /** Has an entry without SQL effect made; `made` gets its index, or null if leadership went. */
  propose(
    kind: CoreProposal['kind'],
    term: Term,
    body: Uint8Array,
    made: CoreProposal['made'] = () => {},
  ): void {
    this.#proposals.add({ kind, term, body, made })
  }

  /** Has an entry of our own origin made; it is applied when it is committed. */
  originate(proposal: OwnProposal): void {
    this.#proposals.add({ kind: 'originate', ...proposal })
  }

  /** Has what others wrote logged; it is applied when it is committed. */
  merge(proposal: MergeProposal): void {
    this.#proposals.add({ kind: 'merge', ...proposal })
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
    if (!this.#busy) this.#changes.endIfDone()
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
    const isNever = (job: Job): boolean => isTheirs(job) && job.begun === undefined
    const never = [...this.#changes.remove(isNever), ...this.#queue.filter(isNever)]
    this.#queue = this.#queue.filter((job) => !isNever(job))
    for (const job of never) this.#answers.handBack(job)
    for (const job of [this.#round, ...this.#changes.find(isTheirs), ...this.#queue]) {
      if (job?.kind === 'stream' && job.from === peer) job.end = true
    }
    if (this.#open?.from === peer && this.#round === null) this.endStream()
  }

  /** Rolls back what was interactive, hands back what never ran. */
  leadershipLost(): void {
    this.endStream()
    this.#proposals.drop()
    this.#pinning = false
    const jobs = [...this.#changes.drop(), ...this.#queue]
    this.#queue = []
    for (const job of jobs) this.#answers.handBack(job)
  }

  /** Ends what has waited or idled too long. */
  expire(now: number): void {
    // A group that was removed will never write again.
    const isOver = this.#context.origins?.isRemoved === true
    const isLate = (job: Job): boolean => isOver || job.deadline <= now
    const late = [...this.#changes.remove(isLate), ...this.#queue.filter(isLate)]
    if (late.length > 0) {
      this.#queue = this.#queue.filter((job) => !isLate(job))
      const error = this.#context.origins?.whyNotRun ?? LATE
      for (const job of late) this.#answers.refuse(job, error)
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

  // Execution

  /** True: something was done and more may be possible. */
  #startNext(): boolean {
    const { order } = this.#context
    if (order.role !== 'leader') return false
    if (this.#open === null && this.#startProposal()) return true
    const isTime = this.#isTime()
    if (this.queued === 0 || this.#pinning) return false
    if (!order.mayExecute || order.applied !== order.last.index) return false
    if (this.#open !== null) return this.#startOpenStream(this.#open.stream)
    if (this.#changes.isOpen) return this.#startChanging()
    if (this.#queue.length === 0 || this.#context.origins?.mayRun === false) return false
    const head = present(this.#queue[0], () => 'head of the queue')
    if (head.kind === 'stream') return this.#startStream(head)
    return isTime && this.#startBatch()
  }

  /** Whether a batch is to start now, rather than with more in it a moment later. */
  #isTime(): boolean {
    const { order, ports } = this.#context
    const underWay =
      order.commit >= order.last.index ? null : order.commit < this.#batchAt ? 'batch' : 'other'
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

  #startProposal(): boolean {
    const { order, ports } = this.#context
    const proposal = this.#pinning ? null : this.#proposals.take(order)
    if (proposal === null) return false
    if (proposal.term !== order.term) {
      proposal.made(null, null)
      return true
    }
    const making = this.#begin()
    ports.store.submit(commandOf(proposal, making), (reply) => {
      const { entries, error } = this.#end(making.ticket, reply)
      // What others wrote can't be left out, and what they sent was checked.
      if (error !== null && proposal.kind === 'merge') this.#context.giveUp('merge', error)
      proposal.made(entries[0]?.index ?? null, error)
    })
    return true
  }

  #startBatch(): boolean {
    const jobs: ProgramJob[] = []
    for (const job of this.#queue) {
      if (job.kind !== 'program' || jobs.length >= LIMITS.batchTransactionsMax) break
      jobs.push(job)
      // What goes on goes alone; it is always at the head.
      if (job.begun !== undefined) break
    }
    this.#queue.splice(0, jobs.length)
    this.#runBatch(jobs)
    return true
  }

  #runBatch(jobs: readonly ProgramJob[]): void {
    const { ports } = this.#context
    const resume = jobs[0]?.begun?.paused
    this.#timing.started(jobs.length, this.#context.now())
    const making = this.#begin()
    const command = {
      kind: 'execute',
      ...making,
      programs: jobs.map((job) => job.program),
      ...(resume === undefined ? {} : { resume }),
      ...this.#originating(jobs),
    } as const
    ports.store.submit(command, (reply) => {
      const { entries, outcomes, notRun, error, wants } = this.#end(making.ticket, reply)
      this.#batchAt = entries.at(-1)?.index ?? this.#batchAt
      if (error !== null) {
        for (const job of jobs) this.#answers.refuse(job, error)
      } else {
        const ran = jobs.length - notRun
        assert(outcomes.length === ran, () => `${outcomes.length} outcomes for ${ran} programs`)
        this.#requeue(jobs.slice(wants === undefined ? ran : ran + 1))
        const changing = wants === undefined ? undefined : jobs[ran]
        if (changing !== undefined) this.#startChange(changing)
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
  }

  /** What did not run goes back to the head, or to the new leader. */
  #requeue(jobs: readonly Job[]): void {
    if (this.#context.order.role !== 'leader') {
      for (const job of jobs) this.#answers.handBack(job)
      return
    }
    this.#queue.unshift(...jobs.filter((job) => job.needsBarrier !== true))
    for (const job of jobs) if (job.needsBarrier === true) this.#changes.putBack(job)
  }

  /** A job did not run: it wants to change the schema in a way that may not happen here and now. */
  #startChange(job: Job): void {
    if (this.#context.order.role === 'leader') this.#changes.start(job)
    else this.#answers.handBack(job)
  }

  /** Runs the next change of the schema while nobody else writes. */
  #startChanging(): boolean {
    const job = this.#changes.next()
    if (job === null) return false
    if (job.kind === 'program') this.#runBatch([job])
    else this.#runStream(job)
    return true
  }

  #originating(jobs: readonly Job[]): { readonly originating?: Originating } {
    const { origins } = this.#context
    if (origins === null) return {}
    const isUrgent = jobs.some(({ ack }) => isBeyondGroup(ack))
    const schema = jobs[0]?.needsBarrier === true ? 'any' : origins.schema
    return { originating: { answer: isUrgent ? 'now' : 'soon', schema } }
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
    const making = this.#begin()
    this.#round = job
    ports.store.submit(
      {
        kind: 'streamRun',
        ...making,
        stream: job.stream,
        program: job.program,
        ...(job.begun === undefined ? {} : { resume: job.begun.paused }),
        ...this.#originating([job]),
      },
      (reply) => {
        this.#round = null
        const { outcomes, open, error, wants } = this.#end(making.ticket, reply)
        if (wants === undefined) this.#streamRan(job, outcomes[0], open && !job.end, error)
        else this.#streamWants(job, open)
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
      this.#answers.refuse(job, error)
      return
    }
    this.#settle(
      job,
      present(outcome, () => 'outcome of a stream round'),
      open,
    )
  }

  /** A round wants to change the schema in a way that may not happen here and now. */
  #streamWants(job: StreamJob, open: boolean): void {
    const { stream, from } = job
    this.#open = open && !job.end ? { stream, from, usedAt: this.#context.now() } : null
    if (!open) {
      this.#startChange(job)
      return
    }
    const detail =
      'An open transaction wants to change the schema, which waits for other groups: ' +
      'send it as one program, outside of an interactive transaction.'
    this.#answers.refuse(job, { code: 'SQL_REFUSED', detail })
  }

  /** The store may add to the log from here on. */
  #begin(): Making {
    const { order, ports } = this.#context
    const ticket = order.nextTicket()
    this.#busy = true
    this.#context.step({ kind: 'executing', ticket })
    const alone = order.members.members.length === 1
    return { ticket, term: order.term, at: ports.clock.now(), alone }
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
      wants: executed?.wants,
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
      this.#answers.answer(job, { kind: 'result', result: outcome.result, token, open })
      return
    }
    // Even an answer that changed nothing (an error, no row hit) depends on what it saw.
    const index = outcome.index ?? order.last.index
    const term = order.termAt(index)
    if (term === null) {
      this.#answers.handBack(job)
      return
    }
    this.#answers.finish(
      job,
      outcome.result,
      { index, term, changed: outcome.index !== null },
      open,
    )
  }
}

const LATE: ErrorData = {
  code: 'DEADLINE',
  detail: 'The writer did not get to the request in time.',
}

function emptyReply(context: Context): NodeReply {
  return {
    kind: 'result',
    result: { steps: [], autocommit: true },
    token: context.token(context.order.commit),
    open: false,
  }
}
