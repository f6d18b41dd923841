/**
 * The newest entries of the log in memory, so that followers that keep up are served without
 * touching the disk. Older ones come from the store.
 */
import { assert } from '../base/assert.ts'
import type { LogIndex } from '../base/brand.ts'
import type { Entry } from '../model/entry.ts'

export class EntryCache {
  readonly #bytesMax: number
  #entries: Entry[] = []
  #bytes = 0

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax
  }

  /** Adds entries that follow the last one here; anything else clears what was here first. */
  add(entries: readonly Entry[]): void {
    for (const entry of entries) {
      const last = this.#entries.at(-1)
      if (last !== undefined && entry.index !== last.index + 1) this.clear()
      this.#entries.push(entry)
      this.#bytes += entry.body.byteLength
    }
    this.#trim()
  }

  /** Forgets everything above `to`. */
  truncate(to: LogIndex): void {
    while (this.#entries.length > 0 && (this.#entries.at(-1)?.index ?? 0) > to) {
      this.#bytes -= this.#entries.pop()?.body.byteLength ?? 0
    }
  }

  clear(): void {
    this.#entries = []
    this.#bytes = 0
  }

  /**
   * The entries first..last, cut off at bytesMax (but at least one); null if the first is not here.
   */
  slice(first: LogIndex, last: LogIndex, bytesMax: number): readonly Entry[] | null {
    const start = this.#entries[0]
    if (start === undefined || first < start.index) return null
    const from = first - start.index
    if (from >= this.#entries.length) return null
    const found: Entry[] = []
    let bytes = 0
    for (let i = from; i < this.#entries.length; i += 1) {
      const entry = this.#entries[i]
      if (entry === undefined || entry.index > last) break
      bytes += entry.body.byteLength
      if (found.length > 0 && bytes > bytesMax) break
      found.push(entry)
    }
    assert(found[0]?.index === first, () => `cache gave ${found[0]?.index} for ${first}`)
    return found
  }

  #trim(): void {
    if (this.#bytes <= this.#bytesMax) return
    let drop = 0
    // Half is kept, so that the array is rebuilt seldom.
    while (this.#bytes > this.#bytesMax / 2 && drop < this.#entries.length - 1) {
      this.#bytes -= this.#entries[drop]?.body.byteLength ?? 0
      drop += 1
    }
    this.#entries = this.#entries.slice(drop)
  }
}
