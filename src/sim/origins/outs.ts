/**
 * Groups of a world that were removed, as people look after them: whether one knows it, what it keeps
 * of what it had not shipped, and when nobody tells it any more.
 */
import { holds } from '../../core/order/clock/frontier.ts'
import type { EntryChecker } from './entries.ts'
import type { Incarnation } from './incarnation.ts'
import { keptAt, leftAt, type Unshipped } from './leaving.ts'
import { isOut, lastIn, writersOf } from './membership.ts'

/** What of the world it takes. */
interface Outside {
  readonly schedule: { readonly now: number }
  readonly entries: EntryChecker
  note(who: string, what: string): void
  end(group: Incarnation): void
  /** It went on by itself although others had removed it. */
  givenUp(group: Incarnation): void
  /** These writes were told to people as not shipped. */
  reported(names: readonly string[]): void
}

/** Who has not met anybody for so long will not. */
const LONELY_US = 10_000_000

export class Outs {
  readonly #world: Outside
  /** Those whose lost work was looked at. */
  readonly #kept = new Map<Incarnation, Unshipped | null>()

  constructor(world: Outside) {
    this.#world = world
  }

  /** Whether it knows that it is out, and how much of it counts. */
  knows({ origin, group }: Incarnation): boolean {
    const { entries } = this.#world
    const { membership } = entries
    // As much of it counts as it knows, which may have been more before.
    const last = lastIn(entries.clusterOf(origin), origin)
    if (last === membership.lastOf(origin)) return isOut(membership.latest, origin)
    // One that nobody knew of who took over has nothing of its own, and can't log what it heard.
    const isUnknown = !membership.latest.origins.some((each) => each.origin === origin)
    return isUnknown && group.leader()?.driver?.origins?.isRemoved === true
  }

  /** All have what counts of it, and the rest was looked at: it may go. */
  isDone(out: Incarnation): boolean {
    return this.#isHeldByAll(out) && this.#look(out)
  }

  /** What it had not shipped, once that was looked at; null: nothing. */
  keptBy(out: Incarnation): Unshipped | null {
    return this.#kept.get(out) ?? null
  }

  /**
   * Nobody is there any more whom it could ask; it is not told of its removal by itself then.
   *
   * @param agreedAt the last time that the groups did not agree, virtual µs
   */
  isOnItsOwn(out: Incarnation, agreedAt: number): boolean {
    if (this.knows(out) || this.#world.schedule.now < agreedAt + LONELY_US) return false
    const links = out.group.leader()?.driver?.origins?.links.up
    const members = writersOf(this.#world.entries.membership.latest)
    return links !== undefined && ![...links.keys()].some((origin) => members.includes(origin))
  }

  giveUp(out: Incarnation): void {
    const { entries, note, reported, givenUp, end } = this.#world
    note('people', `${out.label} is given up`)
    givenUp(out)
    reported(leftAt(out.group, entries.unshipped(out.origin)).names)
    end(out)
  }

  /** Notes what it has kept, once it is at rest. */
  #look(out: Incarnation): boolean {
    if (this.#kept.has(out)) return true
    const leader = out.group.leader()
    if (leader === null || !out.group.caughtUp()) return false
    const { entries, reported } = this.#world
    const unshipped = keptAt(leader, entries.unshipped(out.origin))
    this.#kept.set(out, unshipped)
    if (unshipped !== null) reported(unshipped.names)
    return true
  }

  /** Until then less of it may count in the end, if the only one to hold it is removed as well. */
  #isHeldByAll({ origin }: Incarnation): boolean {
    const { entries } = this.#world
    const { latest } = entries.membership
    const last = entries.membership.lastOf(origin)
    return writersOf(latest).every((member) => holds(entries.heldBy(member), origin, last))
  }
}

/** Whether a group says that it and others have removed each other. */
export function saysSplit({ group }: Incarnation): boolean {
  const split = group.leader()?.driver?.origins?.leading?.office.splitFrom
  return split !== undefined && split.size > 0
}
