/** What a node that starts asks of one that is at work, over its administration. */
import { ERRORS, type ErrorCode, QuorateError } from '../base/errors.ts'
import type { Members } from '../model/members.ts'
import type { NodeStatus } from '../model/status.ts'
import type { NodeOptions } from '../node/options.ts'

/** The node that starts. */
export interface Self {
  readonly id: string
  readonly url: string
}

const ANSWER_MS = 15_000

/** The members of the group that the node at `url` is of, which have let us in. Throws its error. */
export async function askToJoin(
  url: string,
  { name, role, priority, token }: NodeOptions,
  self: Self,
  signal: AbortSignal,
): Promise<Members> {
  const body = { ...self, name, role, priority }
  return (await post(url, '/admin/join', body, token, signal)) as Members
}

/** Posts JSON to a node's administration; throws the error that it answers. */
export async function post(
  base: string,
  path: string,
  body: object,
  token: string | null,
  signal: AbortSignal,
): Promise<unknown> {
  const response = await fetch(new URL(path, base), {
    method: 'POST',
    headers: { ...authorization(token), 'content-type': 'application/json' },
    body: JSON.stringify(body),
    signal: AbortSignal.any([signal, AbortSignal.timeout(ANSWER_MS)]),
  })
  return await answerOf(response)
}

/** How a node sees itself and its cluster. Throws its error. */
export async function askStatus(
  base: string,
  token: string | null,
  signal: AbortSignal,
): Promise<NodeStatus> {
  const response = await fetch(new URL('/status', base), {
    headers: authorization(token),
    signal: AbortSignal.any([signal, AbortSignal.timeout(ANSWER_MS)]),
  })
  return (await answerOf(response)) as NodeStatus
}

/** Gets what is too large to be held. Throws the error that the node answers. */
export async function getStream(
  base: string,
  path: string,
  token: string | null,
  signal: AbortSignal,
): Promise<ReadableStream<Uint8Array>> {
  const response = await fetch(new URL(path, base), { headers: authorization(token), signal })
  if (response.ok && response.body !== null) return response.body
  await answerOf(response)
  throw new QuorateError('UNREACHABLE', `${base} answered without a content.`)
}

function authorization(token: string | null): Record<string, string> {
  return token === null ? {} : { authorization: `Bearer ${token}` }
}

async function answerOf(response: Response): Promise<unknown> {
  const answer = (await response.json()) as { error?: { code?: string; message?: string } }
  if (response.ok) return answer
  const { code = '', message = `HTTP ${response.status}` } = answer.error ?? {}
  throw new QuorateError(code in ERRORS ? (code as ErrorCode) : 'INTERNAL', message)
}
