/**
 * Hrana's JSON into requests. Everything here throws BAD_REQUEST for what breaks the protocol,
 * which ends the stream. By hand: this is the hot path of every statement.
 */
import { bad, fields, list, oneOf, parseJson, text } from '../../model/fields.ts'
import type { Condition, Value } from '../../model/program.ts'
import { CONDITION_DEPTH_MAX } from '../../model/request-codec.ts'
import { decodeBase64, decodeInteger } from '../../model/value-codec.ts'
import {
  checkCount,
  type HranaBatch,
  type HranaStatement,
  type HranaStep,
  type HranaVersion,
  type PipelineRequest,
  type SqlSource,
  type StreamRequest,
} from './protocol.ts'

type Fields = Readonly<Record<string, unknown>>

/** The body of a pipeline. */
export function decodePipeline(body: string, version: HranaVersion): PipelineRequest {
  const json = fields(parseJson(body, 'The body'), 'The body')
  const requests = list(json['requests'], 'requests')
  checkCount('requests', requests.length)
  return {
    baton: optional(json['baton'], (baton) => text(baton, 'baton')),
    requests: requests.map((request) => () => decodeStreamRequest(request, version)),
  }
}

/** The body of `POST /v3/cursor`; its batch is decoded when the stream is known. */
export function decodeCursor(body: string): {
  readonly baton: string | null
  readonly batch: () => HranaBatch
} {
  const json = fields(parseJson(body, 'The body'), 'The body')
  return {
    baton: optional(json['baton'], (baton) => text(baton, 'baton')),
    batch: () => decodeBatch(json['batch'], 3),
  }
}

/** The body of version 1's `/v1/execute` and `/v1/batch`, as the request of a stream. */
export function decodeSingle(body: string, type: 'execute' | 'batch'): StreamRequest {
  const json = fields(parseJson(body, 'The body'), 'The body')
  return decodeStreamRequest({ ...json, type }, 1)
}

export function decodeStreamRequest(value: unknown, version: HranaVersion): StreamRequest {
  const json = fields(value, 'request')
  const type = json['type']
  switch (type) {
    case 'execute': {
      const stmt = fields(json['stmt'], 'stmt')
      return { type, statement: statement(stmt, version), atLeast: seen(stmt) }
    }
    case 'batch':
      return { type, ...decodeBatch(json['batch'], version) }
    case 'close':
      return { type }
    default:
      if (version < 2) throw bad('request.type', `a request of Hrana ${version}`, type)
      return decodeLater(json, type, version)
  }
}

/** Requests that version 1 does not have. */
function decodeLater(json: Fields, type: unknown, version: HranaVersion): StreamRequest {
  switch (type) {
    case 'sequence':
    case 'describe':
      return { type, source: source(json, version), atLeast: seen(json) }
    case 'store_sql':
      return { type, sqlId: int32(json['sql_id'], 'sql_id'), sql: text(json['sql'], 'sql') }
    case 'close_sql':
      return { type, sqlId: int32(json['sql_id'], 'sql_id') }
    default:
      if (type === 'get_autocommit' && version >= 3) return { type }
      throw bad('request.type', `a request of Hrana ${version}`, type)
  }
}

/** A batch; what its statements have seen counts for the whole of it. */
export function decodeBatch(value: unknown, version: HranaVersion): HranaBatch {
  const json = fields(value, 'batch')
  const steps = list(json['steps'], 'batch.steps')
  checkCount('steps', steps.length)
  let atLeast = seen(json)
  for (const each of steps) {
    const index = seen(fields(fields(each, 'step')['stmt'], 'stmt'))
    if (index !== null && (atLeast === null || index > atLeast)) atLeast = index
  }
  return { steps: steps.map((each, at) => step(each, at, version)), atLeast }
}

/** A number of 64 bits, in decimal. */
function seen(json: Fields): bigint | null {
  const index = json['replication_index']
  if (index === undefined || index === null) return null
  if (typeof index === 'string' && /^\d{1,19}$/.test(index)) return BigInt(index)
  if (Number.isSafeInteger(index) && (index as number) >= 0) return BigInt(index as number)
  throw bad('replication_index', 'a number in decimal', index)
}

