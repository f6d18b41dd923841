/**
 * How a file that belongs to no cluster gets into one: it founds it, joins one, or founds it
 * together with others that start at the same time.
 *
 * Founding together (`--expect N`): everybody asks everybody. When N fresh nodes see each other, the
 * one with the smallest id asks the others to promise that they will join it and no one else, ever;
 * promises are kept on disk. It founds when N - 1 have promised. N must be more than half of the
 * nodes that may take part, so two of them can't both have enough promises.
 */
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { ERRORS, type ErrorCode, QuorateError } from '../base/errors.ts'
import type { Members } from '../model/members.ts'
import type { NodeOptions } from '../node/options.ts'
import { readIfThere, writeDurably } from '../store/durable-file.ts'

/** What a node answers to one that starts: who it is and whether it is still free. */
export interface Meeting {
  readonly id: string
  readonly url: string
  readonly cluster: string | null
  /** The node that it has promised to join; its own id if it founds. */
  readonly promised: string | null
}

export type Start =
  | { readonly kind: 'found' }
  | { readonly kind: 'join'; readonly members: Members }

interface Self {
  readonly id: string
  readonly url: string
}

const PAUSE_MS = 200
/** Joining at these codes is hopeless whatever one waits for. */
const HOPELESS: readonly ErrorCode[] = [
  'NAME_IN_USE',
  'WRONG_CLUSTER',
  'UNAUTHORIZED',
  'PROTOCOL_VERSION',
  'BAD_REQUEST',
  'MEMBER_CHANGE_UNSAFE',
]

/** A fresh node's promise, kept on disk. */
export class Promises {
  readonly #path: string
  #to: string | null

  constructor(folder: string) {
    this.#path = join(folder, 'promise')
    this.#to = readIfThere(this.#path)
  }

  get to(): string | null {
    return this.#to
  }

  /** Promises if nothing else is promised yet; returns to whom it is promised. */
  make(to: string): string {
    if (this.#to === null) {
      writeDurably(this.#path, to)
      this.#to = to
    }
    return this.#to
  }
}

/**
 * Decides how a fresh node begins; asks the nodes in `options.join` until one lets it in.
 *
 * @param tell is told why it goes on waiting, when the reason changes
 * @throws QuorateError NAME_IN_USE, WRONG_CLUSTER, BAD_CONFIG, UNAUTHORIZED
 */
export async function begin(
  options: NodeOptions,
  self: Self,
  promises: Promises,
  tell: (reason: string) => void,
  signal: AbortSignal,
): Promise<Start> {
  const { expect, join: urls } = options
  if (urls.length === 0) return { kind: 'found' }
  if (expect !== null && expect * 2 <= urls.length) {
    const detail = `expect is ${expect} of ${urls.length} nodes, and must be more than half of them.`
    throw new QuorateError('BAD_CONFIG', detail)
  }
  let told = ''
  for (;;) {
    signal.throwIfAborted()
    const reasons: string[] = []
    for (const url of urls) {
      if (url === self.url) continue
      const answer = await askToJoin(url, options, self, signal)
      if (typeof answer !== 'string') return { kind: 'join', members: answer }
      reasons.push(answer)
    }
    if (expect !== null && (await foundTogether(options, self, promises, expect, signal))) {
      return { kind: 'found' }
    }
    const reason = reasons.join(' ')
    if (reason !== told) tell(reason)
    told = reason
    await sleep(PAUSE_MS, undefined, { signal })
  }
}

/** The members that let us in, or why not yet. */
async function askToJoin(
  url: string,
  options: NodeOptions,
  self: Self,
  signal: AbortSignal,
): Promise<Members | string> {
  const { name, role, priority } = options
  const body = { ...self, name, role, priority }
  try {
    return (await post(url, '/admin/join', body, options.token, signal)) as Members
  } catch (error) {
    signal.throwIfAborted()
    if (error instanceof QuorateError && HOPELESS.includes(error.code)) throw error
    const text = error instanceof QuorateError ? error.detail : 'can not be reached.'
    return `${url}: ${text}`
  }
}

async function foundTogether(
  options: NodeOptions,
  self: Self,
  promises: Promises,
  expect: number,
  signal: AbortSignal,
): Promise<boolean> {
  const meet = async (promise: string | null): Promise<Meeting[]> => {
    const asked = options.join.map((url) => askToMeet(url, promise, options.token, signal))
    const met = (await Promise.all(asked)).filter((answer) => answer !== null)
    const others = new Map(met.map((meeting) => [meeting.id, meeting]))
    others.delete(self.id)
    return [...others.values()]
  }
  const others = await meet(null)
  if (others.length + 1 < expect || others.some(({ cluster }) => cluster !== null)) return false
  if (others.some(({ id }) => id < self.id)) return false
  if (promises.make(self.id) !== self.id) return false
  const promised = (await meet(self.id)).filter((other) => other.promised === self.id)
  return promised.length + 1 >= expect
}

async function askToMeet(
  url: string,
  promise: string | null,
  token: string | null,
  signal: AbortSignal,
): Promise<Meeting | null> {
  try {
    return (await post(url, '/admin/meet', { promise }, token, signal)) as Meeting
  } catch {
    signal.throwIfAborted()
    return null
  }
}

/** Posts JSON to a node's administration; throws the error that it answers. */
export async function post(
  base: string,
  path: string,
  body: object,
  token: string | null,
  signal: AbortSignal,
): Promise<unknown> {
  const headers: Record<string, string> = { 'content-type': 'application/json' }
  if (token !== null) headers['authorization'] = `Bearer ${token}`
  const response = await fetch(new URL(path, base), {
    method: 'POST',
    headers,
    body: JSON.stringify(body),
    signal: AbortSignal.any([signal, AbortSignal.timeout(15_000)]),
  })
  const answer = (await response.json()) as { error?: { code?: string; message?: string } }
  if (response.ok) return answer
  const { code = '', message = `HTTP ${response.status}` } = answer.error ?? {}
  throw new QuorateError(code in ERRORS ? (code as ErrorCode) : 'INTERNAL', message)
}
