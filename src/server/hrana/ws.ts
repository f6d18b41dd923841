/** Hrana over WebSocket: takes connections over, on whatever path, and looks after them. */
import type { IncomingMessage } from 'node:http'
import type { Duplex } from 'node:stream'
import { WebSocketServer } from 'ws'
import { QuorateError } from '../../base/errors.ts'
import { LIMITS } from '../../base/limits.ts'
import type { Auth } from '../auth.ts'
import { type CallDefaults, type Caller, type CallOptions, callOptions } from '../call.ts'
import type { HranaVersion } from './protocol.ts'
import type { Streams } from './streams.ts'
import { type ConnectionOptions, WsConnection, type WsEncoding } from './ws-connection.ts'
import { CLOSE } from './ws-session.ts'

/** How often silent clients are pinged. */
const LOOK_MS = 30_000

interface Protocol {
  readonly name: string
  readonly version: HranaVersion
  readonly encoding: WsEncoding
}

/** Best first. */
const PROTOCOLS: readonly Protocol[] = [
  { name: 'hrana3-protobuf', version: 3, encoding: 'protobuf' },
  { name: 'hrana3', version: 3, encoding: 'json' },
  { name: 'hrana2', version: 2, encoding: 'json' },
  { name: 'hrana1', version: 1, encoding: 'json' },
]
/** Of clients that name none. */
const NAMELESS: Protocol = { name: '', version: 1, encoding: 'json' }

export interface HranaWsOptions {
  readonly streams: Streams
  readonly auth: Auth
  readonly defaults: CallDefaults
  /** Told about what went wrong in the server itself. */
  readonly onError: (error: unknown) => void
}

export class HranaWs {
  readonly #options: HranaWsOptions
  readonly #server = new WebSocketServer({
    noServer: true,
    clientTracking: false,
    perMessageDeflate: false,
    maxPayload: LIMITS.requestBytesMax,
    handleProtocols: (offered) => protocolOf([...offered].join(','))?.name ?? false,
  })
  readonly #connections = new Set<WsConnection>()
  readonly #timer: NodeJS.Timeout

  constructor(options: HranaWsOptions) {
    this.#options = options
    this.#timer = setInterval(() => {
      for (const connection of this.#connections) connection.look()
    }, LOOK_MS).unref()
  }

  /** Connections that are open. */
  get size(): number {
    return this.#connections.size
  }

  /** Answers the request to become a WebSocket. */
  accept(request: IncomingMessage, socket: Duplex, head: Buffer): void {
    const protocol = protocolOf(request.headers['sec-websocket-protocol'])
    if (protocol === null) {
      refuse(socket, 'None of the WebSocket subprotocols is one of Hrana.')
      return
    }
    const call = (caller: Pick<Caller, 'mayWrite'>): CallOptions =>
      callOptions(request.url ?? '/', request.headers, this.#options.defaults, caller)
    try {
      call({ mayWrite: false })
    } catch (error) {
      if (!(error instanceof QuorateError)) throw error
      refuse(socket, error.detail)
      return
    }
    this.#server.handleUpgrade(request, socket, head, (webSocket) => {
      const connection = new WsConnection(
        webSocket,
        socket,
        this.#settings(protocol, request, call),
      )
      this.#connections.add(connection)
    })
  }

  /** Ends all connections; what is open in them is rolled back. */
  close(): void {
    clearInterval(this.#timer)
    for (const connection of this.#connections) {
      connection.close(CLOSE.goingAway, 'the node is stopping')
    }
  }

  #settings(
    { version, encoding }: Protocol,
    { headers: { authorization } }: IncomingMessage,
    call: (caller: Caller) => CallOptions,
  ): ConnectionOptions {
    const { streams, auth, onError } = this.#options
    return {
      ...{ version, encoding, streams, call, onError },
      // A client that can set headers may show its token there.
      check: (jwt) => (jwt === null ? auth.check(authorization) : auth.checkToken(jwt)),
      onClosed: (connection) => this.#connections.delete(connection),
    }
  }
}

/** Null: the client named some, and none is known. */
function protocolOf(offered: string | undefined): Protocol | null {
  if (offered === undefined) return NAMELESS
  const names = offered.split(',').map((name) => name.trim().toLowerCase())
  return PROTOCOLS.find(({ name }) => names.includes(name)) ?? null
}

function refuse(socket: Duplex, text: string): void {
  const head = [
    'HTTP/1.1 400 Bad Request',
    'connection: close',
    'content-type: text/plain',
    `content-length: ${Buffer.byteLength(text)}`,
  ]
  socket.end(`${head.join('\r\n')}\r\n\r\n${text}`)
}