function optional<T>(value: unknown, decode: (value: unknown) => T): T | null {
  return value === undefined || value === null ? null : decode(value)
}

function statement(json: Fields, version: HranaVersion): HranaStatement {
  const { args, named_args: named } = json
  return {
    source: source(json, version),
    args: args ? decodeArgs(args) : [],
    named: Array.isArray(named) && named.length > 0 ? namedArgs(named) : null,
    wantRows: json['want_rows'] !== false,
  }
}

function source(json: Fields, version: HranaVersion): SqlSource {
  const sql = optional(json['sql'], (each) => text(each, 'sql'))
  if (version < 2) return { sql: text(sql, 'sql') }
  const sqlId = optional(json['sql_id'], (each) => int32(each, 'sql_id'))
  if (sql !== null && sqlId === null) return { sql }
  if (sql === null && sqlId !== null) return { sqlId }
  throw bad('the statement', 'given by exactly one of sql and sql_id', json['sql'])
}

function decodeArgs(json: unknown): readonly Value[] {
  const args = list(json, 'args')
  checkCount('args', args.length)
  return args.map(decodeHranaValue)
}

function namedArgs(pairs: readonly unknown[]): Record<string, Value> {
  checkCount('args', pairs.length)
  return Object.fromEntries(
    pairs.map((pair): [string, Value] => {
      const { name, value } = fields(pair, 'named_args')
      return [text(name, 'named_args.name'), decodeHranaValue(value)]
    }),
  )
}

/** One value of SQLite. */
export function decodeHranaValue(json: unknown): Value {
  const { type, value, base64 } = fields(json, 'value')
  switch (type) {
    case 'null':
      return null
    case 'text':
      return text(value, 'value')
    case 'integer':
      return decodeInteger(text(value, 'value'))
    case 'float':
      if (typeof value !== 'number') throw bad('value', 'a number', value)
      return value
    case 'blob':
      return decodeBase64(text(base64, 'base64'))
    default:
      throw bad('value.type', 'a type of SQLite', type)
  }
}

function step(value: unknown, at: number, version: HranaVersion): HranaStep {
  const json = fields(value, 'step')
  return {
    statement: statement(fields(json['stmt'], 'stmt'), version),
    condition: optional(json['condition'], (each) => condition(each, at, version, 0)),
  }
}

function condition(value: unknown, at: number, version: HranaVersion, depth: number): Condition {
  if (depth > CONDITION_DEPTH_MAX) {
    throw bad('condition', `nested at most ${CONDITION_DEPTH_MAX} deep`, depth)
  }
  const json = fields(value, 'condition')
  const kind = oneOf(json['type'], 'condition.type', CONDITION_TYPES)
  const inner = (each: unknown): Condition => condition(each, at, version, depth + 1)
  switch (kind) {
    case 'ok':
    case 'error': {
      const earlier = int32(json['step'], 'condition.step')
      if (earlier < 0 || earlier >= at) throw bad('condition.step', `before step ${at}`, earlier)
      return { kind, step: earlier }
    }
    case 'not':
      return { kind, condition: inner(json['cond']) }
    case 'and':
    case 'or':
      return { kind, conditions: list(json['conds'], 'condition.conds').map(inner) }
    case 'is_autocommit':
      if (version < 3) throw bad('condition.type', `a condition of Hrana ${version}`, kind)
      return { kind: 'autocommit' }
  }
}

const CONDITION_TYPES = ['ok', 'error', 'not', 'and', 'or', 'is_autocommit'] as const

/** Throws BAD_REQUEST that names the field. */
export function int32(value: unknown, what: string): number {
  if (!Number.isInteger(value) || (value as number) !== ((value as number) | 0)) {
    throw bad(what, 'a 32-bit integer', value)
  }
  return value as number
}
