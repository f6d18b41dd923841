/**
 * The latest entries of the log, in its order, as far as they may be pushed: peers that lack only
 * some of these are sent them at once, and everyone else asks.
 */
import { present } from '../../../../base/assert.ts'
import type { Origin } from '../stamp.ts'
import type { EntryHead } from './types.ts'

export interface Recent {
  readonly head: EntryHead
  /** Who gave it to us; ourselves for our own. */
  readonly via: Origin
}

export class Window {
  readonly #entriesMax: number
  #recent: Recent[] = []
  #start = 0

  constructor(entriesMax: number) {
    this.#entriesMax = entriesMax
  }

  /** Positions are counted since the start of the machine; this is that of the oldest entry. */
  get start(): number {
    return this.#start
  }

  /** The position that the next entry will have. */
  get end(): number {
    return this.#start + this.#recent.length
  }

  get(position: number): Recent {
    return present(this.#recent[position - this.#start], () => `window ${position}`)
  }

  add(recent: Recent): void {
    this.#recent.push(recent)
    // Half of it at a time, so that moving the rest costs little for each entry.
    if (this.#recent.length > 2 * this.#entriesMax) this.#drop(this.#entriesMax)
  }

  #drop(count: number): void {
    this.#recent = this.#recent.slice(count)
    this.#start += count
  }
}
