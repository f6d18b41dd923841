/**
 * Conflict rules as the database itself holds them, in `_quorate_rules`: for a column, or for a
 * table as a whole (column ''). They must be the same on all replicas at the same place in the order.
 */
import type { DatabaseSync } from 'node:sqlite'
import { QuorateError } from '../../base/errors.ts'
import { type Catalog, type MergeTable, readCatalog } from './catalog.ts'
import { COLUMN_RULES, type ColumnRule, type MergeFunction, type MergeRules } from './rules.ts'

/** What the application registers on every node, by name. */
export type MergeFunctions = ReadonlyMap<string, MergeFunction>

export interface RuleSetting {
  readonly table: string
  /** Empty: all columns of the table that have no rule of their own. */
  readonly column: string
  /** One of COLUMN_RULES, `abort` for a table, or `function:NAME`; empty: none any more. */
  readonly rule: string
}

const TABLE = `create table if not exists _quorate_rules (
  name text not null collate nocase, column text not null collate nocase, rule text not null,
  primary key (name, column)) without rowid`
const FUNCTION = 'function:'

/**
 * Sets one rule, or takes it away.
 *
 * Throws BAD_RULE if there is no such table, column or rule, MERGE_FUNCTION_MISSING if a function is
 * named that is not registered. Nothing has changed then.
 */
export function setRule(db: DatabaseSync, setting: RuleSetting, functions: MergeFunctions): void {
  const { table: name, column, rule } = setting
  const table = readCatalog(db).get(name.toLowerCase())
  if (table === undefined) throw badRule(`There is no table ${name} that is replicated.`)
  db.exec(TABLE)
  if (rule === '') {
    const reset = 'delete from _quorate_rules where name = ? and column = ?'
    db.prepare(reset).run(table.name, column)
    return
  }
  checkColumn(table, column)
  checkRule(rule, column, functions)
  db.prepare('insert or replace into _quorate_rules (name, column, rule) values (?, ?, ?)').run(
    table.name,
    column,
    rule,
  )
}

/** All that were set. */
export function listRules(db: DatabaseSync): readonly RuleSetting[] {
  db.exec(TABLE)
  const sql = 'select name as "table", column, rule from _quorate_rules order by name, column'
  return db.prepare(sql).all() as unknown as RuleSetting[]
}

/**
 * The rules as merging asks for them. A rule for what has been dropped since counts for nothing.
 *
 * Throws MERGE_FUNCTION_MISSING, BAD_RULE if the database names a rule that this release does not know.
 */
export function readRules(
  db: DatabaseSync,
  catalog: Catalog,
  functions: MergeFunctions,
): MergeRules {
  const columns = new Map<string, ColumnRule>()
  const aborts = new Set<string>()
  for (const { table: name, column, rule } of listRules(db)) {
    const table = catalog.get(name.toLowerCase())
    if (table === undefined) continue
    checkRule(rule, column, functions)
    if (rule === 'abort') aborts.add(table.name.toLowerCase())
    else columns.set(place(table.name, column), ruleOf(rule, functions))
  }
  return {
    rule: (table, column) =>
      columns.get(place(table, column)) ?? columns.get(place(table, '')) ?? 'last',
    aborts: (table) => aborts.has(table.toLowerCase()),
  }
}

function place(table: string, column: string): string {
  return `${table.toLowerCase()} ${column.toLowerCase()}`
}

function ruleOf(rule: string, functions: MergeFunctions): ColumnRule {
  const named = functions.get(rule.slice(FUNCTION.length))
  if (rule.startsWith(FUNCTION) && named !== undefined) return named
  return COLUMN_RULES.find((one) => one === rule) ?? 'last'
}

function checkColumn({ name, columns, key }: MergeTable, column: string): void {
  if (column === '') return
  const at = columns.findIndex((one) => one.toLowerCase() === column.toLowerCase())
  if (at === -1) throw badRule(`Table ${name} has no column ${column} that is stored.`)
  if (key.includes(at)) {
    throw badRule(`Column ${column} of ${name} is in its PRIMARY KEY, which names the row.`)
  }
}

function checkRule(rule: string, column: string, functions: MergeFunctions): void {
  if (rule.startsWith(FUNCTION)) {
    const name = rule.slice(FUNCTION.length)
    if (functions.has(name)) return
    const detail = `The merge function ${name} is not registered on this node.`
    throw new QuorateError('MERGE_FUNCTION_MISSING', detail)
  }
  if (rule === 'abort') {
    if (column === '') return
    throw badRule(`The rule abort is for whole tables, not for column ${column}.`)
  }
  if (!COLUMN_RULES.some((one) => one === rule)) throw badRule(`There is no rule ${rule}.`)
}

function badRule(detail: string): QuorateError {
  return new QuorateError('BAD_RULE', detail)
}
