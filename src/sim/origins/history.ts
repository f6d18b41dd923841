/**
 * What clients of several groups were told, and whether it can be true. As with one leader every
 * write leaves a row in `ops`, which nothing removes but the rule `abort`; so whatever a read must
 * see is a question about sets. H1, H5, H6 and H7 as in ../history.ts; of the others:
 *
 * H2 a session sees its own acknowledged writes and what it has read, at whatever group it asks
 * H3 a strong read sees what was acknowledged at `stable` before it began, and all that another
 *    strong read saw that ended before; of any two, one sees all that the other sees
 * H4 what was acknowledged above `local` or read above it is in the data for ever, or a conflict
 * H10 a read that consults R groups sees what was acknowledged by W before it began, if W + R > N,
 *    or if both count by zone in the same one, or one of them in each (levels.ts)
 *
 * What a group had sent to nobody when it was removed is out of H3, H4 and H10, if people know of it,
 * and so is what was read at a side of a cut that they gave up.
 */
import { assert, present } from '../../base/assert.ts'
import type { Cluster } from '../../model/origin-entry.ts'
import type { AckLevel, ReadLevel } from '../../model/request.ts'
import type { Records } from '../client.ts'
import { checkRead, checkSight, type Read, type Sight, whatIs } from '../history.ts'
import { nameOf, type SessionView, type Write, WriteBook } from '../write-book.ts'
import { type Asked, asked, leastOf, mustShow } from './levels.ts'
import { MAY_ABORT, SCHEMA_WORK } from './tables.ts'

/** By which versions of the cluster a group judges levels. */
export interface Views {
  originOf(group: string): string
  /** So much of its log whoever leads it has applied. */
  applied(group: string): number
  /** From that which one has who has applied so much to the last that it has committed. */
  since(group: string, applied: number): readonly Cluster[]
}

interface Since {
  readonly acked: number
  readonly final: number
  readonly group: string
  /** So much it had applied. */
  readonly applied: number
}

interface Doubt {
  readonly name: string
  /** That was asked. */
  readonly group: string
  readonly what: string
}

interface Acked {
  readonly name: string
  readonly ack: AckLevel
  /** Who held it. */
  readonly by: Asked
}

export class OriginsHistory extends WriteBook implements Records {
  readonly #views: Views
  /** Whether groups come and go; then so many there were at least and at most. */
  readonly #moves: boolean
  #least: number
  #most: number
  /** In files of groups that were removed before they had sent them to anybody. */
  readonly #reported = new Set<string>()
  /** What is wrong unless people know of these writes in the end. */
  readonly #doubts: Doubt[] = []
  /** Groups that went on by themselves when others had removed them. */
  readonly #givenUp = new Set<string>()
  readonly #lasting = new Set<string>()
  /** In the order in which they were acknowledged. */
  readonly #acked: Acked[] = []
  /** What every strong read from now on must see, in the order in which that became so. */
  readonly #final: string[] = []
  /** What each strong read saw, and at which group. */
  readonly #prefixes: { readonly group: string; readonly seen: ReadonlySet<string> }[] = []
  /** How much of both there was when a read began, and whom it asks. */
  readonly #since = new WeakMap<Read, Since>()
  /** So much the group that was asked had applied when a write began. */
  readonly #begun = new WeakMap<Write, number>()

  /**
   * @param groups so many there are at first
   * @param moves whether groups come and go
   */
  constructor(views: Views, groups: number, moves: boolean) {
    super()
    this.#views = views
    this.#moves = moves
    this.#least = groups
    this.#most = groups
  }

  /** So many groups there are from now on. */
  counted(groups: number): void {
    this.#least = Math.min(this.#least, groups)
    this.#most = Math.max(this.#most, groups)
  }

  /** People know these writes of a removed group, and may hand them in again. */
  reported(names: readonly string[]): void {
    for (const name of names) this.#reported.add(name)
    this.counts.unshipped += names.length
  }

  /** A group has not heard of its removal, and went on with others. What it showed is what they have. */
  givenUp(group: string): void {
    this.#givenUp.add(group)
  }

  lasts(ack: AckLevel): boolean {
    return ack !== 'local'
  }

  override begin(...given: Parameters<WriteBook['begin']>): Write {
    const write = super.begin(...given)
    this.#begun.set(write, this.#views.applied(write.group))
    return write
  }

