import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { test } from 'node:test'
import { crc32 } from 'node:zlib'
import fc from 'fast-check'
import { toLogIndex, toNodeId, toTerm } from '../base/brand.ts'
import { QuorateError } from '../base/errors.ts'
import { ENTRY_KINDS, type Entry } from './entry.ts'
import { type Hello, type OriginExchange, type PeerMessage, PROTOCOL_VERSION } from './message.ts'
import { encodeOriginOperations } from './origin-codec.ts'
import type { OriginEntry } from './origin-entry.ts'
import { decodeHello, decodeMessage, encodeHello, encodeMessage } from './wire.ts'

/** Stands for the real one, which lives with the entries; here only that it is asked matters. */
const checksums = {
  crc32: (data: Uint8Array) => crc32(data),
  entry: ({ index, term, kind, at, body }: Entry) => {
    return crc32(body, crc32(JSON.stringify([index, term, kind, at])))
  },
}

function entry(index: number, term: number, body: Uint8Array, at = 1_700_000_000_000): Entry {
  const plain = { index: toLogIndex(index), term: toTerm(term), kind: 'data', at, body } as const
  return { ...plain, checksum: checksums.entry({ ...plain, checksum: 0 }) }
}

const id = (term: number, index: number) => ({ term: toTerm(term), index: toLogIndex(index) })
const bytes = (...values: number[]) => new Uint8Array(values)
const term = toTerm(5)
const append = {
  kind: 'append',
  term,
  prev: id(3, 10),
  entries: [entry(11, 3, bytes(1, 2, 3)), entry(12, 5, bytes())],
  commit: toLogIndex(9),
  round: 77,
} satisfies PeerMessage

const ORIGIN_ENTRIES: readonly OriginEntry[] = [
  {
    origin: 'east-abc123',
    sequence: 7,
    time: 1_700_000_000_000_000,
    dependencies: new Map([['west-abc123', 3]]),
    epoch: 2,
    answer: 'soon',
    body: encodeOriginOperations([{ kind: 'transaction', time: 5, changes: bytes(1, 2) }]),
  },
  {
    origin: 'west-abc123',
    sequence: 1,
    time: 3,
    dependencies: new Map(),
    epoch: 1,
    answer: 'none',
    body: encodeOriginOperations([]),
  },
]

function exchange(message: OriginExchange): PeerMessage {
  return { kind: 'exchange', origin: 'east-abc123', message }
}

/** One of each kind at least; the fingerprint below is over all of them. */
const SAMPLES: readonly PeerMessage[] = [
  { kind: 'preVote', term, last: id(4, 12) },
  { kind: 'preVoteReply', term, granted: true },
  { kind: 'vote', term, last: id(4, 12), transfer: false },
  { kind: 'voteReply', term, granted: false },
  append,
  { ...append, entries: [] },
  { kind: 'appendReply', term, round: 77, result: 'mismatch', match: toLogIndex(8) },
  { kind: 'timeoutNow', term },
  { kind: 'readIndex', term, id: 4 },
  { kind: 'readIndexReply', term, id: 4, index: toLogIndex(12) },
  { kind: 'readIndexReply', term, id: 4, index: null },
  { kind: 'snapshotOffer', term, snapshot: 's1', last: id(4, 12), bytes: 4096, digest: 'ab' },
  { kind: 'snapshotFetch', term, snapshot: 's1', offset: 1024 },
  {
    kind: 'snapshotChunk',
    term,
    snapshot: 's1',
    offset: 1024,
    data: bytes(9, 8),
    checksum: crc32(bytes(9, 8)),
  },
  { kind: 'snapshotDone', term, snapshot: 's1', last: id(4, 12), error: null },
  {
    kind: 'snapshotDone',
    term,
    snapshot: 's1',
    last: id(4, 12),
    error: { code: 'NO_LEADER', detail: 'Gone.', facts: { position: 3, leader: 'http://a' } },
  },
  { kind: 'leads', origin: 'east-abc123', term, leads: true },
  { kind: 'leads', origin: 'east-abc123', term, leads: true, cut: ['west-abc123'] },
  exchange({
    kind: 'digest',
    held: new Map([['east-abc123', 7]]),
    seen: new Map(),
    links: ['west-abc123'],
    answer: true,
  }),
  exchange({
    kind: 'ask',
    request: 3,
    ranges: [{ origin: 'west-abc123', first: 4, last: 9 }],
    bytesMax: 1_000_000,
    entriesMax: 100,
  }),
  exchange({ kind: 'entries', request: null, held: new Map([['a', 2]]), entries: ORIGIN_ENTRIES }),
  exchange({ kind: 'entries', request: 4, held: new Map(), entries: [] }),
  exchange({ kind: 'gone', request: 5, base: new Map([['a', 2 ** 52]]) }),
  exchange({ kind: 'probe', id: 6 }),
  exchange({ kind: 'probed', id: 6, held: new Map([['a', 1]]) }),
  { kind: 'forward', id: 6, body: bytes(1) },
  { kind: 'forwardReply', id: 6, body: bytes() },
]

