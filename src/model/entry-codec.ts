/**
 * The bytes of an entry's body, and the checksum that guards an entry from the leader's log to a
 * follower's. Compact and binary, because it is on the path of every write; what comes back from
 * disk or peers is checked piece by piece, and anything odd is LOG_CORRUPT.
 *
 * A body of kind `data` or `schema` (integers are LEB128, texts UTF-8 with their length in front):
 *
 *     1 | transactions | writes | write… | operations | operation…
 *     write = session | number | since | length of outcome | outcome
 *     outcome = result, or 2 | keeper | since: handed on, with an entry of its own without operations
 *
 * With several origins, what the others get of it is in front: 2 | transactions | own | writes …
 */
import { crc32 } from 'node:zlib'
import { QuorateError } from '../base/errors.ts'
import { ByteReader, ByteWriter, decoded, times } from './bytes.ts'
import type { Batch, Entry, HandedOn, Operation, WriteRecord } from './entry.ts'
import { ENTRY_KINDS } from './entry.ts'
import { errorData, fields, list, nodeId, oneOf, parseJson, text, whole } from './fields.ts'
import type { Member, Members } from './members.ts'
import { MEMBER_ROLES } from './members.ts'
import { getOriginEntry, putOriginEntry } from './origin-codec.ts'
import type { OriginEntry } from './origin-entry.ts'
import type {
  Column,
  ProgramResult,
  StatementResult,
  StepResult,
  Value,
  WriteId,
} from './program.ts'

/** First byte of a body; a later layout counts up. */
const LAYOUT = 1
const LAYOUT_WITH_OWN = 2

const OPERATION = { changeset: 1, ddl: 2, sequence: 3, pragma: 4, rows: 5 } as const
const PRAGMAS = ['user_version', 'application_id'] as const
const VALUE = { null: 0, integer: 1, real: 2, text: 3, blob: 4 } as const
const STEP = { skipped: 0, ok: 1, error: 2 } as const
/** First byte of an outcome that is no result, which begins with 0 or 1. */
const HANDED_ON = 2

const header = new DataView(new ArrayBuffer(25))
const headerBytes = new Uint8Array(header.buffer)

/** crc32 over an entry's index, term, kind, time and body. */
export function entryChecksum(entry: Omit<Entry, 'checksum'>): number {
  header.setFloat64(0, entry.index)
  header.setFloat64(8, entry.term)
  header.setUint8(16, ENTRY_KINDS.indexOf(entry.kind))
  header.setFloat64(17, entry.at)
  return crc32(entry.body, crc32(headerBytes))
}

/** Completes an entry by its checksum. */
export function sealEntry(entry: Omit<Entry, 'checksum'>): Entry {
  const { index, term, kind, at, body } = entry
  return { index, term, kind, at, body, checksum: entryChecksum(entry) }
}

/** Throws LOG_CORRUPT if the entry is not as it was made. */
export function checkEntry(entry: Entry): void {
  if (entryChecksum(entry) !== entry.checksum) {
    throw new QuorateError('LOG_CORRUPT', `Entry ${entry.index} does not match its checksum.`)
  }
}

const writer = new ByteWriter()

/** The body of a `data` or `schema` entry. */
export function encodeBatch(batch: Batch): Uint8Array {
  writer.reset()
  writer.byte(batch.own === undefined ? LAYOUT : LAYOUT_WITH_OWN)
  writer.integer(batch.transactions)
  if (batch.own !== undefined) putOriginEntry(writer, batch.own)
  writer.integer(batch.writes.length)
  for (const write of batch.writes) putWrite(write)
  writer.integer(batch.operations.length)
  for (const operation of batch.operations) putOperation(operation)
  return writer.finish()
}

/** The inverse of encodeBatch. Throws LOG_CORRUPT. Blobs and changesets share the body's memory. */
export function decodeBatch(body: Uint8Array): Batch {
  return decoded('An entry', () => {
    const { reader, layout } = openBody(body)
    const transactions = reader.integer()
    const own = layout === LAYOUT_WITH_OWN ? getOriginEntry(reader) : null
    const writes = times(reader.integer(), () => getWrite(reader))
    const operations = times(reader.integer(), () => getOperation(reader))
    reader.end()
    const batch = { transactions, writes, operations }
    return own === null ? batch : { ...batch, own }
  })
}

