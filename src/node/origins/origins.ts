/**
 * A node's part in a cluster of several groups: what it knows of the others, its links to them, and,
 * while it leads its group, the exchange with their leaders. Null in a cluster with one leader.
 */
import { assert } from '../../base/assert.ts'
import { type LogIndex, type NodeId, toLogIndex } from '../../base/brand.ts'
import type { ErrorData } from '../../base/errors.ts'
import type { Prng } from '../../base/prng.ts'
import { Exchange } from '../../core/order/clock/exchange/exchange.ts'
import type {
  ExchangeMembers,
  ExchangeOptions,
  ExchangeState,
} from '../../core/order/clock/exchange/types.ts'
import { covers, type Frontier } from '../../core/order/clock/frontier.ts'
import { isSettled } from '../../model/cluster-order.ts'
import type { Entry } from '../../model/entry.ts'
import type { OriginMessage } from '../../model/message.ts'
import type { Cluster, GroupNode } from '../../model/origin-entry.ts'
import type { SessionToken } from '../../model/request.ts'
import type { Merged, OriginsState, StoreReply } from '../../store/types.ts'
import type { Context } from '../context.ts'
import type { Forwarder } from '../forwarder.ts'
import type { Proposing } from '../proposals.ts'
import { Asking } from './asking.ts'
import { type Confirm, type CreateExchange, Exchanging } from './exchanging.ts'
import { heldByMembers } from './held.ts'
import { Levels } from './levels.ts'
import { OriginLinks } from './links.ts'
import { Office } from './office.ts'
import { Seen } from './seen.ts'
import { EXCHANGE_DEFAULTS, LEADS_MS } from './settings.ts'
import { Waiters } from './waiters.ts'

/** What a node may be told of its part. */
export interface OriginsOptions {
  /** Names of groups that this one exchanges entries with; empty: all. */
  readonly exchangeWith?: readonly string[]
  /** How far another group's clock may be ahead of ours before its writes have to wait, ms. */
  readonly driftMaxMs?: number
  /** Other times and sizes than in production. */
  readonly exchange?: Partial<Omit<ExchangeOptions, 'self' | 'driftMaxMs'>>
  /** For tests that plant faults. */
  readonly createExchange?: CreateExchange
}

export interface OriginsNeeds {
  readonly context: Context
  readonly writer: Proposing
  readonly forwarder: Forwarder
  readonly prng: Prng
  readonly options: OriginsOptions
  /** Finds an index that covers all that was acknowledged before; null if not in time. */
  confirm: Confirm
  /** The nodes that there should be links to have changed. */
  peersChanged(): void
}

type OriginsToken = NonNullable<SessionToken['origins']>

/** What there is while this node leads its group. */
interface Leading {
  readonly exchanging: Exchanging
  readonly levels: Levels
  /** What it does for all groups while this one is the keeper. */
  readonly office: Office
}

export class Origins {
  readonly links: OriginLinks
  readonly asking: Asking
  readonly #needs: OriginsNeeds
  #state: OriginsState
  #seen: Seen
  #leading: Leading | null = null
  /** The store is asked for what an exchange begins with. */
  #asking = false
  /** Grows with each loss of leadership. */
  #era = 0
  #remindAt = 0
  #telling = false
  /** The token asked for last. */
  #told: { readonly frontier: Frontier; readonly token: OriginsToken } | null = null
  /** Callers that wait for what is applied here. */
  readonly #waiters = new Waiters()

  constructor(needs: OriginsNeeds, state: OriginsState, applied: LogIndex) {
    this.#needs = needs
    this.#state = state
    this.#seen = new Seen(applied, state.applied)
    const { context } = needs
    this.links = new OriginLinks(state.self, {
      now: () => context.now(),
      send: (to, message) => context.ports.transport.send(to, message),
      isFellow: (node) => context.order.members.members.some(({ id }) => id === node),
      mayExchange: (origin) => this.mayExchange(origin),
      changed: (peer, up) => this.#leading?.exchanging.step({ kind: 'link', peer, up }),
    })
    this.asking = new Asking({
      context,
      forwarder: needs.forwarder,
      links: this.links,
      origins: this,
      waiters: this.#waiters,
    })
  }

  get state(): OriginsState {
    return this.#state
  }

  get self(): string {
    return this.#state.self
  }

  get isKeeper(): boolean {
    return this.#state.cluster.keeper === this.self
  }

  /** Null while this node does not lead its group, or not yet. */
  get leading(): Leading | null {
    return this.#leading
  }

  /** What of each origin is in the data here, own entries that are not committed included. */
  get applied(): Frontier {
    return this.#seen.latest.frontier
  }

