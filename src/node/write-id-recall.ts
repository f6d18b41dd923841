/**
 * Reads the newest part of the log for the ids of writes, when a node starts or its log was
 * replaced. Until that is done no numbered write is taken: it could be one that has run.
 */
import type { LogIndex } from '../base/brand.ts'
import { toLogIndex } from '../base/brand.ts'
import { LIMITS } from '../base/limits.ts'
import type { Entry } from '../model/entry.ts'
import { decodeWriteIds } from '../model/entry-codec.ts'
import type { WriteId } from '../model/program.ts'
import type { Context } from './context.ts'
import type { NotedWrite } from './write-ids.ts'

/** How much of the log's end is read. */
const ENTRIES = 20_000

export class WriteIdRecall {
  readonly #context: Context
  #active = false

  constructor(context: Context) {
    this.#context = context
  }

  get active(): boolean {
    return this.#active
  }

  start(): void {
    const { base, last } = this.#context.order
    const from = toLogIndex(Math.max(base.index, last.index - ENTRIES))
    this.#context.writeIds.reset(last.index)
    this.#active = from < last.index
    if (this.#active) this.#readOn(from, from, last.index, [])
  }

  #readOn(from: LogIndex, after: LogIndex, to: LogIndex, found: NotedWrite[]): void {
    if (after >= to) {
      this.#context.writeIds.recall(from, found)
      this.#active = false
      return
    }
    const { epoch, ports } = this.#context
    const range = { from: toLogIndex(after + 1), to, bytesMax: LIMITS.appendBytesMax }
    ports.store.submit({ kind: 'read', ...range }, (reply) => {
      const entries = reply.kind === 'entries' ? reply.entries : []
      const through = entries.at(-1)?.index
      if (this.#context.epoch !== epoch || through === undefined) {
        // Taken back or compacted meanwhile: what was found so far has a gap.
        this.start()
        return
      }
      for (const entry of entries) {
        for (const { session, number } of writeIdsOf(entry)) {
          found.push({ session, number, index: entry.index })
        }
      }
      this.#readOn(from, through, to, found)
    })
  }
}

/** Ids of the numbered writes in an entry. */
export function writeIdsOf(entry: Entry): readonly WriteId[] {
  return entry.kind === 'data' || entry.kind === 'schema' ? decodeWriteIds(entry.body) : []
}
