/**
 * The bytes of what origins tell each other: entries, the operations in them, and the `merge`
 * entries in which a group logs what it took from others. Compact and binary, because it is on the
 * path of every write; what comes back from disk or peers is checked, and anything odd is
 * LOG_CORRUPT. Integers are LEB128, texts UTF-8 with their length in front.
 *
 *     entry      origin | sequence | time | epoch | answer | n | (origin | sequence)… | length | body
 *     body       1 | n | operation… | crc32 of all before it
 *     operation  tag | content; a transaction's time is told from the one before it
 *     merge      1 | n | operation…
 *
 * A body has a checksum of its own, since it is the one thing that goes from its writer through many
 * logs: each has a checksum of its entries, made anew with what the one before said.
 */
import { crc32 } from 'node:zlib'
import { assert } from '../base/assert.ts'
import { QuorateError } from '../base/errors.ts'
import {
  ByteReader,
  ByteWriter,
  CHECKSUM_BYTES,
  decoded,
  endsWithChecksum,
  times,
} from './bytes.ts'
import { clusterToJson, decodeCluster, decodeGroupNodes, decodeRule } from './cluster-codec.ts'
import { bad, ORIGINS_MAX, originName, parseJson, positive } from './fields.ts'
import type { MergeOperation, OriginEntry, OriginOperation, PragmaName } from './origin-entry.ts'
import { ANSWER_LEVELS, TRANSACTIONS_MAX } from './origin-entry.ts'

const LAYOUT = 1
const OPERATION = {
  transaction: 1,
  ddl: 2,
  pragma: 3,
  hold: 4,
  release: 5,
  cluster: 6,
  rule: 7,
  nodes: 8,
  closed: 9,
} as const
const MERGE = { keep: 1, take: 2, apply: 3, forget: 4 } as const
const PRAGMAS: readonly PragmaName[] = ['user_version', 'application_id']
/** SQLite's PRAGMAs hold 32 bits with a sign. */
const INT32 = 2 ** 31

const writer = new ByteWriter()

/**
 * Puts an entry where the writer is. For entry-codec.ts, whose bodies hold one.
 *
 * @param to not the writer of this module, which encodes bodies
 */
export function putOriginEntry(to: ByteWriter, entry: OriginEntry): void {
  to.text(entry.origin)
  to.integer(entry.sequence)
  to.integer(entry.time)
  to.integer(entry.epoch)
  to.byte(ANSWER_LEVELS.indexOf(entry.answer))
  to.integer(entry.dependencies.size)
  for (const [origin, sequence] of entry.dependencies) {
    to.text(origin)
    to.integer(sequence)
  }
  to.bytes(entry.body)
}

/** The inverse. The body shares the reader's memory. Throws LOG_CORRUPT or BAD_REQUEST. */
export function getOriginEntry(reader: ByteReader): OriginEntry {
  const origin = originName(reader.text(), 'origin')
  const sequence = positive(reader.integer(), 'sequence')
  const time = reader.integer()
  const epoch = reader.integer()
  const answer = ANSWER_LEVELS[reader.byte()]
  if (answer === undefined) throw bad('answer', `one of ${ANSWER_LEVELS.join(', ')}`, answer)
  const dependencies = getKnown(reader)
  return { origin, sequence, time, dependencies, epoch, answer, body: reader.bytes() }
}

function getKnown(reader: ByteReader): ReadonlyMap<string, number> {
  const count = reader.integer()
  if (count > ORIGINS_MAX) throw bad('dependencies', `of at most ${ORIGINS_MAX} origins`, count)
  const known = new Map<string, number>()
  for (let i = 0; i < count; i += 1) {
    known.set(originName(reader.text(), 'dependency'), positive(reader.integer(), 'dependency'))
  }
  if (known.size < count) throw bad('dependencies', 'with each origin once', count)
  return known
}

/**
 * The body of an origin's entry. A transaction's time must be later than that of the one before it
 * in the list. No operations: what only answers.
 */
export function encodeOriginOperations(operations: readonly OriginOperation[]): Uint8Array {
  writer.reset()
  writer.byte(LAYOUT)
  writer.integer(operations.length)
  let time = 0
  for (const operation of operations) {
    writer.byte(OPERATION[operation.kind])
    if (operation.kind === 'transaction') {
      assert(operation.time > time, () => `transaction of ${operation.time} after ${time}`)
      writer.integer(operation.time - time)
      writer.bytes(operation.changes)
      time = operation.time
    } else putRare(operation)
  }
  return writer.finishWithChecksum(crc32)
}

type Rare = Exclude<OriginOperation, { readonly kind: 'transaction' }>

function putRare(operation: Rare): void {
  switch (operation.kind) {
    case 'ddl':
      writer.text(operation.sql)
      break
    case 'pragma':
      writer.byte(PRAGMAS.indexOf(operation.name))
      writer.integer(operation.value + INT32)
      break
    case 'hold':
    case 'release':
      break
    case 'cluster':
      writer.text(clusterToJson(operation.cluster))
      break
    case 'rule':
      writer.text(JSON.stringify(operation.rule))
      break
    case 'nodes':
      writer.text(JSON.stringify(operation.nodes))
      break
    case 'closed':
      writer.integer(operation.time)
      writer.text(operation.origin)
      writer.integer(operation.number)
      break
  }
}

