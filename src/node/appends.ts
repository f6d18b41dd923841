/** Fills the appends that the core orders with their entries, from memory or else from the store. */
import type { LogIndex, NodeId } from '../base/brand.ts'
import { LIMITS } from '../base/limits.ts'
import type { AppendOrder } from '../core/order/leader/types.ts'
import type { Entry } from '../model/entry.ts'
import type { Context } from './context.ts'
import { EntryCache } from './entry-cache.ts'

const CACHE_BYTES = 8 * 1024 * 1024

export class Appends {
  readonly #context: Context
  readonly #cache = new EntryCache(CACHE_BYTES)

  constructor(context: Context) {
    this.#context = context
  }

  /** Entries are in the log, this node's own or its leader's. */
  logged(entries: readonly Entry[]): void {
    // Nobody is sent any: who comes later reads what is older from the store.
    if (this.#context.order.members.members.length > 1) this.#cache.add(entries)
  }

  truncate(to: LogIndex): void {
    this.#cache.truncate(to)
  }

  clear(): void {
    this.#cache.clear()
  }

  send(to: NodeId, order: AppendOrder): void {
    const { first, last, term, prev, commit, round } = order
    const { ports } = this.#context
    const send = (entries: readonly Entry[]): void => {
      const message = { kind: 'append', term, prev, entries, commit, round } as const
      ports.transport.send(to, message)
    }
    const bytesMax = LIMITS.appendBytesMax
    const cached = last < first ? [] : this.#cache.slice(first, last, bytesMax)
    if (cached !== null) {
      send(cached)
      return
    }
    ports.store.submit({ kind: 'read', from: first, to: last, bytesMax }, (reply) => {
      // Compacted or cut off meanwhile: the core finds out by the missing answer.
      if (reply.kind !== 'entries' || reply.entries[0]?.index !== first) return
      const { role, term: now } = this.#context.order
      if (role === 'leader' && now === term) send(reply.entries)
    })
  }
}
