/**
 * What the leader adds to the log: entries of the transactions that it ran, and those that nobody
 * ran. With several origins each is also an entry of its own origin, which the others get.
 */
import { assert } from '../../base/assert.ts'
import { next, type Term } from '../../base/brand.ts'
import { QuorateError } from '../../base/errors.ts'
import { LIMITS } from '../../base/limits.ts'
import type { Batch, Entry, EntryKind } from '../../model/entry.ts'
import { encodeBatch, sealEntry } from '../../model/entry-codec.ts'
import type { OriginEntry, OriginOperation } from '../../model/origin-entry.ts'
import type { Connections } from '../connections.ts'
import type { Log } from '../log.ts'
import type { Origins } from '../origins/origins.ts'
import { partOperations } from '../origins/own-operations.ts'
import type { Originating } from '../types.ts'
import { BatchLost } from './scope.ts'

/** What one command runs under. */
export interface Round {
  readonly term: Term
  readonly at: number
  readonly originating?: Originating | undefined
}

/** What transactions did, each changeset one of them if there are several origins. */
type Effects = Omit<Batch, 'own'>

export class LeaderLog {
  readonly #connections: Connections
  readonly #log: Log
  readonly #origins: Origins
  #term: Term
  #at = 0
  #originating: Originating | null = null
  /** The own entry in the one that is about to be logged. */
  #made: OriginEntry | null = null

  constructor(connections: Connections, log: Log, origins: Origins) {
    this.#connections = connections
    this.#log = log
    this.#origins = origins
    this.#term = log.last.term
  }

  /** Null: there is one leader. */
  get originating(): Originating | null {
    return this.#originating
  }

  /** Everything that follows is under this. */
  begin(round: Round): void {
    const { term, at } = round
    const originating = round.originating ?? null
    const { last } = this.#log
    assert(term >= last.term, () => `execution in term ${term} after ${last.term}`)
    const merges = this.#origins.state !== null
    assert(merges === (originating !== null), () => `several origins: ${merges}, not as asked`)
    this.#term = term
    this.#at = at
    this.#originating = originating
  }

  /**
   * Logs on the writer what is in the data already, in the transaction that is open.
   *
   * Throws BatchLost if it is too large, SCHEMA_CHANGE_PENDING, TOO_LARGE.
   */
  data(effects: Effects): Entry {
    const { writer } = this.#connections
    const entry = this.#entry('data', this.#body(effects))
    this.#log.write(writer, entry)
    this.#log.saveApplied(writer, entry.index)
    return entry
  }

  /** The transaction of `data` has committed. */
  committed(entry: Entry): void {
    this.#log.notedEntries([entry])
    this.#log.notedApplied(entry.index)
    this.#originated(entry, true)
  }

  /** Logs what is applied once it is committed. Throws as `data`. */
  schema(effects: Effects): Entry {
    return this.#unapplied(this.#body(effects))
  }

  /** Logs an entry of our own that is no client's. See StoreCommand. */
  originate(
    term: Term,
    at: number,
    answer: OriginEntry['answer'],
    operations: readonly OriginOperation[],
  ): Entry {
    this.#origins.check(operations)
    this.#term = term
    this.#at = at
    this.#made = this.#origins.own(operations, answer, at)
    const empty = { transactions: 0, writes: [], operations: [] }
    // Right after founding the writer does not know yet that there is a log.
    return this.#unapplied(encodeBatch({ ...empty, own: this.#made }), this.#connections.applier)
  }

  /** Logs an entry without SQL effect. It counts as applied if everything before it is. */
  propose(term: Term, at: number, kind: EntryKind, body: Uint8Array): Entry {
    const log = this.#log
    const { applier } = this.#connections
    const entry = sealEntry({ index: next(log.last.index), term, kind, at, body })
    const applies = log.applied === log.last.index
    this.#connections.transaction(applier, () => {
      log.write(applier, entry)
      if (applies) log.saveApplied(applier, entry.index)
    })
    log.notedEntries([entry])
    if (applies) log.notedApplied(entry.index)
    return entry
  }

  #unapplied(body: Uint8Array, by = this.#connections.writer): Entry {
    const entry = this.#entry('schema', body)
    this.#connections.transaction(by, () => this.#log.write(by, entry))
    this.#log.notedEntries([entry])
    this.#originated(entry, false)
    return entry
  }

  /** An entry has been logged for good. */
  #originated({ index }: Entry, applied: boolean): void {
    if (this.#made !== null) this.#origins.logged(this.#made, index, applied)
    this.#made = null
  }

  #entry(kind: 'data' | 'schema', body: Uint8Array): Entry {
    if (body.length > LIMITS.entryBytesMax) throw new BatchLost(`an entry of ${body.length} bytes`)
    const index = next(this.#log.last.index)
    return sealEntry({ index, term: this.#term, kind, at: this.#at, body })
  }

  #body(effects: Effects): Uint8Array {
    this.#made = null
    if (this.#originating === null) return encodeBatch(effects)
    const { answer, schema } = this.#originating
    const [origins, at] = [this.#origins, this.#at]
    const { own, rest } = partOperations(effects.operations, () => origins.nextTime(at))
    if (own.length === 0) return encodeBatch({ ...effects, operations: rest })
    if (schema !== 'any') this.#assertFree()
    this.#made = origins.own(own, answer, at)
    return encodeBatch({ ...effects, operations: rest, own: this.#made })
  }

  /** What is agreed on under a hold is that nobody makes transactions. */
  #assertFree(): void {
    if (this.#origins.state?.held !== true) return
    const detail = 'The schema or the rules are about to change, so nothing was written. Try again.'
    throw new QuorateError('SCHEMA_CHANGE_PENDING', detail)
  }
}
