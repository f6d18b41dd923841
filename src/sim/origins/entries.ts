/**
 * What passes between origins, and whether it may: kept from what the groups commit, never from what
 * a node believes. What a group has *committed* is what it holds.
 *
 * O1 an origin's own entries have numbers without gaps and rising times; transactions are later than
 *    all that was in the data before them, and depend on exactly that (D3)
 * O2 what a group takes from others is what its origin committed, to the byte (D1, D2)
 * O3 entries are taken in the order of their origin, and after all that they depend on (D3)
 * O4 what a group calls final is: nothing comes to it any more with a stamp at or before that (D8)
 * O5 an entry acknowledged by a number of groups is committed in so many (D1)
 * O6 one acknowledged as stable is final where it was written: a promise of each origin is there (D8)
 * O7 a stamp far ahead of a group's clocks comes into its data only when its time has come (D3)
 * O8 nobody who is a member has an entry of a removed origin beyond its agreed last one (D1)
 * O9 nobody goes on and on answering when there is nothing new (P)
 */
import { assert, present } from '../../base/assert.ts'
import { covers, extend, type Frontier, holds, NOTHING } from '../../core/order/clock/frontier.ts'
import { areMet, quorumsOf, type Reach } from '../../core/order/clock/quorums.ts'
import { supersedes } from '../../model/cluster-order.ts'
import type { Entry } from '../../model/entry.ts'
import { decodeBatch } from '../../model/entry-codec.ts'
import { decodeMergeOperations, decodeOriginOperations } from '../../model/origin-codec.ts'
import type { Cluster, MergeOperation, OriginEntry } from '../../model/origin-entry.ts'
import { lastIn, type Membership, writersOf, zonesOf } from './membership.ts'

const ECHOES_MAX = 10

/** What one group has committed. */
interface Group {
  readonly self: string
  /** Through here its log has been looked at. */
  index: number
  held: Frontier
  /** In the data of whoever has applied what is committed. */
  applied: Frontier
  /** Taken, and not put into the data because their time had not come. */
  readonly kept: Map<string, OriginEntry>
  /** Latest time in its data. */
  time: number
  /** Through here its order is final. */
  stable: number
  /** So many answers in a row that told nothing new. */
  echoes: number
  /** What is later than this is too far ahead. */
  latest: number
  /** The versions of the cluster that it had, the last one in force, and where they are in its log. */
  readonly clusters: { readonly index: number; readonly cluster: Cluster }[]
}

/** What a group begins with. */
export interface Beginning {
  readonly held: Frontier
  readonly applied: Frontier
  readonly stable: number
  readonly cluster: Cluster
}

/** A group as this checker needs it. */
export interface CommitLog {
  readonly commit: number
  committedAt(index: number): Entry | null
}

export class EntryChecker {
  /** All that was ever committed by its own origin, in its order. */
  readonly made = new Map<string, OriginEntry[]>()
  readonly counts = { own: 0, taken: 0, kept: 0, forgot: 0, marks: 0, versions: 0 }
  readonly membership: Membership
  readonly #groups = new Map<string, Group>()
  constructor(membership: Membership) {
    this.membership = membership
  }

