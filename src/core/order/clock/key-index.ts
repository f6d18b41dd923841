/**
 * Which transactions have a key, and when: what healing asks a million times. All in flat arrays, about
 * 24 bytes a key and 20 a transaction, since a million transactions may be waiting for their place.
 */
import { doubled } from '../../../base/flat-arrays.ts'
import { type Frontier, holds } from './frontier.ts'
import type { Footprint, Key } from './key-set.ts'
import { type ClockTime, compareStamps, type Origin, type Stamp } from './stamp.ts'

const ROOM_MIN = 256
const NONE = -1
/** Of a guess. */
const STEPS_MAX = 32
/** Tells buckets of needed keys from those of written ones. */
const NEEDED = 0x9e3779b9 | 0

/** A place in the index; of two, either may be the later one. */
export type Indexed = number

export class KeyIndex {
  // Transactions
  #times = new Float64Array(ROOM_MIN)
  #numbers = new Float64Array(ROOM_MIN)
  #writers = new Int32Array(ROOM_MIN)
  #transactions = 0
  readonly #origins: Origin[] = []
  readonly #places = new Map<Origin, number>()
  // Keys of them: each belongs to a bucket, a chain.
  #keys = new Float64Array(ROOM_MIN)
  /** A transaction, doubled; odd: the key is needed, not written. */
  #owners = new Int32Array(ROOM_MIN)
  #next = new Int32Array(ROOM_MIN)
  #size = 0
  #buckets = new Int32Array(ROOM_MIN).fill(NONE)

  /** How many keys of transactions are in it. */
  get size(): number {
    return this.#size
  }

