/**
 * Tells the exchange what has become safe here: entries of our own once the group has committed
 * them, and what was taken from others once it is applied. Nothing else may be told or served to
 * anyone: what a new leader of this group could take back is nobody's.
 */
import { present } from '../../base/assert.ts'
import type { LogIndex } from '../../base/brand.ts'
import type { EntryHead, ExchangeState, Input } from '../../core/order/clock/exchange/types.ts'
import { extend, type Frontier, holds } from '../../core/order/clock/frontier.ts'
import type { Entry } from '../../model/entry.ts'
import { decodeOwn } from '../../model/entry-codec.ts'
import type { MergeOperation, OriginEntry } from '../../model/origin-entry.ts'

type Logged =
  | { readonly index: LogIndex; readonly own: OriginEntry }
  | { readonly index: LogIndex; readonly merged: readonly MergeOperation[] }

/** An own entry in the group's log. */
export interface OwnEntry {
  readonly index: LogIndex
  readonly head: EntryHead
}

/** Own entries that somebody may still ask for by their index. */
const HEADS_MAX = 8_192

export class Reports {
  /** The last entry of each origin that is here; `applied`: and in the data. */
  readonly latest = new Map<string, EntryHead>()
  readonly applied = new Map<string, EntryHead>()
  /** Logged since this node leads and not reported, in order of index. */
  #waiting: Logged[] = []
  readonly #own = new Map<LogIndex, EntryHead>()
  /** Here, and not in the data. */
  readonly #kept = new Map<string, EntryHead>()

  constructor({ latest, applied, unapplied }: ExchangeState) {
    for (const head of latest) {
      this.latest.set(head.origin, head)
      if (holds(applied, head.origin, head.sequence)) this.applied.set(head.origin, head)
    }
    for (const head of unapplied) this.#kept.set(keyOf(head), head)
  }

  /** Entries that this leader has made. @returns those of our own among them */
  logged(entries: readonly Entry[]): readonly OwnEntry[] {
    const found: OwnEntry[] = []
    for (const { kind, index, body } of entries) {
      const own = kind === 'data' || kind === 'schema' ? decodeOwn(body) : null
      if (own === null) continue
      this.#waiting.push({ index, own })
      const head = headOf(own)
      this.#own.set(index, head)
      found.push({ index, head })
    }
    if (this.#own.size > HEADS_MAX) this.#forgetOldest()
    return found
  }

  /** What others wrote is logged at an index. */
  merged(index: LogIndex, operations: readonly MergeOperation[]): void {
    const at = this.#waiting.findLastIndex((each) => each.index < index)
    this.#waiting.splice(at + 1, 0, { index, merged: operations })
  }

  /** The own entry at an index, while it is remembered. */
  own(index: LogIndex): EntryHead | null {
    return this.#own.get(index) ?? null
  }

  /**
   * Everything through an index is committed and applied.
   *
   * @param held of the exchange, `applied` too
   * @returns inputs for the exchange, in order, and entries that may now be handed on
   */
  through(
    index: LogIndex,
    held: Frontier,
    applied: Frontier,
  ): { readonly inputs: readonly Input[]; readonly entries: readonly OriginEntry[] } {
    const inputs: Input[] = []
    const entries: OriginEntry[] = []
    let own: EntryHead[] = []
    const flush = (): void => {
      if (own.length > 0) inputs.push({ kind: 'local', entries: own })
      own = []
    }
    let count = 0
    for (const each of this.#waiting) {
      if (each.index > index) break
      count += 1
      if ('own' in each) {
        own.push(headOf(each.own))
        entries.push(each.own)
        continue
      }
      flush()
      for (const operation of each.merged) {
        if (operation.kind === 'forget') continue
        const head = this.#headOf(operation)
        if (operation.kind === 'take') {
          held = extend(held, head.origin, head.sequence)
          entries.push(operation.entry)
          this.latest.set(head.origin, head)
        }
        if (operation.kind === 'take' && !operation.apply) this.#kept.set(keyOf(head), head)
        else {
          applied = extend(applied, head.origin, head.sequence)
          this.applied.set(head.origin, head)
        }
      }
      inputs.push({ kind: 'stored', held, applied })
    }
    flush()
    for (const input of inputs) {
      if (input.kind === 'local') for (const head of input.entries) this.#noteOwn(head)
    }
    this.#waiting = count > 0 ? this.#waiting.slice(count) : this.#waiting
    return { inputs, entries }
  }

  #noteOwn(head: EntryHead): void {
    this.latest.set(head.origin, head)
    this.applied.set(head.origin, head)
  }

  #headOf(operation: Exclude<MergeOperation, { readonly kind: 'forget' }>): EntryHead {
    if (operation.kind === 'take') return headOf(operation.entry)
    const key = keyOf(operation)
    const head = present(this.#kept.get(key), () => `no entry ${key} is kept`)
    this.#kept.delete(key)
    return head
  }

  #forgetOldest(): void {
    let over = this.#own.size - HEADS_MAX / 2
    for (const index of this.#own.keys()) {
      if (over <= 0) return
      over -= 1
      this.#own.delete(index)
    }
  }
}

/** What the core knows of an entry. */
export function headOf({ body, ...head }: OriginEntry): EntryHead {
  return { ...head, bytes: body.byteLength }
}

function keyOf({ origin, sequence }: { readonly origin: string; readonly sequence: number }) {
  return `${origin}:${sequence}`
}
