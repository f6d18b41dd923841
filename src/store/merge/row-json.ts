/** Rows as JSON text with nothing lost, for what is kept of them beside their table. */
import { type ExactValue, RawText } from '../../model/exact-value.ts'
import type { Cells } from './table-rows.ts'

/**
 * Encodes values so that each reads back alike: text and NULL as they are, INTEGER and REAL as
 * numbers where JSON can tell them apart, else {"i"} and {"f"}, blobs as {"b"}, text that is not UTF-8
 * as {"t"}, what is not known as {}.
 */
export function rowToJson(row: Cells): string {
  return JSON.stringify(row.map(toJson))
}

/** The inverse of rowToJson. */
export function cellsFromJson(text: string): (ExactValue | undefined)[] {
  return (JSON.parse(text) as unknown[]).map(fromJson)
}

function toJson(value: ExactValue | undefined): unknown {
  if (value === undefined) return {}
  if (typeof value === 'bigint') {
    const number = Number(value)
    return Number.isSafeInteger(number) ? number : { i: String(value) }
  }
  if (typeof value === 'number') {
    if (Number.isFinite(value) && !Number.isInteger(value)) return value
    return { f: Object.is(value, -0) ? '-0' : String(value) }
  }
  if (value instanceof RawText) return { t: Buffer.from(value.bytes).toString('base64') }
  if (value instanceof Uint8Array) return { b: Buffer.from(value).toString('base64') }
  return value
}

function fromJson(value: unknown): ExactValue | undefined {
  if (value === null || typeof value === 'string') return value
  if (typeof value === 'number') return Number.isInteger(value) ? BigInt(value) : value
  const { i, f, b, t } = value as { i?: string; f?: string; b?: string; t?: string }
  if (i !== undefined) return BigInt(i)
  if (f !== undefined) return Number(f)
  if (t !== undefined) return new RawText(new Uint8Array(Buffer.from(t, 'base64')))
  return b === undefined ? undefined : new Uint8Array(Buffer.from(b, 'base64'))
}
