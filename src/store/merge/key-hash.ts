/**
 * Values as keys of the clock order. Whatever SQLite may take for equal has the same key: numbers
 * whatever their type, texts that differ in case or trailing spaces, a text and the number that it
 * spells. Different values with the same key cost some work, nothing else.
 */
import type { Key } from '../../core/order/clock/key-set.ts'
import { type ExactValue, RawText } from '../../model/exact-value.ts'

/** What keys of one kind begin with. */
export interface Seed {
  readonly high: number
  readonly low: number
}

const double = new Float64Array(1)
const words = new Uint32Array(double.buffer)

/** Two lanes of 32 bits, in the manner of FNV-1a and of MurmurHash's finish. */
class Lanes {
  high = 0
  low = 0

  start({ high, low }: Seed): void {
    this.high = high
    this.low = low
  }

  word(word: number): void {
    this.low = Math.imul(this.low ^ word, 0x01000193)
    this.high = Math.imul((this.high ^ word) + (this.low >>> 15), 0x85ebca6b)
    this.high ^= this.high >>> 13
  }

  key(): Key {
    const low = Math.imul(this.low ^ (this.low >>> 16), 0xc2b2ae35)
    const high = Math.imul(this.high ^ (this.high >>> 15), 0x27d4eb2f)
    return ((high ^ (low >>> 7)) >>> 11) * 2 ** 32 + ((low ^ (high >>> 16)) >>> 0)
  }
}

const lanes = new Lanes()

export function seedOf(...names: readonly string[]): Seed {
  lanes.start({ high: 0x811c9dc5 | 0, low: 0x9747b28c | 0 })
  for (const name of names) addText(name.toLowerCase())
  return { high: lanes.high, low: lanes.low }
}

/** The key of some values of a row, by the places of their columns. */
export function keyOf(
  seed: Seed,
  cells: readonly (ExactValue | undefined)[],
  columns: readonly number[],
): Key {
  startKey(seed)
  for (const column of columns) addValue(cells[column] ?? null)
  return endKey()
}

/** The same value by value: `startKey`, each added, `endKey`. No two keys at a time. */
export function startKey(seed: Seed): void {
  lanes.start(seed)
}

export function endKey(): Key {
  return lanes.key()
}

export function addValue(value: ExactValue): void {
  if (value === null) lanes.word(1)
  else if (typeof value === 'bigint' || typeof value === 'number') addNumber(Number(value))
  else if (typeof value === 'string') {
    const number = numberIn(value)
    if (number === null) addText(value)
    else addNumber(number)
  } else addBytes(value instanceof RawText ? value.bytes : value)
}

export function addNumber(value: number): void {
  // One key for both zeros.
  double[0] = value === 0 ? 0 : value
  lanes.word(2)
  lanes.word(words[0] ?? 0)
  lanes.word(words[1] ?? 0)
}

/** The number that a column may make of a text; null: none. */
function numberIn(text: string): number | null {
  const first = text.charCodeAt(0)
  // From '+' to '9', or white space before it.
  if (!((first >= 0x2b && first <= 0x39) || first <= 0x20)) return null
  const number = text.trim() === '' ? Number.NaN : Number(text)
  return Number.isNaN(number) ? null : number
}

function addText(text: string): void {
  lanes.word(3)
  let end = text.length
  while (end > 0 && text.charCodeAt(end - 1) === 0x20) end -= 1
  for (let i = 0; i < end; i += 1) lanes.word(folded(text.charCodeAt(i)))
  lanes.word(end)
}

function addBytes(bytes: Uint8Array): void {
  lanes.word(4)
  let end = bytes.length
  while (end > 0 && bytes[end - 1] === 0x20) end -= 1
  for (let i = 0; i < end; i += 1) lanes.word(folded(bytes[i] ?? 0))
  lanes.word(end)
}

/** NOCASE knows only the letters of ASCII. */
function folded(code: number): number {
  return code >= 0x41 && code <= 0x5a ? code + 32 : code
}
