/**
 * Carries snapshots to members that are behind the log, and takes one in when this node is.
 * The receiver asks for each piece, so a broken transfer resumes where it stopped.
 */
import { crc32 } from 'node:zlib'
import type { LogIndex, NodeId } from '../base/brand.ts'
import type { ErrorData } from '../base/errors.ts'
import { LIMITS } from '../base/limits.ts'
import type { EntryId } from '../model/entry.ts'
import type { SnapshotMessage } from '../model/message.ts'
import type { Context } from './context.ts'
import type { SnapshotFile } from './ports.ts'

type Message<K extends SnapshotMessage['kind']> = Extract<SnapshotMessage, { kind: K }>

/** Sending: what all transfers together may take from the disk and the line, bytes per second. */
const BYTES_PER_SECOND = 128 * 1024 * 1024
/** An offer that nobody took up is repeated, and a piece that did not come is asked for again. */
const RETRY_MS = 1_000
/** A transfer without progress is given up. */
const GIVE_UP_MS = 30_000

interface Delivery {
  readonly file: SnapshotFile
  heardAt: number
  offeredAt: number
}

export class SnapshotSender {
  readonly #context: Context
  readonly #deliveries = new Map<NodeId, Delivery>()
  readonly #wanting = new Set<NodeId>()
  #creating = false
  #current: { readonly file: SnapshotFile; usedAt: number } | null = null
  #budget = BYTES_PER_SECOND / 10
  #refilledAt: number
  #fetches: { readonly from: NodeId; readonly message: Message<'snapshotFetch'> }[] = []

  constructor(context: Context) {
    this.#context = context
    this.#refilledAt = context.now()
  }

  /** The log must keep what comes after this, or the transfers under way would be in vain. */
  get keepAfter(): LogIndex | null {
    return this.#current?.file.last.index ?? null
  }

  /** The core found a peer whose next entry is no longer in the log. */
  want(peer: NodeId): void {
    this.#wanting.add(peer)
    this.#serveWanting()
  }

  fetch(from: NodeId, message: Message<'snapshotFetch'>): void {
    const delivery = this.#deliveries.get(from)
    if (delivery === undefined || delivery.file.snapshot !== message.snapshot) return
    delivery.heardAt = this.#context.now()
    this.#fetches.push({ from, message })
    this.#serveFetches()
  }

  done(from: NodeId, message: Message<'snapshotDone'>): void {
    const delivery = this.#deliveries.get(from)
    if (delivery === undefined || delivery.file.snapshot !== message.snapshot) return
    this.#end(from, message.error === null ? message.last : null)
  }

  tick(now: number): void {
    this.#budget = Math.min(
      BYTES_PER_SECOND / 10,
      this.#budget + ((now - this.#refilledAt) / 1000) * BYTES_PER_SECOND,
    )
    this.#refilledAt = now
    this.#serveFetches()
    for (const [peer, delivery] of this.#deliveries) {
      if (now - delivery.heardAt > GIVE_UP_MS) this.#end(peer, null)
      else if (now - Math.max(delivery.heardAt, delivery.offeredAt) > RETRY_MS) {
        this.#offer(peer, delivery)
      }
    }
    const current = this.#current
    if (current !== null && this.#deliveries.size === 0 && now - current.usedAt > GIVE_UP_MS) {
      this.#release()
    }
  }

  leadershipLost(): void {
    this.#deliveries.clear()
    this.#wanting.clear()
    this.#fetches = []
    this.#release()
  }

  #serveWanting(): void {
    if (this.#wanting.size === 0 || this.#creating) return
    const { order } = this.#context
    const current = this.#current
    if (current !== null && current.file.last.index > order.base.index) {
      for (const peer of this.#wanting) this.#deliver(peer, current.file)
      this.#wanting.clear()
      return
    }
    this.#release()
    this.#creating = true
    this.#context.ports.snapshots.create((reply) => {
      this.#creating = false
      if (isError(reply)) {
        this.#context.emit('snapshot.failed', 'error', { code: reply.code, detail: reply.detail })
        for (const peer of this.#wanting) {
          this.#context.step({ kind: 'snapshotEnded', peer, last: null })
        }
        this.#wanting.clear()
        return
      }
      this.#current = { file: reply, usedAt: this.#context.now() }
      if (this.#context.order.role === 'leader') this.#serveWanting()
      else this.#release()
    })
  }

  #deliver(peer: NodeId, file: SnapshotFile): void {
    const now = this.#context.now()
    const delivery = { file, heardAt: now, offeredAt: now }
    this.#deliveries.set(peer, delivery)
    this.#context.emit('snapshot.offered', 'info', {
      to: peer,
      index: file.last.index,
      bytes: file.bytes,
    })
    this.#offer(peer, delivery)
  }

  #offer(peer: NodeId, delivery: Delivery): void {
    delivery.offeredAt = this.#context.now()
    const { snapshot, last, bytes, digest } = delivery.file
    const { term } = this.#context.order
    const message = { kind: 'snapshotOffer', term, snapshot, last, bytes, digest } as const
    this.#context.ports.transport.send(peer, message)
  }

  #serveFetches(): void {
    while (this.#budget > 0) {
      const fetch = this.#fetches.shift()
      if (fetch === undefined) return
      this.#budget -= LIMITS.snapshotChunkBytes
      const { snapshot, offset } = fetch.message
      this.#context.ports.snapshots.readChunk(snapshot, offset, (data) => {
        if (isError(data)) {
          this.#end(fetch.from, null)
          return
        }
        const { term } = this.#context.order
        const chunk = { snapshot, offset, data, checksum: crc32(data) }
        this.#context.ports.transport.send(fetch.from, { kind: 'snapshotChunk', term, ...chunk })
      })
    }
  }

  #end(peer: NodeId, last: SnapshotFile['last'] | null): void {
    if (!this.#deliveries.delete(peer)) return
    if (this.#current !== null) this.#current.usedAt = this.#context.now()
    if (last !== null) this.#context.counters.snapshotsSent += 1
    this.#context.emit('snapshot.ended', last === null ? 'warn' : 'info', {
      to: peer,
      delivered: last !== null,
    })
    this.#context.step({ kind: 'snapshotEnded', peer, last })
  }

  #release(): void {
    if (this.#current !== null) this.#context.ports.snapshots.release(this.#current.file.snapshot)
    this.#current = null
  }
}

