/** Text for people: aligned tables, colour where it helps, numbers as one reads them. */
import { stripVTControlCharacters } from 'node:util'

export type Style = 'bold' | 'dim' | 'red' | 'green' | 'yellow' | 'cyan'
/** Wraps a text in a style; leaves it alone where colour is not wanted. */
export type Paint = (style: Style, text: string) => string

const CODES: Record<Style, readonly [number, number]> = {
  bold: [1, 22],
  dim: [2, 22],
  red: [31, 39],
  green: [32, 39],
  yellow: [33, 39],
  cyan: [36, 39],
}

export const plain: Paint = (_style, text) => text

export const coloured: Paint = (style, text) => {
  const [on, off] = CODES[style]
  return text === '' ? '' : `\x1b[${on}m${text}\x1b[${off}m`
}

/** Colour on a terminal, unless NO_COLOR (no-color.org) is set. */
export function paintFor(stream: { readonly isTTY?: boolean }): Paint {
  const wanted = stream.isTTY === true && (process.env['NO_COLOR'] ?? '') === ''
  return wanted ? coloured : plain
}

export interface Cell {
  readonly text: string
  readonly style?: Style
}

export interface TableColumn {
  readonly title: string
  readonly align?: 'left' | 'right'
  /** Room it always has, so that a picture drawn again and again stands still. */
  readonly widthMin?: number
}

/** Lines of a table: a dim head, two spaces between columns, no lines drawn. */
export function tableLines(
  columns: readonly TableColumn[],
  rows: readonly (readonly (Cell | string)[])[],
  paint: Paint,
): string[] {
  const cells = rows.map((row) => row.map((c) => (typeof c === 'string' ? { text: c } : c)))
  const head = columns.map(({ title }): Cell => ({ text: title, style: 'dim' }))
  const widths = columns.map(({ widthMin = 0 }, at) =>
    Math.max(widthMin, ...[head, ...cells].map((row) => textWidth(row[at]?.text ?? ''))),
  )
  return [head, ...cells].map((row) =>
    row
      .map((cell, at) => {
        const space = ' '.repeat(Math.max(0, (widths[at] ?? 0) - textWidth(cell.text)))
        const text = cell.style === undefined ? cell.text : paint(cell.style, cell.text)
        return columns[at]?.align === 'right' ? space + text : text + space
      })
      .join('  ')
      .trimEnd(),
  )
}

/** Columns that a text takes on a terminal: two for East Asian wide characters, none for marks. */
export function textWidth(text: string): number {
  let width = 0
  for (const character of stripVTControlCharacters(text)) {
    if (/\p{Mn}/u.test(character)) continue
    width += WIDE.test(character) ? 2 : 1
  }
  return width
}

const WIDE = /[\p{sc=Han}\p{sc=Hiragana}\p{sc=Katakana}\p{sc=Hangul}\p{RGI_Emoji}\uFF01-\uFF60]/v

const ESCAPE = '\x1b'
const PART = new RegExp(`${ESCAPE}\\[\\d+m|.`, 'gu')

/** Cuts a line to a width; styles in it are kept whole and ended. */
export function clip(line: string, width: number): string {
  if (textWidth(line) <= width) return line
  let kept = ''
  let used = 0
  // An escape sequence takes no room and is never cut in two.
  for (const part of line.match(PART) ?? []) {
    const wide = textWidth(part)
    if (used + wide > width - 1) break
    kept += part
    used += wide
  }
  return `${kept}…${line.includes('\x1b') ? '\x1b[0m' : ''}`
}

/** What came from a database or a peer, made harmless: control characters are shown, not obeyed. */
export function printable(text: string): string {
  return text.replaceAll(/\p{Cc}/gu, (character) => {
    if (character === '\n') return '\\n'
    if (character === '\t') return '\\t'
    return `\\x${character.charCodeAt(0).toString(16).padStart(2, '0')}`
  })
}

const NUMBER = new Intl.NumberFormat('en-US', { maximumFractionDigits: 0 })

/** 1234567 -> 1,234,567. */
export function count(value: number): string {
  return NUMBER.format(value)
}

/** Bytes in binary units: 98 MiB. */
export function bytes(value: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB']
  let rest = value
  let unit = 0
  while (rest >= 1024 && unit < units.length - 1) {
    rest /= 1024
    unit += 1
  }
  return `${rest < 10 && unit > 0 ? rest.toFixed(1) : rest.toFixed(0)} ${units[unit]}`
}

/** Milliseconds with the digits that matter: 0.84 ms, 3.1 ms, 812 ms. */
export function milliseconds(value: number): string {
  if (value >= 100) return `${count(value)} ms`
  return `${value >= 10 ? value.toFixed(1) : value.toFixed(2)} ms`
}

/** 812 ms, 3.1 s, 1:02:03. */
export function duration(ms: number): string {
  if (ms < 1000) return milliseconds(ms)
  return ms < 60_000 ? `${(ms / 1000).toFixed(1)} s` : clock(ms)
}

/** 00:42, 1:02:03. */
export function clock(ms: number): string {
  const seconds = Math.floor(ms / 1000)
  const two = (value: number): string => String(value).padStart(2, '0')
  const hours = Math.floor(seconds / 3600)
  const rest = `${two(Math.floor(seconds / 60) % 60)}:${two(seconds % 60)}`
  return hours > 0 ? `${hours}:${rest}` : rest
}

/** 1 node, 3 nodes. */
export function counted(value: number, one: string, many = `${one}s`): string {
  return `${count(value)} ${value === 1 ? one : many}`
}
