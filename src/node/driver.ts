/**
 * Runs one replica: every input (tick, message, request, what the store did) goes through the order
 * core, and what the core answers is carried out through the ports. It has no clock, thread, socket
 * or file of its own, so the simulator runs exactly this.
 */
import { assert } from '../base/assert.ts'
import { type LogIndex, type NodeId, toNodeId } from '../base/brand.ts'
import type { ErrorData } from '../base/errors.ts'
import type { Prng } from '../base/prng.ts'
import { LeaderOrder } from '../core/order/leader/leader-order.ts'
import type { Effects, HardState, Input, Role } from '../core/order/leader/types.ts'
import type { Entry } from '../model/entry.ts'
import { encodeMembers } from '../model/entry-codec.ts'
import type { Members } from '../model/members.ts'
import type { PeerMessage } from '../model/message.ts'
import type { NodeReply, NodeRequest, SessionToken } from '../model/request.ts'
import type { OriginsState, StoreCommand, StoreReply, StoreState } from '../store/types.ts'
import { Admin } from './admin.ts'
import { Appends } from './appends.ts'
import { Compactor } from './compactor.ts'
import { type Context, type Counters, type DriverOptions, refusal } from './context.ts'
import { Cursors } from './cursors.ts'
import { enteredPorts } from './entered-ports.ts'
import { Forwarder } from './forwarder.ts'
import { consultLeader } from './origins/consulting.ts'
import { Origins, type OriginsOptions } from './origins/origins.ts'
import { StableReads } from './origins/stable-reads.ts'
import type { NodeEvent, Ports } from './ports.ts'
import { Reads } from './reads.ts'
import { Router } from './router.ts'
import { SnapshotReceiver, SnapshotSender } from './snapshots.ts'
import { Verifier } from './verifier.ts'
import { Waiting } from './waiting.ts'
import { WriteIdRecall, writeIdsOf } from './write-id-recall.ts'
import { WriteIds } from './write-ids.ts'
import { Writer } from './writer.ts'

const WRITE_IDS_MAX = 200_000
/**
 * Under load a follower applies several entries in one go, which costs half as much as one by one;
 * what nobody waits for may be this old. Alone, an entry is applied at once.
 */
const APPLY_MS = 30
const APPLY_ENTRIES = 64
/** Every so many ticks the slower chores are looked at. */
const CHORE_TICKS = 10

export type CreateOrder = (...args: ConstructorParameters<typeof LeaderOrder>) => LeaderOrder

export interface NodeDriverOptions extends DriverOptions, OriginsOptions {
  readonly heartbeatTicks: number
  readonly electionTicks: number
  /** Names this run of the process among all its runs. */
  readonly session: string
  /** For tests that plant faults. */
  readonly createOrder?: CreateOrder
}