interface Reception {
  readonly from: NodeId
  readonly offer: Message<'snapshotOffer'>
  offset: number
  /** A piece is being written, or the whole checked: nothing is asked for meanwhile. */
  writing: boolean
  heardAt: number
  askedAt: number
}

export class SnapshotReceiver {
  readonly #context: Context
  readonly #install: (path: string, done: (error: ErrorData | null) => void) => void
  #reception: Reception | null = null

  /** @param install replaces the database by the file and tells when that is durable */
  constructor(
    context: Context,
    install: (path: string, done: (error: ErrorData | null) => void) => void,
  ) {
    this.#context = context
    this.#install = install
  }

  offer(from: NodeId, offer: Message<'snapshotOffer'>): void {
    const { order } = this.#context
    if (offer.term < order.term) return
    if (this.#holds(offer.last)) {
      this.#reply(from, offer, null)
      return
    }
    const current = this.#reception
    if (current !== null && current.offer.snapshot === offer.snapshot) return
    if (current?.writing) return
    const now = this.#context.now()
    const reception = { from, offer, offset: 0, writing: true, heardAt: now, askedAt: now }
    this.#reception = reception
    this.#context.ports.snapshots.resumeAt(offer.snapshot, offer.digest, (offset) => {
      reception.offset = offset
      reception.writing = false
      this.#next(reception)
    })
  }

  chunk(from: NodeId, chunk: Message<'snapshotChunk'>): void {
    const reception = this.#reception
    if (reception === null || reception.from !== from || reception.writing) return
    const { offer, offset } = reception
    if (chunk.snapshot !== offer.snapshot || chunk.offset !== offset) return
    if (chunk.data.byteLength === 0 || crc32(chunk.data) !== chunk.checksum) {
      this.#ask(reception)
      return
    }
    reception.heardAt = this.#context.now()
    reception.writing = true
    this.#context.ports.snapshots.writeChunk(offer.snapshot, offset, chunk.data, (error) => {
      reception.writing = false
      if (error !== null) {
        this.#abandon(reception, error)
        return
      }
      reception.offset += chunk.data.byteLength
      this.#next(reception)
    })
  }

  tick(now: number): void {
    const reception = this.#reception
    if (reception === null || reception.writing) return
    if (now - reception.heardAt > GIVE_UP_MS) {
      this.#reception = null
    } else if (now - reception.askedAt > RETRY_MS) {
      this.#ask(reception)
    }
  }

  #next(reception: Reception): void {
    if (reception.offset < reception.offer.bytes) this.#ask(reception)
    else this.#finish(reception)
  }

  #ask(reception: Reception): void {
    reception.askedAt = this.#context.now()
    const { snapshot } = reception.offer
    const { term } = this.#context.order
    const { offset, from } = reception
    this.#context.ports.transport.send(from, { kind: 'snapshotFetch', term, snapshot, offset })
  }

  #finish(reception: Reception): void {
    const { snapshot, bytes, digest, last } = reception.offer
    reception.writing = true
    this.#context.ports.snapshots.finish(snapshot, bytes, digest, (reply) => {
      if (isError(reply)) {
        this.#abandon(reception, reply)
        return
      }
      if (this.#holds(last)) {
        this.#reception = null
        this.#reply(reception.from, reception.offer, null)
        return
      }
      this.#install(reply.path, (error) => {
        if (error !== null) {
          this.#abandon(reception, error)
          return
        }
        this.#reception = null
        this.#context.counters.snapshotsInstalled += 1
        this.#reply(reception.from, reception.offer, null)
      })
    })
  }

  /**
   * A log that has the snapshot's last entry has all before it, and may have acknowledged more:
   * replacing it would take that back.
   */
  #holds(last: EntryId): boolean {
    const { order } = this.#context
    return last.index <= order.commit || order.termAt(last.index) === last.term
  }

  #abandon(reception: Reception, error: ErrorData): void {
    this.#reception = null
    this.#context.emit('snapshot.abandoned', 'error', { code: error.code, detail: error.detail })
    this.#reply(reception.from, reception.offer, error)
  }

  #reply(to: NodeId, offer: Message<'snapshotOffer'>, error: ErrorData | null): void {
    const { term } = this.#context.order
    const { snapshot, last } = offer
    this.#context.ports.transport.send(to, { kind: 'snapshotDone', term, snapshot, last, error })
  }
}

function isError(reply: object): reply is ErrorData {
  return 'code' in reply
}
