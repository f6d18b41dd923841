/**
 * Hrana 3 as JSON: what the client says and how it reads the answers. The protocol is libSQL's
 * (docs/HRANA_3_SPEC.md there); only the parts that the client uses are here.
 */
import { ERRORS, type ErrorCode, type ErrorFacts, QuorateError } from '../base/errors.ts'
import type { Arg, Args, BatchItem, Cell, ExecuteResult, Row } from './types.ts'

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

interface WireError {
  readonly message: string
  readonly code?: string | null
  /** Ours beside Hrana's fields. */
  readonly facts?: ErrorFacts
}

interface WireResult {
  readonly cols: readonly { readonly name: string | null }[]
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

/** One statement to run. */
export function executeRequest(sql: string, args: Args | undefined): WireRequest {
  return { type: 'execute', stmt: toStatement(sql, args) }
}

/** The statements as one transaction, in the form that every Hrana client sends: see batchResults. */
export function batchRequest(items: readonly BatchItem[], mode: 'read' | 'write'): WireRequest {
  const begin = mode === 'read' ? 'BEGIN TRANSACTION READONLY' : 'BEGIN IMMEDIATE'
  const steps: WireStep[] = [{ stmt: { sql: begin } }]
  for (const item of items) {
    const [sql, args] = typeof item === 'string' ? [item, undefined] : item
    steps.push({ stmt: toStatement(sql, args), condition: { type: 'ok', step: steps.length - 1 } })
  }
  steps.push({ stmt: { sql: 'COMMIT' }, condition: { type: 'ok', step: steps.length - 1 } })
  const committed: WireCondition = { type: 'ok', step: steps.length - 1 }
  steps.push({ stmt: { sql: 'ROLLBACK' }, condition: { type: 'not', cond: committed } })
  return { type: 'batch', batch: { steps } }
}

/**
 * BEGIN with the first statement of an interactive transaction. A batch, because a pipeline goes on
 * after an error, and the statement must not run on its own where BEGIN failed.
 */
export function openRequest(sql: string, args: Args | undefined): WireRequest {
  const begin = { stmt: { sql: 'BEGIN IMMEDIATE' } }
  const first = { stmt: toStatement(sql, args), condition: { type: 'ok', step: 0 } } as const
  return { type: 'batch', batch: { steps: [begin, first] } }
}

/** A later statement; not run if the node has ended the transaction in the meantime. */
export function insideRequest(sql: string, args: Args | undefined): WireRequest {
  const condition = { type: 'not', cond: { type: 'is_autocommit' } } as const
  return { type: 'batch', batch: { steps: [{ stmt: toStatement(sql, args), condition }] } }
}

function toStatement(sql: string, args: Args | undefined): WireStatement {
  if (args === undefined) return { sql }
  if (isList(args)) return { sql, args: args.map(toWireValue) }
  const named = Object.entries(args).map(([name, arg]) => ({ name, value: toWireValue(arg) }))
  return { sql, named_args: named }
}

function isList(args: Args): args is readonly Arg[] {
  return Array.isArray(args)
}

/** Throws SQL_ARGUMENTS for what SQLite has no value for. */
export function toWireValue(arg: Arg): WireValue {
  switch (typeof arg) {
    case 'number':
      return fromNumber(arg)
    case 'bigint':
      return { type: 'integer', value: String(arg) }
    case 'boolean':
      return { type: 'integer', value: arg ? '1' : '0' }
    case 'string':
      return { type: 'text', value: arg }
    default:
      if (arg === null) return { type: 'null' }
      if (arg instanceof Uint8Array) return { type: 'blob', base64: arg.toBase64() }
      throw new QuorateError('SQL_ARGUMENTS', `A value of type ${typeof arg} can't be bound.`)
  }
}

function fromNumber(arg: number): WireValue {
  if (Number.isSafeInteger(arg)) return { type: 'integer', value: String(arg) }
  if (Number.isFinite(arg)) return { type: 'float', value: arg }
  throw new QuorateError('SQL_ARGUMENTS', `The number ${arg} can't be bound.`)
}

/** A value as the application sees it. */
export function toCell(value: WireValue): Cell {
  switch (value.type) {
    case 'null':
      return null
    case 'integer':
      return toInteger(value.value)
    case 'float':
    case 'text':
      return value.value
    case 'blob':
      return Uint8Array.fromBase64(value.base64)
    default:
      throw notHrana('a value of unknown type')
  }
}

function toInteger(text: string): number | bigint {
  const number = Number(text)
  return Number.isSafeInteger(number) ? number : BigInt(text)
}

/** The pipeline in an answer's body. Throws INTERNAL if it is none. */
export function parsePipeline(body: string): WirePipeline {
  const parsed = parseJson(body)
  if (!isRecord(parsed) || !Array.isArray(parsed['results'])) throw notHrana(body.slice(0, 80))
  return parsed as unknown as WirePipeline
}

/** The result of an `execute` request, or its error thrown. */
export function executeResult(answer: WireAnswer | undefined): ExecuteResult {
  return toResult(okResult(answer) as WireResult)
}

/** The results of a batch's statements without BEGIN, COMMIT and ROLLBACK; its first error thrown. */
export function batchResults(answer: WireAnswer | undefined): ExecuteResult[] {
  const results = stepResults(answer).slice(1, -2)
  return results.map((result) => {
    if (result === null) throw notHrana('a step without result and error')
    return toResult(result)
  })
}

/** The result of step `at` of a batch, or the batch's first error; null: its condition skipped it. */
export function stepResult(answer: WireAnswer | undefined, at: number): ExecuteResult | null {
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

function toResult(wire: WireResult): ExecuteResult {
  return {
    columns: wire.cols.map((column) => column.name ?? ''),
    rows: wire.rows.map((row) => row.map(toCell)),
    changes: wire.affected_row_count,
    lastInsertRowid: wire.last_insert_rowid === null ? null : toInteger(wire.last_insert_rowid),
  }
}

/** Rows as objects. Of columns with the same name the last one counts. */
export function toRows(result: ExecuteResult): Row[] {
  return result.rows.map((row) =>
    Object.fromEntries(result.columns.map((name, at) => [name, row[at] ?? null])),
  )
}

/** The error in the body of an HTTP answer that is not 200; null if it says nothing we know. */
export function errorInBody(body: string): QuorateError | null {
  const parsed = parseJson(body)
  if (!isRecord(parsed) || typeof parsed['message'] !== 'string') return null
  return toQuorateError(parsed as unknown as WireError)
}

/** An error as it came over the wire. A code of SQLite becomes ours, and stays in the facts. */
export function toQuorateError(wire: WireError): QuorateError {
  const code = toErrorCode(wire.code ?? '')
  const facts = wire.facts ?? {}
  const sqlite = wire.code?.startsWith('SQLITE_') ? { sqlite: wire.code } : {}
  return new QuorateError(code, withoutHint(wire.message, code), { ...sqlite, ...facts })
}

function toErrorCode(code: string): ErrorCode {
  if (Object.hasOwn(ERRORS, code)) return code as ErrorCode
  if (code === 'SQLITE_CONSTRAINT') return 'SQL_CONSTRAINT'
  if (code === 'ARGS_INVALID') return 'SQL_ARGUMENTS'
  return code.startsWith('SQL') ? 'SQL_ERROR' : 'INTERNAL'
}

/** QuorateError adds the hint again. */
function withoutHint(message: string, code: ErrorCode): string {
  const { hint } = ERRORS[code]
  return message.endsWith(hint) ? message.slice(0, -hint.length).trimEnd() : message
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