const hello: Hello = {
  protocol: PROTOCOL_VERSION,
  cluster: 'c1',
  from: toNodeId('a:00000001'),
  to: toNodeId('b:00000002'),
  name: 'a',
  release: '0.1.0',
}

function refuses(frame: Uint8Array): void {
  assert.throws(() => decodeMessage(frame, checksums), { code: 'BAD_REQUEST' })
}

test('every kind of message comes out as it went in', () => {
  for (const message of SAMPLES) {
    assert.deepEqual(decodeMessage(encodeMessage(message), checksums), message)
  }
  assert.deepEqual(decodeHello(encodeHello(hello)), hello)
})

// History: 1 first release; 2 several origins.
test('a change of wire shape is a change of protocol version', () => {
  const shape = createHash('sha256').update(encodeHello(hello))
  for (const message of SAMPLES) shape.update(encodeMessage(message))
  // Changed on purpose? Bump PROTOCOL_VERSION, add a History line, then update both values.
  assert.equal(`${PROTOCOL_VERSION}:${shape.digest('hex').slice(0, 12)}`, '2:0c2219bb32e0')
})

test('appends of any content come out as they went in, with bytes of their own', () => {
  const arbitrary = fc.record({
    bodies: fc.array(fc.uint8Array({ maxLength: 40 }), { maxLength: 5 }),
    rises: fc.array(fc.boolean(), { minLength: 5, maxLength: 5 }),
    kind: fc.constantFrom(...ENTRY_KINDS),
    prev: fc.nat(),
  })
  const property = fc.property(arbitrary, ({ bodies, rises, kind, prev }) => {
    let entryTerm = 1
    const entries = bodies.map((body, at) => {
      entryTerm += rises[at] ? 1 : 0
      const made = { ...entry(prev + 1 + at, entryTerm, body), kind }
      return { ...made, checksum: checksums.entry(made) }
    })
    const message = { ...append, term: toTerm(9), prev: id(1, prev), entries }
    const frame = Buffer.from(encodeMessage(message))
    const decoded = decodeMessage(frame, checksums)
    frame.fill(0)
    assert.deepEqual(decoded, message)
  })
  fc.assert(property, { seed: 42, numRuns: 200 })
})

test('entries that do not follow, fall in term or fail their checksum are refused', () => {
  const frame = (entries: readonly Entry[], prev = id(3, 10)) => {
    return encodeMessage({ ...append, prev, entries })
  }
  refuses(frame([entry(12, 3, bytes())]))
  refuses(frame([entry(11, 3, bytes()), entry(13, 3, bytes())]))
  refuses(frame([entry(11, 2, bytes())]))
  refuses(frame([entry(11, 5, bytes()), entry(12, 4, bytes())]))
  refuses(frame([entry(11, 6, bytes())]))
  refuses(frame([{ ...entry(11, 3, bytes(1)), body: bytes(2) }]))
  refuses(frame([{ ...entry(11, 3, bytes(1)), at: 5 }]))
})

