/**
 * The exchange while this node leads its group: made from what the store holds, fed with what
 * happens, its orders carried out; dropped with the leadership.
 */
import { present } from '../../base/assert.ts'
import type { LogIndex } from '../../base/brand.ts'
import type { ErrorData } from '../../base/errors.ts'
import type { Exchange } from '../../core/order/clock/exchange/exchange.ts'
import type {
  Answer,
  Effects,
  EntryHead,
  ExchangeMembers,
  ExchangeMessage,
  ExchangeOptions,
  ExchangeState,
  Input,
  Wait,
} from '../../core/order/clock/exchange/types.ts'
import type { Entry } from '../../model/entry.ts'
import type { OriginExchange } from '../../model/message.ts'
import { firstTimeOf } from '../../model/origin-codec.ts'
import type { OriginOperation } from '../../model/origin-entry.ts'
import type { Merged } from '../../store/types.ts'
import type { Context } from '../context.ts'
import type { Proposing } from '../proposals.ts'
import { Intake } from './intake.ts'
import type { OriginLinks } from './links.ts'
import { type OwnEntry, Reports } from './reports.ts'
import { Serving } from './serving.ts'
import { CACHE_BYTES } from './settings.ts'
import { type WaitEnd, Waits } from './waits.ts'

export type CreateExchange = (...args: ConstructorParameters<typeof Exchange>) => Exchange

/** Finds an index that covers all that was acknowledged before; null if not in time. */
export type Confirm = (deadline: number, done: (index: LogIndex | null) => void) => void

/** Whoever asked what is held here asks again by then, ms. */
const PROBE_MS = 1_000

export interface ExchangingNeeds {
  readonly context: Context
  readonly writer: Proposing
  readonly links: OriginLinks
  readonly options: ExchangeOptions
  readonly create: CreateExchange
  readonly confirm: Confirm
  /** What people call the group of an origin. */
  nameOf(origin: string): string
}

/** What became of an entry that was to be made; null: leadership went. */
export type Made = OwnEntry | ErrorData | null

export class Exchanging {
  readonly exchange: Exchange
  readonly reports: Reports
  readonly #needs: ExchangingNeeds
  readonly #intake = new Intake()
  readonly #serving: Serving
  readonly #waits = new Waits()
  #safe: { readonly index: LogIndex; readonly then: () => void }[] = []
  #inputs: Input[] = []
  #stepping = false
  #marking = false
  #through: LogIndex
  #over = false

  constructor(needs: ExchangingNeeds, members: ExchangeMembers, state: ExchangeState) {
    const { context, options, links } = needs
    this.#needs = needs
    this.#through = context.order.applied
    this.reports = new Reports(state)
    this.exchange = needs.create(options, this.#clock(), members, state)
    this.#serving = new Serving(
      { submit: (command, done) => context.ports.store.submit(command, done) },
      CACHE_BYTES,
    )
    for (const peer of links.up.keys()) this.step({ kind: 'link', peer, up: true })
  }

  get self(): string {
    return this.#needs.options.self
  }

  /** Whether there is a link to the leader of an origin's group. */
  isLinked(origin: string): boolean {
    return this.#needs.links.up.has(origin)
  }

  /** What was taken of others is in the data, all of it. */
  get atRest(): boolean {
    return this.#intake.atRest
  }

  /** Everything through this index is committed, applied, and known to the exchange. */
  get through(): LogIndex {
    return this.#through
  }

