/**
 * What a client on a WebSocket has open there, as far as it knows, so that its messages keep to the
 * protocol for as long as it wants them to: one mistake ends the whole connection.
 */
import type { Prng } from '../../base/prng.ts'
import type { ws } from '../testing/official-codec.ts'
import { idAmong, randomBatch, randomId, randomRequest, type Session } from './messages.ts'

type Request = Extract<ws.ClientMsg, { type: 'request' }>['request']

export class WsModel {
  readonly #prng: Prng
  readonly #session: Session
  readonly #streams = new Set<number>()
  /** Stream of each open cursor; nothing else may be sent on it. */
  readonly #cursors = new Map<number, number>()

  constructor(prng: Prng, session: Session) {
    this.#prng = prng
    this.#session = session
  }

  /** The next message. */
  next(requestId: number): ws.ClientMsg {
    if (this.#wild() && this.#prng.percent(10)) return { type: 'hello', jwt: 'nonsense' }
    return { type: 'request', requestId, request: this.#request() }
  }

  #wild(): boolean {
    return this.#prng.percent(this.#session.wild)
  }

  #request(): Request {
    const free = this.#free()
    if (free.length === 0 || this.#prng.percent(5)) return this.#open()
    if (this.#session.version > 2 || this.#wild()) {
      if (this.#prng.percent(15)) return this.#openCursor(free)
      if (this.#cursors.size > 0 && this.#prng.percent(40)) return this.#useCursor()
    }
    const streamId = this.#wild() ? randomId(this.#prng) : idAmong(this.#prng, free)
    if (this.#prng.percent(5)) {
      this.#streams.delete(streamId)
      return { type: 'close_stream', streamId }
    }
    const request = randomRequest(this.#prng, this.#session)
    if (request.type === 'close') return { type: 'close_stream', streamId }
    if (request.type === 'store_sql' || request.type === 'close_sql') return request
    return { ...request, streamId }
  }

  #free(): readonly number[] {
    const busy = new Set(this.#cursors.values())
    return [...this.#streams].filter((stream) => !busy.has(stream))
  }

  #open(): Request {
    let streamId = randomId(this.#prng)
    while (this.#streams.has(streamId) && !this.#wild()) streamId += 1
    this.#streams.add(streamId)
    return { type: 'open_stream', streamId }
  }

  #openCursor(free: readonly number[]): Request {
    const streamId = idAmong(this.#prng, free)
    let cursorId = randomId(this.#prng)
    while (this.#cursors.has(cursorId) && !this.#wild()) cursorId += 1
    this.#cursors.set(cursorId, streamId)
    const batch = randomBatch(this.#prng, this.#session)
    return { type: 'open_cursor', streamId, cursorId, batch }
  }

  #useCursor(): Request {
    const cursorId = this.#wild() ? randomId(this.#prng) : idAmong(this.#prng, this.#cursors.keys())
    if (this.#prng.percent(60)) {
      return { type: 'fetch_cursor', cursorId, maxCount: this.#prng.intInclusive(0, 50) }
    }
    this.#cursors.delete(cursorId)
    return { type: 'close_cursor', cursorId }
  }
}
