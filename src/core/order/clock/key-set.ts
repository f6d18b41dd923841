/** A set of keys, eight bytes each: healing after a long cut looks millions of them up. */
import { assert } from '../../../base/assert.ts'

/** A whole number from 0, at most 2^53 - 1; the hash of what two transactions can meet at. */
export type Key = number

/**
 * A key is whatever two transactions can meet at: a row, a value of a unique index, the row that a
 * foreign key points to. One that is only `needed` may be needed by others as well. Keys that
 * coincide though they stand for different things cost work, nothing else.
 */
export interface Footprint {
  readonly written: readonly Key[]
  readonly needed: readonly Key[]
}

const SLOTS_MIN = 64

export class KeySet {
  #slots = new Float64Array(SLOTS_MIN).fill(-1)
  #size = 0

  add(key: Key): void {
    assert(key >= 0 && Number.isSafeInteger(key), () => `not a key: ${key}`)
    if (this.#size * 2 >= this.#slots.length) this.#grow()
    const at = this.#find(key)
    if (this.#slots[at] === key) return
    this.#slots[at] = key
    this.#size += 1
  }

  has(key: Key): boolean {
    return this.#slots[this.#find(key)] === key
  }

  hasAny(keys: readonly Key[]): boolean {
    for (const key of keys) if (this.has(key)) return true
    return false
  }

  addAll(keys: readonly Key[]): void {
    for (const key of keys) this.add(key)
  }

  /** Where the key is, or would be. There is always a free slot. */
  #find(key: Key): number {
    const mask = this.#slots.length - 1
    // Keys are hashes already; their low bits are as good as any.
    let at = (key % 2 ** 32) & mask
    for (;;) {
      const there = this.#slots[at]
      if (there === key || there === -1) return at
      at = (at + 1) & mask
    }
  }

  #grow(): void {
    const old = this.#slots
    this.#slots = new Float64Array(old.length * 2).fill(-1)
    for (const key of old) if (key !== -1) this.#slots[this.#find(key)] = key
  }
}
