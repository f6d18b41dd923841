/**
 * What people do to the groups of a world while it runs: they let groups in, remove them, have another
 * one keep or take over, start again what died, and have what was removed join anew and hand in what
 * it had not shipped. Healed, they go on until the groups agree on who is one of them.
 */
import type { Prng } from '../../base/prng.ts'
import type { Edge } from '../../core/order/clock/exchange/test-graphs.ts'
import type { AdminCommand } from '../../model/request.ts'
import type { SimNetwork } from '../network.ts'
import { type Asking, ask, doorOf } from './admin.ts'
import type { EntryChecker } from './entries.ts'
import type { Graph } from './graph.ts'
import type { Incarnation } from './incarnation.ts'
import { handIn, type Unshipped } from './leaving.ts'
import { isOut, writersOf } from './membership.ts'
import { Outs, saysSplit } from './outs.ts'
import { type OriginsProfile, PEOPLE_ACTS, type PeopleAct } from './profile.ts'

/** The world as people may change it. */
export interface Realm extends Asking {
  readonly profile: OriginsProfile
  readonly network: SimNetwork
  readonly entries: EntryChecker
  readonly incarnations: readonly Incarnation[]
  readonly graph: Graph
  /** Its nodes read anew what they are told. */
  restart(group: Incarnation): void
  /** Has a group join, under a name that none has or had, or under one of those. */
  enter(called: string | null, done: (joined: Incarnation) => void): void
  /** All nodes of a group go down, until `arise`. */
  fall(group: Incarnation): void
  arise(group: Incarnation): void
  /** Its nodes are never started again. */
  end(group: Incarnation): void
  /** Let in, and lost before they had a file. */
  readonly unfounded: ReadonlySet<string>
  /** It went on by itself although others had removed it. */
  givenUp(group: Incarnation): void
  /** These writes were told to people as not shipped. */
  reported(names: readonly string[]): void
}

const PATIENCE_MS = 6_000
/** So long both sides of a cut have to remove each other. */
const APART_US = 15_000_000
/** A take-over asks those who are away first. */
const SOME_US = 3_000_000
/** A group that is cut off goes on for so long before it is removed or replaced. */
const ALONE_US = 3_500_000
/** So many groups at once are enough. */
const GROUPS_MAX = 6
const ENTERINGS_MAX = 4
/** How often people look whether all is settled. */
const LOOK_US = 1_000_000
/** When nothing gets on for so long, machines that were given up are started again, µs. */
const DESPAIR_US = 25_000_000

export class People {
  readonly counts = {
    joined: 0,
    removed: 0,
    moved: 0,
    takenOver: 0,
    returned: 0,
    handedIn: 0,
    rewired: 0,
    parted: 0,
    split: 0,
  }
  readonly #realm: Realm
  readonly #prng: Prng
  #stopped = false
  #entering = 0
  #entered = 0
  #handing = 0
  /** Asked, and not answered yet. */
  #asked = 0
  /** Until then two sides are apart. */
  #partedTo = 0
  /** The last time that the groups did not agree. */
  #agreedAt = 0
  readonly #outs: Outs

  constructor(realm: Realm, prng: Prng) {
    this.#realm = realm
    this.#prng = prng
    this.#outs = new Outs(realm)
    if (realm.profile.peopleEveryUs > 0) this.#plan()
  }

  stop(): void {
    this.#stopped = true
  }

