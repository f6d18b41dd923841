/** The state that the parts of the exchange share, and the questions that several of them ask. */
import { assert } from '../../../../base/assert.ts'
import { covers, extend, type Frontier, holds, join, NOTHING, type Range } from '../frontier.ts'
import { passingQuorums, type Quorum, quorumsOf, type Reach, type Zone } from '../quorums.ts'
import { type Mark, stableTime } from '../stability.ts'
import { admit, type ClockTime, type Origin } from '../stamp.ts'
import { CausalBuffer } from './buffer.ts'
import { Outbox } from './outbox.ts'
import { land, type Peer } from './peer.ts'
import type { Rules } from './rules.ts'
import type {
  Alarm,
  Clock,
  EntryHead,
  ExchangeMembers,
  ExchangeOptions,
  ExchangeState,
  Standing,
  Wait,
} from './types.ts'
import { type Recent, Window } from './window.ts'

/** Something that a linked peer holds and we don't. */
export interface Lack {
  readonly sinceMs: number
  /** When it is asked for; before that it may come by itself. */
  readonly dueMs: number
}

/** Something that we lack, and that all who were linked and hold it have dropped from their logs. */
export interface Dropped {
  readonly by: Origin
  readonly range: Range
}

export interface Waiting {
  readonly wait: Wait
  /** Read: what each consulted member held, this one among them. */
  readonly consulted: Map<Origin, Frontier>
}

interface QuorumsKnown {
  readonly of: ExchangeMembers
  readonly isPassing: boolean
  readonly by: Map<Reach, readonly Quorum[]>
}

export class State {
  readonly self: Origin
  readonly options: ExchangeOptions
  readonly rules: Rules
  readonly out = new Outbox()
  members: ExchangeMembers
  nowMs: number
  wallMs: number

  // Frontiers: applied <= released <= handed, and applied <= held <= handed
  /** Given to the store. */
  handed: Frontier = NOTHING
  /** Durable in the log. */
  held: Frontier = NOTHING
  /** Given to the store to be merged into the data. */
  released: Frontier = NOTHING
  /** In the data. */
  applied: Frontier = NOTHING
  /** No longer in the log. */
  base: Frontier = NOTHING

  /** The last entry held of each origin, which is its promise. */
  latest = new Map<Origin, EntryHead>()
  /** The time of the last entry handed over of each origin. */
  handedTime = new Map<Origin, ClockTime>()
  /** The last entry applied of each origin that asks for an answer. */
  wanted = new Map<Origin, Mark & { readonly now: boolean }>()
  /** The highest epoch of an entry in the data, by origin. */
  epochs = new Map<Origin, number>()
  /** The time of the last entry applied of each origin, where it is known. */
  #appliedTimes = new Map<Origin, ClockTime>()
  /** What each origin is known to hold durably. */
  readonly evidence = new Map<Origin, Frontier>()
  stable: ClockTime = 0

  /** Handed over, not durable; in that order. */
  unheld: Recent[] = []
  unheldBytes = 0
  /** Handed over, not in the data. */
  unapplied: EntryHead[] = []
  /** Of these, the ones whose time has not come. */
  kept: EntryHead[] = []

  readonly peers = new Map<Origin, Peer>()
  readonly buffer: CausalBuffer
  readonly window: Window
  readonly lacks = new Map<Origin, Lack>()
  nextRequest = 1
  /** Until somebody can give it nothing is taken or made: we may have forgotten what we made, too. */
  dropped: Dropped | null = null

  /** Since when others wait for an entry of ours; null: nobody does. */
  markOwedMs: number | null = null
  /** When the last was ordered and has not come. */
  markAskedMs: number | null = null

  readonly waits = new Map<number, Waiting>()
  #quorums: QuorumsKnown
  readonly broken = new Set<Origin>()
  forked = false
  readonly alarms = new Map<string, Alarm>()
  /** Since when an alarm's condition holds. */
  readonly suspicions = new Map<string, number>()

  constructor(
    options: ExchangeOptions,
    clock: Clock,
    members: ExchangeMembers,
    state: ExchangeState,
    rules: Rules,
  ) {
    this.self = options.self
    this.options = options
    this.rules = rules
    this.nowMs = clock.nowMs
    this.wallMs = clock.wallMs
    this.members = members
    this.#quorums = { of: members, isPassing: false, by: new Map() }
    this.buffer = new CausalBuffer(options.bufferBytesMax, options.bufferEntriesMax)
    this.window = new Window(options.windowEntriesMax)
    this.#load(state)
  }

