/**
 * Taking over from a keeper that is gone. The group that is to keep makes a version of the cluster in
 * which it does and the old keeper is frozen (cluster-order.ts), and then removes the old one as
 * any group is removed. Until that is done it changes nothing else.
 *
 * Why that is safe: it ends only with the word of *all* who stay, and of more than half of all that
 * wrote before, each given at rest and at exactly the version that asks for it (`atRest`); and a
 * version is made only of what is in the data (originateAtRest). So
 * - of two that take over at once one ends at most: some group would have to be at the version of
 *   both. It may go on from the earlier one to the later one, but not once the earlier one has
 *   ended: then the later one's maker had given its word for the earlier one, and so takes over
 *   from the new keeper, not from the old; or it is removed, and nobody takes its version.
 * - what the old keeper still changed counts if anybody who stays has it, and is here before the new
 *   one changes the schema; else it counts for nobody, and its own group learns that it was removed.
 * - a group that it let in and that this version leaves out has never written: it would have waited
 *   until every writer knew it, this one among them.
 *
 * Whoever has frozen the one that takes over, because a person removed it on the other side of a cut,
 * takes nothing of it and so would never learn how that ended: it asks (`heardOfRemoval`).
 *
 * That most groups do not hear the old keeper either is asked before only to spare people from
 * removing one that lives. Nobody has to remember that answer: the word counts that is given later.
 */
import type { ErrorData } from '../../base/errors.ts'
import { isSettled, supersedes, takeoverEpoch } from '../../model/cluster-order.ts'
import type { Cluster } from '../../model/origin-entry.ts'
import type { OriginsState } from '../../store/types.ts'
import type { Exchanging } from './exchanging.ts'
import { withFrozen } from './freezing.ts'

/** What the leader of another group says of the keeper. */
export interface Sight {
  /** As it knows it. */
  readonly cluster: Cluster
  readonly linked: boolean
}

export interface SuccessionNeeds {
  readonly exchanging: Exchanging
  state(): OriginsState
  nameOf(origin: string): string
  /** Asks the leader of an origin's group whether it is in contact with another's; null: no answer. */
  ask(origin: string, about: string, done: (sight: Sight | null) => void): void
}

/** Null: it was done, and the old keeper is frozen. */
type Done = (error: ErrorData | null) => void

/**
 * Makes this group the keeper, if the one that is seems to be gone.
 *
 * @param alone though most groups can't be asked
 */
export function takeOver(needs: SuccessionNeeds, alone: boolean, done: Done): void {
  const { cluster, self } = needs.state()
  const { keeper } = cluster
  if (keeper === self) {
    done(null)
    return
  }
  if (needs.exchanging.isLinked(keeper)) {
    done(unsafe(`Group ${needs.nameOf(keeper)} is in contact: ask it without --force.`))
    return
  }
  const others = writersOf(cluster).filter((origin) => origin !== self && origin !== keeper)
  const sights = new Map<string, Sight | null>()
  const look = (): void => {
    if (sights.size < others.length) return
    const refusal = refusalOf(needs, cluster, sights, alone)
    if (refusal === null) change(needs, keeper, alone, done)
    else done(refusal)
  }
  for (const origin of others) {
    needs.ask(origin, keeper, (sight) => {
      sights.set(origin, sight)
      look()
    })
  }
  if (others.length === 0) look()
}

function refusalOf(
  { nameOf }: SuccessionNeeds,
  { epoch, keeper, ...cluster }: Cluster,
  sights: ReadonlyMap<string, Sight | null>,
  alone: boolean,
): ErrorData | null {
  for (const [origin, sight] of sights) {
    if (sight?.linked) {
      return unsafe(`Group ${nameOf(origin)} is in contact with ${nameOf(keeper)}.`)
    }
    if (sight !== null && sight.cluster.epoch > epoch) {
      const detail = `Group ${nameOf(origin)} knows of a change that this one has not heard of yet.`
      return { code: 'GROUP_CHANGE_BUSY', detail }
    }
  }
  const silent = [...sights].filter(([, sight]) => sight === null).map(([origin]) => origin)
  const all = writersOf({ epoch, keeper, ...cluster }).length
  const agreed = 1 + sights.size - silent.length
  if (alone || agreed > all / 2) return null
  const missing = [keeper, ...silent].map(nameOf).join(', ')
  return unsafe(
    `${agreed} of ${all} groups can be asked, and more than half must agree; no answer of ` +
      `${missing}. With --alone this group takes over nevertheless: only if they are gone for good.`,
  )
}

function change(needs: SuccessionNeeds, from: string, alone: boolean, done: Done): void {
  const { exchanging } = needs
  exchanging.originateAtRest(
    () => {
      const { cluster, self, applied } = needs.state()
      if (cluster.keeper !== from) return []
      const { takenFrom = [] } = cluster
      // One that did not come to its end may have frozen groups that others count.
      const before = isSettled(cluster, applied) ? 0 : (cluster.agreeing ?? 0)
      const most = Math.floor(writersOf(cluster).length / 2) + 1
      const next: Cluster = {
        ...withFrozen(cluster, from, exchanging.exchange),
        epoch: takeoverEpoch(cluster, self),
        keeper: self,
        takenFrom: [...takenFrom, from],
        agreeing: alone ? 1 : Math.max(before, most),
      }
      return [{ kind: 'cluster', cluster: next }]
    },
    'now',
    (made) => {
      if (made === null) {
        done({ code: 'UNKNOWN_OUTCOME', detail: 'The leader of the group has changed.' })
      } else if ('code' in made) done(made)
      else {
        exchanging.whenSafe(made.index, () => {
          const { cluster, self } = needs.state()
          const detail = `Group ${needs.nameOf(cluster.keeper)} has taken over meanwhile.`
          done(cluster.keeper === self ? null : { code: 'GROUP_CHANGE_BUSY', detail })
        })
      }
    },
  )
}

/**
 * Has this group know that it was removed, if another one says so: all who stay there have agreed to
 * that, so they will not agree to a version of ours. Or that less of it counts than was agreed on
 * first, since the only one to hold the rest was removed, too.
 */
export function heardOfRemoval(
  { exchanging, state }: Pick<SuccessionNeeds, 'exchanging' | 'state'>,
  { cluster }: Sight,
): void {
  const { self, cluster: known } = state()
  const last = lastOf(cluster, self)
  if (last === null || last === lastOf(known, self) || !supersedes(cluster, known, self)) return
  exchanging.originateForUs([{ kind: 'cluster', cluster }])
}

/** The last entry of an origin that counts; null: it was not removed. */
function lastOf({ origins }: Cluster, self: string): number | null {
  const standing = origins.find(({ origin }) => origin === self)?.standing
  return standing?.kind === 'removed' ? standing.last : null
}

function writersOf({ origins }: Cluster): readonly string[] {
  return origins.filter(({ standing }) => standing.kind === 'writes').map(({ origin }) => origin)
}

function unsafe(detail: string): ErrorData {
  return { code: 'TAKEOVER_UNSAFE', detail }
}
