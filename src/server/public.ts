/** What everybody who may use the node may ask about it: is it alive, ready, who leads, what happens. */
import { once } from 'node:events'
import type { ServerResponse } from 'node:http'
import type { FastifyInstance } from 'fastify'
import { QuorateError } from '../base/errors.ts'
import { type Changes, encodeChanges } from '../model/changes.ts'
import { bad } from '../model/fields.ts'
import type { NodeReply, NodeRequest } from '../model/request.ts'
import { ownOrigin } from '../model/status.ts'
import { encodeToken } from '../model/token.ts'
import type { NodeEvent } from '../node/ports.ts'
import { ChangeFeed } from './change-feed.ts'
import type { Metrics } from './metrics.ts'
import { send } from './reply.ts'
import type { NodeService } from './service.ts'

/** Comment lines keep proxies from closing a silent event stream. */
const KEEP_ALIVE_MS = 15_000
/** Unsent bytes above which a listener that does not read is dropped. */
const BACKLOG_BYTES_MAX = 1024 * 1024
const TOKEN_TIMEOUT_MS = 1000

/** @returns a function that ends all event streams */
export function addPublicRoutes(
  app: FastifyInstance,
  service: NodeService,
  metrics: Metrics,
): () => void {
  app.get('/health', (_request, reply) => send(reply, 200, { ok: true }))
  app.get('/ready', (_request, reply) => {
    const { ready, role, leader, alarms } = service.status()
    send(reply, ready ? 200 : 503, { ready, role, leader, alarms })
  })
  app.get('/status', (_request, reply) => send(reply, 200, service.status()))
  app.get('/topology', async (_request, reply) => {
    const { name, log } = service.status()
    // A client names its writes by where the log stands, which is not known here yet.
    if (log.committed === 0)
      throw new QuorateError('NOT_READY', `${name} has nothing of the log yet.`)
    const token = await currentToken(service)
    send(reply, 200, { ...topologyOf(service), session: token })
  })
  app.get('/metrics', async (_request, reply) => {
    const text = await metrics.text()
    reply.header('content-type', metrics.contentType).send(text)
  })
  return addEvents(app, service)
}

/** What a client needs for choosing a node. */
function topologyOf(service: NodeService) {
  const { cluster, name, leader, term, log, members, origins } = service.status()
  return {
    cluster,
    name,
    term,
    leader,
    position: log.committed,
    origin: ownOrigin(origins),
    members: members.map(({ name, url, role, leader, connected }) => ({
      ...{ name, url, role, leader, connected },
    })),
  }
}

const PROBE: NodeRequest = {
  kind: 'read',
  program: { atomic: true, steps: [{ statement: { sql: 'SELECT 1' } }] },
  level: 'session',
  token: null,
  timeoutMs: TOKEN_TIMEOUT_MS,
}

/** The token of a session that has seen what this replica has now; null if it can't tell. */
async function currentToken(service: NodeService): Promise<string | null> {
  const reply: NodeReply = await service.request(PROBE)
  return reply.kind === 'result' ? encodeToken(reply.token) : null
}

/**
 * Server-sent events: the node's events as they happen, and with `?changes=1` what entries change,
 * `&after=N` from the entry after that position.
 */
function addEvents(app: FastifyInstance, service: NodeService): () => void {
  const listeners = new Set<ServerResponse>()
  app.get('/events', (request, reply) => {
    const wish = changesWish(request.query)
    reply.hijack()
    const response = reply.raw
    response.writeHead(200, {
      'content-type': 'text/event-stream',
      'cache-control': 'no-store',
      'access-control-allow-origin': '*',
    })
    const write = (text: string): void => {
      if (response.writableLength > BACKLOG_BYTES_MAX) response.destroy()
      else response.write(text)
    }
    write(':\n\n')
    const unsubscribe = service.events((event) => write(encodeEvent(event)))
    const alive = setInterval(() => write(':\n\n'), KEEP_ALIVE_MS)
    listeners.add(response)
    const stopChanges = wish === null ? () => {} : sendChanges(service, response, wish)
    request.raw.on('close', () => {
      stopChanges()
      clearInterval(alive)
      unsubscribe()
      listeners.delete(response)
    })
  })
  return () => {
    for (const response of listeners) response.end()
  }
}

interface ChangesWish {
  /** The first change told is the one after this position; null: what comes from now on. */
  readonly after: number | null
  /** The origin in whose log that is; null: not said. */
  readonly of: string | null
}

/** null: changes are not asked for. Throws BAD_REQUEST. */
function changesWish(query: unknown): ChangesWish | null {
  const { changes, after = '', of = null } = query as Readonly<Record<string, string>>
  if (changes !== '1') return null
  if (!/^\d{0,15}$/.test(String(after))) throw bad('after', 'a position', after)
  return { after: after === '' ? null : Number(after), of }
}

/** Entries are read from the log only as fast as the connection takes what they change. */
function sendChanges(
  service: NodeService,
  response: ServerResponse,
  { after, of }: ChangesWish,
): () => void {
  const give = async (changes: Changes): Promise<void> => {
    const room = response.write(`event: change\ndata: ${encodeChanges(changes)}\n\n`)
    if (!room && !response.destroyed) await Promise.race([once(response, 'drain'), gone])
  }
  const gone = new Promise<void>((resolve) => response.once('close', resolve))
  const { origins, log } = service.status()
  const origin = ownOrigin(origins)
  if (origin !== null) response.write(`event: origin\ndata: ${JSON.stringify(origin)}\n\n`)
  // A position in another group's log says nothing about this one's: all before now is missed.
  const elsewhere = of !== null && of !== origin
  const from = elsewhere ? log.applied : after
  if (elsewhere) void give({ kind: 'gap', through: log.applied })
  const feed = new ChangeFeed((request) => service.request(request), give, from)
  const unwatch = service.watch((position) => feed.moved(position))
  return () => {
    unwatch()
    feed.close()
  }
}

function encodeEvent(event: NodeEvent): string {
  return `event: ${event.name}\ndata: ${JSON.stringify(event)}\n\n`
}
