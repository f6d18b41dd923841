/** Acknowledgement and read levels that other groups have a say in, at the leader of a group. */
import { assert } from '../../base/assert.ts'
import type { LogIndex } from '../../base/brand.ts'
import type { ErrorData } from '../../base/errors.ts'
import { LIMITS } from '../../base/limits.ts'
import type { EntryHead } from '../../core/order/clock/exchange/types.ts'
import { areMet, type Quorum, type Reach } from '../../core/order/clock/quorums.ts'
import type { ClockTime } from '../../core/order/clock/stamp.ts'
import { isOfGroups } from '../../model/levels.ts'
import type { AckLevel, ReadLevel } from '../../model/request.ts'
import type { Context } from '../context.ts'
import type { HoldLevel } from '../waiting.ts'
import type { Confirm, Exchanging } from './exchanging.ts'
import type { Origins } from './origins.ts'
import type { WaitEnd } from './waits.ts'

/** Whether a level is more than the writer's own group can give. */
export function isBeyondGroup(ack: AckLevel): ack is Reach | 'stable' {
  return ack !== 'local' && ack !== 'majority'
}

/** What a level asks of the writer's own group. */
export function withinGroup(ack: AckLevel): HoldLevel {
  return ack === 'local' || ack === 'all' ? ack : 'majority'
}

/** A level that a group can give by itself. */
export function toHoldLevel(ack: AckLevel): HoldLevel {
  assert(!isOfGroups(ack), () => `level ${ack} with one leader`)
  return ack
}

/** Why a write can't be acknowledged at a level in this cluster at all; null: it can. */
export function unsupportedAck({ origins }: Context, ack: AckLevel): ErrorData | null {
  if (origins === null && isOfGroups(ack)) return needsGroups(ack)
  if (origins === null) return needsVoters(ack)
  return typeof ack === 'number' ? needsMoreGroups(origins, ack) : null
}

/**
 * The same for reads.
 *
 * @param isWhole it is one program, read at one moment
 */
export function unsupportedRead(
  { origins }: Context,
  level: ReadLevel,
  isWhole: boolean,
): ErrorData | null {
  if (origins === null) {
    return isOfGroups(level) || typeof level === 'number' ? needsGroups(level) : null
  }
  if (level === 'strong' && !isWhole) {
    const detail =
      'With several groups a read transaction can not be strong: read at strong in one request, ' +
      'or begin the transaction at quorum or session.'
    return { code: 'LEVEL_UNSUPPORTED', detail }
  }
  return typeof level === 'number' ? needsMoreGroups(origins, level) : null
}

function needsGroups(level: string | number): ErrorData {
  const detail =
    `Level ${level} is of clusters with several groups, and this one has one leader: ` +
    'write at majority or all, read at session or strong.'
  return { code: 'LEVEL_UNSUPPORTED', detail }
}

function needsVoters(ack: AckLevel): ErrorData | null {
  if (typeof ack !== 'number' || ack <= LIMITS.votersMax) return null
  const detail = `Level ${ack} asks for ${ack} voters, and there are at most ${LIMITS.votersMax}.`
  return { code: 'LEVEL_UNSUPPORTED', detail }
}

function needsMoreGroups({ state }: Origins, wanted: number): ErrorData | null {
  const groups = state.cluster.origins.filter(({ standing }) => standing.kind === 'writes')
  if (wanted <= groups.length) return null
  const detail = `Level ${wanted} asks for ${wanted} groups, and the cluster has ${groups.length}.`
  return { code: 'LEVEL_UNSUPPORTED', detail }
}

/** Why a write can't be acknowledged at a level now, before it is run; null: as far as is known, it can. */
export function unavailableAck({ origins }: Context, ack: AckLevel): ErrorData | null {
  return isBeyondGroup(ack) ? (origins?.leading?.levels.unavailable(ack) ?? null) : null
}

/**
 * Out of reach for so long, a group is taken for lost, ms: longer than it takes to elect a leader
 * while its nodes are up.
 */
const LOST_MS = 1_500
/** The same for one that was never in reach: it may be about to start, as this node did. */
const NEVER_MET_MS = 10_000

interface LevelsNeeds {
  readonly exchanging: Exchanging
  readonly confirm: Confirm
  commit(): LogIndex
  now(): number
  nameOf(origin: string): string
}

/** Where a read at a level finds what it must show. */
export interface Consulted {
  /** The data must show all through this entry of the group's log. */
  readonly index: LogIndex
  /** It must show nothing but what is final through the time of a mark of ours; null: anything. */
  readonly stable: Stable | null
}

