/**
 * Every kind of conflict between two transactions that knew nothing of each other, each run for real:
 * `first` has the earlier stamp. docs/conflicts.md is made of them.
 */
import { deepEqual } from 'node:assert/strict'
import { DatabaseSync } from 'node:sqlite'
import { NOTHING } from '../../../core/order/clock/frontier.ts'
import type { Transaction } from '../merge-tables.ts'
import { OrderedTransactions } from '../ordered.ts'
import { cellsFromJson } from '../row-json.ts'
import { type MergeFunctions, type RuleSetting, setRule } from '../rule-book.ts'
import type { Cells } from '../table-rows.ts'

export interface Example {
  /** What happens, in a few words. */
  readonly when: string
  readonly schema: string
  readonly rows?: string
  readonly rules?: readonly RuleSetting[]
  readonly first: string
  readonly second: string
}

export interface Outcome {
  readonly tables: readonly { readonly name: string; readonly rows: readonly string[] }[]
  readonly conflicts: readonly string[]
}

const FUNCTIONS: MergeFunctions = new Map([
  [
    'longest',
    (_base, ours, theirs) => (String(ours).length > String(theirs).length ? ours : theirs),
  ],
])

/** Runs an example on two replicas, which must agree. */
export function outcomeOf(example: Example): Outcome {
  const [a, b] = [replica(example), replica(example)]
  const first = write(a, 1, 'a', example.first)
  const second = write(b, 2, 'b', example.second)
  merge(a, second)
  merge(b, first)
  const [here, there] = [a, b].map(({ db }) => resultOf(db))
  deepEqual(here, there)
  deepEqual(a.db.prepare('pragma foreign_key_check').all(), [])
  for (const { db } of [a, b]) db.close()
  return here as Outcome
}

interface Replica {
  readonly db: DatabaseSync
  readonly ordered: OrderedTransactions
}

function replica({ schema, rows = '', rules = [] }: Example): Replica {
  const db = new DatabaseSync(':memory:', { enableForeignKeyConstraints: false })
  db.exec(schema)
  db.exec(rows)
  for (const rule of rules) setRule(db, rule, FUNCTIONS)
  return { db, ordered: new OrderedTransactions(db, FUNCTIONS) }
}

function write({ db, ordered }: Replica, time: number, origin: string, sql: string): Transaction {
  db.exec('pragma foreign_keys = on; begin')
  const session = db.createSession()
  db.exec(sql)
  const made = { stamp: { time, origin }, sequence: 1, seen: NOTHING, changes: session.changeset() }
  session.close()
  ordered.adopt([made])
  db.exec('commit; pragma foreign_keys = off')
  return made
}

function merge({ db, ordered }: Replica, transaction: Transaction): void {
  db.exec('begin')
  ordered.merge([transaction])
  db.exec('commit')
}

function resultOf(db: DatabaseSync): Outcome {
  const names = db
    .prepare(
      `select name from sqlite_schema where type = 'table' and name not like '%quorate%' order by 1`,
    )
    .all()
    .map(({ name }) => String(name))
  const read = { readBigInts: true, returnArrays: true } as const
  const tables = names.map((name) => {
    const rows = db.prepare(`select * from ${name}`, read).all() as unknown as Cells[]
    return { name, rows: rows.map(rowText) }
  })
  const conflicts = db
    .prepare('select * from quorate_conflicts order by time, origin, number')
    .all()
    .map((row) => {
      const [kept, lost] = [row['kept'], row['lost']].map((text) =>
        text === null ? 'no row' : rowText(cellsFromJson(String(text))),
      )
      const columns = (JSON.parse(String(row['columns'])) as string[]).join(', ')
      const open = row['open'] === 1 ? ', open' : ''
      const about = columns === '' ? '' : ` of ${columns}`
      return `${row['kind']}${about} in ${row['name']}: kept ${kept}, lost ${lost}${open}`
    })
  return { tables, conflicts }
}

function rowText(row: Cells): string {
  const texts = row.map((value) => {
    if (value === undefined) return '·'
    return typeof value === 'string' ? `'${value}'` : String(value).toUpperCase()
  })
  return `(${texts.join(', ')})`
}
