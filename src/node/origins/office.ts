/**
 * What the leader of a group does for the whole cluster while its group keeps members, schema and
 * rules: begun when the cluster says so, ended when it says otherwise or the leadership goes.
 */
import type { ErrorData } from '../../base/errors.ts'
import type { Prng } from '../../base/prng.ts'
import type { Frontier } from '../../core/order/clock/frontier.ts'
import { decodeCluster } from '../../model/cluster-codec.ts'
import { isOtherSide, isSettled } from '../../model/cluster-order.ts'
import { fields, flag } from '../../model/fields.ts'
import type { Cluster } from '../../model/origin-entry.ts'
import type { AdminCommand, NodeReply } from '../../model/request.ts'
import type { OriginsState } from '../../store/types.ts'
import type { Context } from '../context.ts'
import { Barrier } from './barrier.ts'
import type { Exchanging } from './exchanging.ts'
import { toFrontier } from './held.ts'
import { type Answer, Keeper } from './keeper.ts'
import { ASK_MS, NEWS_MS } from './settings.ts'
import { heardOfRemoval, type Sight, takeOver } from './succession.ts'

interface OfficeNeeds {
  readonly context: Context
  readonly exchanging: Exchanging
  readonly prng: Prng
  state(): OriginsState
  nameOf(origin: string): string
  /** What this group holds, once it knows just that epoch; null: not yet. */
  atRest(epoch: number): Frontier | null
  /** Asks the leader of an origin's group. */
  ask(
    origin: string,
    command: AdminCommand,
    timeoutMs: number,
    done: (reply: NodeReply) => void,
  ): void
}

/** A take-over that nobody has been told about. */
interface Attempt {
  readonly deadline: number
  readonly done: Answer<Cluster>
}

export class Office {
  readonly #needs: OfficeNeeds
  #keeper: Keeper | null = null
  #barrier: Barrier | null = null
  #attempts: Attempt[] = []
  #newsAt = 0
  #isOver = false
  /** The version of the cluster that others have, and in which we are not. */
  #leftOutBy = 0
  readonly #split = new Set<string>()

  constructor(needs: OfficeNeeds) {
    this.#needs = needs
    this.look()
  }

  /** Null: another group keeps. */
  get keeper(): Keeper | null {
    return this.#keeper
  }

  /** Null also while the one before is not removed yet, from which this group took over. */
  get barrier(): Barrier | null {
    return this.#barrier
  }

  /** Others have a later version of the cluster, in which this group is not. */
  get isLeftOut(): boolean {
    return this.#leftOutBy > this.#needs.state().cluster.epoch
  }

  /** Origins that were removed here, and write on in a cluster in which this group was removed. */
  get splitFrom(): ReadonlySet<string> {
    return this.#split
  }

  /** Whether what adds to the schema may be run. */
  get mayAdd(): boolean {
    return this.#barrier?.isPaused === false
  }

  /** Looks what the cluster says now. */
  look(): void {
    const { cluster, self, applied } = this.#needs.state()
    if (cluster.keeper !== self) {
      this.#lay(MOVED)
      return
    }
    this.#keeper ??= this.#newKeeper()
    if (isSettled(cluster, applied)) this.#barrier ??= this.#newBarrier()
  }

  pump(): void {
    this.#barrier?.look()
  }

  tick(now: number): void {
    this.look()
    this.#barrier?.look()
    this.#keeper?.tick(now)
    this.#askForNews(now)
    const late = this.#attempts.filter(({ deadline }) => deadline <= now)
    if (late.length === 0) return
    const detail =
      'Taking over did not come to an end in time; `quorate groups` shows how far it is.'
    for (const attempt of late) this.#ended(attempt, { code: 'UNKNOWN_OUTCOME', detail })
  }

