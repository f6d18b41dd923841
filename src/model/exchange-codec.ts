/**
 * What leaders of different groups tell each other, as parts of a frame (wire.ts): a JSON header,
 * and the bodies of entries behind it. What comes out is well-formed whoever sent it, and its
 * bodies are as their writers made them; whether it can be true is core's to judge.
 */
import { copy, endsWithChecksum } from './bytes.ts'
import { bad, fields, flag, known, list, oneOf, originName, positive, whole } from './fields.ts'
import type { OriginExchange } from './message.ts'
import { ANSWER_LEVELS, type OriginEntry } from './origin-entry.ts'

/** Ranges, links and entries in one message: far above what the exchange sends. */
const LIST_MAX = 4096

type Fields = Readonly<Record<string, unknown>>

/** A message as the JSON and the bytes of a frame. */
export function exchangeFrame(message: OriginExchange): {
  readonly header: object
  readonly parts: readonly Uint8Array[]
} {
  switch (message.kind) {
    case 'digest':
      return plain({ ...message, held: [...message.held], seen: [...message.seen] })
    case 'entries':
      return {
        header: { ...message, held: [...message.held], entries: message.entries.map(headOf) },
        parts: message.entries.map(({ body }) => body),
      }
    case 'gone':
      return plain({ ...message, base: [...message.base] })
    case 'probed':
      return plain({ ...message, held: [...message.held] })
    default:
      return plain(message)
  }
}

function plain(header: object) {
  return { header, parts: [] }
}

function headOf(entry: OriginEntry): readonly unknown[] {
  const { origin, sequence, time, dependencies, epoch, answer, body } = entry
  return [origin, sequence, time, [...dependencies], epoch, answer, body.length]
}

/**
 * The inverse of exchangeFrame. Bodies are copies. Throws BAD_REQUEST.
 *
 * @param rest what follows the header in the frame
 * @param checksums see wire.ts
 */
export function decodeExchange(
  value: unknown,
  rest: Uint8Array,
  checksums: { crc32(data: Uint8Array): number },
): OriginExchange {
  const json = fields(value, 'exchange')
  if (json['kind'] === 'entries') return decodeEntries(json, rest, checksums)
  if (rest.length > 0) throw bad('the rest of the frame', 'empty', rest.length)
  return decodePlain(json)
}

function decodePlain(m: Fields): OriginExchange {
  const kind = m['kind']
  switch (kind) {
    case 'digest':
      return {
        kind,
        held: known(m['held'], 'held'),
        seen: known(m['seen'], 'seen'),
        links: short(m['links'], 'links').map((each) => originName(each, 'link')),
        answer: flag(m['answer'], 'answer'),
      }
    case 'ask':
      return {
        kind,
        request: whole(m['request'], 'request'),
        ranges: short(m['ranges'], 'ranges').map(decodeRange),
        bytesMax: whole(m['bytesMax'], 'bytesMax'),
        entriesMax: whole(m['entriesMax'], 'entriesMax'),
      }
    case 'gone':
      return { kind, request: whole(m['request'], 'request'), base: known(m['base'], 'base') }
    case 'probe':
      return { kind, id: whole(m['id'], 'id') }
    case 'probed':
      return { kind, id: whole(m['id'], 'id'), held: known(m['held'], 'held') }
    default:
      throw bad('kind', 'a kind of exchange', kind)
  }
}

function short(value: unknown, what: string): readonly unknown[] {
  const values = list(value, what)
  if (values.length > LIST_MAX) throw bad(what, `at most ${LIST_MAX}`, values)
  return values
}

function decodeRange(value: unknown) {
  const range = fields(value, 'range')
  const first = positive(range['first'], 'range.first')
  const last = positive(range['last'], 'range.last')
  if (first > last) throw bad('range.last', `at least ${first}`, last)
  return { origin: originName(range['origin'], 'range.origin'), first, last }
}

function decodeEntries(
  m: Fields,
  rest: Uint8Array,
  checksums: { crc32(data: Uint8Array): number },
): OriginExchange {
  let at = 0
  const entries = short(m['entries'], 'entries').map((row) => {
    const { length, entry } = decodeHead(row)
    const end = at + length
    if (end > rest.length) throw bad('entry.length', `within ${rest.length} bytes`, length)
    const body = copy(rest.subarray(at, end))
    if (!endsWithChecksum(body, checksums.crc32)) {
      throw bad(`entry ${entry.sequence} of ${entry.origin}`, 'as its checksum says', length)
    }
    at = end
    return { ...entry, body }
  })
  if (at !== rest.length) throw bad('the end of the entries', `at ${rest.length}`, at)
  const request = m['request'] === null ? null : whole(m['request'], 'request')
  return { kind: 'entries', request, held: known(m['held'], 'held'), entries }
}

function decodeHead(row: unknown): {
  readonly length: number
  readonly entry: Omit<OriginEntry, 'body'>
} {
  const [origin, sequence, time, dependencies, epoch, answer, length] = list(row, 'entry')
  const entry = {
    origin: originName(origin, 'entry.origin'),
    sequence: positive(sequence, 'entry.sequence'),
    time: whole(time, 'entry.time'),
    dependencies: known(dependencies, 'entry.dependencies'),
    epoch: whole(epoch, 'entry.epoch'),
    answer: oneOf(answer, 'entry.answer', ANSWER_LEVELS),
  }
  return { length: whole(length, 'entry.length'), entry }
}
