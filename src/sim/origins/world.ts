/**
 * A simulated world of several groups, each with a leader that writes: clients of any of them,
 * trouble within and between them, and checkers of each group's order, of what passes between
 * origins, and of what clients are told. Healed, all must become equal to the twin, and silent.
 */
import { mkdirSync, rmSync } from 'node:fs'
import { assert, present } from '../../base/assert.ts'
import type { Prng } from '../../base/prng.ts'
import { prngFromSeed } from '../../base/prng.ts'
import { graphOf } from '../../core/order/clock/exchange/test-graphs.ts'
import { compareFrontiers } from '../../core/order/clock/frontier.ts'
import { decodeBatch } from '../../model/entry-codec.ts'
import type { SessionToken } from '../../model/request.ts'
import type { VerifyReport } from '../../node/verifier.ts'
import { Client } from '../client.ts'
import { checksums } from '../database-file.ts'
import { idOf, SimGroup } from '../group.ts'
import { Life, type LifeOptions, type Outcome } from '../life.ts'
import { Nemesis } from '../nemesis.ts'
import { SimNetwork } from '../network.ts'
import type { Parts, SimNode } from '../node.ts'
import { Lifetime } from '../schedule.ts'
import { OPS_QUERY } from '../tables.ts'
import { BASE, type Templates } from '../templates.ts'
import type { Write } from '../write-book.ts'
import { EntryChecker } from './entries.ts'
import { Founding, type GroupPlan } from './founding.ts'
import { OriginsHistory } from './history.ts'
import { originsManners } from './manners.ts'
import { GroupNemesis } from './nemesis.ts'
import { drawOriginsProfile, type OriginsProfile } from './profile.ts'
import { FACTS_QUERY, factsOf, SCHEMA_WORK } from './tables.ts'
import { abortedOf, compare, everything, OriginsTwin } from './twin.ts'

export interface OriginsWorldOptions extends LifeOptions {
  readonly seed: number
  readonly templates: Templates
  readonly parts?: Parts
  /** Changes what the seed drew: for directed scenarios. */
  readonly adjust?: (profile: OriginsProfile) => OriginsProfile
}

const CLUSTER = 'simulated'
/** So long nothing happens once a world is silent. */
const SILENCE_US = 5_000_000
/** Others may have to wait until their clocks show what ours does. */
const LAST_WRITE_MS = 20_000
/** Tables are looked at so often, which takes longer than most else. */
const LOOK_US = 200_000
/**
 * Tables that hold nothing once everything is final everywhere. `_quorate_deleted` may keep what was
 * deleted last: nobody tells that he has seen it before there is something else to tell.
 */
const METADATA = ['_quorate_transactions', '_quorate_kept']

export class OriginsWorld extends Life {
  readonly profile: OriginsProfile
  readonly network: SimNetwork
  readonly history: OriginsHistory
  readonly entries = new EntryChecker()
  /** By name. */
  readonly groups = new Map<string, SimGroup>()
  readonly #options: OriginsWorldOptions
  readonly #prng: Prng
  readonly #founding: Founding
  readonly #life = new Lifetime()
  #clients: readonly Client[] = []
  #nemeses: readonly Nemesis[] = []
  #between: GroupNemesis | null = null
  #healed = false

