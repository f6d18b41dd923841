/** Where an embedded database's events come from. What nobody listens to is not looked for. */
import type { Emitter } from '../client/emitter.ts'
import { leaderOf } from '../client/leader-event.ts'
import { emitMerge } from '../client/merge-event.ts'
import type { DbEvents, NodeEventData } from '../client/types.ts'
import { toChangeEvent } from '../client/values.ts'
import { ChangeFeed } from '../server/change-feed.ts'
import type { NodeLink } from './node-link.ts'

const LAG_MS = 1_000

export class LocalEvents {
  readonly #link: NodeLink
  readonly #events: Emitter<DbEvents>
  readonly #bigints: boolean
  #feed: ChangeFeed | null = null
  #lagTimer: NodeJS.Timeout | null = null
  #lag = 0

  constructor(link: NodeLink, events: Emitter<DbEvents>, bigints: boolean) {
    this.#link = link
    this.#events = events
    this.#bigints = bigints
    link.onEvent((event) => void this.#event(event))
    link.onPosition((index) => this.#feed?.moved(index))
  }

  /** The first listener of an event came, or its last one went. */
  want(name: keyof DbEvents, wanted: boolean): void {
    if (name === 'change') this.#watchChanges(wanted)
    if (name === 'lag') this.#watchLag(wanted)
  }

  close(): void {
    this.#watchLag(false)
    this.#feed?.close()
    this.#feed = null
  }

  #watchChanges(wanted: boolean): void {
    this.#feed?.close()
    this.#feed = wanted ? this.#changes() : null
    this.#link.watch(wanted)
  }

  #changes(): ChangeFeed {
    return new ChangeFeed(
      (request) => this.#link.request(request),
      (changes) => this.#events.emit('change', toChangeEvent(changes, this.#bigints)),
      null,
    )
  }

  #watchLag(wanted: boolean): void {
    clearInterval(this.#lagTimer ?? undefined)
    this.#lagTimer = wanted ? setInterval(() => void this.#lookAtLag(), LAG_MS).unref() : null
    this.#lag = 0
  }

  async #lookAtLag(): Promise<void> {
    try {
      const { log } = await this.#link.status()
      const entries = Math.max(0, log.committed - log.applied)
      if (entries === this.#lag || this.#lagTimer === null) return
      this.#lag = entries
      await this.#events.emit('lag', { entries })
    } catch {
      // The node is stopping: whoever asks it for something is told.
    }
  }

  async #event(event: NodeEventData): Promise<void> {
    void this.#events.emit('event', event)
    void emitMerge(this.#events, event)
    if (!this.#events.has('leader')) return
    const leader = await leaderOf(event, () => this.#link.status()).catch(() => null)
    if (leader !== null) await this.#events.emit('leader', leader)
  }
}
