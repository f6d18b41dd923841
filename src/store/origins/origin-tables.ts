/**
 * What a replica keeps of the origins in its file: the heads of entries that it holds and where they
 * are logged, those whose time has not come, and what is agreed on among all. All of it follows
 * from the log as far as it is applied, so that followers and snapshots have the same.
 */
import { present } from '../../base/assert.ts'
import type { LogIndex } from '../../base/brand.ts'
import type { Answer, EntryHead } from '../../core/order/clock/exchange/types.ts'
import { type Frontier, NOTHING, type Range } from '../../core/order/clock/frontier.ts'
import type { Mark } from '../../core/order/clock/stability.ts'
import type { ClockTime, Origin } from '../../core/order/clock/stamp.ts'
import { clusterToJson, decodeCluster, decodeGroupNodes } from '../../model/cluster-codec.ts'
import { parseJson } from '../../model/fields.ts'
import type { Cluster, GroupNode, OriginEntry } from '../../model/origin-entry.ts'
import type { Connection, Internal } from '../connections.ts'

const TABLES = `
  create table _quorate_entries (
    origin text not null, sequence integer not null, idx integer not null, time integer not null,
    dependencies text not null, epoch integer not null, answer text not null,
    bytes integer not null, primary key (origin, sequence)
  ) without rowid;
  create table _quorate_kept (
    number integer primary key, origin text not null, sequence integer not null, body blob not null
  );
  create table _quorate_inherited (
    origin text not null, sequence integer not null, number integer not null, body blob not null,
    primary key (origin, sequence)
  ) without rowid;`

const HEAD = 'origin, sequence, time, dependencies, epoch, answer, bytes'
const SQL = {
  there: "select 1 from sqlite_schema where name = '_quorate_entries'",
  get: 'select value from _quorate_state where key = ?',
  nodes: `select substr(key, 7), value from _quorate_state where key glob 'nodes *'`,
  // Jumps from one to the next: there may be millions of entries of each.
  origins: `with recursive found (origin) as (
      select min(origin) from _quorate_entries
      union all
      select (select min(e.origin) from _quorate_entries e where e.origin > found.origin)
        from found where found.origin is not null
    ) select origin from found where origin is not null`,
  held: 'select max(sequence) from _quorate_entries where origin = ?',
  add: `insert into _quorate_entries (idx, ${HEAD}) values (?, ?, ?, ?, ?, ?, ?, ?)`,
  head: `select ${HEAD} from _quorate_entries where origin = ? and sequence = ?`,
  place: 'select idx from _quorate_entries where origin = ? and sequence = ?',
  wanted: `select sequence, time from _quorate_entries where origin = ? and sequence <= ?
    and answer <> 'none' order by sequence desc limit 1`,
  until: `select sequence, dependencies from _quorate_entries where origin = ? and sequence <= ?
    and time <= ? order by sequence desc limit 1`,
  firstFrom: `select min(sequence) from _quorate_entries where origin = ? and idx > ?`,
  logged: `select sequence, idx from _quorate_entries
    where origin = ? and sequence between ? and ? and idx > ? order by sequence limit ?`,
  cutAbove: 'delete from _quorate_entries where idx > ?',
  cutThrough: `delete from _quorate_entries where origin = ? and idx <= ? and sequence < ?
    and sequence not in (?, ?)`,
  forgetPlaces: 'update _quorate_entries set idx = 0',
  inherit: 'insert or ignore into _quorate_inherited values (?, ?, ?, ?)',
  firstInherited: 'select min(sequence) from _quorate_inherited where origin = ?',
  inherited: `select number, sequence from _quorate_inherited
    where origin = ? and sequence between ? and ? order by sequence limit ?`,
  inheritedBody: 'select body from _quorate_inherited where origin = ? and sequence = ?',
  disinherit: 'delete from _quorate_inherited',
  keep: 'insert into _quorate_kept (origin, sequence, body) values (?, ?, ?)',
  kept: 'select origin, sequence from _quorate_kept order by number',
  keptBelow: `select k.origin, k.sequence from _quorate_kept k join _quorate_entries e
    on e.origin = k.origin and e.sequence = k.sequence where e.idx <= ? order by k.number`,
  firstKept: 'select min(sequence) from _quorate_kept where origin = ?',
  keptBody: 'select body from _quorate_kept where origin = ? and sequence = ?',
  unkeep: 'delete from _quorate_kept where origin = ? and sequence = ?',
} as const

/** An entry that a new group began with. */
interface Inherited {
  readonly origin: Origin
  readonly sequence: number
  /** What goes before what. */
  readonly number: number
}

/** Where an entry is in the log of its group. */
export interface Place {
  readonly sequence: number
  readonly index: LogIndex
}

export class OriginTables {
  readonly #applier: Connection
  readonly #sql: Readonly<Record<keyof typeof SQL, Internal>>

