/**
 * Runs one transaction of any origin where it stands in stamp order, when something is not as it was
 * where it was made: each of its rows is decided by the rules, constraints are kept by leaving changes
 * out, and whatever nobody will see any more is reported as a conflict.
 *
 * The outcome is a function of the state, the transaction and the rules, so every replica that runs
 * the same transactions in the same order has the same rows. The connection must have foreign keys
 * off and no triggers: their effects are in the changeset.
 */
import type { DatabaseSync } from 'node:sqlite'
import { readExactly } from '../../model/changeset.ts'
import { type MergeTable, tableOf } from './catalog.ts'
import type { Conflict, ConflictKind, Deleted, Notes } from './conflict.ts'
import {
  type Change,
  type DecisionContext,
  decideRow,
  keyOf,
  type LeftOut,
  storedChange,
  wantedBy,
} from './deciding.ts'
import { imagesOf, type RowImages } from './footprint.ts'
import type { ForeignKeys } from './foreign-keys.ts'
import type { Row, TableRows } from './table-rows.ts'

export interface RuleContext extends DecisionContext {
  readonly db: DatabaseSync
  readonly rows: TableRows
  readonly foreignKeys: ForeignKeys
}

export interface RuleOutcome {
  readonly conflicts: readonly Conflict[]
  readonly deleted: readonly Deleted[]
  /** What it did. */
  readonly effect: Uint8Array
  /** Every row that was looked at, wanted or changed: the outcome hangs on all of them. */
  readonly touched: readonly RowImages[]
}

/** A row of the transaction, and what is to be there. */
interface Placing {
  readonly change: Change
  readonly table: MergeTable
  readonly key: Row
  /** What is there. */
  readonly now: Row | null
  /** The same object as `now`: it stays. */
  readonly target: Row | null
}

/** A change can't stand: it is to be left out, wholly or in these columns. */
interface Refusal {
  readonly at: number
  readonly columns: LeftOut
  readonly conflict: Conflict
}

/** Runs a transaction's changeset by the rules, in a SQLite transaction that is open. */
export function runByRules(context: RuleContext, bytes: Uint8Array): RuleOutcome {
  return new RuleRun(context, [...readExactly(bytes)]).run()
}

class RuleRun {
  readonly #context: RuleContext
  readonly #changes: readonly Change[]
  readonly #touched: RowImages[] = []

