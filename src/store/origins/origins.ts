/**
 * What a replica knows of the origins of its cluster, in memory: how much of each is in the data,
 * the clock, and the number that the next entry of its own gets. The file has all of it as well
 * (origin-tables.ts).
 *
 * Entries that were executed here, at the leader, cost the writer nothing but their row in the log.
 * What else there is to note of them is *noted* later by the applier: before it next merges, or when
 * much has gathered.
 */
import { present } from '../../base/assert.ts'
import { type LogIndex, next } from '../../base/brand.ts'
import type { EntryHead } from '../../core/order/clock/exchange/types.ts'
import { type ClockTime, nextTime, type Origin } from '../../core/order/clock/stamp.ts'
import { decodeOwn } from '../../model/entry-codec.ts'
import { encodeOriginOperations } from '../../model/origin-codec.ts'
import type { Cluster, GroupNode, OriginEntry, OriginOperation } from '../../model/origin-entry.ts'
import type { Connections } from '../connections.ts'
import type { Log } from '../log.ts'
import { OrderedTransactions } from '../merge/ordered.ts'
import { type MergeParts, PARTS } from '../merge/parts.ts'
import { type MergeFunctions, setRule } from '../merge/rule-book.ts'
import type { OriginsState } from '../types.ts'
import { OriginTables } from './origin-tables.ts'
import { broughtBy, transactionsOf } from './transactions.ts'

/**
 * So much that was made here is noted together at the latest. Not sooner: each time the writer's
 * connection must read its pages again, because another one has written.
 */
const UNNOTED_ENTRIES_MAX = 2_048
const UNNOTED_BYTES_MAX = 8 * 1024 * 1024

/** An entry executed here that the tables do not have yet. */
export interface Unnoted {
  readonly head: EntryHead
  readonly index: LogIndex
  readonly entry: OriginEntry
}

interface Memory {
  readonly ordered: OrderedTransactions
  /** The schema or the rules have changed since `ordered` read them. */
  stale: boolean
  readonly self: Origin
  cluster: Cluster
  nodes: ReadonlyMap<Origin, readonly GroupNode[]>
  held: boolean
  applied: Map<Origin, number>
  /** The latest that was applied or given out. */
  time: ClockTime
  unnoted: Unnoted[]
  /** Of their bodies. Summed up, since it is looked at after each batch. */
  unnotedBytes: number
  /** The last entry of our own in the log, applied or not; null: to be looked up. */
  last: { readonly sequence: number; readonly time: ClockTime } | null
}

export class Origins {
  readonly tables: OriginTables
  readonly functions: MergeFunctions
  readonly #connections: Connections
  readonly #log: Log
  readonly #parts: MergeParts
  #memory: Memory | null = null
  #readings = 0
  /** No entry after this one has changed the schema or the rules. */
  #outdatedAt: LogIndex
  /** Made of the memory when it is asked for. */
  #state: OriginsState | null = null

  /**
   * Throws NOT_ADOPTABLE for tables that can't be merged, MERGE_FUNCTION_MISSING, LOG_CORRUPT.
   *
   * @param functions the application's merge functions, by name
   */
  constructor(
    connections: Connections,
    log: Log,
    functions: MergeFunctions = new Map(),
    parts: MergeParts = PARTS,
  ) {
    this.#connections = connections
    this.#log = log
    this.functions = functions
    this.#parts = parts
    this.tables = new OriginTables(connections.applier)
    this.#outdatedAt = log.last.index
    this.load()
  }

  /** Null: one leader for all. Then nothing else of this may be called but `load`. */
  get state(): OriginsState | null {
    const memory = this.#memory
    if (memory === null) return null
    const { self, cluster, nodes, held, applied } = memory
    this.#state ??= { self, cluster, nodes, held, applied: new Map(applied) }
    return this.#state
  }

