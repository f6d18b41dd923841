/**
 * Replica groups for tests: each has a store with a durable part and a queue that a crash loses; a
 * network in between that loses, repeats and reorders; a cluster log; and checkers that stand
 * outside and know every entry that was ever made.
 */
import { assert, present, unreachable } from '../../../../base/assert.ts'
import { covers, extend, type Frontier, holds, meet, NOTHING, type Range } from '../frontier.ts'
import type { Reach } from '../quorums.ts'
import type { Mark } from '../stability.ts'
import { nextTime, type Origin } from '../stamp.ts'
import { Exchange } from './exchange.ts'
import { show } from './intake.ts'
import { RULES, type Rules } from './rules.ts'
import { askedOf, TestAcks } from './test-acks.ts'
import type {
  Answer,
  Effects,
  EntriesOrder,
  EntryHead,
  ExchangeEntry,
  ExchangeMembers,
  ExchangeMessage,
  ExchangeOptions,
  ExchangeState,
  Input,
  Standing,
  StoreOrder,
  Wait,
} from './types.ts'

export interface Packet {
  readonly from: Origin
  readonly to: Origin
  readonly message: ExchangeMessage
}

type Work = StoreOrder | { readonly kind: 'local'; readonly entry: ExchangeEntry }

/** What survives a crash. */
interface Disk {
  /** What the log still has, in its order. */
  log: ExchangeEntry[]
  held: Frontier
  applied: Frontier
  base: Frontier
  latest: Map<Origin, EntryHead>
  wanted: Map<Origin, Mark>
  unapplied: EntryHead[]
  stable: number
  /** The latest time in the data. */
  clock: number
  epoch: number
}

interface Asked {
  readonly wait: Wait
  /** Read: how much had been acknowledged, and who was leaving. */
  readonly since: number
  readonly gone: ReadonlySet<Origin>
}

export class TestGroup {
  readonly name: Origin
  readonly skewMs: number
  exchange: Exchange
  disk: Disk
  queue: Work[] = []
  serving: Origin[] = []
  markOrdered = false
  up = true
  asked = new Map<number, Asked>()
  alarms: string[] = []

  constructor(name: Origin, skewMs: number, exchange: Exchange, disk: Disk) {
    this.name = name
    this.skewMs = skewMs
    this.exchange = exchange
    this.disk = disk
  }
}

export interface WorldOptions {
  readonly names: readonly Origin[]
  readonly edges: readonly (readonly [Origin, Origin])[]
  readonly skewMs?: Readonly<Record<Origin, number>>
  readonly zones?: ReadonlyMap<Origin, string>
  readonly exchange?: Partial<ExchangeOptions>
  readonly broken?: Partial<Rules>
}

const OPTIONS: Omit<ExchangeOptions, 'self'> = {
  digestMs: 200,
  askDelayMs: 30,
  askTimeoutMs: 300,
  markDelayMs: 100,
  pushMs: 1,
  driftMaxMs: 500,
  alarmMs: 2_000,
  askBytesMax: 10_000,
  askEntriesMax: 100,
  pushBytesMax: 5_000,
  windowEntriesMax: 100,
  bufferBytesMax: 5_000,
  bufferEntriesMax: 50,
  storeBytesMax: 5_000,
  storeEntriesMax: 50,
  keptEntriesMax: 50,
}

export class TestWorld {
  readonly groups = new Map<Origin, TestGroup>()
  readonly options: WorldOptions
  readonly edges = new Set<string>()
  readonly cuts = new Set<string>()
  packets: Packet[] = []
  /** Every state of the members, in its order. */
  readonly history: ExchangeMembers[]
  nowMs = 1_000_000
  /** Entries sent, for tests that count them. */
  entriesSent = 0
  messagesSent = 0

  // The checkers' memory
  readonly made = new Map<string, ExchangeEntry>()
  readonly #acks = new TestAcks()
  #waits = 0

  constructor(options: WorldOptions) {
    this.options = options
    const origins = new Map<Origin, Standing>()
    for (const name of options.names) origins.set(name, { kind: 'writes', since: 0 })
    this.history = [{ epoch: 0, origins, floor: NOTHING, zones: options.zones ?? new Map() }]
    for (const [a, b] of options.edges) this.edges.add(edge(a, b))
    for (const name of options.names) this.add(name, options.skewMs?.[name] ?? 0)
    for (const name of options.names) this.relink(name)
  }

