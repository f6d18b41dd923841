/**
 * One WebSocket to one peer: Hello each way, then messages. It knows nothing of who dials, or of
 * other links; peer-transport.ts does.
 */
import type { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import type { WebSocket } from 'ws'
import type { NodeId } from '../base/brand.ts'
import { QuorateError } from '../base/errors.ts'
import type { Hello, PeerMessage } from '../model/message.ts'
import { type Checksums, decodeHello, decodeMessage, encodeHello } from '../model/wire.ts'

/** Why a link was closed on purpose; WebSocket leaves 4000 to 4999 to applications. */
export const CLOSE = {
  protocol: 4001,
  cluster: 4002,
  addressee: 4003,
  duplicate: 4004,
  malformed: 4005,
  unwanted: 4006,
} as const

/** A close reason may take 123 bytes; cutting inside a character makes up to nine out of three. */
const REASON_BYTES_MAX = 110
/** Ticks without a byte from the peer after which it counts as dead. */
const SILENT_TICKS_MAX = 5

export interface LinkHandlers {
  /** The peer's Hello came; the handler answers with `up` or `refuse`. */
  hello(link: Link, hello: Hello): void
  message(link: Link, from: NodeId, message: PeerMessage): void
  /** Called once. `code` and `reason` are the closing side's. */
  closed(link: Link, code: number, reason: string): void
}

export class Link {
  /** This node opened it. */
  readonly dialed: boolean
  readonly #socket: WebSocket
  readonly #handlers: LinkHandlers
  readonly #checksums: Checksums
  /** Under the WebSocket: to write what one turn sends in one system call. */
  #raw: Duplex | null
  #corked = false
  #silentTicks = 0
  #bytesRead = 0
  #bytesWritten = 0
  #peer: NodeId | null = null
  /** What closed it, if it was this side: the other's close frame only repeats it. */
  #refusal: { readonly code: number; readonly reason: string } | null = null
  #closed = false

  /** @param raw the connection under an accepted WebSocket; null for one that is being dialed */
  constructor(socket: WebSocket, raw: Duplex | null, handlers: LinkHandlers, checksums: Checksums) {
    this.dialed = raw === null
    this.#socket = socket
    this.#raw = raw
    this.#handlers = handlers
    this.#checksums = checksums
    socket.on('upgrade', (response) => {
      this.#raw = response.socket
    })
    socket.on('message', (data, isBinary) => this.#onFrame(data as Buffer, isBinary))
    socket.on('error', () => {}) // 'close' follows and is what counts
    socket.on('close', (code, reason) => this.#onClose(code, reason.toString()))
  }

  /** The peer, once Hello went both ways. */
  get peer(): NodeId | null {
    return this.#peer
  }

  sendHello(hello: Hello): void {
    this.#socket.send(encodeHello(hello))
  }

  /** Hello went both ways. */
  up(peer: NodeId): void {
    this.#peer = peer
  }

  /** Bytes that are sent but not yet handed to the system. */
  get bufferedBytes(): number {
    return this.#socket.bufferedAmount
  }

  /** Sends a frame; those of one turn of the event loop leave together. */
  send(frame: Uint8Array): void {
    if (!this.#corked && this.#raw !== null) {
      const raw = this.#raw
      this.#corked = true
      raw.cork()
      process.nextTick(() => {
        this.#corked = false
        raw.uncork()
      })
    }
    this.#socket.send(frame, { binary: true, compress: false })
  }

  /**
   * To be called about once a second. A peer that has nothing to say pings, also while it receives:
   * the sender of a large message must hear that somebody is there. Bytes count, not messages, and
   * ticks, not time, so that neither a slow network nor a process that stood still looks like death.
   */
  tick(): void {
    const { bytesRead = 0, bytesWritten = 0 } = (this.#raw ?? {}) as Partial<Socket>
    this.#silentTicks = bytesRead === this.#bytesRead ? this.#silentTicks + 1 : 0
    if (this.#silentTicks > SILENT_TICKS_MAX) this.#socket.terminate()
    else if (this.#peer !== null && bytesWritten === this.#bytesWritten) this.#socket.ping()
    this.#bytesRead = bytesRead
    this.#bytesWritten = bytesWritten
  }

  /** It was heard from in the last ticks. */
  get fresh(): boolean {
    return this.#silentTicks <= 2
  }

  /** Closes the link and tells the peer why. */
  refuse(code: number, reason: string): void {
    const short = Buffer.from(reason).subarray(0, REASON_BYTES_MAX).toString()
    this.#refusal = { code, reason }
    this.#socket.close(code, short)
    this.#onClose(code, reason)
  }

  /** Closes the link at once, without a word and without `closed`. */
  drop(): void {
    this.#closed = true
    this.#socket.terminate()
  }

  #onFrame(data: Buffer, isBinary: boolean): void {
    if (this.#closed) return
    const decoded = this.#decode(data, isBinary)
    if (decoded === null) return
    if ('hello' in decoded) this.#handlers.hello(this, decoded.hello)
    else this.#handlers.message(this, decoded.from, decoded.message)
  }

  /** Null: the frame was malformed or out of place, and the link has been closed. */
  #decode(data: Buffer, isBinary: boolean) {
    try {
      const from = this.#peer
      if (from !== null && isBinary) {
        return { from, message: decodeMessage(data, this.#checksums) }
      }
      if (from === null && !isBinary) return { hello: decodeHello(data.toString()) }
      this.refuse(CLOSE.malformed, `A ${isBinary ? 'message' : 'Hello'} out of place.`)
    } catch (error) {
      if (!(error instanceof QuorateError)) throw error
      this.refuse(CLOSE.malformed, error.detail)
    }
    return null
  }

  #onClose(code: number, reason: string): void {
    if (this.#closed) return
    this.#closed = true
    const why = this.#refusal ?? { code, reason }
    this.#handlers.closed(this, why.code, why.reason)
  }
}
