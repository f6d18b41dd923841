/** Collects what one step wants done, and hands it over as one `Effects`. */
import type { LogIndex, NodeId } from '../../../base/brand.ts'
import type { ErrorCode } from '../../../base/errors.ts'
import type { Entry } from '../../../model/entry.ts'
import type { Effects, HardState, Outgoing, Ticket } from './types.ts'

type Item<K extends 'send' | 'propose' | 'reads' | 'replies'> = Effects[K][number]

/** What `step` finds out by comparing the state before and after. */
type Moved = Pick<Effects, 'commit' | 'changed'> & { readonly hardState: HardState | null }

export class Outbox {
  #ticket: Ticket | null = null
  #truncate: LogIndex | null = null
  #append: readonly Entry[] = []
  #send: Item<'send'>[] = []
  #propose: Item<'propose'>[] = []
  #snapshotTo: NodeId[] = []
  #reads: Item<'reads'>[] = []
  #replies: Item<'replies'>[] = []

  /** At most one write to the log in a step: a cut, an append, or both under one ticket. */
  write(ticket: Ticket, truncate: LogIndex | null, append: readonly Entry[]): void {
    this.#ticket = ticket
    this.#truncate = truncate
    this.#append = append
  }

  send(to: NodeId, message: Outgoing): void {
    this.#send.push({ to, message })
  }

  propose(proposal: Item<'propose'>): void {
    this.#propose.push(proposal)
  }

  snapshotTo(peer: NodeId): void {
    this.#snapshotTo.push(peer)
  }

  read(id: number, index: LogIndex | null): void {
    this.#reads.push({ id, index })
  }

  done(id: number | null): void {
    if (id !== null) this.#replies.push({ id, error: null })
  }

  /** @param detail one sentence that ends with a full stop */
  failed(id: number | null, code: ErrorCode, detail: string): void {
    if (id !== null) this.#replies.push({ id, error: { code, detail } })
  }

  take(moved: Moved): Effects {
    const effects: Effects = {
      ...moved,
      ticket: this.#ticket,
      truncate: this.#truncate,
      append: this.#append,
      send: this.#send,
      propose: this.#propose,
      snapshotTo: this.#snapshotTo,
      reads: this.#reads,
      replies: this.#replies,
    }
    this.#ticket = null
    this.#truncate = null
    this.#append = []
    this.#send = []
    this.#propose = []
    this.#snapshotTo = []
    this.#reads = []
    this.#replies = []
    return effects
  }
}
