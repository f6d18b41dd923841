/**
 * Programs that want to change the schema in a way that may not happen here and now. Away from the
 * keeper they are handed on to it; there they wait until nobody else writes.
 */
import type { ErrorData } from '../../base/errors.ts'
import type { WriteId } from '../../model/program.ts'
import type { NodeReply } from '../../model/request.ts'
import type { Context } from '../context.ts'
import type { Job } from '../jobs.ts'
import { keyOf } from '../write-ids.ts'

interface ChangesNeeds {
  readonly context: Context
  readonly answer: (job: Job, reply: NodeReply) => void
  readonly refuse: (job: Job, error: ErrorData) => void
}

export class SchemaChanges {
  readonly #needs: ChangesNeeds
  readonly #handedOn = new HandedOn()
  #jobs: Job[] = []
  /** How far the other groups are with stopping. */
  #barrier: 'none' | 'asked' | { readonly done: () => void } = 'none'

  constructor(needs: ChangesNeeds) {
    this.#needs = needs
  }

  get size(): number {
    return this.#jobs.length
  }

  /** Nobody writes now but for what waits here. */
  get isOpen(): boolean {
    return typeof this.#barrier === 'object'
  }

  /** What the keeper answered to an earlier attempt; null: it was not asked, as far as is known here. */
  answerOf({ program }: Job): NodeReply | null {
    return this.#handedOn.get(program?.id)
  }

  /** Takes a job that has not run, or not to its end. */
  start(job: Job): void {
    const { context, answer, refuse } = this.#needs
    const { origins } = context
    if (origins === null || origins.isKeeper) {
      job.needsBarrier = true
      this.#jobs.push(job)
      this.#ask()
    } else if (job.program === null || job.begun !== undefined) {
      const detail = 'Part of a program changes the schema, which goes through another group.'
      refuse(job, { code: 'SQL_REFUSED', detail })
    } else {
      const { program, ack, deadline } = job
      origins.asking.changeSchema(program, ack, deadline, (reply) => {
        if (reply === null) {
          this.start(job)
          return
        }
        this.#handedOn.note(program.id, reply)
        answer(job, reply)
      })
    }
  }

  /** One has to go on later. */
  putBack(job: Job): void {
    this.#jobs.unshift(job)
  }

  next(): Job | null {
    return this.#jobs.shift() ?? null
  }

  /** Takes out those of which it is true. */
  remove(which: (job: Job) => boolean): readonly Job[] {
    if (this.#jobs.length === 0) return this.#jobs
    const removed = this.#jobs.filter(which)
    this.#jobs = this.#jobs.filter((job) => !which(job))
    return removed
  }

  /** Those of which it is true, which stay. */
  find(which: (job: Job) => boolean): readonly Job[] {
    return this.#jobs.filter(which)
  }

  /** After the last one the others may go on. */
  endIfDone(): void {
    // After a take-over there is no barrier for a while.
    if (this.#jobs.length > 0) this.#ask()
    if (typeof this.#barrier !== 'object' || this.#jobs.length > 0) return
    const { done } = this.#barrier
    this.#barrier = 'none'
    done()
  }

  /** Leadership is gone. @returns what waited */
  drop(): readonly Job[] {
    this.#barrier = 'none'
    return this.#jobs.splice(0)
  }

  #ask(): void {
    const barrier = this.#needs.context.origins?.leading?.office.barrier ?? null
    if (this.#barrier !== 'none' || barrier === null) return
    this.#barrier = 'asked'
    barrier.request({
      open: (done) => {
        this.#barrier = { done }
      },
      failed: (error) => {
        this.#barrier = 'none'
        for (const job of this.#jobs.splice(0)) this.#needs.refuse(job, error)
      },
    })
  }
}

/** So many answers of the keeper are remembered. */
const HANDED_ON_MAX = 1_000

/**
 * What became of programs that were handed on to the keeper: its log does not know their ids, so a
 * retry must find here that they may have run. Known to this leader only: the next one would hand
 * a retry on once more.
 */
class HandedOn {
  readonly #replies = new Map<string, NodeReply>()

  get(id: WriteId | undefined): NodeReply | null {
    // Every write comes by, and hardly any cluster hands anything on.
    if (id === undefined || this.#replies.size === 0) return null
    return this.#replies.get(keyOf(id)) ?? null
  }

  /** Notes what has run, or may have. */
  note(id: WriteId | undefined, reply: NodeReply): void {
    if (id === undefined) return
    if (reply.kind === 'error' && reply.error.code !== 'UNKNOWN_OUTCOME') return
    this.#replies.set(keyOf(id), reply)
    for (const oldest of this.#replies.keys()) {
      if (this.#replies.size <= HANDED_ON_MAX) return
      this.#replies.delete(oldest)
    }
  }
}
