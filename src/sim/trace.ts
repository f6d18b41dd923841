/**
 * What happened, in words and as one number. The number tells whether two runs of a seed were the
 * same run; the words are only kept or printed when somebody asked for them.
 */
import { crc32 } from 'node:zlib'

export class Trace {
  readonly #print: ((line: string) => void) | null
  #hash = 0
  #lines = 0

  constructor(print: ((line: string) => void) | null) {
    this.#print = print
  }

  /** Adds a line. @param atUs virtual time */
  add(atUs: number, who: string, what: string): void {
    const line = `${String(atUs).padStart(9)} ${who} ${what}`
    this.#hash = crc32(line, this.#hash)
    this.#lines += 1
    this.#print?.(line)
  }

  /** Names the run so far: equal digests, equal runs. */
  get digest(): string {
    return `${this.#lines}:${this.#hash.toString(16)}`
  }
}
