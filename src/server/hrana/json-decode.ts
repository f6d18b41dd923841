/**
 * Hrana's JSON into requests. Everything here throws BAD_REQUEST for what breaks the protocol,
 * which ends the stream. By hand: this is the hot path of every statement.
 */
import { bad, fields, list, oneOf, parseJson, text } from '../../model/fields.ts'
import type { Condition, Value } from '../../model/program.ts'
import { CONDITION_DEPTH_MAX } from '../../model/request-codec.ts'
import { decodeBase64, decodeInteger } from '../../model/value-codec.ts'
import type {
  HranaStatement,
  HranaStep,
  HranaVersion,
  SqlSource,
  StreamRequest,
} from './protocol.ts'

type Fields = Readonly<Record<string, unknown>>

export interface PipelineRequest {
  readonly baton: string | null
  readonly requests: readonly unknown[]
}

/** The envelope only: the stream must be known before a malformed request can end it. */
export function decodePipeline(body: string): PipelineRequest {
  const json = fields(parseJson(body, 'The body'), 'The body')
  return {
    baton: optional(json['baton'], (baton) => text(baton, 'baton')),
    requests: list(json['requests'], 'requests'),
  }
}

export function decodeStreamRequest(value: unknown, version: HranaVersion): StreamRequest {
  const json = fields(value, 'request')
  const type = json['type']
  switch (type) {
    case 'execute':
      return { type, statement: statement(json['stmt']) }
    case 'batch': {
      const steps = list(fields(json['batch'], 'batch')['steps'], 'batch.steps')
      return { type, steps: steps.map((each, at) => step(each, at, version)) }
    }
    case 'close':
      return { type }
    case 'sequence':
    case 'describe':
      return { type, source: source(json) }
    case 'store_sql':
      return { type, sqlId: int32(json['sql_id'], 'sql_id'), sql: text(json['sql'], 'sql') }
    case 'close_sql':
      return { type, sqlId: int32(json['sql_id'], 'sql_id') }
    default:
      if (type === 'get_autocommit' && version >= 3) return { type }
      throw bad('request.type', `a request of Hrana ${version}`, type)
  }
}

function optional<T>(value: unknown, decode: (value: unknown) => T): T | null {
  return value === undefined || value === null ? null : decode(value)
}

function statement(value: unknown): HranaStatement {
  const json = fields(value, 'stmt')
  const { args, named_args: named } = json
  return {
    source: source(json),
    args: args ? list(args, 'args').map(decodeHranaValue) : [],
    named: Array.isArray(named) && named.length > 0 ? namedArgs(named) : null,
    wantRows: json['want_rows'] !== false,
  }
}

function source(json: Fields): SqlSource {
  const sql = optional(json['sql'], (each) => text(each, 'sql'))
  const sqlId = optional(json['sql_id'], (each) => int32(each, 'sql_id'))
  if (sql !== null && sqlId === null) return { sql }
  if (sql === null && sqlId !== null) return { sqlId }
  throw bad('the statement', 'given by exactly one of sql and sql_id', json['sql'])
}

function namedArgs(pairs: readonly unknown[]): Record<string, Value> {
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
    statement: statement(json['stmt']),
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

function int32(value: unknown, what: string): number {
  if (!Number.isInteger(value) || (value as number) !== ((value as number) | 0)) {
    throw bad(what, 'a 32-bit integer', value)
  }
  return value as number
}