  /** Leadership is gone. */
  end(): void {
    this.#isOver = true
    this.#lay(null)
    const detail = 'The leader of the group has changed.'
    for (const attempt of [...this.#attempts]) {
      this.#ended(attempt, { code: 'UNKNOWN_OUTCOME', detail })
    }
  }

  /**
   * Takes over from a keeper that is gone, and removes it.
   *
   * @param alone though most groups can't be asked
   * @param deadline monotonic, ms
   */
  takeOver(alone: boolean, deadline: number, done: Answer<Cluster>): void {
    const { exchanging, state, nameOf, context } = this.#needs
    const attempt: Attempt = { deadline, done }
    this.#attempts.push(attempt)
    const from = state().cluster.keeper
    const askMs = Math.min(ASK_MS, (deadline - context.now()) / 2)
    const askAbout = (origin: string, about: string, told: (sight: Sight | null) => void): void => {
      this.#sees(origin, about, askMs, told)
    }
    takeOver({ exchanging, state, nameOf, ask: askAbout }, alone, (error) => {
      const { cluster, self } = state()
      if (error !== null) this.#ended(attempt, error)
      else if (from === self || this.#keeper === null) this.#ended(attempt, { value: cluster })
      else {
        context.emit('keeper.taken', 'warn', { from: nameOf(from) })
        this.#keeper.whenRemoved(from, deadline, (removed) => this.#ended(attempt, removed))
      }
    })
  }

  #sees(
    origin: string,
    about: string,
    timeoutMs: number,
    told: (sight: Sight | null) => void,
  ): void {
    const command = { kind: 'sees', origin: about } as const
    this.#needs.ask(origin, command, timeoutMs, (reply) => told(sightIn(reply)))
  }

  /**
   * While somebody is frozen here we take nothing of it, nor of whoever depends on it: they may have
   * removed us on the other side of a cut. So they may if what would tell us is in no log any more,
   * or if nobody knew of us who took over; and once we are removed, less of ours may count by now.
   */
  #askForNews(now: number): void {
    if (now < this.#newsAt) return
    this.#newsAt = now + NEWS_MS
    const { exchanging, state } = this.#needs
    const { cluster, self } = state()
    const isAnyFrozen = cluster.origins.some(({ standing }) => standing.kind === 'frozen')
    const { mayWrite } = exchanging.exchange
    const isIn = writes(cluster, self)
    for (const { origin, standing } of cluster.origins) {
      if (origin === self || !exchanging.isLinked(origin)) continue
      // Whom both sides of a cut have removed hears also from the one that does not count here.
      const isOut = standing.kind === 'removed' && isIn
      if (isOut) this.#lookForSplit(origin)
      if (isOut || (mayWrite && !isAnyFrozen)) continue
      this.#sees(origin, self, ASK_MS, (sight) => {
        if (sight !== null && !this.#isOver) this.#hear(sight)
      })
    }
  }

  /**
   * Two sides of a cut that each took the other for gone. Neither takes anything of the other, so it
   * does no harm, and nobody but a person can say which of them is to go on.
   */
  #lookForSplit(origin: string): void {
    const { context, state, nameOf } = this.#needs
    const { self } = state()
    this.#sees(origin, self, ASK_MS, (sight) => {
      if (sight === null || this.#isOver) return
      const isWriter = (of: string): boolean => writes(sight.cluster, of)
      const isSplit = isWriter(origin) && !isWriter(self) && writes(state().cluster, self)
      if (!isSplit) this.#split.delete(origin)
      else if (!this.#split.has(origin)) {
        this.#split.add(origin)
        context.emit('cluster.split', 'warn', { group: nameOf(origin) })
      }
    })
  }

  #hear(sight: Sight): void {
    const { exchanging, state } = this.#needs
    const { cluster, self } = state()
    if (isOtherSide(sight.cluster, cluster, self)) return
    heardOfRemoval({ exchanging, state }, sight)
    const { epoch, origins } = sight.cluster
    const isIn = origins.some(({ origin, standing }) => {
      return origin === self && standing.kind !== 'removed'
    })
    if (!isIn) this.#leftOutBy = Math.max(this.#leftOutBy, epoch)
  }

  #ended(attempt: Attempt, answer: Parameters<Answer<Cluster>>[0]): void {
    if (!this.#attempts.includes(attempt)) return
    this.#attempts = this.#attempts.filter((each) => each !== attempt)
    attempt.done(answer)
  }

  /** Lays it down. */
  #lay(error: ErrorData | null): void {
    this.#barrier?.end(error)
    this.#keeper?.end()
    this.#barrier = null
    this.#keeper = null
  }

  #newBarrier(): Barrier {
    const { context, exchanging, state } = this.#needs
    return new Barrier({
      exchanging,
      cluster: () => state().cluster,
      held: () => state().held,
      now: () => context.now(),
      emit: (facts) => context.emit('schema.barrier', 'info', facts),
    })
  }

  #newKeeper(): Keeper {
    const { context, exchanging, prng, state, atRest, ask } = this.#needs
    return new Keeper({
      exchanging,
      prng,
      state,
      barrier: () => this.#barrier,
      atRest,
      askAtRest: (origin, epoch, done) => {
        ask(origin, { kind: 'atRest', epoch }, ASK_MS, (reply) => {
          done(reply.kind === 'admin' ? toFrontier(reply.value) : null)
        })
      },
      emit: (name, facts) => context.emit(name, 'info', facts),
    })
  }
}

const MOVED: ErrorData = {
  code: 'SCHEMA_CHANGE_PENDING',
  detail: 'Another group has begun to order changes of schema and rules.',
}

function writes({ origins }: Cluster, self: string): boolean {
  return origins.some(({ origin, standing }) => origin === self && standing.kind === 'writes')
}

/** What another machine told; null: it is not that. */
function sightIn(reply: NodeReply): Sight | null {
  if (reply.kind !== 'admin') return null
  try {
    const { cluster, linked } = fields(reply.value, 'sight')
    return { cluster: decodeCluster(cluster), linked: flag(linked, 'linked') }
  } catch {
    return null
  }
}
