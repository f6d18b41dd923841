/**
 * What one entry of the log changed, as listeners are told: which rows of which tables, by key. As
 * JSON on its way to remote clients, because server-sent events are text.
 */
import { bad, fields, flag, list, oneOf, parseJson, text, whole } from './fields.ts'
import type { Value } from './program.ts'
import { decodeValue, encodeValue } from './value-codec.ts'

const ROW_OPS = ['insert', 'update', 'delete'] as const

export interface ChangedRow {
  readonly table: string
  readonly op: (typeof ROW_OPS)[number]
  /** Name and value of each key column; null where the table's form of today doesn't tell. */
  readonly key: readonly (readonly [name: string, value: Value])[] | null
}

export type Changes =
  | {
      readonly kind: 'change'
      readonly index: number
      /** The entry has DDL as well. */
      readonly schema: boolean
      readonly rows: readonly ChangedRow[]
    }
  /** What changed through this position can't be told. */
  | { readonly kind: 'gap'; readonly through: number }

export function encodeChanges(changes: Changes): string {
  if (changes.kind === 'gap') return JSON.stringify(changes)
  const rows = changes.rows.map(({ table, op, key }) => ({
    table,
    op,
    key: key?.map(([name, value]) => [name, encodeValue(value)]) ?? null,
  }))
  return JSON.stringify({ ...changes, rows })
}

/** Throws BAD_REQUEST for what encodeChanges does not make. */
export function decodeChanges(json: string): Changes {
  const value = fields(parseJson(json, 'changes'), 'changes')
  const kind = value['kind']
  if (kind === 'gap') return { kind, through: whole(value['through'], 'through') }
  if (kind !== 'change') throw bad('kind', 'change or gap', kind)
  return {
    kind,
    index: whole(value['index'], 'index'),
    schema: flag(value['schema'], 'schema'),
    rows: list(value['rows'], 'rows').map(decodeRow),
  }
}

function decodeRow(value: unknown): ChangedRow {
  const row = fields(value, 'row')
  return {
    table: text(row['table'], 'table'),
    op: oneOf(row['op'], 'op', ROW_OPS),
    key: row['key'] === null ? null : list(row['key'], 'key').map(decodeColumn),
  }
}

function decodeColumn(value: unknown): readonly [string, Value] {
  const [name, encoded] = list(value, 'key column')
  return [text(name, 'key column'), decodeValue(encoded)]
}