  stampOf(at: Indexed): Stamp {
    return { time: this.#times[at] ?? 0, origin: this.#origins[this.#writers[at] ?? 0] ?? '' }
  }

  /** Below zero: `a` is earlier. */
  compare(a: Indexed, b: Indexed): number {
    const apart = (this.#times[a] ?? 0) - (this.#times[b] ?? 0)
    return apart === 0 ? compareStamps(this.stampOf(a), this.stampOf(b)) : apart
  }

  /**
   * Adds a transaction, or more keys of one.
   *
   * @param number among those of its origin
   */
  add({ time, origin }: Stamp, number: number, { written, needed }: Footprint): void {
    const at = this.#transactions
    if (at === this.#times.length) this.#growTransactions()
    this.#times[at] = time
    this.#numbers[at] = number
    this.#writers[at] = this.#placeOf(origin)
    this.#transactions += 1
    for (const key of written) this.#addKey(key, at * 2)
    for (const key of needed) this.#addKey(key, at * 2 + 1)
  }

  /** Calls back with all that are later than a stamp and have written, or needed, a key; some twice. */
  eachLater(key: Key, needed: boolean, after: Stamp, found: (at: Indexed) => void): void {
    const odd = needed ? 1 : 0
    for (let i = this.#first(key, odd); i !== NONE; i = this.#next[i] ?? NONE) {
      const owner = this.#owners[i] ?? 0
      if (this.#keys[i] !== key || (owner & 1) !== odd) continue
      if (this.#isLater(owner >>> 1, after)) found(owner >>> 1)
    }
  }

  /**
   * Whether a transaction that is not here has come too late to be run as the last one, or may find
   * something else than its writer did. The latter is a guess, as `hasUnseen`.
   */
  meets(stamp: Stamp, seen: Frontier, { written, needed }: Footprint): boolean {
    for (const key of written) {
      if (this.#hasLater(key, 0, stamp) || this.#hasLater(key, 1, stamp)) return true
    }
    for (const key of needed) if (this.#hasLater(key, 0, stamp)) return true
    return this.hasUnseen(written, stamp.origin, seen)
  }

  #hasLater(key: Key, odd: number, after: Stamp): boolean {
    for (let i = this.#first(key, odd); i !== NONE; i = this.#next[i] ?? NONE) {
      const owner = this.#owners[i] ?? 0
      if (this.#keys[i] === key && (owner & 1) === odd && this.#isLater(owner >>> 1, after)) {
        return true
      }
    }
    return false
  }

  #isLater(at: Indexed, after: Stamp): boolean {
    const apart = (this.#times[at] ?? 0) - after.time
    return apart > 0 || (apart === 0 && compareStamps(this.stampOf(at), after) > 0)
  }

  /**
   * Whether anybody has written one of the keys whom an origin that had seen so much did not know.
   * A guess: true as well where too many have.
   */
  hasUnseen(keys: readonly Key[], origin: Origin, seen: Frontier): boolean {
    const own = this.#places.get(origin) ?? NONE
    for (const key of keys) {
      let steps = 0
      for (let i = this.#first(key, 0); i !== NONE; i = this.#next[i] ?? NONE) {
        steps += 1
        if (steps > STEPS_MAX) return true
        const owner = this.#owners[i] ?? 0
        if (this.#keys[i] !== key || (owner & 1) === 1) continue
        const writer = this.#writers[owner >>> 1] ?? 0
        const number = this.#numbers[owner >>> 1] ?? 0
        if (writer !== own && !holds(seen, this.#origins[writer] ?? '', number)) return true
      }
    }
    return false
  }

  /** Whether most of it is not later than a time. */
  isMostlyBefore(time: ClockTime): boolean {
    let before = 0
    for (let at = 0; at < this.#transactions; at += 1) {
      if ((this.#times[at] ?? 0) <= time) before += 1
    }
    return before * 2 >= this.#transactions
  }

  /** What is later than a time, in an index of its own. */
  after(time: ClockTime): KeyIndex {
    const rest = new KeyIndex()
    let first = 0
    for (let at = 0; at < this.#transactions; at += 1) {
      // The keys of a transaction are beside each other.
      let end = first
      while (end < this.#size && (this.#owners[end] ?? 0) >>> 1 === at) end += 1
      if ((this.#times[at] ?? 0) > time) {
        rest.add(this.stampOf(at), this.#numbers[at] ?? 0, this.#footprint(first, end))
      }
      first = end
    }
    return rest
  }

  #footprint(first: number, end: number): Footprint {
    const [written, needed]: [Key[], Key[]] = [[], []]
    for (let i = first; i < end; i += 1) {
      const list = ((this.#owners[i] ?? 0) & 1) === 0 ? written : needed
      list.push(this.#keys[i] ?? 0)
    }
    return { written, needed }
  }

  #placeOf(origin: Origin): number {
    const known = this.#places.get(origin)
    if (known !== undefined) return known
    this.#places.set(origin, this.#origins.length)
    return this.#origins.push(origin) - 1
  }

  #addKey(key: Key, owner: number): void {
    const bucket = this.#bucketOf(key, owner & 1)
    const first = this.#buckets[bucket] ?? NONE
    if (first !== NONE && this.#keys[first] === key && this.#owners[first] === owner) return
    const at = this.#size
    if (at === this.#keys.length) {
      this.#growKeys()
      this.#addKey(key, owner)
      return
    }
    this.#keys[at] = key
    this.#owners[at] = owner
    this.#next[at] = first
    this.#buckets[bucket] = at
    this.#size += 1
  }

  #first(key: Key, odd: number): number {
    return this.#buckets[this.#bucketOf(key, odd)] ?? NONE
  }

  /** Keys are hashes already; their low bits are as good as any. */
  #bucketOf(key: Key, odd: number): number {
    return ((key % 2 ** 32) ^ (odd === 0 ? 0 : NEEDED)) & (this.#buckets.length - 1)
  }

  #growTransactions(): void {
    this.#times = doubled(this.#times)
    this.#numbers = doubled(this.#numbers)
    this.#writers = doubled(this.#writers)
  }

  #growKeys(): void {
    this.#keys = doubled(this.#keys)
    this.#owners = doubled(this.#owners)
    this.#next = doubled(this.#next)
    this.#buckets = new Int32Array(this.#keys.length).fill(NONE)
    for (let i = 0; i < this.#size; i += 1) {
      const bucket = this.#bucketOf(this.#keys[i] ?? 0, (this.#owners[i] ?? 0) & 1)
      this.#next[i] = this.#buckets[bucket] ?? NONE
      this.#buckets[bucket] = i
    }
  }
}