  acknowledged(session: SessionView, write: Write, answer: string | null): void {
    write.status = 'ok'
    this.counts.ok += 1
    if (!this.lasts(write.ack)) return
    const name = nameOf(write)
    this.#lasting.add(name)
    if (this.#mayGo(name)) return
    session.must.add(name)
    const ack = ackOf(write)
    this.#acked.push({ name, ack, by: this.#asked(ack, write.group, this.#begun.get(write)) })
    if (write.ack === 'stable') this.#final.push(name)
    this.told(name, answer)
  }

  startRead(session: SessionView, level: ReadLevel, group: string): Read {
    const read = { session, level, since: 0 }
    const applied = this.#views.applied(group)
    this.#since.set(read, { acked: this.#acked.length, final: this.#final.length, group, applied })
    return read
  }

  endRead(read: Read, sight: Sight): void {
    const { session, level } = read
    this.counts.reads += 1
    const what = (): string => whatIs(read)
    const seen = checkRead(read, sight)
    if (level === 'local') return
    const since = present(this.#since.get(read), what)
    if (level === 'strong') {
      this.counts.strong += 1
      for (const name of this.#final.slice(0, since.final)) {
        this.#expect(seen.has(name), name, since, () => `H3: ${what()} does not see ${name}`)
      }
      this.#final.push(...seen)
      this.#prefixes.push({ group: since.group, seen })
    } else if (level !== 'session') {
      this.counts.quorum += 1
      const read = this.#asked(level, since.group, since.applied)
      for (const { name, ack, by } of this.#acked.slice(0, since.acked)) {
        const wrong = (): string => {
          const [of, asks] = [by, read].map((each) => JSON.stringify(each.by))
          return `H10: ${what()} of ${asks} does not see ${name}, at ${ack} of ${of}`
        }
        this.#expect(seen.has(name) || !this.#mustShow(by, read), name, since, wrong)
      }
    }
    for (const name of seen) {
      this.#lasting.add(name)
      if (this.#mayGo(name)) continue
      session.must.add(name)
    }
  }

  /**
   * Compares the content that is left with all that was said.
   *
   * @param aborted names of the writes that quorate_conflicts says were left out
   */
  finish(sight: Sight, aborted: ReadonlySet<string>): void {
    this.#checkPrefixes()
    const seen = checkSight(sight, () => 'the end')
    this.counts.aborted = aborted.size
    for (const name of this.#lasting) {
      const isThere = seen.has(name) || aborted.has(name)
      assert(isThere || this.#reported.has(name), () => `H4: ${name} is lost`)
    }
    for (const { name, group, what } of this.#doubts) {
      assert(this.#reported.has(name) || this.#givenUp.has(group), () => what)
    }
    for (const name of aborted) {
      assert(this.#mayGo(name), () => `H4: ${name} was left out`)
      assert(!seen.has(name), () => `H4: ${name} was left out and is there`)
    }
    this.checkAsked(seen, aborted)
  }

  /** Strong reads see the writes up to some place each, all in the same order. */
  #checkPrefixes(): void {
    const stayed = this.#prefixes.filter(({ group }) => !this.#givenUp.has(group))
    const sorted = stayed.map(({ seen }) => seen).toSorted((a, b) => a.size - b.size)
    for (const [i, larger] of sorted.entries()) {
      const smaller = sorted[i - 1] ?? new Set<string>()
      for (const name of smaller) {
        const isSeen = larger.has(name) || this.#reported.has(name)
        assert(isSeen, () => `H3: one strong read sees ${name}, another sees others`)
      }
    }
  }

  /** Whether a conflict may leave it out. */
  #mayGo(name: string): boolean {
    return this.byName.get(name)?.kind === MAY_ABORT
  }

  /** What is expected of every write but of one that a removed group had not shipped. */
  #expect(isSo: boolean, name: string, { group }: Since, what: () => string): void {
    if (isSo) return
    assert(this.#moves, what)
    this.#doubts.push({ name, group, what: what() })
  }

  #mustShow(write: Asked, read: Asked): boolean {
    if (mustShow(write, read)) return true
    // However many there were: who joins has all that was acknowledged before anybody counts it.
    const least = leastOf(write.reach, this.#least) + leastOf(read.reach, this.#least)
    return this.#moves && least > this.#most
  }

  #asked(level: AckLevel | ReadLevel, group: string, applied = 0): Asked {
    const { originOf, since } = this.#views
    return asked(level, originOf(group), since(group, applied))
  }
}

/** Whoever carries a change of the schema out may be in another zone, and know others. */
function ackOf({ kind, ack }: Write): AckLevel {
  if (kind !== SCHEMA_WORK) return ack
  return ack === 'local-quorum' ? 'majority' : ack === 'each-quorum' ? 'quorum' : ack
}
