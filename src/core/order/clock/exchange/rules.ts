/**
 * The rules that safety hangs on, one function each. They are passed in so that a test can break
 * one on purpose and show that its checkers would notice; nothing else may replace them.
 */
import { covers, type Frontier } from '../frontier.ts'
import type { ClockTime } from '../stamp.ts'
import type { EntryHead, Standing } from './types.ts'

export interface Rules {
  /** Whether an entry may be taken while `handed` has been. */
  readonly causal: (handed: Frontier, head: EntryHead) => boolean
  /** Whether nothing of an origin is final without its promise; `held`: what is here of it. */
  readonly promises: (standing: Standing, held: number) => boolean
  /** Whether one whose last entry was made in `epoch` knows of a member that joined at `since`. */
  readonly knowsUs: (epoch: number, since: number) => boolean
  /** Whether one that knows of an epoch counts by the zones as they are since then. */
  readonly knowsZones: (epoch: number, since: number) => boolean
  /** Whether an entry of another epoch may be taken. */
  readonly mayTake: (epoch: number, own: number) => boolean
  /** What a replica says that it holds. */
  readonly tells: (durable: Frontier, handed: Frontier) => Frontier
  /** Whether enough members hold an entry. */
  readonly copied: (count: number, wanted: number) => boolean
  /** Whether enough members have been consulted for a read. */
  readonly consulted: (count: number, wanted: number) => boolean
  /** Through what time the order is final, by the promises and by what still waits for its time. */
  readonly final: (promised: ClockTime, waiting: readonly ClockTime[]) => ClockTime
  /** The last entry of an origin that may be taken; `handed`: what was. */
  readonly limit: (standing: Standing | null, handed: number) => number
}

export const RULES: Rules = {
  causal: (handed, { dependencies }) => covers(handed, dependencies),
  promises: (standing, held) => standing.kind !== 'removed' || held < standing.last,
  knowsUs: (epoch, since) => epoch >= since,
  knowsZones: (epoch, since) => epoch >= since,
  // Stability counts members, so whoever counts fewer than the writer did must not look at it yet.
  mayTake: (epoch, own) => epoch <= own,
  // What a crash can undo must not be counted as a copy.
  tells: (durable) => durable,
  copied: (count, wanted) => count >= wanted,
  consulted: (count, wanted) => count >= wanted,
  final: (promised, waiting) =>
    waiting.reduce((least, time) => Math.min(least, time - 1), promised),
  limit: (standing, handed) => {
    if (standing === null || standing.kind === 'frozen') return handed
    return standing.kind === 'removed' ? standing.last : Number.POSITIVE_INFINITY
  },
}