  constructor(options: OriginsWorldOptions) {
    super(options)
    this.#options = options
    const prng = prngFromSeed(options.seed)
    this.#prng = prng.fork()
    const drawn = drawOriginsProfile(prng.fork())
    this.profile = options.adjust?.(drawn) ?? drawn
    this.note('world', JSON.stringify(this.profile))
    const { profile } = this
    const far = { delay: profile.far, isFar: isOtherGroup }
    this.network = new SimNetwork(this.schedule, prng.fork(), profile, checksums, far)
    this.history = new OriginsHistory(profile.groups.length)
    this.#founding = new Founding(profile, options.templates, idOf)
    mkdirSync(options.directory, { recursive: true })
    const { plans } = this.#founding
    for (const plan of plans) this.#add(plan)
    // The first entry of each, before anybody's second, which takes those.
    for (const { name, origin } of plans) {
      this.entries.look(origin, this.group(name).order, this.#latest(name), BASE.index + 1)
    }
  }

  /** Runs the whole life of the world. Throws at the first violation. */
  run(): Outcome {
    this.populate()
    this.until(this.profile.hostileUs, () => false)
    this.heal()
    this.#finish()
    const counts = { crashes: 0, takenBack: 0, installs: 0, verified: 0 }
    for (const group of this.groups.values()) {
      for (const key of ['crashes', 'takenBack', 'installs', 'verified'] as const) {
        counts[key] += group.counts[key]
      }
    }
    return this.outcome({ ...this.history.counts, ...counts, ...this.entries.counts })
  }

  /** Removes all that the world has on the machine. */
  close(): void {
    for (const group of this.groups.values()) group.close()
    rmSync(this.#options.directory, { recursive: true, force: true })
  }

  /** All nodes of all groups. */
  get nodes(): readonly SimNode[] {
    return [...this.groups.values()].flatMap(({ nodes }) => nodes)
  }

  group(name: string): SimGroup {
    return present(this.groups.get(name), () => `group ${name}`)
  }

  protected override observe(): void {
    for (const { name, origin } of this.#founding.plans) {
      const group = this.group(name)
      group.observe()
      this.entries.look(origin, group.order, this.#latest(name))
    }
  }

  /** Stamps after this are too far ahead of the clocks of a group. */
  #latest(name: string): number {
    const { faults, driftMaxMs } = this.profile
    // It may have been decided before a clock was set back.
    if (faults.clockJump > 0) return Number.POSITIVE_INFINITY
    const clocks = this.group(name).nodes.map(({ wallMs }) => wallMs)
    return (Math.max(...clocks) + driftMaxMs) * 1_000
  }

  protected override describe(): string {
    return [...this.groups.values()].map((group) => group.describe()).join('\n  ')
  }

  /** Lets clients and trouble in. */
  populate(): void {
    const { schedule, profile, history, network, groups } = this
    const manners = originsManners(profile, [...groups.keys()])
    const shared = { schedule, profile, life: this.#life }
    const note = (who: string, what: string): void => this.note(who, what)
    this.#clients = Array.from({ length: profile.clients }, (_, i) => {
      return new Client({
        ...shared,
        name: `client${i + 1}`,
        history,
        manners,
        prng: this.#prng.fork(),
        contact: (prng, group) => {
          const up = this.group(group).nodes.filter((node) => node.up && node.ledger.last.index > 0)
          return up.length === 0 ? null : prng.pick(up)
        },
        note,
        acked: (group, token, write) => {
          this.afterwards(() => this.#checkAck(group, token, write))
        },
      })
    })
    this.#nemeses = [...groups].map(([name, group]) => {
      return new Nemesis(
        {
          ...shared,
          network,
          nodes: () => group.nodes,
          restart: (node) => group.restart(node),
          newcomer: () => group.newcomer(),
          verified: (report) => group.checkReport(report as VerifyReport),
          note: (who, what) => note(`${who} of ${name}`, what),
        },
        this.#prng.fork(),
      )
    })
    this.#between = new GroupNemesis({ ...shared, network, groups, note }, this.#prng.fork())
  }

  /** Ends all trouble, brings everybody back. */
  heal(): void {
    this.note('world', 'heal')
    this.#healed = true
    this.#between?.stop()
    for (const nemesis of this.#nemeses) nemesis.stop()
    for (const client of this.#clients) client.stop()
    this.network.calm()
    for (const group of this.groups.values()) group.heal()
  }

  // Beginning

  #add(plan: GroupPlan): void {
    const { schedule, network, profile } = this
    const { name, origin } = plan
    const { directory, parts = {} } = this.#options
    const size = present(profile.groups[this.groups.size], () => name)
    const neighbours = graphOf(
      profile.topology,
      this.#founding.plans.map((each) => each.name),
    ).flatMap(([a, b]) => (a === name ? [b] : b === name ? [a] : []))
    const group = new SimGroup({
      cluster: CLUSTER,
      prefix: name,
      ...size,
      schedule,
      network,
      profile,
      prng: this.#prng,
      contentPrng: this.#prng.fork(),
      parts,
      directory,
      driver: { exchangeWith: neighbours, driftMaxMs: profile.driftMaxMs },
      found: (path, identity, members) => this.#founding.file(plan, path, identity, members),
      foundTwin: (path, identity) => this.#founding.twin(plan, path, identity),
      join: (path, identity) => this.#founding.joiner(path, identity),
      shadows: false,
      healed: () => this.#healed,
      voted: () => {},
      note: (who, what) => this.note(who, what),
    })
    this.groups.set(name, group)
    this.entries.add(origin, BASE.index)
  }

  // Watching

  #checkAck(name: string, token: SessionToken, { ack, kind }: Write): void {
    if (ack === 'local') return
    const group = this.group(name)
    group.checkCommitted(token)
    // The keeper has run it: the token is of the group that was asked.
    if (kind === SCHEMA_WORK) return
    const entry = group.order.committedAt(token.index)
    if (entry === null || (entry.kind !== 'data' && entry.kind !== 'schema')) return
    const { own } = decodeBatch(entry.body)
    if (own === undefined) return
    const count = this.groups.size
    const copies =
      ack === 'all' ? count : ack === 'quorum' ? Math.floor(count / 2) + 1 : Number(ack)
    if (copies > 0) this.entries.checkCopies(own.origin, own.sequence, copies)
    if (ack === 'stable') this.entries.checkStable(own.origin, own.time)
  }

