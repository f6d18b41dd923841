/** What every simulated world is: virtual time, one seed for all, a record, and events one by one. */
import { assert } from '../base/assert.ts'
import { Schedule } from './schedule.ts'
import { Trace } from './trace.ts'

/** How long a healed world may take for each thing that is then demanded of it. */
const PROGRESS_US = 60_000_000

export interface LifeOptions {
  /** Where the world's files go; removed at its end. */
  readonly directory: string
  /** Gets every line of the trace. */
  readonly print?: (line: string) => void
}

export interface Outcome {
  readonly digest: string
  readonly virtualUs: number
  readonly steps: number
  readonly counts: Readonly<Record<string, number>>
}

export abstract class Life {
  readonly schedule = new Schedule()
  readonly #directory: string
  readonly #trace: Trace
  readonly #later: (() => void)[] = []
  #steps = 0

  constructor({ directory, print }: LifeOptions) {
    this.#directory = directory
    this.#trace = new Trace(print ?? null)
  }

  /** A look at everything, after each event. */
  protected abstract observe(): void
  protected abstract describe(): string

  note(who: string, what: string): void {
    // Where the files are differs from run to run.
    this.#trace.add(this.schedule.now, who, what.replaceAll(this.#directory, ''))
  }

  /** Goes on until a virtual time, or until `done`. Tells which of the two it was. */
  until(us: number, done: () => boolean): boolean {
    while (this.schedule.now < us) {
      if (done()) return true
      this.step()
    }
    return done()
  }

  /** One event, and a look at everything after it. */
  step(): void {
    this.#steps += 1
    this.schedule.step()
    this.observe()
    for (const check of this.#later.splice(0)) check()
  }

  /** Checks once the event under way is over and looked at. */
  protected afterwards(check: () => void): void {
    this.#later.push(check)
  }

  /** P: a healed world gets something done in bounded time. */
  protected soon(what: string, done: () => boolean, us = PROGRESS_US): void {
    const by = this.schedule.now + us
    assert(this.until(by, done), () => `P: ${what} takes too long; ${this.describe()}`)
  }

  protected outcome(counts: Readonly<Record<string, number>>): Outcome {
    return {
      digest: this.#trace.digest,
      virtualUs: this.schedule.now,
      steps: this.#steps,
      counts,
    }
  }
}
