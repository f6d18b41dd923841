/**
 * Peer messages as frames: u32 little-endian length of a JSON header, the header, then the bytes
 * that JSON can't hold (entry bodies, a snapshot's piece, a forwarded request). Decoding is the only
 * gateway: what comes out of it is well-formed whoever sent it, and what goes wrong in it is
 * BAD_REQUEST. JSON, because a header costs microseconds and people read it in a capture.
 */
import { assert } from '../base/assert.ts'
import { LIMITS } from '../base/limits.ts'
import { copy } from './bytes.ts'
import { ENTRY_KINDS, type Entry, type EntryId } from './entry.ts'
import { decodeExchange, exchangeFrame } from './exchange-codec.ts'
import {
  bad,
  errorData,
  fields,
  flag,
  list,
  logIndex,
  nodeId,
  oneOf,
  originName,
  parseJson,
  term,
  text,
  whole,
} from './fields.ts'
import type { Hello, PeerMessage } from './message.ts'

/**
 * Bytes of the largest frame: one entry of the largest size with its head, or a large forwarded
 * request. An `exchange` of many entries is far below, because its senders count their bytes.
 */
export const FRAME_BYTES_MAX = LIMITS.entryBytesMax + LIMITS.appendBytesMax

/** crc32, from outside: model/ also runs in browsers, where node:zlib is not. */
export interface Checksums {
  crc32(data: Uint8Array): number
  /** Over everything in the entry but its checksum, see Entry. */
  entry(entry: Entry): number
}

const LENGTH_BYTES = 4
const encoder = new TextEncoder()
const decoder = new TextDecoder('utf-8', { fatal: true })

/** Encodes a message into one frame of its own memory. */
export function encodeMessage(message: PeerMessage): Uint8Array {
  switch (message.kind) {
    case 'append': {
      const entries = message.entries.map((e) => {
        return [e.index, e.term, e.kind, e.at, e.checksum, e.body.length]
      })
      return frame(
        { ...message, entries },
        message.entries.map(({ body }) => body),
      )
    }
    case 'snapshotChunk': {
      const { data, ...header } = message
      return frame(header, [data])
    }
    case 'forward':
    case 'forwardReply':
      return frame({ kind: message.kind, id: message.id }, [message.body])
    case 'exchange': {
      const { header, parts } = exchangeFrame(message.message)
      return frame({ kind: message.kind, origin: message.origin, message: header }, parts)
    }
    default:
      return frame(message, [])
  }
}

function frame(header: object, parts: readonly Uint8Array[]): Uint8Array {
  const head = encoder.encode(JSON.stringify(header))
  const size = parts.reduce((sum, part) => sum + part.length, LENGTH_BYTES + head.length)
  assert(size <= FRAME_BYTES_MAX, () => `frame of ${size} bytes > ${FRAME_BYTES_MAX}`)
  const bytes = new Uint8Array(size)
  new DataView(bytes.buffer).setUint32(0, head.length, true)
  bytes.set(head, LENGTH_BYTES)
  let at = LENGTH_BYTES + head.length
  for (const part of parts) {
    bytes.set(part, at)
    at += part.length
  }
  return bytes
}

/**
 * Decodes a frame and checks everything in it: types, ranges, checksums, that entries follow `prev`
 * and each other and that their terms never fall. Bytes in the message are copies, so a message
 * does not keep the frame's memory alive. Throws BAD_REQUEST and nothing else.
 */
export function decodeMessage(bytes: Uint8Array, checksums: Checksums): PeerMessage {
  const { header, rest } = split(bytes)
  const message = fields(header, 'header')
  switch (message['kind']) {
    case 'append':
      return decodeAppend(message, rest, checksums)
    case 'snapshotChunk':
      return decodeChunk(message, rest, checksums)
    case 'forward':
    case 'forwardReply':
      return { kind: message['kind'], id: whole(message['id'], 'id'), body: copy(rest) }
    case 'exchange':
      return {
        kind: 'exchange',
        origin: originName(message['origin'], 'origin'),
        message: decodeExchange(message['message'], rest, checksums),
      }
    default:
      if (rest.length > 0) throw bad('the rest of the frame', 'empty', rest.length)
      return decodePlain(message)
  }
}

function split(bytes: Uint8Array): { header: unknown; rest: Uint8Array } {
  if (bytes.length < LENGTH_BYTES) throw bad('the frame', 'at least 4 bytes long', bytes.length)
  const length = new DataView(bytes.buffer, bytes.byteOffset).getUint32(0, true)
  const end = LENGTH_BYTES + length
  if (end > bytes.length) throw bad('the header', `inside ${bytes.length} bytes`, length)
  const header = parseJson(utf8(bytes.subarray(LENGTH_BYTES, end)), 'header')
  return { header, rest: bytes.subarray(end) }
}

/** Not decoder.decode alone: it throws TypeError. */
function utf8(bytes: Uint8Array): string {
  try {
    return decoder.decode(bytes)
  } catch {
    throw bad('the header', 'UTF-8', bytes.length)
  }
}

type Header = Readonly<Record<string, unknown>>

