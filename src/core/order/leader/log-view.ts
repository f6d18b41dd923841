/**
 * What the core knows of the log: where it begins and ends, where terms begin, which entries change
 * the members. No bodies, so a log of any length costs a few objects, and `termAt` a short search.
 */
import { assert, present } from '../../../base/assert.ts'
import type { LogIndex, Term } from '../../../base/brand.ts'
import { previous } from '../../../base/brand.ts'
import type { Entry, EntryId } from '../../../model/entry.ts'
import { decodeMembers } from '../../../model/entry-codec.ts'
import type { Members } from '../../../model/members.ts'
import type { LogState } from './types.ts'

interface MembersAt {
  readonly index: LogIndex
  readonly members: Members
}

export class LogView {
  #base: EntryId
  #last: EntryId
  /** First index of each term; the first element stands for the base. */
  #terms: EntryId[]
  #members: MembersAt[]

  constructor(log: LogState) {
    this.#base = log.base
    this.#last = log.last
    this.#terms = log.terms.filter((run) => run.index > log.base.index)
    this.#terms.unshift(log.base)
    this.#members = [...log.members]
    assert(this.#members.length > 0, () => 'L4: a log without members')
  }

  get base(): EntryId {
    return this.#base
  }

  get last(): EntryId {
    return this.#last
  }

  /** The configuration in force: that of the last `members` entry, committed or not. */
  get members(): Members {
    return this.#membersAt.members
  }

  /** Where the configuration in force was logged. */
  get membersIndex(): LogIndex {
    return this.#membersAt.index
  }

  /** The configuration that was in force at an index from the base on. */
  membersAt(index: LogIndex): Members {
    const at = this.#members.findLast((change) => change.index <= index) ?? this.#members[0]
    return present(at, () => `members at ${index}`).members
  }

  /** The term of the entry at an index, or null if the log does not hold it (any more). */
  termAt(index: LogIndex): Term | null {
    if (index < this.#base.index || index > this.#last.index) return null
    return this.#runOf(index).term
  }

  has(id: EntryId): boolean {
    return this.termAt(id.index) === id.term
  }

  idAt(index: LogIndex): EntryId {
    const term = present(this.termAt(index), () => `term of entry ${index}`)
    return { term, index }
  }

  /**
   * Where a leader whose entry `prev` is not ours should look next: below `prev`, at the highest
   * place where the two logs may agree, so that a whole term is skipped with each question.
   */
  hintBelow(prev: EntryId): LogIndex {
    if (prev.index > this.#last.index) return this.#last.index
    let run = this.#runOf(prev.index)
    // Below `prev` the leader has no term above prev.term; if ours is lower, ours there is wrong.
    if (run.term > prev.term) {
      while (run.term > prev.term && run.index > this.#base.index) {
        const before = previous(run.index)
        run = this.#runOf(before)
        if (run.term <= prev.term) return before
      }
      return this.#base.index
    }
    return run.index > this.#base.index ? previous(run.index) : this.#base.index
  }

  append(entries: readonly Entry[]): void {
    for (const entry of entries) {
      const { index, term } = entry
      const { last } = this
      assert(index === last.index + 1, () => `L4: entry ${index} after ${last.index}`)
      assert(term >= last.term, () => `L4: term ${term} after ${last.term} at ${index}`)
      if (term > last.term) this.#terms.push({ term, index })
      if (entry.kind === 'members') {
        this.#members.push({ index, members: decodeMembers(entry.body) })
      }
      this.#last = { term, index }
    }
  }

  /** Forgets every entry above an index that is held. */
  truncate(to: LogIndex): void {
    this.#last = this.idAt(to)
    this.#terms = this.#terms.filter((run, position) => position === 0 || run.index <= to)
    this.#members = this.#members.filter((at, position) => position === 0 || at.index <= to)
  }

  /** Forgets every entry through `base`, keeping what is needed to append after it. */
  compact(base: EntryId): void {
    if (base.index <= this.#base.index) return
    assert(this.has(base), () => `L4: compacted to ${base.term}/${base.index}, not in the log`)
    this.#terms = this.#terms.filter((run) => run.index > base.index)
    this.#terms.unshift(base)
    const kept = this.#members.findLastIndex((at) => at.index <= base.index)
    this.#members = this.#members.slice(Math.max(0, kept))
    this.#base = base
  }

  get #membersAt(): MembersAt {
    return present(this.#members.at(-1), () => 'members')
  }

  /** The newest terms are asked for most, so the search starts there. */
  #runOf(index: LogIndex): EntryId {
    for (let i = this.#terms.length - 1; i >= 0; i -= 1) {
      const run = this.#terms[i]
      if (run !== undefined && run.index <= index) return run
    }
    return this.#base
  }
}
