/**
 * The node's one port: HTTP for clients, people and machines, and upgrades handed on to whoever
 * serves the path (peers). Puts the parts together; each route group has a file of its own.
 */

import type { KeyObject } from 'node:crypto'
import type { IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Duplex } from 'node:stream'
import { type FastifyInstance, type FastifyReply, type FastifyRequest, fastify } from 'fastify'
import { ERRORS, fromErrorData, QuorateError, toErrorData } from '../base/errors.ts'
import { LIMITS } from '../base/limits.ts'
import { ownOrigin } from '../model/status.ts'
import { addAdminRoutes } from './admin.ts'
import { Auth } from './auth.ts'
import type { CallDefaults } from './call.ts'
import { addCursorRoutes } from './hrana/cursor-http.ts'
import { Elsewhere } from './hrana/elsewhere.ts'
import { addHranaRoutes } from './hrana/http.ts'
import { type Identity, Streams } from './hrana/streams.ts'
import { HranaWs } from './hrana/ws.ts'
import { createMetrics } from './metrics.ts'
import { addPublicRoutes } from './public.ts'
import { CORS, send } from './reply.ts'
import type { NodeService } from './service.ts'

/** Takes over a connection whose client asked for another protocol. */
export type UpgradeHandler = (request: IncomingMessage, socket: Duplex, head: Buffer) => void

export interface HttpServerOptions {
  readonly service: NodeService
  /** Clients must show it; null: everybody may. */
  readonly token: string | null
  /** Clients may show a JSON Web Token instead that one of these signed; default none. */
  readonly jwtKeys?: readonly KeyObject[]
  /** Levels and deadline of calls that name none. */
  readonly defaults?: Partial<CallDefaults>
  /** Levels instead of those, asked each time: a node that joins learns late what its cluster has. */
  readonly levels?: () => Pick<CallDefaults, 'read' | 'ack'>
  /** After which an unused Hrana stream is closed. */
  readonly streamIdleMs?: number
  /** By path. They check who asks themselves. */
  readonly upgrades?: Readonly<Record<string, UpgradeHandler>>
  /** Told about what went wrong in the server itself. */
  readonly onError?: (error: unknown) => void
}

export interface HttpServer {
  /** @returns the port, when 0 was asked for the one that was free */
  listen(host: string, port: number): Promise<number>
  /** Rolls back what waits for its next call, answers what is under way, ends all connections. */
  close(): Promise<void>
  /** Streams that wait for their next call or are in one, and clients' WebSockets. */
  readonly open: { readonly streams: number; readonly sockets: number }
}

const DEFAULTS: CallDefaults = { read: 'session', ack: 'majority', timeoutMs: 10_000 }
const STREAM_IDLE_MS = 10_000
/** No token is asked for here: probes of machines, of libSQL's clients and of browsers. */
const FREE: ReadonlySet<string> = new Set(['/health', '/ready', '/v2', '/v3', '/v3-protobuf'])

export function createHttpServer(options: HttpServerOptions): HttpServer {
  const { service } = options
  const identity = identityOf(service)
  const defaults = defaultsOf(options, () => identity().origin)
  const app = fastify({
    logger: false,
    bodyLimit: LIMITS.requestBytesMax,
    forceCloseConnections: 'idle',
    routerOptions: { maxParamLength: 500 },
  })
  acceptAnyBody(app)
  const metrics = createMetrics(
    (request) => service.request(request),
    () => service.status(),
    service.registry,
  )
  const auth = new Auth(options.token, options.jwtKeys ?? [])
  const streams = new Streams({
    ask: metrics.measure,
    identity,
    idleMs: options.streamIdleMs ?? STREAM_IDLE_MS,
  })
  const elsewhere = new Elsewhere(streams, () => service.status())
  addHooks(app, auth)
  const onError = options.onError ?? (() => {})
  addErrors(app, onError)
  addHranaRoutes(app, { streams, elsewhere, defaults })
  addCursorRoutes(app, { streams, elsewhere, defaults })
  const endEvents = addPublicRoutes(app, service, metrics)
  addAdminRoutes(app, service, metrics.measure)
  const hranaWs = new HranaWs({ streams, auth, defaults, onError })
  addUpgrades(app, options.upgrades ?? {}, hranaWs)
  return {
    get open() {
      return { streams: streams.size, sockets: hranaWs.size }
    },
    listen: async (host, port) => {
      await app.listen({ host, port })
      return (app.server.address() as AddressInfo).port
    },
    close: async () => {
      endEvents()
      hranaWs.close()
      streams.close()
      elsewhere.close()
      await app.close()
    },
  }
}

