/** The transactions of an origin's entry as merging knows them: numbered, each with what it had seen. */
import type { Frontier } from '../../core/order/clock/frontier.ts'
import type { Origin } from '../../core/order/clock/stamp.ts'
import { decodeOriginOperations } from '../../model/origin-codec.ts'
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

/** Entries of origins as numbers of transactions. */
export function numbersOf(entries: Frontier): Frontier {
  return new Map([...entries].map(([origin, sequence]) => [origin, lastNumberOf(sequence)]))
}

/** Makes an entry's operations that are transactions into these, in their order. */
export class Numbering {
  readonly #origin: Origin
  readonly #seen: Frontier
  #next: number

  constructor({ origin, sequence, dependencies }: Omit<OriginEntry, 'body'>) {
    this.#origin = origin
    this.#seen = numbersOf(dependencies)
    this.#next = sequence * TRANSACTIONS_MAX
  }

  next({ time, changes }: Extract<OriginOperation, { kind: 'transaction' }>): Transaction {
    const sequence = this.#next
    this.#next += 1
    return { stamp: { time, origin: this.#origin }, sequence, seen: this.#seen, changes }
  }
}

/** Throws LOG_CORRUPT. */
export function transactionsOf(entry: OriginEntry): readonly Transaction[] {
  const numbering = new Numbering(entry)
  return decodeOriginOperations(entry.body).flatMap((operation) =>
    operation.kind === 'transaction' ? [numbering.next(operation)] : [],
  )
}
