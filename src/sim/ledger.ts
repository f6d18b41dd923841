/**
 * What each node's log holds and how much of it a crash would leave, kept outside the nodes from
 * what goes through their store and disk. The checkers ask here, never a node, what is the case.
 */
import { assert, present } from '../base/assert.ts'
import type { NodeId } from '../base/brand.ts'
import type { LogState } from '../core/order/leader/types.ts'
import type { Entry, EntryId } from '../model/entry.ts'
import { decodeMembers } from '../model/entry-codec.ts'
import type { Members } from '../model/members.ts'
import type { StoreCommand, StoreReply } from '../store/types.ts'

interface Held {
  readonly entry: Entry
  /** Which of this disk's writes brought it. */
  readonly write: number
}

export class NodeLedger {
  readonly id: NodeId
  base: EntryId
  #held: Held[] = []
  /** Members as of the base, then of each `members` entry. */
  #members: { readonly index: number; readonly members: Members }[] = []
  #writes = 0
  #flushed = 0
  /** What the database's content is the result of. */
  applied: number

  constructor(id: NodeId, log: LogState, entries: readonly Entry[]) {
    this.id = id
    this.base = log.base
    this.applied = log.applied
    this.#load(log, entries)
  }

  get last(): EntryId {
    return this.#held.at(-1)?.entry ?? this.base
  }

  get members(): Members {
    return present(this.#members.at(-1), () => `members on ${this.id}`).members
  }

  /** Number of the newest write; a flush that begins now covers it. */
  get writes(): number {
    return this.#writes
  }

  get entries(): readonly Entry[] {
    return this.#held.map(({ entry }) => entry)
  }

  entryAt(index: number): Entry | null {
    return this.#held[index - this.base.index - 1]?.entry ?? null
  }

  /** Term at an index that is in the log or its base; null otherwise. */
  termAt(index: number): number | null {
    return index === this.base.index ? this.base.term : (this.entryAt(index)?.term ?? null)
  }

  /** A crash now would leave this entry, or a state that includes it. */
  holdsDurably(id: EntryId): boolean {
    if (id.index <= this.base.index) return true
    const held = this.#held[id.index - this.base.index - 1]
    return held !== undefined && held.entry.term === id.term && held.write <= this.#flushed
  }

  /** The store carried out a command. Returns the entries that it added and removed. */
  ran(command: StoreCommand, reply: StoreReply): Changes {
    if (reply.kind === 'failed') return NOTHING
    this.#writes += 1
    switch (command.kind) {
      case 'execute':
      case 'streamRun':
      case 'propose':
      case 'originate':
      case 'merge':
        assert(reply.kind === 'executed', () => `${command.kind} answered ${reply.kind}`)
        return this.#executed(reply.entries)
      case 'append':
        this.#add(command.entries)
        return { added: command.entries, removed: [] }
      case 'truncate':
        return this.#truncated(command.to, reply)
      case 'apply':
        if (reply.kind === 'applied') this.applied = Math.max(this.applied, reply.index)
        return NOTHING
      case 'compact':
        this.#compacted(command.to)
        return NOTHING
      default:
        return NOTHING
    }
  }

  /** A flush returned that began when `writes` had this value. */
  flushedThrough(write: number): void {
    this.#flushed = Math.max(this.#flushed, write)
  }

  /** The whole file was replaced, durably. */
  replaced(log: LogState, entries: readonly Entry[]): void {
    this.base = log.base
    this.applied = log.applied
    this.#load(log, entries)
  }

  /** What a reopened file must still have. */
  durableEntries(): readonly Entry[] {
    return this.#held.filter(({ write }) => write <= this.#flushed).map(({ entry }) => entry)
  }

  #load(log: LogState, entries: readonly Entry[]): void {
    this.#held = entries.map((entry) => ({ entry, write: 0 }))
    assert(this.last.index === log.last.index, () => `${this.id}: log ends at ${this.last.index}`)
    this.#members = [...log.members]
  }

  #executed(entries: readonly Entry[]): Changes {
    this.#add(entries)
    // A leader has the effects of what it made in its file, except of what has no inverse.
    for (const { kind, index } of entries) {
      const waits = kind === 'schema' || kind === 'merge'
      if (!waits && this.applied === index - 1) this.applied = index
    }
    return { added: entries, removed: [] }
  }

  #add(entries: readonly Entry[]): void {
    for (const entry of entries) {
      const { last } = this
      assert(entry.index === last.index + 1, () => `${this.id}: ${entry.index} after ${last.index}`)
      this.#held.push({ entry, write: this.#writes })
      if (entry.kind === 'members') {
        this.#members.push({ index: entry.index, members: decodeMembers(entry.body) })
      }
    }
  }

  #truncated(to: number, reply: StoreReply): Changes {
    const removed = this.#held.splice(Math.max(0, to - this.base.index)).map(({ entry }) => entry)
    while ((this.#members.at(-1)?.index ?? 0) > to) this.#members.pop()
    if (reply.kind === 'truncated') this.applied = reply.applied
    return { added: [], removed }
  }

  #compacted(to: number): void {
    const term = this.termAt(to)
    assert(term !== null, () => `${this.id}: compacted to ${to} of ${this.last.index}`)
    this.#held.splice(0, to - this.base.index)
    this.base = { index: to, term } as EntryId
  }
}

export interface Changes {
  readonly added: readonly Entry[]
  readonly removed: readonly Entry[]
}

const NOTHING: Changes = { added: [], removed: [] }