  /** Whether transactions may be made here now. */
  get mayRun(): boolean {
    if (this.#state.held || this.isRemoved) return false
    return this.#leading?.exchanging.exchange.mayWrite === true
  }

  /** Why no transaction may be made here now. */
  get whyNotRun(): ErrorData {
    const exchanging = this.#leading?.exchanging
    const late = 'The writer did not get to the request in time'
    if (this.#state.held) {
      const missing = this.#leading?.office.barrier?.missing ?? []
      const who = missing.length === 0 ? '' : `, and ${missing.join(', ')} did not answer yet`
      const detail = `${late}: nobody writes while the schema or a rule changes${who}.`
      return { code: 'SCHEMA_CHANGE_PENDING', detail }
    }
    if (this.isRemoved) {
      return { code: 'GROUP_REMOVED', detail: `Group ${this.nameOf(this.self)} was removed.` }
    }
    if (exchanging === undefined || exchanging.exchange.mayWrite) {
      return { code: 'DEADLINE', detail: `${late}.` }
    }
    return { code: 'NOT_READY', detail: `${late}: ${this.#whyMayNotWrite(exchanging.exchange)}` }
  }

  #whyMayNotWrite({ alarms, tooFarBehind, unaware }: Exchange): string {
    if (tooFarBehind !== null) {
      const group = this.nameOf(tooFarBehind)
      return (
        `its file is an older one, which lacks entries that group ${group} has dropped from its ` +
        'log since. Remove this group, and let it join anew.'
      )
    }
    if (alarms.some(({ kind }) => kind === 'forked')) {
      return (
        'its file is an older one, which lacks entries that this group made. ' +
        'Remove this group, and let it join anew.'
      )
    }
    const groups = unaware.map((origin) => this.nameOf(origin)).join(', ')
    return `groups that are not known to know of this one yet: ${groups}.`
  }

  /** This group is on its way out of the cluster, or out of it. */
  get isRemoved(): boolean {
    const own = this.#state.cluster.origins.find(({ origin }) => origin === this.self)
    return own?.standing.kind !== 'writes' || this.#leading?.office.isLeftOut === true
  }

