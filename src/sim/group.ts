/**
 * One replica group of a simulated world: its nodes, what their disks really hold, and the checkers
 * of its order and its content. A world has one of these, or one for each origin.
 */
import { join } from 'node:path'
import { assert, present } from '../base/assert.ts'
import type { NodeId } from '../base/brand.ts'
import { toLogIndex, toNodeId, toTerm } from '../base/brand.ts'
import type { Prng } from '../base/prng.ts'
import type { Members } from '../model/members.ts'
import type { SessionToken } from '../model/request.ts'
import type { NodeDriverOptions } from '../node/driver.ts'
import type { VerifyReport } from '../node/verifier.ts'
import type { OpenOptions } from '../store/connections.ts'
import type { FileIdentity, StoreCommand, StoreReply } from '../store/types.ts'
import { checkSurvivors, OrderChecker } from './checkers.ts'
import { ContentChecker } from './content-checker.ts'
import type { NodeLedger } from './ledger.ts'
import type { SimNetwork } from './network.ts'
import type { Parts } from './node.ts'
import { SimNode } from './node.ts'
import type { Profile } from './profile.ts'
import type { Schedule } from './schedule.ts'
import { BASE } from './templates.ts'

export interface GroupOptions {
  readonly cluster: string
  /** Begins the names of its nodes. */
  readonly prefix: string
  readonly voters: number
  readonly learners: number
  /** The number of the first of its founders; 1 if it is not told. */
  readonly first?: number
  readonly schedule: Schedule
  readonly network: SimNetwork
  readonly profile: Profile
  readonly prng: Prng
  readonly contentPrng: Prng
  readonly parts: Parts
  /** What its nodes are told beside what all are told. */
  readonly driver?: Partial<NodeDriverOptions>
  /** Where the files of the world are. */
  readonly directory: string
  /** Puts the file of one of its founders at `path`. */
  readonly found: (path: string, identity: FileIdentity, members: Members) => void
  /** Puts a file at `path` that is as theirs were before the log's first entry. */
  readonly foundTwin: (path: string, identity: FileIdentity) => void
  /** Puts a file at `path` that holds nothing but its identity. */
  readonly join: (path: string, identity: FileIdentity) => void
  readonly healed: () => boolean
  readonly voted: (node: SimNode) => void
  readonly note: (who: string, what: string) => void
  /** Whether what lies behind virtual tables is equal on all replicas. */
  readonly shadows: boolean
  /** What the store of the twin is opened with. */
  readonly twinOptions?: OpenOptions
}

const NEWCOMERS_MAX = 2
/** Nodes that are told of their group from its beginning have numbers up to this. */
const FOLLOWER_MAX = 9
/** Disks of a healed world. */
const FAST: Profile['disk'] = {
  store: { usual: 100, max: 100, longPercent: 0 },
  flush: { usual: 500, max: 500, longPercent: 0 },
  checkpointPercent: 0,
}

export class SimGroup {
  readonly nodes: SimNode[] = []
  readonly order: OrderChecker
  readonly content: ContentChecker
  readonly counts = { crashes: 0, takenBack: 0, installs: 0, verified: 0 }
  readonly #options: GroupOptions
  readonly #ledgers = new Map<NodeId, NodeLedger>()