test("an origin's entries: bytes that changed, heads that lie and frames that end are refused", () => {
  const [first, second] = ORIGIN_ENTRIES
  assert.ok(first !== undefined && second !== undefined)
  const frame = (entries: readonly OriginEntry[]) => {
    return encodeMessage(exchange({ kind: 'entries', request: 1, held: new Map(), entries }))
  }
  const changed = first.body.slice()
  changed[1] = (changed[1] ?? 0) ^ 1
  refuses(frame([{ ...first, body: changed }, second]))
  refuses(frame([{ ...first, body: bytes() }]))
  refuses(frame([{ ...first, sequence: 0 }]))
  refuses(frame([{ ...first, origin: 'a b' }]))
  refuses(frame([{ ...first, time: -1 }]))
  refuses(frame([{ ...first, dependencies: new Map([['x'.repeat(65), 1]]) }]))
  refuses(frame([{ ...first, dependencies: new Map([['a', 0]]) }]))
  const whole = frame([first, second])
  for (let cut = 1; cut < 20; cut += 1) refuses(whole.subarray(0, whole.length - cut))
  refuses(Buffer.concat([whole, bytes(0)]))
  refuses(Buffer.concat([encodeMessage(exchange({ kind: 'probe', id: 1 })), bytes(0)]))
})

test('a chunk whose bytes changed is refused', () => {
  const data = bytes(1, 2, 3)
  const chunk = { kind: 'snapshotChunk', term, snapshot: 's', offset: 0, data } as const
  refuses(encodeMessage({ ...chunk, checksum: crc32(data) + 1 }))
})

test('an error code of a later release becomes INTERNAL and keeps its sentence', () => {
  const done = { kind: 'snapshotDone', term, snapshot: 's', last: id(1, 1) } as const
  const text = JSON.stringify({ ...done, error: { code: 'NEW_CODE', detail: 'Why.' } })
  const frame = Buffer.concat([Buffer.alloc(4), Buffer.from(text)])
  frame.writeUInt32LE(text.length)
  const error = { code: 'INTERNAL', detail: 'NEW_CODE: Why.' }
  assert.deepEqual(decodeMessage(frame, checksums), { ...done, error })
})

/** Decoding must return a message or throw BAD_REQUEST, whatever the bytes. */
function survives(decode: () => unknown): boolean {
  try {
    decode()
  } catch (error) {
    assert.ok(error instanceof QuorateError, String(error))
    assert.equal(error.code, 'BAD_REQUEST')
  }
  return true
}

test('random bytes are decoded or refused', () => {
  const property = fc.property(fc.uint8Array({ maxLength: 200 }), (frame) =>
    survives(() => decodeMessage(frame, checksums)),
  )
  fc.assert(property, { seed: 42, numRuns: 1000 })
})

test('valid frames with changed bytes are decoded or refused', () => {
  const mutation = fc.record({
    sample: fc.constantFrom(...SAMPLES),
    edits: fc.array(fc.tuple(fc.nat(), fc.nat(255)), { minLength: 1, maxLength: 4 }),
    cut: fc.nat(20),
  })
  const property = fc.property(mutation, ({ sample, edits, cut }) => {
    const frame = encodeMessage(sample)
    for (const [at, value] of edits) frame[at % frame.length] = value
    return survives(() => decodeMessage(frame.subarray(0, frame.length - cut), checksums))
  })
  fc.assert(property, { seed: 42, numRuns: 3000 })
})

test('headers with any JSON in any place are decoded or refused', () => {
  const headers = SAMPLES.map((sample) => {
    const frame = encodeMessage(sample)
    const length = new DataView(frame.buffer).getUint32(0, true)
    return JSON.parse(Buffer.from(frame).toString('utf8', 4, 4 + length)) as object
  })
  const property = fc.property(
    fc.constantFrom(...headers, JSON.parse(encodeHello(hello)) as object),
    fc.nat(),
    fc.jsonValue(),
    (header, place, value) => {
      const names = Object.keys(header)
      const text = JSON.stringify({ ...header, [names[place % names.length] ?? 'kind']: value })
      const head = Buffer.from(text)
      const frame = Buffer.concat([Buffer.alloc(4), head])
      frame.writeUInt32LE(head.length)
      return survives(() => decodeMessage(frame, checksums)) && survives(() => decodeHello(text))
    },
  )
  fc.assert(property, { seed: 42, numRuns: 3000 })
})
