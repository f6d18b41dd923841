/** The transactions of an origin's entry as merging knows them: numbered, each with what it had seen. */
import type { LogIndex } from '../../base/brand.ts'
import type { Frontier } from '../../core/order/clock/frontier.ts'
import type { Origin } from '../../core/order/clock/stamp.ts'
import type { Entry } from '../../model/entry.ts'
import { decodeOwn } from '../../model/entry-codec.ts'
import { decodeMergeOperations, decodeOriginOperations } from '../../model/origin-codec.ts'
import {
  type OriginEntry,
  type OriginOperation,
  TRANSACTIONS_MAX,
} from '../../model/origin-entry.ts'
import type { Transaction } from '../merge/merge-tables.ts'

/** The number of the last transaction that an entry can have. */
export function lastNumberOf(sequence: number): number {
  return sequence * TRANSACTIONS_MAX + TRANSACTIONS_MAX - 1
}

/** The entry that a transaction is of. */
export function entryOf(number: number): number {
  return Math.floor(number / TRANSACTIONS_MAX)
}

/** Entries of origins as numbers of transactions. */
export function numbersOf(entries: Frontier): Frontier {
  return new Map([...entries].map(([origin, sequence]) => [origin, lastNumberOf(sequence)]))
}

/** Makes an entry's operations that are transactions into these, in their order. */
export class Numbering {
  readonly #origin: Origin
  readonly #seen: Frontier
  readonly #at: LogIndex | undefined
  #next: number

  /** @param at where the group's log has the entry; null: nowhere */
  constructor(
    { origin, sequence, dependencies }: Omit<OriginEntry, 'body'>,
    at: LogIndex | null = null,
  ) {
    this.#origin = origin
    this.#at = at ?? undefined
    this.#seen = numbersOf(dependencies)
    this.#next = sequence * TRANSACTIONS_MAX
  }

  next({ time, changes }: Extract<OriginOperation, { kind: 'transaction' }>): Transaction {
    const sequence = this.#next
    this.#next += 1
    const stamp = { time, origin: this.#origin }
    return { stamp, sequence, seen: this.#seen, changes, at: this.#at }
  }
}

/**
 * @param at where the group's log has the entry; null: nowhere
 * @throws QuorateError LOG_CORRUPT
 */
export function transactionsOf(
  entry: OriginEntry,
  at: LogIndex | null = null,
): readonly Transaction[] {
  const numbering = new Numbering(entry, at)
  const transactions: Transaction[] = []
  for (const operation of decodeOriginOperations(entry.body)) {
    if (operation.kind === 'transaction') transactions.push(numbering.next(operation))
  }
  return transactions
}

/**
 * What entries of a group's log brought into the data, in their order, each with where the log has it. An
 * entry that was kept before these began is left out.
 *
 * Throws LOG_CORRUPT.
 */
export function* broughtBy(
  log: Iterable<Entry>,
): Generator<{ readonly entry: OriginEntry; readonly at: LogIndex }> {
  const kept = new Map<string, { readonly entry: OriginEntry; readonly at: LogIndex }>()
  const nameOf = (origin: Origin, sequence: number): string => `${sequence} ${origin}`
  for (const { kind, index, body } of log) {
    const own = kind === 'data' || kind === 'schema' ? decodeOwn(body) : null
    if (own !== null) yield { entry: own, at: index }
    for (const operation of kind === 'merge' ? decodeMergeOperations(body) : []) {
      if (operation.kind === 'take') {
        const { entry, apply } = operation
        if (apply) yield { entry, at: index }
        else kept.set(nameOf(entry.origin, entry.sequence), { entry, at: index })
      } else if (operation.kind === 'apply') {
        const found = kept.get(nameOf(operation.origin, operation.sequence))
        if (found !== undefined) yield found
      }
    }
  }
}
