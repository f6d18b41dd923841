/**
 * Decides how much of the log may go: what everybody holds, or what is beyond the caps. What a member
 * of the own group lacks it can have by a snapshot; what another group lacks must stay, whatever the
 * caps (origins/DESIGN.md tells why).
 */
import type { LogIndex } from '../base/brand.ts'
import { toLogIndex } from '../base/brand.ts'
import type { StoreCommand, StoreState } from '../store/types.ts'
import type { Context } from './context.ts'
import { LogSize } from './log-size.ts'

export interface CompactionInput {
  readonly base: LogIndex
  readonly last: LogIndex
  readonly applied: LogIndex
  readonly commit: LogIndex
  readonly bytes: number
  readonly retainEntries: number
  readonly retainBytes: number
  /** What members hold, as far as this node knows: leader only. */
  readonly held: readonly LogIndex[]
  /** A snapshot on its way needs what comes after it. */
  readonly keepAfter: LogIndex | null
  /** What other groups may still ask for comes after it; null: there are none. */
  readonly heldByAll: LogIndex | null
}

/** A lagging member is waited for up to this many times `retainEntries`; then it gets a snapshot. */
const LAGGING_FACTOR = 4
/** While a snapshot is on its way the log may have this many times `retainBytes`. */
const TRANSFER_FACTOR = 16
/**
 * With several groups no more goes at once: what one lacked for long is free all of a sudden, and
 * whoever waits for the store should wait a tenth of a second at most.
 */
const SLICE_ENTRIES = 20_000

/** Returns the index through which the log may be dropped, or null if it is not worth it. */
export function planCompaction(input: CompactionInput): LogIndex | null {
  const { base, last, retainEntries, retainBytes, bytes } = input
  const count = last - base
  // A transfer under way would be in vain if the log were cut behind it, again and again.
  const cap = input.keepAfter === null ? retainBytes : retainBytes * TRANSFER_FACTOR
  const tooLarge = bytes > cap
  if (count <= retainEntries * 1.25 && !tooLarge) return null
  const keep = tooLarge ? Math.min(retainEntries, Math.ceil(count / 2)) : retainEntries
  let to = Math.min(last - keep, input.applied, input.commit)
  const waitForLagging = !tooLarge && count < retainEntries * LAGGING_FACTOR
  if (waitForLagging) to = Math.min(to, ...input.held)
  if (input.heldByAll !== null) to = Math.min(to, input.heldByAll, base + SLICE_ENTRIES)
  if (input.keepAfter !== null && !tooLarge) to = Math.min(to, input.keepAfter)
  return to > base ? toLogIndex(to) : null
}

/** What is beyond the cap by so much is told to people, and no more when it is below it again. */
const TOLD_FACTOR = 2

interface CompactorNeeds {
  /** See CompactionInput. */
  keepAfter(): LogIndex | null
  heldByAll(done: (index: LogIndex | null) => void): void
  /** Names of the groups that lack what is logged at an index, as far as this node knows. */
  lacking(index: LogIndex): readonly string[]
  /** Has the store do it; `done` is called when it has. */
  submit(command: StoreCommand, done: () => void): void
}

/** Looks now and then whether the log is worth cutting, and has it cut. */
export class Compactor {
  readonly size: LogSize
  readonly #context: Context
  readonly #needs: CompactorNeeds
  #busy = false
  /** People know that other groups keep the log from being cut. */
  #told = false

  /** @param state of the store as it was opened */
  constructor(context: Context, state: StoreState, needs: CompactorNeeds) {
    this.size = new LogSize(state)
    this.#context = context
    this.#needs = needs
  }

  look(): void {
    if (this.#busy) return
    // Asking what other groups hold is not worth it before there is anything to cut.
    if (this.#plan(null) === null) {
      this.#tell(null)
      return
    }
    this.#busy = true
    this.#needs.heldByAll((heldByAll) => {
      this.#busy = false
      const to = this.#plan(heldByAll)
      this.#tell(heldByAll !== null && to === null ? heldByAll : null)
      this.#cut(to)
    })
  }

  get #bytes(): number {
    return this.size.after(this.#context.order.base.index)
  }

  #plan(heldByAll: LogIndex | null): LogIndex | null {
    const { order, options } = this.#context
    return planCompaction({
      base: order.base.index,
      last: order.last.index,
      applied: order.applied,
      commit: order.commit,
      bytes: this.#bytes,
      retainEntries: options.retainEntries,
      retainBytes: options.retainBytes,
      held: order.role === 'leader' ? [...order.progress.values()].map((peer) => peer.match) : [],
      keepAfter: this.#needs.keepAfter(),
      heldByAll,
    })
  }

  /** @param heldByAll what keeps the log from being cut; null: nothing does */
  #tell(heldByAll: LogIndex | null): void {
    const { order, options } = this.#context
    const bytes = this.#bytes
    if (heldByAll === null || bytes <= options.retainBytes) this.#told = false
    if (this.#told || heldByAll === null || bytes <= options.retainBytes * TOLD_FACTOR) return
    if (order.role !== 'leader') return
    this.#told = true
    const at = Math.min(Math.max(heldByAll, order.base.index) + 1, order.last.index)
    const groups = this.#needs.lacking(toLogIndex(at)).join(', ')
    this.#context.emit('log.heldBack', 'warn', { bytes, limit: options.retainBytes, groups })
  }

  #cut(to: LogIndex | null): void {
    const { order } = this.#context
    const term = to === null ? null : order.termAt(to)
    if (to === null || term === null) return
    this.#busy = true
    this.#needs.submit({ kind: 'compact', ticket: order.nextTicket(), to }, () => {
      this.#busy = false
      this.#context.step({ kind: 'compacted', base: { index: to, term } })
      this.#context.origins?.compacted()
    })
  }
}
