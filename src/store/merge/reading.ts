/** What merging knows of a database: its schema and its rules, and what follows from them. */
import type { DatabaseSync } from 'node:sqlite'
import type { RuleContext } from './by-rules.ts'
import type { Catalog } from './catalog.ts'
import { Derived } from './derived.ts'
import type { MergeParts } from './parts.ts'
import { type MergeFunctions, readRules } from './rule-book.ts'
import type { MergeRules } from './rules.ts'
import { TableRows } from './table-rows.ts'

export interface Reading {
  readonly catalog: Catalog
  readonly rules: MergeRules
  readonly footprints: ReturnType<MergeParts['createFootprints']>
  readonly context: Omit<RuleContext, 'findDeleted'>
  readonly derived: Derived
}

/** Throws NOT_ADOPTABLE for tables that can't be merged, MERGE_FUNCTION_MISSING. */
export function read(db: DatabaseSync, functions: MergeFunctions, parts: MergeParts): Reading {
  const catalog = parts.readCatalog(db)
  const rules = readRules(db, catalog, functions)
  const rows = new TableRows(db)
  const foreignKeys = parts.createForeignKeys(catalog, rows)
  const { decide } = parts
  return {
    catalog,
    rules,
    footprints: parts.createFootprints(catalog),
    context: { db, catalog, rows, foreignKeys, rules, decide },
    derived: new Derived(db, catalog),
  }
}
