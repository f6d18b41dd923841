/**
 * One simulated world: nodes, network, disks, clients and trouble, all from one seed and in virtual
 * time, with the checkers looking on after every step. First hostile, then healed; safety is asked
 * for all the time, progress only at the end.
 */
import { mkdirSync, rmSync } from 'node:fs'
import { present } from '../base/assert.ts'
import type { Prng } from '../base/prng.ts'
import { prngFromSeed } from '../base/prng.ts'
import type { AckLevel, SessionToken } from '../model/request.ts'
import type { VerifyReport } from '../node/verifier.ts'
import { Client } from './client.ts'
import { checksums } from './database-file.ts'
import { SimGroup } from './group.ts'
import { History } from './history.ts'
import { Life, type LifeOptions, type Outcome } from './life.ts'
import { leaderManners, THE_GROUP } from './manners.ts'
import { Nemesis } from './nemesis.ts'
import { SimNetwork } from './network.ts'
import type { Parts, SimNode } from './node.ts'
import type { Profile } from './profile.ts'
import { drawProfile } from './profile.ts'
import { Lifetime } from './schedule.ts'
import { FACTS_QUERY, factsOf, OPS_QUERY } from './tables.ts'
import { foundFile, joinerFile, type Templates } from './templates.ts'

export interface WorldOptions extends LifeOptions {
  readonly seed: number
  readonly templates: Templates
  readonly parts?: Parts
  /** Changes what the seed drew: for directed scenarios. */
  readonly adjust?: (profile: Profile) => Profile
}

const CLUSTER = 'simulated'

export class World extends Life {
  readonly profile: Profile
  readonly network: SimNetwork
  readonly history = new History()
  readonly group: SimGroup
  readonly #options: WorldOptions
  readonly #prng: Prng
  readonly #life = new Lifetime()
  #clients: readonly Client[] = []
  #nemesis: Nemesis | null = null
  #healed = false

  constructor(options: WorldOptions) {
    super(options)
    this.#options = options
    const prng = prngFromSeed(options.seed)
    this.#prng = prng.fork()
    const drawn = drawProfile(prng.fork())
    this.profile = options.adjust?.(drawn) ?? drawn
    this.note('world', JSON.stringify(this.profile))
    const { profile } = this
    this.network = new SimNetwork(this.schedule, prng.fork(), profile, checksums)
    mkdirSync(options.directory, { recursive: true })
    const { voters, learners } = profile
    const { directory, templates, parts = {} } = options
    this.group = new SimGroup({
      cluster: CLUSTER,
      prefix: THE_GROUP,
      voters,
      learners,
      schedule: this.schedule,
      network: this.network,
      profile,
      prng: this.#prng,
      contentPrng: prng.fork(),
      parts,
      directory,
      found: (path, identity, members) => foundFile(templates, path, identity, members),
      foundTwin: (path, identity) => {
        foundFile(templates, path, identity, { cluster: CLUSTER, members: [] })
      },
      join: (path, identity) => joinerFile(templates, path, identity),
      shadows: true,
      healed: () => this.#healed,
      voted: (node) => this.#nemesis?.voted(node),
      note: (who, what) => this.note(who, what),
    })
  }

  get nodes(): readonly SimNode[] {
    return this.group.nodes
  }

  /** Runs the whole life of the world. Throws at the first violation. */
  run(): Outcome {
    this.populate()
    this.until(this.profile.hostileUs, () => false)
    this.heal()
    this.#finish()
    const { counts, order } = this.group
    return this.outcome({ ...this.history.counts, ...counts, commit: order.commit })
  }

  /** Removes all that the world has on the machine. */
  close(): void {
    this.group.close()
    rmSync(this.#options.directory, { recursive: true, force: true })
  }

  protected override observe(): void {
    this.group.observe()
  }

  protected override describe(): string {
    return this.group.describe()
  }

  /** Lets clients and trouble in. */
  populate(): void {
    const { schedule, profile, history } = this
    const manners = leaderManners(profile)
    const shared = { schedule, profile, history, manners, life: this.#life }
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
        acked: (_, token, { ack }) => this.afterwards(() => this.#checkAck(token, ack)),
      })
    })
    this.#nemesis = new Nemesis(
      {
        schedule,
        profile,
        life: this.#life,
        network: this.network,
        nodes: () => this.nodes,
        restart: (node) => this.group.restart(node),
        newcomer: () => this.group.newcomer(),
        verified: (report) => this.group.checkReport(report as VerifyReport),
        note: (who, what) => this.note(who, what),
      },
      this.#prng.fork(),
    )
  }

  /** Ends all trouble, brings everybody back. */
  heal(): void {
    this.note('world', 'heal')
    this.#healed = true
    this.#nemesis?.stop()
    for (const client of this.#clients) client.stop()
    this.network.calm()
    this.group.heal()
  }

  #checkAck(token: SessionToken, ack: AckLevel): void {
    // Whoever is a voter later may not have been one when it was acknowledged.
    const settled = this.profile.faults.members === 0
    if (typeof ack === 'number' && settled) this.group.checkHeld(token, ack)
    if (ack !== 'majority' && ack !== 'all') return
    this.group.checkCommitted(token)
    if (ack === 'all' && settled) this.group.checkHeld(token, this.profile.voters)
  }

  // End

  #finish(): void {
    this.soon('the last requests of the clients', () =>
      this.#clients.every((client) => client.idle),
    )
    this.soon('an election', () => this.leader() !== null)
    this.soon('a write at `all`', this.#lastWrite())
    this.soon('catching up', () => this.group.caughtUp())
    const leader = present(this.leader(), () => 'leader')
    for (const node of this.group.members()) this.group.content.checkEnd(node, leader)
    this.group.content.checkTwin(leader)
    const [facts] = leader.content.query(FACTS_QUERY)
    this.history.finish({
      ops: leader.content.query(OPS_QUERY).map((row) => String(row[0])),
      facts: factsOf(facts ?? []),
    })
  }

  leader(): SimNode | null {
    return this.group.leader()
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
}