  constructor(options: GroupOptions) {
    this.#options = options
    const { cluster, directory, prefix, contentPrng, foundTwin, twinOptions } = options
    this.order = new OrderChecker(this.#ledgers, BASE)
    this.content = new ContentChecker(this.order, contentPrng, {
      file: join(directory, `${prefix}twin.db`),
      shadows: options.shadows,
      ...(twinOptions === undefined ? {} : { options: twinOptions }),
      found: (path) => foundTwin(path, { cluster, node: 'twin:00000000' }),
    })
    this.#found()
  }

  /** A look at all of its nodes after an event. */
  observe(): void {
    for (const { view } of this.nodes) if (view !== null) this.order.observe(view)
  }

  restart(node: SimNode): void {
    const before = node.restart()
    this.counts.crashes += 1
    checkSurvivors(before, node.ledger)
    this.#ledgers.set(node.id, node.ledger)
    this.order.restarted(node.id)
    this.order.added(node.ledger, node.ledger.entries)
  }

  /** Brings everybody back. */
  heal(): void {
    for (const node of this.nodes) {
      if (!node.up) this.restart(node)
      else if (node.paused) node.resume()
    }
  }

  close(): void {
    for (const node of this.nodes) node.close()
  }

  /** A node with an empty disk; null if there are enough. */
  newcomer(): SimNode | null {
    const { voters, learners, prefix } = this.#options
    if (this.nodes.length >= voters + learners + NEWCOMERS_MAX) return null
    const numbers = this.nodes.map(({ name }) => Number(name.slice(prefix.length)))
    return this.follower(Math.max(FOLLOWER_MAX, ...numbers) + 1)
  }

  /** The same, of a number of which there is none yet, up to FOLLOWER_MAX. */
  follower(number: number): SimNode {
    const { prefix, cluster, join } = this.#options
    const name = `${prefix}${number}`
    const id = idOf(name)
    const file = this.#fileOf(name)
    join(file, { cluster, node: id })
    return this.#add(id, name, file)
  }

  /** The leader of the highest term, if it can work. */
  leader(): SimNode | null {
    const leaders = this.nodes.filter((node) => node.driver?.order.role === 'leader')
    const top = leaders.sort((a, b) => (b.view?.term ?? 0) - (a.view?.term ?? 0))[0]
    return top?.driver?.ready === true ? top : null
  }

  members(): readonly SimNode[] {
    const members = this.leader()?.ledger.members.members ?? []
    return members.map((member) =>
      present(
        this.nodes.find((node) => node.id === member.id),
        () => member.name,
      ),
    )
  }

  /** Everybody has committed and applied all that there is. */
  caughtUp(): boolean {
    const leader = this.leader()
    if (leader === null) return false
    const { index } = leader.ledger.last
    return this.members().every((node) => {
      const order = node.driver?.order
      return order?.applied === index && order.commit === index && node.ledger.applied === index
    })
  }

  describe(): string {
    return this.nodes
      .map((node) => {
        const order = node.driver?.order
        if (order === undefined) return `${node.name} down`
        const { role, term, commit, applied, last, leader } = order
        const log = `commit ${commit} applied ${applied} last ${last.index}`
        return `${node.name} ${role} term ${term} ${log} leader ${leader}`
      })
      .join('; ')
  }

  // What it was told

  /** H8: an acknowledgement at `majority` or above speaks of a committed entry (D1). */
  checkCommitted(token: SessionToken): void {
    if (token.index <= BASE.index) return
    const entry = this.order.committedAt(token.index)
    assert(
      entry?.term === token.term,
      () => `H8: entry ${token.index} of term ${token.term} was acknowledged and not committed`,
    )
  }

  /** H9: an entry acknowledged by a number of voters is durable on so many (D1). */
  checkHeld(token: SessionToken, count: number): void {
    const id = { index: toLogIndex(token.index), term: toTerm(token.term) }
    // It may have been taken back while the answer was on its way: below a majority that is so.
    const holders = this.nodes
      .slice(0, this.#options.voters)
      .filter((node) => node.ledger.holdsDurably(id))
    assert(
      holders.length >= count || this.order.takenBack(id),
      () => `H9: ${count} voters acknowledged ${id.index} of ${id.term}, ${holders.length} hold it`,
    )
  }

  /** R5: what `verify` compares at one position is equal, and its answer says so (D2, D3). */
  checkReport(report: VerifyReport): void {
    this.counts.verified += 1
    const digests = new Set<string>()
    for (const [name, result] of Object.entries(report.nodes)) {
      if ('code' in result) {
        assert(result.code !== 'INTERNAL', () => `R5: ${name}: ${result.detail}`)
        continue
      }
      assert(result.index === report.index, () => `R5: ${name} verified ${result.index}`)
      assert(result.problems.length === 0, () => `R5: ${name}: ${result.problems}`)
      digests.add(JSON.stringify(result.tables))
    }
    assert(digests.size <= 1, () => `R5: replicas differ after entry ${report.index}`)
  }

  // Beginning

  #found(): void {
    const { cluster, prefix, voters, learners, first = 1, prng, profile, found } = this.#options
    const members: Members = {
      cluster,
      members: Array.from({ length: voters + learners }, (_, i) => {
        const role = i < voters ? 'voter' : 'learner'
        const name = `${prefix}${first + i}`
        const priority = prng.intInclusive(1, profile.priorityMax)
        return { id: idOf(name), name, url: `sim://${name}`, role, wants: role, priority }
      }),
    }
    for (const { id, name } of members.members) {
      const file = this.#fileOf(name)
      found(file, { cluster, node: id }, members)
      this.order.founded(this.#add(id, name, file).ledger.entries)
    }
  }

  #add(id: NodeId, name: string, file: string): SimNode {
    const { schedule, network, profile, prng, cluster, healed } = this.#options
    const { note, voted, parts, driver = {}, shadows } = this.#options
    const { tickPercentMin, tickPercentMax } = profile
    const tickPercent = prng.intInclusive(tickPercentMin, tickPercentMax)
    const node = new SimNode({
      id,
      name,
      cluster,
      schedule,
      network,
      profile,
      prng: prng.fork(),
      speed: () => (healed() ? FAST : profile.disk),
      tickPercent: () => (healed() ? 100 : tickPercent),
      file,
      parts,
      driver,
      shadows,
      watch: { ran: (at, command, reply) => this.#ran(at, command, reply), note, voted },
    })
    this.nodes.push(node)
    this.#ledgers.set(id, node.ledger)
    this.order.added(node.ledger, node.ledger.entries)
    return node
  }

  #fileOf(name: string): string {
    return join(this.#options.directory, name, 'data.db')
  }

  // Watching

  #ran(node: SimNode, command: StoreCommand, reply: StoreReply): void {
    const appliedBefore = node.ledger.applied
    const { added, removed } = node.ledger.ran(command, reply)
    if (command.kind !== 'read') {
      this.#options.note(
        node.name,
        `${command.kind} -> ${reply.kind}, log ends at ${node.ledger.last.index}`,
      )
    }
    if (reply.kind === 'failed' && reply.error.code === 'INTERNAL') {
      throw new Error(`${node.name}: ${command.kind} failed: ${reply.error.detail}`)
    }
    if (reply.kind === 'installed') {
      this.counts.installs += 1
      this.order.added(node.ledger, node.ledger.entries)
    }
    this.order.added(node.ledger, added)
    this.order.removed(node.ledger, removed)
    if (reply.kind === 'applied') this.order.applied(node.ledger, appliedBefore, reply.index)
    if (reply.kind === 'truncated') {
      this.counts.takenBack += removed.length
      this.content.checkLost(node, removed, reply.lost)
    }
    this.content.ran(node, reply)
  }
}

/** Of the node that has this name. */
export function idOf(name: string): NodeId {
  return toNodeId(`${name}:00000000`)
}
