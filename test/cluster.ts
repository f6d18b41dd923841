/** A cluster of node processes on this machine in a temporary folder, for whole-system tests. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import { present } from '../src/base/assert.ts'
import { ChildNode, freePort, until } from '../src/bench/child-node.ts'
import type { RemoteDb } from '../src/client/index.ts'
import { connect } from '../src/client/index.ts'
import type { NodeStatus } from '../src/model/status.ts'
import type { VerifyReport } from '../src/node/verifier.ts'

const BIN = fileURLToPath(new URL('../bin/quorate.js', import.meta.url))

export interface ClusterOptions {
  readonly names?: readonly string[]
  /** An existing database that the first node adopts. */
  readonly file?: string
  readonly flags?: readonly string[]
  readonly env?: Readonly<Record<string, string>>
}

export class Cluster implements AsyncDisposable {
  readonly dir = mkdtempSync(join(tmpdir(), 'quorate-test-'))
  readonly nodes: ChildNode[] = []
  readonly #options: ClusterOptions
  readonly #clients: RemoteDb[] = []

  private constructor(options: ClusterOptions) {
    this.#options = options
  }

  /** Starts the nodes one after the other and waits until all of them vote. */
  static async start(options: ClusterOptions = {}): Promise<Cluster> {
    const cluster = new Cluster(options)
    try {
      for (const name of options.names ?? ['a', 'b', 'c']) await cluster.add(name)
      await cluster.settled()
      return cluster
    } catch (error) {
      await cluster[Symbol.asyncDispose]()
      throw error
    }
  }

  get urls(): string[] {
    return this.nodes.map((node) => node.url)
  }

  node(name: string): ChildNode {
    return present(
      this.nodes.find((node) => node.name === name),
      () => `node ${name}`,
    )
  }

  /** Starts one more node, which joins those that are there. */
  async add(name: string, flags: readonly string[] = []): Promise<ChildNode> {
    const { file, flags: all = [], env = {} } = this.#options
    const node = new ChildNode({
      dir: this.dir,
      name,
      port: await freePort(),
      join: this.urls,
      flags: [...all, ...flags],
      env: { QUORATE_FAULTS: '1', ...env },
      ...(file !== undefined && this.nodes.length === 0 ? { file } : {}),
    })
    this.nodes.push(node)
    node.start()
    await node.ready()
    return node
  }

  /** A client of all nodes, closed with the cluster. */
  client(
    options: Parameters<typeof connect>[1] = {},
    urls: readonly string[] = this.urls,
  ): RemoteDb {
    const client = connect(urls, options)
    this.#clients.push(client)
    return client
  }

  /** The node that leads in the highest term; waits for one. */
  async leader(timeoutMs = 10_000): Promise<ChildNode> {
    let leader: ChildNode | undefined
    await until('there is a leader', timeoutMs, async () => {
      const all = await this.statuses()
      const terms = all.map((status) => status?.term ?? 0)
      const at = all.findIndex(
        (status) => status?.role === 'leader' && status.term === Math.max(...terms),
      )
      leader = this.nodes[at]
      return leader !== undefined
    })
    return present(leader, () => 'leader')
  }

  async followers(): Promise<ChildNode[]> {
    const leader = await this.leader()
    return this.nodes.filter((node) => node !== leader && node.running)
  }

  async statuses(): Promise<(NodeStatus | null)[]> {
    return await Promise.all(this.nodes.map((node) => (node.running ? node.status() : null)))
  }

  /**
   * Waits until every node runs, is ready, votes, and has applied what was committed when they were
   * last asked: under load, what is committed now is always a little ahead.
   */
  async settled(timeoutMs = 20_000): Promise<void> {
    let last: readonly (NodeStatus | null)[] = []
    let goal = Number.POSITIVE_INFINITY
    await until('all nodes are ready, vote and have caught up', timeoutMs, async () => {
      const committed = goal
      last = await this.statuses()
      goal = Math.max(...last.map((status) => status?.log.committed ?? 0))
      return last.every(
        (status) =>
          status?.ready === true &&
          status.leader !== null &&
          status.log.applied >= committed &&
          status.members.every((member) => member.role === member.wants),
      )
    }).catch((error: Error) => {
      const seen = last.map((s) => (s === null ? 'down' : `${s.name} ${s.role} ${s.log.applied}`))
      throw new Error(`${error.message} (${seen.join(', ')})`)
    })
  }

  /** See `admin`. */
  async admin<T>(node: ChildNode, path: string, body: unknown = {}): Promise<T> {
    return await admin<T>(node, path, body)
  }

  /** Content checksums of all replicas at one position; throws if they differ or have problems. */
  async verify(): Promise<VerifyReport> {
    const report = await this.admin<VerifyReport>(await this.leader(), 'verify')
    const broken = Object.values(report.nodes).some(
      (result) => 'code' in result || result.problems.length > 0,
    )
    if (!report.identical || broken) throw new Error(`replicas differ: ${JSON.stringify(report)}`)
    return report
  }

  /** Stops all nodes; their files stay until the cluster is disposed of. */
  async stop(): Promise<void> {
    await Promise.all(this.nodes.map((node) => node.stop()))
  }

  /** Kills what still runs and removes the folder, unless QUORATE_KEEP=1. */
  async [Symbol.asyncDispose](): Promise<void> {
    for (const client of this.#clients) client.close()
    await Promise.all(this.nodes.map((node) => node.kill()))
    if (process.env['QUORATE_KEEP'] === '1') console.error(`kept: ${this.dir}`)
    else rmSync(this.dir, { recursive: true, force: true })
  }
}

/** POSTs to a node's /admin. Throws with the body of an answer that is not 2xx. */
export async function admin<T>(node: ChildNode, path: string, body: unknown = {}): Promise<T> {
  const response = await fetch(`${node.url}/admin/${path}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
    signal: AbortSignal.timeout(30_000),
  })
  const text = await response.text()
  if (!response.ok) throw new Error(`/admin/${path}: HTTP ${response.status} ${text}`)
  return (text === '' ? null : JSON.parse(text)) as T
}

/** Runs the command line to its end. */
export async function quorate(
  ...args: readonly string[]
): Promise<{ readonly code: number | null; readonly stdout: string; readonly stderr: string }> {
  const child = spawn(process.execPath, [BIN, ...args], { stdio: ['ignore', 'pipe', 'pipe'] })
  const texts = Promise.all([text(child.stdout), text(child.stderr)])
  const [code] = (await once(child, 'close')) as [number | null]
  const [stdout, stderr] = await texts
  return { code, stdout, stderr }
}

/** What SQLite itself says against a database file that no process has open; empty is good. */
export function problemsOf(file: string): string[] {
  const database = new DatabaseSync(file)
  try {
    const integrity = database.prepare('PRAGMA integrity_check').all()
    const foreign = database.prepare('PRAGMA foreign_key_check').all()
    const texts = integrity.map((row) => String(row['integrity_check']))
    return [...texts.filter((text) => text !== 'ok'), ...foreign.map((row) => JSON.stringify(row))]
  } finally {
    database.close()
  }
}

/** Rows of a query on a database file that no process has open. */
export function rowsOf(file: string, sql: string): Record<string, unknown>[] {
  const database = new DatabaseSync(file, { readOnly: true })
  try {
    return database.prepare(sql).all() as Record<string, unknown>[]
  } finally {
    database.close()
  }
}