  group(name: Origin): TestGroup {
    return present(this.groups.get(name), () => `group ${name}`)
  }

  get up(): readonly TestGroup[] {
    return [...this.groups.values()].filter(({ up }) => up)
  }

  get members(): ExchangeMembers {
    return present(this.history.at(-1), () => 'members')
  }

  isRemoved(origin: Origin): boolean {
    return this.members.origins.get(origin)?.kind === 'removed'
  }

  /** @param of begins with a copy of this one's file, which knows of it; else with nothing */
  add(name: Origin, skewMs: number, of?: Origin): void {
    const empty: Disk = {
      log: [],
      held: NOTHING,
      applied: NOTHING,
      base: NOTHING,
      latest: new Map(),
      wanted: new Map(),
      unapplied: [],
      stable: 0,
      clock: 0,
      epoch: this.members.epoch,
    }
    const disk = of === undefined ? empty : copyOf(this.group(of).disk)
    this.groups.set(name, new TestGroup(name, skewMs, this.#boot(name, skewMs, disk), disk))
  }

  #boot(self: Origin, skewMs: number, disk: Disk): Exchange {
    const members = this.#membersIn(disk.epoch)
    const state: ExchangeState = { ...disk, latest: [...disk.latest.values()] }
    const rules = { ...RULES, ...this.options.broken }
    const options = { ...OPTIONS, ...this.options.exchange, self }
    const clock = { nowMs: this.nowMs, wallMs: this.nowMs + skewMs }
    return new Exchange(options, clock, members, state, rules)
  }

  // What the world does

  step(name: Origin, input: Input): void {
    const group = this.group(name)
    if (!group.up) return
    this.#carryOut(group, group.exchange.step(input))
  }

  advance(ms: number): void {
    this.nowMs += ms
    for (const { name } of this.up) this.tick(name)
  }

  tick(name: Origin): void {
    const wallMs = this.nowMs + this.group(name).skewMs
    this.step(name, { kind: 'tick', nowMs: this.nowMs, wallMs })
  }

  isLinked(a: Origin, b: Origin): boolean {
    if (!this.edges.has(edge(a, b)) || this.cuts.has(edge(a, b))) return false
    return this.group(a).up && this.group(b).up
  }

  /** Tells a group and its neighbours how their links are now. */
  relink(name: Origin): void {
    for (const other of this.groups.keys()) {
      if (!this.edges.has(edge(name, other))) continue
      const up = this.isLinked(name, other)
      this.step(name, { kind: 'link', peer: other, up })
      this.step(other, { kind: 'link', peer: name, up })
    }
  }

  link(a: Origin, b: Origin): void {
    this.edges.add(edge(a, b))
  }

  cut(a: Origin, b: Origin): void {
    this.cuts.add(edge(a, b))
    this.step(a, { kind: 'link', peer: b, up: false })
    this.step(b, { kind: 'link', peer: a, up: false })
  }

  deliver(at: number, keep = false): void {
    const packet = present(this.packets[at], () => `packet ${at}`)
    if (!keep) this.packets.splice(at, 1)
    const { from, to, message } = packet
    if (this.isLinked(from, to)) this.step(to, { kind: 'message', from, message })
  }

  /** The store of a group does some of its work, and makes it durable. */
  store(name: Origin, count = Number.POSITIVE_INFINITY): void {
    const group = this.group(name)
    const work = group.queue.splice(0, count)
    if (!group.up || work.length === 0) return
    const locals: EntryHead[] = []
    for (const each of work) {
      if (each.kind === 'local' && locals.length === 0) this.#report(group)
      if (each.kind !== 'local' && locals.length > 0) {
        this.step(name, { kind: 'local', entries: locals.splice(0) })
      }
      this.#work(group, each)
      if (each.kind === 'local') locals.push(each.entry)
    }
    if (locals.length > 0) this.step(name, { kind: 'local', entries: locals })
    this.#report(group)
  }

  #report({ name, disk }: TestGroup): void {
    this.step(name, { kind: 'stored', held: disk.held, applied: disk.applied })
  }

  served(name: Origin): void {
    const peer = this.group(name).serving.shift()
    if (peer !== undefined) this.step(name, { kind: 'served', peer })
  }

