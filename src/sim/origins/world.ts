/**
 * A simulated world of several groups, each with a leader that writes: clients of any of them,
 * trouble within and between them, and checkers of each group's order, of what passes between
 * origins, and of what clients are told. In some, groups join, are removed and return, and another
 * one keeps or takes over. Healed, all must become equal to the twin, and silent.
 */
import { mkdirSync, rmSync } from 'node:fs'
import { present } from '../../base/assert.ts'
import type { Prng } from '../../base/prng.ts'
import { prngFromSeed } from '../../base/prng.ts'
import { decodeBatch } from '../../model/entry-codec.ts'
import type { SessionToken } from '../../model/request.ts'
import type { VerifyReport } from '../../node/verifier.ts'
import { Client } from '../client.ts'
import { checksums } from '../database-file.ts'
import { type GroupOptions, idOf, SimGroup } from '../group.ts'
import { Life, type LifeOptions, type Outcome } from '../life.ts'
import { Nemesis } from '../nemesis.ts'
import { SimNetwork } from '../network.ts'
import type { Parts, SimNode } from '../node.ts'
import { Lifetime } from '../schedule.ts'
import { BASE, type Templates } from '../templates.ts'
import type { Write } from '../write-book.ts'
import type { Asking } from './admin.ts'
import { end } from './ending.ts'
import { type Beginning, EntryChecker } from './entries.ts'
import { Founding, type GroupPlan } from './founding.ts'
import { type Gathering, gather } from './gathering.ts'
import { Graph } from './graph.ts'
import { OriginsHistory, type Views } from './history.ts'
import type { Incarnation } from './incarnation.ts'
import { originsManners } from './manners.ts'
import { Membership, writersOf } from './membership.ts'
import { GroupNemesis } from './nemesis.ts'
import { People, type Realm } from './people.ts'
import {
  drawOriginsProfile,
  type GroupSize,
  isZoned,
  type OriginsProfile,
  ZONES,
} from './profile.ts'
import { FUNCTIONS, SCHEMA_WORK } from './tables.ts'

export interface OriginsWorldOptions extends LifeOptions {
  readonly seed: number
  readonly templates: Templates
  readonly parts?: Parts
  /** Changes what the seed drew: for directed scenarios. */
  readonly adjust?: (profile: OriginsProfile) => OriginsProfile
}

interface NewGroup extends Pick<Incarnation, 'label' | 'called' | 'origin'> {
  readonly size: GroupSize
  readonly file: GroupOptions['found']
  readonly twin: GroupOptions['foundTwin']
  readonly beginning: Beginning | null
  /** See GroupOptions. */
  readonly first?: number
}

const CLUSTER = 'simulated'
/** For people to remove what is gone and bring back what was removed, step by step. */
const SETTLING_US = 120_000_000

