/**
 * Streams between calls. HTTP has no connection to hang a stream on, so each answer carries a baton
 * that the next call must bring: it can't be forged (HMAC under a key of this process), and works
 * once. A stream that nobody uses for a while is closed, and what was open in it rolled back.
 */
import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto'
import { QuorateError } from '../../base/errors.ts'
import type { NodeReply, NodeRequest, SessionToken } from '../../model/request.ts'
import { HranaStream } from './stream.ts'

const ID_BYTES = 16
const SEQUENCE_BYTES = 8
const MAC_BYTES = 32
const BATON_BYTES = ID_BYTES + SEQUENCE_BYTES + MAC_BYTES
/** Streams between calls; each may hold a megabyte of texts. */
const KEPT_MAX = 10_000
/** Expired streams whose end is remembered, to tell it from a forged baton. */
const EXPIRED_MAX = 10_000

interface Kept {
  readonly id: string
  readonly stream: HranaStream
  /** Of the baton that is good for the next call. */
  sequence: bigint
  /** A call is under way on it. */
  busy: boolean
  timer: NodeJS.Timeout
}

export class Streams {
  readonly #ask: (request: NodeRequest) => Promise<NodeReply>
  readonly #idleMs: number
  readonly #key = randomBytes(32)
  /** Makes names of streams unique in the cluster; drawing each one would cost more than its SQL. */
  readonly #name = randomBytes(ID_BYTES).toString('hex')
  #opened = 0
  #closing = false
  readonly #kept = new Map<string, Kept>()
  readonly #byStream = new Map<HranaStream, Kept>()
  readonly #expired = new Set<string>()
  #common: SessionToken | null = null

  /** @param idleMs after which a stream that nobody uses is closed */
  constructor(ask: (request: NodeRequest) => Promise<NodeReply>, idleMs: number) {
    this.#ask = ask
    this.#idleMs = idleMs
  }

  /** Streams that wait for their next call or are in one. */
  get size(): number {
    return this.#kept.size
  }

  /**
   * What has been seen through this node by those who show no token. libSQL's HTTP clients know of
   * none and open a stream for each call, yet expect to read what they wrote: so all of them here
   * are one session.
   */
  get common(): SessionToken | null {
    return this.#common
  }

  /** Somebody without a token has seen this, and it can't be taken back. */
  sawCommon(token: SessionToken | null): void {
    if (token === null || (this.#common !== null && token.index <= this.#common.index)) return
    this.#common = token
  }

  /** A new stream. It is forgotten with its caller unless it is kept. */
  open(): HranaStream {
    this.#opened += 1
    return new HranaStream(`${this.#name}.${this.#opened}`, this.#ask)
  }

  /**
   * The stream that a baton belongs to, for one call that ends with `keep` or `drop`.
   * Throws BAD_REQUEST, STREAM_EXPIRED.
   */
  resume(baton: string): HranaStream {
    const { id, sequence } = this.#read(baton)
    const kept = this.#kept.get(id)
    if (kept === undefined) {
      if (this.#expired.has(id)) {
        throw new QuorateError('STREAM_EXPIRED', 'The stream has expired due to inactivity.')
      }
      throw invalidBaton()
    }
    if (kept.busy || kept.sequence !== sequence) {
      throw new QuorateError('BAD_REQUEST', 'Received a baton that has already been used')
    }
    kept.busy = true
    clearTimeout(kept.timer)
    return kept.stream
  }

  /**
   * A call on the stream ends. Returns the baton for the next one; null if the stream has ended.
   * Throws OVERLOADED.
   */
  keep(stream: HranaStream): string | null {
    if (stream.closed || this.#closing) {
      this.drop(stream)
      return null
    }
    const kept = this.#byStream.get(stream) ?? this.#add(stream)
    kept.sequence += 1n
    kept.busy = false
    kept.timer = setTimeout(() => this.#expire(kept), this.#idleMs)
    return this.#write(kept)
  }

  /** The stream has ended; what is open in it is rolled back. */
  drop(stream: HranaStream): void {
    stream.close()
    const kept = this.#byStream.get(stream)
    if (kept !== undefined) this.#forget(kept)
  }

  /** Ends streams that wait now, and those in a call when it ends. */
  close(): void {
    this.#closing = true
    for (const { stream, busy } of [...this.#kept.values()]) {
      if (!busy) this.drop(stream)
    }
  }

  #add(stream: HranaStream): Kept {
    if (this.#kept.size >= KEPT_MAX) {
      stream.close()
      throw new QuorateError('OVERLOADED', `${KEPT_MAX} streams are open.`)
    }
    const id = randomBytes(ID_BYTES).toString('hex')
    const sequence = randomBytes(4).readUInt32BE()
    const timer = setTimeout(() => {}, 0)
    const kept = { id, stream, sequence: BigInt(sequence), busy: true, timer }
    this.#kept.set(id, kept)
    this.#byStream.set(stream, kept)
    return kept
  }

  #expire(kept: Kept): void {
    kept.stream.close()
    this.#forget(kept)
    this.#expired.add(kept.id)
    if (this.#expired.size <= EXPIRED_MAX) return
    for (const oldest of this.#expired) {
      this.#expired.delete(oldest)
      break
    }
  }

  #forget(kept: Kept): void {
    clearTimeout(kept.timer)
    this.#kept.delete(kept.id)
    this.#byStream.delete(kept.stream)
  }

  #write({ id, sequence }: Kept): string {
    const plain = Buffer.alloc(ID_BYTES + SEQUENCE_BYTES)
    plain.write(id, 'hex')
    plain.writeBigUInt64BE(sequence, ID_BYTES)
    return Buffer.concat([plain, this.#mac(plain)]).toString('base64url')
  }

  #read(baton: string): { readonly id: string; readonly sequence: bigint } {
    const bytes = Buffer.from(baton, 'base64url')
    if (bytes.length !== BATON_BYTES) throw invalidBaton()
    const plain = bytes.subarray(0, ID_BYTES + SEQUENCE_BYTES)
    if (!timingSafeEqual(bytes.subarray(plain.length), this.#mac(plain))) throw invalidBaton()
    return { id: plain.toString('hex', 0, ID_BYTES), sequence: plain.readBigUInt64BE(ID_BYTES) }
  }

  #mac(plain: Buffer): Buffer {
    return createHmac('sha256', this.#key).update(plain).digest()
  }
}

function invalidBaton(): QuorateError {
  return new QuorateError('BAD_REQUEST', 'Received an invalid baton')
}