  step(input: Input): void {
    if (this.#over) return
    this.#inputs.push(input)
    if (this.#stepping) return
    this.#stepping = true
    try {
      for (let head = this.#inputs.shift(); head !== undefined; head = this.#inputs.shift()) {
        this.#carryOut(this.exchange.step(head))
      }
    } finally {
      this.#stepping = false
    }
  }

  tick(now: number): void {
    this.step({ kind: 'tick', ...this.#clock() })
    for (const id of this.#waits.expire(now)) this.step({ kind: 'cancel', id })
  }

  /** Tells what has become safe, and has what is due done. */
  pump(): void {
    this.#report()
    this.#merge()
  }

  /** Something of what others wrote has been put in its place. */
  merged(merged: Merged): void {
    this.#intake.merged(merged)
  }

  /** A message of the leader of another group. */
  receive(from: string, message: OriginExchange): void {
    const sound = withBytes(message)
    if (sound.kind !== 'probe') {
      this.step({ kind: 'message', from, message: sound })
      return
    }
    // Whoever leads no more without knowing it must not say what its group holds.
    const { context, confirm } = this.#needs
    confirm(context.now() + PROBE_MS, (index) => {
      if (index === null) return
      this.whenSafe(index, () => this.step({ kind: 'message', from, message: sound }))
    })
  }

  /** This leader has made entries. @returns those of our own */
  logged(entries: readonly Entry[]): readonly OwnEntry[] {
    return this.reports.logged(entries)
  }

  /**
   * Makes an entry of our own that is no client's, as soon as that may be.
   *
   * @param made is told when it is logged: it is applied only when it is committed
   */
  originate(
    operations: readonly OriginOperation[],
    answer: Answer,
    made: (made: Made) => void,
  ): void {
    this.#originate(
      () => operations,
      answer,
      () => this.exchange.mayWrite,
      made,
    )
  }

  /** The same for what nobody else will ever take, also while this group may not write. */
  originateForUs(operations: readonly OriginOperation[]): void {
    this.#originate(
      () => operations,
      'none',
      () => true,
      () => {},
    )
  }

  /**
   * The same for what depends on all that this group has taken of others: nothing of that is on its
   * way into the data when `operations` is called.
   */
  originateAtRest(
    operations: () => readonly OriginOperation[],
    answer: Answer,
    made: (made: Made) => void,
  ): void {
    this.#originate(operations, answer, () => this.exchange.mayWrite && this.atRest, made)
  }

  #originate(
    operations: () => readonly OriginOperation[],
    answer: Answer,
    may: () => boolean,
    made: (made: Made) => void,
  ): void {
    const { context, writer } = this.#needs
    writer.originate({
      term: context.order.term,
      answer,
      operations,
      may,
      made: (index, error) => {
        if (index === null || this.#over) made(error)
        else made({ index, head: presentHead(this.reports.own(index), index) })
      },
    })
  }

  /** Calls when everything through an index is committed, applied and told; never without leadership. */
  whenSafe(index: LogIndex, then: () => void): void {
    if (this.#through >= index) then()
    else this.#safe.push({ index, then })
  }

  wait(wait: Wait, deadline: number, done: (end: WaitEnd) => void): void {
    if (this.#over) {
      done('gone')
      return
    }
    this.step({ kind: 'wait', id: this.#waits.add(wait, deadline, done), wait })
  }

  /** The log was cut: what is no longer in it is asked of the store. */
  compacted(): void {
    this.#needs.context.submit({ kind: 'exchangeState' }, (reply) => {
      if (this.#over || reply.kind !== 'exchangeState') return
      this.#report()
      this.step({ kind: 'compacted', base: reply.state.base })
    })
  }

  /** Leadership is gone. */
  end(): void {
    this.#over = true
    this.#safe = []
    this.#waits.abandon()
  }

  #clock() {
    const { clock } = this.#needs.context.ports
    return { nowMs: clock.monotonic(), wallMs: clock.now() }
  }

  #report(): void {
    const through = this.#needs.context.order.settled
    if (through <= this.#through || this.#over) return
    this.#through = through
    const { held, applied } = this.exchange
    const { inputs, entries } = this.reports.through(through, held, applied)
    this.#serving.add(entries)
    for (const input of inputs) this.step(input)
    const ready = this.#safe.filter(({ index }) => index <= through)
    if (ready.length === 0) return
    this.#safe = this.#safe.filter(({ index }) => index > through)
    for (const { then } of ready) then()
  }

  #merge(): void {
    const { context, writer } = this.#needs
    if (this.#over) return
    const { queued, activeAt } = writer
    const { nowMs: now, wallMs } = this.#clock()
    const isAwaited = (): boolean => this.#waits.isForFinality || context.origins?.behind === true
    const operations = this.#intake.take({ now, wallMs, queued, activeAt, isAwaited })
    if (operations === null) return
    const { term } = context.order
    writer.merge({
      term,
      operations,
      made: (index) => {
        if (index === null || this.#over) return
        this.reports.merged(index, operations)
        this.whenSafe(index, () => this.#intake.done(context.now()))
      },
    })
  }

  // Orders of the exchange

  #carryOut({ store, send, mark, stable, done, alarms }: Effects): void {
    this.#intake.add(store)
    for (const { to, message } of send) {
      if (message.kind !== 'entries') this.#send(to, message)
      else {
        const { request, held } = message
        this.#serving.get(message, (entries) => {
          if (this.#over) return
          if (entries !== null) this.#send(to, { kind: 'entries', request, held, entries })
          if (request !== null) this.step({ kind: 'served', peer: to })
        })
      }
    }
    if (mark) this.#mark()
    if (stable !== null) this.#intake.stable(stable)
    for (const id of done) this.#waits.reached(id)
    for (const { alarm, on } of alarms) {
      const { kind, origin } = alarm
      const facts = { group: this.#needs.nameOf(origin), origin, on }
      this.#needs.context.emit(`origin.${kind}`, on ? 'warn' : 'info', facts)
    }
  }

  #send(to: string, message: OriginExchange): void {
    const { context, links, options } = this.#needs
    const node = links.up.get(to)
    if (node === undefined) return
    context.ports.transport.send(node, { kind: 'exchange', origin: options.self, message })
  }

  #mark(): void {
    if (this.#marking) return
    this.#marking = true
    this.originate([], 'none', () => {
      this.#marking = false
    })
  }
}

function presentHead(head: EntryHead | null, index: LogIndex): EntryHead {
  return present(head, () => `entry ${index} is not of our own`)
}

/** The core also wants to know how large an entry is, and when it begins. */
function withBytes(message: OriginExchange): ExchangeMessage {
  if (message.kind !== 'entries') return message
  const entries = message.entries.map((entry) => {
    return { ...entry, bytes: entry.body.byteLength, first: firstTimeOf(entry) }
  })
  return { ...message, entries }
}