/**
 * The inverse of encodeOriginOperations. Changes share the body's memory. Throws LOG_CORRUPT.
 *
 * @param body of an entry of any origin, checked by nobody yet
 */
export function decodeOriginOperations(body: Uint8Array): readonly OriginOperation[] {
  return decoded('An entry of an origin', () => {
    const reader = new ByteReader(openBody(body))
    checkLayout(reader)
    const operations: OriginOperation[] = []
    const count = reader.integer()
    let time = 0
    let transactions = 0
    for (let i = 0; i < count; i += 1) {
      const tag = reader.byte()
      if (tag === OPERATION.transaction) {
        time += positive(reader.integer(), 'time after the one before')
        operations.push({ kind: 'transaction', time, changes: reader.bytes() })
        transactions += 1
      } else operations.push(getRare(tag, reader))
    }
    reader.end()
    if (transactions > TRANSACTIONS_MAX || !Number.isSafeInteger(time)) {
      throw bad('an entry', `at most ${TRANSACTIONS_MAX} transactions in time`, transactions)
    }
    return operations
  })
}

/**
 * The time of an entry's first transaction, or its own if it does nothing. Undefined: something else
 * comes first, or it can't be read.
 */
export function firstTimeOf({
  body,
  time,
}: Pick<OriginEntry, 'body' | 'time'>): number | undefined {
  const reader = new ByteReader(body)
  try {
    checkLayout(reader)
    if (reader.integer() === 0) return time
    return reader.byte() === OPERATION.transaction ? reader.integer() : undefined
  } catch {
    // Whoever takes it will say what is wrong with it.
    return undefined
  }
}

/** Without its checksum, which must be right. */
function openBody(body: Uint8Array): Uint8Array {
  if (!endsWithChecksum(body, crc32)) throw bad('the checksum', 'that of the body', body.length)
  return body.subarray(0, body.length - CHECKSUM_BYTES)
}

function checkLayout(reader: ByteReader): void {
  const layout = reader.byte()
  if (layout !== LAYOUT) throw new QuorateError('LOG_CORRUPT', `Its layout is ${layout}.`)
}

function getRare(tag: number, reader: ByteReader): Rare {
  switch (tag) {
    case OPERATION.ddl:
      return { kind: 'ddl', sql: reader.text() }
    case OPERATION.pragma:
      return getPragma(reader)
    case OPERATION.hold:
      return { kind: 'hold' }
    case OPERATION.release:
      return { kind: 'release' }
    case OPERATION.cluster:
      return { kind: 'cluster', cluster: decodeCluster(parseJson(reader.text(), 'cluster')) }
    case OPERATION.rule:
      return { kind: 'rule', rule: decodeRule(parseJson(reader.text(), 'rule')) }
    case OPERATION.nodes:
      return { kind: 'nodes', nodes: decodeGroupNodes(parseJson(reader.text(), 'nodes')) }
    case OPERATION.closed: {
      const time = reader.integer()
      const origin = originName(reader.text(), 'origin')
      return { kind: 'closed', time, origin, number: reader.integer() }
    }
    default:
      throw new QuorateError('LOG_CORRUPT', `An operation has the tag ${tag}.`)
  }
}

function getPragma(reader: ByteReader): Rare {
  const name = PRAGMAS[reader.byte()]
  const value = reader.integer() - INT32
  if (name === undefined || value >= INT32) throw bad('a PRAGMA', 'of 32 bits', value)
  return { kind: 'pragma', name, value }
}

/** The body of a `merge` entry, in the order in which its operations are to be done. */
export function encodeMergeOperations(operations: readonly MergeOperation[]): Uint8Array {
  writer.reset()
  writer.byte(LAYOUT)
  writer.integer(operations.length)
  for (const operation of operations) {
    switch (operation.kind) {
      case 'take':
        writer.byte(operation.apply ? MERGE.take : MERGE.keep)
        putOriginEntry(writer, operation.entry)
        break
      case 'apply':
        writer.byte(MERGE.apply)
        writer.text(operation.origin)
        writer.integer(operation.sequence)
        break
      case 'forget':
        writer.byte(MERGE.forget)
        writer.integer(operation.stable)
        writer.integer(operation.conflictsUntil)
        break
    }
  }
  return writer.finish()
}

/** The inverse of encodeMergeOperations. Entries' bodies share the memory of `body`. Throws LOG_CORRUPT. */
export function decodeMergeOperations(body: Uint8Array): readonly MergeOperation[] {
  return decoded('A merge entry', () => {
    const reader = new ByteReader(body)
    checkLayout(reader)
    const operations = times(reader.integer(), () => getMerge(reader))
    reader.end()
    return operations
  })
}

function getMerge(reader: ByteReader): MergeOperation {
  const tag = reader.byte()
  switch (tag) {
    case MERGE.keep:
    case MERGE.take:
      return { kind: 'take', entry: getOriginEntry(reader), apply: tag === MERGE.take }
    case MERGE.apply: {
      const origin = originName(reader.text(), 'origin')
      return { kind: 'apply', origin, sequence: positive(reader.integer(), 'sequence') }
    }
    case MERGE.forget:
      return { kind: 'forget', stable: reader.integer(), conflictsUntil: reader.integer() }
    default:
      throw new QuorateError('LOG_CORRUPT', `An operation has the tag ${tag}.`)
  }
}
