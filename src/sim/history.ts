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

export type Status = 'pending' | 'ok' | 'failed' | 'unknown'

export interface Write {
  readonly session: string
  readonly number: number
  readonly kind: string
  readonly ack: AckLevel
  status: Status
  /** An attempt may have run although it was not answered. */
  doubtful: boolean
}

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

/** What one session must find again. */
export class SessionView {
  readonly name: string
  readonly must = new Set<string>()

  constructor(name: string) {
    this.name = name
  }
}

export function nameOf(write: { readonly session: string; readonly number: number }): string {
  return `${write.session}/${write.number}`
}

export class History {
  readonly writes: Write[] = []
  readonly #byName = new Map<string, Write>()
  /** Writes that every strong read from now on must see, in the order in which that became so. */
  readonly #must: string[] = []
  readonly #mustSet = new Set<string>()
  readonly #answers = new Map<string, string>()
  readonly counts = { ok: 0, failed: 0, unknown: 0, reads: 0, strong: 0 }

  begin(session: SessionView, number: number, kind: string, ack: AckLevel): Write {
    const name = session.name
    const write: Write = { session: name, number, kind, ack, status: 'pending', doubtful: false }
    this.writes.push(write)
    this.#byName.set(nameOf(write), write)
    return write
  }

  /** @param answer what it was told that nobody else may be told, if anything */
  acknowledged(session: SessionView, write: Write, answer: string | null): void {
    write.status = 'ok'
    this.counts.ok += 1
    if (!this.lasts(write.ack)) return
    const name = nameOf(write)
    session.must.add(name)
    this.#mustSee(name)
    if (answer === null) return
    const other = this.#answers.get(answer) ?? name
    assert(other === name, () => `H7: ${name} and ${other} were both told ${answer}`)
    this.#answers.set(answer, name)
  }

  /** A lower level may still be taken back, by design. */
  lasts(ack: AckLevel): boolean {
    return ack === 'majority' || ack === 'all'
  }

  failed(write: Write): void {
    write.status = write.doubtful ? 'unknown' : 'failed'
    this.counts[write.status] += 1
  }

  unknown(write: Write): void {
    write.status = 'unknown'
    this.counts.unknown += 1
  }

  startRead(session: SessionView, level: ReadLevel): Read {
    return { session, level, since: this.#must.length }
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
    if (level === 'strong') {
      this.counts.strong += 1
      for (let i = 0; i < read.since; i += 1) {
        const name = this.#must[i] as string
        assert(seen.has(name), () => `H3: ${what()} does not see ${name}`)
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
    for (const write of this.writes) {
      const name = nameOf(write)
      assert(
        write.status !== 'failed' || !seen.has(name),
        () => `H5: ${name} (${write.kind}) was refused and is there`,
      )
    }
    for (const name of seen) assert(this.#byName.has(name), () => `H1: nobody asked for ${name}`)
  }

  #mustSee(name: string): void {
    if (this.#mustSet.has(name)) return
    this.#mustSet.add(name)
    this.#must.push(name)
  }
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
