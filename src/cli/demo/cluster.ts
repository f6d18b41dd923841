/** The demo's nodes: processes of their own on free ports, and what may be done to them. */
import { basename, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { QuorateError } from '../../base/errors.ts'
import { ChildNode, freePort } from '../../bench/child-node.ts'
import type { Strategy } from '../../model/origin-entry.ts'
import type { NodeStatus } from '../../model/status.ts'
import type { NodeEvent } from '../../node/ports.ts'
import { type NodeSample, ratesBetween } from '../cluster-view.ts'
import { followEvents } from '../event-stream.ts'
import { postJson, statusOf } from '../node-client.ts'
import { envOf, OPTION_KEYS } from '../options.ts'
import { bytes, printable } from '../terminal.ts'

const READY_MS = 60_000
const STATUS_MS = 1_000
const RECONNECT_MS = 300
/** Rates over a second, whatever the rate of looking: shorter spans make figures that jump. */
const RATE_SPAN_MS = 1_000

/** The demo's nodes are told by flags; what the user's environment says is for other nodes. */
const NO_SETTINGS = Object.fromEntries(
  ['QUORATE_CONFIG', ...OPTION_KEYS.map(envOf)].map((name) => [name, '']),
)

export interface DemoEvent {
  /** performance.now() */
  readonly at: number
  /** Node, or `demo` for what a person or the script did. */
  readonly source: string
  readonly level: NodeEvent['level']
  readonly text: string
}

interface DemoNode {
  readonly child: ChildNode
  /** Nodes of one group share a leader. */
  readonly group: string
  note: NodeSample['note']
  status: NodeStatus | null
  rates: NodeSample['rates']
  /** How often its process was started. */
  launches: number
  /** Where the rates count from. */
  base: { readonly at: number; readonly status: NodeStatus } | null
}

export interface DemoClusterOptions {
  readonly dir: string
  readonly strategy: Strategy
  /** How many, each with a leader of its own. */
  readonly groups: number
  /** In each group. */
  readonly nodes: number
  readonly onEvent: (event: DemoEvent) => void
}

export class DemoCluster {
  readonly #options: DemoClusterOptions
  readonly #nodes: DemoNode[] = []
  readonly #closing = new AbortController()
  /** By group; kept across a failover, until somebody else says to lead. */
  readonly #leaders = new Map<string, string>()
  /** The side of a cut between groups, while there is one. */
  #cutGroup: string | null = null

  constructor(options: DemoClusterOptions) {
    this.#options = options
  }

  /** The first node's file, where the data set must be before start(). */
  get firstFile(): string {
    return join(this.#options.dir, `${this.#nameOf('a', 0)}.db`)
  }

  get urls(): string[] {
    return this.#nodes.map(({ child }) => child.url)
  }

  get names(): string[] {
    return this.#nodes.map(({ child }) => child.name)
  }

  get groups(): string[] {
    return [...new Set(this.#nodes.map(({ group }) => group))]
  }

  /** Several groups write, each by a leader of its own. */
  get hasOrigins(): boolean {
    return this.#options.strategy !== 'leader'
  }

  urlsOf(group: string): string[] {
    return this.#nodes.filter((node) => node.group === group).map(({ child }) => child.url)
  }

  /** Name of the node that leads, of the first group if there are several, as last seen. */
  get leader(): string | null {
    return this.leaderOf('a')
  }

  leaderOf(group: string): string | null {
    return this.#leaders.get(group) ?? null
  }

  samplesOf(group: string): NodeSample[] {
    const names = this.#nodes.filter((node) => node.group === group).map(({ child }) => child.name)
    return this.samples.filter(({ name }) => names.includes(name))
  }

  get samples(): NodeSample[] {
    return this.#nodes.map(({ child, group, note, status, rates }) => {
      const base = { name: child.name, url: child.url, status, note, rates }
      return this.hasOrigins ? { ...base, group } : base
    })
  }

  isRunning(name: string): boolean {
    return this.#node(name).child.running
  }

  /** Founds the cluster with the first node, lets the others join, waits until all vote. */
  async start(): Promise<void> {
    const { groups, nodes } = this.#options
    const names = Array.from({ length: groups }, (_, at) => letter(at))
    // The first of each group founds it; then the others may come all at once.
    for (const group of names) await this.#launch(await this.#make(group))
    const others: DemoNode[] = []
    for (const group of names) {
      for (let at = 1; at < nodes; at += 1) others.push(await this.#make(group))
    }
    await Promise.all(others.map((node) => this.#launch(node)))
    await this.until('all nodes vote', READY_MS, () =>
      this.#nodes.every(({ group, status }) => {
        const voters = status?.members.filter(({ role }) => role === 'voter')
        return voters?.length === this.urlsOf(group).length
      }),
    )
  }

  /** Asks every node how it is, all at once. */
  async poll(): Promise<void> {
    await Promise.all(this.#nodes.map((node) => this.#pollOne(node)))
    for (const group of this.groups) {
      const leading = this.#nodes
        .filter((node) => node.group === group && node.status?.role === 'leader')
        .toSorted((a, b) => (b.status?.term ?? 0) - (a.status?.term ?? 0))
      const name = leading[0]?.child.name
      if (name !== undefined) this.#leaders.set(group, name)
    }
  }

  /** SIGKILL; resolves when the process is gone. */
  async kill(name: string): Promise<void> {
    const node = this.#node(name)
    if (!node.child.running) return
    this.#say(`kill -9 ${name}`)
    node.note = 'killed'
    node.status = null
    node.base = null
    await node.child.kill()
  }

  /** Starts a killed node again, on its file and its port. Does not wait for it. */
  restart(name: string): Promise<void> {
    this.#say(`start ${name}`)
    return this.#launch(this.#node(name))
  }

  /** Cuts the leader off from the other nodes; clients still reach it. */
  async cutLeader(): Promise<void> {
    const name = this.leader
    if (name === null) return
    const node = this.#node(name)
    if (!node.child.running) return
    this.#say(`cut ${name} off`)
    await this.#fault(
      node,
      this.names.filter((other) => other !== name),
    )
    node.note = 'cut off'
  }

  /** Cuts every connection between a group and all others; clients still reach both sides. */
  async cutGroup(group: string): Promise<void> {
    this.#say(`cut group ${group} off`)
    this.#cutGroup = group
    await Promise.all(this.#nodes.map((node) => this.#cutFromGroups(node)))
  }

  /** A node that starts during the cut is on its side of it as well. */
  async #cutFromGroups(node: DemoNode): Promise<void> {
    const group = this.#cutGroup
    if (group === null || !node.child.running) return
    const others = this.#nodes.filter((one) => (one.group === group) !== (node.group === group))
    await this.#fault(
      node,
      others.map(({ child }) => child.name),
    )
  }

  /** Ends all cuts. */
  async heal(): Promise<void> {
    this.#say('heal the network')
    this.#cutGroup = null
    await Promise.all(
      this.#nodes.map(async (node) => {
        if (!node.child.running) return
        await this.#fault(node, [])
        if (node.note === 'cut off') node.note = null
      }),
    )
  }

  /** One more node, on a file of its own. */
  async add(): Promise<void> {
    const node = await this.#make('a')
    this.#say(`add ${node.child.name}`)
    await this.#launch(node)
  }

  async transfer(): Promise<void> {
    this.#say('hand leadership over')
    await this.post('/admin/transfer', { name: null })
  }

  /** POST to any node of a group that runs, the leader first. */
  async post<T>(
    path: string,
    body: unknown,
    { group = 'a', timeoutMs }: { readonly group?: string; readonly timeoutMs?: number } = {},
  ): Promise<T> {
    const leader = this.leaderOf(group)
    const urls = this.#nodes
      .filter((node) => node.group === group && node.child.running)
      .toSorted(
        (one, other) => Number(other.child.name === leader) - Number(one.child.name === leader),
      )
      .map(({ child }) => child.url)
    return await postJson<T>({ urls, token: null }, path, body, timeoutMs)
  }

  /** Polls until something holds. Throws INTERNAL that names it if it doesn't in time. */
  async until(what: string, timeoutMs: number, holds: () => boolean): Promise<void> {
    const deadline = performance.now() + timeoutMs
    for (;;) {
      this.#closing.signal.throwIfAborted()
      await this.poll()
      if (holds()) return
      const dead = this.#nodes.find(({ child, note }) => !child.running && note !== 'killed')
      if (dead !== undefined) throw endedByItself(dead.child)
      if (performance.now() > deadline) {
        throw new QuorateError('INTERNAL', `Not within ${timeoutMs / 1000} s: ${what}.`)
      }
      await sleep(50)
    }
  }

  /** Ends all nodes: in order if they do as they are told, at once otherwise. */
  async stop(): Promise<void> {
    this.#closing.abort(new QuorateError('NOT_READY', 'The demo is ending.'))
    await Promise.all(
      this.#nodes.map(async ({ child }) => {
        // A node that had to be killed is gone all the same.
        await child.stop().catch(() => {})
      }),
    )
  }

  async #make(group: string): Promise<DemoNode> {
    const { dir, strategy } = this.#options
    const join = this.urls
    const child = new ChildNode({
      dir,
      name: this.#nameOf(group, this.urlsOf(group).length),
      port: await freePort(),
      join,
      flags: strategy === 'leader' ? [] : ['--strategy', strategy, '--group', group],
      env: { ...NO_SETTINGS, QUORATE_FAULTS: '1' },
    })
    const node: DemoNode = {
      child,
      group,
      note: 'starting',
      status: null,
      rates: null,
      launches: 0,
      base: null,
    }
    this.#nodes.push(node)
    return node
  }

  /** a, b, c with one leader; a1, a2 … b1 with several; a, b, c again where each is a group. */
  #nameOf(group: string, at: number): string {
    const { strategy, nodes } = this.#options
    if (strategy === 'leader') return letter(at)
    return nodes === 1 ? group : `${group}${at + 1}`
  }

  async #launch(node: DemoNode): Promise<void> {
    this.#closing.signal.throwIfAborted()
    node.note = 'starting'
    node.launches += 1
    node.child.start()
    await node.child.ready(READY_MS).catch((cause: Error) => {
      throw new QuorateError('INTERNAL', `${cause.message}.`, {}, { cause })
    })
    node.note = null
    await this.#cutFromGroups(node)
    void this.#follow(node)
  }

  async #pollOne(node: DemoNode): Promise<void> {
    const status = node.child.running ? await statusOf(node.child.url, null, STATUS_MS) : null
    node.status = node.child.running ? status : null
    if (!node.child.running && node.note === null) node.note = 'ended'
    if (node.status === null) {
      node.rates = null
      node.base = null
      return
    }
    const now = performance.now()
    if (node.base === null) node.base = { at: now, status: node.status }
    else if (now - node.base.at >= RATE_SPAN_MS) {
      node.rates = ratesBetween(node.base.status, node.status)
      node.base = { at: now, status: node.status }
    }
  }

  /** Hands the node's events on for as long as this process of it lives. */
  async #follow(node: DemoNode): Promise<void> {
    const { signal } = this.#closing
    const { url, name } = node.child
    const { launches } = node
    while (node.child.running && node.launches === launches && !signal.aborted) {
      await followEvents({ urls: [url], token: null }, signal, (event) => {
        if (event.level === 'debug') return
        this.#options.onEvent({
          at: performance.now(),
          source: name,
          level: event.level,
          text: eventText(event),
        })
      }).catch(() => {})
      await sleep(RECONNECT_MS, undefined, { signal }).catch(() => {})
    }
  }

  async #fault(node: DemoNode, cut: readonly string[]): Promise<void> {
    await postJson({ urls: [node.child.url], token: null }, '/admin/fault', { cut })
  }

  #node(name: string): DemoNode {
    const node = this.#nodes.find(({ child }) => child.name === name)
    if (node === undefined) throw new QuorateError('MEMBER_UNKNOWN', `There is no node ${name}.`)
    return node
  }

  #say(text: string): void {
    this.#options.onEvent({ at: performance.now(), source: 'demo', level: 'info', text })
  }
}

