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
import { present } from '../../base/assert.ts'
import { type RowChange, readExactly } from '../../model/changeset.ts'
import { type ExactValue, identical, type RawText } from '../../model/exact-value.ts'
import { asStored, type Catalog, grown, type MergeTable, tableOf, widened } from './catalog.ts'
import type { Conflict, ConflictKind, Notes } from './conflict.ts'
import { imagesOf, type RowImages } from './footprint.ts'
import type { ForeignKeys } from './foreign-keys.ts'
import type { decide, MergeRules } from './rules.ts'
import { type Cells, pick, type Row, type TableRows } from './table-rows.ts'

/** The row as it was when it was last deleted unknown to the transaction's writer, or null. */
export type FindDeleted = (table: string, key: Row) => Row | null

export interface RuleContext {
  readonly db: DatabaseSync
  readonly catalog: Catalog
  readonly rows: TableRows
  readonly foreignKeys: ForeignKeys
  readonly rules: MergeRules
  readonly decide: typeof decide
  readonly findDeleted: FindDeleted
}

export interface RuleOutcome extends Notes {
  /** What it did. */
  readonly effect: Uint8Array
  /** Every row that was looked at, wanted or changed: the outcome hangs on all of them. */
  readonly touched: readonly RowImages[]
}

type Change = RowChange<string | RawText>

/** Columns of a change that are left out; all: the whole change. */
type LeftOut = ReadonlySet<number> | 'all'

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

type Report = (kind: ConflictKind, rest: Partial<Conflict>) => void

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
    this.#changes = changes.map((change) => {
      const table = tableOf(context.catalog, change.table)
      const { before, after } = change
      return { ...change, before: asStored(table, before), after: asStored(table, after) }
    })
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
    const report: Report = (kind, rest) => {
      const about = { kind, table: table.name, key, columns: [], kept: null, lost: null }
      conflicts.push({ ...about, ...rest })
    }
    const target = leftOut === 'all' ? now : this.#target(table, change, now, leftOut, report)
    const stays = now !== null && target !== null && sameRow(now, target)
    return { change, table, key, now, target: stays ? now : target }
  }

  #target(
    table: MergeTable,
    change: Change,
    now: Row | null,
    leftOut: ReadonlySet<number>,
    report: Report,
  ): Row | null {
    if (change.op === 'delete') {
      if (now !== null && !isStill(change.before, now)) report('delete-updated', { lost: now })
      return null
    }
    if (change.op === 'insert') {
      const row = grown(table, change.after ?? [])
      if (now === null || sameRow(now, row)) return row
      const target = this.#bothInserted(table, now, row)
      report('insert-insert', { kept: target, lost: sameRow(target, now) ? row : now })
      return target
    }
    const base = now ?? this.#context.findDeleted(table.name, keyOf(change, table))
    if (base === null) {
      report('update-missing', { lost: wantedBy(change, table) })
      return null
    }
    const target = this.#updated(table, change, base, leftOut, report)
    if (now === null) report('update-deleted', { kept: target })
    return target
  }

  /** Of two rows with one key the later is taken whole, unless a column has a rule of its own. */
  #bothInserted(table: MergeTable, now: Row, row: Row): Row {
    return row.map((value, column) => {
      if (table.key.includes(column)) return value
      const rule = this.#context.rules.rule(table.name, table.columns[column] ?? '')
      if (rule === 'last' || rule === 'both') return value
      if (rule === 'first') return now[column] ?? null
      return this.#context.decide(rule, null, now[column] ?? null, value).value
    })
  }

  #updated(
    table: MergeTable,
    { before, after }: Change,
    base: Row,
    leftOut: ReadonlySet<number>,
    report: Report,
  ): Row {
    // It may have been deleted when the table had fewer columns.
    const target = [...grown(table, base)]
    const lost: (ExactValue | undefined)[] = target.map(() => undefined)
    const columns: string[] = []
    for (const [column, theirs] of (after ?? []).entries()) {
      if (theirs === undefined || leftOut.has(column)) continue
      const name = table.columns[column] ?? ''
      const rule = this.#context.rules.rule(table.name, name)
      const ours = target[column] ?? null
      const decision = this.#context.decide(rule, before?.[column] ?? null, ours, theirs)
      target[column] = decision.value
      if (decision.lost === undefined) continue
      lost[column] = decision.lost
      columns.push(name)
    }
    if (columns.length > 0) report('update-update', { columns, kept: target, lost })
    return target
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

/** What a change brings, as wide as the table is now. */
function wantedBy({ after }: Change, table: MergeTable): Cells | null {
  return after === null ? null : widened(table, after)
}

function keyOf({ op, before, after }: Change, table: MergeTable): Row {
  return pick(
    present(op === 'insert' ? after : before, () => `a row of ${table.name}`),
    table.key,
  )
}

/** Whether a row is as it was seen, as far as that is known. */
function isStill(seen: Cells | null, now: Row): boolean {
  return (seen ?? []).every((value, i) => identical(value ?? null, now[i] ?? null))
}

function sameRow(a: Row, b: Row): boolean {
  return a.every((value, i) => identical(value, b[i] ?? null))
}
