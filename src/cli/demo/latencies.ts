/** How long things took: counts in buckets that grow by 2 %, so memory stays small for any number. */
const GROWTH = Math.log(1.02)
const SMALLEST_MS = 0.01

export class Latencies {
  readonly #buckets: number[] = []
  #count = 0

  get count(): number {
    return this.#count
  }

  add(ms: number): void {
    const at = Math.max(0, Math.round(Math.log(Math.max(ms, SMALLEST_MS) / SMALLEST_MS) / GROWTH))
    this.#buckets[at] = (this.#buckets[at] ?? 0) + 1
    this.#count += 1
  }

  /** The time that this part (0 to 1) of all stayed within, to about 2 %; 0 if there are none. */
  quantile(part: number): number {
    const wanted = Math.max(1, Math.ceil(this.#count * part))
    let seen = 0
    for (let at = 0; at < this.#buckets.length; at += 1) {
      seen += this.#buckets[at] ?? 0
      if (seen >= wanted) return SMALLEST_MS * Math.exp(at * GROWTH)
    }
    return 0
  }
}
