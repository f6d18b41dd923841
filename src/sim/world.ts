/**
 * One simulated world: nodes, network, disks, clients and trouble, all from one seed and in virtual
 * time, with the checkers looking on after every step. First hostile, then healed; safety is asked
 * for all the time, progress only at the end.
 */
import { mkdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { assert, present } from '../base/assert.ts'
import type { NodeId } from '../base/brand.ts'
import { toLogIndex, toNodeId, toTerm } from '../base/brand.ts'
import type { Prng } from '../base/prng.ts'
import { prngFromSeed } from '../base/prng.ts'
import type { Members } from '../model/members.ts'
import type { AckLevel, SessionToken } from '../model/request.ts'
import type { VerifyReport } from '../node/verifier.ts'
import type { StoreCommand, StoreReply } from '../store/types.ts'
import { checkSurvivors, OrderChecker } from './checkers.ts'
import { Client } from './client.ts'
import { ContentChecker } from './content-checker.ts'
import { checksums } from './database-file.ts'
import { History } from './history.ts'
import type { NodeLedger } from './ledger.ts'
import { Nemesis } from './nemesis.ts'
import { SimNetwork } from './network.ts'
import type { NodeWatch, Parts } from './node.ts'
import { SimNode } from './node.ts'
import type { Profile } from './profile.ts'
import { drawProfile } from './profile.ts'
import { Lifetime, Schedule } from './schedule.ts'
import { FACTS_QUERY, factsOf, OPS_QUERY } from './tables.ts'
import { BASE, foundFile, joinerFile, type Templates } from './templates.ts'
import { Trace } from './trace.ts'

export interface WorldOptions {
  readonly seed: number
  /** Where the world's files go; removed at its end. */
  readonly directory: string
  readonly templates: Templates
  readonly parts?: Parts
  /** Changes what the seed drew: for directed scenarios. */
  readonly adjust?: (profile: Profile) => Profile
  /** Gets every line of the trace. */
  readonly print?: (line: string) => void
}

export interface Outcome {
  readonly digest: string
  readonly virtualUs: number
  readonly steps: number
  readonly counts: Readonly<Record<string, number>>
}

const CLUSTER = 'simulated'
const NEWCOMERS_MAX = 2
/** How long a healed world may take for each thing that is then demanded of it. */
const PROGRESS_US = 60_000_000
/** Disks of a healed world. */
const FAST: Profile['disk'] = {
  store: { usual: 100, max: 100, longPercent: 0 },
  flush: { usual: 500, max: 500, longPercent: 0 },
  checkpointPercent: 0,
}

export class World {
  readonly schedule = new Schedule()
  readonly profile: Profile
  readonly network: SimNetwork
  readonly nodes: SimNode[] = []
  readonly history = new History()
  readonly order: OrderChecker
  readonly content: ContentChecker
  readonly #options: WorldOptions
  readonly #trace: Trace
  readonly #prng: Prng
  readonly #life = new Lifetime()
  readonly #ledgers = new Map<NodeId, NodeLedger>()
  readonly #later: (() => void)[] = []
  readonly #counts = { crashes: 0, takenBack: 0, installs: 0, verified: 0 }
  #clients: readonly Client[] = []
  #nemesis: Nemesis | null = null
  #healed = false
  #steps = 0

  constructor(options: WorldOptions) {
    this.#options = options
    const prng = prngFromSeed(options.seed)
    this.#prng = prng.fork()
    const drawn = drawProfile(prng.fork())
    this.profile = options.adjust?.(drawn) ?? drawn
    this.#trace = new Trace(options.print ?? null)
    this.note('world', JSON.stringify(this.profile))
    const { profile } = this
    this.network = new SimNetwork(this.schedule, prng.fork(), profile, checksums)
    this.order = new OrderChecker(this.#ledgers, BASE)
    mkdirSync(options.directory, { recursive: true })
    const twin = join(options.directory, 'twin.db')
    this.content = new ContentChecker(this.order, prng.fork(), options.templates, twin)
    this.#found()
  }

  /** Runs the whole life of the world. Throws at the first violation. */
  run(): Outcome {
    this.populate()
    this.until(this.profile.hostileUs, () => false)
    this.heal()
    this.#finish()
    return {
      digest: this.#trace.digest,
      virtualUs: this.schedule.now,
      steps: this.#steps,
      counts: { ...this.history.counts, ...this.#counts, commit: this.order.commit },
    }
  }

  /** Removes all that the world has on the machine. */
  close(): void {
    for (const node of this.nodes) node.close()
    rmSync(this.#options.directory, { recursive: true, force: true })
  }

  note(who: string, what: string): void {
    // Where the files are differs from run to run.
    this.#trace.add(this.schedule.now, who, what.replaceAll(this.#options.directory, ''))
  }

  /** Lets clients and trouble in. */
  populate(): void {
    const { schedule, profile, history } = this
    const shared = { schedule, profile, history, life: this.#life }
    this.#clients = Array.from({ length: profile.clients }, (_, i) => {
      return new Client({
        ...shared,
        name: `client${i + 1}`,
        prng: this.#prng.fork(),
        contact: (prng) => {
          // A newcomer that holds nothing yet is not ready, and its host sends clients away.
          const up = this.nodes.filter((node) => node.up && node.ledger.last.index > 0)
          return up.length === 0 ? null : prng.pick(up)
        },
        note: (who, what) => this.note(who, what),
        acked: (token, ack) => this.#later.push(() => this.#checkAck(token, ack)),
      })
    })
    this.#nemesis = new Nemesis(
      {
        schedule,
        profile,
        life: this.#life,
        network: this.network,
        nodes: () => this.nodes,
        restart: (node) => this.restart(node),
        newcomer: () => this.#newcomer(),
        verified: (report) => this.#checkReport(report as VerifyReport),
        note: (who, what) => this.note(who, what),
      },
      this.#prng.fork(),
    )
  }

  /** Goes on until a virtual time, or until `done`. Tells which of the two it was. */
  until(us: number, done: () => boolean): boolean {
    while (this.schedule.now < us) {
      if (done()) return true
      this.step()
    }
    return done()
  }

  /** One event, and a look at everything after it. */
  step(): void {
    this.#steps += 1
    this.schedule.step()
    for (const node of this.nodes) {
      const { view } = node
      if (view !== null) this.order.observe(view)
    }
    for (const check of this.#later.splice(0)) check()
  }

  restart(node: SimNode): void {
    const before = node.restart()
    this.#counts.crashes += 1
    checkSurvivors(before, node.ledger)
    this.#ledgers.set(node.id, node.ledger)
    this.order.restarted(node.id)
    this.order.added(node.ledger, node.ledger.entries)
  }

  /** Ends all trouble, brings everybody back. */
  heal(): void {
    this.note('world', 'heal')
    this.#healed = true
    this.#nemesis?.stop()
    for (const client of this.#clients) client.stop()
    this.network.calm()
    for (const node of this.nodes) {
      if (!node.up) this.restart(node)
      else if (node.paused) node.resume()
    }
  }

  // Beginning

  #found(): void {
    const { voters, learners } = this.profile
    const members: Members = {
      cluster: CLUSTER,
      members: Array.from({ length: voters + learners }, (_, i) => {
        const role = i < voters ? 'voter' : 'learner'
        const name = `n${i + 1}`
        const priority = this.#prng.intInclusive(1, this.profile.priorityMax)
        return { id: idOf(name), name, url: `sim://${name}`, role, wants: role, priority }
      }),
    }
    for (const { id, name } of members.members) {
      const file = this.#fileOf(name)
      foundFile(this.#options.templates, file, { cluster: CLUSTER, node: id }, members)
      this.#add(id, name, file)
    }
  }

  #newcomer(): SimNode | null {
    const { voters, learners } = this.profile
    if (this.nodes.length >= voters + learners + NEWCOMERS_MAX) return null
    const name = `n${this.nodes.length + 1}`
    const id = idOf(name)
    const file = this.#fileOf(name)
    joinerFile(this.#options.templates, file, { cluster: CLUSTER, node: id })
    return this.#add(id, name, file)
  }

  #add(id: NodeId, name: string, file: string): SimNode {
    const { schedule, network, profile } = this
    const watch: NodeWatch = {
      ran: (node, command, reply) => this.#ran(node, command, reply),
      note: (who, what) => this.note(who, what),
      voted: (voter) => this.#nemesis?.voted(voter),
    }
    const { tickPercentMin, tickPercentMax } = profile
    const tickPercent = this.#prng.intInclusive(tickPercentMin, tickPercentMax)
    const node = new SimNode({
      id,
      name,
      cluster: CLUSTER,
      schedule,
      network,
      profile,
      prng: this.#prng.fork(),
      speed: () => (this.#healed ? FAST : profile.disk),
      tickPercent: () => (this.#healed ? 100 : tickPercent),
      file,
      parts: this.#options.parts ?? {},
      watch,
    })
    this.nodes.push(node)
    this.#ledgers.set(id, node.ledger)
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
      this.note(
        node.name,
        `${command.kind} -> ${reply.kind}, log ends at ${node.ledger.last.index}`,
      )
    }
    if (reply.kind === 'failed' && reply.error.code === 'INTERNAL') {
      throw new Error(`${node.name}: ${command.kind} failed: ${reply.error.detail}`)
    }
    if (reply.kind === 'installed') {
      this.#counts.installs += 1
      this.order.added(node.ledger, node.ledger.entries)
    }
    this.order.added(node.ledger, added)
    this.order.removed(node.ledger, removed)
    if (reply.kind === 'applied') this.order.applied(node.ledger, appliedBefore, reply.index)
    if (reply.kind === 'truncated') {
      this.#counts.takenBack += removed.length
      this.content.checkLost(node, removed, reply.lost)
    }
    this.content.ran(node, reply)
  }

  /** H8: an acknowledgement at `majority` or above speaks of a committed entry (D1). */
  #checkAck(token: SessionToken, ack: AckLevel): void {
    if (typeof ack === 'number' && this.profile.faults.members === 0) this.#checkHeld(token, ack)
    if (ack !== 'majority' && ack !== 'all') return
    if (token.index <= BASE.index) return
    const entry = this.order.committedAt(token.index)
    assert(
      entry?.term === token.term,
      () => `H8: entry ${token.index} of term ${token.term} was acknowledged and not committed`,
    )
    if (ack === 'all' && this.profile.faults.members === 0) {
      this.#checkHeld(token, this.profile.voters)
    }
  }

  /** H9: an entry acknowledged by a number of voters is durable on so many (D1). */
  #checkHeld(token: SessionToken, count: number): void {
    const id = { index: toLogIndex(token.index), term: toTerm(token.term) }
    // It may have been taken back while the answer was on its way: below a majority that is so.
    const holders = this.nodes
      .slice(0, this.profile.voters)
      .filter((node) => node.ledger.holdsDurably(id))
    assert(
      holders.length >= count || this.order.takenBack(id),
      () => `H9: ${count} voters acknowledged ${id.index} of ${id.term}, ${holders.length} hold it`,
    )
  }

  /** R5: what `verify` compares at one position is equal, and its answer says so (D2, D3). */
  #checkReport(report: VerifyReport): void {
    this.#counts.verified += 1
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

  // End

  #finish(): void {
    const soon = (what: string, done: () => boolean): void => {
      const by = this.schedule.now + PROGRESS_US
      assert(this.until(by, done), () => `P: ${what} takes too long; ${this.#describe()}`)
    }
    soon('the last requests of the clients', () => this.#clients.every((client) => client.idle))
    soon('an election', () => this.leader() !== null)
    soon('a write at `all`', this.#lastWrite())
    soon('catching up', () => this.#caughtUp())
    const leader = present(this.leader(), () => 'leader')
    for (const node of this.#membersNow()) this.content.checkEnd(node, leader)
    this.content.checkTwin(leader)
    const [facts] = leader.content.query(FACTS_QUERY)
    this.history.finish({
      ops: leader.content.query(OPS_QUERY).map((row) => String(row[0])),
      facts: factsOf(facts ?? []),
    })
  }

  /** The leader of the highest term, if it can work. */
  leader(): SimNode | null {
    const leaders = this.nodes.filter((node) => node.driver?.order.role === 'leader')
    const top = leaders.sort((a, b) => (b.view?.term ?? 0) - (a.view?.term ?? 0))[0]
    return top?.driver?.ready === true ? top : null
  }

  /** Writes once more, at level `all`, again until it succeeds. */
  #lastWrite(): () => boolean {
    let ok = false
    const attempt = (): void => {
      const statement = { sql: "insert or replace into kv (k, v) values ('end', 'end')" }
      const program = { atomic: true, steps: [{ statement }] }
      const request = { kind: 'write', program, ack: 'all', timeoutMs: 3_000 } as const
      this.leader()?.request(request, (reply) => {
        ok = ok || reply.kind === 'result'
      })
      this.schedule.after(4_000_000, this.#life, () => {
        if (!ok) attempt()
      })
    }
    attempt()
    return () => ok
  }

  #membersNow(): readonly SimNode[] {
    const members = this.leader()?.ledger.members.members ?? []
    return members.map((member) =>
      present(
        this.nodes.find((node) => node.id === member.id),
        () => member.name,
      ),
    )
  }

  #caughtUp(): boolean {
    const leader = this.leader()
    if (leader === null) return false
    const { index } = leader.ledger.last
    return this.#membersNow().every((node) => {
      const order = node.driver?.order
      return order?.applied === index && order.commit === index && node.ledger.applied === index
    })
  }

  #describe(): string {
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
}

function idOf(name: string): NodeId {
  return toNodeId(`${name}:00000000`)
}