/** A mark of our own whose place is final. */
export interface Stable {
  readonly through: ClockTime
  /** Where it is logged. */
  readonly since: LogIndex
}

/** A read that waits for a mark of our own. */
interface StrongRead {
  readonly deadline: number
  readonly done: (answer: Consulted | ErrorData) => void
}

export class Levels {
  readonly #needs: LevelsNeeds
  /** Reads that came while a mark was on its way get the next one: it must be made after them. */
  #strong: StrongRead[] = []
  /** Those whose mark is made when the data has what was committed when they came. */
  #catchingUp: readonly StrongRead[] = []
  #marking = false
  /**
   * When each group that ever was in reach was so last. Of those that never were nothing is known:
   * entries may go through others to whoever is far away.
   */
  readonly #met = new Map<string, number>()
  /** Since when each of the others is known to be a group. */
  readonly #known = new Map<string, number>()

  constructor(needs: LevelsNeeds) {
    this.#needs = needs
  }

  /** Why no write can be acknowledged at a level of several groups now; null: as far as is known, it can. */
  unavailable(ack: Reach | 'stable'): ErrorData | null {
    const lost = this.#lost
    const { exchange } = this.#needs.exchanging
    const isThere = (origin: string): boolean => {
      return ![origin, ...exchange.unawareOf(origin)].some((each) => lost.includes(each))
    }
    const missing = ack === 'stable' ? lost : this.#missing(ack, isThere)
    if (missing.length === 0) return null
    const named = `Groups that ack level ${ack} needs are out of reach`
    return { code: 'ACK_UNAVAILABLE', detail: `${this.#told(named, missing)}.` }
  }

