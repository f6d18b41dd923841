/**
 * `quorate_id()`: a UUID of version 7 (RFC 9562) as text, for keys that any node can make by itself.
 * Those of one source rise: in one millisecond the 12 bits after the time count on from a random
 * start, and if they are used up, or the clock goes back, the time runs ahead of it.
 */
import { randomFillSync } from 'node:crypto'
import type { DatabaseSync } from 'node:sqlite'

/** Where time and chance come from. */
export interface UuidInputs {
  /** Milliseconds since 1970. */
  now(): number
  fill(bytes: Uint8Array): void
}

const SYSTEM: UuidInputs = {
  now: Date.now,
  fill: (bytes) => {
    randomFillSync(bytes)
  },
}

/** Asking for chance costs more than the rest, so it is asked for many ids at once. */
const POOL_BYTES = 4_000
const BYTES_EACH = 10
const COUNTER_MAX = 0xfff
/** The highest bit is not used at first, so that there is always room to count. */
const COUNTER_START_MAX = 0x7ff

export class UuidSource {
  readonly #inputs: UuidInputs
  readonly #pool = new Uint8Array(POOL_BYTES)
  #used = POOL_BYTES
  #time = 0
  #counter = 0

  constructor(inputs: UuidInputs = SYSTEM) {
    this.#inputs = inputs
  }

  next(): string {
    if (this.#used >= POOL_BYTES) {
      this.#inputs.fill(this.#pool)
      this.#used = 0
    }
    const random = this.#pool.subarray(this.#used, this.#used + BYTES_EACH)
    this.#used += BYTES_EACH
    this.#advance((((random[8] ?? 0) << 8) | (random[9] ?? 0)) & COUNTER_START_MAX)
    // Version 7 and variant 10 as the RFC has them.
    random[0] = ((random[0] ?? 0) & 0x3f) | 0x80
    const time = this.#time.toString(16).padStart(12, '0')
    const counter = this.#counter.toString(16).padStart(3, '0')
    const rest = Buffer.from(random.buffer, random.byteOffset, 8).toString('hex')
    return `${time.slice(0, 8)}-${time.slice(8)}-7${counter}-${rest.slice(0, 4)}-${rest.slice(4)}`
  }

  #advance(start: number): void {
    const now = Math.floor(this.#inputs.now())
    if (now > this.#time) {
      this.#time = now
      this.#counter = start
    } else if (this.#counter < COUNTER_MAX) this.#counter += 1
    else {
      this.#time += 1
      this.#counter = start
    }
  }
}

/** Lets a connection's SQL call it, its views and DEFAULTs as well. */
export function registerQuorateId(db: DatabaseSync, source: UuidSource): void {
  db.function('quorate_id', () => source.next())
}
