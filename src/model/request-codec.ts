/**
 * Requests to a node and their replies as bytes, for `forward` messages and worker boundaries: JSON
 * with SQLite's values as value-codec.ts writes them. Decoding checks everything.
 */
import { type ErrorData, QuorateError } from '../base/errors.ts'
import { LIMITS } from '../base/limits.ts'
import { decodeRule, mapsAsPairs } from './cluster-codec.ts'
import {
  bad,
  errorData,
  fields,
  flag,
  list,
  oneOf,
  originName,
  parseJson,
  text,
  whole,
} from './fields.ts'
import { toAckLevel, toReadLevel } from './levels.ts'
import { MEMBER_ROLES } from './members.ts'
import type {
  Column,
  Condition,
  Program,
  ProgramResult,
  Statement,
  StatementResult,
  Step,
  StepResult,
  Value,
  WriteId,
} from './program.ts'
import type { AdminCommand, NodeReply, SessionToken, TravellingRequest } from './request.ts'
import { tokenOrigins } from './token.ts'
import { decodeInteger, decodeValue, encodeValue } from './value-codec.ts'

/** How deep conditions may nest: far above what clients send, far below the stack. */
export const CONDITION_DEPTH_MAX = 100

/** Of an encoded reply: fits into a frame. */
const REPLY_BYTES_MAX = LIMITS.entryBytesMax

type Fields = Readonly<Record<string, unknown>>
const encoder = new TextEncoder()
const decoder = new TextDecoder('utf-8', { fatal: true })

export function encodeRequest(request: TravellingRequest): Uint8Array {
  if (request.kind === 'admin' || request.program === null) return toBytes(request)
  return toBytes({ ...request, program: programToJson(request.program) })
}

/** A reply that is too large to travel becomes the error TOO_LARGE. */
export function encodeReply(reply: NodeReply): Uint8Array {
  try {
    const bytes = encodeWhole(reply)
    if (bytes.length <= REPLY_BYTES_MAX) return bytes
  } catch (error) {
    // A text has at most about 512 million characters.
    if (!(error instanceof RangeError)) throw error
  }
  const detail = `The result takes more than ${REPLY_BYTES_MAX} bytes.`
  return toBytes({ kind: 'error', error: { code: 'TOO_LARGE', detail } satisfies ErrorData })
}

function encodeWhole(reply: NodeReply): Uint8Array {
  if (reply.kind === 'result') return toBytes({ ...reply, result: resultToJson(reply.result) })
  if (reply.kind === 'admin') {
    return encoder.encode(
      JSON.stringify({ kind: 'admin', value: reply.value ?? null }, mapsAsPairs),
    )
  }
  return toBytes(reply)
}

function toBytes(json: object): Uint8Array {
  return encoder.encode(JSON.stringify(json))
}

function programToJson(program: Program): object {
  const steps = program.steps.map(({ statement, condition }) => ({
    statement: statementToJson(statement),
    condition,
  }))
  return { ...program, steps }
}

function statementToJson(statement: Statement): object {
  const { sql, args, named, wantRows } = statement
  const pairs = named && Object.entries(named).map(([name, v]) => [name, encodeValue(v)])
  return { sql, args: args?.map(encodeValue), named: pairs, wantRows }
}

function resultToJson(result: ProgramResult): object {
  return { steps: result.steps.map(stepToJson), autocommit: result.autocommit }
}

function stepToJson(step: StepResult): object | null {
  if (step === null || 'error' in step) return step
  const { columns, rows, changes, lastInsertRowid, readOnly } = step.ok
  return {
    ok: {
      columns: columns.map(({ name, decltype }) => [name, decltype]),
      rows: rows.map((row) => row.map(encodeValue)),
      changes,
      lastInsertRowid: lastInsertRowid === null ? null : String(lastInsertRowid),
      readOnly,
    },
  }
}

