/** A cluster of several groups of node processes on this machine, for whole-system tests. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { present } from '../src/base/assert.ts'
import { ChildNode, freePort, until } from '../src/bench/child-node.ts'
import { hasApplied, madeBy } from '../src/bench/levelling.ts'
import { connect, type RemoteDb } from '../src/client/index.ts'
import type { NodeStatus } from '../src/model/status.ts'
import type { VerifyReport } from '../src/node/verifier.ts'
import { admin } from './cluster.ts'

interface GroupNode {
  readonly group: string
  readonly child: ChildNode
}

export class Groups implements AsyncDisposable {
  readonly dir = mkdtempSync(join(tmpdir(), 'quorate-test-'))
  readonly #strategy: 'multi-leader' | 'peer'
  readonly #flags: readonly string[]
  readonly #nodes: GroupNode[] = []
  readonly #clients: RemoteDb[] = []

  private constructor(strategy: 'multi-leader' | 'peer', flags: readonly string[]) {
    this.#strategy = strategy
    this.#flags = flags
  }

  /** Starts groups of so many nodes, one after the other, and waits until all write. */
  static async start(
    sizes: Readonly<Record<string, number>>,
    strategy: 'multi-leader' | 'peer' = 'multi-leader',
    flags: readonly string[] = [],
  ): Promise<Groups> {
    const groups = new Groups(strategy, flags)
    try {
      for (const [group, nodes] of Object.entries(sizes)) {
        for (let at = 1; at <= nodes; at += 1) await groups.add(group)
      }
      await groups.level()
      return groups
    } catch (error) {
      await groups[Symbol.asyncDispose]()
      throw error
    }
  }

  get names(): string[] {
    return [...new Set(this.#nodes.map(({ group }) => group))]
  }

  nodesOf(group: string): ChildNode[] {
    return this.#nodes.filter((node) => node.group === group).map(({ child }) => child)
  }

  get nodes(): ChildNode[] {
    return this.#nodes.map(({ child }) => child)
  }

  /** Starts one more node; it founds the group if that is new. */
  async add(group: string): Promise<ChildNode> {
    const child = new ChildNode({
      dir: this.dir,
      name: `${group}${this.nodesOf(group).length + 1}`,
      port: await freePort(),
      join: this.nodes.map(({ url }) => url),
      flags: ['--strategy', this.#strategy, '--group', group, ...this.#flags],
      env: { QUORATE_FAULTS: '1' },
    })
    this.#nodes.push({ group, child })
    child.start()
    await child.ready()
    return child
  }

  /** A client of one group's nodes, closed with the cluster. */
  client(group: string, options: Parameters<typeof connect>[1] = {}): RemoteDb {
    const urls = this.nodesOf(group).map(({ url }) => url)
    const client = connect(urls, options)
    this.#clients.push(client)
    return client
  }

  async leaderOf(group: string): Promise<ChildNode> {
    let leader: ChildNode | undefined
    await until(`group ${group} has a leader`, 10_000, async () => {
      const nodes = this.nodesOf(group)
      const all = await Promise.all(nodes.map((node) => (node.running ? node.status() : null)))
      const terms = Math.max(...all.map((status) => status?.term ?? 0))
      leader = nodes[all.findIndex((one) => one?.role === 'leader' && one.term === terms)]
      return leader !== undefined
    })
    return present(leader, () => 'leader')
  }

  /** Ends every connection between a group and the others; clients reach both sides. */
  async cut(group: string): Promise<void> {
    await Promise.all(
      this.#nodes.map(async (node) => {
        const others = this.#nodes.filter((one) => (one.group === group) !== (node.group === group))
        await this.#fault(
          node.child,
          others.map(({ child }) => child.name),
        )
      }),
    )
  }

  async heal(): Promise<void> {
    await Promise.all(this.nodes.map((node) => this.#fault(node, [])))
  }

  /** Waits until every node that runs has applied what any of them had when this began. */
  async level(timeoutMs = 30_000): Promise<void> {
    const made = madeBy(await this.statuses())
    let last = ''
    await until('all groups are level', timeoutMs, async () => {
      const all = await this.statuses()
      last = all.map((one) => JSON.stringify(one.origins?.groups)).join('\n')
      return all.every((status) => {
        const known = new Set(status.origins?.groups.map(({ name }) => name))
        const knowsAll = this.names.every((name) => known.has(name))
        return status.ready && knowsAll && hasApplied(status, made)
      })
    }).catch((error: Error) => {
      throw new Error(`${error.message}\n${last}`)
    })
  }

  async statuses(): Promise<NodeStatus[]> {
    const running = this.nodes.filter((node) => node.running)
    const all = await Promise.all(running.map((node) => node.status()))
    return all.filter((status) => status !== null)
  }

  /** All tables of all replicas of all groups are the same; throws with those that are not. */
  async verify(): Promise<void> {
    await this.level()
    const checked: Record<string, VerifyReport['nodes'][string]> = {}
    for (const group of this.names) {
      const report = await admin<VerifyReport>(await this.leaderOf(group), 'verify')
      Object.assign(checked, report.nodes)
    }
    // What AUTOINCREMENT goes on from is each group's own.
    const tables = Object.values(checked).map((one) =>
      'code' in one ? one : { ...one.tables, sqlite_sequence: '' },
    )
    const different = new Set(tables.map((one) => JSON.stringify(one)))
    const problems = Object.values(checked).flatMap((one) => ('code' in one ? [] : one.problems))
    if (different.size > 1 || problems.length > 0) {
      throw new Error(`replicas differ: ${JSON.stringify(checked, null, 1)}`)
    }
  }

  /** Kills what still runs and removes the folder, unless QUORATE_KEEP=1. */
  async [Symbol.asyncDispose](): Promise<void> {
    for (const client of this.#clients) client.close()
    await Promise.all(this.nodes.map((node) => node.kill()))
    if (process.env['QUORATE_KEEP'] === '1') console.error(`kept: ${this.dir}`)
    else rmSync(this.dir, { recursive: true, force: true })
  }

  async #fault(node: ChildNode, cut: readonly string[]): Promise<void> {
    if (node.running) await admin(node, 'fault', { cut })
  }
}