  /** How a batch is to be run. */
  get schema(): 'never' | 'additive' | 'any' {
    // After a take-over it waits for the end of that, and so it does while somebody else begins to keep.
    if (!this.isKeeper || this.#leading?.office.mayAdd !== true) return 'never'
    const isAlone = this.#state.cluster.origins.every(({ origin, standing }) => {
      if (standing.kind !== 'removed') return origin === this.self
      return (this.applied.get(origin) ?? 0) >= standing.last
    })
    return isAlone ? 'any' : 'additive'
  }

  /** What people call the group of an origin. */
  nameOf(origin: string): string {
    const known = this.#state.cluster.origins.find((each) => each.origin === origin)
    return known?.name ?? origin
  }

  /** The nodes of other groups that there should be links to. */
  get foreignNodes(): readonly GroupNode[] {
    const { cluster, nodes, self } = this.#state
    const nodesOf = (isRemoved: boolean): readonly GroupNode[] => {
      return cluster.origins
        .filter(({ origin, standing }) => {
          return origin !== self && (standing.kind === 'removed') === isRemoved
        })
        .flatMap(({ origin }) => nodes.get(origin) ?? [])
    }
    const members = nodesOf(false)
    if (cluster.agreeing !== 1) return members
    // Whoever took over alone may be wrong: if the others live on, and have removed us, only we can call.
    const isThere = ({ url }: GroupNode): boolean => members.some((each) => each.url === url)
    return [...members, ...nodesOf(true).filter((node) => !isThere(node))]
  }

  // What happens

  tick(now: number): void {
    if (now >= this.#remindAt) {
      this.#remindAt = now + LEADS_MS
      this.links.remind()
    }
    this.#waiters.check(now)
    if (this.#leading === null) return
    const { exchanging, levels, office } = this.#leading
    exchanging.tick(now)
    levels.expire(now)
    office.tick(now)
    this.#tellNodes()
  }

  /** Begins to exchange when this node leads and has everything, and does what is due. */
  pump(): void {
    const { order } = this.#needs.context
    if (order.role !== 'leader') return
    if (this.#leading !== null) {
      this.#leading.exchanging.pump()
      this.#leading?.office.pump()
    } else if (!this.#asking && order.mayExecute && !this.#needs.writer.busy) this.#ask()
  }

  receive(from: NodeId, message: OriginMessage): void {
    if (message.kind === 'leads') {
      this.links.told(from, message)
      return
    }
    const { origin } = message
    this.links.heard(from)
    if (this.links.up.get(origin) !== from) return
    this.#leading?.exchanging.receive(origin, message.message)
  }

  /** This leader has made entries. */
  logged(entries: readonly Entry[]): void {
    const own = this.#leading?.exchanging.logged(entries) ?? []
    for (const { index, head } of own) {
      const isData = entries.some((entry) => entry.index === index && entry.kind === 'data')
      if (isData) this.#seen.extend(index, head.origin, head.sequence)
    }
  }

  /** The store has applied entries through an index. */
  appliedThrough({ index, origins, merged }: Extract<StoreReply, { kind: 'applied' }>): void {
    if (merged !== undefined) this.#tellMerged(merged)
    if (merged !== undefined) this.#leading?.exchanging.merged(merged)
    if (origins !== undefined) this.#replace(origins, index)
    this.#leading?.exchanging.pump()
    if (origins !== undefined) this.#tellMembers()
    this.#waiters.check(this.#needs.context.now())
  }

  /** The file was replaced. */
  installed(state: OriginsState): void {
    this.#replace(state, this.#needs.context.order.applied)
  }

  /** Everything above `to` is cut off. */
  truncating(to: LogIndex): void {
    this.#seen.truncate(to)
  }

  /** The store has cut it off, and is asked what is left. */
  truncated(): void {
    this.#askStore((_, origins) => this.#replace(origins, this.#needs.context.order.applied))
  }

  compacted(): void {
    this.#leading?.exchanging.compacted()
  }

  leadershipLost(): void {
    this.#era += 1
    this.#asking = false
    this.#telling = false
    this.links.leads(false, this.#needs.context.order.term)
    const leading = this.#leading
    this.#leading = null
    if (leading === null) return
    leading.exchanging.end()
    leading.levels.end()
    leading.office.end()
  }

  // What others ask

  /** What a session that saw an index has seen. */
  token(index: LogIndex): OriginsToken {
    const frontier = this.#seen.at(index)
    if (this.#told?.frontier !== frontier) {
      this.#told = { frontier, token: { self: this.self, seen: [...frontier] } }
    }
    return this.#told.token
  }

  /** Whether the node knows what is in the data as of an index. */
  knows(index: LogIndex): boolean {
    return this.#needs.context.order.applied >= index
  }

  /** Calls when everything of a frontier is in the data here, or when it is too late. */
  whenCovered(frontier: Frontier, deadline: number, done: (isOver: boolean) => void): void {
    this.#waiters.add({ isOver: () => covers(this.applied, frontier), deadline, done })
  }

  /** Some read waits for more to be applied here. */
  get behind(): boolean {
    return this.#waiters.size > 0
  }

  /** The same for an epoch of the cluster. */
  whenKnown(epoch: number, deadline: number, done: (isOver: boolean) => void): void {
    this.#waiters.add({ isOver: () => this.#state.cluster.epoch >= epoch, deadline, done })
  }

  /** The same for an index of which a token is to be made. */
  whenKnows(index: LogIndex, deadline: number, done: (isOver: boolean) => void): void {
    this.#waiters.add({ isOver: () => this.knows(index), deadline, done })
  }

  /**
   * Finds the index through which every group holds everything, as far as is known: the log may
   * forget it. A node that does not lead goes by the others' last entries.
   */
  heldByAll(done: (index: LogIndex) => void): void {
    const within = (held: Frontier): LogIndex => {
      return this.#seen.within((frontier) => covers(held, frontier)) ?? toLogIndex(0)
    }
    if (this.#leading !== null) done(within(this.#leading.exchanging.exchange.heldByAll))
    else this.#askStore((state, { cluster }) => done(within(heldByMembers(state, cluster))))
  }

  /** Names of the groups that are not known to hold all that is in the data as of an index. */
  lacking(index: LogIndex): readonly string[] {
    const exchange = this.#leading?.exchanging.exchange
    if (exchange === undefined) return []
    const frontier = this.#seen.at(index)
    return this.#state.cluster.origins
      .filter(({ origin, standing }) => {
        return standing.kind !== 'removed' && !covers(exchange.heldBy(origin), frontier)
      })
      .map(({ name }) => name)
  }

  /** What this group holds, while it knows just that epoch of the cluster and its store is at rest. */
  atRest(epoch: number): Frontier | null {
    const exchanging = this.#leading?.exchanging
    if (exchanging === undefined || !exchanging.atRest) return null
    const { exchange } = exchanging
    const { cluster, applied } = this.#state
    if (cluster.epoch !== epoch || exchange.members.epoch !== epoch) return null
    // What waits for its time could be another version of the cluster.
    const isAllKnown = isSettled(cluster, applied) || covers(exchange.applied, exchange.held)
    return isAllKnown ? exchange.held : null
  }

  #askStore(done: (state: ExchangeState, origins: OriginsState) => void): void {
    const { context } = this.#needs
    context.submit({ kind: 'exchangeState' }, (reply) => {
      assert(reply.kind === 'exchangeState', () => `the store answered ${reply.kind}`)
      done(reply.state, reply.origins)
    })
  }

  // Becoming a leader that exchanges

  #ask(): void {
    this.#asking = true
    const era = this.#era
    this.#askStore((state, origins) => {
      if (this.#era !== era) return
      this.#asking = false
      this.#begin(state, origins)
    })
  }

  #begin(state: ExchangeState, origins: OriginsState): void {
    const { context, writer, options, prng, confirm } = this.#needs
    this.#replace(origins, context.order.applied)
    const nameOf = (origin: string): string => this.nameOf(origin)
    const exchanging = new Exchanging(
      {
        context,
        writer,
        links: this.links,
        options: this.#exchangeOptions,
        create: options.createExchange ?? ((...args) => new Exchange(...args)),
        confirm,
        nameOf,
      },
      membersOf(origins.cluster),
      state,
    )
    const commit = (): LogIndex => context.order.commit
    const levels = new Levels({ exchanging, confirm, commit, now: () => context.now(), nameOf })
    const office = new Office({
      context,
      exchanging,
      prng,
      state: () => this.#state,
      nameOf,
      atRest: (epoch) => this.atRest(epoch),
      ask: (origin, command, timeoutMs, done) => {
        this.asking.leaderOf(origin, { kind: 'admin', command, timeoutMs }, done)
      },
    })
    this.#leading = { exchanging, levels, office }
    this.links.leads(true, context.order.term)
    exchanging.pump()
  }

  get #exchangeOptions(): ExchangeOptions {
    const { exchange, driftMaxMs = EXCHANGE_DEFAULTS.driftMaxMs } = this.#needs.options
    return { ...EXCHANGE_DEFAULTS, ...exchange, driftMaxMs, self: this.self }
  }

  // What is known

  #replace(state: OriginsState, index: LogIndex): void {
    const was = this.#state
    this.#state = state
    this.#seen.note(index, state.applied)
    if (was.cluster.epoch === state.cluster.epoch && was.nodes === state.nodes) return
    this.#leading?.office.look()
    this.links.refresh()
    this.#needs.peersChanged()
  }

  #tellMembers(): void {
    const exchanging = this.#leading?.exchanging
    const { cluster } = this.#state
    if (exchanging === undefined || cluster.epoch === exchanging.exchange.members.epoch) return
    exchanging.step({ kind: 'members', members: membersOf(cluster) })
  }

  #tellMerged({ takenBack, conflicts, conflictCount }: Merged): void {
    const { context } = this.#needs
    if (takenBack > 0) context.emit('reordered', 'info', { transactions: takenBack })
    const [first] = conflicts
    if (first === undefined) return
    const { table, kind, time, origin, number } = first
    const facts = { conflicts: conflictCount, table, kind, time, origin, number }
    context.emit('conflict', 'warn', facts)
  }

  /** The leader tells the other groups where the nodes of this one are. */
  #tellNodes(): void {
    const exchanging = this.#leading?.exchanging
    if (exchanging === undefined || this.#telling || !exchanging.exchange.mayWrite) return
    const now = this.#needs.context.order.members.members.map(({ id, name, url }) => {
      return { id, name, url }
    })
    const told = this.#state.nodes.get(this.self) ?? []
    if (sameNodes(told, now)) return
    this.#telling = true
    exchanging.originate([{ kind: 'nodes', nodes: now }], 'none', (made) => {
      if (made === null || 'code' in made) this.#telling = false
      else
        exchanging.whenSafe(made.index, () => {
          this.#telling = false
        })
    })
  }

  /**
   * Also with one that was removed: only so it learns that it was. And with one that is not known here:
   * it may be the only one to tell that it was let in.
   */
  mayExchange(origin: string): boolean {
    const { exchangeWith = [] } = this.#needs.options
    if (exchangeWith.length === 0) return true
    const known = this.#state.cluster.origins.find((each) => each.origin === origin)
    return exchangeWith.includes(known?.name ?? groupIn(origin))
  }
}

function membersOf({ epoch, origins, floor, moved }: Cluster): ExchangeMembers {
  return {
    epoch,
    floor,
    moved,
    origins: new Map(origins.map(({ origin, standing }) => [origin, standing])),
    zones: new Map(
      origins.flatMap(({ origin, zone }) => (zone === undefined ? [] : [[origin, zone]])),
    ),
  }
}

/** What the group of an origin is called that the cluster, as it is known here, does not have. */
function groupIn(origin: string): string {
  return origin.slice(0, origin.lastIndexOf('-'))
}

function sameNodes(a: readonly GroupNode[], b: readonly GroupNode[]): boolean {
  if (a.length !== b.length) return false
  return a.every(({ id, url, name }) => {
    return b.some((other) => other.id === id && other.url === url && other.name === name)
  })
}