/** Throws BAD_REQUEST for anything that is not a request. */
export function decodeRequest(bytes: Uint8Array): TravellingRequest {
  const json = fields(fromBytes(bytes, 'request'), 'request')
  const timeoutMs = duration(json['timeoutMs'])
  const kind = json['kind']
  switch (kind) {
    case 'write':
      return { kind, program: program(json['program']), ack: toAckLevel(json['ack']), timeoutMs }
    case 'read':
      return {
        kind,
        program: program(json['program']),
        level: toReadLevel(json['level']),
        token: json['token'] === null ? null : token(json['token']),
        timeoutMs,
      }
    case 'stream':
      return {
        kind,
        stream: text(json['stream'], 'stream'),
        open: flag(json['open'], 'open'),
        program: json['program'] === null ? null : program(json['program']),
        end: flag(json['end'], 'end'),
        ack: toAckLevel(json['ack']),
        timeoutMs,
      }
    case 'admin':
      return { kind, command: command(json['command']), timeoutMs }
    default:
      throw bad('kind', 'a kind of request', kind)
  }
}

/** Throws BAD_REQUEST for anything that is not a reply. */
export function decodeReply(bytes: Uint8Array): NodeReply {
  const json = fields(fromBytes(bytes, 'reply'), 'reply')
  const kind = json['kind']
  switch (kind) {
    case 'result':
      return {
        kind,
        result: programResult(json['result']),
        token: token(json['token']),
        open: flag(json['open'], 'open'),
      }
    case 'writeNeeded':
      return { kind }
    case 'admin':
      return { kind, value: json['value'] }
    case 'error':
      return { kind, error: errorData(json['error'], 'error') }
    default:
      throw bad('kind', 'a kind of reply', kind)
  }
}

function fromBytes(bytes: Uint8Array, what: string): unknown {
  let json: string
  try {
    json = decoder.decode(bytes)
  } catch (cause) {
    throw new QuorateError('BAD_REQUEST', `The ${what} is not UTF-8.`, {}, { cause })
  }
  return parseJson(json, what)
}

function program(value: unknown): Program {
  const { atomic, steps, id, resultBytesMax, describe } = fields(value, 'program')
  const common = {
    atomic: flag(atomic, 'program.atomic'),
    steps: list(steps, 'program.steps').map(step),
  }
  return {
    ...common,
    ...(id === undefined ? {} : { id: writeId(id) }),
    ...(resultBytesMax === undefined ? {} : { resultBytesMax: whole(resultBytesMax, 'bytes') }),
    ...(describe === true ? { describe } : {}),
  }
}

function writeId(value: unknown): WriteId {
  const { session, number, since } = fields(value, 'id')
  return {
    session: text(session, 'id.session'),
    number: whole(number, 'id.number'),
    since: whole(since, 'id.since'),
  }
}

function step(value: unknown, at: number): Step {
  const { statement: json, condition } = fields(value, 'step')
  const decoded = statement(fields(json, 'statement'))
  if (condition === undefined) return { statement: decoded }
  return { statement: decoded, condition: conditionOf(condition, at, 0) }
}

function statement({ sql, args, named, wantRows }: Fields): Statement {
  return {
    sql: text(sql, 'statement.sql'),
    ...(args === undefined ? {} : { args: list(args, 'statement.args').map(decodeValue) }),
    ...(named === undefined ? {} : { named: namedValues(named) }),
    ...(wantRows === undefined ? {} : { wantRows: flag(wantRows, 'statement.wantRows') }),
  }
}

function namedValues(value: unknown): Record<string, Value> {
  const pairs = list(value, 'statement.named').map((pair): [string, Value] => {
    const [name, encoded] = list(pair, 'named value')
    return [text(name, 'name'), decodeValue(encoded)]
  })
  return Object.fromEntries(pairs)
}

/** `at`: the step that it belongs to; a condition looks back only. */
function conditionOf(value: unknown, at: number, depth: number): Condition {
  if (depth > CONDITION_DEPTH_MAX)
    throw bad('condition', `at most ${CONDITION_DEPTH_MAX} deep`, depth)
  const json = fields(value, 'condition')
  const kind = json['kind']
  const inner = (each: unknown): Condition => conditionOf(each, at, depth + 1)
  switch (kind) {
    case 'ok':
    case 'error': {
      const earlier = whole(json['step'], 'condition.step')
      if (earlier >= at) throw bad('condition.step', `before ${at}`, earlier)
      return { kind, step: earlier }
    }
    case 'not':
      return { kind, condition: inner(json['condition']) }
    case 'and':
    case 'or':
      return { kind, conditions: list(json['conditions'], 'conditions').map(inner) }
    case 'autocommit':
      return { kind }
    default:
      throw bad('condition.kind', 'a kind of condition', kind)
  }
}

