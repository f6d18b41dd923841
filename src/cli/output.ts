/** What a command leaves behind: data on stdout, one line of error on stderr, an exit code. */
import { constants } from 'node:os'
import { type ErrorCode, QuorateError } from '../base/errors.ts'
import { printable } from './terminal.ts'

/** Mistakes in how a command was called, as opposed to a command that failed. */
const USAGE_CODES: ReadonlySet<ErrorCode> = new Set(['BAD_USAGE', 'BAD_CONFIG'])

export const EXIT_FAILURE = 1
export const EXIT_USAGE = 2

/** A command called in a way that it does not know. */
export function usageError(detail: string): QuorateError {
  return new QuorateError('BAD_USAGE', detail)
}

/** `error: CODE: sentence. What to do.` on one line. */
export function errorLine(error: unknown): string {
  if (error instanceof QuorateError) return `error: ${error.code}: ${printable(error.message)}`
  const text = error instanceof Error ? error.message : String(error)
  const bug = new QuorateError('INTERNAL', text.endsWith('.') ? text : `${text}.`)
  return `error: ${bug.code}: ${printable(bug.message)}`
}

export function exitCodeOf(error: unknown): number {
  const usage = error instanceof QuorateError && USAGE_CODES.has(error.code)
  return usage ? EXIT_USAGE : EXIT_FAILURE
}

export function exitCodeOfSignal(signal: NodeJS.Signals): number {
  return 128 + constants.signals[signal]
}

/** Writes lines to stdout. */
export function print(...lines: readonly string[]): void {
  if (lines.length > 0) process.stdout.write(`${lines.join('\n')}\n`)
}

/** Writes a value to stdout as JSON, integers beyond 2^53 as numbers in full, blobs as base64. */
export function printJson(value: unknown): void {
  print(JSON.stringify(value, jsonValue, 2))
}

function jsonValue(_key: string, value: unknown): unknown {
  if (typeof value === 'bigint') return rawJson(String(value))
  if (value instanceof Uint8Array) return { base64: Buffer.from(value).toString('base64') }
  return value
}

/** JSON.rawJSON is in the language (ES2026) and in Node, and not yet in TypeScript's library. */
function rawJson(text: string): unknown {
  const json = JSON as unknown as { readonly rawJSON: (text: string) => unknown }
  return json.rawJSON(text)
}