  #plan(): void {
    const { schedule, life, profile } = this.#realm
    schedule.after(this.#prng.intInclusive(1_000, 2 * profile.peopleEveryUs), life, () => {
      if (this.#stopped) return
      const { people } = profile
      const weighted = PEOPLE_ACTS.flatMap((act) => Array<PeopleAct>(people[act]).fill(act))
      this.#act(this.#prng.pick(weighted))
      this.#plan()
    })
  }

  #act(act: PeopleAct): void {
    this.#realm.note('people', act)
    switch (act) {
      case 'join':
        this.#join()
        return
      case 'remove':
        this.#remove()
        return
      case 'lose':
        this.#lose()
        return
      case 'moveKeeper':
        this.#moveKeeper()
        return
      case 'takeOver':
        this.#takeOver()
        return
      case 'revive': {
        const [gone] = this.#in('gone')
        if (gone !== undefined) this.#realm.arise(gone)
        return
      }
      case 'return': {
        const out = this.#in('here').find((each) => this.#outs.knows(each))
        if (out !== undefined) this.#return(out)
        return
      }
      case 'rewire':
        this.#rewire()
        return
      case 'partForGood':
        this.#partForGood()
    }
  }

  // Coming

  #join(): void {
    const groups = this.#in('here').length + this.#in('gone').length + this.#entering
    if (groups < GROUPS_MAX) this.#enter(null, () => {})
  }

  #enter(called: string | null, then: (joined: Incarnation) => void): void {
    if (this.#entered >= ENTERINGS_MAX) return
    this.#entering += 1
    this.#entered += 1
    this.#realm.enter(called, (joined) => {
      this.#entering -= 1
      this.counts.joined += 1
      then(joined)
    })
  }

  /** It joins anew, with what was not shipped. */
  #return(out: Incarnation): void {
    if (this.#in('here').length === 1 || !this.#outs.isDone(out)) return
    const unshipped = this.#outs.keptBy(out)
    this.#realm.end(out)
    this.counts.returned += 1
    this.#enter(this.#prng.percent(50) ? out.called : null, (joined) => {
      if (unshipped !== null) this.#handIn(unshipped, joined)
    })
  }

  /** When the group writes. */
  #handIn(unshipped: Unshipped, joined: Incarnation): void {
    const { schedule, life, note } = this.#realm
    this.#handing += 1
    const attempt = (): void => {
      const leader = joined.group.leader()
      if (joined.state === 'over' || this.#outs.knows(joined)) this.#handing -= 1
      else if (leader?.driver?.origins?.mayRun !== true) schedule.after(200_000, life, attempt)
      else {
        note('people', `hand in ${unshipped.names} at ${leader.name}`)
        this.counts.handedIn += unshipped.lost.entries.length
        handIn(this.#realm, unshipped, leader, () => {
          this.#handing -= 1
        })
      }
    }
    attempt()
  }

  /** @returns whether that was necessary */
  #rewire(): boolean {
    const { graph, restart } = this.#realm
    const here = new Map(this.#in('here').map((each) => [each.called, each]))
    const canMeet = (...edge: Edge): boolean => {
      const [one, other] = edge.map((name) => here.get(name))
      return one !== undefined && other !== undefined && (knows(one, other) || knows(other, one))
    }
    // Who is on its way out takes nothing more, and so hands nothing on.
    const members = this.#members('here').map(({ called }) => called)
    const outs = [...here.keys()].filter((called) => !members.includes(called))
    const gap = graph.gap(members, outs, canMeet, this.#prng)
    if (gap === null) return false
    this.#realm.note('people', `${gap.join(' and ')} are to exchange`)
    graph.join(gap)
    for (const [name, each] of here) if (gap.includes(name)) restart(each)
    this.counts.rewired += 1
    return true
  }

  // Going

  #remove(): void {
    const victim = this.#victim()
    if (victim === null) return
    if (this.#prng.percent(60)) this.#isolate(victim)
    this.#later(this.#prng.intInclusive(1_000, 1_500_000), () => this.#askToRemove(victim))
  }

  #lose(): void {
    const victim = this.#victim()
    if (victim === null) return
    if (this.#prng.percent(50)) this.#isolate(victim)
    this.#later(this.#prng.intInclusive(1_000, 500_000), () => {
      this.#fall(victim)
      this.#later(this.#prng.intInclusive(1_000, 1_000_000), () => this.#askToRemove(victim))
    })
  }

  #askToRemove(victim: Incarnation): void {
    const others = this.#members('here').filter((each) => each !== victim && !this.#isAstray(each))
    if (others.length === 0) return
    const command = { kind: 'removeGroup', group: victim.called } as const
    this.#ask(this.#prng.pick(others), command, () => {
      this.counts.removed += 1
    })
  }

  /** One that writes and does not keep. */
  #victim(): Incarnation | null {
    const { keeper } = this.#realm.entries.membership.latest
    const members = this.#members('here')
    const victims = members.filter(({ origin }) => origin !== keeper)
    // The last two may part as well, but not always.
    const isFew = members.length <= 2 && this.#prng.percent(60)
    return isFew || victims.length === 0 ? null : this.#prng.pick(victims)
  }

  #isolate(group: Incarnation): void {
    const others = this.#realm.incarnations.filter((other) => other !== group)
    this.#part([group], others)
  }

  /** No message between some and others. */
  #part(some: readonly Incarnation[], others: readonly Incarnation[]): void {
    const { network } = this.#realm
    const noticed = this.#prng.percent(60)
    const nodesOf = (groups: readonly Incarnation[]) => groups.flatMap(({ group }) => group.nodes)
    for (const { id: here } of nodesOf(some)) {
      for (const { id: there } of nodesOf(others)) {
        network.cut(here, there, noticed)
        network.cut(there, here, noticed)
      }
    }
  }

  /** Not the last one: nobody could do anything then. */
  #fall(victim: Incarnation): void {
    if (victim.state === 'here' && this.#in('here').length > 1) this.#realm.fall(victim)
  }

  // Keeping

  #moveKeeper(): void {
    const members = this.#members('here')
    if (members.length === 0) return
    const { called } = this.#prng.pick(members)
    const command = { kind: 'moveKeeper', group: called, force: false, alone: false } as const
    this.#ask(this.#prng.pick(members), command, () => {
      this.counts.moved += 1
    })
  }

  #takeOver(): void {
    const { keeper } = this.#realm.entries.membership.latest
    const old = this.#members('here').find(({ origin }) => origin === keeper)
    const others = this.#members('here').filter(({ origin }) => origin !== keeper)
    if (old === undefined || others.length === 0) return
    const dies = others.length === 1 || this.#prng.percent(50)
    const rivals = this.#prng.percent(25) ? 2 : 1
    this.#isolate(old)
    this.#later(ALONE_US + this.#prng.intInclusive(0, 1_000_000), () => {
      if (dies) this.#fall(old)
      for (let i = 0; i < rivals; i += 1) {
        this.#later(this.#prng.intInclusive(1_000, 50_000), () => {
          this.#askToTakeOver(this.#prng.pick(others))
        })
      }
    })
  }

  /** Each side takes the other for gone: that of the keeper removes it, in the other one takes over. */
  #partForGood(): void {
    const { keeper } = this.#realm.entries.membership.latest
    const members = this.#members('here')
    const there = members.filter(({ origin }) => origin !== keeper && this.#prng.percent(50))
    const here = members.filter((each) => !there.includes(each))
    const [heir] = there
    if (this.#realm.schedule.now < this.#partedTo || heir === undefined) return
    if (!here.some(({ origin }) => origin === keeper)) return
    this.#partedTo = this.#realm.schedule.now + APART_US
    this.counts.parted += 1
    this.#part(here, there)
    const removeAll = (gone: readonly Incarnation[], by: readonly Incarnation[]): void => {
      for (const { called } of gone) {
        this.#ask(this.#prng.pick(by), { kind: 'removeGroup', group: called }, () => {})
      }
    }
    this.#later(ALONE_US, () => {
      removeAll(there, here)
      const command = { kind: 'moveKeeper', group: heir.called, force: true, alone: true } as const
      this.#ask(heir, command, () => {})
      const old = here.filter(({ origin }) => origin !== keeper)
      this.#later(SOME_US, () => removeAll(old, there))
    })
  }

  #askToTakeOver(group: Incarnation): void {
    // Where each side has removed the other people would have to choose one.
    if (!this.#isMember(group.origin)) return
    const alone = this.#isAlone()
    const command = { kind: 'moveKeeper', group: group.called, force: true, alone } as const
    this.#ask(group, command, () => {
      this.counts.takenOver += 1
    })
  }

  /** All who are not here are gone, and most who write are among them. */
  #isAlone(): boolean {
    const writers = writersOf(this.#realm.entries.membership.latest)
    return this.#members('here').length * 2 <= writers.length && this.#in('gone').length > 0
  }

  // In the end

  /**
   * Whether the groups agree on who is one of them, and all who are not know it and have been looked
   * at; until then people do what is to be done.
   */
  settles(): () => boolean {
    const { schedule, profile } = this.#realm
    const began = schedule.now
    for (const gone of this.#in('gone')) {
      if (!this.#prng.percent(profile.goneForGoodPercent)) this.#realm.arise(gone)
    }
    let look = 0
    return () => {
      if (schedule.now < look) return false
      look = schedule.now + LOOK_US
      if (this.#rewire() || this.#asked > 0) return false
      const isAgreed = this.#entering + this.#handing === 0 && this.#areAgreed()
      if (isAgreed) return this.#allCameBack() && this.#allOutsAreLookedAt()
      this.#agreedAt = schedule.now
      if (schedule.now > began + DESPAIR_US) this.#allCameBack()
      else this.#mend()
      return false
    }
  }

  /** M3: all members know the same members, all of them are there, and nobody is on its way out. */
  #areAgreed(): boolean {
    const { entries } = this.#realm
    const { latest } = entries.membership
    const here = this.#members('here').map(({ origin }) => origin)
    const writers = writersOf(latest)
    if (!writers.includes(latest.keeper)) return false
    if (latest.origins.some(({ standing }) => standing.kind === 'frozen')) return false
    if (writers.some((origin) => !here.includes(origin))) return false
    return here.every((origin) => entries.clusterOf(origin).epoch === latest.epoch)
  }

  /** Those who are gone find themselves removed when they come back. */
  #allCameBack(): boolean {
    const gone = this.#in('gone')
    for (const each of gone) this.#realm.arise(each)
    return gone.length === 0
  }

  #allOutsAreLookedAt(): boolean {
    const outs = this.#in('here').filter(({ origin }) => !this.#isMember(origin))
    for (const out of outs) {
      const isSplit = saysSplit(out)
      if (isSplit) this.counts.split += 1
      if (isSplit || this.#outs.isOnItsOwn(out, this.#agreedAt)) this.#outs.giveUp(out)
      if (!this.#outs.knows(out) || !this.#outs.isDone(out)) continue
      if (this.#prng.percent(50)) this.#return(out)
      else this.#realm.end(out)
    }
    return outs.length === 0
  }

  /** What somebody who looks at the groups would do next. */
  #mend(): void {
    const { latest } = this.#realm.entries.membership
    const here = this.#members('here')
    if (here.length === 0) return
    const isHere = (origin: string): boolean => here.some((each) => each.origin === origin)
    if (!isHere(latest.keeper)) {
      this.#askToTakeOver(this.#prng.pick(here))
      return
    }
    const missing = this.#realm.incarnations.find(({ origin, state }) => {
      return state !== 'here' && writersOf(latest).includes(origin)
    })
    const astray = here.find((each) => this.#isAstray(each))
    const gone = missing ?? astray
    if (gone !== undefined) this.#askToRemove(gone)
    else this.#removeUnfounded()
  }

  /** It went by the other side of a split, which removed it. */
  #isAstray({ origin }: Incarnation): boolean {
    return isOut(this.#realm.entries.clusterOf(origin), origin)
  }

  /** One whose founder was lost. */
  #removeUnfounded(): void {
    const { unfounded, entries } = this.#realm
    const { origins } = entries.membership.latest
    const lost = origins.find(({ origin, standing }) => {
      return standing.kind === 'writes' && unfounded.has(origin)
    })
    const [one] = this.#members('here')
    if (lost === undefined || one === undefined) return
    this.#ask(one, { kind: 'removeGroup', group: lost.name }, () => {})
  }

  #isMember(origin: string): boolean {
    const { latest } = this.#realm.entries.membership
    return writersOf(latest).includes(origin)
  }

  // Whom there is

  #in(state: Incarnation['state']): readonly Incarnation[] {
    return this.#realm.incarnations.filter((each) => each.state === state)
  }

  /** Of the latest version of the cluster. */
  #members(state: Incarnation['state']): readonly Incarnation[] {
    return this.#in(state).filter(({ origin }) => this.#isMember(origin))
  }

  #ask({ group }: Incarnation, command: AdminCommand, done: () => void): void {
    this.#asked += 1
    ask(this.#realm, doorOf(group), command, PATIENCE_MS, (reply) => {
      this.#asked -= 1
      if (reply?.kind === 'admin') done()
    })
  }

  #later(us: number, then: () => void): void {
    const { schedule, life } = this.#realm
    schedule.after(us, life, () => {
      if (!this.#stopped) then()
    })
  }
}

/** Whether the nodes of a group know where those of another are. */
function knows({ group }: Incarnation, { group: { nodes } }: Incarnation): boolean {
  const foreign = group.leader()?.driver?.origins?.foreignNodes
  // It is not to be told of anybody while nobody leads it.
  return foreign === undefined || foreign.some(({ id }) => nodes.some((node) => node.id === id))
}
