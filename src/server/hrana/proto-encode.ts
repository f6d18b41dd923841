/**
 * Responses as Hrana's Protobuf (version 3), for every carrier. Optional fields are left out when
 * they are null; members of a oneof are always written, also when they are zero.
 */
import { BinaryWriter, WireType } from '@bufbuild/protobuf/wire'
import type { ErrorData } from '../../base/errors.ts'
import type { Column, StatementResult, StepResult, Value } from '../../model/program.ts'
import type { Description, HranaEntry, StreamOutcome, StreamResponse } from './protocol.ts'
import { wireError } from './wire-error.ts'

const BODY = WireType.LengthDelimited

/** The body of an answer to a pipeline. @param index in each result as replication_index */
export function encodeProtoPipeline(
  baton: string | null,
  outcomes: readonly StreamOutcome[],
  index: bigint | null,
): Uint8Array {
  const writer = new BinaryWriter()
  writeText(writer, 1, baton)
  for (const outcome of outcomes) {
    message(writer, 3, () => {
      if ('error' in outcome) writeError(writer, 2, outcome.error)
      else message(writer, 1, () => writeResponse(writer, outcome.ok, index))
    })
  }
  return writer.finish()
}

/** The first message of a cursor's body, with its length before it. */
export function encodeProtoCursorHead(baton: string | null): Uint8Array {
  const writer = new BinaryWriter().fork()
  writeText(writer, 1, baton)
  return writer.join().finish()
}

/** Entries of a cursor's body, each with its length before it. */
export function encodeProtoEntries(entries: readonly HranaEntry[]): Uint8Array {
  const writer = new BinaryWriter()
  for (const entry of entries) {
    writer.fork()
    writeEntry(writer, entry)
    writer.join()
  }
  return writer.finish()
}

const NUMBERS: Readonly<Record<StreamResponse['type'], number>> = {
  close: 1,
  execute: 2,
  batch: 3,
  sequence: 4,
  describe: 5,
  store_sql: 6,
  close_sql: 7,
  get_autocommit: 8,
}

function writeResponse(writer: BinaryWriter, response: StreamResponse, index: bigint | null): void {
  message(writer, NUMBERS[response.type], () => writeResponseBody(writer, response, index))
}

/** The fields of one response, the same over HTTP and WebSocket. */
export function writeResponseBody(
  writer: BinaryWriter,
  response: StreamResponse,
  index: bigint | null,
): void {
  switch (response.type) {
    case 'execute':
      message(writer, 1, () => writeResult(writer, response.result, index))
      break
    case 'batch':
      message(writer, 1, () => writeBatch(writer, response.steps, index))
      break
    case 'describe':
      message(writer, 1, () => writeDescription(writer, response.description))
      break
    case 'get_autocommit':
      writer.tag(1, WireType.Varint).bool(response.isAutocommit)
  }
}

function writeResult(writer: BinaryWriter, result: StatementResult, index: bigint | null): void {
  writeColumns(writer, 1, result.columns)
  for (const row of result.rows) message(writer, 2, () => writeRow(writer, row))
  writer.tag(3, WireType.Varint).uint64(result.changes)
  const rowid = result.lastInsertRowid
  if (rowid !== null) writer.tag(4, WireType.Varint).sint64(rowid)
  if (index !== null) writer.tag(5, WireType.Varint).uint64(index)
}

/** Maps by the step's number: a skipped step is in neither. */
function writeBatch(
  writer: BinaryWriter,
  steps: readonly StepResult[],
  index: bigint | null,
): void {
  for (const [at, step] of steps.entries()) {
    if (step === null) continue
    message(writer, 'ok' in step ? 1 : 2, () => {
      writer.tag(1, WireType.Varint).uint32(at)
      if ('ok' in step) message(writer, 2, () => writeResult(writer, step.ok, index))
      else writeError(writer, 2, step.error)
    })
  }
}

function writeDescription(writer: BinaryWriter, description: Description): void {
  const { params, columns, isExplain, isReadonly } = description
  for (const name of params) message(writer, 1, () => writeText(writer, 1, name))
  writeColumns(writer, 2, columns)
  writer.tag(3, WireType.Varint).bool(isExplain)
  writer.tag(4, WireType.Varint).bool(isReadonly)
}

/** One entry of a cursor, without a length before it. */
export function writeEntry(writer: BinaryWriter, entry: HranaEntry): void {
  switch (entry.type) {
    case 'step_begin':
      message(writer, 1, () => {
        writer.tag(1, WireType.Varint).uint32(entry.step)
        writeColumns(writer, 2, entry.columns)
      })
      break
    case 'step_end':
      message(writer, 2, () => {
        writer.tag(1, WireType.Varint).uint64(entry.changes)
        const rowid = entry.lastInsertRowid
        if (rowid !== null) writer.tag(2, WireType.Varint).sint64(rowid)
      })
      break
    case 'step_error':
      message(writer, 3, () => {
        writer.tag(1, WireType.Varint).uint32(entry.step)
        writeError(writer, 2, entry.error)
      })
      break
    case 'row':
      message(writer, 4, () => writeRow(writer, entry.row))
      break
    case 'error':
      writeError(writer, 5, entry.error)
  }
}

function writeColumns(writer: BinaryWriter, field: number, columns: readonly Column[]): void {
  for (const { name, decltype } of columns) {
    message(writer, field, () => {
      writeText(writer, 1, name)
      writeText(writer, 2, decltype)
    })
  }
}

function writeRow(writer: BinaryWriter, row: readonly Value[]): void {
  for (const value of row) message(writer, 1, () => writeValue(writer, value))
}

function writeValue(writer: BinaryWriter, value: Value): void {
  switch (typeof value) {
    case 'string':
      writer.tag(4, BODY).string(value)
      break
    case 'bigint':
      writer.tag(2, WireType.Varint).sint64(value)
      break
    case 'number':
      writer.tag(3, WireType.Bit64).double(value)
      break
    default:
      if (value === null) message(writer, 1, () => {})
      else writer.tag(5, BODY).bytes(value)
  }
}

export function writeError(writer: BinaryWriter, field: number, error: ErrorData): void {
  message(writer, field, () => errorFields(writer, error))
}

function errorFields(writer: BinaryWriter, error: ErrorData): void {
  const { message: sentence, code } = wireError(error)
  writeText(writer, 1, sentence)
  writeText(writer, 2, code)
}

function writeText(writer: BinaryWriter, field: number, text: string | null): void {
  if (text !== null) writer.tag(field, BODY).string(text)
}

/** Writes a message as a field of the one being written. */
export function message(writer: BinaryWriter, field: number, write: () => void): void {
  writer.tag(field, BODY).fork()
  write()
  writer.join()
}
