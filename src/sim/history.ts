/**
 * What clients were told, and whether it can be true. Every write leaves a row in `ops` that names
 * it, so that a read shows which writes it saw, and a second execution shows as a second row.
 *
 * H1 a write runs at most once, however often it is retried (D9)
 * H2 a session sees its own acknowledged writes and never goes back (D4)
 * H3 a strong read sees all that was acknowledged, or read safely, before it began (D5)
 * H4 what was acknowledged at `majority` or read at `session` or above is there for ever (D1, D8)
 * H5 what was refused left nothing
 * H6 a read sees whole transactions: balances, counters and totals fit (D2, D3)
 * H7 an answer belongs to one execution: no two writes are told the same count or the same new id
 */
import { assert } from '../base/assert.ts'
import type { AckLevel, ReadLevel } from '../model/request.ts'
import type { Fact } from './tables.ts'
import { nameOf, type SessionView, type Write, WriteBook } from './write-book.ts'

/** What a read saw, all of it in one snapshot. */
export interface Sight {
  /** Names of the writes that it saw. */
  readonly ops: readonly string[]
  readonly facts: readonly Fact[]
}

export interface Read {
  readonly session: SessionView
  readonly level: ReadLevel
  /** How much of `must` there was when it began. */
  readonly since: number
}

export class History extends WriteBook {
  /** Writes that every strong read from now on must see, in the order in which that became so. */
  readonly #must: string[] = []
  readonly #mustSet = new Set<string>()

  /** @param answer what it was told that nobody else may be told, if anything */
  acknowledged(session: SessionView, write: Write, answer: string | null): void {
    write.status = 'ok'
    this.counts.ok += 1
    if (!this.lasts(write.ack)) return
    const name = nameOf(write)
    session.must.add(name)
    this.#mustSee(name)
    this.told(name, answer)
  }

  /** A lower level may still be taken back, by design. */
  lasts(ack: AckLevel): boolean {
    return ack === 'majority' || ack === 'all'
  }

  startRead(session: SessionView, level: ReadLevel): Read {
    return { session, level, since: this.#must.length }
  }

  endRead(read: Read, sight: Sight): void {
    const { session, level } = read
    this.counts.reads += 1
    const seen = checkRead(read, sight)
    if (level === 'local') return
    if (level === 'strong') {
      this.counts.strong += 1
      for (let i = 0; i < read.since; i += 1) {
        const name = this.#must[i] as string
        assert(seen.has(name), () => `H3: ${whatIs(read)} does not see ${name}`)
      }
    }
    for (const name of seen) {
      session.must.add(name)
      this.#mustSee(name)
    }
  }

  /** The session's token was refused, which may only follow from what it took at `local`. */
  forget(session: SessionView): void {
    session.must.clear()
  }

  /** Compares the content that is left with all that was said. */
  finish(sight: Sight): void {
    const seen = checkSight(sight, () => 'the end')
    for (const name of this.#must) assert(seen.has(name), () => `H4: ${name} is lost`)
    this.checkAsked(seen)
  }

  #mustSee(name: string): void {
    if (this.#mustSet.has(name)) return
    this.#mustSet.add(name)
    this.#must.push(name)
  }
}

/** What a read is called where it is wrong. */
export function whatIs({ session, level }: Read): string {
  return `a ${level} read of ${session.name}`
}

/** H1, H2 and H6 of what a read saw. Returns the names of the writes that it saw. */
export function checkRead(read: Read, sight: Sight): ReadonlySet<string> {
  const { session, level } = read
  const seen = checkSight(sight, () => whatIs(read))
  for (const name of level === 'local' ? [] : session.must) {
    assert(seen.has(name), () => `H2: ${whatIs(read)} does not see ${name} any more`)
  }
  return seen
}

/** H1 and H6 of one sight. Returns the names of the writes that it saw. */
export function checkSight({ ops, facts }: Sight, what: () => string): ReadonlySet<string> {
  const seen = new Set(ops)
  if (seen.size < ops.length) {
    const twice = ops.filter((name, i) => ops.indexOf(name) < i)
    assert(false, () => `H1: ${what()} sees ${twice} more than once`)
  }
  for (const { name, left, right } of facts) {
    assert(left === right, () => `H6: ${what()} sees ${name}: ${left} and ${right}`)
  }
  return seen
}
