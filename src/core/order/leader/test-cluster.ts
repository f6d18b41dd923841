/**
 * A cluster in memory for the tests of the leader order: cores, stores that forget what was not
 * flushed, and a network that holds every message until the test says what becomes of it. What must
 * never happen is checked from outside, where no core can talk the checker out of it.
 */
import { assert, present } from '../../../base/assert.ts'
import type { LogIndex, NodeId, Term } from '../../../base/brand.ts'
import { next as after, toLogIndex, toNodeId, toTerm } from '../../../base/brand.ts'
import type { ErrorCode } from '../../../base/errors.ts'
import type { Prng } from '../../../base/prng.ts'
import { prngFromSeed } from '../../../base/prng.ts'
import type { Entry, EntryId, EntryKind } from '../../../model/entry.ts'
import { decodeMembers, encodeMembers, sealEntry } from '../../../model/entry-codec.ts'
import type { Members } from '../../../model/members.ts'
import type { RaftMessage } from '../../../model/message.ts'
import { LeaderOrder } from './leader-order.ts'
import { RULES, type Rules } from './rules.ts'
import { memberOf, type Packet, showId, showMembers, showPacket } from './test-show.ts'
import type { Effects, HardState, Input, LogState, Outgoing, Ticket } from './types.ts'

interface Base {
  readonly id: EntryId
  readonly members: Members
}

interface Write {
  readonly ticket: Ticket
  readonly cut: LogIndex | null
  readonly entries: readonly Entry[]
}

interface Making {
  readonly ticket: Ticket
  readonly term: Term
  readonly kind: EntryKind
  readonly body: Uint8Array
}

export interface ClusterOptions {
  readonly voters: readonly string[]
  readonly learners?: readonly string[]
  /** Nodes that are there but no members yet. */
  readonly strangers?: readonly string[]
  readonly heartbeatTicks?: number
  readonly electionTicks?: number
  readonly seed?: number
  readonly priorities?: Readonly<Record<string, number>>
  /** Entries that an append may carry, as the driver's byte limit would have it. */
  readonly appendEntriesMax?: number
  readonly report?: (line: string) => void
  /** Rules that are broken on purpose. */
  readonly broken?: Partial<Rules>
}

/** One node: its core, what its file holds, and which part of that would survive a power cut. */
export class TestNode {
  readonly name: string
  order: LeaderOrder
  entries: Entry[] = []
  base: Base
  durable: { base: Base; entries: Entry[]; hard: HardState; applied: LogIndex }
  writes: Write[] = []
  making: Making[] = []
  proposals: { readonly kind: EntryKind; readonly members: Members | null }[] = []
  applied = toLogIndex(0)
  up = true

  constructor(name: string, order: LeaderOrder, base: Base, hard: HardState) {
    this.name = name
    this.order = order
    this.base = base
    this.durable = { base, entries: [], hard, applied: base.id.index }
    this.applied = base.id.index
  }

  get last(): EntryId {
    return this.entries.at(-1) ?? this.base.id
  }

  entryAt(index: LogIndex): Entry | undefined {
    return this.entries[index - this.base.id.index - 1]
  }

  logState(): LogState {
    const { base, entries } = this
    const terms = [base.id]
    const members = [{ index: base.id.index, members: base.members }]
    for (const entry of entries) {
      if (entry.term > (terms.at(-1)?.term ?? 0)) terms.push({ ...entry })
      if (entry.kind === 'members') {
        members.push({ index: entry.index, members: decodeMembers(entry.body) })
      }
    }
    const commit = toLogIndex(0)
    return { base: base.id, last: this.last, terms, members, applied: this.applied, commit }
  }
}

export class TestCluster {
  readonly nodes = new Map<string, TestNode>()
  readonly options: ClusterOptions
  readonly prng: Prng
  readonly cuts = new Set<string>()
  readonly #report: (line: string) => void
  packets: Packet[] = []
  snapshots: { readonly from: string; readonly to: string; readonly term: Term }[] = []
  readonly replies: { readonly id: number; readonly code: ErrorCode | null }[] = []
  readonly reads = new Map<number, { floor: number; index: LogIndex | null | undefined }>()

