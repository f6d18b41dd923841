/**
 * The invariants of the order and of the disks, checked after every step by someone who stands
 * outside the nodes and knows the truth. Each is numbered; the design's list "What must always
 * hold" says what it is for (D1 to D9).
 *
 * S1 at most one leader in a term (D1)
 * S2 one entry for ever at a committed index, on every node (D1, D2)
 * S3 what is committed was durable on a majority of voters at that moment (D1)
 * S4 a new leader has every entry committed in an earlier term (D1)
 * S5 entries with the same index and term are the same, and so are all before them (D2)
 * S6 a leader commits by counting only entries of its own term (D1; Raft 5.4.2)
 * S7 a committed entry is never taken back, a node's commit index never falls (D1)
 * S8 a file opened after a crash has all that was flushed (D1)
 * S9 what is taken back is kept in a file (D6)
 */
import { assert, present } from '../base/assert.ts'
import type { NodeId } from '../base/brand.ts'
import type { Role } from '../core/order/leader/types.ts'
import type { Entry, EntryId } from '../model/entry.ts'
import type { Members } from '../model/members.ts'
import type { NodeLedger } from './ledger.ts'

/** What a checker may see of a node after a step. */
export interface View {
  readonly id: NodeId
  readonly role: Role
  readonly term: number
  readonly commit: number
  /** What the node itself believes: its store may still have to do what it ordered. */
  termAt(index: number): number | null
  /** In force as the node knows: its store may have logged a change that it has not been told of. */
  readonly members: Members
  readonly ledger: NodeLedger
}

interface Committed {
  readonly entry: Entry
  /** Term of the leader that committed it. */
  readonly by: number
}

interface Known {
  readonly checksum: number
  readonly previousTerm: number
  readonly entry: Entry
}

export class OrderChecker {
  readonly #ledgers: ReadonlyMap<NodeId, NodeLedger>
  readonly #leaders = new Map<number, NodeId>()
  readonly #known = new Map<string, Known>()
  readonly #removed = new Set<string>()
  readonly #seen = new Map<NodeId, { role: Role; term: number; commit: number }>()
  readonly #base: EntryId
  /** From #base on: entry at index i is at i - base - 1. */
  readonly #committed: Committed[] = []

  constructor(ledgers: ReadonlyMap<NodeId, NodeLedger>, base: EntryId) {
    this.#ledgers = ledgers
    this.#base = base
  }

  /** Highest index that any node ever knew to be committed. */
  get commit(): number {
    return this.#base.index + this.#committed.length
  }

  committedAt(index: number): Entry | null {
    return this.#committed[index - this.#base.index - 1]?.entry ?? null
  }

