/**
 * What only the leader of the keeper does: it lets groups in and out, and changes rules. Each is an
 * entry of its own, which everybody applies; so whoever knows anything that came after knows it too.
 */
import type { ErrorData } from '../../base/errors.ts'
import type { Prng } from '../../base/prng.ts'
import { type Frontier, join, NOTHING } from '../../core/order/clock/frontier.ts'
import {
  type Cluster,
  type ClusterOrigin,
  ID_SLOTS,
  type OriginOperation,
  type RuleChange,
} from '../../model/origin-entry.ts'
import type { AdminCommand, GroupAdmission } from '../../model/request.ts'
import type { OriginsState } from '../../store/types.ts'
import { GROUP_NAME } from '../options.ts'
import type { Barrier } from './barrier.ts'
import type { Exchanging } from './exchanging.ts'
import { withFrozen } from './freezing.ts'
import type { OwnEntry } from './reports.ts'
import { Zoning } from './zoning.ts'

export type Answer<T> = (answer: { readonly value: T } | ErrorData) => void

/** A rule as it is now, for whoever has seen so much. */
interface RuleSet extends RuleChange {
  readonly seen: readonly (readonly [origin: string, sequence: number])[]
}

type Command<Kind> = Extract<AdminCommand, { readonly kind: Kind }>

interface KeeperNeeds {
  readonly exchanging: Exchanging
  readonly prng: Prng
  state(): OriginsState
  /** Null after a take-over, until the keeper before is removed: nothing else may be changed. */
  barrier(): Barrier | null
  /** Asks the leader of an origin what it holds, once it knows the cluster as of an epoch. */
  askAtRest(origin: string, epoch: number, done: (held: Frontier | null) => void): void
  /** The same of this group; null: not yet. */
  atRest(epoch: number): Frontier | null
  emit(name: string, facts: Readonly<Record<string, string | number>>): void
}

interface Removal {
  readonly origin: string
  readonly deadline: number
  readonly done: Answer<Cluster>
}

/** Another group is to keep. */
interface Move {
  readonly group: string
  readonly deadline: number
  readonly done: Answer<Cluster>
}

/** `failed`: it will not be run any more. */
interface Task {
  readonly run: () => void
  readonly failed: Answer<never>
}

/** What groups said that they hold, as of an epoch. */
interface Inquiry {
  readonly epoch: number
  readonly held: Map<string, Frontier>
  readonly asked: Set<string>
}

export class Keeper {
  readonly #needs: KeeperNeeds
  /** Changes of the cluster, one after the other: each begins with what the one before made of it. */
  #tasks: Task[] = []
  #busy = false
  #removals: Removal[] = []
  #moves: Move[] = []
  readonly #zoning: Zoning
  #inquiry: Inquiry | null = null
  #ended = false