function letter(at: number): string {
  return String.fromCharCode('a'.charCodeAt(0) + at)
}

/** `leader.elected` with its facts -> `leader elected: term 3`. */
export function eventText({ name, facts }: NodeEvent): string {
  const words = name
    .replaceAll('.', ' ')
    .replaceAll(/([a-z])([A-Z])/g, '$1 $2')
    .toLowerCase()
  const parts = Object.entries(facts)
    .filter(([key, value]) => value !== null && value !== '' && !FACTS_LEFT_OUT.has(key))
    .map(([key, value]) => `${key} ${factText(key, value)}`)
  return parts.length === 0 ? words : `${words}: ${parts.join(', ')}`
}

/** Who says it stands before the event already; all nodes here are of one release. */
const FACTS_LEFT_OUT = new Set(['name', 'release'])

/** Node ids by their name: within the demo that is enough to know who is meant. */
function factText(key: string, value: NodeEvent['facts'][string] | undefined): string {
  if (key === 'bytes') return bytes(Number(value))
  if (key === 'file') return printable(basename(String(value)))
  return printable(String(value).replace(/:[0-9a-f]{8}$/, ''))
}

function endedByItself(child: ChildNode): QuorateError {
  return new QuorateError('INTERNAL', `Node ${child.name} ended by itself: ${child.logTail(3)}.`)
}
