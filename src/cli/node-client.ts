/** What the command line asks a node for besides SQL: status, administration, events. */
import { QuorateError } from '../base/errors.ts'
import { errorInBody } from '../client/hrana.ts'
import type { NodeStatus } from '../model/status.ts'

export interface Target {
  /** Any nodes of the cluster; the next is tried where one does not answer. */
  readonly urls: readonly string[]
  readonly token: string | null
}

interface Request {
  readonly method: 'GET' | 'POST'
  readonly path: string
  readonly body?: unknown
  readonly timeoutMs?: number
  readonly signal?: AbortSignal
}

const TIMEOUT_MS = 30_000

/** GET, read as JSON. Throws the node's error, or UNREACHABLE. */
export async function getJson<T>(target: Target, path: string, timeoutMs?: number): Promise<T> {
  const request: Request = { method: 'GET', path, ...(timeoutMs ? { timeoutMs } : {}) }
  return (await json(await send(target, request))) as T
}

/** POST of a JSON body, answer read as JSON. Throws the node's error, or UNREACHABLE. */
export async function postJson<T>(
  target: Target,
  path: string,
  body: unknown,
  timeoutMs?: number,
): Promise<T> {
  const request: Request = { method: 'POST', path, body, ...(timeoutMs ? { timeoutMs } : {}) }
  return (await json(await send(target, request))) as T
}

/** GET for a body that is read piece by piece, without a deadline. */
export async function getStream(
  target: Target,
  path: string,
  signal?: AbortSignal,
): Promise<Response> {
  return await send(target, {
    method: 'GET',
    path,
    timeoutMs: Number.POSITIVE_INFINITY,
    ...(signal ? { signal } : {}),
  })
}

/** Status of one node; null if it does not give one in time. */
export async function statusOf(
  url: string,
  token: string | null,
  timeoutMs: number,
): Promise<NodeStatus | null> {
  try {
    return await getJson<NodeStatus>({ urls: [url], token }, '/status', timeoutMs)
  } catch {
    return null
  }
}

/** The first answer that any of the nodes gives, good or bad. */
async function send(target: Target, request: Request): Promise<Response> {
  let last = 'no URL was given'
  for (const url of target.urls) {
    const response = await attempt(url, target.token, request)
    if (!(response instanceof Error)) {
      if (response.ok) return response
      throw errorOf(response.status, await response.text(), url)
    }
    last = `${url}: ${reason(response)}`
  }
  throw new QuorateError('UNREACHABLE', `No node answered; last ${last}.`)
}

async function attempt(
  url: string,
  token: string | null,
  request: Request,
): Promise<Response | Error> {
  const timeoutMs = request.timeoutMs ?? TIMEOUT_MS
  const signals = [
    ...(Number.isFinite(timeoutMs) ? [AbortSignal.timeout(timeoutMs)] : []),
    ...(request.signal ? [request.signal] : []),
  ]
  const body = request.body === undefined ? null : JSON.stringify(request.body)
  try {
    return await fetch(url.replace(/\/+$/, '') + request.path, {
      method: request.method,
      headers: {
        ...(token === null ? {} : { authorization: `Bearer ${token}` }),
        ...(body === null ? {} : { 'content-type': 'application/json' }),
      },
      body,
      signal: signals.length === 0 ? null : AbortSignal.any(signals),
    })
  } catch (error) {
    return error instanceof Error ? error : new Error(String(error))
  }
}

async function json(response: Response): Promise<unknown> {
  const text = await response.text()
  if (text === '') return null
  try {
    return JSON.parse(text)
  } catch (cause) {
    const detail = `${response.url} answered something that is not JSON.`
    throw new QuorateError('UNREACHABLE', detail, {}, { cause })
  }
}

function errorOf(status: number, body: string, url: string): QuorateError {
  const known = errorInBody(body)
  if (known !== null) return known
  const detail = `${url} answered HTTP ${status}; it may not be a Quorate node.`
  return new QuorateError('UNREACHABLE', detail)
}

/** fetch hides the system's reason one level down. */
function reason(error: Error): string {
  const { cause } = error
  if (cause instanceof Error && 'code' in cause && typeof cause.code === 'string') return cause.code
  return error.name === 'TimeoutError' ? 'no answer in time' : error.message
}