  // The checkers' memory
  readonly #leaders = new Map<number, string>()
  readonly #made = new Map<string, string>()
  readonly committed = new Map<number, Term>()
  #committedLast = 0
  #writes = 0
  #readIds = 0

  constructor(options: ClusterOptions) {
    this.options = options
    this.prng = prngFromSeed(options.seed ?? 1)
    this.#report = options.report ?? (() => {})
    const priority = (name: string): number => options.priorities?.[name] ?? 1
    const members: Members = {
      cluster: 'test',
      members: [
        ...options.voters.map((name) => memberOf(name, 'voter', priority(name))),
        ...(options.learners ?? []).map((name) => memberOf(name, 'learner', priority(name))),
      ].sort((a, b) => (a.id < b.id ? -1 : 1)),
    }
    const names = [...options.voters, ...(options.learners ?? []), ...(options.strangers ?? [])]
    for (const name of names) {
      const stranger = options.strangers?.includes(name) ?? false
      const base: Base = {
        id: { term: toTerm(0), index: toLogIndex(0) },
        members: stranger ? { cluster: 'test', members: [] } : members,
      }
      this.nodes.set(name, this.#boot(name, base))
    }
  }

  node(name: string): TestNode {
    return present(this.nodes.get(name), () => `node ${name}`)
  }

  get up(): readonly TestNode[] {
    return [...this.nodes.values()].filter((node) => node.up)
  }

  get leader(): TestNode | null {
    const leading = this.up.filter(({ order }) => order.role === 'leader')
    return leading.sort((a, b) => b.order.term - a.order.term)[0] ?? null
  }

  // What the world does

  tick(name: string): void {
    this.step(name, { kind: 'tick' })
  }

  /** Hands over the packet at a place in the queue; `keep` leaves a duplicate there. */
  deliver(at: number, keep = false): void {
    const packet = present(this.packets[at], () => `packet ${at}`)
    if (!keep) this.packets.splice(at, 1)
    const { from, to, message } = packet
    if (!this.node(to).up || this.isCut(from, to)) {
      this.#report(`dropped ${showPacket(packet)}`)
      return
    }
    this.step(to, { kind: 'message', from: toNodeId(from), message })
  }

  isCut(from: string, to: string): boolean {
    return this.cuts.has(`${from}-${to}`) || this.cuts.has(`${to}-${from}`)
  }

  /** Everything that the store was given so far, or its first so many writes, becomes durable. */
  flush(name: string, count = Number.POSITIVE_INFINITY): void {
    const node = this.node(name)
    const flushed = node.writes.splice(0, count)
    for (const { cut, entries } of flushed) {
      if (cut !== null) {
        node.durable.entries = node.durable.entries.filter(({ index }) => index <= cut)
      }
      node.durable.entries.push(...entries)
    }
    const ticket = flushed.at(-1)?.ticket
    if (ticket === undefined) return
    node.durable.applied = toLogIndex(
      Math.min(node.applied, node.durable.entries.at(-1)?.index ?? node.durable.base.id.index),
    )
    this.step(name, { kind: 'flushed', ticket })
  }

  /** The store begins the oldest proposal. */
  begin(name: string): void {
    const node = this.node(name)
    const proposal = node.proposals.shift()
    if (proposal === undefined || node.order.role !== 'leader') return
    const { kind, members } = proposal
    this.#begin(node, kind, members === null ? new Uint8Array() : encodeMembers(members))
  }

  /** The store begins a batch of writes. */
  beginWrite(name: string, kind: EntryKind = 'data'): void {
    this.#writes += 1
    this.#begin(this.node(name), kind, new TextEncoder().encode(`w${this.#writes}`))
  }

  /** The store ends the oldest work that it began; `empty`: every transaction of it failed. */
  end(name: string, empty = false): void {
    const node = this.node(name)
    const making = node.making.shift()
    if (making === undefined) return
    const { ticket, term, kind, body } = making
    const entry = sealEntry({ term, index: after(node.last.index), kind, at: 0, body })
    // Only programs can fail.
    const fails = empty && kind === 'data'
    const entries = fails ? [] : [entry]
    node.entries.push(...entries)
    node.writes.push({ ticket, cut: null, entries })
    if (!fails && kind !== 'schema' && node.applied === entry.index - 1) node.applied = entry.index
    this.#note(node, entries)
    this.step(name, { kind: 'executed', ticket, entries })
  }

  /** The store applies what is committed. */
  apply(name: string): void {
    const node = this.node(name)
    if (node.order.commit <= node.applied) return
    node.applied = node.order.commit
    this.step(name, { kind: 'applied', index: node.applied })
  }

  read(name: string): number {
    this.#readIds += 1
    const id = this.#readIds
    this.reads.set(id, { floor: this.#committedLast, index: undefined })
    this.step(name, { kind: 'read', id })
    return id
  }

  /** Power cut: what was not flushed is gone. */
  crash(name: string): void {
    this.node(name).up = false
    const broken = this.snapshots.filter(({ to }) => to === name)
    this.snapshots = this.snapshots.filter(({ from, to }) => from !== name && to !== name)
    for (const { from } of broken) {
      this.step(from, { kind: 'snapshotEnded', peer: toNodeId(name), last: null })
    }
  }

  restart(name: string): void {
    const old = this.node(name)
    const { base, entries, hard, applied } = old.durable
    const node = this.#boot(name, base, hard)
    node.entries = [...entries]
    node.applied = applied
    node.durable = { base, entries: [...entries], hard, applied }
    node.order = this.#core(name, hard, node.logState())
    this.nodes.set(name, node)
  }

  /** Drops log entries that are applied, committed and durable. */
  compact(name: string, to: LogIndex): void {
    const node = this.node(name)
    const { applied, commit, durable } = node.order
    const index = toLogIndex(Math.min(to, applied, commit, durable))
    if (index <= node.base.id.index || node.writes.length > 0) return
    node.base = this.#baseAt(node, index)
    node.entries = node.entries.filter((entry) => entry.index > index)
    const { hard } = node.durable
    node.durable = { base: node.base, entries: [...node.entries], hard, applied: node.applied }
    this.step(name, { kind: 'compacted', base: node.base.id })
  }

  /** Ends the oldest snapshot transfer, well or badly. */
  endSnapshot(ok: boolean): void {
    const transfer = this.snapshots.shift()
    if (transfer === undefined) return
    const { from, to } = transfer
    const [source, target] = [this.node(from), this.node(to)]
    const index = toLogIndex(Math.min(source.order.commit, source.applied))
    const fits = target.up && target.making.length === 0 && target.order.role !== 'leader'
    const base = this.#baseAt(source, index)
    // What it holds beyond the snapshot it may have acknowledged: it must not go.
    const needed = index >= target.order.commit && target.order.termAt(index) !== base.id.term
    const works = ok && fits && needed && !this.isCut(from, to)
    if (works) this.#install(target, base)
    const last = works ? target.base.id : null
    if (source.up) this.step(from, { kind: 'snapshotEnded', peer: toNodeId(to), last })
  }

  step(name: string, input: Input): void {
    const node = this.node(name)
    if (!node.up) return
    const { commit, role } = node.order
    const effects = node.order.step(input)
    this.#perform(node, effects)
    this.#check(node, commit, role === 'leader')
  }

  /** Lets everything that is under way come to its end, without any time passing. */
  settle(): void {
    for (let i = 0; i < 10_000; i += 1) {
      if (this.packets.length > 0) this.deliver(0)
      else if (!this.#workStores()) return
    }
    throw new Error('it does not settle')
  }

  #workStores(): boolean {
    for (const node of this.up) {
      const { name } = node
      if (node.proposals.length > 0) this.begin(name)
      else if (node.making.length > 0) this.end(name)
      else if (node.writes.length > 0) this.flush(name)
      else if (node.order.commit > node.applied) this.apply(name)
      else continue
      return true
    }
    if (this.snapshots.length === 0) return false
    this.endSnapshot(true)
    return true
  }

  // How a driver carries out effects

  #perform(node: TestNode, effects: Effects): void {
    const { name } = node
    if (effects.hardState !== null) {
      node.durable.hard = effects.hardState
      const { term, vote } = effects.hardState
      this.#report(`${name} saves term=${term} vote=${vote}`)
    }
    if (effects.ticket !== null) this.#write(node, effects.ticket, effects)
    for (const { to, message } of effects.send) this.#send(node, to, message)
    if (effects.commit !== null) this.#report(`${name} commits through ${effects.commit}`)
    for (const proposal of effects.propose) {
      node.proposals.push(proposal)
      this.#report(`${name} proposes ${proposal.kind}${showMembers(proposal.members)}`)
    }
    for (const to of effects.snapshotTo) {
      this.snapshots.push({ from: name, to, term: node.order.term })
      this.#report(`${name} owes a snapshot to ${to}`)
    }
    for (const { id, index } of effects.reads) this.#readDone(name, id, index)
    for (const { id, error } of effects.replies) {
      this.replies.push({ id, code: error?.code ?? null })
      this.#report(`${name} replies to ${id}: ${error?.code ?? 'done'}`)
    }
    if (effects.changed) {
      const { role, term, leader } = node.order
      this.#report(`${name} is ${role} in term ${term}, leader ${leader}`)
    }
  }

  #write(node: TestNode, ticket: Ticket, { truncate, append }: Effects): void {
    if (truncate !== null) {
      assert(truncate >= node.base.id.index, () => `cut to ${truncate}, below the base`)
      node.entries = node.entries.filter(({ index }) => index <= truncate)
      if (node.applied > truncate) node.applied = truncate
      this.#report(`${node.name} cuts its log to ${truncate}`)
    }
    node.entries.push(...append)
    node.writes.push({ ticket, cut: truncate, entries: append })
    this.#note(node, append)
    const [head, tail] = [append.at(0), append.at(-1)]
    if (head !== undefined && tail !== undefined) {
      this.#report(`${node.name} appends ${showId(head)} to ${showId(tail)}`)
    }
  }

  #send(node: TestNode, to: NodeId, message: Outgoing): void {
    const packet = { from: node.name, to, message: this.#filled(node, message) }
    if (!this.nodes.has(to)) return
    this.packets.push(packet)
    this.#report(showPacket(packet))
  }

  #filled(node: TestNode, message: Outgoing): RaftMessage {
    if (message.kind !== 'append') return message
    const { first, last, ...rest } = message
    const max = this.options.appendEntriesMax ?? 1000
    const entries: Entry[] = []
    for (let index = first; index <= last && entries.length < max; index = after(index)) {
      entries.push(present(node.entryAt(index), () => `${node.name} has no entry ${index}`))
    }
    return { ...rest, entries }
  }

