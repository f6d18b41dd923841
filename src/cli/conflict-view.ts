/** Conflicts as text and as JSON: what was kept beside what was lost. */
import { type ExactValue, RawText } from '../model/exact-value.ts'
import type { StoredConflict } from '../store/merge/replay.ts'
import type { Cells } from '../store/merge/table-rows.ts'
import type { ConflictPlace, ConflictTable } from './conflict-reader.ts'
import { usageError } from './output.ts'
import { type Cell, counted, type Paint, printable, tableLines } from './terminal.ts'

/** How a conflict is called: `TIME.NUMBER@ORIGIN`. */
export function conflictId({ stamp, number }: Pick<StoredConflict, 'stamp' | 'number'>): string {
  return `${stamp.time}.${number}@${stamp.origin}`
}

/** The inverse of conflictId. Throws BAD_USAGE. */
export function parseId(id: string): ConflictPlace {
  const [, time, number, origin] = /^(\d{1,16})\.(\d{1,9})@([!-~]{1,64})$/.exec(id) ?? []
  if (time === undefined || origin === undefined) {
    throw usageError(`${id} is not the id of a conflict; \`quorate conflicts\` lists them.`)
  }
  return { time: Number(time), number: Number(number), origin }
}

/** All of them, one a line. */
export function listLines(conflicts: readonly StoredConflict[], paint: Paint): string[] {
  if (conflicts.length === 0) return ['There are no conflicts.']
  const columns = ['id', 'at', 'kind', 'table', 'key', 'columns', ''].map((title) => ({ title }))
  const rows = conflicts.map((conflict): (Cell | string)[] => [
    conflictId(conflict),
    { text: timeOf(conflict), style: 'dim' },
    conflict.kind,
    printable(conflict.table),
    conflict.key.map(valueText).join(', '),
    conflict.columns.map(printable).join(', '),
    conflict.open ? { text: 'open', style: 'yellow' } : '',
  ])
  const total = `${counted(conflicts.length, 'conflict')}: quorate conflicts show ID`
  return [...tableLines(columns, rows, paint), paint('dim', total)]
}

/** One of them, both sides. */
export function conflictLines(
  conflict: StoredConflict,
  table: ConflictTable | null,
  paint: Paint,
): string[] {
  const { kind, key, kept, lost, open, stamp } = conflict
  const names = columnNames(conflict, table)
  const rows = names.map((name, at) => [
    printable(name),
    kept === null ? '' : valueText(kept[at]),
    sideOf(lost, at, conflict, name),
  ])
  const columns = [{ title: 'column' }, { title: 'kept' }, { title: 'lost' }]
  return [
    `${kind} in ${printable(conflict.table)}, key ${key.map(valueText).join(', ')}`,
    paint('dim', `${timeOf(conflict)}, reported with a transaction of ${stamp.origin}`),
    ...(rows.length === 0 ? [] : ['', ...tableLines(columns, rows, paint)]),
    ...(kept === null ? ['', 'No row was kept.'] : []),
    ...(lost === null ? ['', 'What was lost is a delete of the row.'] : []),
    ...(open ? ['', paint('yellow', '! Open: somebody has to deal with it.')] : []),
  ]
}

/** One of them for programs. Integers are numbers in full, blobs base64. */
export function jsonOf(conflict: StoredConflict, table: ConflictTable | null): unknown {
  const { stamp, number, kind, key, columns, kept, lost, open } = conflict
  const names = table === null ? null : columnNames(conflict, table)
  const side = (cells: Cells | null): unknown => {
    if (cells === null || names === null) return cells?.map(jsonValue) ?? null
    const known = names.flatMap((name, at) =>
      cells[at] === undefined ? [] : [[name, jsonValue(cells[at])] as const],
    )
    return Object.fromEntries(known)
  }
  return {
    ...{ id: conflictId(conflict), ...stamp, number, kind, table: conflict.table },
    ...{ key: key.map(jsonValue), columns, kept: side(kept), lost: side(lost), open },
  }
}

/** Those of the table; if it is gone, or has grown since, by number. */
function columnNames({ kept, lost }: StoredConflict, table: ConflictTable | null): string[] {
  const width = Math.max(kept?.length ?? 0, lost?.length ?? 0)
  return Array.from({ length: width }, (_, at) => table?.columns[at] ?? `column ${at + 1}`)
}

function sideOf(lost: Cells | null, at: number, conflict: StoredConflict, name: string): Cell {
  if (lost === null) return { text: '' }
  const value = lost[at]
  if (value === undefined) return { text: '·', style: 'dim' }
  const meant = conflict.columns.includes(name)
  return meant ? { text: valueText(value), style: 'bold' } : { text: valueText(value) }
}

function timeOf({ stamp }: StoredConflict): string {
  return new Date(stamp.time / 1000).toISOString()
}

const BLOB_BYTES_SHOWN = 16

/** As SQL writes it, so that 1, 1.0 and '1' can be told apart. */
function valueText(value: ExactValue | undefined): string {
  if (value === null || value === undefined) return 'null'
  if (typeof value === 'string') return `'${printable(value.replaceAll("'", "''"))}'`
  if (typeof value === 'number') return Number.isInteger(value) ? value.toFixed(1) : String(value)
  if (typeof value === 'bigint') return String(value)
  const bytes = value instanceof RawText ? value.bytes : value
  const hex = Buffer.from(bytes.subarray(0, BLOB_BYTES_SHOWN)).toString('hex')
  return `x'${hex}'${bytes.length > BLOB_BYTES_SHOWN ? `… (${bytes.length} bytes)` : ''}`
}

function jsonValue(value: ExactValue | undefined): unknown {
  return value instanceof RawText ? value.bytes : (value ?? null)
}
