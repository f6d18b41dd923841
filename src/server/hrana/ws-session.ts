/**
 * What one WebSocket of Hrana holds and does: hello, streams, cursors, stored texts. Knows neither
 * sockets nor encodings. Requests of one stream run in their order, those of different streams side
 * by side; each gets exactly one answer.
 */
import { type ErrorData, QuorateError, toErrorData } from '../../base/errors.ts'
import type { SessionToken } from '../../model/request.ts'
import type { Caller, CallOptions } from '../call.ts'
import type { HranaCursor } from './cursor.ts'
import type { HranaVersion } from './protocol.ts'
import type { HranaStream } from './stream.ts'
import type { Streams } from './streams.ts'
import { StoredTexts } from './texts.ts'
import type { ClientMessage, ServerMessage, WsRequest, WsResponse } from './ws-protocol.ts'

/** Streams open on one socket. */
const STREAMS_MAX = 1_000

/** Codes with which the server closes a socket (RFC 6455). */
export const CLOSE = {
  normal: 1000,
  goingAway: 1001,
  wrongFrame: 1003,
  malformed: 1007,
  violation: 1008,
  internal: 1011,
} as const

export interface SessionOptions {
  readonly version: HranaVersion
  readonly streams: Streams
  /** Who shows this token. Throws, or rejects with, what Auth.check does. */
  readonly check: (jwt: string | null) => Caller | Promise<Caller>
  /** What this caller's requests ask for beside their statements. */
  readonly call: (caller: Caller) => CallOptions
  readonly send: (message: ServerMessage) => void
  /** Closes the socket; the session has ended. */
  readonly close: (code: number, reason: string) => void
  /** Told about what went wrong in the server itself. */
  readonly onError: (error: unknown) => void
}

/** A stream and the requests that wait for their turn on it. */
interface Line {
  /** Null: opening it failed. Its id is taken until close_stream. */
  readonly stream: HranaStream | null
  readonly queue: (() => Promise<void>)[]
  busy: boolean
  cursor: OpenCursor | null
}

interface OpenCursor {
  readonly line: Line
  readonly opened: Promise<HranaCursor>
  /** Fetches, one after the other. */
  tail: Promise<void>
  /** The stream is free again. */
  readonly release: () => void
}

export class WsSession {
  readonly #options: SessionOptions
  readonly #texts = new StoredTexts()
  readonly #lines = new Map<number, Line>()
  readonly #cursors = new Map<number, OpenCursor>()
  /** Arrived while a hello was being checked; null: none is. */
  #held: ClientMessage[] | null = null
  /** Null: nobody has said hello yet. */
  #caller: Caller | null = null
  #call: CallOptions | null = null
  #ended = false
  /** Requests without an answer. */
  #pending = 0

  constructor(options: SessionOptions) {
    this.#options = options
  }

  /** Requests that wait for their answer. */
  get pending(): number {
    return this.#pending + (this.#held?.length ?? 0)
  }

  receive(message: ClientMessage): void {
    if (this.#ended) return
    if (this.#held !== null) this.#held.push(message)
    else if (message.type === 'hello') this.#hello(message.jwt)
    else this.#attempt(() => this.#request(message.requestId, message.request))
  }

  /** The socket is gone: rolls back and stops everything. */
  end(): void {
    this.#ended = true
    for (const { release } of this.#cursors.values()) release()
    for (const { stream } of this.#lines.values()) {
      if (stream !== null) this.#options.streams.drop(stream)
    }
    this.#cursors.clear()
    this.#lines.clear()
    this.#texts.clear()
  }

  // Hello

  #hello(jwt: string | null): void {
    if (this.#caller !== null && this.#options.version < 2) {
      this.#violate('hello was said already')
      return
    }
    try {
      const caller = this.#options.check(jwt)
      if (caller instanceof Promise) this.#wait(caller)
      else this.#welcome(caller)
    } catch (error) {
      this.#refuse(error)
    }
  }

  #wait(caller: Promise<Caller>): void {
    this.#held = []
    caller
      .then(
        (found) => this.#welcome(found),
        (error: unknown) => this.#refuse(error),
      )
      .then(() => {
        const held = this.#held ?? []
        this.#held = null
        for (const message of held) this.receive(message)
      })
      .catch((error: unknown) => this.#broken(error))
  }

  #welcome(caller: Caller): void {
    this.#caller = caller
    this.#call = this.#options.call(caller)
    this.#options.send({ type: 'hello_ok' })
  }

  #refuse(error: unknown): void {
    if (!(error instanceof QuorateError)) throw error
    this.#options.send({ type: 'hello_error', error: toErrorData(error) })
    this.#close(CLOSE.normal, error.code)
  }

