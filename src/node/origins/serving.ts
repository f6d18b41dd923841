/**
 * Gives peers the entries that the exchange orders for them: from memory while they are new, else
 * from the store. Both give them in the order of the log, which is a causal one.
 */
import type { EntriesOrder } from '../../core/order/clock/exchange/types.ts'
import { holds } from '../../core/order/clock/frontier.ts'
import type { OriginEntry } from '../../model/origin-entry.ts'
import type { StoreCommand, StoreReply } from '../../store/types.ts'

interface ServingNeeds {
  submit(command: StoreCommand, done: (reply: StoreReply) => void): void
}

/** The latest entries that are committed here, in the order in which they were. */
class RecentEntries {
  readonly #bytesMax: number
  #entries: OriginEntry[] = []
  #bytes = 0
  /** By origin: the first sequence number that is here; all after it are as well. */
  #first = new Map<string, number>()

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax
  }

  add(entries: readonly OriginEntry[]): void {
    for (const entry of entries) {
      this.#entries.push(entry)
      this.#bytes += entry.body.byteLength + 100
      if (!this.#first.has(entry.origin)) this.#first.set(entry.origin, entry.sequence)
    }
    if (this.#bytes > this.#bytesMax) this.#halve()
  }

  /** What an order asks for, within its limits; null if not all of it is here. */
  slice({ ranges, bytesMax, entriesMax }: EntriesOrder): readonly OriginEntry[] | null {
    const wanted = new Map<string, { readonly first: number; readonly last: number }>()
    for (const { origin, first, last } of ranges) {
      // Pushes may name several stretches of one origin: rare enough to leave to the store.
      if (wanted.has(origin)) return null
      const start = this.#first.get(origin)
      if (start === undefined || first < start) return null
      wanted.set(origin, { first, last })
    }
    const found: OriginEntry[] = []
    let bytes = 0
    for (let at = this.#start(wanted); at < this.#entries.length; at += 1) {
      const entry = this.#entries[at]
      if (entry === undefined) break
      const range = wanted.get(entry.origin)
      if (range === undefined || entry.sequence < range.first) continue
      if (entry.sequence > range.last) continue
      bytes += entry.body.byteLength
      if (found.length > 0 && (bytes > bytesMax || found.length >= entriesMax)) break
      found.push(entry)
    }
    return found
  }

  /** Where to begin looking: asking for the newest is the rule, and the list is long. */
  #start(wanted: ReadonlyMap<string, { readonly first: number }>): number {
    const before = new Map([...wanted].map(([origin, { first }]) => [origin, first]))
    let left = before.size
    let at = this.#entries.length
    while (at > 0 && left > 0) {
      at -= 1
      const entry = this.#entries[at]
      const first = entry === undefined ? undefined : before.get(entry.origin)
      if (entry !== undefined && first === entry.sequence) left -= 1
    }
    return at
  }

  #halve(): void {
    let drop = 0
    while (this.#bytes > this.#bytesMax / 2 && drop < this.#entries.length - 1) {
      this.#bytes -= (this.#entries[drop]?.body.byteLength ?? 0) + 100
      drop += 1
    }
    this.#entries = this.#entries.slice(drop)
    this.#first = new Map()
    for (const { origin, sequence } of this.#entries) {
      if (!this.#first.has(origin)) this.#first.set(origin, sequence)
    }
  }
}

export class Serving {
  readonly #needs: ServingNeeds
  readonly #recent: RecentEntries

  constructor(needs: ServingNeeds, bytesMax: number) {
    this.#needs = needs
    this.#recent = new RecentEntries(bytesMax)
  }

  /** Entries that may be handed on from now. */
  add(entries: readonly OriginEntry[]): void {
    this.#recent.add(entries)
  }

  /** @param done with the entries; null: the log does not have them any more */
  get(order: EntriesOrder, done: (entries: readonly OriginEntry[] | null) => void): void {
    const { ranges, bytesMax, entriesMax, held } = order
    if (ranges.length === 0) {
      done([])
      return
    }
    const recent = this.#recent.slice(order)
    if (recent !== null) {
      done(recent)
      return
    }
    this.#needs.submit({ kind: 'readOrigins', ranges, bytesMax, entriesMax }, (reply) => {
      const entries = reply.kind === 'originEntries' ? reply.entries : null
      // The store has applied what is not committed yet; nobody else may have it.
      done(entries?.filter(({ origin, sequence }) => holds(held, origin, sequence)) ?? null)
    })
  }
}