  constructor(needs: KeeperNeeds) {
    this.#needs = needs
    this.#zoning = new Zoning({
      exchange: needs.exchanging.exchange,
      cluster: () => this.#cluster,
      find: (group) => this.#find(group),
      whyBusy: () => this.#whyBusy,
      change: (cluster, done) => this.#changeZone(cluster, done),
      unknown: unknownGroup,
    })
  }

  /** Lets a group in, or tells about it if it is in. */
  joinGroup({ group, node, zone }: Command<'joinGroup'>, done: Answer<GroupAdmission>): void {
    const refusal = whyNotCalled('group', group) ?? whyNotCalled('zone', zone ?? null)
    if (refusal !== null) {
      done(refusal)
      return
    }
    this.#task(done, () => {
      const known = this.#find(group)
      if (known === null && this.#needs.barrier() === null) {
        this.#finish(() => done({ code: 'GROUP_CHANGE_BUSY', detail: this.#whyPending }))
        return
      }
      if (known?.standing.kind === 'frozen') {
        const detail = `Group ${group} is being removed.`
        this.#finish(() => done({ code: 'GROUP_CHANGE_BUSY', detail }))
        return
      }
      if (known !== null) {
        this.#finish(() => done({ value: this.#admission(known.origin) }))
        return
      }
      const { epoch, origins } = this.#cluster
      if (origins.length >= ID_SLOTS) {
        const detail = `${origins.length} groups have been part of the cluster, which is the most.`
        this.#finish(() => done({ code: 'BAD_REQUEST', detail }))
        return
      }
      const origin = `${group}-${this.#suffix()}`
      const standing = { kind: 'writes', since: epoch + 1 } as const
      const slot = origins.reduce((most, each) => Math.max(most, each.slot), -1) + 1
      const added: ClusterOrigin = {
        ...{ origin, name: group, founder: node, slot, standing },
        ...(zone === undefined ? {} : { zone }),
      }
      this.#change(
        { ...this.#cluster, epoch: epoch + 1, origins: [...origins, added] },
        (error) => {
          if (error !== null) {
            done(error)
            return
          }
          this.#needs.emit('group.added', { group, origin })
          done({ value: this.#admission(origin) })
        },
      )
    })
  }

  /** Removes a group for good: frozen first, then removed when all that stay have said what they hold. */
  removeGroup(group: string, deadline: number, done: Answer<Cluster>): void {
    this.#task(done, () => {
      const known = this.#find(group)
      const refuse = (error: ErrorData): void => this.#finish(() => done(error))
      if (known === null) {
        refuse(unknownGroup(group))
      } else if (known.origin === this.#cluster.keeper) {
        const detail = `Group ${group} orders changes of schema, rules and groups.`
        refuse({ code: 'KEEPER_NEEDED', detail })
      } else if (known.standing.kind === 'frozen') {
        this.#finish(() => this.#removals.push({ origin: known.origin, deadline, done }))
      } else {
        const { exchange } = this.#needs.exchanging
        this.#change(withFrozen(this.#cluster, known.origin, exchange), (error) => {
          if (error !== null) {
            done(error)
            return
          }
          this.#needs.emit('group.frozen', { group, origin: known.origin })
          this.#removals.push({ origin: known.origin, deadline, done })
        })
      }
    })
  }

  /** A group is in another zone from now on, once every group knows of the change before. */
  setZone({ group, zone }: Command<'setZone'>, deadline: number, done: Answer<Cluster>): void {
    const refusal = whyNotCalled('zone', zone)
    if (refusal === null) this.#zoning.add({ group, zone, deadline, done })
    else done(refusal)
  }

  /** Answers when an origin that is frozen already is removed. */
  whenRemoved(origin: string, deadline: number, done: Answer<Cluster>): void {
    this.#removals.push({ origin, deadline, done })
  }

  /** Another group keeps from now on, once nothing else is under way; nothing to do if it does already. */
  moveKeeper(group: string, deadline: number, done: Answer<Cluster>): void {
    this.#moves.push({ group, deadline, done })
  }

  setRule(rule: RuleChange, done: Answer<RuleSet>): void {
    const barrier = this.#needs.barrier()
    if (barrier === null) {
      done({ code: 'SCHEMA_CHANGE_PENDING', detail: this.#whyPending })
      return
    }
    barrier.request({
      failed: done,
      open: (free) => {
        this.#originate([{ kind: 'rule', rule }], (made) => {
          free()
          if ('code' in made) done(made)
          else done({ value: { ...rule, seen: [[made.head.origin, made.head.sequence]] } })
        })
      },
    })
  }

  /** Looks whether those who are frozen can be removed. */
  tick(now: number): void {
    this.#answerRemovals(now)
    this.#move(now)
    this.#zoning.tick(now)
    const { epoch, origins } = this.#cluster
    if (!origins.some(({ standing }) => standing.kind === 'frozen')) return
    if (this.#inquiry?.epoch !== epoch) {
      this.#inquiry = { epoch, held: new Map(), asked: new Set() }
    }
    this.#inquire(this.#inquiry)
  }

  /** This node does not lead the keeper any more. */
  end(): void {
    this.#ended = true
    const gone: ErrorData = {
      code: 'GROUP_CHANGE_BUSY',
      detail: 'The leader of the keeper has changed.',
    }
    for (const { failed } of this.#tasks.splice(0)) failed(gone)
    for (const { done } of this.#moves.splice(0)) done(gone)
    this.#zoning.end(gone)
    for (const { done } of this.#removals.splice(0)) done({ ...gone, code: 'UNKNOWN_OUTCOME' })
  }

  get #cluster(): Cluster {
    return this.#needs.state().cluster
  }

  #find(group: string): ClusterOrigin | null {
    // The last of that name: one that had it before may be frozen again (withFrozen).
    const found = this.#cluster.origins.findLast(({ name, standing }) => {
      return name === group && standing.kind !== 'removed'
    })
    return found ?? null
  }

  #admission(origin: string): GroupAdmission {
    const { cluster, nodes } = this.#needs.state()
    return { origin, cluster, nodes: nodes.get(origin) ?? [] }
  }

  #suffix(): string {
    return this.#needs.prng
      .intInclusive(0, 36 ** 6 - 1)
      .toString(36)
      .padStart(6, '0')
  }

  // One after the other

  #task(failed: Task['failed'], run: () => void): void {
    this.#tasks.push({ run, failed })
    this.#next()
  }

  #next(): void {
    if (this.#busy || this.#ended) return
    const task = this.#tasks.shift()
    if (task === undefined) return
    this.#busy = true
    task.run()
  }

  #finish(then: () => void): void {
    then()
    this.#busy = false
    this.#next()
  }

  #change(cluster: Cluster, then: (error: ErrorData | null) => void): void {
    this.#originate([{ kind: 'cluster', cluster }], (made) => {
      const failed = 'code' in made ? made : null
      const isOurs = this.#cluster.epoch === cluster.epoch
      this.#finish(() => then(failed ?? (isOurs ? null : OUTVOTED)))
    })
  }

  /** Calls when what was originated is applied here, or will not be. */
  #originate(
    operations: readonly OriginOperation[],
    then: (made: OwnEntry | ErrorData) => void,
  ): void {
    const { exchanging } = this.#needs
    const lost: ErrorData = {
      code: 'UNKNOWN_OUTCOME',
      detail: 'The leader of the keeper has changed.',
    }
    exchanging.originate(operations, 'now', (made) => {
      if (made === null) then(lost)
      else if ('code' in made) then(made)
      else exchanging.whenSafe(made.index, () => then(made))
    })
  }

  // Another keeper

  #move(now: number): void {
    const [move] = this.#moves
    if (move === undefined) return
    const { group, deadline, done } = move
    const known = this.#find(group)
    if (known?.origin === this.#cluster.keeper) {
      this.#moves.shift()
      done({ value: this.#cluster })
      return
    }
    const refusal = this.#whyNotMove(group, known)
    const barrier = this.#needs.barrier()
    const isFree = !this.#busy && this.#tasks.length === 0 && barrier?.isIdle === true
    if (refusal === null && known !== null && isFree && !this.#isAnyFrozen) {
      this.#moves.shift()
      this.#handOn(known.origin, barrier, done)
    } else if (refusal !== null || deadline <= now) {
      this.#moves.shift()
      const detail = 'Another change of the groups, the schema or the rules did not end in time.'
      done(refusal ?? { code: 'GROUP_CHANGE_BUSY', detail })
    }
  }

  #whyNotMove(group: string, known: ClusterOrigin | null): ErrorData | null {
    if (known === null) return unknownGroup(group)
    if (this.#needs.exchanging.isLinked(known.origin)) return null
    return { code: 'TAKEOVER_UNSAFE', detail: `Group ${group} is not in contact.` }
  }

  #handOn(keeper: string, barrier: Barrier, done: Answer<Cluster>): void {
    barrier.pause(true)
    this.#task(done, () => {
      const cluster = { ...this.#cluster, epoch: this.#cluster.epoch + 1, keeper }
      this.#change(cluster, (error) => {
        if (error !== null) barrier.pause(false)
        done(error ?? { value: cluster })
      })
    })
  }

  // Zones

  #changeZone(cluster: Cluster, done: Answer<Cluster>): void {
    this.#task(done, () => {
      this.#change(cluster, (error) => {
        if (error === null) this.#needs.emit('group.zoned', { epoch: cluster.epoch })
        done(error ?? { value: cluster })
      })
    })
  }

  get #whyBusy(): string | null {
    if (this.#needs.barrier() === null) return this.#whyPending
    const isBusy = this.#busy || this.#tasks.length > 0
    return isBusy ? 'Another change of the groups did not end in time.' : null
  }

  get #isAnyFrozen(): boolean {
    return this.#cluster.origins.some(({ standing }) => standing.kind === 'frozen')
  }

  get #whyPending(): string {
    const taken = this.#cluster.takenFrom?.at(-1)
    const from = this.#cluster.origins.find(({ origin }) => origin === taken)
    return `The group that kept schema, rules and groups before, ${from?.name}, is being removed.`
  }

  // Removal

  /** How many groups must have agreed. */
  get #agreeing(): number {
    return this.#needs.barrier() === null ? (this.#cluster.agreeing ?? 1) : 1
  }

  get #staying(): readonly string[] {
    return this.#cluster.origins
      .filter(({ standing }) => standing.kind === 'writes')
      .map(({ origin }) => origin)
  }

  get #present(): readonly string[] {
    return this.#cluster.origins
      .filter(({ standing }) => standing.kind !== 'removed')
      .map(({ origin }) => origin)
  }

  #inquire(inquiry: Inquiry): void {
    const { self } = this.#needs.state()
    const { epoch, held, asked } = inquiry
    // Those who leave need not answer, and may agree as well.
    for (const origin of this.#agreeing > 1 ? this.#present : this.#staying) {
      if (held.has(origin) || asked.has(origin)) continue
      if (origin === self) {
        const own = this.#needs.atRest(epoch)
        if (own !== null) held.set(origin, own)
        continue
      }
      asked.add(origin)
      this.#needs.askAtRest(origin, epoch, (told) => {
        asked.delete(origin)
        if (told !== null) held.set(origin, told)
      })
    }
    if (this.#staying.some((origin) => !held.has(origin)) || this.#busy) return
    if (held.size < this.#agreeing) return
    this.#task(
      () => {},
      () => this.#remove(inquiry),
    )
  }

  /** The last entry of each that counts is the highest that anyone who stays holds. */
  #remove({ epoch, held }: Inquiry): void {
    const cluster = this.#cluster
    const staying = this.#staying
    if (cluster.epoch !== epoch) {
      this.#finish(() => {})
      return
    }
    const each = staying.map((origin) => held.get(origin) ?? NOTHING)
    const floor = each.reduce(join, NOTHING)
    const origins = cluster.origins.map((each): ClusterOrigin => {
      if (each.standing.kind !== 'frozen') return each
      return { ...each, standing: { kind: 'removed', last: floor.get(each.origin) ?? 0 } }
    })
    // Should it fail, the next tick begins anew.
    this.#change({ ...cluster, epoch: epoch + 1, floor, origins }, () => {})
  }

  #answerRemovals(now: number): void {
    if (this.#removals.length === 0) return
    const { origins } = this.#cluster
    const removals = this.#removals
    this.#removals = []
    for (const removal of removals) {
      const { origin, deadline, done } = removal
      const known = origins.find((each) => each.origin === origin)
      if (known?.standing.kind === 'removed') done({ value: this.#cluster })
      else if (deadline > now) this.#removals.push(removal)
      else done({ code: 'UNKNOWN_OUTCOME', detail: this.#whyNotRemoved(known?.name ?? origin) })
    }
  }

  #whyNotRemoved(group: string): string {
    const { origins } = this.#cluster
    const missing = origins
      .filter(({ origin, standing }) => {
        return standing.kind === 'writes' && !this.#inquiry?.held.has(origin)
      })
      .map(({ name }) => name)
    if (missing.length === 0) {
      return `Group ${group} is frozen, and will be removed when ${this.#agreeing} groups agree.`
    }
    return `Group ${group} is frozen, and will be removed when ${missing.join(', ')} can be asked.`
  }
}

function unknownGroup(group: string): ErrorData {
  return { code: 'GROUP_UNKNOWN', detail: `No group is called ${group}.` }
}

/** Null: it is a name that a group or a zone can have, or there is none. */
function whyNotCalled(what: 'group' | 'zone', name: string | null): ErrorData | null {
  if (name === null || GROUP_NAME.test(name)) return null
  return { code: 'BAD_REQUEST', detail: `${name} is not a name that a ${what} can have.` }
}

const OUTVOTED: ErrorData = {
  code: 'UNKNOWN_OUTCOME',
  detail: 'Another group has taken over meanwhile.',
}