export class NodeDriver implements Context {
  readonly options: NodeDriverOptions
  readonly ports: Ports
  readonly order: LeaderOrder
  readonly waiting = new Waiting()
  readonly writeIds: WriteIds
  /** Null also in a node that joins, until its first snapshot tells it of the groups. */
  origins: Origins | null
  readonly counters: Counters = {
    writes: 0,
    reads: 0,
    batches: 0,
    elections: 0,
    snapshotsSent: 0,
    snapshotsInstalled: 0,
    takenBack: 0,
  }
  readonly #prng: Prng
  readonly #writer: Writer
  readonly #recall: WriteIdRecall
  readonly #reads: Reads
  readonly #stableReads: StableReads
  readonly #cursors: Cursors
  readonly #forwarder: Forwarder
  readonly #verifier: Verifier
  readonly #admin: Admin
  readonly #router: Router
  readonly #sender: SnapshotSender
  readonly #receiver: SnapshotReceiver
  readonly #appends: Appends
  readonly #compactor: Compactor
  readonly #links = new Set<NodeId>()
  #epoch = 0
  #ticks = 0
  /** Truncations that the store has been told of and has not done. */
  #takingBack = 0
  #applying = false
  #appliedAt = Number.NEGATIVE_INFINITY
  #installing = false
  #stopped = false
  #halted = false
  #depth = 0
  /** Answers for callers, given when the state they may look at is whole again. */
  #outbox: { readonly done: (reply: NodeReply) => void; readonly answer: NodeReply }[] = []
  /** Callers that have no answer yet. */
  readonly #pending = new Set<(reply: NodeReply) => void>()
  #inputs: Input[] = []
  #performing = false
  #members: Members | null = null
  #was: { role: Role; leader: NodeId | null; term: number } = {
    role: 'follower',
    leader: null,
    term: 0,
  }

  /** @param state of the store, whose file belongs to a cluster already */
  constructor(
    options: NodeDriverOptions,
    ports: Ports,
    prng: Prng,
    hardState: HardState,
    state: StoreState,
  ) {
    this.options = options
    this.ports = enteredPorts(ports, (work) => this.#enter(work))
    const create: CreateOrder = options.createOrder ?? ((...args) => new LeaderOrder(...args))
    const { self, heartbeatTicks, electionTicks } = options
    this.order = create({ self, heartbeatTicks, electionTicks }, prng, hardState, state.log)
    this.writeIds = new WriteIds(state.log.last.index, WRITE_IDS_MAX)
    this.#appends = new Appends(this)
    this.#recall = new WriteIdRecall(this)
    this.#writer = new Writer(this)
    this.#stableReads = new StableReads(this, () => this.#writer.streaming)
    this.#reads = new Reads(this, this.#stableReads, (level, deadline, done) => {
      consultLeader(this, this.#router, level, deadline, done)
    })
    this.#cursors = new Cursors(this, this.#reads)
    this.#forwarder = new Forwarder(
      this,
      options.session,
      prng.intInclusive(1, 2 ** 40),
      (request, done) => {
        this.#router.serve(request, done)
      },
    )
    this.#verifier = new Verifier(this, this.#writer, this.#forwarder)
    this.#admin = new Admin(this, this.#verifier)
    this.#router = new Router(this, {
      reads: this.#reads,
      cursors: this.#cursors,
      writer: this.#writer,
      admin: this.#admin,
      forwarder: this.#forwarder,
    })
    this.#sender = new SnapshotSender(this)
    this.#receiver = new SnapshotReceiver(this, (path, done) => this.#install(path, done))
    this.#compactor = new Compactor(this, state, {
      keepAfter: () => this.#sender.keepAfter,
      heldByAll: (done) => {
        if (this.origins === null) done(null)
        else this.origins.heldByAll(done)
      },
      lacking: (index) => this.origins?.lacking(index) ?? [],
      submit: (command, done) => this.submit(command, done),
    })
    this.#prng = prng
    this.origins = state.origins === null ? null : this.#joinOrigins(state.origins)
    this.ports.store.onFlushed((ticket) => this.step({ kind: 'flushed', ticket }))
    this.#enter(() => {
      this.#membersChanged()
      this.#recall.start()
    })
  }

  // What comes in from the world

  tick(): void {
    this.#enter(() => {
      this.#ticks += 1
      this.step({ kind: 'tick' })
      const now = this.now()
      this.#reads.tick(now)
      this.#stableReads.tick(now)
      this.#cursors.tick(now)
      this.#forwarder.tick(now)
      this.#sender.tick(now)
      this.#receiver.tick(now)
      this.origins?.tick(now)
      if (this.#ticks % CHORE_TICKS === 0) {
        this.waiting.expire(now)
        this.#writer.expire(now)
        if (!this.#installing && !this.#writer.streaming) this.#compactor.look()
      }
    })
  }

  receive(from: NodeId, message: PeerMessage): void {
    this.#enter(() => this.#message(from, message))
  }

  link(peer: NodeId, up: boolean): void {
    this.#enter(() => {
      if (up) this.#links.add(peer)
      else this.#links.delete(peer)
      this.step({ kind: 'link', peer, up })
      this.origins?.links.link(peer, up)
      if (up) return
      this.#forwarder.linkDown(peer)
      this.#writer.linkDown(peer)
    })
  }

  /**
   * Takes a request from a client, the application or a fellow node.
   *
   * @param done is called once; a function of its own for each request
   */
  request(request: NodeRequest, done: (reply: NodeReply) => void): void {
    if (this.#halted) {
      done(refusal('NOT_READY', 'This node has stopped.'))
      return
    }
    this.#enter(() => {
      this.#pending.add(done)
      const reply = (answer: NodeReply): void => {
        this.#outbox.push({ done, answer })
      }
      if (this.#stopped) reply(refusal('NOT_READY', 'This node is stopping.'))
      else this.#router.route(request, reply)
    })
  }

  /** Has what comes in together start together: nothing begins before all of it is in. */
  together(work: () => void): void {
    if (this.#halted) work()
    else this.#enter(work)
  }

  /** Refuses new requests and hands leadership on; what is under way may end. */
  stop(): void {
    this.#enter(() => {
      this.#stopped = true
      if (this.order.role === 'leader') {
        this.step({ kind: 'transfer', id: 0, to: null })
      }
    })
  }

  /** Does nothing any more, whatever comes in: the process is about to end, or must not go on. */
  halt(): void {
    this.#halted = true
    const pending = [...this.#pending]
    this.#pending.clear()
    const reply = refusal('UNKNOWN_OUTCOME', 'This node stopped before the answer was known.')
    for (const done of pending) done(reply)
  }

  // What the parts need (Context)

  get epoch(): number {
    return this.#epoch
  }

  get takingBack(): boolean {
    return this.#takingBack > 0
  }

  /** The peers that a link is up to. */
  get links(): ReadonlySet<NodeId> {
    return this.#links
  }

  /** The ids of earlier writes are still being read from the log. */
  get recalling(): boolean {
    return this.#recall.active
  }

  get queued(): number {
    return this.#writer.queued
  }

  /** Leading and able to execute, or following a leader closely enough to serve. */
  get ready(): boolean {
    const { order } = this
    if (this.#installing || this.#stopped) return false
    if (order.role === 'leader') {
      return order.mayExecute && (this.origins === null || this.origins.leading !== null)
    }
    return order.leader !== null && order.last.index > 0 && order.commit > 0
  }

  now(): number {
    return this.ports.clock.monotonic()
  }

  emit(name: string, level: NodeEvent['level'], facts: NodeEvent['facts']): void {
    this.ports.events.emit({ name, level, facts })
  }

  token(index: LogIndex): SessionToken {
    const term = this.order.termAt(index) ?? 0
    const { cluster } = this.options
    if (this.origins === null) return { cluster, term, index }
    return { cluster, term, index, origins: this.origins.token(index) }
  }

  unreachable(): readonly string[] {
    return this.order.members.members
      .filter((member) => member.role === 'voter' && member.id !== this.options.self)
      .filter((member) => !this.#links.has(member.id))
      .map((member) => member.name)
  }

  step(input: Input): void {
    this.#inputs.push(input)
    if (this.#performing) return
    this.#performing = true
    try {
      for (let head = this.#inputs.shift(); head !== undefined; head = this.#inputs.shift()) {
        this.#perform(this.order.step(head), head)
      }
    } finally {
      this.#performing = false
    }
  }

  // Entering and leaving

  /** Everything from outside comes through here: do it, start what became possible, then answer. */
  #enter(work: () => void): void {
    if (this.#halted) return
    this.#depth += 1
    try {
      work()
      if (this.#depth === 1) this.#pump()
    } finally {
      this.#depth -= 1
    }
    if (this.#depth > 0) return
    for (let next = this.#outbox.shift(); next !== undefined; next = this.#outbox.shift()) {
      const { done, answer } = next
      if (this.#pending.delete(done)) done(answer)
    }
  }

  #pump(): void {
    this.#apply()
    this.origins?.pump()
    this.#stableReads.pump()
    this.#writer.pump()
  }

  // Messages and effects of the core

  #message(from: NodeId, message: PeerMessage): void {
    switch (message.kind) {
      case 'forward':
        this.#router.forwarded(from, message.id, message.body)
        return
      case 'forwardReply':
        this.#forwarder.reply(from, message.id, message.body)
        return
      case 'snapshotOffer':
        if (!this.#installing) this.#receiver.offer(from, message)
        return
      case 'snapshotChunk':
        this.#receiver.chunk(from, message)
        return
      case 'snapshotFetch':
        this.#sender.fetch(from, message)
        return
      case 'snapshotDone':
        this.#sender.done(from, message)
        return
      case 'leads':
      case 'exchange':
        this.origins?.receive(from, message)
        return
      default:
        // While the file is replaced the core's picture of the log is about to be void.
        if (!this.#installing) this.step({ kind: 'message', from, message })
    }
  }

  #perform(effects: Effects, input: Input): void {
    if (effects.hardState !== null) this.ports.saveHardState(effects.hardState)
    if (effects.changed && this.order.role !== 'leader') this.#writer.endStream()
    if (effects.truncate !== null) this.#truncate(effects.truncate, truncateTicket(effects))
    if (effects.append.length > 0) this.#append(effects.append, effects.ticket)
    if (input.kind === 'executed' && input.entries.length > 0) this.#logged(input.entries)
    for (const { to, message } of effects.send) {
      if (message.kind === 'append') this.#appends.send(to, message)
      else this.ports.transport.send(to, message)
    }
    if (effects.changed) this.#changed()
    for (const { kind, members } of effects.propose) {
      assert(kind === 'noop' || kind === 'members', () => `the core may not propose ${kind}`)
      const body = members === null ? new Uint8Array() : encodeMembers(members)
      this.#writer.propose(kind, this.order.term, body)
    }
    for (const peer of effects.snapshotTo) this.#sender.want(peer)
    for (const { id, index } of effects.reads) this.#reads.confirmed(id, index)
    for (const { id, error } of effects.replies) this.#admin.ended(id, error)
    this.waiting.check(this.order)
    if (this.order.members !== this.#members) this.#membersChanged()
  }

  submit(command: StoreCommand, done: (reply: StoreReply) => void): void {
    this.ports.store.submit(command, (reply) => {
      if (reply.kind === 'failed') this.giveUp(command.kind, reply.error)
      else done(reply)
    })
  }

  /** That can fail only by a broken disk or our own mistake: going on would make it worse. */
  giveUp(command: string, { code, detail }: ErrorData): void {
    this.emit('node.halted', 'error', { command, code, detail })
    this.halt()
  }

  #append(entries: readonly Entry[], ticket: number | null): void {
    assert(ticket !== null, () => 'append without a ticket')
    this.submit({ kind: 'append', ticket, entries }, () => {})
    for (const entry of entries) if (entry.kind === 'verify') this.#verifier.marked(entry.index)
    this.#logged(entries)
    for (const entry of entries) {
      for (const id of writeIdsOf(entry)) this.writeIds.note(id, entry.index)
    }
  }

  /** Entries are in the log, ours or the leader's. */
  #logged(entries: readonly Entry[]): void {
    this.#appends.logged(entries)
    this.origins?.logged(entries)
    for (const entry of entries) this.#compactor.size.added(entry.index, entry.body.byteLength)
  }

  #truncate(to: LogIndex, ticket: number | null): void {
    assert(ticket !== null, () => 'truncate without a ticket')
    this.#epoch += 1
    this.#appends.truncate(to)
    this.#compactor.size.truncated(to)
    this.writeIds.truncate(to)
    this.#verifier.truncate(to)
    this.waiting.truncate(to)
    this.origins?.truncating(to)
    this.#takingBack += 1
    this.submit({ kind: 'truncate', ticket, to, at: this.ports.clock.now() }, (reply) => {
      this.#takingBack -= 1
      // Reads that began before this saw what is gone now.
      this.#epoch += 1
      if (!this.takingBack) this.#reads.tookBack()
      this.origins?.truncated()
      assert(reply.kind === 'truncated', () => `the store answered ${reply.kind} to truncate`)
      if (reply.lost === null) return
      const { transactions, first, last, file } = reply.lost
      this.counters.takenBack += transactions
      const facts = { transactions, first: first.index, last: last.index, file }
      this.emit('tail.takenBack', 'warn', facts)
    })
  }

  #changed(): void {
    const { role, leader, term } = this.order
    const was = this.#was
    this.#was = { role, leader, term }
    if (was.role === 'leader' && role !== 'leader') {
      this.#writer.leadershipLost()
      this.#sender.leadershipLost()
      this.origins?.leadershipLost()
      this.emit('leader.lost', 'warn', { term: was.term })
    }
    if (was.role !== 'leader' && role === 'leader') {
      this.counters.elections += 1
      this.emit('leader.elected', 'info', { term, name: this.options.name })
    } else if (leader !== was.leader && leader !== null) {
      this.emit('leader.following', 'info', { term, leader })
    }
    this.#forwarder.leaderChanged()
  }

  #membersChanged(): void {
    this.#members = this.order.members
    this.#setPeers()
    const { members } = this.#members
    const voters = members.filter(({ role }) => role === 'voter').length
    this.emit('members.changed', 'info', { voters, members: members.length })
  }

  /** The members of the group, and the nodes of other groups. */
  #setPeers(): void {
    const fellows = this.order.members.members
    const all = [...fellows, ...(this.origins?.foreignNodes ?? [])]
    const peers = all.map(({ id, url }) => ({ id: toNodeId(id), url }))
    this.ports.transport.setPeers(peers.filter(({ id }) => id !== this.options.self))
  }

  #installOrigins(state: OriginsState): void {
    if (this.origins !== null) {
      this.origins.installed(state)
      return
    }
    this.origins = this.#joinOrigins(state)
    for (const peer of this.#links) this.origins.links.link(peer, true)
    this.#setPeers()
  }

  #joinOrigins(state: OriginsState): Origins {
    return new Origins(
      {
        context: this,
        writer: this.#writer,
        forwarder: this.#forwarder,
        prng: this.#prng.fork(),
        options: this.options,
        confirm: (deadline, done) => this.#reads.confirm(deadline, done),
        peersChanged: () => this.#setPeers(),
      },
      state,
      this.order.applied,
    )
  }

  // Chores

  #apply(): void {
    const { order } = this
    if (this.#applying || this.#installing || this.#verifier.pinning) return
    if (order.commit <= order.applied) return
    const now = this.now()
    const waited = order.role === 'leader' || this.#reads.behind || this.origins?.behind === true
    if (
      !waited &&
      now - this.#appliedAt < APPLY_MS &&
      order.commit - order.applied < APPLY_ENTRIES
    ) {
      return
    }
    this.#appliedAt = now
    this.#applying = true
    this.submit({ kind: 'apply', to: order.commit }, (reply) => {
      this.#applying = false
      assert(reply.kind === 'applied', () => `the store answered ${reply.kind} to apply`)
      const { applied } = this.order
      if (reply.index > applied) this.step({ kind: 'applied', index: reply.index })
      this.origins?.appliedThrough(reply)
      this.#verifier.applied(reply.index)
      this.#reads.applied()
      // It may only have prepared itself, which has an end.
      if (reply.index === applied) this.#apply()
    })
  }

  #install(path: string, done: (error: ErrorData | null) => void): void {
    if (this.#writer.busy) {
      done({ code: 'NOT_READY', detail: 'A statement of a lost leadership is still running.' })
      return
    }
    this.#installing = true
    const ticket = this.order.nextTicket()
    this.ports.store.submit({ kind: 'install', ticket, path }, (reply) => {
      this.#installing = false
      if (reply.kind === 'failed') {
        done(reply.error)
        return
      }
      assert(reply.kind === 'installed', () => `the store answered ${reply.kind} to install`)
      this.#epoch += 1
      this.#appends.clear()
      this.#compactor.size.reset(reply.state)
      this.writeIds.reset(reply.state.log.last.index)
      this.waiting.abandon()
      this.ports.reader.reopen()
      this.step({ kind: 'installed', log: reply.state.log })
      if (reply.state.origins !== null) this.#installOrigins(reply.state.origins)
      this.#reads.applied()
      this.#recall.start()
      this.emit('snapshot.installed', 'info', { index: reply.state.log.last.index })
      done(null)
    })
  }
}

/**
 * With an append after it, a truncation goes under the ticket before theirs: a flush between the
 * two must not report as durable what is yet to be appended.
 */
function truncateTicket({ ticket, append }: Effects): number | null {
  return ticket !== null && append.length > 0 ? ticket - 1 : ticket
}
