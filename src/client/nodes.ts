/**
 * Which nodes there are and which one to ask next. Any node accepts any request, so a wrong guess
 * costs a hop and not an answer: the leader is only preferred for what must go there anyway.
 */
import { QuorateError } from '../base/errors.ts'

/** What GET /topology answers; whatever is missing is taken as not known. */
export interface Topology {
  readonly leader?: { readonly url?: string } | null
  readonly members?: readonly { readonly url?: string; readonly role?: string }[]
  /** Committed entries as the answering node knows. */
  readonly position?: number
  /** With several groups: as whom the node's own one writes, whose log the position is in. */
  readonly origin?: string | null
}

export class Nodes {
  /** What the program named. Stays, also when the members' own URLs can't be reached from here. */
  readonly #seeds: readonly string[]
  readonly #discover: boolean
  #urls: readonly string[]
  #leader: string | null = null
  /** Where reads go: one node while it answers, so that its caches and connections are used. */
  #home = 0

  /** Throws BAD_CONFIG for what is not an http or https URL. */
  constructor(urls: readonly string[], discover: boolean) {
    this.#discover = discover
    if (urls.length === 0) throw new QuorateError('BAD_CONFIG', 'connect() needs a URL.')
    this.#seeds = urls.map(normalUrl)
    this.#urls = this.#seeds
  }

  get leaderKnown(): boolean {
    return this.#leader !== null
  }

  /** The node to try: the leader if wanted and known, otherwise the current one. */
  choose(prefer: 'leader' | 'any'): string {
    if (prefer === 'leader' && this.#leader !== null) return this.#leader
    return this.#urls[this.#home % this.#urls.length] ?? this.#seeds[0] ?? ''
  }

  /** The node did not serve: ask another one next. */
  failed(url: string): void {
    if (url === this.#leader) this.#leader = null
    if (url === this.#urls[this.#home % this.#urls.length]) this.#home += 1
  }

  learn(topology: Topology): void {
    if (!this.#discover) return
    const leader = topology.leader?.url
    if (typeof leader === 'string') this.#leader = tryNormalUrl(leader)
    const members = (topology.members ?? []).flatMap(({ url }) => tryNormalUrl(url ?? '') ?? [])
    const current = this.choose('any')
    this.#urls = [...new Set([...this.#seeds, ...members])]
    this.#home = Math.max(0, this.#urls.indexOf(current))
  }
}

function normalUrl(text: string): string {
  const url = tryNormalUrl(text)
  if (url === null) throw new QuorateError('BAD_CONFIG', `"${text}" is not an http or https URL.`)
  return url
}

/** Without a trailing slash, so that equal nodes have equal texts; null if it is no URL for us. */
function tryNormalUrl(text: string): string | null {
  if (!URL.canParse(text)) return null
  const url = new URL(text)
  if (url.protocol !== 'http:' && url.protocol !== 'https:') return null
  return `${url.origin}${url.pathname.replace(/\/+$/, '')}`
}