export class OriginsWorld extends Life {
  readonly profile: OriginsProfile
  readonly network: SimNetwork
  readonly history: OriginsHistory
  readonly entries: EntryChecker
  /** Those that are there now, by the beginning of their nodes' names. */
  readonly groups = new Map<string, SimGroup>()
  /** All that there ever were. */
  readonly incarnations: Incarnation[] = []
  readonly #options: OriginsWorldOptions
  readonly #prng: Prng
  readonly #founding: Founding
  readonly #graph: Graph
  readonly #life = new Lifetime()
  /** Origins that nobody founds any more. */
  readonly #unfounded = new Set<string>()
  /** Of those that are there now; clients ask these. */
  readonly #labels: string[] = []
  /** How many labels were given. */
  #named = 0
  #clients: readonly Client[] = []
  readonly #nemeses: Nemesis[] = []
  #between: GroupNemesis | null = null
  #people: People | null = null
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
    this.#founding = new Founding(profile, options.templates, idOf)
    this.entries = new EntryChecker(new Membership(this.#founding.cluster))
    const moves = profile.peopleEveryUs > 0
    this.history = new OriginsHistory(this.#views, this.#founding.plans.length, moves)
    mkdirSync(options.directory, { recursive: true })
    const names = this.#founding.plans.map(({ name }) => name)
    this.#graph = new Graph(profile.topology, names)
    for (const plan of this.#founding.plans) this.#found(plan)
    // The first entry of each, before anybody's second, which takes those.
    for (const { origin, group } of this.incarnations) {
      this.entries.look(origin, group.order, this.#latest(group), BASE.index + 1)
    }
  }

  /** Runs the whole life of the world. Throws at the first violation. */
  run(): Outcome {
    this.populate()
    this.until(this.profile.hostileUs, () => false)
    this.heal()
    this.#finish()
    const counts = { crashes: 0, takenBack: 0, installs: 0, verified: 0 }
    for (const { group } of this.incarnations) {
      for (const key of ['crashes', 'takenBack', 'installs', 'verified'] as const) {
        counts[key] += group.counts[key]
      }
    }
    const people = this.#people?.counts
    return this.outcome({ ...this.history.counts, ...counts, ...this.entries.counts, ...people })
  }

  /** Removes all that the world has on the machine. */
  close(): void {
    for (const { group } of this.incarnations) group.close()
    rmSync(this.#options.directory, { recursive: true, force: true })
  }

  /** All nodes of all groups. */
  get nodes(): readonly SimNode[] {
    return [...this.groups.values()].flatMap(({ nodes }) => nodes)
  }

  group(label: string): SimGroup {
    return this.#incarnation(label).group
  }

  #incarnation(label: string): Incarnation {
    return present(
      this.incarnations.find((each) => each.label === label),
      () => `group ${label}`,
    )
  }

  protected override observe(): void {
    const { latest } = this.entries.membership
    for (const { origin, group, state } of this.incarnations) {
      if (state !== 'here') continue
      group.observe()
      this.entries.look(origin, group.order, this.#latest(group))
    }
    if (this.entries.membership.latest !== latest) {
      this.history.counted(writersOf(this.entries.membership.latest).length)
    }
  }

  get #views(): Views {
    const originOf = (label: string): string => this.#incarnation(label).origin
    return {
      originOf,
      applied: (label) => {
        const leaders = this.group(label).nodes.filter(({ view }) => view?.role === 'leader')
        const applied = leaders.map(({ driver }) => driver?.order.applied ?? 0)
        return Math.min(this.group(label).order.commit, ...applied)
      },
      since: (label, applied) => this.entries.clustersOf(originOf(label), applied),
    }
  }

  /** Stamps after this are too far ahead of the clocks of a group. */
  #latest({ nodes }: SimGroup): number {
    const { faults, driftMaxMs } = this.profile
    // It may have been decided before a clock was set back.
    if (faults.clockJump > 0) return Number.POSITIVE_INFINITY
    const clocks = nodes.map(({ wallMs }) => wallMs)
    return (Math.max(...clocks) + driftMaxMs) * 1_000
  }

  protected override describe(): string {
    const { entries } = this
    const groups = this.incarnations.map(({ label, origin, state, group }) => {
      const { epoch } = entries.clusterOf(origin)
      return `${label} is ${origin}, ${state}, knows version ${epoch}: ${group.describe()}`
    })
    return [...groups, JSON.stringify(entries.membership.latest)].join('\n  ')
  }

  /** Lets clients and trouble in. */
  populate(): void {
    const { schedule, profile, history, network, groups } = this
    const manners = originsManners(profile, this.#labels)
    const note = (who: string, what: string): void => this.note(who, what)
    const shared = { schedule, profile, life: this.#life, note }
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
        acked: (group, token, write) => {
          this.afterwards(() => this.#checkAck(group, token, write))
        },
      })
    })
    for (const incarnation of this.incarnations) this.#trouble(incarnation)
    const called = (label: string): string => this.#incarnation(label).called
    const victims = { ...shared, network, groups, called }
    this.#between = new GroupNemesis(victims, this.#prng.fork())
    if (profile.peopleEveryUs > 0) this.#people = this.#letPeopleIn(shared)
  }

  /** Faults inside of a group. */
  #trouble(incarnation: Incarnation): void {
    const { schedule, profile, network } = this
    const { label, group } = incarnation
    const nemesis = new Nemesis(
      {
        ...{ schedule, profile, network, life: this.#life },
        nodes: () => group.nodes,
        restart: (node) => {
          if (incarnation.state === 'here') group.restart(node)
        },
        newcomer: () => (incarnation.state === 'here' ? group.newcomer() : null),
        verified: (report) => group.checkReport(report as VerifyReport),
        note: (who, what) => this.note(`${who} of ${label}`, what),
      },
      this.#prng.fork(),
    )
    if (this.#healed) nemesis.stop()
    this.#nemeses.push(nemesis)
  }

  // Groups that come and go

  #letPeopleIn(asking: Asking): People {
    const { profile, network, entries, incarnations, history } = this
    const realm: Realm = {
      ...{ ...asking, profile, network, entries, incarnations, graph: this.#graph },
      restart,
      enter: (called, done) => this.#enter(called, asking, done),
      fall: (group) => this.#leave(group, 'gone'),
      arise: (group) => {
        group.state = 'here'
        this.#list(group)
        group.group.heal()
      },
      end: (group) => this.#leave(group, 'over'),
      unfounded: this.#unfounded,
      givenUp: ({ label }) => history.givenUp(label),
      reported: (names) => history.reported(names),
    }
    return new People(realm, this.#prng.fork())
  }

  #enter(called: string | null, asking: Asking, done: (joined: Incarnation) => void): void {
    const label = String.fromCharCode('a'.charCodeAt(0) + this.#named)
    this.#named += 1
    const { directory, parts } = this.#options
    const prng = this.#prng.fork()
    const zone = isZoned(this.profile) && prng.percent(70) ? prng.pick(ZONES) : null
    const isMulti = this.profile.strategy === 'multi-leader'
    const nodes = isMulti && prng.percent(30) ? prng.pick([2, 2, 3]) : 1
    const applicants: Omit<Gathering, 'founded'> = {
      ...{ ...asking, prng, cluster: CLUSTER, directory, label, called: called ?? label, zone },
      ...{ nodes, isRisky: prng.percent(25), lost: (origin) => this.#unfounded.add(origin) },
      wrapStore: parts?.wrapStore ?? ((store) => store),
      mayFound: parts?.mayFound ?? ((founder, id) => founder === id),
      via: () => {
        const up = this.nodes.filter((node) => node.up && node.ledger.last.index > 0)
        return up.length === 0 ? null : prng.pick(up)
      },
    }
    const present = this.#present.map((each) => each.called)
    const told = this.#graph.attach(applicants.called, present, prng)
    for (const each of this.#present) if (told.includes(each.called)) restart(each)
    gather({
      ...applicants,
      founded: ({ origin, beginning, file }, first) => {
        const joined = this.#add({
          ...{ label, called: applicants.called, origin, size: { voters: 1, learners: 0 }, file },
          ...{ beginning, first },
          twin: (path, identity) => file(path, identity, { cluster: CLUSTER, members: [] }),
        })
        this.#trouble(joined)
        done(joined)
        return joined
      },
    })
  }

  #leave(incarnation: Incarnation, state: 'gone' | 'over'): void {
    incarnation.state = state
    for (const node of incarnation.group.nodes) if (node.up) node.crash()
    this.groups.delete(incarnation.label)
    this.#labels.splice(this.#labels.indexOf(incarnation.label), 1)
  }

  #list({ label, group }: Incarnation): void {
    this.groups.set(label, group)
    this.#labels.push(label)
  }

  /** Ends all trouble, brings everybody back. */
  heal(): void {
    this.note('world', 'heal')
    this.#healed = true
    this.#between?.stop()
    this.#people?.stop()
    for (const nemesis of this.#nemeses) nemesis.stop()
    for (const client of this.#clients) client.stop()
    this.network.calm()
    for (const group of this.groups.values()) group.heal()
  }

  // Beginning

  #found(plan: GroupPlan): void {
    const { profile } = this
    const { name, origin } = plan
    this.#named += 1
    this.#add({
      ...{ label: name, called: name, origin, beginning: null },
      size: present(profile.groups[this.groups.size], () => name),
      file: (path, identity, members) => this.#founding.file(plan, path, identity, members),
      twin: (path, identity) => this.#founding.twin(plan, path, identity),
    })
  }

  #add({ label, called, origin, size, file, twin, beginning, first = 1 }: NewGroup): Incarnation {
    const { schedule, network, profile } = this
    const { directory, parts = {} } = this.#options
    const functions = FUNCTIONS
    const graph = this.#graph
    const group = new SimGroup({
      ...{ cluster: CLUSTER, prefix: label, ...size, first, schedule, network, profile, directory },
      prng: this.#prng,
      contentPrng: this.#prng.fork(),
      parts: { ...parts, openOptions: (name) => ({ functions, ...parts.openOptions?.(name) }) },
      twinOptions: { functions },
      driver: {
        get exchangeWith() {
          return graph.toldTo(called)
        },
        driftMaxMs: profile.driftMaxMs,
        // Where logs are short they are so by size, too: what others lack must stay all the same.
        ...(profile.retainEntries < 100 ? { retainBytes: 4_000 } : {}),
      },
      found: file,
      foundTwin: twin,
      join: (path, identity) => this.#founding.joiner(path, identity),
      shadows: false,
      healed: () => this.#healed,
      voted: () => {},
      note: (who, what) => this.note(who, what),
    })
    const incarnation: Incarnation = { label, called, origin, group, state: 'here' }
    this.incarnations.push(incarnation)
    this.#list(incarnation)
    this.entries.add(origin, BASE.index, beginning)
    return incarnation
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
    if (ack === 'stable') this.entries.checkStable(own)
    else if (ack !== 'majority') this.entries.checkCopies(own, ack)
  }

  // End

  #finish(): void {
    this.soon('the last requests of the clients', () => this.#clients.every(({ idle }) => idle))
    for (const [label, group] of this.groups) {
      this.soon(`an election in ${label}`, () => group.leader() !== null)
    }
    let mended = false
    this.#between?.mend(() => {
      mended = true
    })
    this.soon('mending', () => mended)
    if (this.#people !== null) {
      this.soon('agreeing on the groups', this.#people.settles(), SETTLING_US)
    }
    const { schedule, groups, incarnations, entries, history } = this
    const soon = (what: string, done: () => boolean): void => this.soon(what, done)
    end({ schedule, life: this.#life, groups, incarnations, entries, history, soon })
  }

  get #present(): readonly Incarnation[] {
    return this.incarnations.filter(({ state }) => state === 'here')
  }
}

/** Its nodes read anew what they are told. */
function restart({ group }: Incarnation): void {
  for (const node of group.nodes) if (node.up) node.crash()
  group.heal()
}

/** Nodes are named after their group. */
function isOtherGroup(one: string, other: string): boolean {
  return one[0] !== other[0]
}
