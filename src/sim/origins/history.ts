/**
 * What clients of several groups were told, and whether it can be true. As with one leader every
 * write leaves a row in `ops`, which nothing removes but the rule `abort`; so whatever a read must
 * see is a question about sets. H1, H5, H6 and H7 as in ../history.ts; of the others:
 *
 * H2 a session sees its own acknowledged writes and what it has read, at whatever group it asks
 * H3 a strong read sees what was acknowledged at `stable` before it began, and all that another
 *    strong read saw that ended before; of any two, one sees all that the other sees
 * H4 what was acknowledged above `local` or read above it is in the data for ever, or a conflict
 * H10 a read that consults R groups sees what was acknowledged by W before it began, if W + R > N
 */
import { assert } from '../../base/assert.ts'
import type { AckLevel, ReadLevel } from '../../model/request.ts'
import type { Records } from '../client.ts'
import { checkSight, type Read, type Sight } from '../history.ts'
import { nameOf, type SessionView, type Write, WriteBook } from '../write-book.ts'
import { MAY_ABORT } from './tables.ts'

interface Acked {
  readonly name: string
  /** Groups that held it. */
  readonly copies: number
}

export class OriginsHistory extends WriteBook implements Records {
  readonly #groups: number
  readonly #lasting = new Set<string>()
  /** In the order in which they were acknowledged. */
  readonly #acked: Acked[] = []
  /** What every strong read from now on must see, in the order in which that became so. */
  readonly #final: string[] = []
  /** What each strong read saw. */
  readonly #prefixes: ReadonlySet<string>[] = []
  /** How much of both there was when a read began. */
  readonly #since = new WeakMap<Read, { readonly acked: number; readonly final: number }>()

  /** @param groups how many there are, for ever */
  constructor(groups: number) {
    super()
    this.#groups = groups
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
    this.#acked.push({ name, copies: this.#countOf(write.ack) })
    if (write.ack === 'stable') this.#final.push(name)
    this.told(name, answer)
  }

  startRead(session: SessionView, level: ReadLevel): Read {
    const read = { session, level, since: 0 }
    this.#since.set(read, { acked: this.#acked.length, final: this.#final.length })
    return read
  }

  endRead(read: Read, sight: Sight): void {
    const { session, level } = read
    this.counts.reads += 1
    const what = (): string => `a ${level} read of ${session.name}`
    const seen = checkSight(sight, what)
    if (level === 'local') return
    for (const name of session.must) {
      assert(seen.has(name), () => `H2: ${what()} does not see ${name} any more`)
    }
    const since = this.#since.get(read) ?? { acked: 0, final: 0 }
    if (level === 'strong') {
      this.counts.strong += 1
      for (const name of this.#final.slice(0, since.final)) {
        assert(seen.has(name), () => `H3: ${what()} does not see ${name}`)
      }
      this.#final.push(...seen)
      this.#prefixes.push(seen)
    } else if (level !== 'session') {
      this.counts.quorum += 1
      const consulted = this.#countOf(level)
      for (const { name, copies } of this.#acked.slice(0, since.acked)) {
        assert(
          copies + consulted <= this.#groups || seen.has(name),
          () => `H10: ${what()} does not see ${name}, which ${copies} hold`,
        )
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
      assert(seen.has(name) || aborted.has(name), () => `H4: ${name} is lost`)
    }
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
        assert(larger.has(name), () => `H3: one strong read sees ${name}, another sees others`)
      }
    }
  }

  /** Whether a conflict may leave it out. */
  #mayGo(name: string): boolean {
    return this.byName.get(name)?.kind === MAY_ABORT
  }

  /** How many groups a level speaks of. */
  #countOf(level: AckLevel | ReadLevel): number {
    if (typeof level === 'number') return level
    if (level === 'quorum') return Math.floor(this.#groups / 2) + 1
    // What is stable is final, but the others need not hold it yet.
    return level === 'all' ? this.#groups : 1
  }
}
