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
 */
import { assert, present } from '../../base/assert.ts'
import { covers, extend, type Frontier, holds, NOTHING } from '../../core/order/clock/frontier.ts'
import type { Entry } from '../../model/entry.ts'
import { decodeBatch } from '../../model/entry-codec.ts'
import { decodeMergeOperations, decodeOriginOperations } from '../../model/origin-codec.ts'
import type { MergeOperation, OriginEntry } from '../../model/origin-entry.ts'

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
  /** What is later than this is too far ahead. */
  latest: number
}

/** A group as this checker needs it. */
export interface CommitLog {
  readonly commit: number
  committedAt(index: number): Entry | null
}

export class EntryChecker {
  /** All that was ever committed by its own origin, in its order. */
  readonly made = new Map<string, OriginEntry[]>()
  readonly counts = { own: 0, taken: 0, kept: 0, forgot: 0, marks: 0 }
  readonly #groups = new Map<string, Group>()
  /** The highest time that any group called final. */
  #final = 0

  /** @param base index after which the group's log begins */
  add(self: string, base: number): void {
    this.#groups.set(self, {
      self,
      index: base,
      held: NOTHING,
      applied: NOTHING,
      kept: new Map(),
      time: 0,
      stable: 0,
      latest: 0,
    })
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

  /** What a group has committed of all origins. */
  heldBy(group: string): Frontier {
    return this.#group(group).held
  }

  /** O5. */
  checkCopies(origin: string, sequence: number, copies: number): void {
    const holders = [...this.#groups.values()].filter(({ held }) => holds(held, origin, sequence))
    assert(
      holders.length >= copies,
      () =>
        `O5: ${copies} groups acknowledged entry ${sequence} of ${origin}, ` +
        `[${holders.map(({ self }) => self)}] hold it`,
    )
  }

  /** O6. */
  checkStable(self: string, time: number): void {
    const { held } = this.#group(self)
    for (const [origin, entries] of this.made) {
      const last = entries[(held.get(origin) ?? 0) - 1]?.time ?? 0
      assert(
        last >= time,
        () => `O6: ${self} acknowledged ${time} as stable, of ${origin} it has ${last}`,
      )
    }
    this.#checkComplete(self, time)
  }

  /** All entries that were ever committed. */
  get all(): readonly OriginEntry[] {
    return [...this.made.values()].flat()
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
    assert(time > this.#final, () => `O4: ${name} has time ${time}, final is ${this.#final}`)
    made.push({ ...entry, body: entry.body.slice() })
    this.counts.own += 1
    if (entry.answer === 'none') this.counts.marks += 1
    group.held = extend(group.held, origin, sequence)
    this.#intoData(group, entry)
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

  #intoData(group: Group, { origin, sequence, time, dependencies }: OriginEntry): void {
    const name = nameOf({ origin, sequence })
    assert(covers(group.applied, dependencies), () => `O3: ${group.self} applied ${name} too early`)
    assert(
      time > group.stable,
      () => `O4: ${group.self} applied ${name} of ${time}, final was ${group.stable}`,
    )
    const isFar = origin !== group.self && time > group.latest
    assert(!isFar, () => `O7: ${group.self} applied ${name} of ${time} before ${group.latest}`)
    group.applied = extend(group.applied, origin, sequence)
    group.time = Math.max(group.time, time)
  }

  #forget(group: Group, stable: number): void {
    this.counts.forgot += 1
    assert(stable >= group.stable, () => `O4: final was ${group.stable}, then ${stable}`)
    group.stable = stable
    this.#final = Math.max(this.#final, stable)
    this.#checkComplete(group.self, stable)
  }

  /** Everything through a time is in a group's data. */
  #checkComplete(self: string, time: number): void {
    const { applied } = this.#group(self)
    for (const entries of this.made.values()) {
      const last = entries.findLast((entry) => entry.time <= time)
      assert(
        last === undefined || holds(applied, last.origin, last.sequence),
        () => `O4: ${self} calls ${time} final without ${last && nameOf(last)}`,
      )
    }
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

function nameOf({ origin, sequence }: { readonly origin: string; readonly sequence: number }) {
  return `entry ${sequence} of ${origin}`
}

function isSame(one: OriginEntry, other: OriginEntry): boolean {
  const plain = ({ origin, sequence, time, dependencies, epoch, answer }: OriginEntry): string => {
    return JSON.stringify([origin, sequence, time, [...dependencies].sort(), epoch, answer])
  }
  return plain(one) === plain(other) && Buffer.compare(one.body, other.body) === 0
}
