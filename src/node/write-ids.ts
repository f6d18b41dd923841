/**
 * Which numbered writes are in the log, so that a retry returns the first result and runs nothing.
 *
 * Only the newest part of the log is remembered. A write says in `since` where the log stood before
 * it was first sent: if it ran, it is after that. When that is no longer all remembered, the honest
 * answer is SESSION_EXPIRED, never a second run.
 */
import type { LogIndex } from '../base/brand.ts'
import { toLogIndex } from '../base/brand.ts'
import type { WriteId } from '../model/program.ts'

export type Seen = 'new' | 'expired' | { readonly index: LogIndex }

/** One text for each write, to look it up by. */
export function keyOf({ session, number }: WriteId): string {
  return `${number} ${session}`
}

export interface NotedWrite {
  readonly session: string
  readonly number: number
  readonly index: LogIndex
}

export class WriteIds {
  readonly #idsMax: number
  readonly #sessions = new Map<string, Map<number, LogIndex>>()
  /** In order of index, for forgetting at both ends. */
  #noted: NotedWrite[] = []
  /** Everything after this index is remembered. */
  #from: LogIndex

  constructor(from: LogIndex, idsMax: number) {
    this.#from = from
    this.#idsMax = idsMax
  }

  look(id: WriteId): Seen {
    const index = this.#sessions.get(id.session)?.get(id.number)
    if (index !== undefined) return { index }
    return id.since < this.#from ? 'expired' : 'new'
  }

  note(id: WriteId, index: LogIndex): void {
    let numbers = this.#sessions.get(id.session)
    if (numbers === undefined) {
      numbers = new Map()
      this.#sessions.set(id.session, numbers)
    }
    numbers.set(id.number, index)
    this.#noted.push({ session: id.session, number: id.number, index })
    if (this.#noted.length > this.#idsMax * 1.25) this.#forgetOldest()
  }

  /** Adds what the log holds after `from`, up to what was noted since. In order of index. */
  recall(from: LogIndex, writes: readonly NotedWrite[]): void {
    const since = this.#noted
    this.#noted = []
    this.#from = from
    for (const { session, number, index } of [...writes, ...since]) {
      this.note({ session, number, since: 0 }, index)
    }
  }

  /** Entries above `to` were taken back: their writes did not happen. */
  truncate(to: LogIndex): void {
    while (this.#noted.length > 0 && (this.#noted.at(-1)?.index ?? 0) > to) {
      const noted = this.#noted.pop()
      if (noted !== undefined) this.#drop(noted)
    }
    if (this.#from > to) this.#from = to
  }

  /** The log was replaced: nothing up to `from` is remembered. */
  reset(from: LogIndex): void {
    this.#sessions.clear()
    this.#noted = []
    this.#from = from
  }

  #forgetOldest(): void {
    let cut = this.#noted.length - this.#idsMax
    const last = this.#noted[cut - 1]?.index ?? toLogIndex(0)
    // An index is forgotten whole, or `#from` would claim ids that are gone.
    while (cut < this.#noted.length && this.#noted[cut]?.index === last) cut += 1
    for (const noted of this.#noted.splice(0, cut)) this.#drop(noted)
    if (last > this.#from) this.#from = last
  }

  #drop(noted: NotedWrite): void {
    const numbers = this.#sessions.get(noted.session)
    numbers?.delete(noted.number)
    if (numbers?.size === 0) this.#sessions.delete(noted.session)
  }
}