  // Requests

  #request(id: number, request: WsRequest): void {
    this.#pending += 1
    const call = this.#call
    if (call === null || this.#caller === null) throw violation('a request came before hello')
    const { until } = this.#caller
    if (until !== null && Date.now() > until) throw violation('the token has expired')
    switch (request.type) {
      case 'run':
        this.#run(id, request, call)
        return
      case 'open_stream':
        this.#openStream(id, request.streamId, call)
        return
      case 'close_stream':
        this.#closeStream(id, request.streamId)
        return
      case 'store_sql':
        this.#texts.store(request.sqlId, request.sql)
        this.#answer(id, { type: 'store_sql' })
        return
      case 'close_sql':
        this.#texts.close(request.sqlId)
        this.#answer(id, { type: 'close_sql' })
        return
      case 'open_cursor':
        this.#openCursor(id, request, call)
        return
      case 'fetch_cursor':
        this.#fetchCursor(id, request.cursorId, request.maxCount)
        return
      case 'close_cursor':
        this.#closeCursor(id, request.cursorId)
    }
  }

  #run(id: number, asked: Extract<WsRequest, { type: 'run' }>, call: CallOptions): void {
    const line = this.#line(asked.streamId)
    const request = this.#resolved(asked.request)
    this.#enqueue(line, id, async (stream) => {
      const { streams } = this.#options
      streams.saw(stream, request)
      const outcome = await stream.run(request, call)
      streams.end(stream, call)
      if ('error' in outcome) this.#fail(id, outcome.error)
      else this.#answer(id, outcome.ok as WsResponse, stream.token)
    })
  }

  /** The texts are those of now: close_sql may come before the request's turn. */
  #resolved(
    request: Extract<WsRequest, { type: 'run' }>['request'],
  ): Extract<WsRequest, { type: 'run' }>['request'] {
    switch (request.type) {
      case 'execute': {
        const { statement } = request
        if ('sql' in statement.source) return request
        const source = { sql: this.#texts.text(statement.source) }
        return { ...request, statement: { ...statement, source } }
      }
      case 'batch':
        return { ...request, steps: this.#texts.resolve(request.steps) }
      case 'sequence':
      case 'describe':
        return { ...request, source: { sql: this.#texts.text(request.source) } }
      case 'get_autocommit':
        return request
    }
  }

  #openStream(id: number, streamId: number, call: CallOptions): void {
    if (this.#lines.has(streamId)) throw violation(`stream ${streamId} is open already`)
    const { streams } = this.#options
    const stream = this.#lines.size < STREAMS_MAX ? streams.open() : null
    this.#lines.set(streamId, { stream, queue: [], busy: false, cursor: null })
    if (stream === null) {
      const detail = `${STREAMS_MAX} streams are open on this connection.`
      this.#fail(id, { code: 'OVERLOADED', detail })
      return
    }
    streams.begin(stream, call)
    this.#answer(id, { type: 'open_stream' })
  }

  #closeStream(id: number, streamId: number): void {
    const line = this.#line(streamId)
    // From now on the id is free.
    this.#lines.delete(streamId)
    for (const [cursorId, cursor] of this.#cursors) {
      if (cursor.line !== line) continue
      this.#cursors.delete(cursorId)
      cursor.release()
    }
    if (line.stream === null) {
      this.#answer(id, { type: 'close_stream' })
      return
    }
    this.#enqueue(line, id, async (stream) => {
      this.#options.streams.drop(stream)
      this.#answer(id, { type: 'close_stream' })
    })
  }

  // Cursors

  #openCursor(
    id: number,
    { streamId, cursorId, batch }: Extract<WsRequest, { type: 'open_cursor' }>,
    call: CallOptions,
  ): void {
    const line = this.#line(streamId)
    if (this.#cursors.has(cursorId)) throw violation(`cursor ${cursorId} is open already`)
    if (line.cursor !== null) throw violation(`stream ${streamId} has a cursor already`)
    const resolved = { ...batch, steps: this.#texts.resolve(batch.steps) }
    const opened = Promise.withResolvers<HranaCursor>()
    const released = Promise.withResolvers<void>()
    const cursor: OpenCursor = {
      line,
      opened: opened.promise,
      tail: Promise.resolve(),
      release: () => released.resolve(),
    }
    opened.promise.catch(() => {})
    line.cursor = cursor
    this.#cursors.set(cursorId, cursor)
    this.#enqueue(line, id, async (stream) => {
      const { streams } = this.#options
      streams.saw(stream, batch)
      const made = stream.openCursor(resolved, call)
      opened.resolve(made)
      this.#answer(id, { type: 'open_cursor' })
      await released.promise
      await made.close()
      streams.end(stream, call)
    })
  }

  #fetchCursor(id: number, cursorId: number, maxCount: number): void {
    const cursor = this.#cursor(cursorId)
    const fetch = async (): Promise<void> => {
      const made = await cursor.opened
      const { entries, done } = await made.take(maxCount)
      this.#answer(id, { type: 'fetch_cursor', entries, done })
    }
    cursor.tail = cursor.tail.then(fetch).catch((error: unknown) => this.#broken(error))
  }

  #closeCursor(id: number, cursorId: number): void {
    const cursor = this.#cursor(cursorId)
    // From now on there may be another on the stream, which waits for this one.
    this.#cursors.delete(cursorId)
    cursor.line.cursor = null
    const close = async (): Promise<void> => {
      cursor.release()
      this.#answer(id, { type: 'close_cursor' })
    }
    cursor.tail = cursor.tail.then(close).catch((error: unknown) => this.#broken(error))
  }

  #cursor(cursorId: number): OpenCursor {
    const cursor = this.#cursors.get(cursorId)
    if (cursor === undefined) throw violation(`cursor ${cursorId} is not open`)
    return cursor
  }

  // Order

  #line(streamId: number): Line {
    const line = this.#lines.get(streamId)
    if (line === undefined) throw violation(`stream ${streamId} is not open`)
    return line
  }

  /** Runs it when those before it on the stream are done. It answers by itself. */
  #enqueue(line: Line, id: number, work: (stream: HranaStream) => Promise<void>): void {
    const { stream } = line
    if (stream === null) {
      this.#fail(id, { code: 'OVERLOADED', detail: 'The stream could not be opened.' })
      return
    }
    line.queue.push(() => work(stream))
    if (!line.busy) void this.#drain(line)
  }

  async #drain(line: Line): Promise<void> {
    line.busy = true
    try {
      for (let work = line.queue.shift(); work !== undefined; work = line.queue.shift()) {
        if (this.#ended) {
          // A close_stream that waited for its turn took the line out of what `end` looks at.
          if (line.stream !== null) this.#options.streams.drop(line.stream)
          return
        }
        await work()
      }
    } catch (error) {
      this.#broken(error)
    } finally {
      line.busy = false
    }
  }

  // Answers

  #answer(requestId: number, response: WsResponse, token: SessionToken | null = null): void {
    this.#pending -= 1
    if (!this.#ended) this.#options.send({ type: 'response_ok', requestId, response, token })
  }

  #fail(requestId: number, error: ErrorData): void {
    this.#pending -= 1
    if (!this.#ended) this.#options.send({ type: 'response_error', requestId, error })
  }

  #attempt(work: () => void): void {
    try {
      work()
    } catch (error) {
      this.#broken(error)
    }
  }

  /** What breaks the protocol ends the connection, and so does a bug of ours. */
  #broken(error: unknown): void {
    if (this.#ended) return
    if (error instanceof QuorateError && error.code === 'BAD_REQUEST') {
      this.#violate(error.detail)
      return
    }
    this.#options.onError(error)
    this.#close(CLOSE.internal, 'internal error')
  }

  #violate(reason: string): void {
    this.#close(CLOSE.violation, reason)
  }

  #close(code: number, reason: string): void {
    if (this.#ended) return
    this.end()
    this.#options.close(code, reason)
  }
}

function violation(what: string): QuorateError {
  return new QuorateError('BAD_REQUEST', `${what}.`)
}
