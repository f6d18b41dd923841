/**
 * Responses as Hrana's JSON. Texts are put together by hand: for large results that is about twice
 * as fast as building objects for JSON.stringify.
 */
import { assert } from '../../base/assert.ts'
import type { ErrorData } from '../../base/errors.ts'
import type { StatementResult, StepResult, Value } from '../../model/program.ts'
import type { Description, HranaEntry, StreamOutcome, StreamResponse } from './protocol.ts'
import { wireError } from './wire-error.ts'

const quote = JSON.stringify

/**
 * The body of an answer to a pipeline.
 *
 * @param index in each result as `replication_index`
 */
export function encodePipeline(
  baton: string | null,
  outcomes: readonly StreamOutcome[],
  index: bigint | null,
): string {
  const results = outcomes.map((outcome) => outcomeJson(outcome, index)).join(',')
  return `{"baton":${quote(baton)},"base_url":null,"results":[${results}]}`
}

function outcomeJson(outcome: StreamOutcome, index: bigint | null): string {
  if ('error' in outcome) return `{"type":"error","error":${encodeError(outcome.error)}}`
  return `{"type":"ok","response":${responseJson(outcome.ok, index)}}`
}

/** The body of an answer to one request of version 1. */
export function encodeSingle(response: StreamResponse, index: bigint | null): string {
  if (response.type === 'execute') return `{"result":${resultJson(response.result, index)}}`
  assert(response.type === 'batch', () => `${response.type} is not of version 1`)
  return `{"result":${batchJson(response.steps, index)}}`
}

/** One response; the same over HTTP and WebSocket. */
export function responseJson(response: StreamResponse, index: bigint | null): string {
  switch (response.type) {
    case 'execute':
      return `{"type":"execute","result":${resultJson(response.result, index)}}`
    case 'batch':
      return `{"type":"batch","result":${batchJson(response.steps, index)}}`
    case 'describe':
      return `{"type":"describe","result":${descriptionJson(response.description)}}`
    case 'get_autocommit':
      return `{"type":"get_autocommit","is_autocommit":${response.isAutocommit}}`
    default:
      return `{"type":"${response.type}"}`
  }
}

function batchJson(steps: readonly StepResult[], index: bigint | null): string {
  const results = steps.map((step) =>
    step !== null && 'ok' in step ? resultJson(step.ok, index) : 'null',
  )
  const errors = steps.map((step) =>
    step !== null && 'error' in step ? encodeError(step.error) : 'null',
  )
  return `{"step_results":[${results.join(',')}],"step_errors":[${errors.join(',')}]}`
}

function resultJson(result: StatementResult, index: bigint | null): string {
  return (
    `{"cols":[${columnsJson(result.columns)}],"rows":[${result.rows.map(rowJson).join(',')}],` +
    `${countsJson(result)},` +
    `"replication_index":${index === null ? 'null' : `"${index}"`}}`
  )
}

function columnsJson(columns: StatementResult['columns']): string {
  return columns
    .map(({ name, decltype }) => `{"name":${quote(name)},"decltype":${quote(decltype)}}`)
    .join(',')
}

function rowJson(row: readonly Value[]): string {
  return `[${row.map(encodeHranaValue).join(',')}]`
}

/** One entry of a cursor. */
export function encodeEntry(entry: HranaEntry): string {
  switch (entry.type) {
    case 'row':
      return `{"type":"row","row":${rowJson(entry.row)}}`
    case 'step_begin':
      return `{"type":"step_begin","step":${entry.step},"cols":[${columnsJson(entry.columns)}]}`
    case 'step_end':
      return `{"type":"step_end",${countsJson(entry)}}`
    case 'step_error':
      return `{"type":"step_error","step":${entry.step},"error":${encodeError(entry.error)}}`
    case 'error':
      return `{"type":"error","error":${encodeError(entry.error)}}`
  }
}

function countsJson({
  changes,
  lastInsertRowid,
}: Pick<StatementResult, 'changes' | 'lastInsertRowid'>): string {
  const rowid = lastInsertRowid === null ? 'null' : `"${lastInsertRowid}"`
  return `"affected_row_count":${changes},"last_insert_rowid":${rowid}`
}

/** One value of SQLite. JSON has no infinity, but every parser of doubles reads 1e999 as one. */
export function encodeHranaValue(value: Value): string {
  switch (typeof value) {
    case 'string':
      return `{"type":"text","value":${quote(value)}}`
    case 'bigint':
      return `{"type":"integer","value":"${value}"}`
    case 'number':
      return `{"type":"float","value":${realJson(value)}}`
    default:
      if (value === null) return '{"type":"null"}'
      return `{"type":"blob","base64":"${value.toBase64()}"}`
  }
}

function realJson(value: number): string {
  if (Number.isFinite(value)) return Object.is(value, -0) ? '-0.0' : String(value)
  return value > 0 ? '1e999' : '-1e999'
}

function descriptionJson({ params, columns, isExplain, isReadonly }: Description): string {
  const names = params.map((name) => `{"name":${quote(name)}}`).join(',')
  return (
    `{"params":[${names}],"cols":[${columnsJson(columns)}],` +
    `"is_explain":${isExplain},"is_readonly":${isReadonly}}`
  )
}

/** `quorate_code` and `facts` are ours; clients ignore what they don't know. */
export function encodeError(error: ErrorData): string {
  const { code, facts } = error
  const wire = wireError(error)
  return quote({
    ...wire,
    ...(wire.code === code ? {} : { quorate_code: code }),
    ...(facts === undefined ? {} : { facts }),
  })
}
