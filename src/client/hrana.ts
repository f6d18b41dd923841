/**
 * Hrana 3 as JSON: what the client says and how it reads the answers. The protocol is libSQL's
 * (docs/HRANA_3_SPEC.md there); only the parts that the client uses are here.
 */
import { ERRORS, type ErrorCode, type ErrorFacts, QuorateError } from '../base/errors.ts'
import type { Column, Statement, StatementResult, Value } from '../model/program.ts'

export type WireValue =
  | { readonly type: 'null' }
  | { readonly type: 'integer'; readonly value: string }
  | { readonly type: 'float'; readonly value: number }
  | { readonly type: 'text'; readonly value: string }
  | { readonly type: 'blob'; readonly base64: string }

interface WireStatement {
  readonly sql: string
  readonly args?: readonly WireValue[]
  readonly named_args?: readonly { readonly name: string; readonly value: WireValue }[]
}

type WireCondition =
  | { readonly type: 'ok'; readonly step: number }
  | { readonly type: 'not'; readonly cond: WireCondition }
  | { readonly type: 'is_autocommit' }

interface WireStep {
  readonly stmt: WireStatement
  readonly condition?: WireCondition
}

export type WireRequest =
  | { readonly type: 'execute'; readonly stmt: WireStatement }
  | { readonly type: 'batch'; readonly batch: { readonly steps: readonly WireStep[] } }
  | { readonly type: 'close' }

export interface WireError {
  readonly message: string
  readonly code?: string | null
  /** Ours beside Hrana's fields: the code if `code` is one of SQLite's or libSQL's instead. */
  readonly quorate_code?: string
  readonly facts?: ErrorFacts
}

export interface WireColumn {
  readonly name: string | null
  readonly decltype?: string | null
}

interface WireResult {
  readonly cols: readonly WireColumn[]
  readonly rows: readonly (readonly WireValue[])[]
  readonly affected_row_count: number
  readonly last_insert_rowid: string | null
}

interface WireBatchResult {
  readonly step_results: readonly (WireResult | null)[]
  readonly step_errors: readonly (WireError | null)[]
}

type WireAnswer =
  | { readonly type: 'ok'; readonly response: { readonly type: string; readonly result?: unknown } }
  | { readonly type: 'error'; readonly error: WireError }

/** The body of an answer to /v3/pipeline. */
export interface WirePipeline {
  readonly baton: string | null
  readonly base_url: string | null
  readonly results: readonly WireAnswer[]
}

export type Mode = 'read' | 'write'
const BEGIN = { read: 'BEGIN TRANSACTION READONLY', write: 'BEGIN IMMEDIATE' } as const

/** One statement to run. */
export function executeRequest(statement: Statement): WireRequest {
  return { type: 'execute', stmt: toWire(statement) }
}

/** The body of POST /v3/cursor for one statement. */
export function cursorBody(statement: Statement): string {
  return JSON.stringify({ baton: null, batch: { steps: [{ stmt: toWire(statement) }] } })
}

/**
 * The statements as one transaction, in the form that every Hrana client sends: see batchResults.
 *
 * @param before statements that SQLite takes outside a transaction only
 */
export function batchRequest(
  statements: readonly Statement[],
  mode: Mode,
  before: readonly Statement[] = [],
): WireRequest {
  const steps: WireStep[] = []
  for (const statement of [...before, { sql: BEGIN[mode] }, ...statements, { sql: 'COMMIT' }]) {
    const stmt = statement.args || statement.named ? toWire(statement) : { sql: statement.sql }
    const step = steps.length - 1
    steps.push(step < 0 ? { stmt } : { stmt, condition: { type: 'ok', step } })
  }
  const committed: WireCondition = { type: 'ok', step: steps.length - 1 }
  steps.push({ stmt: { sql: 'ROLLBACK' }, condition: { type: 'not', cond: committed } })
  return { type: 'batch', batch: { steps } }
}

/**
 * BEGIN with the first statement of an interactive transaction. A batch, because a pipeline goes on
 * after an error, and the statement must not run on its own where BEGIN failed.
 */
export function openRequest(statement: Statement, mode: Mode): WireRequest {
  const begin = { stmt: { sql: BEGIN[mode] } }
  const first = { stmt: toWire(statement), condition: { type: 'ok', step: 0 } } as const
  return { type: 'batch', batch: { steps: [begin, first] } }
}

/** A later statement; not run if the node has ended the transaction in the meantime. */
export function insideRequest(statement: Statement): WireRequest {
  const condition = { type: 'not', cond: { type: 'is_autocommit' } } as const
  return { type: 'batch', batch: { steps: [{ stmt: toWire(statement), condition }] } }
}

function toWire({ sql, args, named }: Statement): WireStatement {
  if (named === undefined) return { sql, args: (args ?? []).map(toWireValue) }
  const pairs = Object.entries(named).map(([name, arg]) => ({ name, value: toWireValue(arg) }))
  return { sql, named_args: pairs }
}

function toWireValue(value: Value): WireValue {
  switch (typeof value) {
    case 'number':
      return fromReal(value)
    case 'bigint':
      return { type: 'integer', value: String(value) }
    case 'string':
      return { type: 'text', value }
    default:
      return value === null ? { type: 'null' } : { type: 'blob', base64: value.toBase64() }
  }
}