function decodePlain(m: Header): PeerMessage {
  const kind = m['kind']
  switch (kind) {
    case 'preVote':
      return { kind, term: term(m['term'], 'term'), last: entryId(m['last'], 'last') }
    case 'vote':
      return {
        kind,
        term: term(m['term'], 'term'),
        last: entryId(m['last'], 'last'),
        transfer: flag(m['transfer'], 'transfer'),
      }
    case 'preVoteReply':
    case 'voteReply':
      return { kind, term: term(m['term'], 'term'), granted: flag(m['granted'], 'granted') }
    case 'appendReply':
      return {
        kind,
        term: term(m['term'], 'term'),
        round: whole(m['round'], 'round'),
        result: oneOf(m['result'], 'result', ['ok', 'mismatch', 'busy'] as const),
        match: logIndex(m['match'], 'match'),
      }
    case 'timeoutNow':
      return { kind, term: term(m['term'], 'term') }
    case 'readIndex':
      return { kind, term: term(m['term'], 'term'), id: whole(m['id'], 'id') }
    case 'readIndexReply': {
      const index = m['index'] === null ? null : logIndex(m['index'], 'index')
      return { kind, term: term(m['term'], 'term'), id: whole(m['id'], 'id'), index }
    }
    case 'leads': {
      const { cut } = m
      return {
        kind,
        origin: originName(m['origin'], 'origin'),
        term: term(m['term'], 'term'),
        leads: flag(m['leads'], 'leads'),
        ...(cut === undefined ? {} : { cut: list(cut, 'cut').map((at) => originName(at, 'cut')) }),
      }
    }
    default:
      return decodeSnapshot(m)
  }
}

function decodeSnapshot(m: Header): PeerMessage {
  const kind = m['kind']
  switch (kind) {
    case 'snapshotOffer':
      return {
        kind,
        term: term(m['term'], 'term'),
        snapshot: text(m['snapshot'], 'snapshot'),
        last: entryId(m['last'], 'last'),
        bytes: whole(m['bytes'], 'bytes'),
        digest: text(m['digest'], 'digest'),
      }
    case 'snapshotFetch':
      return {
        kind,
        term: term(m['term'], 'term'),
        snapshot: text(m['snapshot'], 'snapshot'),
        offset: whole(m['offset'], 'offset'),
      }
    case 'snapshotDone':
      return {
        kind,
        term: term(m['term'], 'term'),
        snapshot: text(m['snapshot'], 'snapshot'),
        last: entryId(m['last'], 'last'),
        error: m['error'] === null ? null : errorData(m['error'], 'error'),
      }
    default:
      throw bad('kind', 'a kind of message', kind)
  }
}

function decodeChunk(m: Header, rest: Uint8Array, checksums: Checksums): PeerMessage {
  const checksum = whole(m['checksum'], 'checksum')
  const actual = checksums.crc32(rest)
  if (actual !== checksum) throw bad('the checksum of the chunk', String(actual), checksum)
  return {
    kind: 'snapshotChunk',
    term: term(m['term'], 'term'),
    snapshot: text(m['snapshot'], 'snapshot'),
    offset: whole(m['offset'], 'offset'),
    data: copy(rest),
    checksum,
  }
}

function decodeAppend(m: Header, rest: Uint8Array, checksums: Checksums): PeerMessage {
  const leaderTerm = term(m['term'], 'term')
  const prev = entryId(m['prev'], 'prev')
  const entries: Entry[] = []
  let before = prev
  let at = 0
  for (const row of list(m['entries'], 'entries')) {
    const { entry, end } = decodeEntry(row, rest, at)
    checkFollows(entry, before, leaderTerm)
    const actual = checksums.entry(entry)
    if (actual !== entry.checksum) {
      throw bad(`the checksum of entry ${entry.index}`, String(actual), entry.checksum)
    }
    entries.push(entry)
    before = entry
    at = end
  }
  if (at !== rest.length) throw bad('the end of the entries', `at ${rest.length}`, at)
  return {
    kind: 'append',
    term: leaderTerm,
    prev,
    entries,
    commit: logIndex(m['commit'], 'commit'),
    round: whole(m['round'], 'round'),
  }
}

function decodeEntry(
  row: unknown,
  bodies: Uint8Array,
  start: number,
): { readonly entry: Entry; readonly end: number } {
  const [index, entryTerm, kind, at, checksum, length] = list(row, 'entry')
  const end = start + whole(length, 'entry.length')
  if (end > bodies.length) throw bad('entry.length', `within ${bodies.length} bytes`, length)
  const entry = {
    index: logIndex(index, 'entry.index'),
    term: term(entryTerm, 'entry.term'),
    kind: oneOf(kind, 'entry.kind', ENTRY_KINDS),
    at: whole(at, 'entry.at'),
    checksum: whole(checksum, 'entry.checksum'),
    body: copy(bodies.subarray(start, end)),
  }
  return { entry, end }
}

function checkFollows(entry: EntryId, before: EntryId, leaderTerm: number): void {
  if (entry.index !== before.index + 1) {
    throw bad('entry.index', `the one after ${before.index}`, entry.index)
  }
  if (entry.term < before.term || entry.term > leaderTerm) {
    throw bad('entry.term', `from ${before.term} to ${leaderTerm}`, entry.term)
  }
}

function entryId(value: unknown, what: string): EntryId {
  const id = fields(value, what)
  return { term: term(id['term'], `${what}.term`), index: logIndex(id['index'], `${what}.index`) }
}

/** Encodes the first frame each way; it travels as a text frame, messages as binary ones. */
export function encodeHello(hello: Hello): string {
  return JSON.stringify(hello)
}

/** Decodes the first frame. Throws BAD_REQUEST; whether the values fit is the transport's to say. */
export function decodeHello(json: string): Hello {
  const hello = fields(parseJson(json, 'hello'), 'hello')
  return {
    protocol: whole(hello['protocol'], 'hello.protocol'),
    cluster: text(hello['cluster'], 'hello.cluster'),
    from: nodeId(hello['from'], 'hello.from'),
    to: nodeId(hello['to'], 'hello.to'),
    name: text(hello['name'], 'hello.name'),
    release: text(hello['release'], 'hello.release'),
  }
}
