/** Rows as text in each of the shell's modes, those of the sqlite3 shell. */
import { stringify } from 'csv-stringify/sync'
import type { Value } from '../../model/program.ts'
import { quote } from '../../store/quote.ts'
import { clip, printable, textWidth } from '../terminal.ts'
import { jsonText, plainText, sqlLiteral } from './values.ts'

export const MODES = [
  'box',
  'table',
  'column',
  'list',
  'line',
  'csv',
  'tabs',
  'json',
  'markdown',
  'insert',
  'quote',
] as const
export type RenderMode = (typeof MODES)[number]

export interface RenderOptions {
  readonly mode: RenderMode
  /** null: as the mode has it by itself. */
  readonly headers: boolean | null
  readonly nullText: string | null
  readonly separator: string | null
  /** Columns of a terminal for each column; 0 as wide as needed, negative aligned to the right. */
  readonly widths: readonly number[]
  /** What mode insert inserts into. */
  readonly table: string
}

type Rows = readonly (readonly Value[])[]
type Align = 'left' | 'right'

/** The lines of a result; none for one without columns. */
export function renderLines(
  columns: readonly string[],
  rows: Rows,
  options: RenderOptions,
): readonly string[] {
  if (columns.length === 0) return []
  switch (options.mode) {
    case 'box':
    case 'table':
    case 'column':
    case 'markdown':
      return rows.length === 0 ? [] : tableOf(columns, rows, options)
    case 'list':
      return separated(columns, rows, options, options.separator ?? '|', false)
    case 'tabs':
      return separated(columns, rows, options, '\t', false)
    case 'quote':
      return separated(columns, rows, options, options.separator ?? ',', true)
    case 'csv':
      return csv(columns, rows, options)
    case 'line':
      return byLine(columns, rows, options)
    case 'json':
      return json(columns, rows)
    case 'insert':
      return inserts(columns, rows, options)
  }
}

function separated(
  columns: readonly string[],
  rows: Rows,
  { headers, nullText }: RenderOptions,
  separator: string,
  quoted: boolean,
): readonly string[] {
  const text = (value: Value): string =>
    quoted ? sqlLiteral(value) : plainText(value, nullText ?? '')
  const head = headers ? [columns.map((name) => (quoted ? sqlLiteral(name) : name))] : []
  return [...head, ...rows.map((row) => row.map(text))].map((cells) => cells.join(separator))
}

function csv(
  columns: readonly string[],
  rows: Rows,
  { headers, nullText, separator }: RenderOptions,
): readonly string[] {
  const cells = rows.map((row) => row.map((value) => plainText(value, nullText ?? '')))
  const all = headers ? [[...columns], ...cells] : cells
  const text = stringify(all, { delimiter: separator ?? ',' })
  return text === '' ? [] : [text.replace(/\n$/, '')]
}

function byLine(columns: readonly string[], rows: Rows, options: RenderOptions): readonly string[] {
  const width = Math.max(5, ...columns.map(textWidth))
  return rows.flatMap((row, at) => [
    ...(at === 0 ? [] : ['']),
    ...columns.map((name, column) => {
      const text = plainText(row[column] ?? null, options.nullText ?? '')
      return `${pad(name, width, 'right')} = ${text}`
    }),
  ])
}

function json(columns: readonly string[], rows: Rows): readonly string[] {
  if (rows.length === 0) return ['[]']
  const keys = columns.map((name) => JSON.stringify(name))
  const objects = rows.map((row) => {
    return `{${keys.map((key, at) => `${key}:${jsonText(row[at] ?? null)}`).join(',')}}`
  })
  return objects.map((object, at) => {
    return `${at === 0 ? '[' : ''}${object}${at === objects.length - 1 ? ']' : ','}`
  })
}

function inserts(
  columns: readonly string[],
  rows: Rows,
  { headers, table }: RenderOptions,
): readonly string[] {
  const names = headers ? `(${columns.map(quote).join(',')})` : ''
  return rows.map((row) => {
    return `INSERT INTO ${quote(table)}${names} VALUES(${row.map(sqlLiteral).join(',')});`
  })
}