  /**
   * @param base index after which the group's log begins
   * @param beginning if it begins with what another group had
   */
  add(self: string, base: number, beginning: Beginning | null = null): void {
    const { held = NOTHING, applied = NOTHING, stable = 0 } = beginning ?? {}
    const kept = new Map<string, OriginEntry>()
    let time = 0
    for (const [origin, sequence] of held) {
      const real = this.made.get(origin) ?? []
      assert(real.length >= sequence, () => `O2: ${self} begins with ${sequence} of ${origin}`)
      const last = applied.get(origin) ?? 0
      time = Math.max(time, real[last - 1]?.time ?? 0)
      for (const entry of real.slice(last, sequence)) kept.set(nameOf(entry), entry)
    }
    const clusters = [{ index: base, cluster: beginning?.cluster ?? this.membership.latest }]
    this.#groups.set(self, {
      ...{ self, index: base, held, applied, kept, time, stable, latest: 0, clusters, echoes: 0 },
    })
    assert(!this.made.has(self), () => `O1: there was an origin ${self} before`)
    this.made.set(self, [])
  }

  /**
   * Looks at what a group has committed since.
   *
   * @param latest stamps after this are too far ahead of the clocks in the group
   */
  look(self: string, log: CommitLog, latest: number, through = log.commit): void {
    const group = this.#group(self)
    group.latest = latest
    while (group.index < through) {
      group.index += 1
      const entry = present(log.committedAt(group.index), () => `entry ${group.index} of ${self}`)
      this.#committed(group, entry)
    }
  }

  /** The cluster as a group knows it from what it has committed. */
  clusterOf(group: string): Cluster {
    return present(this.#group(group).clusters.at(-1), () => `cluster of ${group}`).cluster
  }

  /**
   * The versions of the cluster that a group has had.
   *
   * @param applied without those that whoever has applied so much has left behind
   */
  clustersOf(group: string, applied = 0): readonly Cluster[] {
    const { clusters } = this.#group(group)
    const at = clusters.findLastIndex(({ index }) => index <= applied)
    return clusters.slice(Math.max(0, at)).map(({ cluster }) => cluster)
  }

  /** What a group has committed of all origins. */
  heldBy(group: string): Frontier {
    // Nobody has founded it yet.
    return this.#groups.get(group)?.held ?? NOTHING
  }

  /** O5, by some version of the cluster since that of the entry. */
  checkCopies({ origin, sequence, epoch }: OriginEntry, reach: Reach): void {
    const asked = this.#versionsSince(origin, epoch).map((cluster) => {
      return quorumsOf(reach, zonesOf(cluster), zonesOf(cluster).get(origin) ?? null)
    })
    const has = (self: string): boolean => holds(this.heldBy(self), origin, sequence)
    assert(
      asked.some((quorums) => areMet(quorums, has)),
      () => {
        const holders = [...this.#groups.keys()].filter(has)
        const wanted = JSON.stringify(asked)
        return `O5: ${wanted} acknowledged entry ${sequence} of ${origin}, [${holders}] hold it`
      },
    )
  }

  /** O6. */
  checkStable({ origin: self, time, epoch }: OriginEntry): void {
    const missing = this.#versionsSince(self, epoch).map((cluster) => {
      return this.#silent(self, cluster, time)
    })
    assert(
      missing.some((silent) => silent.length === 0),
      () => `O6: ${self} acknowledged ${time} as stable, without a promise of ${missing[0]}`,
    )
    this.#checkComplete(self, time)
  }

  /** O8 at any time. */
  checkMember(self: string): void {
    checkAgreed(this.#group(self), this.membership.latest)
  }

  /** All entries that were ever committed and count. */
  get all(): readonly OriginEntry[] {
    return [...this.made.values()].flat().filter((entry) => this.#counts(entry))
  }

  /** What an origin made and nobody who stayed had when it was removed. */
  unshipped(origin: string): readonly OriginEntry[] {
    return (this.made.get(origin) ?? []).filter((entry) => !this.#counts(entry))
  }

  #counts({ origin, sequence }: OriginEntry): boolean {
    return sequence <= this.membership.lastOf(origin)
  }

  /** The versions of the cluster that a group has had since one. */
  #versionsSince(self: string, epoch: number): readonly Cluster[] {
    const clusters = this.clustersOf(self)
    const since = clusters.filter((cluster) => cluster.epoch >= epoch)
    return since.length > 0 ? since : clusters.slice(-1)
  }

  /** Of whom a group has no promise for a time, by one version of the cluster. */
  #silent(self: string, { origins }: Cluster, time: number): readonly string[] {
    const { held } = this.#group(self)
    const isSilent = ({ origin, standing }: Cluster['origins'][number]): boolean => {
      const last = held.get(origin) ?? 0
      if (standing.kind === 'removed' && last >= standing.last) return false
      return (this.made.get(origin)?.[last - 1]?.time ?? 0) < time
    }
    return origins.filter(isSilent).map(({ origin }) => origin)
  }

  #group(self: string): Group {
    return present(this.#groups.get(self), () => `group of ${self}`)
  }

  #committed(group: Group, { kind, body }: Entry): void {
    if (kind === 'data' || kind === 'schema') {
      const { own } = decodeBatch(body)
      if (own !== undefined) this.#own(group, own)
    } else if (kind === 'merge') {
      for (const operation of decodeMergeOperations(body)) this.#merge(group, operation)
    }
  }

  #own(group: Group, entry: OriginEntry): void {
    const { origin, sequence, time, dependencies } = entry
    const name = nameOf(entry)
    assert(origin === group.self, () => `O1: ${group.self} made ${name}`)
    const made = present(this.made.get(origin), () => origin)
    assert(sequence === made.length + 1, () => `O1: ${name} after ${made.length}`)
    const before = made.at(-1)?.time ?? 0
    assert(time > before, () => `O1: ${name} has time ${time} after ${before}`)
    checkTransactions(group, entry)
    assert(
      covers(group.applied, dependencies),
      () => `O1: ${name} depends on ${[...dependencies]}, applied is ${[...group.applied]}`,
    )
    // Whoever called a time final had our promise that nothing of ours comes before it.
    const final = this.#counts(entry) ? this.#final : 0
    assert(time > final, () => `O4: ${name} has time ${time}, final is ${final}`)
    checkEchoes(group, entry, made.at(-1))
    const real = { ...entry, body: entry.body.slice() }
    made.push(real)
    const cluster = this.membership.versionIn(real)
    if (cluster !== null) {
      this.membership.made(cluster)
      this.counts.versions += 1
    }
    this.counts.own += 1
    if (entry.answer === 'none') this.counts.marks += 1
    group.held = extend(group.held, origin, sequence)
    this.#intoData(group, real)
  }

  #merge(group: Group, operation: MergeOperation): void {
    switch (operation.kind) {
      case 'take':
        this.#take(group, operation.entry, operation.apply)
        return
      case 'apply': {
        const name = nameOf(operation)
        const entry = present(group.kept.get(name), () => `O3: ${group.self} did not keep ${name}`)
        group.kept.delete(name)
        this.#intoData(group, entry)
        return
      }
      case 'forget':
        this.#forget(group, operation.stable)
    }
  }

  #take(group: Group, entry: OriginEntry, apply: boolean): void {
    const { origin, sequence, dependencies } = entry
    const name = nameOf(entry)
    this.counts.taken += 1
    const real = this.made.get(origin)?.[sequence - 1]
    assert(real !== undefined, () => `O2: ${group.self} took ${name}, which is not committed`)
    assert(isSame(real, entry), () => `O2: ${group.self} took another ${name}`)
    const before = group.held.get(origin) ?? 0
    // Two leaders of the group may have taken it, one after the other; the second time does nothing.
    if (sequence <= before) return
    assert(sequence === before + 1, () => `O3: ${group.self} took ${name} after ${before}`)
    assert(covers(group.held, dependencies), () => `O3: ${group.self} took ${name} too early`)
    group.held = extend(group.held, origin, sequence)
    if (apply) {
      this.#intoData(group, real)
      return
    }
    this.counts.kept += 1
    group.kept.set(name, real)
  }

  #intoData(group: Group, entry: OriginEntry): void {
    const { origin, sequence, time, dependencies } = entry
    const name = nameOf({ origin, sequence })
    assert(covers(group.applied, dependencies), () => `O3: ${group.self} applied ${name} too early`)
    assert(
      time > group.stable || !this.#counts(entry),
      () => `O4: ${group.self} applied ${name} of ${time}, final was ${group.stable}`,
    )
    const isFar = origin !== group.self && time > group.latest
    assert(!isFar, () => `O7: ${group.self} applied ${name} of ${time} before ${group.latest}`)
    group.applied = extend(group.applied, origin, sequence)
    group.time = Math.max(group.time, time)
    const cluster = this.membership.versionIn(entry)
    if (cluster !== null && supersedes(cluster, this.clusterOf(group.self), group.self)) {
      group.clusters.push({ index: group.index, cluster })
      checkAgreed(group, cluster)
    }
  }

  #forget(group: Group, stable: number): void {
    this.counts.forgot += 1
    assert(stable >= group.stable, () => `O4: final was ${group.stable}, then ${stable}`)
    group.stable = stable
    this.#checkComplete(group.self, stable)
  }

  /** The highest time that any group called final. Of one that is on its way out nobody believes it. */
  get #final(): number {
    const writers = writersOf(this.membership.latest)
    return Math.max(0, ...writers.map((origin) => this.#groups.get(origin)?.stable ?? 0))
  }

  /** Everything through a time is in a group's data. */
  #checkComplete(self: string, time: number): void {
    if (!writersOf(this.membership.latest).includes(self)) return
    const { applied } = this.#group(self)
    const { origins } = this.clusterOf(self)
    // By its own version of the cluster, which may not be the one that counts in the end.
    const isRemoved = ({ origin, sequence }: OriginEntry): boolean =>
      origins.some((each) => {
        const { standing } = each
        return each.origin === origin && standing.kind === 'removed' && sequence > standing.last
      })
    for (const entries of this.made.values()) {
      const last = entries.findLast((entry) => {
        return entry.time <= time && this.#counts(entry) && !isRemoved(entry)
      })
      assert(
        last === undefined || holds(applied, last.origin, last.sequence),
        () => `O4: ${self} calls ${time} final without ${last && nameOf(last)}`,
      )
    }
  }
}

