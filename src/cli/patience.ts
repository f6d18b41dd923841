/** Tells a person what a statement waits for that gets no answer: after a second, and once. */
import type { Retrying } from '../client/caller.ts'
import { printable } from './terminal.ts'

/** Most of what passes has passed by then. */
const SILENT_MS = 1000

export class Patience {
  readonly #write: (text: string) => unknown
  readonly #now: () => number
  #begunAt: number
  #hasSaid = false

  /** @param now monotonic, ms */
  constructor(write: (text: string) => unknown, now: () => number = () => performance.now()) {
    this.#write = write
    this.#now = now
    this.#begunAt = now()
  }

  /** Another statement begins. */
  begin(): void {
    this.#begunAt = this.#now()
    this.#hasSaid = false
  }

  /** For the client, which tries again. */
  readonly retrying: Retrying = ({ code, message }, leftMs) => {
    if (this.#hasSaid || this.#now() - this.#begunAt < SILENT_MS) return
    this.#hasSaid = true
    const seconds = Math.ceil(leftMs / 1000)
    this.#write(`waiting up to ${seconds} s more: ${code}: ${printable(message)}\n`)
  }
}