  constructor(context: RuleContext, changes: readonly Change[]) {
    this.#context = context
    this.#changes = changes.map((change) =>
      storedChange(tableOf(context.catalog, change.table), change),
    )
  }

  run(): RuleOutcome {
    const { db, rules } = this.#context
    db.exec('savepoint _quorate_rules')
    const session = db.createSession()
    try {
      let notes = this.#untilItStands()
      if (notes.conflicts.some(({ table }) => rules.aborts(table))) {
        db.exec('rollback to _quorate_rules')
        notes = { conflicts: this.#abandoned(), deleted: [] }
      }
      return { ...notes, effect: session.changeset(), touched: this.#touched }
    } finally {
      session.close()
      db.exec('release _quorate_rules')
    }
  }

  /** Leaves changes out, one after the other, until the rest can stand. */
  #untilItStands(): Notes {
    const { db } = this.#context
    const leftOut = new Map<number, LeftOut>()
    const why: Conflict[] = []
    for (;;) {
      db.exec('savepoint _quorate_attempt')
      const attempt = this.#attempt(leftOut)
      if ('conflicts' in attempt) {
        db.exec('release _quorate_attempt')
        const { conflicts, deleted } = attempt
        return { conflicts: [...conflicts, ...why], deleted }
      }
      db.exec('rollback to _quorate_attempt; release _quorate_attempt')
      const { at, columns, conflict } = attempt
      leftOut.set(at, leavingOut(leftOut.get(at), columns))
      why.push(conflict)
    }
  }

  #attempt(leftOut: ReadonlyMap<number, LeftOut>): Notes | Refusal {
    const { rows } = this.#context
    const notes: Notes = { conflicts: [], deleted: [] }
    const placings = this.#changes.map((change, at) =>
      this.#decide(change, leftOut.get(at) ?? NONE, notes.conflicts),
    )
    // All go before any comes, so that no row is in the way of another.
    for (const { table, key, now, target } of placings) {
      if (now === target) continue
      this.#touched.push(imagesOf(table, now, target))
      if (now !== null) rows.delete(table, key)
    }
    for (const [at, placing] of placings.entries()) {
      const refusal = this.#place(at, placing)
      if (refusal !== null) return refusal
    }
    for (const [at, placing] of placings.entries()) {
      const refusal = this.#checkForeignKeys(at, placing, notes)
      if (refusal !== null) return refusal
    }
    for (const { table, key, now, target } of placings) {
      if (now !== null && target === null) notes.deleted.push({ table: table.name, key, row: now })
    }
    return notes
  }

  /** What is to become of one row, before constraints have their say. */
  #decide(change: Change, leftOut: LeftOut, conflicts: Conflict[]): Placing {
    const table = tableOf(this.#context.catalog, change.table)
    const key = keyOf(change, table)
    const now = this.#context.rows.find(table, key)
    const target = decideRow(this.#context, { table, change, key, now, leftOut }, conflicts)
    return { change, table, key, now, target }
  }

  /** Null: it is in its place. */
  #place(at: number, placing: Placing): Refusal | null {
    const { change, table, now, target } = placing
    if (target === null || target === now) return null
    try {
      this.#context.rows.insert(table, target)
      return null
    } catch (error) {
      const columns = change.op === 'update' ? refusedColumns(error, table) : 'all'
      return refusal(at, placing, 'constraint', columns)
    }
  }

  #checkForeignKeys(at: number, placing: Placing, notes: Notes): Refusal | null {
    const { foreignKeys } = this.#context
    const { change, table, now, target } = placing
    if (target === now) return null
    const orphan = target === null ? null : foreignKeys.orphaned(table, target)
    if (orphan !== null) {
      const columns = change.op === 'update' && now !== null ? new Set(orphan.columns) : 'all'
      return refusal(at, placing, 'foreign-key', columns)
    }
    if (now === null) return null
    for (const each of table.referencedBy) {
      if (foreignKeys.left(each, now).length === 0) continue
      if (foreignKeys.release(each, now, target, notes, this.#touched)) continue
      const columns = target === null ? 'all' : new Set(each.parentColumns)
      return refusal(at, placing, 'foreign-key', columns)
    }
    return null
  }

  /** Everything that the transaction wanted, as lost. */
  #abandoned(): Conflict[] {
    return this.#changes.map((change) => {
      const table = tableOf(this.#context.catalog, change.table)
      const key = keyOf(change, table)
      const kept = this.#context.rows.find(table, key)
      const about = { kind: 'aborted', table: table.name, key, columns: [] } as const
      return { ...about, kept, lost: wantedBy(change, table) }
    })
  }
}

const NONE: ReadonlySet<number> = new Set()

function refusal(
  at: number,
  { change, table, key, now }: Placing,
  kind: ConflictKind,
  columns: LeftOut,
): Refusal {
  const { after } = change
  // Only what the change itself brings can be left out of it.
  const brought =
    columns === 'all' ? [] : [...columns].filter((column) => after?.[column] !== undefined)
  const names = brought.map((column) => table.columns[column] ?? '')
  const conflict = { kind, table: table.name, key, columns: names, kept: now }
  return {
    at,
    columns: brought.length === 0 ? 'all' : new Set(brought),
    conflict: { ...conflict, lost: wantedBy(change, table) },
  }
}

function leavingOut(known: LeftOut | undefined, more: LeftOut): LeftOut {
  if (known === 'all' || more === 'all') return 'all'
  const all = new Set([...(known ?? []), ...more])
  return known !== undefined && all.size === known.size ? 'all' : all
}

/** The columns that SQLite's message names; all if it names none. */
function refusedColumns(error: unknown, table: MergeTable): LeftOut {
  const message = error instanceof Error ? error.message : ''
  const [, list = ''] = /^(?:UNIQUE|NOT NULL) constraint failed: (.*)$/s.exec(message) ?? []
  const names = list.split(', ').map((name) => name.slice(table.name.length + 1).toLowerCase())
  const columns = table.columns.flatMap((name, i) =>
    names.includes(name.toLowerCase()) ? [i] : [],
  )
  return columns.length === 0 ? 'all' : new Set(columns)
}
