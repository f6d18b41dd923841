/** What the command line does to a running node: members, leadership, checks, snapshots, faults. */
import type { FastifyInstance, FastifyRequest } from 'fastify'
import { z } from 'zod'
import { fromErrorData, QuorateError } from '../base/errors.ts'
import { mapsAsPairs } from '../model/cluster-codec.ts'
import { MEMBER_ROLES } from '../model/members.ts'
import type { RuleChange } from '../model/origin-entry.ts'
import type { Program } from '../model/program.ts'
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
const GROUP = z.object({ group: name })
const GROUP_JOIN = z.object({
  group: name,
  node: z.string().min(1).max(300),
  zone: name.optional(),
})
const GROUP_ZONE = z.object({ group: name, zone: name.nullable() })
const GROUP_CUT = z.object({ group: name, cut: z.boolean() })
const GROUP_KEEPER = z.object({
  group: name,
  force: z.boolean().default(false),
  alone: z.boolean().default(false),
})
/** An empty rule: the usual one again. */
const RULE = z.object({
  table: name,
  column: z.string().max(200).default(''),
  rule: z.string().max(200),
})
const CONFLICT = z.object({
  time: z.int().min(0),
  origin: z.string().min(1).max(64),
  number: z.int().min(0),
})
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
  addGroupCommands(app, ask)
  app.get('/admin/rules', async (_request, reply) => send(reply, 200, await rulesOf(service)))
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

/** With several groups. A cluster with one leader refuses all of them. */
function addGroupCommands(app: FastifyInstance, ask: Ask): void {
  addCommand(app, ask, '/admin/group-join', GROUP_JOIN, ({ zone, ...body }) => {
    return { kind: 'joinGroup', ...body, ...(zone === undefined ? {} : { zone }) }
  })
  addCommand(app, ask, '/admin/group-remove', GROUP, (body) => ({ kind: 'removeGroup', ...body }))
  addCommand(app, ask, '/admin/group-keeper', GROUP_KEEPER, (body) => {
    return { kind: 'moveKeeper', ...body }
  })
  addCommand(app, ask, '/admin/group-zone', GROUP_ZONE, (body) => ({ kind: 'setZone', ...body }))
  addCommand(app, ask, '/admin/group-cut', GROUP_CUT, (body) => ({ kind: 'cutGroup', ...body }))
  addCommand(app, ask, '/admin/rule', RULE, (rule) => ({ kind: 'setRule', rule }))
  addCommand(app, ask, '/admin/conflict-close', CONFLICT, (body) => {
    return { kind: 'closeConflict', ...body }
  })
}

const RULES = 'select name, "column", rule from _quorate_rules order by name, "column"'

/** The rules that were set, as this replica has them. */
async function rulesOf(service: NodeService): Promise<readonly RuleChange[]> {
  if (service.status().origins === null) {
    const detail = 'The cluster has one leader: no writes can clash, and there are no rules.'
    throw new QuorateError('NO_GROUPS', detail)
  }
  const program: Program = { atomic: true, steps: [{ statement: { sql: RULES } }] }
  const levels = { level: 'local', token: null, timeoutMs: DEFAULTS.timeoutMs } as const
  const reply = await service.request({ kind: 'read', program, ...levels })
  if (reply.kind === 'error') throw fromErrorData(reply.error)
  const step = reply.kind === 'result' ? reply.result.steps[0] : null
  if (step != null && 'error' in step) throw fromErrorData(step.error)
  return (step?.ok.rows ?? []).map(([table, column, rule]) => ({
    table: String(table),
    column: String(column),
    rule: String(rule),
  }))
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
    const value = answer.kind === 'admin' ? answer.value : null
    send(reply, 200, value === null || value === undefined ? { ok: true } : plain(value))
  })
}

/** An answer may hold a cluster, and that maps. */
function plain(value: unknown): unknown {
  return JSON.parse(JSON.stringify(value, mapsAsPairs))
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