/** Only the ids of the writes in a body, without decoding results. Throws LOG_CORRUPT. */
export function decodeWriteIds(body: Uint8Array): readonly WriteId[] {
  return decoded('An entry', () => {
    const { reader, layout } = openBody(body)
    reader.integer()
    if (layout === LAYOUT_WITH_OWN) getOriginEntry(reader)
    return times(reader.integer(), () => {
      const id = getId(reader)
      reader.bytes()
      return id
    })
  })
}

/** How many transactions a body holds. Throws LOG_CORRUPT. */
export function decodeTransactions(body: Uint8Array): number {
  return decoded('An entry', () => openBody(body).reader.integer())
}

/**
 * What the other origins get of an entry, without reading the rest of it; null: nothing. Its body
 * shares the memory of `body`. Throws LOG_CORRUPT.
 */
export function decodeOwn(body: Uint8Array): OriginEntry | null {
  return decoded('An entry', () => {
    const { reader, layout } = openBody(body)
    reader.integer()
    return layout === LAYOUT_WITH_OWN ? getOriginEntry(reader) : null
  })
}

/** The body of a `members` entry. */
export function encodeMembers(members: Members): Uint8Array {
  return new TextEncoder().encode(JSON.stringify(members))
}

/** The inverse of encodeMembers. Throws LOG_CORRUPT. */
export function decodeMembers(body: Uint8Array): Members {
  return decoded('A members entry', () => {
    const value = fields(parseJson(new TextDecoder().decode(body), 'members'), 'members')
    return {
      cluster: text(value['cluster'], 'cluster'),
      members: list(value['members'], 'members').map(toMember),
    }
  })
}

function toMember(value: unknown): Member {
  const member = fields(value, 'member')
  return {
    id: nodeId(member['id'], 'id'),
    name: text(member['name'], 'name'),
    url: text(member['url'], 'url'),
    role: oneOf(member['role'], 'role', MEMBER_ROLES),
    wants: oneOf(member['wants'], 'wants', MEMBER_ROLES),
    priority: whole(member['priority'], 'priority'),
  }
}

function openBody(body: Uint8Array): { readonly reader: ByteReader; readonly layout: number } {
  const reader = new ByteReader(body)
  const layout = reader.byte()
  if (layout === LAYOUT || layout === LAYOUT_WITH_OWN) return { reader, layout }
  throw new QuorateError('LOG_CORRUPT', `Its layout is ${layout}.`)
}

// Writes

function putWrite(write: WriteRecord): void {
  const { session, number, since } = write.id
  writer.text(session)
  writer.integer(number)
  writer.integer(since)
  const length = writer.openLength()
  if ('result' in write) putResult(write.result)
  else putHandedOn(write.handedOn)
  writer.closeLength(length)
}

function getWrite(reader: ByteReader): WriteRecord {
  const id = getId(reader)
  const inner = new ByteReader(reader.bytes())
  const tag = inner.byte()
  const write =
    tag === HANDED_ON
      ? { id, handedOn: getHandedOn(inner) }
      : { id, result: getResult(inner, tag === 1) }
  inner.end()
  return write
}

function putHandedOn({ keeper, since }: HandedOn): void {
  writer.byte(HANDED_ON)
  writer.text(keeper)
  writer.integer(since)
}

function getHandedOn(reader: ByteReader): HandedOn {
  return { keeper: reader.text(), since: reader.integer() }
}

function getId(reader: ByteReader): WriteId {
  return { session: reader.text(), number: reader.integer(), since: reader.integer() }
}

function putResult(result: ProgramResult): void {
  writer.byte(result.autocommit ? 1 : 0)
  writer.integer(result.steps.length)
  for (const step of result.steps) {
    if (step === null) writer.byte(STEP.skipped)
    else if ('error' in step) {
      writer.byte(STEP.error)
      writer.text(JSON.stringify(step.error))
    } else {
      writer.byte(STEP.ok)
      putStatementResult(step.ok)
    }
  }
}

/** What follows the first byte. */
function getResult(reader: ByteReader, autocommit: boolean): ProgramResult {
  return { steps: times(reader.integer(), () => getStep(reader)), autocommit }
}

function getStep(reader: ByteReader): StepResult {
  const tag = reader.byte()
  if (tag === STEP.skipped) return null
  if (tag === STEP.ok) return { ok: getStatementResult(reader) }
  if (tag === STEP.error) {
    return { error: errorData(parseJson(reader.text(), 'error'), 'error') }
  }
  throw new QuorateError('LOG_CORRUPT', `A result has the tag ${tag}.`)
}

