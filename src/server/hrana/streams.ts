/**
 * Streams between calls. HTTP has no connection to hang a stream on, so each answer carries a baton
 * (see baton.ts) that the next call must bring, and that works once. A stream that nobody uses for a
 * while is closed, and what was open in it rolled back.
 */
import { randomBytes } from 'node:crypto'
import { QuorateError } from '../../base/errors.ts'
import type { NodeReply, NodeRequest, SessionToken } from '../../model/request.ts'
import type { CallOptions } from '../call.ts'
import { Batons, invalidBaton } from './baton.ts'
import type { Seen, StreamRequest } from './protocol.ts'
import { fromReplicationIndex } from './replication-index.ts'
import { HranaStream, laterOf } from './stream.ts'

const ID_BYTES = 16
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
  /** A cursor's call whose baton is out already; null: there is none. */
  lent: PromiseWithResolvers<void> | null
}

/** What the streams must know about the node that they are on. */
export interface Identity {
  readonly id: string
  /** Null: it belongs to none yet. */
  readonly cluster: string | null
  /** With several origins: whose group the node is of. A position alone then tells nothing. */
  readonly origin: string | null
}

export interface StreamsOptions {
  readonly ask: (request: NodeRequest) => Promise<NodeReply>
  readonly identity: () => Identity
  /** After which a stream that nobody uses is closed. */
  readonly idleMs: number
}

export class Streams {
  readonly #options: StreamsOptions
  readonly #batons: Batons
  /** Makes names of streams unique in the cluster; drawing each one would cost more than its SQL. */
  readonly #name = randomBytes(ID_BYTES).toString('hex')
  #opened = 0
  #closing = false
  readonly #kept = new Map<string, Kept>()
  readonly #byStream = new Map<HranaStream, Kept>()
  readonly #expired = new Set<string>()
  #common: SessionToken | null = null

  constructor(options: StreamsOptions) {
    this.#options = options
    this.#batons = new Batons(() => options.identity().id)
  }

  /** Streams that wait for their next call or are in one. */
  get size(): number {
    return this.#kept.size
  }

  /**
   * A call begins on a stream: what its client has seen is what it says, and for a client that says
   * nothing, what anybody like it has seen through this node. libSQL's HTTP clients know of no tokens
   * and open a stream for each call, or keep one and open others for transactions, yet expect to
   * read what they wrote: so all of them here are one session.
   */
  begin(stream: HranaStream, call: CallOptions): void {
    const seen = call.token ?? this.#common
    if (seen !== null) stream.sawToken(seen)
  }

  /** The call ends. What was answered at levels below majority may be taken back. */
  end({ answered }: HranaStream, call: CallOptions): void {
    // A number may be less than a majority.
    const mayBeTakenBack = call.ack === 'local' || typeof call.ack === 'number'
    if (answered === null || call.token !== null || mayBeTakenBack) return
    this.#common = laterOf(this.#common, answered)
  }

  /**
   * Called before anything runs on a new stream that may be kept.
   * Throws OVERLOADED if there is no room for one more.
   */
  assertRoom(): void {
    if (this.#kept.size < KEPT_MAX) return
    throw new QuorateError('OVERLOADED', `${KEPT_MAX} streams are open.`)
  }

  /** A new stream. It is forgotten with its caller unless it is kept. */
  open(): HranaStream {
    this.#opened += 1
    return new HranaStream(`${this.#name}.${this.#opened}`, this.#options.ask)
  }

  /** The client says in a request what it has seen. Called before the stream runs it. */
  saw(stream: HranaStream, request: StreamRequest | Seen): void {
    const index = 'atLeast' in request ? request.atLeast : null
    if (index === null) return
    const { cluster, origin } = this.#options.identity()
    if (cluster !== null && origin === null) stream.sawToken(fromReplicationIndex(index, cluster))
  }

  /** The id of the other node that a baton's stream lives on; null: it is one of this node's. */
  elsewhere(baton: string): string | null {
    return this.#batons.elsewhere(baton)
  }

  /**
   * The stream that a baton belongs to, for one call that ends with `keep` or `drop`.
   * Throws BAD_REQUEST, STREAM_EXPIRED.
   */
  resume(baton: string): HranaStream {
    const { id, sequence } = this.#batons.read(baton)
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
   * A call on the stream ends. Returns the baton for the next one; null if the stream has ended,
   * also because others have taken the room for it meanwhile: what it ran has happened.
   */
  keep(stream: HranaStream): string | null {
    const full = this.#kept.size >= KEPT_MAX && !this.#byStream.has(stream)
    if (stream.closed || this.#closing || full) {
      this.drop(stream)
      return null
    }
    const kept = this.#byStream.get(stream) ?? this.#add(stream)
    kept.sequence += 1n
    kept.busy = false
    kept.timer = setTimeout(() => this.#expire(kept), this.#options.idleMs)
    return this.#batons.write(kept)
  }

  /**
   * As `keep`, for a call that goes on: the baton is known before the answer is, as a cursor needs
   * it. The call ends with `giveBack`.
   */
  lend(stream: HranaStream): string | null {
    const baton = this.keep(stream)
    const kept = this.#byStream.get(stream)
    if (kept === undefined) return baton
    clearTimeout(kept.timer)
    kept.busy = true
    kept.lent = Promise.withResolvers<void>()
    return baton
  }

  /** The call for which the stream was lent has ended; the baton is good from now on. */
  giveBack(stream: HranaStream): void {
    const kept = this.#byStream.get(stream)
    if (kept === undefined) {
      stream.close()
      return
    }
    kept.lent?.resolve()
    kept.lent = null
    kept.busy = false
    if (stream.closed || this.#closing) this.drop(stream)
    else kept.timer = setTimeout(() => this.#expire(kept), this.#options.idleMs)
  }

  /**
   * Waits while the baton's stream is lent: a client that breaks a cursor off may be back before
   * that is known here. Throws as `resume`.
   */
  async free(baton: string): Promise<void> {
    await this.#kept.get(this.#batons.read(baton).id)?.lent?.promise
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
    const id = randomBytes(ID_BYTES).toString('hex')
    const sequence = randomBytes(4).readUInt32BE()
    const timer = setTimeout(() => {}, 0)
    const kept: Kept = { id, stream, sequence: BigInt(sequence), busy: true, timer, lent: null }
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
    kept.lent?.resolve()
    this.#kept.delete(kept.id)
    this.#byStream.delete(kept.stream)
  }
}
