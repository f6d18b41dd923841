/**
 * Which entries of the log are durable here, when an index may be written, cut off and written
 * again while the first write is still on its way to the disk (the ABA race of asynchronous
 * storage). Tickets order the writes; a cut caps what earlier tickets can prove.
 */
import { assert } from '../../../base/assert.ts'
import type { LogIndex } from '../../../base/brand.ts'
import { higher, lower } from './positions.ts'
import type { Ticket } from './types.ts'

interface Write {
  readonly ticket: Ticket
  /** Once the ticket is flushed, the log as it is now is durable through here. */
  readonly last: LogIndex
}

export class Durability {
  #drawn: Ticket = 0
  #flushed: Ticket = 0
  #durable: LogIndex
  #writes: Write[] = []

  /** @param durable what the store opened with: it flushes before it answers for the first time */
  constructor(durable: LogIndex) {
    this.#durable = durable
  }

  /** Highest index whose entry, as the log has it now, is durable. */
  get durable(): LogIndex {
    return this.#durable
  }

  draw(): Ticket {
    this.#drawn += 1
    return this.#drawn
  }

  /** The log ends at `last` once the write under `ticket` is done. */
  wrote(ticket: Ticket, last: LogIndex): void {
    const before = this.#writes.at(-1)?.ticket ?? 0
    assert(ticket > before, () => `L11: write under ticket ${ticket} after ${before}`)
    assert(ticket <= this.#drawn, () => `L11: ticket ${ticket} was never drawn`)
    this.#writes.push({ ticket, last })
    this.#collect()
  }

  truncated(to: LogIndex): void {
    this.#durable = lower(this.#durable, to)
    this.#writes = this.#writes.map(({ ticket, last }) => ({ ticket, last: lower(last, to) }))
  }

  /** Everything under tickets through this one is durable. @returns whether `durable` moved */
  flushed(ticket: Ticket): boolean {
    if (ticket > this.#flushed) this.#flushed = ticket
    return this.#collect()
  }

  /** The file was replaced by a durable one that ends at `last`. */
  replaced(last: LogIndex): void {
    this.#durable = last
    this.#writes = []
  }

  #collect(): boolean {
    const before = this.#durable
    let head = this.#writes[0]
    while (head !== undefined && head.ticket <= this.#flushed) {
      this.#durable = higher(this.#durable, head.last)
      this.#writes.shift()
      head = this.#writes[0]
    }
    return this.#durable > before
  }
}
