/**
 * Hrana's Protobuf (version 3) into requests, for every carrier. Field numbers are those of
 * libSQL's HRANA_3_SPEC.md; an omitted scalar is its zero, the last of a oneof counts, and unknown
 * fields are ignored. Everything here throws BAD_REQUEST for what breaks the protocol.
 */
import { bad } from '../../model/fields.ts'
import type { Condition, Value } from '../../model/program.ts'
import { CONDITION_DEPTH_MAX } from '../../model/request-codec.ts'
import { decodeProto, type ProtoReader } from './proto-reader.ts'
import {
  checkCount,
  type HranaBatch,
  type HranaStatement,
  type HranaStep,
  type PipelineRequest,
  type SqlSource,
  type StreamRequest,
} from './protocol.ts'

/** Requests are decoded one by one, when the stream is known that a malformed one ends. */
export function decodeProtoPipeline(body: Uint8Array): PipelineRequest {
  return decodeProto(body, 'The body', (reader) => {
    let baton: string | null = null
    const requests: Uint8Array[] = []
    reader.fields((field) => {
      if (field === 1) baton = reader.text()
      else if (field === 2) {
        checkCount('requests', requests.length + 1)
        requests.push(reader.bytes())
      }
    })
    return { baton, requests: requests.map((bytes) => () => decodeProtoRequest(bytes)) }
  })
}

/** The body of `POST /v3-protobuf/cursor`. */
export function decodeProtoCursor(body: Uint8Array): {
  readonly baton: string | null
  readonly batch: () => HranaBatch
} {
  return decodeProto(body, 'The body', (reader) => {
    let baton: string | null = null
    let bytes = new Uint8Array()
    reader.fields((field) => {
      if (field === 1) baton = reader.text()
      else if (field === 2) bytes = Uint8Array.from(reader.bytes())
    })
    return { baton, batch: () => decodeProto(bytes, 'The batch', protoBatch) }
  })
}

function decodeProtoRequest(bytes: Uint8Array): StreamRequest {
  return decodeProto(bytes, 'A request', (reader) => {
    let request: StreamRequest | null = null
    reader.fields((field) => {
      const kind = KINDS[field]
      if (kind !== undefined) request = reader.message(() => protoRequest(reader, kind, 1))
    })
    if (request === null) throw bad('a request', 'one of Hrana 3', null)
    return request
  })
}

const KINDS: Readonly<Record<number, StreamRequest['type']>> = {
  1: 'close',
  2: 'execute',
  3: 'batch',
  4: 'sequence',
  5: 'describe',
  6: 'store_sql',
  7: 'close_sql',
  8: 'get_autocommit',
}

/**
 * One request inside its message.
 *
 * @param first number of its first field: 1, or 2 over WebSocket, where the stream's id comes before
 * @param other is told of the fields before that
 */
export function protoRequest(
  reader: ProtoReader,
  type: StreamRequest['type'],
  first: number,
  other: (field: number) => void = () => {},
): StreamRequest {
  switch (type) {
    case 'execute': {
      const statement = inner(reader, first, other, protoStatement)
      if (statement === null) throw bad('stmt', 'given', null)
      return { type, ...statement }
    }
    case 'batch': {
      const batch = inner(reader, first, other, protoBatch)
      return { type, ...(batch ?? { steps: [], atLeast: null }) }
    }
    case 'sequence':
    case 'describe':
      return { type, ...protoText(reader, first, other) }
    case 'store_sql':
    case 'close_sql': {
      const { sql, sqlId } = storedText(reader)
      return type === 'store_sql' ? { type, sqlId, sql } : { type, sqlId }
    }
    default:
      reader.fields(other)
      return { type }
  }
}

function inner<T>(
  reader: ProtoReader,
  first: number,
  other: (field: number) => void,
  decode: (reader: ProtoReader) => T,
): T | null {
  let decoded: T | null = null
  reader.fields((field) => {
    if (field === first) decoded = reader.message(decode)
    else other(field)
  })
  return decoded
}

function protoText(reader: ProtoReader, first: number, other: (field: number) => void) {
  let sql: string | null = null
  let sqlId: number | null = null
  let atLeast: bigint | null = null
  reader.fields((field) => {
    if (field === first) sql = reader.text()
    else if (field === first + 1) sqlId = reader.int32()
    else if (field === first + 2) atLeast = reader.uint64()
    else other(field)
  })
  return { source: source(sql, sqlId), atLeast }
}

function storedText(reader: ProtoReader): { readonly sqlId: number; readonly sql: string } {
  let sqlId = 0
  let sql = ''
  reader.fields((field) => {
    if (field === 1) sqlId = reader.int32()
    else if (field === 2) sql = reader.text()
  })
  return { sqlId, sql }
}

