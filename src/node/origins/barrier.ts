/**
 * The barrier of the keeper: nobody makes transactions while the schema or the rules change in a way
 * that could contradict them. `hold` goes to all; when each has answered it has stopped, and all it
 * made before is here. Then those who asked for it do their work, and `release` ends it.
 */
import type { ErrorData } from '../../base/errors.ts'
import type { Cluster } from '../../model/origin-entry.ts'
import type { Exchanging, Made } from './exchanging.ts'
import { BARRIER_MS } from './settings.ts'

/** Somebody who needs everyone else to be still. */
export interface BarrierUser {
  /** Go on; `done` is to be called, once. */
  readonly open: (done: () => void) => void
  readonly failed: (error: ErrorData) => void
}

interface BarrierNeeds {
  readonly exchanging: Exchanging
  cluster(): Cluster
  held(): boolean
  now(): number
  emit(facts: Readonly<Record<string, string | number | boolean>>): void
}

type State =
  | { readonly kind: 'idle' }
  /** `hold` is on its way into the log. */
  | { readonly kind: 'holding' }
  | { readonly kind: 'waiting'; readonly sequence: number; readonly since: number }
  | { readonly kind: 'open' }
  | { readonly kind: 'releasing' }

export class Barrier {
  readonly #needs: BarrierNeeds
  #state: State = { kind: 'idle' }
  #users: BarrierUser[] = []
  #working = 0
  #paused = false

  constructor(needs: BarrierNeeds) {
    this.#needs = needs
  }

  get isOpen(): boolean {
    return this.#state.kind === 'open'
  }

  /** Nobody asks for it, and what it did is over. */
  get isIdle(): boolean {
    return this.#state.kind === 'idle' && this.#users.length === 0 && !this.#needs.held()
  }

  /** Groups that are waited for. */
  get missing(): readonly string[] {
    return this.#state.kind === 'waiting' ? this.#missing(this.#state.sequence) : []
  }

  get isPaused(): boolean {
    return this.#paused
  }

  /** Whether those who ask for it have to wait: the keeper is about to change. */
  pause(paused: boolean): void {
    this.#paused = paused
    this.look()
  }

  request(user: BarrierUser): void {
    this.#users.push(user)
    this.look()
  }

  /** Does what may be done now. */
  look(): void {
    const state = this.#state
    if (this.#paused) return
    if (state.kind === 'idle') {
      if (this.#users.length > 0) this.#hold()
      // A leader before this one began it, and nobody else would end it.
      else if (this.#needs.held()) this.#release()
    } else if (state.kind === 'waiting') this.#wait(state.sequence, state.since)
  }

  /** This node does not lead the keeper any more. @param error for those who wait, if any */
  end(error: ErrorData | null): void {
    if (error !== null) this.#fail(error)
    this.#users = []
    this.#state = { kind: 'releasing' }
  }

  #hold(): void {
    this.#state = { kind: 'holding' }
    this.#needs.emit({ state: 'closing' })
    this.#originate('hold', (sequence) => {
      this.#state = { kind: 'waiting', sequence, since: this.#needs.now() }
      this.look()
    })
  }

  #wait(sequence: number, since: number): void {
    const missing = this.#missing(sequence)
    if (missing.length === 0) this.#open()
    else if (this.#needs.now() - since >= BARRIER_MS) {
      const detail = `Not every group stopped writing in time: ${missing.join(', ')} did not answer.`
      this.#fail({ code: 'SCHEMA_CHANGE_PENDING', detail })
      this.#release()
    }
  }

  /** Groups that are not known to have stopped. */
  #missing(sequence: number): readonly string[] {
    const { exchanging } = this.#needs
    const { keeper, origins } = this.#needs.cluster()
    const { applied } = exchanging.reports
    const hasAnswered = (origin: string): boolean => {
      return (applied.get(origin)?.dependencies.get(keeper) ?? 0) >= sequence
    }
    return origins
      .filter(({ origin, standing }) => {
        if (origin === keeper) return false
        if (standing.kind === 'removed') {
          // What counts of it must be in the data as well.
          return (exchanging.exchange.applied.get(origin) ?? 0) < standing.last
        }
        return standing.kind === 'frozen' || !hasAnswered(origin)
      })
      .map(({ name }) => name)
  }

  #open(): void {
    this.#state = { kind: 'open' }
    this.#needs.emit({ state: 'open' })
    const users = this.#users
    this.#users = []
    this.#working = users.length
    for (const user of users) {
      let isDone = false
      user.open(() => {
        if (isDone) return
        isDone = true
        this.#working -= 1
        if (this.#working === 0 && this.#state.kind === 'open') this.#release()
      })
    }
  }

  #release(): void {
    this.#state = { kind: 'releasing' }
    this.#originate('release', () => {
      this.#needs.emit({ state: 'released' })
      this.#state = { kind: 'idle' }
      this.look()
    })
  }

  /** Makes an entry, and goes on when it is applied here. */
  #originate(kind: 'hold' | 'release', then: (sequence: number) => void): void {
    const { exchanging } = this.#needs
    exchanging.originate([{ kind }], 'now', (made: Made) => {
      if (made === null) return
      if ('code' in made) {
        this.#state = { kind: 'idle' }
        this.#fail(made)
      } else exchanging.whenSafe(made.index, () => then(made.head.sequence))
    })
  }

  #fail(error: ErrorData): void {
    const users = this.#users
    this.#users = []
    for (const { failed } of users) failed(error)
  }
}
