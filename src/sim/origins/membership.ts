/**
 * Who is a member of the cluster, kept from the versions of it that groups commit, never from what a
 * node believes. It says which entries of a removed origin count, and by what number of groups a
 * level is judged.
 *
 * M1 a version of the cluster has one content, whoever makes it (D3)
 * M2 an origin that was removed never writes again, but where another group took over from one that
 *    had removed it; its place is nobody else's (D3)
 */
import { assert } from '../../base/assert.ts'
import type { Zone } from '../../core/order/clock/quorums.ts'
import { areOfOneRow } from '../../model/cluster-order.ts'
import { decodeOriginOperations } from '../../model/origin-codec.ts'
import type { Cluster, ClusterOrigin, OriginEntry } from '../../model/origin-entry.ts'

export class Membership {
  /** By epoch. */
  readonly #versions = new Map<number, Cluster>()
  /** Content of what was looked at: entries are looked at by many groups. */
  readonly #read = new WeakMap<OriginEntry, Cluster | null>()
  #latest: Cluster
  /** What was agreed on of those that were removed. */
  readonly #lasts = new Map<string, number>()

  constructor(first: Cluster) {
    this.#latest = first
    this.#versions.set(first.epoch, first)
  }

  /** The version that supersedes all others that were ever committed. */
  get latest(): Cluster {
    return this.#latest
  }

  /** The version of the cluster that an entry makes, if it does. */
  versionIn(entry: OriginEntry): Cluster | null {
    const known = this.#read.get(entry)
    if (known !== undefined) return known
    const made = decodeOriginOperations(entry.body).find(({ kind }) => kind === 'cluster')
    const cluster = made?.kind === 'cluster' ? made.cluster : null
    this.#read.set(entry, cluster)
    return cluster
  }

  /** A version was committed by the group that made it. */
  made(cluster: Cluster): void {
    const { epoch } = cluster
    const known = this.#versions.get(epoch) ?? cluster
    assert(textOf(known) === textOf(cluster), () => `M1: two versions ${epoch} of the cluster`)
    this.#versions.set(epoch, cluster)
    if (!this.#counts(cluster)) return
    for (const before of this.#latest.origins) checkSuccession(before, cluster, this.#latest)
    this.#latest = cluster
    for (const { origin, standing } of cluster.origins) {
      if (standing.kind === 'removed') this.#lasts.set(origin, standing.last)
      else if (standing.kind === 'writes') this.#lasts.delete(origin)
    }
  }

  /** The last entry of an origin that counts; Infinity: it was not removed. */
  lastOf(origin: string): number {
    const isFrozen = this.#latest.origins.some((each) => {
      return each.origin === origin && each.standing.kind === 'frozen'
    })
    // One that was removed before and is frozen again: less of it may count, not more.
    return (isFrozen ? this.#lasts.get(origin) : undefined) ?? lastIn(this.#latest, origin)
  }

  /** By the rule of cluster-order.ts: a later one, or one that removes the maker of the other. */
  #counts(cluster: Cluster): boolean {
    // Who keeps now may not have been let in yet by an earlier one, which somebody hears of late.
    if (areOfOneRow(cluster, this.#latest)) return cluster.epoch > this.#latest.epoch
    const removes = isOut(cluster, this.#latest.keeper)
    const isRemoved = isOut(this.#latest, cluster.keeper)
    return removes === isRemoved ? cluster.epoch > this.#latest.epoch : removes
  }
}

/** The last entry of an origin that counts by a version; Infinity: it was not removed. */
export function lastIn({ origins }: Cluster, self: string): number {
  const known = origins.find(({ origin }) => origin === self)
  // Let in by a keeper that was replaced meanwhile: who took over knew that it had not written.
  if (known === undefined) return 0
  return known.standing.kind === 'removed' ? known.standing.last : Number.POSITIVE_INFINITY
}

/** Groups that write, with their zones. */
export function zonesOf({ origins }: Cluster): ReadonlyMap<string, Zone> {
  const writers = origins.filter(({ standing }) => standing.kind === 'writes')
  return new Map(writers.map(({ origin, zone = null }) => [origin, zone]))
}

/** Groups that write, by the origins of a version. */
export function writersOf({ origins }: Cluster): readonly string[] {
  return origins.filter(({ standing }) => standing.kind === 'writes').map(({ origin }) => origin)
}

/** Whether an origin is not one of the cluster any more, or never was by this version. */
export function isOut({ origins }: Cluster, self: string): boolean {
  const known = origins.find(({ origin }) => origin === self)
  return known === undefined || known.standing.kind === 'removed'
}

function checkSuccession(before: ClusterOrigin, cluster: Cluster, known: Cluster): void {
  const after = cluster.origins.find(({ origin }) => origin === before.origin)
  // A group that takes over may not have heard of one that was let in, and has not written.
  if (after === undefined) return
  const what = `M2: ${before.origin} in version ${cluster.epoch}`
  assert(after.slot === before.slot && after.name === before.name, () => `${what} is another`)
  if (before.standing.kind !== 'removed' || !areOfOneRow(cluster, known)) return
  assert(after.standing.kind !== 'writes', () => `${what} writes again`)
}

function textOf({ floor, ...cluster }: Cluster): string {
  return JSON.stringify({ ...cluster, floor: [...floor].sort() })
}