  /** A write of a group's own; durable only when its store gets to it. */
  write(name: Origin, answer: Answer = 'soon', bytes = 10): ExchangeEntry | null {
    const { exchange, queue, disk, skewMs, up } = this.group(name)
    if (!up || !exchange.mayWrite) return null
    const own = queue.flatMap((work) => (work.kind === 'local' ? [work.entry] : []))
    const dependencies = new Map(exchange.applied)
    dependencies.delete(name)
    const last = Math.max(exchange.stable, disk.clock, ...own.map(({ time }) => time))
    const entry: ExchangeEntry = {
      origin: name,
      sequence: (exchange.held.get(name) ?? 0) + own.length + 1,
      time: nextTime(last, this.nowMs + skewMs),
      dependencies,
      epoch: exchange.members.epoch,
      answer,
      bytes,
      body: new Uint8Array(bytes),
    }
    queue.push({ kind: 'local', entry })
    return entry
  }

  wait(name: Origin, wait: Wait): number {
    this.#waits += 1
    const gone = new Set([...this.groups.keys()].filter((id) => this.#isLeaving(id)))
    this.group(name).asked.set(this.#waits, { wait, since: this.#acks.count, gone })
    this.step(name, { kind: 'wait', id: this.#waits, wait })
    return this.#waits
  }

  crash(name: Origin): void {
    const group = this.group(name)
    Object.assign(group, { up: false, queue: [], serving: [] })
    group.asked.clear()
  }

  restart(name: Origin): void {
    const group = this.group(name)
    group.exchange = this.#boot(name, group.skewMs, group.disk)
    group.up = true
    group.alarms = []
    this.relink(name)
  }

  /** The log of a group forgets what everyone is known to hold, and those who only follow do. */
  compact(name: Origin): void {
    const { disk, exchange, up } = this.group(name)
    if (!up) return
    const others = [...exchange.members.origins.keys()].filter((id) => {
      return exchange.members.origins.get(id)?.kind !== 'removed'
    })
    const following = [...this.groups.values()].filter((group) => {
      return !this.members.origins.has(group.name)
    })
    const base = [
      ...others.map((id) => exchange.heldBy(id)),
      ...following.map((group) => group.disk.held),
    ].reduce(meet, disk.applied)
    if (!covers(base, disk.base)) return
    disk.base = base
    disk.log = disk.log.filter(({ origin, sequence }) => !holds(base, origin, sequence))
    this.step(name, { kind: 'compacted', base })
  }

  /** The file of a group as it is now, to be put back later. */
  save(name: Origin): Disk {
    return copyOf(this.group(name).disk)
  }

  /** Puts back an older file of a group that is down. */
  putBack(name: Origin, disk: Disk): void {
    this.group(name).disk = disk
  }

  // The cluster log

  change(origin: Origin, standing: Standing, floor = this.members.floor): void {
    const { epoch, origins } = this.members
    const changed = new Map(origins).set(origin, standing)
    this.history.push({ ...this.members, epoch: epoch + 1, origins: changed, floor })
  }

  /** In the same change as a new standing, if it has just been made and nobody has read of it. */
  move(origin: Origin, zone: string, isNew = false): void {
    const zones = new Map(this.members.zones).set(origin, zone)
    const members = { ...this.members, zones }
    const since = members.epoch + 1
    const moved = { origin, zone: this.members.zones.get(origin), since }
    if (isNew) this.history.pop()
    this.history.push(isNew ? members : { ...members, epoch: since, moved })
  }

  /** A group reads the cluster log to its end. */
  catchUpMembers(name: Origin): void {
    const group = this.group(name)
    if (!group.up || group.disk.epoch === this.members.epoch) return
    this.store(name)
    this.hearOf(name, this.members.epoch)
  }

  /** A group reads the cluster log through an epoch. */
  hearOf(name: Origin, epoch: number): void {
    this.group(name).disk.epoch = epoch
    this.step(name, { kind: 'members', members: this.#membersIn(epoch) })
  }

  /** How often a level was said to be reached. */
  get acknowledged(): number {
    return this.#acks.count
  }

  /** Everything that is on its way happens, in order and without loss. */
  settle(): void {
    for (let round = 0; ; round += 1) {
      assert(round < 10_000, () => `never quiet: ${JSON.stringify(this.packets[0])}`)
      const busy = this.up.filter(({ queue, serving }) => queue.length + serving.length > 0)
      if (busy.length + this.packets.length === 0) return
      for (const { name } of busy) {
        this.store(name)
        while (this.group(name).serving.length > 0) this.served(name)
      }
      for (let count = this.packets.length; count > 0; count -= 1) this.deliver(0)
    }
  }

  /** Time passes until nothing is sent for long, or too much of it has passed. */
  run(ms: number, stepMs = 10): void {
    for (let passed = 0; passed < ms; passed += stepMs) {
      this.advance(stepMs)
      for (const { name, markOrdered } of this.up) if (markOrdered) this.mark(name)
      this.settle()
    }
  }

  /** Makes the mark that a group's exchange has asked for. */
  mark(name: Origin): void {
    this.group(name).markOrdered = false
    this.write(name, 'none', 0)
  }

  // Carrying out

  #carryOut(group: TestGroup, effects: Effects): void {
    group.queue.push(...effects.store)
    for (const { to, message } of effects.send) {
      this.messagesSent += 1
      const filled = message.kind === 'entries' ? fill(group.disk.log, message) : message
      this.packets.push({ from: group.name, to, message: filled })
      if (filled.kind !== 'entries') continue
      this.entriesSent += filled.entries.length
      if (filled.request !== null) group.serving.push(to)
    }
    if (effects.mark) group.markOrdered = true
    if (effects.stable !== null) this.#onStable(group, effects.stable)
    for (const id of effects.done) this.#onDone(group, id)
    for (const { alarm, on } of effects.alarms) {
      group.alarms.push(`${on ? '' : 'no '}${alarm.kind} ${alarm.origin}`)
    }
  }

  #work(group: TestGroup, work: Work): void {
    const { disk, name } = group
    switch (work.kind) {
      case 'take':
        this.#log(group, work.entry)
        if (work.apply) this.#apply(group, work.entry)
        else disk.unapplied.push(work.entry)
        break
      case 'apply': {
        const { origin, sequence } = work
        const at = disk.unapplied.findIndex((e) => e.origin === origin && e.sequence === sequence)
        const [head] = disk.unapplied.splice(at, 1)
        this.#apply(
          group,
          present(head, () => `${name} keeps ${origin}:${sequence}`),
        )
        break
      }
      case 'local':
        this.#onMade(work.entry)
        this.#log(group, work.entry)
        this.#apply(group, work.entry)
        break
      default:
        unreachable(work)
    }
  }

  #log({ name, disk }: TestGroup, entry: ExchangeEntry): void {
    const { origin, sequence, dependencies, time } = entry
    assert(covers(disk.held, dependencies), () => {
      return `W1: ${name} logs ${origin}:${sequence} before ${show(dependencies)}`
    })
    assert(time > disk.stable, () => `W2: ${name} logs ${origin}:${sequence} below what is final`)
    assert(this.#counts(origin, sequence) || this.isRemoved(name), () => {
      return `W3: ${name} logs ${origin}:${sequence}, which does not count`
    })
    disk.held = extend(disk.held, origin, sequence)
    disk.latest.set(origin, entry)
    disk.log.push(entry)
  }

  #apply({ name, disk, skewMs }: TestGroup, head: EntryHead): void {
    const { origin, sequence, dependencies, time, answer } = head
    assert(covers(disk.applied, dependencies), () => {
      return `W4: ${name} applies ${origin}:${sequence} before ${show(dependencies)}`
    })
    const driftMaxMs = this.options.exchange?.driftMaxMs ?? OPTIONS.driftMaxMs
    const isEarly = time / 1_000 > this.nowMs + skewMs + driftMaxMs
    assert(!isEarly || origin === name, () => `W5: ${name} applies ${origin}:${sequence} too early`)
    disk.applied = extend(disk.applied, origin, sequence)
    disk.clock = Math.max(disk.clock, time)
    if (answer !== 'none') disk.wanted.set(origin, { sequence, time })
  }

  // Checkers

  /** Whether an entry counts: not what a removed origin made after its agreed last one. */
  #counts(origin: Origin, sequence: number): boolean {
    return this.history.every(({ origins }) => {
      const standing = origins.get(origin)
      return standing?.kind !== 'removed' || sequence <= standing.last
    })
  }

