/** What the command line does to a running node: members, leadership, checks, snapshots, faults. */
import type { FastifyInstance, FastifyRequest } from 'fastify'
import { z } from 'zod'
import { fromErrorData, QuorateError } from '../base/errors.ts'
import { MEMBER_ROLES } from '../model/members.ts'
import type { AdminCommand, NodeReply, NodeRequest } from '../model/request.ts'
import { callOptions } from './call.ts'
import { send } from './reply.ts'
import type { NodeService } from './service.ts'

type Ask = (request: NodeRequest) => Promise<NodeReply>

const DEFAULTS = { read: 'strong', ack: 'majority', timeoutMs: 30_000 } as const

const name = z.string().min(1).max(200)

const JOIN = z.object({
  id: z.string().min(1).max(300),
  name,
  url: z.url({ protocol: /^https?$/ }),
  role: z.enum(MEMBER_ROLES).default('voter'),
  priority: z.int().min(0).max(1000).default(1),
})
const MEMBER = z.object({ name })
const TRANSFER = z.object({ name: name.nullish() })
const MEET = z.object({ promise: z.string().min(1).max(300).nullable() })
const NOTHING = z.object({})
const FAULT = z.object({ cut: z.array(name).max(100) })

export function addAdminRoutes(app: FastifyInstance, service: NodeService, ask: Ask): void {
  app.addHook('onRequest', (request, _reply, done) => {
    if (!request.url.startsWith('/admin')) done()
    else done(refusal(request))
  })
  addCommand(app, ask, '/admin/join', JOIN, (body) => ({ kind: 'join', ...body }))
  for (const kind of ['remove', 'promote', 'demote'] as const) {
    addCommand(app, ask, `/admin/members/${kind}`, MEMBER, (body) => ({ kind, ...body }))
  }
  addCommand(app, ask, '/admin/transfer', TRANSFER, (body) => ({
    kind: 'transfer',
    name: body.name ?? null,
  }))
  addCommand(app, ask, '/admin/verify', NOTHING, () => ({ kind: 'verify' }))
  app.post('/admin/meet', (request, reply) => {
    send(reply, 200, service.meet(parse(MEET, request).promise))
  })
  addFiles(app, service)
  app.post('/admin/fault', (request, reply) => {
    const command = parse(FAULT, request)
    if (service.fault === undefined) {
      throw new QuorateError('NOT_FOUND', 'This node was started without faults allowed.')
    }
    service.fault(command)
    send(reply, 200, { ok: true })
  })
}

/** Why the caller may not administer; undefined: it may. */
function refusal(request: FastifyRequest): QuorateError | undefined {
  if (!isSameSite(request)) {
    return new QuorateError('UNAUTHORIZED', 'Pages of other sites may not administer a node.')
  }
  if (request.caller?.mayAdminister) return undefined
  return new QuorateError('FORBIDDEN', 'Administration asks for the cluster token.')
}

/** A browser sends Origin with every POST across sites; a page elsewhere must not remove members. */
function isSameSite({ headers }: FastifyRequest): boolean {
  const { origin, host } = headers
  return origin === undefined || (URL.canParse(origin) && new URL(origin).host === host)
}

function addCommand<T extends z.ZodType>(
  app: FastifyInstance,
  ask: Ask,
  path: string,
  schema: T,
  toCommand: (body: z.output<T>) => AdminCommand,
): void {
  app.post(path, async (request, reply) => {
    const { timeoutMs } = callOptions(request.url, request.headers, DEFAULTS, { mayWrite: true })
    const command = toCommand(parse(schema, request))
    const answer = await ask({ kind: 'admin', command, timeoutMs })
    if (answer.kind === 'error') throw fromErrorData(answer.error)
    send(reply, 200, answer.kind === 'admin' ? (answer.value ?? { ok: true }) : { ok: true })
  })
}

function addFiles(app: FastifyInstance, service: NodeService): void {
  app.get('/admin/snapshot', async (_request, reply) => {
    const stream = await service.snapshotStream()
    return reply.header('content-type', 'application/octet-stream').send(stream)
  })
  app.get('/admin/lost', async (_request, reply) => send(reply, 200, await service.lost.list()))
  app.get('/admin/lost/:file', async (request, reply) => {
    send(reply, 200, await service.lost.show(fileName(request)))
  })
  app.post('/admin/lost/:file/replay', async (request, reply) => {
    send(reply, 200, await service.lost.replay(fileName(request)))
  })
}

/** A name without a path: it becomes part of one. */
function fileName({ params }: FastifyRequest): string {
  const { file } = params as { file: string }
  if (/^[\w-][\w.-]*$/.test(file)) return file
  throw new QuorateError('NOT_FOUND', 'That is not the name of a file of lost transactions.')
}

function parse<T extends z.ZodType>(schema: T, { body }: FastifyRequest): z.output<T> {
  const parsed = schema.safeParse(jsonOf(body))
  if (parsed.success) return parsed.data
  const issues = parsed.error.issues.map(({ path, message }) => `${path.join('.')}: ${message}`)
  throw new QuorateError('BAD_REQUEST', `The body does not fit: ${issues.join('; ')}.`)
}

/** No body is an empty object: `curl -X POST` without data is fine where nothing is needed. */
function jsonOf(body: unknown): unknown {
  if (!Buffer.isBuffer(body) || body.length === 0) return {}
  try {
    return JSON.parse(body.toString())
  } catch (cause) {
    throw new QuorateError('BAD_REQUEST', 'The body is not JSON.', {}, { cause })
  }
}
