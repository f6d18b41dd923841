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
 *    in a zone that both count in or among all groups
 *
 * What a group had sent to nobody when it was removed is out of H3, H4 and H10, if people know of it.
 */
import { assert, present } from '../../base/assert.ts'
import { type AskedOf, mustMeet } from '../../core/order/clock/exchange/test-acks.ts'
import { quorumsOf, type Reach, type Zone } from '../../core/order/clock/quorums.ts'
import type { AckLevel, ReadLevel } from '../../model/request.ts'
import type { Records } from '../client.ts'
import { checkRead, checkSight, type Read, type Sight, whatIs } from '../history.ts'
import { nameOf, type SessionView, type Write, WriteBook } from '../write-book.ts'
import { MAY_ABORT, SCHEMA_WORK } from './tables.ts'

interface Since {
  readonly acked: number
  readonly final: number
  readonly asked: AskedOf
}

interface Acked {
  readonly name: string
  readonly ack: AckLevel
  /** Who held it. */
  readonly by: AskedOf
}

export class OriginsHistory extends WriteBook implements Records {
  readonly #zones: ReadonlyMap<string, Zone>
  /** Whether groups come and go; then so many there were at least and at most. */
  readonly #moves: boolean
  #least: number
  #most: number
  /** In files of groups that were removed before they had sent them to anybody. */
  readonly #reported = new Set<string>()
  /** What is wrong unless people know of these writes in the end. */
  readonly #doubts: { readonly name: string; readonly what: string }[] = []
  readonly #lasting = new Set<string>()
  /** In the order in which they were acknowledged. */
  readonly #acked: Acked[] = []
  /** What every strong read from now on must see, in the order in which that became so. */
  readonly #final: string[] = []
  /** What each strong read saw. */
  readonly #prefixes: ReadonlySet<string>[] = []
  /** How much of both there was when a read began, and whom it asks. */
  readonly #since = new WeakMap<Read, Since>()

  /**
   * @param zones of all groups there are at first
   * @param moves whether groups come and go
   */
  constructor(zones: ReadonlyMap<string, Zone>, moves: boolean) {
    super()
    this.#zones = zones
    this.#moves = moves
    this.#least = zones.size
    this.#most = zones.size
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

  lasts(ack: AckLevel): boolean {
    return ack !== 'local'
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
    this.#acked.push({ name, ack, by: this.#askedOf(ack, write.group) })
    if (write.ack === 'stable') this.#final.push(name)
    this.told(name, answer)
  }

  startRead(session: SessionView, level: ReadLevel, group: string): Read {
    const read = { session, level, since: 0 }
    const asked = this.#askedOf(level, group)
    this.#since.set(read, { acked: this.#acked.length, final: this.#final.length, asked })
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
        this.#expect(seen.has(name), name, () => `H3: ${what()} does not see ${name}`)
      }
      this.#final.push(...seen)
      this.#prefixes.push(seen)
    } else if (level !== 'session') {
      this.counts.quorum += 1
      for (const { name, ack, by } of this.#acked.slice(0, since.acked)) {
        const isMet = this.#moves ? this.#mustMeet(ack, level) : mustMeet(by, since.asked)
        const holders = (): string => (this.#moves ? String(ack) : JSON.stringify(by.quorums))
        const wrong = (): string => `H10: ${what()} does not see ${name}, which ${holders()} hold`
        this.#expect(!isMet || seen.has(name), name, wrong)
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
    for (const { name, what } of this.#doubts) assert(this.#reported.has(name), () => what)
    for (const name of aborted) {
      assert(this.#mayGo(name), () => `H4: ${name} was left out`)
      assert(!seen.has(name), () => `H4: ${name} was left out and is there`)
    }
    this.checkAsked(seen, aborted)
  }

  /** Strong reads see the writes up to some place each, all in the same order. */
  #checkPrefixes(): void {
    const sorted = this.#prefixes.toSorted((a, b) => a.size - b.size)
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
  #expect(isSo: boolean, name: string, what: () => string): void {
    if (isSo) return
    assert(this.#moves, what)
    this.#doubts.push({ name, what: what() })
  }

  /** The same as mustMeet where it is not known by what number of groups a level was judged. */
  #mustMeet(ack: AckLevel, level: ReadLevel): boolean {
    const isMost = (one: AckLevel | ReadLevel): boolean => one === 'quorum' || one === 'all'
    // However many there were: who joins has all that was acknowledged before anybody counts it.
    if (isMost(ack) && isMost(level)) return true
    return this.#leastOf(ack) + this.#leastOf(level) > this.#most
  }

  #leastOf(level: AckLevel | ReadLevel): number {
    const reach = reachOf(level)
    if (typeof reach === 'number') return reach
    return reach === 'all' ? this.#least : reach === 'quorum' ? Math.floor(this.#least / 2) + 1 : 1
  }

  /** Which groups a level speaks of. */
  #askedOf(level: AckLevel | ReadLevel, group: string): AskedOf {
    const zone = this.#zones.get(group) ?? null
    const groups = this.#zones.size
    return { quorums: quorumsOf(reachOf(level), this.#zones, zone), groups }
  }
}

function reachOf(level: AckLevel | ReadLevel): Reach {
  switch (level) {
    case 'local':
    case 'session':
    case 'majority':
    case 'strong':
    // What is stable is final, but the others need not hold it yet.
    case 'stable':
      return 1
    default:
      return level
  }
}

/** Whoever carries a change of the schema out may be in another zone. */
function ackOf({ kind, ack }: Write): AckLevel {
  return kind === SCHEMA_WORK && ack === 'local-quorum' ? 'majority' : ack
}
