/**
 * How many bytes the log holds after an index, from samples: what the file held when it was opened,
 * and more as the log grows. To know each entry's size would take as much memory as it is worth.
 */
import type { LogIndex } from '../base/brand.ts'
import type { LogState } from '../core/order/leader/types.ts'
import type { LogPart } from '../store/types.ts'

/** So many bytes at most are logged between two samples but for an entry that is larger. */
const SAMPLE_BYTES = 256 * 1024

/** What of the store's state is used. */
interface LogContent {
  readonly log: Pick<LogState, 'base'>
  readonly logParts: readonly LogPart[]
}

interface Sample {
  readonly index: LogIndex
  /** Bytes of entries through `index`, counted from some time on. */
  readonly total: number
}

export class LogSize {
  /** Where counting begins; entries through it may be gone. */
  #from: Sample
  /** In order of index. */
  #later: Sample[] = []
  #total = 0

  /** @param state of the store as it was opened */
  constructor(state: LogContent) {
    this.#from = { index: state.log.base.index, total: 0 }
    this.reset(state)
  }

  /** The file was replaced. */
  reset({ log, logParts }: LogContent): void {
    this.#from = { index: log.base.index, total: 0 }
    this.#later = []
    this.#total = 0
    for (const { last, bytes } of logParts) {
      this.#total += bytes
      this.#later.push({ index: last, total: this.#total })
    }
  }

  /** An entry was logged here. */
  added(index: LogIndex, bytes: number): void {
    this.#total += bytes
    const last = this.#later.at(-1) ?? this.#from
    if (this.#total - last.total > SAMPLE_BYTES) this.#later.push({ index, total: this.#total })
  }

  /** Everything above an index was cut off; what of it came after the last sample still counts. */
  truncated(to: LogIndex): void {
    const { length } = this.#later
    while ((this.#later.at(-1)?.index ?? to) > to) this.#later.pop()
    if (this.#later.length < length) this.#total = (this.#later.at(-1) ?? this.#from).total
  }

  /** Bytes after the index, to within a sample. */
  after(index: LogIndex): number {
    for (let next = this.#later[0]; next !== undefined && next.index <= index; ) {
      this.#from = next
      this.#later.shift()
      next = this.#later[0]
    }
    return this.#total - this.#from.total
  }
}
