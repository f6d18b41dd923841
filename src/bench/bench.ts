/**
 * `quorate bench`: what a cluster does on this machine, in one run. Without a URL it starts its own:
 * the first node inside an application process, the others as `quorate serve`, all in a temporary
 * folder. Every process on the same machine shares its cores, so the figures compare machines and
 * settings; they are not what separate machines would reach.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { cpus, tmpdir } from 'node:os'
import { join } from 'node:path'
import { present } from '../base/assert.ts'
import { connect, type RemoteDb } from '../client/index.ts'
import type { AckLevel } from '../model/request.ts'
import type { NodeStatus } from '../model/status.ts'
import { Application } from './application.ts'
import { ChildNode, freePort, peakMemoryMiB, until } from './child-node.ts'
import { HttpClient } from './http-client.ts'
import { closedLoop, type Rate } from './measure.ts'
import { dropTable, fillTable } from './workload.ts'
import { WsClient } from './ws-client.ts'

export interface BenchOptions {
  readonly clients: readonly number[]
  readonly ack: AckLevel
  readonly nodes: number
  /** Measured time of each figure. */
  readonly seconds: number
  /** An existing cluster: only what goes over the network is measured, in a table of its own. */
  readonly url?: string
  readonly token?: string
  /** How requests go over the network; default http. */
  readonly transport?: BenchTransport
}

/** Hrana over a connection for each client. */
export type BenchTransport = 'http' | 'ws'

export interface BenchWrites extends Rate {
  readonly mode: 'embedded' | 'network'
  readonly clients: number
}

export interface BenchReport {
  readonly writes: readonly BenchWrites[]
  /** Point reads a second in the application's own thread; null with a URL. */
  readonly localReads: number | null
  /** Point reads a second over the network at level `local`, 16 clients. */
  readonly networkReads: number
  /** Peak resident memory in MiB by node; empty with a URL, null where the system doesn't tell. */
  readonly memory: Readonly<Record<string, number | null>>
  readonly ack: AckLevel
  readonly transport: BenchTransport
  readonly nodes: number
  readonly seconds: number
  readonly versions: { readonly node: string; readonly sqlite: string; readonly quorate: string }
  readonly processor: string
}

const READ_CLIENTS = 16
const WARM_UP_CLIENTS = 64

/** Measures, cleans up, reports. Throws the first error of any request. */
export async function runBench(options: BenchOptions): Promise<BenchReport> {
  return options.url === undefined ? await benchOwn(options) : await benchUrl(options, options.url)
}

async function benchOwn(options: BenchOptions): Promise<BenchReport> {
  const dir = mkdtempSync(join(tmpdir(), 'quorate-bench-'))
  const followers: ChildNode[] = []
  const application = new Application({
    file: join(dir, 'a.db'),
    name: 'a',
    port: await freePort(),
  })
  try {
    await application.opened()
    for (let at = 1; at < options.nodes; at += 1) {
      const name = String.fromCharCode('a'.charCodeAt(0) + at)
      const node = new ChildNode({ dir, name, port: await freePort(), join: [application.url] })
      followers.push(node)
      node.start()
      await node.ready()
    }
    await allVote(application.url, options.nodes)
    await application.ask({ kind: 'fill' })
    const writes = await embeddedWrites(application, options)
    const localReads = await application.localReads(options.seconds)
    const network = await measureNetwork(application.url, options)
    const memory = Object.fromEntries([
      ['a', peakMemoryMiB(application.pid)],
      ...followers.map((node) => [node.name, node.peakMemoryMiB()]),
    ])
    const around = await circumstances(options, application.url)
    await application.ask({ kind: 'stop' })
    await Promise.all(followers.map((node) => node.stop()))
    const all = [...writes, ...network.writes]
    return { writes: all, localReads, networkReads: network.reads, memory, ...around }
  } finally {
    application.kill()
    await Promise.all(followers.map((node) => node.kill()))
    rmSync(dir, { recursive: true, force: true })
  }
}

async function benchUrl(options: BenchOptions, url: string): Promise<BenchReport> {
  const db = connectTo(url, options)
  try {
    const around = await circumstances(options, url)
    await fillTable(db)
    const { writes, reads } = await measureNetwork(url, options)
    await dropTable(db)
    return { writes, localReads: null, networkReads: reads, memory: {}, ...around }
  } finally {
    db.close()
  }
}

async function embeddedWrites(
  application: Application,
  { clients, seconds, ack }: BenchOptions,
): Promise<BenchWrites[]> {
  // What one client meets first is code that no node has compiled yet: a crowd warms it up, or the
  // first figure is half of what the same measurement gives a few seconds later.
  await application.writes({ kind: 'writes', clients: WARM_UP_CLIENTS, seconds: 1, ack })
  const writes: BenchWrites[] = []
  for (const count of clients) {
    const rate = await application.writes({ kind: 'writes', clients: count, seconds, ack })
    writes.push({ mode: 'embedded', clients: count, ...rate })
  }
  return writes
}

async function measureNetwork(
  url: string,
  options: BenchOptions,
): Promise<{ readonly writes: BenchWrites[]; readonly reads: number }> {
  const most = Math.max(READ_CLIENTS, ...options.clients)
  const { connect: connectClient } = options.transport === 'ws' ? WsClient : HttpClient
  const clients = await Promise.all(Array.from({ length: most }, () => connectClient(url, options)))
  const of = (client: number): Client => present(clients[client], () => `client ${client}`)
  try {
    const writes: BenchWrites[] = []
    for (const count of options.clients) {
      const rate = await closedLoop(count, options.seconds, (client) => of(client).write())
      writes.push({ mode: 'network', clients: count, ...rate })
    }
    const reads = await closedLoop(READ_CLIENTS, options.seconds, (client) => of(client).read())
    return { writes, reads: reads.tps }
  } finally {
    for (const client of clients) client.close()
  }
}

type Client = HttpClient | WsClient

function connectTo(url: string, { ack, token }: BenchOptions): RemoteDb {
  return connect(url, { ack, ...(token === undefined ? {} : { token }) })
}

/** Waits until a cluster has so many voters. */
export async function allVote(url: string, nodes: number): Promise<void> {
  await until(`${nodes} nodes vote`, 30_000, async () => {
    const { members } = await statusOf(url)
    return members.filter(({ role }) => role === 'voter').length === nodes
  })
}

/** What GET /status of a node says. */
export async function statusOf(url: string, token?: string): Promise<NodeStatus> {
  const headers = token === undefined ? {} : { authorization: `Bearer ${token}` }
  const response = await fetch(`${url}/status`, { headers })
  if (!response.ok) throw new Error(`${url}/status answered HTTP ${response.status}`)
  return (await response.json()) as NodeStatus
}

/** What the figures depend on. */
async function circumstances(
  { ack, seconds, token, transport = 'http' }: BenchOptions,
  url: string,
): Promise<
  Pick<BenchReport, 'ack' | 'transport' | 'nodes' | 'seconds' | 'versions' | 'processor'>
> {
  const { members, release } = await statusOf(url, token)
  return {
    ack,
    transport,
    nodes: members.length,
    seconds,
    ...machineOf(release),
  }
}

/** Versions and processor, beside which figures can be read. */
export function machineOf(release: string): Pick<BenchReport, 'versions' | 'processor'> {
  const { node, sqlite = 'unknown' } = process.versions
  const all = cpus()
  return {
    versions: { node, sqlite, quorate: release },
    processor: `${all[0]?.model.trim() ?? 'unknown'}, ${all.length} cores`,
  }
}