  /** Begins from what is durable. */
  #load({ held, applied, base, latest, wanted, unapplied, stable }: ExchangeState): void {
    assert(covers(held, applied), () => 'the state says that more is applied than held')
    this.held = held
    this.handed = held
    this.applied = applied
    this.released = applied
    this.base = base
    this.latest = new Map(latest.map((head) => [head.origin, head]))
    this.handedTime = new Map(latest.map(({ origin, time }) => [origin, time]))
    this.wanted = new Map([...wanted].map(([origin, mark]) => [origin, { ...mark, now: false }]))
    const inData = latest.filter(({ origin, sequence }) => holds(applied, origin, sequence))
    this.#appliedTimes = new Map(inData.map(({ origin, time }) => [origin, time]))
    this.epochs = new Map(inData.map(({ origin, epoch }) => [origin, epoch]))
    for (const head of latest) this.learnFrom(head)
    this.stable = stable
    this.unapplied = [...unapplied]
    this.kept = [...unapplied]
  }

  standing(origin: Origin): Standing | null {
    return this.members.origins.get(origin) ?? null
  }

  /** The last entry of an origin that may be taken. */
  limit(origin: Origin): number {
    const handed = this.handed.get(origin) ?? 0
    // What we did alone may contradict what the others did since.
    const isOver = this.standing(this.self)?.kind === 'removed'
    return isOver || this.broken.has(origin)
      ? handed
      : this.rules.limit(this.standing(origin), Math.max(handed, this.#staying(origin)))
  }

  /**
   * What of a frozen origin somebody holds who stays. It will count, whatever is agreed on: it came
   * there before that one knew of the freezing, so its word for that includes it. And what ends the
   * removal may depend on it, if the keeper is gone and another group takes over.
   */
  #staying(origin: Origin): number {
    if (this.standing(origin)?.kind !== 'frozen') return 0
    return Math.max(0, ...this.active.map((each) => this.evidence.get(each)?.get(origin) ?? 0))
  }

  /**
   * Members whose copies count. Not those on their way out: what they hold may go with them, and
   * once all others know that, their last entry can be agreed on.
   */
  get active(): readonly Origin[] {
    return [...this.members.origins].filter(([, { kind }]) => kind === 'writes').map(([id]) => id)
  }

  get isAnyFrozen(): boolean {
    return [...this.members.origins.values()].some(({ kind }) => kind === 'frozen')
  }

  /** Whose promises stability needs: also the removed, until all that counts of them is here. */
  get promising(): readonly Origin[] {
    const promising: Origin[] = []
    for (const [id, is] of this.members.origins) {
      if (this.rules.promises(is, this.held.get(id) ?? 0)) promising.push(id)
    }
    return promising
  }

  /** Everyone who writes is known to know that we joined, so nothing of ours comes too early. */
  get joined(): boolean {
    return this.hasJoined(this.self)
  }

  /**
   * The same of any member. Before that its copies don't count: somebody who does not know of it may
   * read from a majority without it.
   */
  hasJoined(member: Origin): boolean {
    if (this.standing(member)?.kind !== 'writes') return false
    for (const origin of this.members.origins.keys()) {
      if (this.#isUnaware(origin, member)) return false
    }
    return true
  }

  /** Who is not known to know of a member. */
  unawareOf(member: Origin): readonly Origin[] {
    return [...this.members.origins.keys()].filter((origin) => this.#isUnaware(origin, member))
  }

  #isUnaware(origin: Origin, member: Origin): boolean {
    const standing = this.standing(member)
    const kind = this.standing(origin)?.kind
    if (standing?.kind !== 'writes' || origin === member || kind === 'removed') return false
    // It never wrote, and on its way out it never will. What it calls final rests on the others. Who
    // has nothing at all can't tell.
    if (kind === 'frozen' && this.applied.size > 0 && !this.epochs.has(origin)) return false
    return !this.rules.knowsUs(this.knownBy(origin), standing.since)
  }

  /** The latest epoch that an origin is known to know. */
  knownBy(origin: Origin): number {
    if (origin === this.self) return this.members.epoch
    return this.epochs.get(origin) ?? this.epochOf(origin)
  }

  /** An origin that has never written knows what made it a member. */
  epochOf(origin: Origin): number {
    const standing = this.standing(origin)
    return standing?.kind === 'writes' ? standing.since : 0
  }

  /** Nothing in the data waits for answers. */
  get isFinal(): boolean {
    return [...this.wanted.values()].every(({ time }) => time <= this.stable)
  }

  get mayWrite(): boolean {
    return this.joined && !this.forked && this.dropped === null
  }

  /**
   * Whether an entry may be merged now: its time has come, and all it depends on goes before it.
   */
  ripe({ origin, sequence, time, dependencies }: EntryHead): boolean {
    if (!holds(this.released, origin, sequence - 1)) return false
    if (!covers(this.released, dependencies)) return false
    return admit(time, this.wallMs, this.options.driftMaxMs).kind === 'now'
  }

  /** An entry tells what its writer held. */
  learnFrom({ origin, sequence, dependencies }: EntryHead): void {
    this.learn(origin, new Map(dependencies).set(origin, sequence))
  }

  learn(origin: Origin, frontier: Frontier): void {
    this.evidence.set(origin, join(this.evidence.get(origin) ?? NOTHING, frontier))
  }

  /** A linked peer told what it holds. */
  heard(peer: Peer, held: Frontier): void {
    const ours = held.get(this.self) ?? 0
    // Ours is durable before it leaves, so nobody can hold more: this file is an older copy.
    if (ours > (this.held.get(this.self) ?? 0)) this.forked = true
    peer.known = join(peer.known, held)
    this.learn(peer.id, held)
    land(peer)
  }

  /** What the promises here make final, below anything that still waits for its time. */
  finalTime(): ClockTime {
    const promising = this.promising
    if (promising.length === 0) return this.stable
    // An entry's own time is that of its last transaction.
    const waiting = this.unapplied.map(({ origin, first }) => {
      return first ?? (this.#appliedTimes.get(origin) ?? 0) + 1
    })
    return this.rules.final(stableTime(promising, this.latest, this.held), waiting)
  }

  /** Whether a member is known to hold an entry of ours durably. */
  isCopied(sequence: number, member: Origin): boolean {
    if (member === this.self) return holds(this.held, this.self, sequence)
    const has = holds(this.evidence.get(member) ?? NOTHING, this.self, sequence)
    return has && this.hasJoined(member)
  }

  /** What a level asks of the members in force. */
  quorums(reach: Reach): readonly Quorum[] {
    const { members } = this
    const isPassing = this.#isMoving
    // Asked for each wait at each step, and the same until the members change, or all know of it.
    if (this.#quorums.of !== members || this.#quorums.isPassing !== isPassing) {
      this.#quorums = { of: members, isPassing, by: new Map() }
    }
    const known = this.#quorums.by.get(reach)
    if (known !== undefined) return known
    const groups = new Map(this.active.map((origin) => [origin, members.zones.get(origin) ?? null]))
    const lasting = quorumsOf(reach, groups, members.zones.get(this.self) ?? null)
    const quorums = isPassing ? [...lasting, ...this.#passing(reach, groups)] : lasting
    this.#quorums.by.set(reach, quorums)
    return quorums
  }

  /** Somebody may still count by the zones before the last change of them. */
  get #isMoving(): boolean {
    const { moved } = this.members
    if (moved === undefined) return false
    return !this.active.every((origin) => this.rules.knowsZones(this.knownBy(origin), moved.since))
  }

  #passing(reach: Reach, groups: ReadonlyMap<Origin, Zone>): readonly Quorum[] {
    const { moved } = this.members
    if (moved === undefined || !groups.has(moved.origin)) return []
    const before = new Map(groups).set(moved.origin, moved.zone ?? null)
    return passingQuorums(reach, groups, before, this.self)
  }

  /** Notes that an entry is in the data. */
  noteApplied({ origin, sequence, time, epoch, answer }: EntryHead): void {
    this.applied = extend(this.applied, origin, sequence)
    this.#appliedTimes.set(origin, time)
    // Read from the data, not the log: our first stamp must be later than what told us.
    this.epochs.set(origin, epoch)
    if (answer !== 'none') this.wanted.set(origin, { sequence, time, now: answer === 'now' })
  }

  /** Notes that an entry is durable here. */
  noteHeld(recent: Recent): void {
    const { head } = recent
    this.held = extend(this.held, head.origin, head.sequence)
    this.latest.set(head.origin, head)
    this.learnFrom(head)
    this.window.add(recent)
  }
}
