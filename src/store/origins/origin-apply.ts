/**
 * Puts entries of origins into the data: the group's own from its log, and those that its `merge`
 * entries brought. Everything happens in the order of the log, so that all replicas of the group
 * end with the same tables; transactions that come one after the other are merged in one go.
 */
import type { DatabaseSync } from 'node:sqlite'
import type { LogIndex } from '../../base/brand.ts'
import { QuorateError } from '../../base/errors.ts'
import type { Frontier } from '../../core/order/clock/frontier.ts'
import type { Origin, Stamp } from '../../core/order/clock/stamp.ts'
import { supersedes } from '../../model/cluster-order.ts'
import type { Entry } from '../../model/entry.ts'
import {
  decodeMergeOperations,
  decodeOriginOperations,
  firstTimeOf,
} from '../../model/origin-codec.ts'
import type {
  ConflictNotice,
  MergeOperation,
  OriginEntry,
  OriginOperation,
} from '../../model/origin-entry.ts'
import type { Transaction } from '../merge/merge-tables.ts'
import type { MergeReport, OrderedTransactions } from '../merge/ordered.ts'
import { closeConflict } from '../merge/replay.ts'
import { setRule } from '../merge/rule-book.ts'
import type { Merged } from '../types.ts'
import { headOf, type Origins } from './origins.ts'
import { entryOf, lastNumberOf, Numbering, numbersOf, transactionsOf } from './transactions.ts'

/** Transactions that are read in one go before others are put among them: some 80 ms. */
const PREPARED_MAX = 20_000
/** Conflicts that one reply tells of; the rest are counted. */
const NOTICES_MAX = 100

/** What is done by the connection that applies. */
export interface ApplyHost {
  /** Puts all that waits into the data, by way of `flush` here. */
  flush(): void
  /** Runs DDL or a PRAGMA. */
  run(sql: string): void
}

/** What names an entry. */
type Named = Pick<OriginEntry, 'origin' | 'sequence'>
type Applied = Extract<MergeOperation, { kind: 'take' | 'apply' }>

export class OriginApplier {
  readonly #origins: Origins
  readonly #db: DatabaseSync
  readonly #host: ApplyHost
  /** To be merged. */
  #waiting: Transaction[] = []
  /** What waits has run at our leader where everything was as it is now. */
  #repeats = false
  /** To be taken back, in their order. */
  #withdrawn: Transaction[] = []
  #merged: Merged = NOTHING
  /** What is final has not all been forgotten. */
  #forgets: Parameters<OrderedTransactions['forget']> | null = null

  /** @param db of the applier */
  constructor(origins: Origins, db: DatabaseSync, host: ApplyHost) {
    this.#origins = origins
    this.#db = db
    this.#host = host
  }

  /** Something waits for `flush`. */
  get waits(): boolean {
    return this.#waiting.length + this.#withdrawn.length > 0
  }

  /** An entry of our own from the log. Throws LOG_CORRUPT, MERGE_FUNCTION_MISSING. */
  own(entry: OriginEntry, index: LogIndex, kind: 'data' | 'schema'): void {
    this.#origins.tables.addHead(headOf(entry), index)
    this.#apply(entry, index, kind === 'data')
  }

  /** The content of a `merge` entry. Throws LOG_CORRUPT, MERGE_FUNCTION_MISSING. */
  merge(body: Uint8Array, index: LogIndex): void {
    for (const operation of decodeMergeOperations(body)) {
      if (operation.kind === 'forget') this.#forget(operation.stable, operation.conflictsUntil)
      else this.#merge(operation, index)
    }
  }

  /**
   * Does some of what entries of the log will have to do once, in no transaction.
   *
   * @returns false: call it again, or applying them takes long
   */
  prepare(entries: readonly Entry[]): boolean {
    const bodies = entries.filter(({ kind }) => kind === 'merge').map(({ body }) => body)
    if (bodies.length === 0) return true
    const first = () => bodies.flatMap(decodeMergeOperations).flatMap(firstOf)
    return this.#origins.ordered.prepare(first, PREPARED_MAX)
  }

  /** Goes on forgetting what is final. It makes no difference to anybody when that happens. */
  tidy(): void {
    if (this.#forgets !== null && this.#origins.ordered.forget(...this.#forgets)) {
      this.#forgets = null
    }
  }

  /** An entry of our own is taken back, the last one first. */
  undo(entry: OriginEntry): void {
    this.#withdrawn.unshift(...transactionsOf(entry))
  }

  /** Puts what waits in its place, or takes it back. Throws LOG_CORRUPT. */
  flush(): void {
    const [waiting, withdrawn] = [this.#waiting, this.#withdrawn]
    this.#waiting = []
    this.#withdrawn = []
    this.#origins.ordered.withdraw(withdrawn)
    if (waiting.length > 0) this.#mergeAll(waiting)
  }

  /** After COMMIT: what came of others did, and what of it is new in quorate_conflicts. */
  report(): Merged | null {
    const merged = this.#merged
    this.#merged = NOTHING
    const { transactions, takenBack, conflictCount } = merged
    return transactions + takenBack + conflictCount > 0 ? merged : null
  }

  /** After a rollback. */
  abandon(): void {
    this.#waiting = []
    this.#withdrawn = []
    this.#merged = NOTHING
    this.#forgets = null
  }

  // Merge entries

  #merge(operation: Applied, index: LogIndex): void {
    const { tables } = this.#origins
    if (operation.kind === 'apply') {
      const { origin, sequence } = operation
      const kept = tables.takeKept(origin, sequence)
      if (kept === null) throw corrupt(operation, 'it was not kept.')
      this.#apply(kept, this.#origins.placeOf(kept))
      return
    }
    const { entry, apply } = operation
    const held = tables.heldOf(entry.origin)
    // Taken by two leaders of the group, one after the other.
    if (entry.sequence <= held) return
    if (entry.sequence > held + 1) throw corrupt(entry, `entry ${held + 1} is missing.`)
    tables.addHead(headOf(entry), index)
    if (apply) this.#apply(entry, index)
    else tables.keep(entry)
  }

