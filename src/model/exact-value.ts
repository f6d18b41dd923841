/**
 * Values with nothing lost. SQLite stores as TEXT whatever bytes it is given, while a string of
 * JavaScript holds Unicode only; text that is not UTF-8 is therefore carried as its bytes wherever
 * rows are copied instead of shown.
 */
import type { Value } from './program.ts'

/** Text that is not UTF-8. */
export class RawText {
  readonly bytes: Uint8Array

  constructor(bytes: Uint8Array) {
    this.bytes = bytes
  }
}

export type ExactValue = Value | RawText

// A byte order mark is content here.
const strict = new TextDecoder('utf-8', { ignoreBOM: true, fatal: true })

/** TEXT from its bytes, as a string if it can be one. */
export function exactText(bytes: Uint8Array): string | RawText {
  try {
    return strict.decode(bytes)
  } catch {
    return new RawText(bytes.slice())
  }
}

/** Whether two values are the same to the last bit and type. */
export function identical(a: ExactValue, b: ExactValue): boolean {
  if (a instanceof Uint8Array) return b instanceof Uint8Array && sameBytes(a, b)
  if (a instanceof RawText) return b instanceof RawText && sameBytes(a.bytes, b.bytes)
  return Object.is(a, b)
}

function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, i) => byte === b[i])
}
