/**
 * Links to all peers: one WebSocket for each pair of nodes, dialed by the one with the smaller id.
 * If that one has not come after a while the other dials too, because it may not know of us yet (a
 * node that is joining has nobody to dial). Two links of one pair can then meet: both sides keep
 * the one that the smaller dialed. Messages that find no link, or a full one, are dropped: the
 * order module repairs, and a queue here would only deliver what is out of date.
 */
import type { IncomingMessage } from 'node:http'
import type { Duplex } from 'node:stream'
import { WebSocket, WebSocketServer } from 'ws'
import { assert } from '../base/assert.ts'
import type { NodeId } from '../base/brand.ts'
import type { Prng } from '../base/prng.ts'
import { type Hello, type PeerMessage, PROTOCOL_VERSION } from '../model/message.ts'
import { type Checksums, encodeMessage, FRAME_BYTES_MAX } from '../model/wire.ts'
import { type BearerCheck, bearerCheck } from './bearer.ts'
import { CLOSE, Link, type LinkHandlers } from './link.ts'

/** Where peers connect on a node's port. */
export const PEER_PATH = '/peer'

/** Structurally the driver's NodeEvent: net/ lies below node/. */
export interface PeerEvent {
  readonly name: 'peer.up' | 'peer.down' | 'peer.refused'
  readonly level: 'info' | 'warn'
  readonly facts: Readonly<Record<string, string | number | boolean | null>>
}

export interface PeerTransportOptions {
  readonly id: NodeId
  readonly name: string
  /** Null on a node that belongs to no cluster yet: it takes anyone who names its id. */
  readonly cluster: string | null
  readonly release: string
  /** The cluster's shared token; null: none is asked for or sent. */
  readonly token: string | null
  readonly checksums: Checksums
  readonly prng: Prng
  readonly onMessage: (from: NodeId, message: PeerMessage) => void
  readonly onLink: (peer: NodeId, up: boolean) => void
  readonly onEvent: (event: PeerEvent) => void
  readonly settings?: Partial<TransportSettings>
}

interface TransportSettings {
  /** Wait before a peer is dialed again, doubling from min to max. */
  readonly redialMinMs: number
  readonly redialMaxMs: number
  /** How long the side that should be dialed waits before it dials. */
  readonly patienceMs: number
  /** Unsent bytes to one peer above which messages to it are dropped. */
  readonly bufferBytesMax: number
  /** A peer that is silent for six ticks is dead. */
  readonly tickMs: number
}

const SETTINGS: TransportSettings = {
  redialMinMs: 50,
  redialMaxMs: 1000,
  patienceMs: 300,
  bufferBytesMax: 64 * 1024 * 1024,
  tickMs: 1000,
}

const DIAL_TIMEOUT_MS = 2000
/** Strangers whose last refusal is remembered, so that it is reported once. */
const REFUSALS_MAX = 1000

/** What we do to reach one peer. */
interface Target {
  readonly id: NodeId
  url: string
  /** Consecutive attempts that failed. */
  failures: number
  timer: NodeJS.Timeout | null
  /** Being dialed: not up yet. */
  dialing: Link | null
}

export class PeerTransport {
  readonly #options: PeerTransportOptions
  readonly #settings: TransportSettings
  readonly #admits: BearerCheck
  readonly #server: WebSocketServer
  readonly #handlers: LinkHandlers
  readonly #ticker: NodeJS.Timeout
  readonly #targets = new Map<NodeId, Target>()
  /** Links that are up. */
  readonly #links = new Map<NodeId, Link>()
  /** Links on which Hello has not gone both ways, with whom we dialed. */
  readonly #pending = new Map<Link, Target | null>()
  /** Reason last reported for a peer or address. */
  readonly #refusals = new Map<string, string>()
  #cluster: string | null
  #cut: ReadonlySet<string> = new Set()
  #closed = false

