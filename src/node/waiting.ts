/**
 * Answers that may not leave before an entry has come far enough: writes at their ack level, and
 * reads that saw what no majority holds yet.
 */
import type { LogIndex, Term } from '../base/brand.ts'
import type { AckLevel, ZoneLevel } from '../model/request.ts'

/** What a group can give by itself; a number counts voters. */
export type HoldLevel = Exclude<AckLevel, 'quorum' | ZoneLevel | 'stable'>

/** What became of the entry that an answer waited for. */
export type Fate = 'safe' | 'takenBack' | 'unknown'

export interface Waiter {
  readonly index: LogIndex
  /** Term of the entry at index when the wait began: another one there means it was taken back. */
  readonly term: Term
  readonly ack: HoldLevel
  /** Monotonic ms. */
  readonly deadline: number
  readonly done: (fate: Fate) => void
}

/** What the waiting list must know of the log; LeaderOrder satisfies it. */
export interface LogProgress {
  readonly commit: LogIndex
  readonly durable: LogIndex
  termAt(index: LogIndex): Term | null
  ackedBy(index: LogIndex): number
  heldByAll(index: LogIndex): boolean
}

export class Waiting {
  /** In order of index, since the log only grows; a truncation removes the end. */
  #majority: Waiter[] = []
  #others: Waiter[] = []
  /**
   * Entries that were cut off here. That alone proves nothing: another replica may still hold them
   * and bring them back as leader. They are gone for good when another entry is committed there.
   */
  #cut: Waiter[] = []

  get size(): number {
    return this.#majority.length + this.#others.length + this.#cut.length
  }

  add(waiter: Waiter): void {
    if (waiter.ack === 'majority') this.#majority.push(waiter)
    else this.#others.push(waiter)
  }

  /** Answers everything that has come far enough. */
  check(log: LogProgress): void {
    let count = 0
    while (count < this.#majority.length) {
      const waiter = this.#majority[count]
      if (waiter === undefined || waiter.index > log.commit) break
      count += 1
    }
    if (count === 0 && this.#others.length === 0 && this.#cut.length === 0) return
    const reached = this.#majority.splice(0, count)
    if (this.#others.length > 0) {
      reached.push(...this.#others.filter((waiter) => farEnough(waiter, log)))
      this.#others = this.#others.filter((waiter) => !farEnough(waiter, log))
    }
    if (this.#cut.length > 0) {
      reached.push(...this.#cut.filter((waiter) => waiter.index <= log.commit))
      this.#cut = this.#cut.filter((waiter) => waiter.index > log.commit)
    }
    for (const waiter of reached) waiter.done(fateOf(waiter, log))
  }

  /** Everything above `to` was cut off the log. */
  truncate(to: LogIndex): void {
    if (this.size === 0) return
    const all = [...this.#majority, ...this.#others]
    this.#cut.push(...all.filter((waiter) => waiter.index > to))
    this.#majority = this.#majority.filter((waiter) => waiter.index <= to)
    this.#others = this.#others.filter((waiter) => waiter.index <= to)
  }

  expire(now: number): void {
    this.#settle((waiter) => waiter.deadline <= now, 'unknown')
  }

  /** The log was replaced by a snapshot: what it held of ours can't be told any more. */
  abandon(): void {
    this.#settle(() => true, 'unknown')
  }

  #settle(which: (waiter: Waiter) => boolean, fate: Fate): void {
    if (this.size === 0) return
    const all = [...this.#majority, ...this.#others, ...this.#cut]
    const settled = all.filter(which)
    if (settled.length === 0) return
    this.#majority = this.#majority.filter((waiter) => !which(waiter))
    this.#others = this.#others.filter((waiter) => !which(waiter))
    this.#cut = this.#cut.filter((waiter) => !which(waiter))
    for (const waiter of settled) waiter.done(fate)
  }
}

function fateOf(waiter: Waiter, log: LogProgress): Fate {
  const term = log.termAt(waiter.index)
  if (term === null) return 'unknown'
  return term === waiter.term ? 'safe' : 'takenBack'
}

/** `local` is one disk, a number so many voters, `all` every voter; the last two also committed. */
function farEnough(waiter: Waiter, log: LogProgress): boolean {
  switch (waiter.ack) {
    case 'local':
      return log.durable >= waiter.index
    case 'majority':
      return log.commit >= waiter.index
    case 'all':
      return log.commit >= waiter.index && log.heldByAll(waiter.index)
    default:
      return log.ackedBy(waiter.index) >= waiter.ack
  }
}