function source(sql: string | null, sqlId: number | null): SqlSource {
  if (sql !== null && sqlId === null) return { sql }
  if (sql === null && sqlId !== null) return { sqlId }
  throw bad('the statement', 'given by exactly one of sql and sql_id', sql)
}

interface WithIndex {
  readonly statement: HranaStatement
  readonly atLeast: bigint | null
}

function protoStatement(reader: ProtoReader): WithIndex {
  let sql: string | null = null
  let sqlId: number | null = null
  let atLeast: bigint | null = null
  let wantRows = true
  const args: Value[] = []
  const named: [string, Value][] = []
  reader.fields((field) => {
    if (field === 1) sql = reader.text()
    else if (field === 2) sqlId = reader.int32()
    else if (field === 3) args.push(reader.message(protoValue))
    else if (field === 4) named.push(reader.message(namedValue))
    else if (field === 5) wantRows = reader.flag()
    else if (field === 6) atLeast = reader.uint64()
    checkCount('args', args.length + named.length)
  })
  const byName = named.length === 0 ? null : Object.fromEntries(named)
  return { statement: { source: source(sql, sqlId), args, named: byName, wantRows }, atLeast }
}

function namedValue(reader: ProtoReader): [string, Value] {
  let name = ''
  let value: Value | undefined
  reader.fields((field) => {
    if (field === 1) name = reader.text()
    else if (field === 2) value = reader.message(protoValue)
  })
  if (value === undefined) throw bad('named_args.value', 'a value', null)
  return [name, value]
}

/** One value of SQLite. */
export function protoValue(reader: ProtoReader): Value {
  let value: Value | undefined
  reader.fields((field) => {
    if (field === 1) value = reader.message(() => null)
    else if (field === 2) value = reader.sint64()
    else if (field === 3) value = reader.double()
    else if (field === 4) value = reader.text()
    else if (field === 5) value = reader.bytes()
  })
  if (value === undefined) throw bad('a value', 'of a type of SQLite', null)
  return value
}

/** A batch; what its statements have seen counts for the whole of it. */
export function protoBatch(reader: ProtoReader): HranaBatch {
  const steps: HranaStep[] = []
  let atLeast: bigint | null = null
  const saw = (index: bigint | null): void => {
    if (index !== null && (atLeast === null || index > atLeast)) atLeast = index
  }
  reader.fields((field) => {
    if (field === 1) {
      checkCount('steps', steps.length + 1)
      const step = reader.message(() => protoStep(reader, steps.length))
      saw(step.atLeast)
      steps.push({ statement: step.statement, condition: step.condition })
    } else if (field === 2) saw(reader.uint64())
  })
  return { steps, atLeast }
}

function protoStep(reader: ProtoReader, at: number): HranaStep & WithIndex {
  let condition: Condition | null = null
  let found: WithIndex | null = null
  reader.fields((field) => {
    if (field === 1) condition = reader.message(() => protoCondition(reader, at, 0))
    else if (field === 2) found = reader.message(protoStatement)
  })
  if (found === null) throw bad('step.stmt', 'given', null)
  const { statement, atLeast }: WithIndex = found
  return { condition, statement, atLeast }
}

function protoCondition(reader: ProtoReader, at: number, depth: number): Condition {
  if (depth > CONDITION_DEPTH_MAX) {
    throw bad('condition', `nested at most ${CONDITION_DEPTH_MAX} deep`, depth)
  }
  let condition: Condition | null = null
  reader.fields((field) => {
    if (field === 1) condition = { kind: 'ok', step: earlierStep(reader, at) }
    else if (field === 2) condition = { kind: 'error', step: earlierStep(reader, at) }
    else if (field === 3) {
      condition = {
        kind: 'not',
        condition: reader.message(() => protoCondition(reader, at, depth + 1)),
      }
    } else if (field === 4 || field === 5) {
      const conditions = reader.message(() => protoConditions(reader, at, depth + 1))
      condition = { kind: field === 4 ? 'and' : 'or', conditions }
    } else if (field === 6) condition = reader.message(() => ({ kind: 'autocommit' }) as const)
  })
  if (condition === null) throw bad('condition', 'one of Hrana 3', null)
  return condition
}

function protoConditions(reader: ProtoReader, at: number, depth: number): readonly Condition[] {
  const conditions: Condition[] = []
  reader.fields((field) => {
    if (field === 1) conditions.push(reader.message(() => protoCondition(reader, at, depth)))
  })
  return conditions
}

function earlierStep(reader: ProtoReader, at: number): number {
  const step = reader.uint32()
  if (step >= at) throw bad('condition.step', `before step ${at}`, step)
  return step
}