function defaultsOf(options: HttpServerOptions, origin: () => string | null): CallDefaults {
  const { levels } = options
  const fixed = { ...DEFAULTS, ...options.defaults }
  if (levels === undefined) return { ...fixed, origin }
  return {
    timeoutMs: fixed.timeoutMs,
    origin,
    get read() {
      return levels().read
    },
    get ack() {
      return levels().ack
    },
  }
}

/** Some Hrana clients send text/plain or no type at all; every body is bytes until a route says. */
function acceptAnyBody(app: FastifyInstance): void {
  app.removeAllContentTypeParsers()
  app.addContentTypeParser('*', { parseAs: 'buffer' }, (_request, body, done) => done(null, body))
}

/** The node's status costs system calls, and who it is never changes once it belongs somewhere. */
function identityOf(service: NodeService): () => Identity {
  let known: Identity | null = null
  return () => {
    if (known !== null) return known
    const { id, cluster, origins } = service.status()
    const identity = { id, cluster, origin: ownOrigin(origins) }
    if (cluster !== null) known = identity
    return identity
  }
}

function addHooks(app: FastifyInstance, auth: Auth): void {
  app.decorateRequest('caller', null)
  app.addHook('onRequest', (request, reply, done) => {
    const { method, url } = request
    if (method === 'OPTIONS') {
      reply.code(204).header('access-control-max-age', '86400').send()
    } else if (isFree(method, url)) done()
    else checkCaller(auth, request, done)
  })
  // What administers a node is not for pages of other sites; data is, as with sqld.
  app.addHook('onSend', (request, reply, _payload, done) => {
    if (!request.url.startsWith('/admin')) reply.headers(CORS)
    done()
  })
}

/** Without a promise where the token is known: this is on the way of every request. */
function checkCaller(auth: Auth, request: FastifyRequest, done: (error?: Error) => void): void {
  try {
    const caller = auth.check(request.headers.authorization)
    if (!(caller instanceof Promise)) {
      request.caller = caller
      done()
      return
    }
    caller.then((found) => {
      request.caller = found
      done()
    }, done)
  } catch (error) {
    done(error instanceof Error ? error : new Error(String(error)))
  }
}

function isFree(method: string, url: string): boolean {
  return method === 'GET' && FREE.has(url.split('?', 1)[0] ?? '')
}

function addErrors(app: FastifyInstance, onError: (error: unknown) => void): void {
  app.setErrorHandler((thrown, _request, reply) => {
    const error = toQuorateError(thrown)
    if (error.code === 'INTERNAL') onError(thrown)
    sendError(reply, error)
  })
  app.setNotFoundHandler(({ method, url }, reply) => {
    sendError(reply, new QuorateError('NOT_FOUND', `There is no ${method} ${url}.`))
  })
}

/** Message and code also at the top: that is where Hrana's clients look. */
function sendError(reply: FastifyReply, { code, message, facts }: QuorateError): void {
  send(reply, ERRORS[code].status, { error: { code, message, facts }, message, code })
}

function toQuorateError(thrown: unknown): QuorateError {
  if (thrown instanceof QuorateError) return thrown
  const { code, statusCode, message } = thrown as Error & { code?: string; statusCode?: number }
  if (code === 'FST_ERR_CTP_BODY_TOO_LARGE') {
    return new QuorateError('TOO_LARGE', `A body may have ${LIMITS.requestBytesMax} bytes.`)
  }
  if (statusCode !== undefined && statusCode < 500) return new QuorateError('BAD_REQUEST', message)
  return fromErrorData(toErrorData(thrown))
}

function addUpgrades(
  app: FastifyInstance,
  upgrades: Readonly<Record<string, UpgradeHandler>>,
  hranaWs: HranaWs,
): void {
  app.server.on('upgrade', (request, socket, head) => {
    const path = (request.url ?? '').split('?', 1)[0] ?? ''
    const handler = Object.hasOwn(upgrades, path) ? upgrades[path] : undefined
    const isWebSocket = request.headers.upgrade?.toLowerCase() === 'websocket'
    socket.on('error', () => socket.destroy())
    if (handler !== undefined) handler(request, socket, head)
    // On any path, as clients have them in their URLs.
    else if (isWebSocket) hranaWs.accept(request, socket, head)
    else socket.end('HTTP/1.1 404 Not Found\r\nconnection: close\r\ncontent-length: 0\r\n\r\n')
  })
}
