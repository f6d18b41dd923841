/**
 * The node's one port: HTTP for clients, people and machines, and upgrades handed on to whoever
 * serves the path (peers). Puts the parts together; each route group has a file of its own.
 */
import type { IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Duplex } from 'node:stream'
import { type FastifyInstance, type FastifyReply, type FastifyRequest, fastify } from 'fastify'
import { ERRORS, fromErrorData, QuorateError, toErrorData } from '../base/errors.ts'
import { LIMITS } from '../base/limits.ts'
import { bearerCheck } from '../net/bearer.ts'
import { addAdminRoutes } from './admin.ts'
import type { CallDefaults } from './call.ts'
import { answerPipeline, type HranaAnswer, refusal } from './hrana/http.ts'
import type { HranaVersion } from './hrana/protocol.ts'
import { Streams } from './hrana/streams.ts'
import { createMetrics } from './metrics.ts'
import { addPublicRoutes } from './public.ts'
import { send } from './reply.ts'
import type { NodeService } from './service.ts'

/** Takes over a connection whose client asked for another protocol. */
export type UpgradeHandler = (request: IncomingMessage, socket: Duplex, head: Buffer) => void

export interface HttpServerOptions {
  readonly service: NodeService
  /** Clients must show it; null: everybody may. */
  readonly token: string | null
  /** Levels and deadline of calls that name none. */
  readonly defaults?: Partial<CallDefaults>
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
}

const DEFAULTS: CallDefaults = { read: 'session', ack: 'majority', timeoutMs: 10_000 }
const STREAM_IDLE_MS = 10_000
/** No token is asked for here: probes of machines, of libSQL's clients and of browsers. */
const FREE: ReadonlySet<string> = new Set(['/health', '/ready', '/v2', '/v3'])

export function createHttpServer(options: HttpServerOptions): HttpServer {
  const { service } = options
  const defaults = { ...DEFAULTS, ...options.defaults }
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
  const streams = new Streams(metrics.measure, options.streamIdleMs ?? STREAM_IDLE_MS)
  addHooks(app, options.token)
  addErrors(app, options.onError ?? (() => {}))
  addHranaRoutes(app, streams, defaults)
  const endEvents = addPublicRoutes(app, service, metrics)
  addAdminRoutes(app, service, metrics.measure)
  addUpgrades(app, options.upgrades ?? {})
  return {
    listen: async (host, port) => {
      await app.listen({ host, port })
      return (app.server.address() as AddressInfo).port
    },
    close: async () => {
      endEvents()
      streams.close()
      await app.close()
    },
  }
}

/** Some Hrana clients send text/plain or no type at all; every body is bytes until a route says. */
function acceptAnyBody(app: FastifyInstance): void {
  app.removeAllContentTypeParsers()
  app.addContentTypeParser('*', { parseAs: 'buffer' }, (_request, body, done) => done(null, body))
}

function addHooks(app: FastifyInstance, token: string | null): void {
  const admits = bearerCheck(token)
  app.addHook('onRequest', (request, reply, done) => {
    const { method, url, headers } = request
    if (method === 'OPTIONS') {
      reply.code(204).header('access-control-max-age', '86400').send()
      return
    }
    if (token === null || admits(headers.authorization) || isFree(method, url)) done()
    else done(new QuorateError('UNAUTHORIZED', 'The cluster token is missing or wrong.'))
  })
  // What administers a node is not for pages of other sites; data is, as with sqld.
  app.addHook('onSend', (request, reply, _payload, done) => {
    if (!request.url.startsWith('/admin')) reply.headers(CORS)
    done()
  })
}

const CORS = {
  'access-control-allow-origin': '*',
  'access-control-allow-methods': '*',
  'access-control-allow-headers': '*, authorization',
  'access-control-expose-headers': 'quorate-session',
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

function addHranaRoutes(app: FastifyInstance, streams: Streams, defaults: CallDefaults): void {
  for (const version of [2, 3] as const) {
    app.get(`/v${version}`, (_request, reply) => send(reply, 200, { hrana: version }))
    app.post(`/v${version}/pipeline`, async (request, reply) => {
      writeAnswer(reply, await answerHrana(streams, version, request, defaults))
    })
  }
}

async function answerHrana(
  streams: Streams,
  version: HranaVersion,
  { url, headers, body }: FastifyRequest,
  defaults: CallDefaults,
): Promise<HranaAnswer> {
  if (!Buffer.isBuffer(body)) return refusal(new QuorateError('BAD_REQUEST', 'There is no body.'))
  return answerPipeline(streams, version, url, headers, body.toString(), defaults)
}

/**
 * Past fastify, as a text: Node then sends head and body in one write, which is a quarter of the
 * time of a small answer.
 */
function writeAnswer(reply: FastifyReply, answer: HranaAnswer): void {
  reply.hijack()
  const { status, contentType, body, session } = answer
  reply.raw.writeHead(status, {
    ...CORS,
    'content-type': contentType,
    'content-length': Buffer.byteLength(body),
    ...(session === null ? {} : { 'quorate-session': session }),
  })
  reply.raw.end(body)
}

function addUpgrades(
  app: FastifyInstance,
  upgrades: Readonly<Record<string, UpgradeHandler>>,
): void {
  app.server.on('upgrade', (request, socket, head) => {
    const path = (request.url ?? '').split('?', 1)[0] ?? ''
    const handler = Object.hasOwn(upgrades, path) ? upgrades[path] : undefined
    socket.on('error', () => socket.destroy())
    if (handler !== undefined) handler(request, socket, head)
    else socket.end('HTTP/1.1 404 Not Found\r\nconnection: close\r\ncontent-length: 0\r\n\r\n')
  })
}
