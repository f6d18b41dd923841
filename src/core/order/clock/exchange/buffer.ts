/**
 * Entries that arrived before something they depend on. Bounded: what finds no room is dropped and
 * asked for again, so a flood costs traffic, never memory.
 */
import { present } from '../../../../base/assert.ts'
import type { Origin } from '../stamp.ts'
import type { ExchangeEntry } from './types.ts'

/** An entry, and the peer that it came from. */
export interface Arrival {
  readonly entry: ExchangeEntry
  readonly via: Origin
}

export class CausalBuffer {
  readonly #bytesMax: number
  readonly #entriesMax: number
  readonly #byOrigin = new Map<Origin, Map<number, Arrival>>()
  #bytes = 0
  #size = 0

  constructor(bytesMax: number, entriesMax: number) {
    this.#bytesMax = bytesMax
    this.#entriesMax = entriesMax
  }

  get bytes(): number {
    return this.#bytes
  }

  get size(): number {
    return this.#size
  }

  get origins(): Iterable<Origin> {
    return this.#byOrigin.keys()
  }

  get(origin: Origin, sequence: number): Arrival | null {
    return this.#byOrigin.get(origin)?.get(sequence) ?? null
  }

  /** @returns whether it is news and there is room; one entry always finds it, however large */
  add(arrival: Arrival): boolean {
    const { origin, sequence, bytes } = arrival.entry
    if (this.get(origin, sequence) !== null || this.#size >= this.#entriesMax) return false
    if (this.#size > 0 && this.#bytes + bytes > this.#bytesMax) return false
    const list = this.#byOrigin.get(origin) ?? new Map<number, Arrival>()
    this.#byOrigin.set(origin, list.set(sequence, arrival))
    this.#bytes += bytes
    this.#size += 1
    return true
  }

  remove(origin: Origin, sequence: number): void {
    const list = this.#byOrigin.get(origin)
    const arrival = list?.get(sequence)
    if (list === undefined || arrival === undefined) return
    list.delete(sequence)
    if (list.size === 0) this.#byOrigin.delete(origin)
    this.#bytes -= arrival.entry.bytes
    this.#size -= 1
  }

  /** Drops what of an origin is at or below `through`, or above `last`. */
  trim(origin: Origin, through: number, last: number): void {
    for (const sequence of [...(this.#byOrigin.get(origin)?.keys() ?? [])]) {
      if (sequence <= through || sequence > last) this.remove(origin, sequence)
    }
  }

  /** The lowest of an origin. */
  first(origin: Origin): Arrival | null {
    const list = this.#byOrigin.get(origin)
    if (list === undefined) return null
    const lowest = [...list.keys()].reduce((a, b) => Math.min(a, b))
    return present(list.get(lowest), () => `${origin} ${lowest}`)
  }

  /** The first run of an origin's entries from `from` through `last` that is not in here. */
  gap(origin: Origin, from: number, last: number): { first: number; last: number } | null {
    const list = this.#byOrigin.get(origin)
    if (list === undefined) return from <= last ? { first: from, last } : null
    let first = from
    while (list.has(first)) first += 1
    if (first > last) return null
    let end = last
    for (const sequence of list.keys()) if (sequence > first) end = Math.min(end, sequence - 1)
    return { first, last: end }
  }
}
