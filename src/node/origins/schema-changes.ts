/**
 * Programs that want to change the schema in a way that may not happen here and now. Away from the
 * keeper they are handed on to it; there they wait until nobody else writes.
 */
import { assert } from '../../base/assert.ts'
import type { EntryId, HandedOn } from '../../model/entry.ts'
import type { Job, ProgramJob } from '../jobs.ts'
import { HandingOn, type HandingOnNeeds } from './handing-on.ts'

type ChangesNeeds = Omit<HandingOnNeeds, 'keep'>

export class SchemaChanges {
  readonly #needs: ChangesNeeds
  readonly #handingOn: HandingOn
  #jobs: Job[] = []
  /** How far the other groups are with stopping. */
  #barrier: 'none' | 'asked' | { readonly done: () => void } = 'none'

  constructor(needs: ChangesNeeds) {
    this.#needs = needs
    this.#handingOn = new HandingOn({ ...needs, keep: (job) => this.start(job) })
  }

  get size(): number {
    return this.#jobs.length
  }

  /** Nobody writes now but for what waits here. */
  get isOpen(): boolean {
    return typeof this.#barrier === 'object'
  }

  /** Takes a job that has not run, or not to its end. */
  start(job: Job): void {
    const { context, refuse } = this.#needs
    const { origins } = context
    if (origins === null || origins.isKeeper) {
      job.needsBarrier = true
      this.#jobs.push(job)
      this.#ask()
    } else if (job.program === null || job.begun !== undefined) {
      const detail = 'Part of a program changes the schema, which goes through another group.'
      refuse(job, { code: 'SQL_REFUSED', detail })
    } else {
      this.#handingOn.start({ job, program: job.program, origins })
    }
  }

  /** Takes a job whose program was handed on already, as the entry at an index says. */
  startAgain(job: ProgramJob, handedOn: HandedOn, at: EntryId): void {
    const { origins } = this.#needs.context
    assert(origins !== null, () => `entry ${at.index} hands a write on, and there is one leader`)
    this.#handingOn.again(job, origins, handedOn, at)
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
