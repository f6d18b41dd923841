/**
 * What all replicas must hold in the end: the twin runs all that was ever committed, one
 * transaction after the other in the order of their stamps, so that it never has to put anything
 * between what is there. It knows no groups, logs, leaders or messages.
 */
import { DatabaseSync } from 'node:sqlite'
import { compareStamps, type Stamp } from '../../core/order/clock/stamp.ts'
import { decodeOriginOperations } from '../../model/origin-codec.ts'
import {
  type OriginEntry,
  type OriginOperation,
  TRANSACTIONS_MAX,
} from '../../model/origin-entry.ts'
import { OrderedTransactions } from '../../store/merge/ordered.ts'
import { cellsFromJson } from '../../store/merge/row-json.ts'
import { setRule } from '../../store/merge/rule-book.ts'
import { FUNCTIONS, SCHEMA } from './tables.ts'

/** Runs a query; rows as arrays. */
export type Query = (sql: string) => readonly (readonly unknown[])[]

interface Act {
  readonly stamp: Stamp
  readonly operation: OriginOperation
  /** Of a transaction, among those of its origin. */
  readonly number: number
  readonly seen: ReadonlyMap<string, number>
}

export class OriginsTwin {
  readonly #db = new DatabaseSync(':memory:', { enableForeignKeyConstraints: false })
  #ordered: OrderedTransactions
  #triggers: readonly string[] = []

  /** @param entries all of all origins */
  constructor(entries: readonly OriginEntry[]) {
    this.#db.exec(SCHEMA)
    this.#ordered = this.#read()
    const acts = entries.flatMap(actsOf)
    // Acts of one entry keep their order: sorting is stable.
    for (const act of acts.sort((a, b) => compareStamps(a.stamp, b.stamp))) this.#do(act)
    this.#restoreTriggers()
  }

  query: Query = (sql) => {
    const statement = this.#db.prepare(sql)
    statement.setReturnArrays(true)
    return statement.all() as unknown as unknown[][]
  }

  close(): void {
    this.#db.close()
  }

  #do({ stamp, operation, number, seen }: Act): void {
    switch (operation.kind) {
      case 'transaction':
        this.#db.exec('begin')
        this.#ordered.merge([{ stamp, sequence: number, seen, changes: operation.changes }])
        this.#db.exec('commit')
        return
      case 'ddl':
        this.#restoreTriggers()
        this.#db.exec(operation.sql)
        this.#ordered = this.#read()
        return
      case 'pragma':
        this.#db.exec(`pragma ${operation.name} = ${operation.value}`)
        return
      case 'rule':
        this.#restoreTriggers()
        setRule(this.#db, operation.rule, FUNCTIONS)
        this.#ordered = this.#read()
        return
      default:
      // Nothing of the rest is in the data.
    }
  }

  /** With the triggers there, because merging reads them, and then without, so that none fires. */
  #read(): OrderedTransactions {
    const ordered = new OrderedTransactions(this.#db, FUNCTIONS)
    const triggers = this.query("select name, sql from sqlite_schema where type = 'trigger'")
    for (const [name] of triggers) this.#db.exec(`drop trigger "${name}"`)
    this.#triggers = triggers.map(([, sql]) => String(sql))
    return ordered
  }

  #restoreTriggers(): void {
    for (const sql of this.#triggers) this.#db.exec(sql)
    this.#triggers = []
  }
}

function actsOf(entry: OriginEntry): readonly Act[] {
  const { origin, sequence, dependencies, time: end } = entry
  const seen = new Map(
    [...dependencies].map(([other, last]) => [
      other,
      last * TRANSACTIONS_MAX + TRANSACTIONS_MAX - 1,
    ]),
  )
  let transactions = 0
  return decodeOriginOperations(entry.body).map((operation, i, all) => {
    // What is no transaction happens with the next one, or at the end.
    const next = all.slice(i).find(({ kind }) => kind === 'transaction')
    const time = next?.kind === 'transaction' ? next.time : end
    const number = sequence * TRANSACTIONS_MAX + transactions
    if (operation.kind === 'transaction') transactions += 1
    return { stamp: { time, origin }, operation, number, seen }
  })
}

const TABLES = `select name from pragma_table_list where schema = 'main' and type = 'table'
  and name not like '\\_quorate%' escape '\\' and name not like 'sqlite\\_%' escape '\\' order by 1`
const SCHEMA_TEXT = `select name, sql from sqlite_schema where name not like '%quorate%'
  and tbl_name not like '%quorate%' and name not like 'sqlite\\_%' escape '\\' order by name`

/** All that must be equal on all replicas: schema, rows and conflicts, one text for each. */
export function everything(query: Query): ReadonlyMap<string, readonly string[]> {
  const content = new Map<string, readonly string[]>()
  for (const [name] of query(TABLES)) {
    const columns = query(`select name from pragma_table_info('${name}')`)
    const parts = columns.map(([column]) => `quote("${column}")`).join(" || ',' || ")
    content.set(
      String(name),
      query(`select ${parts} as row from "${name}" order by 1`).map(([row]) => String(row)),
    )
  }
  content.set(
    'schema',
    query(SCHEMA_TEXT).map((row) => row.join(': ')),
  )
  content.set('user_version', query('pragma user_version').map(String))
  return content
}

/** Says what differs, the first rows of each table; empty if nothing does. */
export function compare(
  here: ReadonlyMap<string, readonly string[]>,
  there: ReadonlyMap<string, readonly string[]>,
): string {
  const lines: string[] = []
  for (const table of new Set([...here.keys(), ...there.keys()])) {
    const [ours, theirs] = [here.get(table) ?? [], there.get(table) ?? []]
    if (ours.join('\n') === theirs.join('\n')) continue
    const only = (a: readonly string[], b: readonly string[]): string =>
      a
        .filter((row) => !b.includes(row))
        .slice(0, 5)
        .join(' | ')
    lines.push(`${table}: only here [${only(ours, theirs)}], only there [${only(theirs, ours)}]`)
  }
  return lines.join('; ')
}

/** Names of the writes that were left out as a whole. */
export function abortedOf(query: Query): ReadonlySet<string> {
  const rows = query("select lost from quorate_conflicts where kind = 'aborted' and name = 'ops'")
  return new Set(
    rows.map(([lost]) => {
      const [, session, number] = cellsFromJson(String(lost))
      return `${session}/${number}`
    }),
  )
}