  constructor(options: PeerTransportOptions) {
    this.#options = options
    this.#settings = { ...SETTINGS, ...options.settings }
    this.#cluster = options.cluster
    this.#admits = bearerCheck(options.token)
    this.#server = new WebSocketServer({
      noServer: true,
      clientTracking: false,
      perMessageDeflate: false,
      maxPayload: FRAME_BYTES_MAX,
    })
    this.#handlers = {
      hello: (link, hello) => this.#onHello(link, hello),
      message: (link, from, message) => this.#onMessage(link, from, message),
      closed: (link, code, reason) => this.#onClosed(link, code, reason),
    }
    this.#ticker = setInterval(() => this.#tick(), this.#settings.tickMs)
  }

  /** The cluster that this node belongs to from now on. Links that are up stay. */
  setCluster(cluster: string): void {
    this.#cluster = cluster
  }

  /** The peers that there should be links to. Links from others are accepted, not sought. */
  setPeers(peers: readonly { readonly id: NodeId; readonly url: string }[]): void {
    if (this.#closed) return
    const wanted = new Map(peers.map(({ id, url }) => [id, url]))
    wanted.delete(this.#options.id)
    for (const target of this.#targets.values()) {
      if (!wanted.has(target.id)) this.#forget(target)
    }
    for (const [id, url] of wanted) this.#seek(id, url)
  }

  /** Sends to a peer, or drops the message if there is no link or too much waits on it. */
  send(to: NodeId, message: PeerMessage): void {
    const link = this.#links.get(to)
    if (link === undefined || this.#isCut(to)) return
    if (link.bufferedBytes > this.#settings.bufferBytesMax) return
    link.send(encodeMessage(message))
  }

  /** The HTTP server's upgrade to PEER_PATH. */
  accept(request: IncomingMessage, socket: Duplex, head: Buffer): void {
    if (this.#closed) {
      socket.destroy()
    } else if (!this.#admits(request.headers.authorization)) {
      this.#report(request.socket.remoteAddress ?? '', 'The cluster token is missing or wrong.')
      socket.end('HTTP/1.1 401 Unauthorized\r\nconnection: close\r\ncontent-length: 0\r\n\r\n')
    } else {
      this.#server.handleUpgrade(request, socket, head, (webSocket) => {
        this.#pending.set(this.#newLink(webSocket, socket), null)
      })
    }
  }

  /**
   * For demonstrations and tests: drops every message to and from these peers, by name or id. The
   * links stay up, as they do when a switch loses packets.
   */
  setCut(names: ReadonlySet<string>): void {
    this.#cut = new Set(names)
  }

  /** Closes all links; no callback comes any more. */
  close(): void {
    this.#closed = true
    clearInterval(this.#ticker)
    for (const { timer } of this.#targets.values()) clearTimeout(timer ?? undefined)
    for (const link of [...this.#links.values(), ...this.#pending.keys()]) link.drop()
    this.#targets.clear()
    this.#links.clear()
    this.#pending.clear()
    this.#server.close()
  }

  #newLink(webSocket: WebSocket, raw: Duplex | null): Link {
    return new Link(webSocket, raw, this.#handlers, this.#options.checksums)
  }

  #tick(): void {
    for (const link of this.#links.values()) link.tick()
    for (const link of this.#pending.keys()) link.tick()
  }

  #isCut(peer: NodeId): boolean {
    if (this.#cut.size === 0) return false
    return this.#cut.has(peer) || this.#cut.has(peer.slice(0, peer.lastIndexOf(':')))
  }

  // Dialing

  #seek(id: NodeId, url: string): void {
    const known = this.#targets.get(id)
    if (known !== undefined) {
      known.url = url
      return
    }
    const target: Target = { id, url, failures: 0, timer: null, dialing: null }
    this.#targets.set(id, target)
    if (this.#links.has(id)) return
    if (this.#dialsFirst(id)) this.#dial(target)
    else this.#dialLater(target)
  }

  #forget(target: Target): void {
    clearTimeout(target.timer ?? undefined)
    this.#targets.delete(target.id)
    target.dialing?.refuse(CLOSE.unwanted, 'No longer a peer.')
    const link = this.#links.get(target.id)
    if (link?.dialed) link.refuse(CLOSE.unwanted, 'No longer a peer.')
  }

  #dialsFirst(peer: NodeId): boolean {
    return this.#options.id < peer
  }

  #dialLater(target: Target): void {
    if (this.#closed || target.timer !== null || target.dialing !== null) return
    if (this.#targets.get(target.id) !== target || this.#links.has(target.id)) return
    const { redialMinMs, redialMaxMs, patienceMs } = this.#settings
    const doubled = Math.min(redialMaxMs, redialMinMs * 2 ** Math.min(target.failures, 10))
    const waits = target.failures === 0 && !this.#dialsFirst(target.id) ? patienceMs : doubled
    const jittered = this.#options.prng.intInclusive(Math.ceil(waits / 2), waits)
    target.timer = setTimeout(() => {
      target.timer = null
      if (!this.#links.has(target.id)) this.#dial(target)
    }, jittered)
  }

  #dial(target: Target): void {
    const { token } = this.#options
    const webSocket = openSocket(target.url, token)
    if (webSocket === null) {
      this.#report(target.id, `Not a URL of a node: ${target.url}.`)
      target.failures += 1
      this.#dialLater(target)
      return
    }
    const link = this.#newLink(webSocket, null)
    target.dialing = link
    this.#pending.set(link, target)
    webSocket.on('open', () => link.sendHello(this.#hello(target.id)))
    webSocket.on('unexpected-response', (_request, response) => {
      this.#report(target.id, `${target.url} answered with HTTP ${response.statusCode}.`)
      response.destroy()
      webSocket.terminate()
    })
  }

  #hello(to: NodeId): Hello {
    const { id, name, release } = this.#options
    const cluster = this.#cluster ?? ''
    return { protocol: PROTOCOL_VERSION, cluster, from: id, to, name, release }
  }

  // Links

  #onHello(link: Link, hello: Hello): void {
    const refusal = this.#refusalOf(link, hello)
    if (refusal !== null) {
      // A duplicate is no news.
      if (refusal.code !== CLOSE.duplicate) this.#report(hello.from, refusal.reason)
      link.refuse(refusal.code, refusal.reason)
      return
    }
    this.#pending.delete(link)
    if (!link.dialed) link.sendHello(this.#hello(hello.from))
    this.#replace(hello.from)
    link.up(hello.from)
    this.#links.set(hello.from, link)
    this.#settle(hello.from)
    this.#refusals.delete(hello.from)
    this.#event('peer.up', 'info', { peer: hello.from, release: hello.release })
    this.#options.onLink(hello.from, true)
  }

  #refusalOf(link: Link, hello: Hello): { code: number; reason: string } | null {
    const { id } = this.#options
    if (hello.protocol !== PROTOCOL_VERSION) {
      const reason = `Protocol ${hello.protocol} (release ${hello.release}) meets ${PROTOCOL_VERSION}.`
      return { code: CLOSE.protocol, reason }
    }
    if (hello.cluster !== '' && this.#cluster !== null && hello.cluster !== this.#cluster) {
      const reason = `Cluster ${hello.cluster} meets cluster ${this.#cluster}.`
      return { code: CLOSE.cluster, reason }
    }
    const dialed = this.#pending.get(link)?.id ?? hello.from
    if (hello.to !== id || hello.from !== dialed || hello.from === id) {
      const reason = `${hello.from} looks for ${hello.to} and meets ${id}.`
      return { code: CLOSE.addressee, reason }
    }
    const rival = this.#links.get(hello.from)
    if (rival?.fresh && this.#byFirst(rival, hello.from) && !this.#byFirst(link, hello.from)) {
      return { code: CLOSE.duplicate, reason: 'There is a link already.' }
    }
    return null
  }

  /** The link was dialed by the one of the pair who should. */
  #byFirst(link: Link, peer: NodeId): boolean {
    return link.dialed === this.#dialsFirst(peer)
  }

  /** Whatever was under way on the old link is lost, so the driver hears of its end. */
  #replace(peer: NodeId): void {
    const old = this.#links.get(peer)
    if (old === undefined) return
    old.drop()
    this.#links.delete(peer)
    this.#options.onLink(peer, false)
  }

  /** There is a link: no more attempts. */
  #settle(peer: NodeId): void {
    const target = this.#targets.get(peer)
    if (target === undefined) return
    clearTimeout(target.timer ?? undefined)
    target.timer = null
    target.failures = 0
    target.dialing = null
  }

  #onMessage(link: Link, from: NodeId, message: PeerMessage): void {
    assert(link.peer === from, () => `message of ${from} on the link of ${link.peer}`)
    if (!this.#isCut(from)) this.#options.onMessage(from, message)
  }

  #onClosed(link: Link, code: number, reason: string): void {
    if (this.#closed) return
    const { peer } = link
    const dialed = this.#pending.get(link)
    this.#pending.delete(link)
    if (peer !== null && this.#links.get(peer) === link) this.#onDown(peer, code, reason)
    if (!dialed || this.#targets.get(dialed.id) !== dialed) return
    if (dialed.dialing === link) dialed.dialing = null
    if (code >= CLOSE.protocol && code !== CLOSE.duplicate) this.#report(dialed.id, reason)
    dialed.failures += 1
    this.#dialLater(dialed)
  }

  #onDown(peer: NodeId, code: number, reason: string): void {
    this.#links.delete(peer)
    this.#event('peer.down', code === CLOSE.malformed ? 'warn' : 'info', { peer, code, reason })
    this.#options.onLink(peer, false)
    const target = this.#targets.get(peer)
    if (target !== undefined) this.#dialLater(target)
  }

  /** Tells once why a peer is refused, however often it comes back. */
  #report(peer: string, reason: string): void {
    if (this.#refusals.get(peer) === reason) return
    if (this.#refusals.size >= REFUSALS_MAX) this.#refusals.clear()
    this.#refusals.set(peer, reason)
    this.#event('peer.refused', 'warn', { peer, reason })
  }

  #event(name: PeerEvent['name'], level: PeerEvent['level'], facts: PeerEvent['facts']): void {
    this.#options.onEvent({ name, level, facts })
  }
}

/** Null if the URL is none. */
function openSocket(url: string, token: string | null): WebSocket | null {
  if (!URL.canParse(PEER_PATH, url)) return null
  const { protocol, host } = new URL(url)
  if (protocol !== 'http:' && protocol !== 'https:') return null
  return new WebSocket(`${protocol === 'https:' ? 'wss' : 'ws'}://${host}${PEER_PATH}`, {
    headers: token === null ? {} : { authorization: `Bearer ${token}` },
    handshakeTimeout: DIAL_TIMEOUT_MS,
    perMessageDeflate: false,
    maxPayload: FRAME_BYTES_MAX,
    // Masking protects careless proxies, costs a pass over every byte, and a mask of zeros is legal.
    generateMask: () => {},
  })
}
