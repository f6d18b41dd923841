/**
 * Strong reads among several groups. They show what is stable through the time t of a mark that was
 * made after they began, and nothing that is later: the store takes that back for the length of the
 * read.
 *
 * So they and writes acknowledged at `stable` are linearizable, in the order of times, each read
 * right after everything up to its t. Once t is stable no group writes at or before t any more. A
 * write that was acknowledged before the read began had a stable time, so the mark's is later and the
 * read shows it. What begins after the read ends, a write or another read's mark, gets a time later
 * than t, at whatever group: the write is not shown, and the other read shows at least as much. A
 * write that nobody acknowledged is at its time as well, or nowhere: what one read shows, all later
 * ones show, and what one does not show that is before its t will never be.
 *
 * Nothing of this asks who leads: what is stable is committed, and the same at every replica for
 * ever. If the store has forgotten what is up to a later time, that time is stable as well and it
 * shows that.
 */
import { assert } from '../../base/assert.ts'
import type { ErrorData } from '../../base/errors.ts'
import type { Program } from '../../model/program.ts'
import type { StoreReply } from '../../store/types.ts'
import type { Context } from '../context.ts'
import type { Stable } from './levels.ts'

export type StableAnswer =
  | Extract<StoreReply, { readonly kind: 'stableRead' }>['read']
  | { readonly kind: 'failed'; readonly error: ErrorData }

interface Waiting {
  readonly program: Program
  readonly stable: Stable
  /** Monotonic, ms. */
  readonly deadline: number
  readonly done: (answer: StableAnswer) => void
}

export class StableReads {
  readonly #context: Context
  /** The store belongs to an interactive transaction, or may in a moment. */
  readonly #isTaken: () => boolean
  #waiting: Waiting[] = []

  constructor(context: Context, isTaken: () => boolean) {
    this.#context = context
    this.#isTaken = isTaken
  }

  /** @param timeoutMs how long it may wait for the store */
  read(
    program: Program,
    stable: Stable,
    timeoutMs: number,
    done: (answer: StableAnswer) => void,
  ): void {
    this.#waiting.push({ program, stable, deadline: this.#context.now() + timeoutMs, done })
  }

  /** Gives the store what waits, unless somebody has a transaction open there. */
  pump(): void {
    if (this.#waiting.length === 0 || this.#isTaken()) return
    const ready = this.#waiting
    this.#waiting = []
    for (const { program, stable, done } of ready) {
      const { store } = this.#context.ports
      store.submit({ kind: 'readStable', program, ...stable }, (reply) => {
        assert(
          reply.kind === 'stableRead' || reply.kind === 'failed',
          () => `the store answered ${reply.kind} to readStable`,
        )
        done(reply.kind === 'failed' ? reply : reply.read)
      })
    }
  }

  tick(now: number): void {
    const late = this.#waiting.filter(({ deadline }) => deadline <= now)
    if (late.length === 0) return
    this.#waiting = this.#waiting.filter(({ deadline }) => deadline > now)
    const detail = 'A transaction that is open on this node kept the strong read waiting too long.'
    const error = { code: 'READ_LEVEL_UNAVAILABLE', detail } as const
    for (const { done } of late) done({ kind: 'failed', error })
  }
}
