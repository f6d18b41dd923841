/**
 * The exchange: how a replica group gets every other origin's entries and hands its own on, over
 * any graph of links, as a pure state machine. `step` is its only entrance; the same inputs give
 * the same effects on every machine. The parts are in the files beside this one; checks.ts lists
 * what always holds, and DESIGN.md in src/core says why it is done this way.
 */
import { assert, unreachable } from '../../../../base/assert.ts'
import { covers, type Frontier, meet, NOTHING, type Range } from '../frontier.ts'
import type { Quorum, Reach } from '../quorums.ts'
import type { ClockTime, Origin } from '../stamp.ts'
import { tickAlarms } from './alarms.ts'
import { check } from './checks.ts'
import { acknowledge, acknowledgeRest, onDigest, tell, tickDigests } from './digest.ts'
import { isSound } from './gate.ts'
import { deliver, onLocal, onStored, release } from './intake.ts'
import { finalise, owe } from './marks.ts'
import { newPeer, type Peer } from './peer.ts'
import { askAtOnce, onEntries, onGone, pull, tickAsks } from './pull.ts'
import { push } from './push.ts'
import { RULES, type Rules } from './rules.ts'
import { onAsk, onServed } from './serve.ts'
import { State } from './state.ts'
import type {
  Alarm,
  Clock,
  Effects,
  ExchangeMembers,
  ExchangeMessage,
  ExchangeOptions,
  ExchangeState,
  Input,
} from './types.ts'
import { onProbe, onProbed, onWait, probeAgain, settleWaits, tickProbes } from './waits.ts'

export class Exchange {
  readonly #state: State

