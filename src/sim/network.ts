/**
 * The network of a simulated world: it loses, delays, duplicates, reorders and cuts. Messages cross
 * it as bytes of the production codec, so that nodes share nothing by reference.
 *
 * A link is what the production transport shows a node: one connection between two processes. It
 * goes down some time after a cut or a crash, and comes back some time after the heal; a cut may
 * also stay unnoticed, and then the link is up and swallows messages.
 */
import type { NodeId } from '../base/brand.ts'
import type { Prng } from '../base/prng.ts'
import type { PeerMessage } from '../model/message.ts'
import type { Checksums } from '../model/wire.ts'
import { decodeMessage, encodeMessage } from '../model/wire.ts'
import type { DelayUs, Profile } from './profile.ts'
import { drawDelay } from './profile.ts'
import type { Schedule } from './schedule.ts'
import { Lifetime } from './schedule.ts'

/** One run of a node's process. */
export interface Endpoint {
  readonly id: NodeId
  readonly life: Lifetime
  receive(from: NodeId, message: PeerMessage): void
  link(peer: NodeId, up: boolean): void
}

interface Cut {
  /** The connection breaks some time after; otherwise it stays up and silent. */
  readonly noticed: boolean
}

interface Link {
  readonly a: NodeId
  readonly b: NodeId
  up: boolean
}

/** Links that are longer than the others. */
export interface Far {
  readonly delay: DelayUs
  readonly isFar: (one: NodeId, other: NodeId) => boolean
}

export class SimNetwork {
  readonly #schedule: Schedule
  readonly #prng: Prng
  readonly #faults: Profile['network']
  readonly #linkUsMax: number
  readonly #checksums: Checksums
  readonly #far: Far | null
  readonly #world = new Lifetime()
  readonly #endpoints = new Map<NodeId, Endpoint>()
  readonly #peers = new Map<NodeId, ReadonlySet<NodeId>>()
  readonly #links = new Map<string, Link>()
  readonly #cuts = new Map<string, Cut>()
  #healed = false

  constructor(
    schedule: Schedule,
    prng: Prng,
    profile: Profile,
    checksums: Checksums,
    far: Far | null = null,
  ) {
    this.#schedule = schedule
    this.#prng = prng
    this.#faults = profile.network
    this.#linkUsMax = profile.linkUsMax
    this.#checksums = checksums
    this.#far = far
  }

  /** A process started. Connections of the one before it break, however soon this was. */
  attach(endpoint: Endpoint): void {
    const { id } = endpoint
    this.#endpoints.set(id, endpoint)
    for (const link of this.#links.values()) {
      if (!link.up || (link.a !== id && link.b !== id)) continue
      link.up = false
      this.#tell(link.a === id ? link.b : link.a, id, false)
    }
  }

  /** A process died; others see their connections break. */
  detach(id: NodeId): void {
    this.#endpoints.delete(id)
    this.#peers.delete(id)
    this.#review()
  }

  /** Whom a node wants connections to: either side's wish is enough for one. */
  setPeers(id: NodeId, peers: readonly NodeId[]): void {
    this.#peers.set(id, new Set(peers))
    this.#review()
  }

  send(from: NodeId, to: NodeId, message: PeerMessage): void {
    const target = this.#endpoints.get(to)
    if (target === undefined || !this.#linkOf(from, to).up) return
    if (this.#cuts.has(`${from}>${to}`) || this.#draw(this.#faults.lossPercent)) return
    const bytes = encodeMessage(message)
    this.#deliver(from, target, bytes)
    // The production transport never doubles a request: TCP does not. Raft must not care.
    const request = message.kind === 'forward' || message.kind === 'forwardReply'
    if (!request && this.#draw(this.#faults.duplicatePercent)) this.#deliver(from, target, bytes)
  }

  /** Cuts one direction. */
  cut(from: NodeId, to: NodeId, noticed: boolean): void {
    this.#cuts.set(`${from}>${to}`, { noticed })
    this.#review()
  }

  /** Mends all cuts. */
  heal(): void {
    this.#cuts.clear()
    this.#review()
  }

  /** From here on nothing is lost, doubled or slow. */
  calm(): void {
    this.#healed = true
    this.heal()
  }

  #draw(percent: number): boolean {
    return !this.#healed && percent > 0 && this.#prng.percent(percent)
  }

  #deliver(from: NodeId, target: Endpoint, bytes: Uint8Array): void {
    const far = this.#far?.isFar(from, target.id) === true ? this.#far.delay : null
    const delay = this.#healed
      ? this.#prng.intInclusive(100, 500)
      : drawDelay(this.#prng, far ?? this.#faults.delay)
    this.#schedule.after(delay, target.life, () => {
      target.receive(from, decodeMessage(bytes, this.#checksums))
    })
  }

  #linkOf(one: NodeId, other: NodeId): Link {
    const [a, b] = one < other ? [one, other] : [other, one]
    const key = `${a} ${b}`
    let link = this.#links.get(key)
    if (link === undefined) {
      link = { a, b, up: false }
      this.#links.set(key, link)
    }
    return link
  }

  /** Something changed: connections follow after a while. */
  #review(): void {
    const ids = [...this.#peers.keys()]
    for (const id of ids) for (const peer of this.#peers.get(id) ?? []) this.#linkOf(id, peer)
    for (const link of this.#links.values()) {
      if (this.#wanted(link) === link.up) continue
      const delay = this.#prng.intInclusive(200, this.#healed ? 5_000 : this.#linkUsMax)
      const gone = !this.#endpoints.has(link.a) || !this.#endpoints.has(link.b)
      this.#schedule.after(link.up && gone ? 200 : delay, this.#world, () => this.#settle(link))
    }
  }

  #wanted(link: Link): boolean {
    const { a, b } = link
    if (!this.#endpoints.has(a) || !this.#endpoints.has(b)) return false
    const asked = this.#peers.get(a)?.has(b) === true || this.#peers.get(b)?.has(a) === true
    const there = this.#cuts.get(`${a}>${b}`)
    const back = this.#cuts.get(`${b}>${a}`)
    // A connection can't be made through a cut, but it can outlive one.
    const cut = link.up
      ? there?.noticed || back?.noticed
      : there !== undefined || back !== undefined
    return asked && cut !== true
  }

  #settle(link: Link): void {
    const up = this.#wanted(link)
    if (up === link.up) return
    link.up = up
    for (const [self, peer] of [
      [link.a, link.b],
      [link.b, link.a],
    ] as const) {
      this.#tell(self, peer, up)
    }
  }

  #tell(self: NodeId, peer: NodeId, up: boolean): void {
    const endpoint = this.#endpoints.get(self)
    if (endpoint === undefined) return
    this.#schedule.after(0, endpoint.life, () => endpoint.link(peer, up))
  }
}
