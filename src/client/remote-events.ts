/**
 * Where a remote database's events come from: one stream of server-sent events, opened when
 * somebody listens, and opened anew at another node when it breaks.
 */
import { QuorateError } from '../base/errors.ts'
import { decodeChanges } from '../model/changes.ts'
import type { OpenReply } from './caller.ts'
import type { Emitter } from './emitter.ts'
import { leaderOf } from './leader-event.ts'
import { emitMerge } from './merge-event.ts'
import { linesOf, timed } from './remote-cursor.ts'
import type { Place } from './session.ts'
import { ConnectionError } from './transport.ts'
import type { DbEvents, NodeEventData, NodeStatus } from './types.ts'
import { toChangeEvent } from './values.ts'

/** Nodes send a comment every 15 s: after this much silence the node is taken for gone. */
const SILENCE_MS = 40_000
/** Doubled after each attempt in vain. */
const RETRY_MS = 250
const RETRY_MS_MAX = 5_000
const LAG_MS = 1_000
const STREAMED = ['change', 'event', 'leader', 'conflict', 'reordered'] as const

export interface EventSource {
  /** GET on some node, resolved when the answer begins. */
  open(path: string, signal: AbortSignal): Promise<OpenReply>
  /** The node broke off; ask another one next. */
  failed(url: string): void
  /** A place from which nothing is missed that this session does from now on. */
  place(): Promise<Place>
  status(): Promise<NodeStatus>
}

export class RemoteEvents {
  readonly #source: EventSource
  readonly #events: Emitter<DbEvents>
  readonly #bigints: boolean
  #stop: AbortController | null = null
  #last: Promise<void> = Promise.resolve()
  /** Attempts since something came. */
  #vain = 0
  #lagTimer: ReturnType<typeof setInterval> | undefined
  #lag = 0
  /** Where changes begin; null: nobody listens to them. */
  #from: Promise<Place> | null = null
  /** Through where they were told. */
  #after: Place | null = null
  /** With several groups: in whose log the positions of the stream are, as it says itself. */
  #origin: string | null = null

  constructor(source: EventSource, events: Emitter<DbEvents>, bigints: boolean) {
    this.#source = source
    this.#events = events
    this.#bigints = bigints
  }

  /** The first listener of an event came, or its last one went. */
  want(name: keyof DbEvents, wanted: boolean): void {
    if (name === 'lag') {
      this.#watchLag(wanted)
      return
    }
    if (name === 'change') {
      this.#from = wanted ? this.#source.place() : null
      this.#from?.catch(() => {})
      this.#after = null
    }
    this.#restart()
  }

  close(): void {
    this.#watchLag(false)
    this.#stop?.abort()
    this.#stop = null
  }

  /** Another choice of events needs another stream. */
  #restart(): void {
    this.#stop?.abort()
    const wanted = STREAMED.some((name) => this.#events.has(name))
    this.#stop = wanted ? new AbortController() : null
    const signal = this.#stop?.signal
    if (signal === undefined) return
    // The one before may still be giving an event: what comes after that is told once.
    const run = this.#last.then(() => this.#run(signal))
    this.#last = run.catch(() => {})
  }

  async #run(signal: AbortSignal): Promise<void> {
    for (this.#vain = 0; !signal.aborted; this.#vain += 1) {
      try {
        await this.#read(signal)
      } catch (error) {
        const expected = error instanceof QuorateError || error instanceof ConnectionError
        if (!expected && !signal.aborted) throw error
      }
      const waitMs = Math.min(RETRY_MS_MAX, RETRY_MS * 2 ** this.#vain)
      if (!signal.aborted) await pause(waitMs, signal)
    }
  }

  /** Where the stream is to begin, for its URL. */
  async #query(): Promise<string> {
    if (this.#from === null) return ''
    try {
      this.#after ??= await this.#from
    } catch (error) {
      this.#from = this.#source.place()
      this.#from.catch(() => {})
      throw error
    }
    const { index, origin } = this.#after
    const of = origin === null ? '' : `&of=${encodeURIComponent(origin)}`
    return `?changes=1&after=${index}${of}`
  }

  /** Until the stream ends. */
  async #read(signal: AbortSignal): Promise<void> {
    const reply = await this.#source.open(`/events${await this.#query()}`, signal)
    try {
      let name = ''
      this.#origin = null
      for await (const line of linesOf(timed(reply, SILENCE_MS))) {
        this.#vain = 0
        if (line.startsWith('event: ')) name = line.slice('event: '.length)
        if (line.startsWith('data: ')) await this.#give(name, line.slice('data: '.length))
      }
    } finally {
      if (!signal.aborted) this.#source.failed(reply.url)
    }
  }

  async #give(name: string, data: string): Promise<void> {
    if (name === 'change') {
      const changes = decodeChanges(data)
      await this.#events.emit('change', toChangeEvent(changes, this.#bigints))
      const index = changes.kind === 'gap' ? changes.through : changes.index
      this.#after = { index, origin: this.#origin }
      return
    }
    if (name === 'origin') {
      this.#origin = String(JSON.parse(data))
      return
    }
    const event = JSON.parse(data) as NodeEventData
    await this.#events.emit('event', event)
    await emitMerge(this.#events, event)
    if (!this.#events.has('leader')) return
    const leader = await leaderOf(event, () => this.#source.status())
    if (leader !== null) await this.#events.emit('leader', leader)
  }

  #watchLag(wanted: boolean): void {
    clearInterval(this.#lagTimer)
    this.#lagTimer = wanted ? setInterval(() => void this.#lookAtLag(), LAG_MS) : undefined
    this.#lag = 0
  }

  async #lookAtLag(): Promise<void> {
    try {
      const { log } = await this.#source.status()
      const entries = Math.max(0, log.committed - log.applied)
      if (entries === this.#lag || this.#lagTimer === undefined) return
      this.#lag = entries
      await this.#events.emit('lag', { entries })
    } catch {
      // No node answers: calls say so.
    }
  }
}

/** Resolves after the time, or when the signal is aborted. */
function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const end = (): void => {
      clearTimeout(timer)
      signal.removeEventListener('abort', end)
      resolve()
    }
    const timer = setTimeout(end, ms)
    signal.addEventListener('abort', end)
  })
}