function putStatementResult(result: StatementResult): void {
  writer.integer(result.changes)
  putValue(result.lastInsertRowid)
  writer.integer(result.columns.length)
  for (const { name, decltype } of result.columns) {
    writer.text(name)
    putValue(decltype)
  }
  writer.integer(result.rows.length)
  for (const row of result.rows) for (const value of row) putValue(value)
}

function getStatementResult(reader: ByteReader): StatementResult {
  const changes = reader.integer()
  const lastInsertRowid = getValue(reader)
  const columns = times(reader.integer(), () => getColumn(reader))
  const count = reader.integer()
  // Each row of no columns takes no bytes: a count from a damaged body must not run away.
  if (columns.length === 0 && count > 0) throw new QuorateError('LOG_CORRUPT', 'Rows of nothing.')
  const rows = times(count, () => times(columns.length, () => getValue(reader)))
  if (lastInsertRowid !== null && typeof lastInsertRowid !== 'bigint') {
    throw new QuorateError('LOG_CORRUPT', 'A rowid is not an integer.')
  }
  return { columns, rows, changes, lastInsertRowid }
}

function getColumn(reader: ByteReader): Column {
  const name = reader.text()
  const decltype = getValue(reader)
  return { name, decltype: typeof decltype === 'string' ? decltype : null }
}

function putValue(value: Value): void {
  if (value === null) writer.byte(VALUE.null)
  else if (typeof value === 'bigint') {
    writer.byte(VALUE.integer)
    writer.int64(value)
  } else if (typeof value === 'number') {
    writer.byte(VALUE.real)
    writer.real(value)
  } else if (typeof value === 'string') {
    writer.byte(VALUE.text)
    writer.text(value)
  } else {
    writer.byte(VALUE.blob)
    writer.bytes(value)
  }
}

function getValue(reader: ByteReader): Value {
  const tag = reader.byte()
  switch (tag) {
    case VALUE.null:
      return null
    case VALUE.integer:
      return reader.int64()
    case VALUE.real:
      return reader.real()
    case VALUE.text:
      return reader.text()
    case VALUE.blob:
      return reader.bytes()
    default:
      throw new QuorateError('LOG_CORRUPT', `A value has the tag ${tag}.`)
  }
}

// Operations

function putOperation(operation: Operation): void {
  writer.byte(OPERATION[operation.kind])
  switch (operation.kind) {
    case 'changeset':
    case 'rows':
      writer.bytes(operation.bytes)
      break
    case 'ddl':
      writer.text(operation.sql)
      break
    case 'sequence':
      writer.integer(operation.rows.length)
      for (const { table, before, after } of operation.rows) {
        writer.text(table)
        putValue(before)
        putValue(after)
      }
      break
    case 'pragma':
      writer.byte(PRAGMAS.indexOf(operation.name))
      writer.real(operation.before)
      writer.real(operation.after)
      break
  }
}

function getOperation(reader: ByteReader): Operation {
  const tag = reader.byte()
  switch (tag) {
    case OPERATION.changeset:
      return { kind: 'changeset', bytes: reader.bytes() }
    case OPERATION.rows:
      return { kind: 'rows', bytes: reader.bytes() }
    case OPERATION.ddl:
      return { kind: 'ddl', sql: reader.text() }
    case OPERATION.sequence:
      return { kind: 'sequence', rows: times(reader.integer(), () => getSequenceRow(reader)) }
    case OPERATION.pragma: {
      const name = PRAGMAS[reader.byte()]
      if (name === undefined) throw new QuorateError('LOG_CORRUPT', 'An unknown PRAGMA.')
      return { kind: 'pragma', name, before: reader.real(), after: reader.real() }
    }
    default:
      throw new QuorateError('LOG_CORRUPT', `An operation has the tag ${tag}.`)
  }
}

function getSequenceRow(reader: ByteReader) {
  return { table: reader.text(), before: getInteger(reader), after: getInteger(reader) }
}

function getInteger(reader: ByteReader): bigint | null {
  const value = getValue(reader)
  if (value === null || typeof value === 'bigint') return value
  throw new QuorateError('LOG_CORRUPT', 'A sequence is not an integer.')
}