  #readDone(name: string, id: number, index: LogIndex | null): void {
    const read = present(this.reads.get(id), () => `read ${id}`)
    assert(read.index === undefined, () => `read ${id} answered twice`)
    read.index = index
    this.#report(`${name} answers read ${id}: ${index}`)
    if (index === null) return
    // Whoever read must see everything that was committed before it asked.
    assert(index >= read.floor, () => `R1: read ${id} at ${index}, ${read.floor} was committed`)
  }

  #begin(node: TestNode, kind: EntryKind, body: Uint8Array): void {
    const ticket = node.order.nextTicket()
    node.making.push({ ticket, term: node.order.term, kind, body })
    this.step(node.name, { kind: 'executing', ticket })
  }

  #install(target: TestNode, base: Base): void {
    target.base = base
    target.entries = []
    target.writes = []
    target.applied = base.id.index
    const { hard } = target.durable
    target.durable = { base, entries: [], hard, applied: base.id.index }
    this.#report(`${target.name} installs a snapshot of ${showId(base.id)}`)
    this.step(target.name, { kind: 'installed', log: target.logState() })
  }

  #baseAt(node: TestNode, index: LogIndex): Base {
    const id = index === node.base.id.index ? node.base.id : node.entryAt(index)
    const term = present(id, () => `${node.name} has no entry ${index}`).term
    let { members } = node.base
    for (const entry of node.entries) {
      if (entry.kind === 'members' && entry.index <= index) members = decodeMembers(entry.body)
    }
    return { id: { term, index }, members }
  }

  #boot(name: string, base: Base, hard: HardState = { term: toTerm(0), vote: null }): TestNode {
    const log: LogState = {
      base: base.id,
      last: base.id,
      terms: [base.id],
      members: [{ index: base.id.index, members: base.members }],
      applied: base.id.index,
      commit: toLogIndex(0),
    }
    return new TestNode(name, this.#core(name, hard, log), base, hard)
  }

  #core(name: string, hard: HardState, log: LogState): LeaderOrder {
    const { heartbeatTicks = 2, electionTicks = 10 } = this.options
    const options = { self: toNodeId(name), heartbeatTicks, electionTicks }
    const rules = { ...RULES, ...this.options.broken }
    return new LeaderOrder(options, this.prng.fork(), hard, log, rules)
  }

  // Checkers

  /** Log matching: an entry is the same wherever it is, and so is the one before it. */
  #note(node: TestNode, entries: readonly Entry[]): void {
    for (const entry of entries) {
      const index = toLogIndex(entry.index - 1)
      const before = index === node.base.id.index ? node.base.id : node.entryAt(index)
      const content = `${entry.kind} ${entry.checksum} after ${before?.term}`
      const known = this.#made.get(showId(entry)) ?? content
      this.#made.set(showId(entry), content)
      assert(known === content, () => `S2: ${showId(entry)} is ${content}, was ${known}`)
    }
  }

  /** @param led before the step: a leader that is removed commits that, and leads no more */
  #check(node: TestNode, commitBefore: LogIndex, led: boolean): void {
    const { order, name } = node
    if (order.role === 'leader') this.#checkLeader(node)
    for (let index = after(commitBefore); index <= order.commit; index = after(index)) {
      const term = order.termAt(index)
      if (term === null) continue // Below the base of a snapshot: checked where it was made.
      const known = this.committed.get(index) ?? term
      assert(known === term, () => `S4: ${name} commits ${term}/${index}, others ${known}`)
      this.committed.set(index, term)
    }
    if (order.commit > this.#committedLast) {
      this.#committedLast = order.commit
      assert(
        led || order.role === 'leader',
        () => `S5: ${name} commits ${order.commit} before any leader`,
      )
      this.#checkHeld(node)
    }
  }

  /** Election safety, and leader completeness at the moment of winning. */
  #checkLeader({ order, name }: TestNode): void {
    const known = this.#leaders.get(order.term)
    assert(
      known === undefined || known === name,
      () => `S1: ${name} and ${known} lead term ${order.term}`,
    )
    if (known !== undefined) return
    this.#leaders.set(order.term, name)
    for (const [index, term] of this.committed) {
      if (index <= order.base.index) continue
      const own = order.termAt(toLogIndex(index))
      assert(own === term, () => `S3: leader ${name} has ${own} at ${index}, committed is ${term}`)
    }
  }

  /** What a leader commits is on the disks of a majority of the voters, as a power cut shows it. */
  #checkHeld({ order }: TestNode): void {
    const voters = order.members.members.filter(({ role }) => role === 'voter')
    const holding = voters.filter(({ id }) => {
      const { base, entries } = this.node(id).durable
      const held = base.id.index >= order.commit
      return held || entries.some((entry) => entry.index === order.commit)
    })
    assert(
      holding.length * 2 > voters.length,
      () => `S5: ${order.commit} committed, on the disks of ${holding.map(({ id }) => id)}`,
    )
  }
}