  /** A number that no other origin of the cluster has: what keeps automatic ids apart. */
  get slot(): number {
    const { cluster, self } = this.#known
    const found = cluster.origins.find(({ origin }) => origin === self)
    return present(found, () => `origin ${self} in the cluster`).slot
  }

  /** Entries executed here that the tables do not have yet, in their order. */
  get unnoted(): readonly Unnoted[] {
    return this.#memory?.unnoted ?? []
  }

  /** The merge of transactions, as of the schema and the rules that are applied. */
  get ordered(): OrderedTransactions {
    this.refresh()
    return this.#known.ordered
  }

  /** Reads the schema and the rules again if they have changed. */
  refresh(): void {
    const memory = this.#known
    if (!memory.stale) return
    memory.ordered.reread()
    memory.stale = false
    this.#readings += 1
  }

  /** How often the schema was read, which makes TEMP views and triggers. */
  get readings(): number {
    return this.#readings
  }

  // What the leader makes

  /**
   * The time of a transaction that is about to be noted: later than anything applied or given out.
   * Times that are not used in the end do no harm.
   *
   * @param at the leader's wall clock, ms
   */
  nextTime(at: number): ClockTime {
    const memory = this.#known
    memory.time = nextTime(Math.max(memory.time, this.#last().time), at)
    return memory.time
  }

  /**
   * The next entry of our own: its number, what it depends on, epoch, encoded operations. Its time
   * is that of its last transaction; without one, the next. Asked for again before `logged`, it
   * gives the same number, so there is nothing to do when a batch is rolled back.
   *
   * @param at the leader's wall clock, ms
   */
  own(
    operations: readonly OriginOperation[],
    answer: OriginEntry['answer'],
    at: number,
  ): OriginEntry {
    const { self, applied, cluster } = this.#known
    const last = operations.findLast(({ kind }) => kind === 'transaction')
    const dependencies = new Map(applied)
    dependencies.delete(self)
    return {
      origin: self,
      sequence: this.#last().sequence + 1,
      time: last?.kind === 'transaction' ? last.time : this.nextTime(at),
      dependencies,
      epoch: cluster.epoch,
      answer,
      body: encodeOriginOperations(operations),
    }
  }

  /**
   * After COMMIT of the transaction that logged an entry made by `own`.
   *
   * @param applied its effects are in the data: `data`, not `schema`
   */
  logged(entry: OriginEntry, index: LogIndex, applied: boolean): void {
    const memory = this.#known
    memory.last = { sequence: entry.sequence, time: entry.time }
    if (!applied) return
    this.#unnote(memory, entry, index)
  }

  #unnote(memory: Memory, entry: OriginEntry, index: LogIndex): void {
    const head = headOf(entry)
    memory.unnoted.push({ head, index, entry })
    memory.unnotedBytes += head.bytes
    this.#applied(memory, entry)
  }

  /**
   * The changes of a transaction as they travel: without what each replica derives by itself (rows
   * of shadow tables of FTS5 and R*Tree, as of the schema that is applied).
   */
  travelling(changes: Uint8Array): Uint8Array {
    return this.ordered.travelling(changes)
  }

  /**
   * Whether operations that are to be originated can be applied. Throws BAD_RULE,
   * MERGE_FUNCTION_MISSING; nothing has changed then or otherwise.
   */
  check(operations: readonly OriginOperation[]): void {
    const { applier } = this.#connections
    const rules = operations.flatMap((each) => (each.kind === 'rule' ? [each.rule] : []))
    if (rules.length === 0) return
    applier.begin()
    try {
      for (const rule of rules) setRule(applier.db, rule, this.functions)
    } finally {
      applier.rollback()
    }
  }

  /**
   * Does work on the rows as of a time, or of what is final by now if that is later, and leaves all as
   * it was. See OrderedTransactions.asOf.
   *
   * @param since the schema and the rules must not have changed after this entry of the log: what ran
   *   before such a change can't be taken back
   * @param begun called in the transaction, before anything is taken back
   * @returns null: they have, or may have
   * @throws QuorateError LOG_CORRUPT
   */
  asOf<T>(time: ClockTime, since: LogIndex, begun: () => void, work: () => T): T | null {
    if (this.#outdatedAt >= since) return null
    if (this.unnoted.length > 0 || this.#known.stale || this.ordered.firstUnsaved !== null) {
      this.transaction(() => {
        this.note()
        this.#save()
        this.refresh()
      })
    }
    const { applier } = this.#connections
    this.#connections.begin(applier)
    try {
      begun()
      return this.ordered.asOf(time, work)
    } finally {
      applier.rollback()
    }
  }

  // What the applier does

  /** Runs a function as one transaction of the applier; if it fails, all here is as it was. */
  transaction<T>(run: () => T): T {
    const { applier } = this.#connections
    try {
      return this.#connections.transaction(applier, run)
    } catch (error) {
      if (this.#memory !== null) this.load()
      throw error
    }
  }

  /** Notes what was executed here, in a transaction of the applier's that is open. */
  note(): void {
    const memory = this.#memory
    if (memory === null || memory.unnoted.length === 0) return
    const { ordered } = this
    for (const { head, index, entry } of memory.unnoted) {
      this.tables.addHead(head, index)
      ordered.adopt(transactionsOf(entry, index))
    }
    memory.unnoted = []
    memory.unnotedBytes = 0
    this.noted(this.#log.applied)
  }

  /** What came with entries through an index is known to the tables, or recent. */
  noted(index: LogIndex): void {
    this.tables.noted = index
    const { firstUnsaved } = this.#known.ordered
    this.tables.saved = firstUnsaved === null ? index : Math.min(index, firstUnsaved - 1)
  }

  /** Leaves nothing to be found in the log only. */
  #save(): void {
    this.ordered.save()
    this.noted(this.#log.applied)
  }

  /** Where the log has an entry that is held; null: it has forgotten it. */
  placeOf(entry: Pick<EntryHead, 'origin' | 'sequence'>): LogIndex | null {
    const index = this.tables.placeOf(entry)
    return index > this.#log.base.index ? index : null
  }

  /** Notes what was executed here if much has gathered. Not while a transaction is open. */
  settle(): void {
    if (this.#memory === null) return
    const { unnoted, unnotedBytes } = this.#memory
    if (unnoted.length >= UNNOTED_ENTRIES_MAX || unnotedBytes >= UNNOTED_BYTES_MAX) {
      this.transaction(() => this.note())
    }
  }

  /** Forgets entries above an index, in a transaction of the applier's; `load` after COMMIT. */
  cutAbove(index: LogIndex): void {
    if (this.#memory === null) return
    this.tables.cutAbove(index)
    if (this.tables.noted > index) this.tables.noted = index
    if (this.tables.saved > index) this.tables.saved = index
  }

  /** The log is about to forget entries through an index, in a transaction of the applier's. */
  cutThrough(index: LogIndex): void {
    if (this.#memory === null) return
    this.note()
    if ((this.ordered.firstUnsaved ?? index + 1) <= index) this.#save()
    this.tables.cutThrough(index)
  }

  /** An entry of any origin is in the data. */
  entered(entry: Pick<EntryHead, 'origin' | 'sequence' | 'time'>): void {
    this.#applied(this.#known, entry)
  }

  /** What is agreed on has changed in the tables. */
  agreed(): void {
    const memory = this.#known
    memory.cluster = this.tables.cluster
    memory.nodes = this.tables.nodes
    memory.held = this.tables.held
    this.#state = null
  }

  /** The schema is about to change, or the rules have. */
  outdate(): void {
    const memory = this.#memory
    if (memory === null) return
    this.#outdatedAt = this.#log.last.index
    if (memory.stale) return
    memory.ordered.release()
    memory.stale = true
  }

  /** The log has got entries that were not made here, or lost some. */
  forgetLast(): void {
    const { index } = this.#log.last
    if (this.#outdatedAt > index) this.#outdatedAt = index
    if (this.#memory !== null) this.#memory.last = null
  }

  /** Makes the tables, in a transaction of the applier's. Throws NOT_ADOPTABLE. */
  create(self: Origin, cluster: Cluster): void {
    this.tables.create()
    this.tables.self = self
    this.tables.cluster = cluster
    this.load()
  }

  /**
   * A new group begins with what is held here, under a log of its own that begins at `base`; in a
   * transaction of the applier's, `load` after COMMIT.
   */
  restart(self: Origin, base: LogIndex): void {
    this.note()
    this.#save()
    this.tables.self = self
    this.tables.forgetPlaces()
    this.tables.noted = base
    this.tables.saved = base
  }

  /** Reads everything from the file. Throws as the constructor does. */
  load(): void {
    this.#memory = null
    this.#state = null
    this.#readings += 1
    this.#outdatedAt = this.#log.last.index
    if (!this.tables.there) return
    const { tables } = this
    const memory: Memory = {
      ordered: new OrderedTransactions(this.#connections.applier.db, this.functions, this.#parts),
      stale: false,
      self: tables.self,
      cluster: tables.cluster,
      nodes: tables.nodes,
      held: tables.held,
      applied: new Map(),
      time: tables.stable,
      unnoted: [],
      unnotedBytes: 0,
      last: null,
    }
    for (const origin of tables.origins) {
      const head = tables.head(origin, tables.appliedOf(origin))
      if (head !== null) this.#applied(memory, head)
    }
    this.#memory = memory
    this.#loadUnsaved(memory.ordered)
    this.#loadUnnoted(memory)
  }

  #loadUnsaved(ordered: OrderedTransactions): void {
    const { base, applied } = this.#log
    const saved = Math.max(base.index, this.tables.saved) as LogIndex
    const noted = Math.min(this.tables.noted, applied) as LogIndex
    if (saved >= noted) return
    for (const { entry, at } of broughtBy(this.#log.entries(next(saved), noted))) {
      ordered.remember(transactionsOf(entry, at))
    }
  }

  #loadUnnoted(memory: Memory): void {
    const { base, applied } = this.#log
    const noted = Math.max(base.index, this.tables.noted) as LogIndex
    if (noted >= applied) return
    for (const entry of this.#log.entries(next(noted), applied)) {
      const own = entry.kind === 'data' ? decodeOwn(entry.body) : null
      if (own === null) continue
      this.#unnote(memory, own, entry.index)
    }
  }

  #applied(
    memory: Memory,
    { origin, sequence, time }: Pick<EntryHead, 'origin' | 'sequence' | 'time'>,
  ): void {
    memory.applied.set(origin, sequence)
    memory.time = Math.max(memory.time, time)
    this.#state = null
  }

  #last(): { readonly sequence: number; readonly time: ClockTime } {
    const memory = this.#known
    const { applied, last } = this.#log
    if (memory.last !== null) return memory.last
    memory.last = { sequence: memory.applied.get(memory.self) ?? 0, time: memory.time }
    if (applied === last.index) return memory.last
    for (const entry of this.#log.entries(next(applied), last.index)) {
      const isOurs = entry.kind === 'data' || entry.kind === 'schema'
      const own = isOurs ? decodeOwn(entry.body) : null
      if (own !== null) memory.last = { sequence: own.sequence, time: own.time }
    }
    return memory.last
  }

  get #known(): Memory {
    return present(this.#memory, () => 'a file with several origins')
  }
}

/** An entry as the exchange and the tables know it. */
export function headOf(entry: OriginEntry): EntryHead {
  const { origin, sequence, time, dependencies, epoch, answer, body } = entry
  return { origin, sequence, time, dependencies, epoch, answer, bytes: body.length }
}