  #forget(stable: number, conflictsUntil: number): void {
    const { tables } = this.#origins
    if (stable <= tables.stable) return
    this.#host.flush()
    this.#forgets = [stable, this.#seenBy(stable), conflictsUntil]
    this.tidy()
    tables.stable = stable
  }

  /** Of each origin that writes, what its latest entry up to a time had seen. */
  #seenBy(time: number): ReadonlyMap<Origin, Frontier> {
    const { tables } = this.#origins
    const seen = new Map<Origin, Frontier>()
    for (const { origin, standing } of tables.cluster.origins) {
      if (standing.kind === 'removed') continue
      const latest = tables.seenAt(origin, tables.appliedOf(origin), time)
      const others = latest === null ? new Map() : new Map(numbersOf(latest.dependencies))
      if (latest !== null) others.set(origin, lastNumberOf(latest.sequence))
      seen.set(origin, others)
    }
    return seen
  }

  // What entries do

  /**
   * @param at where our log has it; null: nowhere any more
   * @param repeats it has run at our leader already, which others only tried
   */
  #apply(entry: OriginEntry, at: LogIndex | null, repeats = false): void {
    if (this.#repeats !== repeats && this.#waiting.length > 0) this.#host.flush()
    this.#repeats = repeats
    const numbering = new Numbering(entry, at)
    for (const operation of decodeOriginOperations(entry.body)) {
      if (operation.kind === 'transaction') {
        this.#waiting.push(numbering.next(operation))
      } else this.#agree(entry, operation)
    }
    this.#origins.entered(entry)
  }

  #agree(entry: OriginEntry, operation: Exclude<OriginOperation, { kind: 'transaction' }>): void {
    const { tables } = this.#origins
    switch (operation.kind) {
      case 'ddl':
        this.#run(entry, operation.sql)
        break
      case 'pragma':
        this.#run(entry, `pragma ${operation.name} = ${operation.value}`)
        break
      case 'hold':
      case 'release':
        tables.held = operation.kind === 'hold'
        this.#origins.agreed()
        break
      case 'cluster':
        if (supersedes(operation.cluster, tables.cluster, tables.self)) {
          tables.cluster = operation.cluster
          this.#origins.agreed()
        }
        break
      case 'nodes':
        tables.setNodes(entry.origin, operation.nodes)
        this.#origins.agreed()
        break
      case 'rule':
        this.#host.flush()
        setRule(this.#db, operation.rule, this.#origins.functions)
        this.#origins.outdate()
        break
      case 'closed': {
        const { time, origin, number } = operation
        this.#host.flush()
        closeConflict(this.#db, { stamp: { time, origin }, number })
        break
      }
    }
  }

  #run(entry: OriginEntry, sql: string): void {
    this.#host.flush()
    try {
      this.#host.run(sql)
    } catch (cause) {
      throw corrupt(entry, String(cause), cause)
    }
  }

  // Merging

  #mergeAll(transactions: readonly Transaction[]): void {
    const { ordered } = this.#origins
    const self = this.#origins.state?.self
    if (this.#repeats) {
      ordered.repeat(transactions)
      return
    }
    this.#db.exec('savepoint _quorate_merge')
    let report: MergeReport
    try {
      report = ordered.merge(transactions)
    } catch (cause) {
      if (!(cause instanceof QuorateError)) throw cause
      this.#db.exec('rollback to _quorate_merge')
      throw corrupt(this.#culprit(transactions), cause.message, cause)
    }
    this.#db.exec('release _quorate_merge')
    let foreign = 0
    for (const { stamp } of transactions) if (stamp.origin !== self) foreign += 1
    this.#merged = added(this.#merged, report, foreign)
  }

  /** The entry over which it fails; found by doing it again, one by one. */
  #culprit(transactions: readonly Transaction[]): Named | null {
    for (const each of transactions) {
      try {
        this.#origins.ordered.merge([each])
      } catch {
        return { origin: each.stamp.origin, sequence: entryOf(each.sequence) }
      }
    }
    return null
  }
}

/** The stamp of the first transaction that it brings, or those of all. */
function firstOf(operation: MergeOperation): readonly Stamp[] {
  if (operation.kind !== 'take' || !operation.apply) return []
  const { entry } = operation
  const time = firstTimeOf(entry)
  if (time === undefined) return transactionsOf(entry).map(({ stamp }) => stamp)
  return [{ time, origin: entry.origin }]
}

const NOTHING: Merged = { transactions: 0, takenBack: 0, conflicts: [], conflictCount: 0 }

function added(merged: Merged, report: MergeReport, transactions: number): Merged {
  const conflicts: ConflictNotice[] = [...merged.conflicts]
  conflicts.push(...report.conflicts.slice(0, NOTICES_MAX - conflicts.length))
  return {
    transactions: merged.transactions + transactions,
    takenBack: merged.takenBack + report.takenBack,
    conflicts,
    conflictCount: merged.conflictCount + report.conflicts.length,
  }
}

function corrupt(entry: Named | null, why: string, cause?: unknown): QuorateError {
  const what = entry === null ? 'Entries' : `Entry ${entry.sequence} of ${entry.origin}`
  return new QuorateError('LOG_CORRUPT', `${what} can't be applied: ${why}`, {}, { cause })
}