  #onMade(entry: ExchangeEntry): void {
    const { origin, sequence, time } = entry
    const key = `${origin}:${sequence}`
    assert(!this.made.has(key), () => `W6: ${key} was made twice`)
    this.made.set(key, entry)
    if (!this.#counts(origin, sequence)) return
    for (const { name, disk } of this.groups.values()) {
      if (this.isRemoved(name)) continue
      assert(time > disk.stable, () => `W7: ${key} at ${time}; at ${name} ${disk.stable} is final`)
    }
  }

  #onStable({ name, disk }: TestGroup, stable: number): void {
    disk.stable = Math.max(disk.stable, stable)
    if (this.isRemoved(name)) return
    for (const [key, { origin, sequence, time }] of this.made) {
      if (time > stable || holds(disk.applied, origin, sequence)) continue
      assert(
        !this.#counts(origin, sequence),
        () => `W8: ${name} lacks ${key} of the final ${stable}`,
      )
    }
  }

  #onDone(group: TestGroup, id: number): void {
    const asked = present(group.asked.get(id), () => `wait ${id}`)
    const { wait } = asked
    group.asked.delete(id)
    const { applied } = group.disk
    switch (wait.kind) {
      case 'copies':
        this.#onCopies(group, wait.sequence, wait.copies)
        break
      case 'stable':
        assert(group.disk.stable >= wait.time, () => `W9: ${wait.time} is not final`)
        break
      case 'applied':
        assert(
          covers(applied, wait.frontier),
          () => `W10: ${group.name} lacks ${show(wait.frontier)}`,
        )
        break
      case 'read': {
        const floor = this.#acknowledged(group, wait.consulted, asked)
        assert(covers(applied, floor), () => {
          return `W11: a read at ${group.name} shows ${show(applied)}, acknowledged ${show(floor)}`
        })
        break
      }
      default:
        unreachable(wait)
    }
  }

  #onCopies({ name, disk: { epoch } }: TestGroup, sequence: number, copies: Reach): void {
    const asked = askedOf(copies, name, this.#membersIn(epoch))
    for (const { of, count } of asked.quorums) {
      const holders = of.filter((id) => (this.groups.get(id)?.disk.held.get(name) ?? 0) >= sequence)
      assert(holders.length >= count, () => {
        return `W12: ${name}:${sequence} at ${copies}: of ${of} it is [${holders}] who hold it`
      })
    }
    const entry = present(this.made.get(`${name}:${sequence}`), () => `${name}:${sequence}`)
    this.#acks.add(entry, asked)
  }

  /** What a read must show: quorums that overlap, as the members are when it ends. */
  #acknowledged({ name, disk }: TestGroup, consulted: Reach, { since, gone }: Asked): Frontier {
    const asked = askedOf(consulted, name, this.#membersIn(disk.epoch))
    return this.#surviving(this.#acks.shown(asked, since, (id) => gone.has(id)))
  }

  #surviving(frontier: Frontier): Frontier {
    return new Map([...frontier].filter(([origin, sequence]) => this.#counts(origin, sequence)))
  }

  #membersIn(epoch: number): ExchangeMembers {
    return present(this.history[epoch], () => `epoch ${epoch}`)
  }

  #isLeaving(origin: Origin): boolean {
    return this.members.origins.get(origin)?.kind !== 'writes'
  }
}

function copyOf(disk: Disk): Disk {
  const { log, latest, wanted, unapplied } = disk
  return {
    ...disk,
    log: [...log],
    latest: new Map(latest),
    wanted: new Map(wanted),
    unapplied: [...unapplied],
  }
}

/** What the driver does with an order: as much of the log as the limits allow. */
function fill(log: readonly ExchangeEntry[], order: EntriesOrder): ExchangeMessage {
  const entries: ExchangeEntry[] = []
  let bytes = 0
  for (const entry of log) {
    if (!order.ranges.some((range) => isIn(range, entry))) continue
    const isFull = bytes + entry.bytes > order.bytesMax || entries.length >= order.entriesMax
    if (entries.length > 0 && isFull) break
    entries.push(entry)
    bytes += entry.bytes
  }
  return { kind: 'entries', request: order.request, held: order.held, entries }
}

function isIn({ origin, first, last }: Range, entry: EntryHead): boolean {
  return entry.origin === origin && entry.sequence >= first && entry.sequence <= last
}

function edge(a: Origin, b: Origin): string {
  return a < b ? `${a}-${b}` : `${b}-${a}`
}
