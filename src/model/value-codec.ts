/**
 * SQLite values inside JSON. A text is "t…", an integer "i…", a blob "b…" in base64, null itself; a
 * real is a JSON number unless JSON has none for it ("f-0", "fInfinity", "f-Infinity"). One letter
 * in front, because an object around each value makes large results three times slower to parse.
 */
import { bad } from './fields.ts'
import type { Value } from './program.ts'

export type JsonValue = null | number | string

export function encodeValue(value: Value): JsonValue {
  switch (typeof value) {
    case 'string':
      return `t${value}`
    case 'bigint':
      return `i${value}`
    case 'number':
      if (Object.is(value, -0)) return 'f-0'
      return Number.isFinite(value) ? value : `f${value}`
    default:
      return value === null ? null : `b${value.toBase64()}`
  }
}

/** Throws BAD_REQUEST for what encodeValue does not make. */
export function decodeValue(value: unknown): Value {
  if (value === null || typeof value === 'number') return value
  if (typeof value !== 'string') throw bad('value', 'an encoded value', value)
  const rest = value.slice(1)
  switch (value[0]) {
    case 't':
      return rest
    case 'i':
      return decodeInteger(rest)
    case 'b':
      return decodeBase64(rest)
    case 'f':
      return decodeReal(rest)
    default:
      throw bad('value', 'an encoded value', value)
  }
}

/** A 64-bit integer in decimal. Throws BAD_REQUEST. */
export function decodeInteger(text: string): bigint {
  if (/^-?\d{1,19}$/.test(text)) {
    const integer = BigInt(text)
    if (BigInt.asIntN(64, integer) === integer) return integer
  }
  throw bad('value', 'a 64-bit integer', text)
}

/** Bytes of base64, padded or not. Throws BAD_REQUEST. */
export function decodeBase64(text: string): Uint8Array {
  try {
    return Uint8Array.fromBase64(text)
  } catch {
    throw bad('value', 'base64', text)
  }
}

function decodeReal(text: string): number {
  if (text === '-0') return -0
  if (text === 'Infinity' || text === '-Infinity' || text === 'NaN') return Number(text)
  throw bad('value', 'a real', text)
}