/** Throws SQL_ARGUMENTS: Hrana as JSON has no infinity. */
function fromReal(value: number): WireValue {
  if (Number.isFinite(value)) return { type: 'float', value }
  throw new QuorateError('SQL_ARGUMENTS', `The number ${value} can't be sent to a node.`)
}

/** Throws INTERNAL for what is not Hrana. */
export function fromWireValue(value: WireValue): Value {
  switch (value.type) {
    case 'null':
      return null
    case 'integer':
      return BigInt(value.value)
    case 'float':
    case 'text':
      return value.value
    case 'blob':
      return Uint8Array.fromBase64(value.base64)
    default:
      throw notHrana('a value of unknown type')
  }
}

/** The pipeline in an answer's body. Throws INTERNAL if it is none. */
export function parsePipeline(body: string): WirePipeline {
  const parsed = parseJson(body)
  if (!isRecord(parsed) || !Array.isArray(parsed['results'])) throw notHrana(body.slice(0, 80))
  return parsed as unknown as WirePipeline
}

/** The result of an `execute` request, or its error thrown. */
export function executeResult(answer: WireAnswer | undefined): StatementResult {
  return toResult(okResult(answer) as WireResult)
}

/**
 * The results of a batch's statements without BEGIN, COMMIT and ROLLBACK; its first error thrown.
 *
 * @param before how many statements stood before BEGIN
 */
export function batchResults(answer: WireAnswer | undefined, before: number): StatementResult[] {
  const results = stepResults(answer).slice(1 + before, -2)
  return results.map((result) => {
    if (result === null) throw notHrana('a step without result and error')
    return toResult(result)
  })
}

/** The result of step `at` of a batch, or the batch's first error; null: its condition skipped it. */
export function stepResult(answer: WireAnswer | undefined, at: number): StatementResult | null {
  const result = stepResults(answer)[at] ?? null
  return result === null ? null : toResult(result)
}

function stepResults(answer: WireAnswer | undefined): readonly (WireResult | null)[] {
  const { step_results, step_errors } = okResult(answer) as Partial<WireBatchResult>
  if (!Array.isArray(step_results) || !Array.isArray(step_errors)) throw notHrana('no steps')
  const failed: WireError | undefined = step_errors.find((error) => error !== null)
  if (failed) throw toQuorateError(failed)
  return step_results
}

function okResult(answer: WireAnswer | undefined): unknown {
  if (answer === undefined) throw notHrana('a missing result')
  if (answer.type === 'error') throw toQuorateError(answer.error)
  if (!isRecord(answer.response?.result)) throw notHrana('a response without result')
  return answer.response.result
}

function toResult(wire: WireResult): StatementResult {
  return {
    columns: wire.cols.map(toColumn),
    rows: wire.rows.map((row) => row.map(fromWireValue)),
    changes: wire.affected_row_count,
    lastInsertRowid: wire.last_insert_rowid === null ? null : BigInt(wire.last_insert_rowid),
  }
}

export function toColumn({ name, decltype }: WireColumn): Column {
  return { name: name ?? '', decltype: decltype ?? null }
}

/** One line of an answer to /v3/cursor. Only what the client looks at. */
export type WireCursorLine =
  | { readonly type: 'step_begin'; readonly cols: readonly WireColumn[] }
  | { readonly type: 'row'; readonly row: readonly WireValue[] }
  | { readonly type: 'step_end' }
  | { readonly type: 'step_error' | 'error'; readonly error: WireError }
  /** The first line has a baton instead of a type. */
  | { readonly type?: undefined; readonly baton: string | null }

/** Throws INTERNAL for what is not a line of a cursor. */
export function parseCursorLine(line: string): WireCursorLine {
  const parsed = parseJson(line)
  if (!isRecord(parsed)) throw notHrana(line.slice(0, 80))
  return parsed as unknown as WireCursorLine
}

/** The error in the body of an HTTP answer that is not 200; null if it says nothing we know. */
export function errorInBody(body: string): QuorateError | null {
  const parsed = parseJson(body)
  if (!isRecord(parsed) || typeof parsed['message'] !== 'string') return null
  return toQuorateError(parsed as unknown as WireError)
}

/** An error as it came over the wire. What SQLite called it stays in the facts. */
export function toQuorateError(wire: WireError): QuorateError {
  const code = toErrorCode(wire.quorate_code ?? wire.code ?? '')
  return new QuorateError(code, detailOf(wire.message, code), wire.facts ?? {})
}

function toErrorCode(code: string): ErrorCode {
  return Object.hasOwn(ERRORS, code) ? (code as ErrorCode) : 'INTERNAL'
}

/** Without what QuorateError, or whoever shows it, adds again. */
function detailOf(message: string, code: ErrorCode): string {
  const { hint } = ERRORS[code]
  const sentence = message.startsWith(`${code}: `) ? message.slice(code.length + 2) : message
  return sentence.endsWith(hint) ? sentence.slice(0, -hint.length).trimEnd() : sentence
}

function notHrana(what: string): QuorateError {
  return new QuorateError('INTERNAL', `The answer is not Hrana: ${what}.`)
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return null
  }
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