/** O8 when a group hears of a version. */
function checkAgreed({ self, held }: Group, cluster: Cluster): void {
  if (!writersOf(cluster).includes(self)) return
  for (const [origin, sequence] of held) {
    const last = lastIn(cluster, origin)
    assert(
      sequence <= last,
      () => `O8: ${self} has ${sequence} of ${origin}, ${last} count by version ${cluster.epoch}`,
    )
  }
}

/** O1 for transactions; what changes no rows may have been made while something waited to be applied. */
function checkTransactions(group: Group, entry: OriginEntry): void {
  const { origin, dependencies, body } = entry
  const [first] = decodeOriginOperations(body).filter(({ kind }) => kind === 'transaction')
  if (first?.kind !== 'transaction') return
  const name = nameOf(entry)
  assert(first.time > group.time, () => `O1: ${name} begins at ${first.time}, after ${group.time}`)
  for (const [other, seen] of group.applied) {
    assert(
      other === origin || dependencies.get(other) === seen,
      () => `O1: ${name} saw ${seen} of ${other} and says ${dependencies.get(other)}`,
    )
  }
}

/** O9: some are made by a leader that does not know yet what the one before had made. */
function checkEchoes(group: Group, entry: OriginEntry, before: OriginEntry | undefined): void {
  const { answer, body, dependencies, epoch } = entry
  const isNew =
    answer !== 'none' ||
    decodeOriginOperations(body).length > 0 ||
    before?.epoch !== epoch ||
    !covers(before.dependencies, dependencies)
  group.echoes = isNew ? 0 : group.echoes + 1
  assert(
    group.echoes <= ECHOES_MAX,
    () => `O9: ${nameOf(entry)} tells nothing new, as those before`,
  )
}

function nameOf({ origin, sequence }: { readonly origin: string; readonly sequence: number }) {
  return `entry ${sequence} of ${origin}`
}

function isSame(one: OriginEntry, other: OriginEntry): boolean {
  const plain = ({ origin, sequence, time, dependencies, epoch, answer }: OriginEntry): string => {
    return JSON.stringify([origin, sequence, time, [...dependencies].sort(), epoch, answer])
  }
  return plain(one) === plain(other) && Buffer.compare(one.body, other.body) === 0
}