  /**
   * @param clock as in a tick
   * @param members as the cluster log had them when the state was saved, or later
   * @param state as the store opened with it, all of it durable
   * @param rules for tests that break one of them
   */
  constructor(
    options: ExchangeOptions,
    clock: Clock,
    members: ExchangeMembers,
    state: ExchangeState,
    rules: Rules = RULES,
  ) {
    this.#state = new State(options, clock, members, state, rules)
    check(this.#state, null)
  }

  /** Advances by one input. Total and synchronous. */
  step(input: Input): Effects {
    const s = this.#state
    const { held, handed, applied, released, stable } = s
    dispatch(s, input)
    if (input.kind !== 'wait' && input.kind !== 'cancel') {
      deliver(s)
      push(s)
      if (input.kind === 'tick') acknowledgeRest(s)
      if (input.kind !== 'local') pull(s)
      owe(s)
    }
    const moved = finalise(s)
    settleWaits(s)
    check(s, { held, handed, applied, released, stable })
    return s.out.drain(moved)
  }

  /** Durable here. */
  get held(): Frontier {
    return this.#state.held
  }

  /** In the data here: what the next entry of our own depends on, but for ourselves. */
  get applied(): Frontier {
    return this.#state.applied
  }

  /** Through here the order is final. */
  get stable(): ClockTime {
    return this.#state.stable
  }

  get members(): ExchangeMembers {
    return this.#state.members
  }

  /** Whether the order of everything that is in the data here is final. */
  get isFinal(): boolean {
    return this.#state.isFinal
  }

  /**
   * Whether entries of our own may be made: we are a member, every other writer is known to know
   * it, and this replica is not known to be an old copy.
   */
  get mayWrite(): boolean {
    return this.#state.mayWrite
  }

  get alarms(): readonly Alarm[] {
    return [...this.#state.alarms.values()]
  }

  /**
   * Who has dropped from its log what is missing here, and in no log within reach; null: nobody has.
   * No entries of our own may be made meanwhile.
   */
  get tooFarBehind(): Origin | null {
    return this.#state.dropped?.by ?? null
  }

  /** What a level asks of the members in force. */
  quorums(reach: Reach): readonly Quorum[] {
    return this.#state.quorums(reach)
  }

  /** Whether a member, this one included, is known to hold an entry of ours durably. */
  isCopied(sequence: number, member: Origin): boolean {
    return this.#state.isCopied(sequence, member)
  }

  /** Members that are not known to know who the members are now. */
  get unaware(): readonly Origin[] {
    const s = this.#state
    return s.active.filter((origin) => s.knownBy(origin) < s.members.epoch)
  }

  /** Who is not known to know of a member: before that it neither writes nor counts as a copy. */
  unawareOf(member: Origin): readonly Origin[] {
    return this.#state.unawareOf(member)
  }

  /** What an origin is known to hold durably: told by itself, or by its entries. */
  heldBy(origin: Origin): Frontier {
    const s = this.#state
    return origin === s.self ? s.held : (s.evidence.get(origin) ?? NOTHING)
  }

  /**
   * What every member holds; the log may forget it. A member that is silent holds this back, also
   * while it is on its way out: should it turn out that it has removed us, what it lacks of ours is
   * in no log but this.
   */
  get heldByAll(): Frontier {
    const members = [...this.#state.members.origins].filter(([, { kind }]) => kind !== 'removed')
    return members.map(([origin]) => this.heldBy(origin)).reduce(meet, this.held)
  }

  /** Us, whom we are linked to, and whom they say that they are linked to. */
  get inReach(): ReadonlySet<Origin> {
    const { self, peers } = this.#state
    return new Set([self, ...[...peers].flatMap(([id, { links }]) => [id, ...links])])
  }

  /** Entries of ours that do not count since we were removed: to be made anew as another origin. */
  get unshipped(): Range | null {
    const { self } = this.#state
    const standing = this.#state.standing(self)
    const last = this.held.get(self) ?? 0
    if (standing?.kind !== 'removed' || last <= standing.last) return null
    return { origin: self, first: standing.last + 1, last }
  }
}

function dispatch(s: State, input: Input): void {
  switch (input.kind) {
    case 'tick':
      onTick(s, input)
      break
    case 'link':
      onLink(s, input.peer, input.up)
      break
    case 'message':
      onMessage(s, input.from, input.message)
      break
    case 'local':
      onLocal(s, input.entries)
      break
    case 'stored':
      acknowledge(s, onStored(s, input.held, input.applied))
      release(s)
      break
    case 'served':
      withPeer(s, input.peer, (peer) => onServed(s, peer))
      break
    case 'compacted':
      onCompacted(s, input.base)
      break
    case 'members':
      onMembers(s, input.members)
      break
    case 'wait':
      onWait(s, input.id, input.wait)
      break
    case 'cancel':
      s.waits.delete(input.id)
      break
    default:
      unreachable(input)
  }
}

function onTick(s: State, { nowMs, wallMs }: Clock): void {
  assert(nowMs >= s.nowMs, () => `time went back from ${s.nowMs} to ${nowMs}`)
  s.nowMs = nowMs
  s.wallMs = wallMs
  release(s)
  tickAsks(s)
  tickProbes(s)
  tickDigests(s)
  tickAlarms(s)
}

function onLink(s: State, id: Origin, up: boolean): void {
  const old = s.peers.get(id)
  if (old !== undefined) {
    s.peers.delete(id)
    if (old.ask !== null) askAtOnce(s, old.ask.ranges)
  }
  if (up && id !== s.self) {
    const peer = newPeer(id, s.nowMs + s.options.digestMs, s.window.end)
    s.peers.set(id, peer)
    tell(s, peer, true)
    probeAgain(s, peer)
  }
  // The others leave to us what they think that we pass on.
  for (const other of s.peers.values()) if (other.id !== id) tell(s, other, false)
}

function onMessage(s: State, from: Origin, message: ExchangeMessage): void {
  if (!isSound(message)) return
  withPeer(s, from, (peer) => {
    switch (message.kind) {
      case 'digest':
        onDigest(s, peer, message)
        break
      case 'ask':
        onAsk(s, peer, message)
        break
      case 'entries':
        onEntries(s, peer, message)
        break
      case 'gone':
        onGone(s, peer, message)
        break
      case 'probe':
        onProbe(s, peer, message.id)
        break
      case 'probed':
        onProbed(s, peer, message)
        break
      default:
        unreachable(message)
    }
  })
}

/** A message may still come after its link broke. */
function withPeer(s: State, id: Origin, use: (peer: Peer) => void): void {
  const peer = s.peers.get(id)
  if (peer !== undefined) use(peer)
}

function onCompacted(s: State, base: Frontier): void {
  assert(covers(s.applied, base), () => 'the log forgot entries that are not in the data')
  assert(covers(base, s.base), () => 'the beginning of the log moved back')
  s.base = base
}

function onMembers(s: State, members: ExchangeMembers): void {
  // A version by which we are removed counts for us, also one that others made before ours.
  const isOut = members.origins.get(s.self)?.kind === 'removed'
  assert(isOut || members.epoch > s.members.epoch, () => {
    return `${members.epoch} after ${s.members.epoch}`
  })
  s.members = members
  for (const origin of [...s.buffer.origins]) s.buffer.trim(origin, 0, s.limit(origin))
}
