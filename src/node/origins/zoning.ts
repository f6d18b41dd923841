/**
 * Changes of zones at the keeper: one after the other, each when every group knows of the one before.
 * So a majority of a zone before one and after it always have a group in common; and whoever knows of
 * one has what was acknowledged by those before the last one, since it comes after that in the log.
 */
import type { ErrorData } from '../../base/errors.ts'
import type { Exchange } from '../../core/order/clock/exchange/exchange.ts'
import type { Cluster, ClusterOrigin } from '../../model/origin-entry.ts'
import type { Answer } from './keeper.ts'

interface Wanted {
  readonly group: string
  readonly zone: string | null
  /** Monotonic ms. */
  readonly deadline: number
  readonly done: Answer<Cluster>
}

interface ZoningNeeds {
  readonly exchange: Pick<Exchange, 'members' | 'unaware'>
  cluster(): Cluster
  /** A group that was not removed; null: there is none of the name. */
  find(group: string): ClusterOrigin | null
  /** Why nothing may be changed now; null: at once. */
  whyBusy(): string | null
  /** Makes it so in the log; `done` is told of the cluster as it is then. */
  change(cluster: Cluster, done: Answer<Cluster>): void
  unknown(group: string): ErrorData
}

export class Zoning {
  readonly #needs: ZoningNeeds
  #wanted: Wanted[] = []

  constructor(needs: ZoningNeeds) {
    this.#needs = needs
  }

  add(wanted: Wanted): void {
    this.#wanted.push(wanted)
  }

  /** Looks whether the next can be done, or has waited too long. */
  tick(now: number): void {
    const [wanted] = this.#wanted
    if (wanted === undefined) return
    const { group, zone, deadline, done } = wanted
    const { cluster, find, change, unknown } = this.#needs
    const known = find(group)
    const whyNot = this.#whyNot(known)
    const isSo = known !== null && (known.zone ?? null) === zone
    if (known !== null && !isSo && whyNot !== null && now < deadline) return
    this.#wanted.shift()
    if (known === null) done(unknown(group))
    else if (isSo) done({ value: cluster() })
    else if (whyNot !== null) done({ code: 'GROUP_CHANGE_BUSY', detail: whyNot })
    else change(withZone(cluster(), known.origin, zone), done)
  }

  /** Leadership is gone. */
  end(why: ErrorData): void {
    for (const { done } of this.#wanted.splice(0)) done(why)
  }

  #whyNot(known: ClusterOrigin | null): string | null {
    const { exchange, cluster, whyBusy } = this.#needs
    const { epoch, origins } = cluster()
    const why = whyBusy()
    if (why !== null) return why
    if (known?.standing.kind === 'frozen') return `Group ${known.name} is being removed.`
    if (exchange.members.epoch < epoch) return 'The last change of the groups is not in force yet.'
    const { unaware } = exchange
    if (unaware.length === 0) return null
    const lack = origins.filter(({ origin }) => unaware.includes(origin))
    const names = lack.map(({ name }) => name).join(', ')
    return `The last change of the groups is not known yet to ${names}.`
  }
}

function withZone(cluster: Cluster, origin: string, zone: string | null): Cluster {
  const origins = cluster.origins.map((each) => {
    if (each.origin !== origin) return each
    const { zone: _, ...others } = each
    return zone === null ? others : { ...others, zone }
  })
  const before = cluster.origins.find((each) => each.origin === origin)?.zone
  const epoch = cluster.epoch + 1
  const moved = { origin, since: epoch, ...(before === undefined ? {} : { zone: before }) }
  return { ...cluster, epoch, origins, moved }
}
