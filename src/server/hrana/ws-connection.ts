/**
 * One socket of a Hrana client: frames in and out, how much may be under way, when it is dead. What
 * the messages mean is the session's business.
 */
import type { Duplex } from 'node:stream'
import type { WebSocket } from 'ws'
import { QuorateError } from '../../base/errors.ts'
import { decodeProtoMessage, encodeProtoMessage } from './proto-ws.ts'
import type { HranaVersion } from './protocol.ts'
import { frames } from './ws-frame.ts'
import { decodeJsonMessage, encodeJsonMessage } from './ws-json.ts'
import type { ClientMessage, ServerMessage } from './ws-protocol.ts'
import { CLOSE, type SessionOptions, WsSession } from './ws-session.ts'

/** Requests without an answer at which no more are read. */
const PENDING_MAX = 256
/** Bytes that the client has not taken at which nothing more is read from it. */
const UNSENT_BYTES_MAX = 4 * 1024 * 1024
/** A close reason may take 123 bytes; cutting inside a character makes up to nine out of three. */
const REASON_BYTES_MAX = 110
/** How long the client may take to answer a close. */
const CLOSE_MS = 2_000

export type WsEncoding = 'json' | 'protobuf'

export interface ConnectionOptions extends Omit<SessionOptions, 'send' | 'close'> {
  readonly encoding: WsEncoding
  /** Called once when it is over. */
  readonly onClosed: (connection: WsConnection) => void
}

export class WsConnection {
  readonly #socket: WebSocket
  /** Under the WebSocket. */
  readonly #raw: Duplex
  readonly #options: ConnectionOptions
  readonly #session: WsSession
  /** To be written when this turn ends, all in one piece. */
  #unwritten: (string | Uint8Array)[] = []
  #paused = false
  /** The client has been heard since the last look. */
  #heard = true
  /** Bytes that it had not taken at the last look. */
  #unsent = 0

  constructor(socket: WebSocket, raw: Duplex, options: ConnectionOptions) {
    this.#socket = socket
    this.#raw = raw
    this.#options = options
    this.#session = new WsSession({
      ...options,
      send: (message) => this.#send(message),
      close: (code, reason) => this.close(code, reason),
    })
    socket.on('message', (data: Buffer, isBinary) => this.#receive(data, isBinary))
    socket.on('pong', () => {
      this.#heard = true
    })
    // 'close' follows, and ends it.
    socket.on('error', () => {})
    socket.once('close', () => {
      this.#session.end()
      options.onClosed(this)
    })
    raw.on('drain', () => this.#regulate())
  }

  /** Ends the session now, and the socket once the client has seen why. */
  close(code: number, reason: string): void {
    this.#session.end()
    this.#flush()
    this.#socket.close(code, Buffer.from(reason).toString('utf8', 0, REASON_BYTES_MAX))
    // A client that does not read would keep it open, and so would what we do not read.
    this.#socket.resume()
    setTimeout(() => this.#socket.terminate(), CLOSE_MS).unref()
  }

  /** Called every so often: a client that is gone without a word is found out by the next call. */
  look(): void {
    const { bufferedAmount } = this.#socket
    const stalled = bufferedAmount > 0 && bufferedAmount >= this.#unsent && this.#unsent > 0
    if (stalled || (!this.#heard && !this.#paused)) {
      this.#socket.terminate()
      return
    }
    this.#heard = false
    this.#unsent = bufferedAmount
    this.#socket.ping()
  }

  #receive(data: Buffer, isBinary: boolean): void {
    this.#heard = true
    const message = this.#decode(data, isBinary)
    if (message === null) return
    this.#session.receive(message)
    this.#regulate()
  }

  /** Null: it could not be read, and the connection ends. */
  #decode(data: Buffer, isBinary: boolean): ClientMessage | null {
    const { encoding, version } = this.#options
    if (isBinary !== (encoding === 'protobuf')) {
      this.close(CLOSE.wrongFrame, `a ${isBinary ? 'binary' : 'text'} frame with ${encoding}`)
      return null
    }
    try {
      return isBinary ? decodeProtoMessage(data) : this.#decodeJson(data, version)
    } catch (error) {
      if (!(error instanceof QuorateError)) throw error
      this.close(isBinary ? CLOSE.malformed : CLOSE.violation, error.detail)
      return null
    }
  }

  #decodeJson(data: Buffer, version: HranaVersion): ClientMessage | null {
    let json: unknown
    try {
      json = JSON.parse(data.toString())
    } catch {
      this.close(CLOSE.malformed, 'a frame that is not JSON')
      return null
    }
    return decodeJsonMessage(json, version)
  }

  #send(message: ServerMessage): void {
    const { encoding } = this.#options
    const encoded = encoding === 'json' ? encodeJsonMessage(message) : encodeProtoMessage(message)
    if (this.#unwritten.push(encoded) === 1) process.nextTick(() => this.#flush())
  }

  /** Past the WebSocket, which has only control frames of its own to send. */
  #flush(): void {
    if (this.#unwritten.length === 0) return
    const bytes = frames(this.#unwritten)
    this.#unwritten = []
    if (this.#raw.writable) this.#raw.write(bytes)
    this.#regulate()
  }

  /** Reads on as long as the client takes its answers, and there are not too many to come. */
  #regulate(): void {
    const { pending } = this.#session
    const { bufferedAmount } = this.#socket
    if (!this.#paused && (pending >= PENDING_MAX || bufferedAmount > UNSENT_BYTES_MAX)) {
      this.#paused = true
      this.#socket.pause()
    } else if (this.#paused && pending < PENDING_MAX / 2 && bufferedAmount < UNSENT_BYTES_MAX / 2) {
      this.#paused = false
      this.#socket.resume()
    }
  }
}