interface Frame {
  /** Left edge, between columns, right edge. */
  readonly row: readonly [string, string, string]
  readonly top: readonly [string, string, string] | null
  readonly middle: readonly [string, string, string]
  readonly bottom: readonly [string, string, string] | null
  readonly fill: string
}

const FRAMES: Readonly<Record<string, Frame>> = {
  box: {
    row: ['│ ', ' │ ', ' │'],
    top: ['┌─', '─┬─', '─┐'],
    middle: ['├─', '─┼─', '─┤'],
    bottom: ['└─', '─┴─', '─┘'],
    fill: '─',
  },
  table: {
    row: ['| ', ' | ', ' |'],
    top: ['+-', '-+-', '-+'],
    middle: ['+-', '-+-', '-+'],
    bottom: ['+-', '-+-', '-+'],
    fill: '-',
  },
  markdown: {
    row: ['| ', ' | ', ' |'],
    top: null,
    middle: ['|-', '-|-', '-|'],
    bottom: null,
    fill: '-',
  },
  column: {
    row: ['', '  ', ''],
    top: null,
    middle: ['', '  ', ''],
    bottom: null,
    fill: '-',
  },
}

function tableOf(
  columns: readonly string[],
  rows: Rows,
  options: RenderOptions,
): readonly string[] {
  const { mode, headers, nullText, widths: wanted } = options
  const frame = FRAMES[mode] ?? (FRAMES['table'] as Frame)
  const safe = mode === 'markdown' ? (text: string) => text.replaceAll('|', '\\|') : String
  const cells = rows.map((row) =>
    row.map((value) => safe(printable(plainText(value, nullText ?? 'NULL')))),
  )
  const titles = columns.map((name) => safe(printable(name)))
  const aligns = columns.map((_, at): Align => {
    if ((wanted[at] ?? 0) < 0) return 'right'
    return rows.every((row) => isNumber(row[at] ?? null)) ? 'right' : 'left'
  })
  const widths = columns.map((_, at) => {
    const fixed = Math.abs(wanted[at] ?? 0)
    if (fixed > 0) return fixed
    return cells.reduce(
      (most, row) => Math.max(most, textWidth(row[at] ?? '')),
      textWidth(titles[at] ?? ''),
    )
  })
  const line = (texts: readonly string[]): string =>
    joined(
      frame.row,
      texts.map((text, at) => pad(text, widths[at] ?? 0, aligns[at] ?? 'left')),
    )
  const rule = (edges: readonly [string, string, string] | null): string[] =>
    edges === null
      ? []
      : [
          joined(
            edges,
            widths.map((width) => frame.fill.repeat(width)),
          ),
        ]
  const head = headers === false ? [] : [line(titles), ...rule(frame.middle)]
  return [...rule(frame.top), ...head, ...cells.map(line), ...rule(frame.bottom)]
}

function joined(
  [left, between, right]: readonly [string, string, string],
  texts: readonly string[],
) {
  return `${left}${texts.join(between)}${right}`.trimEnd()
}

function isNumber(value: Value): boolean {
  return value === null || typeof value === 'number' || typeof value === 'bigint'
}

function pad(text: string, width: number, align: Align): string {
  const cut = clip(text, width)
  const space = ' '.repeat(Math.max(0, width - textWidth(cut)))
  return align === 'right' ? space + cut : cut + space
}

/** EXPLAIN QUERY PLAN as a tree, as the sqlite3 shell draws it. */
export function planLines(rows: Rows): readonly string[] {
  const lines = ['QUERY PLAN']
  const draw = (parent: bigint, indent: string): void => {
    const children = rows.filter((row) => row[1] === parent)
    children.forEach((row, at) => {
      const last = at === children.length - 1
      lines.push(`${indent}${last ? '`--' : '|--'}${printable(String(row[3]))}`)
      draw(BigInt(String(row[0])), `${indent}${last ? '   ' : '|  '}`)
    })
  }
  draw(0n, '')
  return lines
}