  // End

  #finish(): void {
    this.soon('the last requests of the clients', () => this.#clients.every(({ idle }) => idle))
    for (const [name, group] of this.groups) {
      this.soon(`an election in ${name}`, () => group.leader() !== null)
    }
    let mended = false
    this.#between?.mend(() => {
      mended = true
    })
    this.soon('mending', () => mended)
    for (const name of this.groups.keys()) {
      this.soon(`a write at \`stable\` in ${name}`, this.#lastWrite(name))
    }
    this.soon('all entries everywhere', () => this.#isEverywhere())
    let look = 0
    this.soon('forgetting', () => {
      if (this.schedule.now < look) return false
      look = this.schedule.now + LOOK_US
      return this.#isForgotten()
    })
    this.#fallsSilent()
    this.#compare()
  }

  /** Writes once more, at level `stable`, again until it succeeds. */
  #lastWrite(name: string): () => boolean {
    let ok = false
    let attempts = 0
    const again = (): void => {
      this.schedule.after(500_000, this.#life, attempt)
    }
    const attempt = (): void => {
      attempts += 1
      // What changes nothing would wait for nobody.
      const values = `('end of ${name}', 'attempt ${attempts}')`
      const statement = { sql: `insert or replace into kv (k, v) values ${values}` }
      const program = { atomic: true, steps: [{ statement }] }
      const request = { kind: 'write', program, ack: 'stable', timeoutMs: LAST_WRITE_MS } as const
      const leader = this.group(name).leader()
      if (leader === null) again()
      leader?.request(request, (reply) => {
        ok = reply.kind === 'result'
        if (!ok) again()
      })
    }
    attempt()
    return () => ok
  }

  #isEverywhere(): boolean {
    const origins = this.#founding.plans.map(({ origin }) => origin)
    const [first, ...others] = origins.map((origin) => this.entries.heldBy(origin))
    const equal = others.every((other) => compareFrontiers(first ?? new Map(), other) === 'equal')
    return equal && [...this.groups.values()].every((group) => group.caughtUp())
  }

  #members(): readonly SimNode[] {
    return [...this.groups.values()].flatMap((group) => group.members())
  }

  /** P: nothing is left of what merging keeps, anywhere. */
  #isForgotten(): boolean {
    if (![...this.groups.values()].every((group) => group.caughtUp())) return false
    return this.#members().every(({ content }) =>
      METADATA.every((table) => content.query(`select 1 from ${table} limit 1`).length === 0),
    )
  }

  /** P: nobody logs anything any more, some time after there was the last thing to tell. */
  #fallsSilent(): void {
    let [before, since] = ['', 0]
    this.soon('silence', () => {
      const commits = [...this.groups.values()].map(({ order }) => order.commit).join()
      if (commits !== before) [before, since] = [commits, this.schedule.now]
      return this.schedule.now - since > SILENCE_US
    })
  }

  /** All replicas of all groups are equal to the twin, and it has all that clients were told. */
  #compare(): void {
    const twin = new OriginsTwin(this.entries.all)
    try {
      const wanted = everything(twin.query)
      for (const [name, group] of this.groups) {
        const leader = present(group.leader(), () => `leader of ${name}`)
        for (const node of group.members()) {
          group.content.checkEnd(node, leader)
          const differs = compare(
            everything((sql) => node.content.query(sql)),
            wanted,
          )
          assert(differs === '', () => `C1: ${node.name} is not as the twin: ${differs}`)
        }
      }
      const [facts] = twin.query(FACTS_QUERY)
      this.history.finish(
        { ops: twin.query(OPS_QUERY).map(([name]) => String(name)), facts: factsOf(facts ?? []) },
        abortedOf(twin.query),
      )
    } finally {
      twin.close()
    }
  }
}

/** Nodes are named after their group. */
function isOtherGroup(one: string, other: string): boolean {
  return one[0] !== other[0]
}