function command(value: unknown): AdminCommand {
  const json = fields(value, 'command')
  const kind = json['kind']
  switch (kind) {
    case 'join':
      return {
        kind,
        id: text(json['id'], 'id'),
        name: text(json['name'], 'name'),
        url: text(json['url'], 'url'),
        role: oneOf(json['role'], 'role', MEMBER_ROLES),
        priority: whole(json['priority'], 'priority'),
      }
    case 'remove':
    case 'promote':
    case 'demote':
      return { kind, name: text(json['name'], 'name') }
    case 'transfer':
      return { kind, name: json['name'] === null ? null : text(json['name'], 'name') }
    case 'verify':
    case 'position':
      return { kind }
    case 'joinGroup':
      return {
        kind,
        group: text(json['group'], 'group'),
        node: text(json['node'], 'node'),
        ...(json['zone'] === undefined ? {} : { zone: text(json['zone'], 'zone') }),
      }
    case 'setZone':
      return {
        kind,
        group: text(json['group'], 'group'),
        zone: json['zone'] === null ? null : text(json['zone'], 'zone'),
      }
    case 'removeGroup':
      return { kind, group: text(json['group'], 'group') }
    case 'setRule':
      return { kind, rule: decodeRule(json['rule']) }
    case 'closeConflict':
      return {
        kind,
        time: whole(json['time'], 'time'),
        origin: originName(json['origin'], 'origin'),
        number: whole(json['number'], 'number'),
      }
    case 'cutGroup':
      return { kind, group: text(json['group'], 'group'), cut: flag(json['cut'], 'cut') }
    case 'moveKeeper':
      return {
        kind,
        group: text(json['group'], 'group'),
        force: flag(json['force'], 'force'),
        alone: flag(json['alone'], 'alone'),
      }
    case 'sees':
      return { kind, origin: originName(json['origin'], 'origin') }
    case 'atRest':
      return { kind, epoch: whole(json['epoch'], 'epoch') }
    case 'consult':
      return { kind, level: toReadLevel(json['level']) }
    case 'verified':
      return { kind, index: whole(json['index'], 'index') }
    default:
      throw bad('command.kind', 'a kind of command', kind)
  }
}

function duration(value: unknown): number {
  if (typeof value === 'number' && value >= 0 && Number.isFinite(value)) return value
  throw bad('timeoutMs', 'a time in milliseconds', value)
}

function token(value: unknown): SessionToken {
  const json = fields(value, 'token')
  return {
    cluster: text(json['cluster'], 'token.cluster'),
    term: whole(json['term'], 'token.term'),
    index: whole(json['index'], 'token.index'),
    ...(json['origins'] === undefined ? {} : { origins: tokenOrigins(json['origins']) }),
  }
}

function programResult(value: unknown): ProgramResult {
  const { steps, autocommit } = fields(value, 'result')
  return {
    steps: list(steps, 'result.steps').map(stepResult),
    autocommit: flag(autocommit, 'result.autocommit'),
  }
}

function stepResult(value: unknown): StepResult {
  if (value === null) return null
  const json = fields(value, 'step result')
  if (json['error'] !== undefined) return { error: errorData(json['error'], 'error') }
  return { ok: statementResult(fields(json['ok'], 'ok')) }
}

function statementResult(json: Fields): StatementResult {
  const { columns, rows, changes, lastInsertRowid, readOnly } = json
  return {
    ...(readOnly === undefined ? {} : { readOnly: flag(readOnly, 'readOnly') }),
    columns: list(columns, 'columns').map(column),
    rows: list(rows, 'rows').map((row) => list(row, 'row').map(decodeValue)),
    changes: whole(changes, 'changes'),
    lastInsertRowid:
      lastInsertRowid === null ? null : decodeInteger(text(lastInsertRowid, 'lastInsertRowid')),
  }
}

function column(value: unknown): Column {
  const [name, decltype] = list(value, 'column')
  return {
    name: text(name, 'column.name'),
    decltype: decltype === null ? null : text(decltype, 'column.decltype'),
  }
}