  /** Sentences about who is missing, the last one without its stop. */
  #told(what: string, missing: readonly string[]): string {
    const { exchanging, nameOf } = this.#needs
    const names = (origins: readonly string[]): string => origins.map(nameOf).join(', ')
    const unaware = (origin: string): readonly string[] => exchanging.exchange.unawareOf(origin)
    const known = missing.filter((origin) => unaware(origin).length === 0)
    const unknown = missing.filter((origin) => unaware(origin).length > 0)
    return [
      ...(known.length === 0 ? [] : [`${what}: ${names(known)}`]),
      ...unknown.map((origin) => {
        return `Group ${nameOf(origin)} does not count before it is known to ${names(unaware(origin))}`
      }),
    ].join('. ')
  }

  /** Who was in reach and has not been for a while, as far as is known. */
  get #lost(): readonly string[] {
    const { exchanging, now } = this.#needs
    const { inReach } = exchanging.exchange
    const isOut = (since: number | undefined, ms: number): boolean => {
      return since !== undefined && now() - since >= ms
    }
    return this.#promising.filter((origin) => {
      if (inReach.has(origin)) return false
      if (isOut(this.#met.get(origin), LOST_MS)) return true
      // Whoever reaches nobody reaches nobody through others either.
      return inReach.size === 1 && isOut(this.#known.get(origin), NEVER_MET_MS)
    })
  }

  /** What a level asks of the groups there are now. */
  #quorums(reach: Reach): readonly Quorum[] {
    return this.#needs.exchanging.exchange.quorums(reach)
  }

  /**
   * Waits until an own entry, which the group has committed, has come as far as a level asks.
   *
   * @param done with null, or what is missing
   */
  acked(
    head: EntryHead,
    ack: AckLevel,
    deadline: number,
    done: (missing: string | null) => void,
  ): void {
    assert(isBeyondGroup(ack), () => `ack ${ack} is the group's own affair`)
    const { exchanging } = this.#needs
    if (ack === 'stable') {
      const { time } = head
      exchanging.wait({ kind: 'stable', time }, deadline, (end) => {
        done(end === 'reached' ? null : this.#why(end, this.#silent(time)))
      })
      return
    }
    const { sequence } = head
    exchanging.wait({ kind: 'copies', sequence, copies: ack }, deadline, (end) => {
      done(end === 'reached' ? null : this.#why(end, this.#lacking(sequence, ack)))
    })
  }

  /**
   * Waits until the data here shows what a read at a level must.
   *
   * @param done with where that is
   */
  consult(level: ReadLevel, deadline: number, done: (answer: Consulted | ErrorData) => void): void {
    if (level === 'strong') {
      this.#strong.push({ deadline, done })
      this.#mark()
      return
    }
    const { exchanging, confirm } = this.#needs
    const consulted = level === 'local' || level === 'session' ? 1 : level
    exchanging.wait({ kind: 'read', consulted }, deadline, (end) => {
      // The group's own part is only as good as this node's leadership.
      if (end !== 'reached') {
        done(unavailable(this.#why(end, this.#notConsulted(consulted))))
        return
      }
      confirm(deadline, (index) => {
        const detail = 'No majority of the group confirmed its leader in time'
        done(index === null ? unavailable(detail) : { index, stable: null })
      })
    })
  }

  /** Leadership is gone. */
  end(): void {
    const reads = [...this.#catchingUp, ...this.#strong]
    this.#catchingUp = []
    this.#strong = []
    for (const { done } of reads) done(unavailable('The leader of the group has changed'))
  }

  expire(now: number): void {
    for (const origin of this.#needs.exchanging.exchange.inReach) this.#met.set(origin, now)
    for (const origin of this.#promising) {
      if (!this.#known.has(origin)) this.#known.set(origin, now)
    }
    const late = this.#strong.filter(({ deadline }) => deadline <= now)
    if (late.length === 0) return
    this.#strong = this.#strong.filter(({ deadline }) => deadline > now)
    for (const { done } of late) done(unavailable('The leader could not make a mark in time'))
  }

  /**
   * Everything that was acknowledged at `stable` is earlier than a mark made now. What a session has
   * seen at another node of the group is so when it is in the data here.
   */
  #mark(): void {
    if (this.#marking || this.#strong.length === 0) return
    this.#marking = true
    this.#catchingUp = this.#strong
    this.#strong = []
    const { exchanging, commit } = this.#needs
    exchanging.whenSafe(commit(), () => {
      const reads = this.#catchingUp
      this.#catchingUp = []
      this.#markFor(reads)
    })
  }

  #markFor(reads: readonly StrongRead[]): void {
    const { exchanging, commit } = this.#needs
    exchanging.originate([], 'now', (made) => {
      this.#marking = false
      for (const { deadline, done } of reads) {
        if (made === null) done(unavailable('The leader of the group has changed'))
        else if ('code' in made) done(made)
        else {
          const { time } = made.head
          const stable = { through: time, since: made.index }
          exchanging.wait({ kind: 'stable', time }, deadline, (end) => {
            if (end === 'reached') done({ index: commit(), stable })
            else done(unavailable(this.#why(end, this.#silent(time))))
          })
        }
      }
      this.#mark()
    })
  }

  #why(end: WaitEnd, missing: readonly string[]): string {
    if (end === 'gone') return 'The leader of the group has changed'
    if (missing.length === 0) return 'It took too long'
    return this.#told('Groups that did not answer in time', missing)
  }

  /** Who can't be asked; while anybody is being removed, what its copies were counted for is not known. */
  #notConsulted(reach: Reach): readonly string[] {
    const { exchanging } = this.#needs
    const frozen = [...exchanging.exchange.members.origins].filter(([, { kind }]) => {
      return kind === 'frozen'
    })
    const isAsked = (origin: string): boolean => {
      if (origin === exchanging.self) return true
      return exchanging.isLinked(origin) && exchanging.exchange.unawareOf(origin).length === 0
    }
    return [...frozen.map(([origin]) => origin), ...this.#missing(reach, isAsked)]
  }

  #lacking(sequence: number, reach: Reach): readonly string[] {
    const { exchange } = this.#needs.exchanging
    return this.#missing(reach, (origin) => exchange.isCopied(sequence, origin))
  }

  /** Who does not do what a level asks for, where too few do. */
  #missing(reach: Reach, does: (origin: string) => boolean): readonly string[] {
    const unmet = this.#quorums(reach).filter((quorum) => !areMet([quorum], does))
    return unmet.flatMap(({ of }) => of.filter((origin) => !does(origin)))
  }

  /** Who has not promised to write nothing before a time any more. */
  #silent(time: number): readonly string[] {
    const { latest } = this.#needs.exchanging.reports
    return this.#promising.filter((origin) => (latest.get(origin)?.time ?? 0) < time)
  }

  /** Without whom nothing becomes final. */
  get #promising(): readonly string[] {
    const { origins } = this.#needs.exchanging.exchange.members
    return [...origins].filter(([, { kind }]) => kind !== 'removed').map(([origin]) => origin)
  }
}

/** A read that can't be given at its level. */
export function unavailable(what: string): ErrorData {
  return { code: 'READ_LEVEL_UNAVAILABLE', detail: `${what}.` }
}