  constructor(applier: Connection) {
    this.#applier = applier
    const entries = Object.entries(SQL).map(([name, sql]) => [name, applier.internal(sql)])
    this.#sql = Object.fromEntries(entries) as Record<keyof typeof SQL, Internal>
  }

  /** Whether the file has several origins. */
  get there(): boolean {
    return this.#sql.there.row() !== undefined
  }

  create(): void {
    this.#applier.db.exec(TABLES)
  }

  // What is agreed on

  /** The origin that the group writes as. */
  get self(): Origin {
    return String(this.#value('self'))
  }

  set self(origin: Origin) {
    this.#applier.setState('self', origin)
  }

  /** Throws LOG_CORRUPT or BAD_REQUEST if it is damaged. */
  get cluster(): Cluster {
    return decodeCluster(parseJson(String(this.#value('origins')), 'origins'))
  }

  set cluster(cluster: Cluster) {
    this.#applier.setState('origins', clusterToJson(cluster))
  }

  get nodes(): ReadonlyMap<Origin, readonly GroupNode[]> {
    const rows = this.#sql.nodes.rows()
    return new Map(
      rows.map(([origin, json]) => [
        String(origin),
        decodeGroupNodes(parseJson(String(json), 'nodes')),
      ]),
    )
  }

  setNodes(origin: Origin, nodes: readonly GroupNode[]): void {
    this.#applier.setState(`nodes ${origin}`, JSON.stringify(nodes))
  }

  get held(): boolean {
    return this.#number('held') === 1
  }

  set held(held: boolean) {
    this.#applier.setState('held', held ? 1 : 0)
  }

  /** The order is final through this time, and what only served until then has been forgotten. */
  get stable(): ClockTime {
    return this.#number('stable')
  }

  set stable(time: ClockTime) {
    this.#applier.setState('stable', time)
  }

  /** The index through which entries made here are noted in these tables too, see Origins. */
  get noted(): number {
    return this.#number('noted')
  }

  set noted(index: number) {
    this.#applier.setState('noted', index)
  }

  /**
   * All transactions that came with entries through this index are in the file, or are final: see
   * RecentTransactions.
   */
  get saved(): number {
    return this.#number('saved')
  }

  set saved(index: number) {
    this.#applier.setState('saved', index)
  }

  #value(key: string): unknown {
    return present(this.#sql.get.row(key)?.[0], () => `_quorate_state ${key}`)
  }

  #number(key: string): number {
    return Number(this.#sql.get.row(key)?.[0] ?? 0)
  }

  // Entries

  /** All origins of which something is held. */
  get origins(): readonly Origin[] {
    return this.#sql.origins.rows().map(([origin]) => String(origin))
  }

  /** The highest number held; 0: none. */
  heldOf(origin: Origin): number {
    return Number(this.#sql.held.row(origin)?.[0] ?? 0)
  }

  /** The highest number that is in the data. */
  appliedOf(origin: Origin): number {
    const first = this.#sql.firstKept.row(origin)?.[0] ?? null
    return first === null ? this.heldOf(origin) : Number(first) - 1
  }

  addHead(head: EntryHead, index: LogIndex): void {
    const { origin, sequence, time, dependencies, epoch, answer, bytes } = head
    const known = JSON.stringify([...dependencies])
    this.#sql.add.run(index, origin, sequence, time, known, epoch, answer, bytes)
  }

  head(origin: Origin, sequence: number): EntryHead | null {
    const row = this.#sql.head.row(origin, sequence)
    return row === undefined ? null : toHead(row)
  }

  /** What an origin is known to hold by its last entry here. */
  knownOf(origin: Origin): Frontier {
    const head = this.head(origin, this.heldOf(origin))
    return head === null ? NOTHING : new Map(head.dependencies).set(origin, head.sequence)
  }

  /** Where an entry was logged; it may have been forgotten there. */
  placeOf({ origin, sequence }: Pick<EntryHead, 'origin' | 'sequence'>): LogIndex {
    return Number(this.#sql.place.row(origin, sequence)?.[0] ?? 0) as LogIndex
  }

  /** The last one through a number that asks for an answer. */
  wanted(origin: Origin, through: number): Mark | null {
    const row = this.#sql.wanted.row(origin, through)
    return row === undefined ? null : { sequence: Number(row[0]), time: Number(row[1]) }
  }

  /** What the last one up to a number and a time had seen of others; null: there is none. */
  seenAt(origin: Origin, through: number, time: ClockTime): Seen | null {
    const row = this.#sql.until.row(origin, through, time)
    if (row === undefined) return null
    return { sequence: Number(row[0]), dependencies: toFrontier(row[1]) }
  }

  /**
   * The highest number that can't be read any more, with all before it: the log begins after `base`, and
   * none is inherited.
   */
  goneOf(origin: Origin, base: LogIndex): number {
    const first = this.#sql.firstInherited.row(origin)?.[0] ?? null
    return first === null ? this.#loggedThrough(origin, base) : Number(first) - 1
  }

  /** The highest number that was logged through an index, or before this log began. */
  #loggedThrough(origin: Origin, index: LogIndex): number {
    const first = this.#sql.firstFrom.row(origin, index)?.[0] ?? null
    return first === null ? this.heldOf(origin) : Number(first) - 1
  }

  /** Where entries first to last are logged above `base`. */
  places(
    origin: Origin,
    first: number,
    last: number,
    base: LogIndex,
    max: number,
  ): readonly Place[] {
    const rows = this.#sql.logged.rows(origin, first, last, base, max)
    return rows.map(([sequence, index]) => ({
      sequence: Number(sequence),
      index: Number(index) as LogIndex,
    }))
  }

  /** Entries above an index are gone. */
  cutAbove(index: LogIndex): void {
    this.#sql.cutAbove.run(index)
  }

  /**
   * The log forgets entries through an index, which all groups hold, and so all before them: what was
   * inherited goes. Heads that others or we may still ask for stay.
   */
  cutThrough(index: LogIndex): void {
    const { stable } = this
    this.#sql.disinherit.run()
    for (const origin of this.origins) {
      // Not a later one: that may not be committed.
      const last = this.#loggedThrough(origin, index)
      const applied = Math.min(last, this.appliedOf(origin))
      const wanted = this.wanted(origin, applied)?.sequence ?? 0
      const seen = this.seenAt(origin, applied, stable)?.sequence ?? 0
      this.#sql.cutThrough.run(origin, index, applied, wanted, seen)
    }
  }

  /** The log begins anew: nothing of what is held is in it. */
  forgetPlaces(): void {
    this.#sql.forgetPlaces.run()
  }

  // Entries of the log that the file had before it was a new group's

  /** @param number rises with its place in that log */
  inherit({ origin, sequence, body }: OriginEntry, number: number): void {
    this.#sql.inherit.run(origin, sequence, number, body)
  }

  /** The first of entries first to last that were inherited. */
  inherited({ origin, first, last }: Range, max: number): readonly Inherited[] {
    return this.#sql.inherited.rows(origin, first, last, max).map(([number, sequence]) => {
      return { origin, sequence: Number(sequence), number: Number(number) }
    })
  }

  inheritedEntry({ origin, sequence }: Inherited): OriginEntry {
    const entry = this.#entry(origin, sequence, this.#sql.inheritedBody.row(origin, sequence)?.[0])
    return present(entry, () => `inherited entry ${sequence} of ${origin}`)
  }

  // Entries whose time has not come

  keep({ origin, sequence, body }: OriginEntry): void {
    this.#sql.keep.run(origin, sequence, body)
  }

  /** In the order in which they came. */
  get kept(): readonly EntryHead[] {
    return this.#sql.kept.rows().map(([origin, sequence]) => {
      const head = this.head(String(origin), Number(sequence))
      return present(head, () => `the head of entry ${sequence} of ${origin}`)
    })
  }

  /** Those that were logged through an index, in the order in which they came. */
  keptBelow(index: LogIndex): readonly { readonly origin: Origin; readonly sequence: number }[] {
    return this.#sql.keptBelow.rows(index).map(([origin, sequence]) => {
      return { origin: String(origin), sequence: Number(sequence) }
    })
  }

  /** Null: it is not here. */
  keptEntry(origin: Origin, sequence: number): OriginEntry | null {
    return this.#entry(origin, sequence, this.#sql.keptBody.row(origin, sequence)?.[0])
  }

  #entry(origin: Origin, sequence: number, body: unknown): OriginEntry | null {
    const head = this.head(origin, sequence)
    if (!(body instanceof Uint8Array) || head === null) return null
    const { time, dependencies, epoch, answer } = head
    return { origin, sequence, time, dependencies, epoch, answer, body }
  }

  /** Gives one back, which is not kept any more; null: it is not here. */
  takeKept(origin: Origin, sequence: number): OriginEntry | null {
    const entry = this.keptEntry(origin, sequence)
    if (entry !== null) this.#sql.unkeep.run(origin, sequence)
    return entry
  }
}

/** An entry by what its writer knew. */
export interface Seen {
  readonly sequence: number
  readonly dependencies: Frontier
}

function toHead(row: readonly unknown[]): EntryHead {
  const [origin, sequence, time, dependencies, epoch, answer, bytes] = row
  return {
    origin: String(origin),
    sequence: Number(sequence),
    time: Number(time),
    dependencies: toFrontier(dependencies),
    epoch: Number(epoch),
    answer: String(answer) as Answer,
    bytes: Number(bytes),
  }
}

function toFrontier(json: unknown): Frontier {
  return new Map(JSON.parse(String(json)) as [Origin, number][])
}
