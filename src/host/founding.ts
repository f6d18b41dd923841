/**
 * How a file that belongs to no cluster gets into one: it founds it, joins one, or founds it
 * together with others that start at the same time. With several groups it may also found the group
 * that it is of (group-joining.ts).
 *
 * Founding together (`--expect N`): everybody asks everybody. When N fresh nodes see each other, the
 * one with the smallest id asks the others to promise that they will join it and no one else, ever;
 * promises are kept on disk. It founds when N - 1 have promised. N must be more than half of the
 * nodes that may take part, so two of them can't both have enough promises.
 */
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { type ErrorCode, QuorateError } from '../base/errors.ts'
import type { Members } from '../model/members.ts'
import type { Strategy } from '../model/origin-entry.ts'
import type { NodeOptions } from '../node/options.ts'
import { readIfThere, writeDurably } from '../store/files/durable-file.ts'
import { joinGroup } from './group-joining.ts'
import { askToJoin, post, type Self } from './joining.ts'

/** What a node answers to one that starts: who it is and whether it is still free. */
export interface Meeting {
  readonly id: string
  readonly url: string
  readonly cluster: string | null
  /** Of its cluster; null if it belongs to none, or has only begun to. */
  readonly strategy: Strategy | null
  /** The node that it has promised to join; its own id if it founds. */
  readonly promised: string | null
}

export type Start =
  | { readonly kind: 'found' }
  | { readonly kind: 'join'; readonly strategy: Strategy; readonly members: Members }
  /** The group's first node: from a copy of the file of the node at `url`. */
  | {
      readonly kind: 'foundGroup'
      readonly strategy: Strategy
      readonly group: string
      readonly origin: string
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
  'NO_GROUPS',
  'BAD_CONFIG',
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
      const answer = await askForAdmission(url, options, self, signal)
      if (typeof answer !== 'string') return answer
      reasons.push(`${url}: ${answer}`)
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

/** How it lets us in, or why not yet. */
async function askForAdmission(
  url: string,
  options: NodeOptions,
  self: Self,
  signal: AbortSignal,
): Promise<Start | string> {
  try {
    const met = (await post(
      url,
      '/admin/meet',
      { promise: null },
      options.token,
      signal,
    )) as Meeting
    const { strategy } = met
    if (strategy === null) return 'It does not belong to a cluster yet.'
    checkStrategy(options, strategy, url)
    if (strategy !== 'leader') return await joinGroup(url, strategy, options, self, signal)
    return { kind: 'join', strategy, members: await askToJoin(url, options, self, signal) }
  } catch (error) {
    signal.throwIfAborted()
    if (error instanceof QuorateError && HOPELESS.includes(error.code)) throw error
    return error instanceof QuorateError ? error.detail : 'It can not be reached.'
  }
}

function checkStrategy(
  { strategy, group, zone }: NodeOptions,
  actual: Strategy,
  url: string,
): void {
  if (strategy !== null && strategy !== actual) {
    const detail = `strategy: this node was told ${strategy}, and the cluster of ${url} has ${actual}.`
    throw new QuorateError('BAD_CONFIG', detail)
  }
  const given = group !== null ? 'group' : zone !== null ? 'zone' : null
  if (given !== null && actual === 'leader') {
    const detail = `${given}: the cluster of ${url} has one leader for all nodes, and no groups.`
    throw new QuorateError('BAD_CONFIG', detail)
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