  /** All entries up to this one, back to the founding: the only history that can lead to it. */
  historyOf(id: EntryId): readonly Entry[] {
    const entries: Entry[] = []
    let { index, term } = id as { index: number; term: number }
    while (index > this.#base.index) {
      const known = present(this.#known.get(`${index} ${term}`), () => `entry ${index} of ${term}`)
      entries.push(known.entry)
      index -= 1
      term = known.previousTerm
    }
    return entries.reverse()
  }

  /** The group begins with entries in its log, all of them committed. */
  founded(entries: readonly Entry[]): void {
    for (const entry of entries) {
      if (entry.index > this.commit) this.#committed.push({ entry, by: entry.term })
    }
  }

  /** A node's log grew or a file was opened. */
  added(ledger: NodeLedger, entries: readonly Entry[]): void {
    for (const entry of entries) {
      const { index, term, checksum } = entry
      const previousTerm = ledger.termAt(index - 1)
      assert(previousTerm !== null, () => `S5: ${ledger.id} has ${index} without the one before`)
      const key = `${index} ${term}`
      const known = this.#known.get(key)
      if (known === undefined) {
        this.#known.set(key, { checksum, previousTerm, entry })
        continue
      }
      assert(
        known.checksum === checksum && known.previousTerm === previousTerm,
        () =>
          `S5: ${ledger.id} has another entry ${index} of term ${term}: ${checksum} after term ` +
          `${previousTerm}, elsewhere ${known.checksum} after term ${known.previousTerm}`,
      )
    }
  }

  /** Some node that had this entry dropped it. */
  takenBack({ index, term }: EntryId): boolean {
    return this.#removed.has(`${index} ${term}`)
  }

  /** A node's log lost its end. */
  removed(ledger: NodeLedger, entries: readonly Entry[]): void {
    for (const { index, term } of entries) {
      this.#removed.add(`${index} ${term}`)
      const committed = this.committedAt(index)
      assert(
        committed === null || committed.term !== term,
        () => `S7: ${ledger.id} took back entry ${index} of term ${term}, which is committed`,
      )
    }
  }

  /** A node starts again from its file: its commit index may be a lower one now. */
  restarted(id: NodeId): void {
    this.#seen.delete(id)
  }

  /** Looks at a node after it did something. */
  observe(view: View): void {
    const was = this.#seen.get(view.id)
    if (
      was !== undefined &&
      was.role === view.role &&
      was.term === view.term &&
      was.commit === view.commit
    ) {
      return
    }
    const { role, term, commit } = view
    this.#seen.set(view.id, { role, term, commit })
    assert(
      was === undefined || commit >= was.commit,
      () => `S7: ${view.id} commits ${commit} again`,
    )
    if (role === 'leader') this.#leads(view, was?.role === 'leader' && was.term === term)
    const from = was?.commit ?? view.ledger.base.index
    // A leader may commit and step down in one step: its own removal, for example.
    const led = role === 'leader' || (was?.role === 'leader' && was.term === term)
    if (commit > from || was === undefined) this.#commits(view, from, led)
  }

  #leads(view: View, already: boolean): void {
    const { id, term, ledger } = view
    const other = this.#leaders.get(term) ?? id
    assert(other === id, () => `S1: ${id} and ${other} lead in term ${term}`)
    this.#leaders.set(term, id)
    if (already) return
    for (let i = this.#committed.length - 1; i >= 0; i -= 1) {
      const { entry, by } = present(this.#committed[i], () => 'committed')
      if (by >= term) continue
      if (entry.index <= ledger.base.index) break
      assert(
        view.termAt(entry.index) === entry.term,
        () => `S4: ${id} leads term ${term} without entry ${entry.index} of term ${entry.term}`,
      )
      // By S5 the rest follows from this one.
      break
    }
  }

  #commits(view: View, from: number, led: boolean): void {
    const { ledger, commit } = view
    this.#baseIsCommitted(ledger)
    for (let index = Math.max(from, ledger.base.index) + 1; index <= commit; index += 1) {
      const committed = this.committedAt(index)
      if (committed === null) {
        const entry = ledger.entryAt(index)
        assert(entry !== null, () => `S3: ${view.id} commits ${index} before it is in its log`)
        assert(led, () => `S3: ${view.id} commits ${index} before any leader, as ${view.role}`)
        this.#first(view, entry)
        continue
      }
      const term = view.termAt(index)
      assert(
        term === committed.term,
        () =>
          `S2: ${view.id} commits at ${index} the entry of term ${term}, ` +
          `committed is the one of term ${committed.term}`,
      )
    }
  }

  /** A node's store applied entries, which only committed ones may be. */
  applied(ledger: NodeLedger, from: number, to: number): void {
    for (let index = Math.max(from, ledger.base.index) + 1; index <= to; index += 1) {
      const [entry, committed] = [ledger.entryAt(index), this.committedAt(index)]
      assert(
        entry !== null && committed !== null && entry.checksum === committed.checksum,
        () =>
          `S2: ${ledger.id} applies at ${index} the entry of term ${entry?.term}, ` +
          `committed is the one of term ${committed?.term}`,
      )
    }
  }

  #baseIsCommitted(ledger: NodeLedger): void {
    const { index, term } = ledger.base
    if (index <= this.#base.index) return
    const committed = this.committedAt(index)
    assert(
      committed !== null && committed.term === term,
      () => `S2: ${ledger.id} begins after ${index} of term ${term}, which is not committed`,
    )
  }

  /** An entry is committed for the first time: was that right? */
  #first(view: View, entry: Entry): void {
    const { id, term, commit, ledger, members } = view
    const { index } = entry
    const top = ledger.termAt(commit)
    assert(
      top === term,
      () => `S6: ${id} commits through ${commit} of term ${top} by counting in term ${term}`,
    )
    const holders = this.#holders(members, entry)
    const voters = members.members.filter((member) => member.role === 'voter')
    assert(
      holders.length * 2 > voters.length,
      () =>
        `S3: ${id} commits ${index} of term ${entry.term}, durable on [${holders}] ` +
        `of the voters [${voters.map((voter) => voter.name)}]`,
    )
    this.#committed.push({ entry, by: term })
    assert(this.commit === index, () => `S2: committed ${index} after ${this.commit - 1}`)
  }

  /** Voters on whose disks an entry would survive a crash now. */
  #holders(members: Members, id: EntryId): readonly string[] {
    return members.members
      .filter(({ role }) => role === 'voter')
      .filter((voter) => this.#ledgers.get(voter.id)?.holdsDurably(id) === true)
      .map(({ name }) => name)
  }
}

/** S8: compares a reopened file's log with what was flushed before the crash. */
export function checkSurvivors(before: NodeLedger, after: NodeLedger): void {
  for (const { index, term } of before.durableEntries()) {
    if (index <= after.base.index) continue
    const found = after.termAt(index)
    assert(
      found === term,
      () => `S8: ${after.id} lost entry ${index} of term ${term} in a crash, it has ${found} there`,
    )
  }
}
