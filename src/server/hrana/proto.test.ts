import { deepEqual, equal, ok, throws } from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { QuorateError } from '../../base/errors.ts'
import { type Prng, prngFromSeed } from '../../base/prng.ts'
import type { StatementResult, StepResult, Value } from '../../model/program.ts'
import { mutate, newSession, randomBytes, randomPipeline, randomValue } from '../fuzz/messages.ts'
import { WsModel } from '../fuzz/ws-model.ts'
import { OFFICIAL } from '../testing/official-codec.ts'
import { decodePipeline } from './json-decode.ts'
import { decodeProtoCursor, decodeProtoPipeline } from './proto-decode.ts'
import { encodeProtoEntries, encodeProtoPipeline } from './proto-encode.ts'
import { decodeProtoMessage, encodeProtoMessage } from './proto-ws.ts'
import type { HranaEntry, PipelineRequest, StreamOutcome, StreamRequest } from './protocol.ts'
import type { ServerMessage } from './ws-protocol.ts'

const { protobuf, json } = OFFICIAL

/** Runs with a generator for each of many seeds; a failure names its seed. */
function forSeeds(check: (prng: Prng) => void, numRuns = 500): void {
  fc.assert(
    fc.property(fc.integer(), (seed) => check(prngFromSeed(seed))),
    { numRuns },
  )
}

/** What a decoder makes of a message: its requests, or that it breaks the protocol. */
function outcome(decode: () => PipelineRequest): unknown {
  try {
    const { baton, requests } = decode()
    return { baton, requests: requests.map((request) => request()) }
  } catch (error) {
    ok(error instanceof QuorateError && error.code === 'BAD_REQUEST', String(error))
    return 'BAD_REQUEST'
  }
}

test('a pipeline in Protobuf means what the same one means in JSON', () => {
  forSeeds((prng) => {
    const baton = prng.percent(50) ? 'baton' : undefined
    const pipeline = randomPipeline(prng, newSession(prng, 3), baton)
    const fromProto = outcome(() => decodeProtoPipeline(protobuf.pipeline(pipeline)))
    const fromJson = outcome(() => decodePipeline(String(json.pipeline(pipeline)), 3))
    deepEqual(fromProto, fromJson)
  })
})

test('bytes that are no message are BAD_REQUEST, and nothing worse', () => {
  forSeeds((prng) => {
    const session = newSession(prng, 3)
    const pipeline = protobuf.pipeline(randomPipeline(prng, session, undefined))
    const bytes = prng.percent(70) ? mutate(prng, pipeline) : randomBytes(prng)
    outcome(() => decodeProtoPipeline(bytes))
    outcome(() => ({ baton: null, requests: [() => ({ ...decodeProtoCursor(bytes), ...CLOSE })] }))
    const message = protobuf.message(new WsModel(prng, session).next(1))
    outcome(() => {
      decodeProtoMessage(prng.percent(70) ? mutate(prng, message) : bytes)
      return { baton: null, requests: [] }
    })
  }, 2000)
})

const CLOSE: StreamRequest = { type: 'close' }

test('a small message that would take much memory is refused', () => {
  const pipeline = Buffer.alloc(2 * 100_001, Uint8Array.from([0x12, 0]))
  equal(
    outcome(() => decodeProtoPipeline(pipeline)),
    'BAD_REQUEST',
  )
  const requests = Array.from({ length: 100_001 }, () => ({}))
  equal(
    outcome(() => decodePipeline(JSON.stringify({ requests }), 3)),
    'BAD_REQUEST',
  )
})

test('unknown fields are ignored, and messages nested too deep are refused', () => {
  // Field 99 of every wire type around a close request: varint, double, bytes, group, float.
  const unknown = [0x98, 6, 1, 0x99, 6, 0, 0, 0, 0, 0, 0, 0, 0, 0x9a, 6, 1, 7, 0x9b, 6, 0x9c, 6]
  const close = [0x12, 2, 0x0a, 0]
  const bytes = Uint8Array.from([...unknown, 0x9d, 6, 0, 0, 0, 0, ...close, 0x98, 6, 1])
  deepEqual(
    outcome(() => decodeProtoPipeline(bytes)),
    { baton: null, requests: [CLOSE] },
  )

  let condition = Uint8Array.from([0x32, 0])
  const wrap = (field: number, inner: Uint8Array): Uint8Array<ArrayBuffer> => {
    const length = [inner.length & 0x7f, (inner.length >> 7) & 0x7f]
    return Uint8Array.from([(field << 3) | 2, (length[0] ?? 0) | 0x80, length[1] ?? 0, ...inner])
  }
  for (let depth = 0; depth < 300; depth += 1) condition = wrap(3, condition)
  const step = wrap(1, Uint8Array.from([...wrap(1, condition), ...wrap(2, new Uint8Array())]))
  const batch = wrap(2, wrap(3, wrap(1, step)))
  equal(
    outcome(() => decodeProtoPipeline(batch)),
    'BAD_REQUEST',
  )
})

function randomResult(prng: Prng): StatementResult {
  const width = prng.intInclusive(0, 3)
  const list = <T>(length: number, make: () => T): T[] => Array.from({ length }, make)
  return {
    columns: list(width, () => ({
      name: prng.pick(['id', '', 'a"b']),
      decltype: prng.pick([null, 'INT']),
    })),
    rows: list(prng.intInclusive(0, 3), () => list(width, () => randomValue(prng) as Value)),
    changes: prng.intInclusive(0, 2 ** 40),
    lastInsertRowid: prng.pick([null, 0n, -1n, 2n ** 63n - 1n, -(2n ** 63n)]),
  }
}

const ERROR = {
  code: 'SQL_CONSTRAINT',
  detail: 'no',
  facts: { sqlite: 'SQLITE_CONSTRAINT' },
} as const

function randomOutcome(prng: Prng): StreamOutcome {
  const step = (): StepResult =>
    prng.pick([null, { error: ERROR }, { ok: randomResult(prng) }] as const)
  switch (prng.intInclusive(0, 5)) {
    case 0:
      return { error: ERROR }
    case 1:
      return { ok: { type: prng.pick(['sequence', 'store_sql', 'close_sql'] as const) } }
    case 2:
      return { ok: { type: 'batch', steps: [step(), step(), step()] } }
    case 3:
      return { ok: { type: 'get_autocommit', isAutocommit: prng.percent(50) } }
    case 4: {
      const { columns } = randomResult(prng)
      const about = { isExplain: prng.percent(50), isReadonly: prng.percent(50) }
      const params = [null, ':a', '?3']
      return { ok: { type: 'describe', description: { params, columns, ...about } } }
    }
    default:
      return { ok: { type: 'execute', result: randomResult(prng) } }
  }
}

/** What libSQL's client makes of a result. */
function seen({ columns, rows, changes, lastInsertRowid }: StatementResult): object {
  return {
    cols: columns.map(({ name, decltype }) => ({ name, decltype: decltype ?? undefined })),
    rows,
    affectedRowCount: changes,
    lastInsertRowid: lastInsertRowid ?? undefined,
  }
}

const SEEN_ERROR = { message: 'no', code: 'SQLITE_CONSTRAINT' }

function seenOutcome(result: StreamOutcome): object {
  if ('error' in result) return { type: 'error', error: SEEN_ERROR }
  const { ok: response } = result
  switch (response.type) {
    case 'execute':
      return { type: 'ok', response: { type: 'execute', result: seen(response.result) } }
    case 'batch': {
      const stepResults = new Map<number, object>()
      const stepErrors = new Map<number, object>()
      for (const [at, step] of response.steps.entries()) {
        if (step !== null && 'ok' in step) stepResults.set(at, seen(step.ok))
        else if (step !== null) stepErrors.set(at, SEEN_ERROR)
      }
      return { type: 'ok', response: { type: 'batch', result: { stepResults, stepErrors } } }
    }
    case 'describe': {
      const { params, columns, ...about } = response.description
      const { cols } = seen({ columns, rows: [], changes: 0, lastInsertRowid: null }) as {
        cols: object[]
      }
      const names = params.map((name) => ({ name: name ?? undefined }))
      return {
        type: 'ok',
        response: { type: 'describe', result: { params: names, cols, ...about } },
      }
    }
    default:
      return { type: 'ok', response }
  }
}

test("answers in Protobuf are read by libSQL's client as they were meant", () => {
  forSeeds((prng) => {
    const outcomes = [randomOutcome(prng), randomOutcome(prng)]
    const baton = prng.pick([null, 'next'])
    const index = prng.pick([null, 0n, 2n ** 63n - 1n])
    const answer = protobuf.answer(encodeProtoPipeline(baton, outcomes, index))
    const results = outcomes.map(seenOutcome)
    deepEqual(answer, { baton: baton ?? undefined, baseUrl: undefined, results })
  })
})

test('messages over WebSocket: every request arrives as it was meant', () => {
  const stmt = { sql: undefined, sqlId: 4, args: [1n], namedArgs: [], wantRows: false }
  const batch = { steps: [{ condition: undefined, stmt }] }
  const hrana = { source: { sqlId: 4 }, args: [1n], named: null, wantRows: false }
  const steps = [{ statement: hrana, condition: null }]
  const cases = [
    [
      { type: 'open_stream', streamId: -1 },
      { type: 'open_stream', streamId: -1 },
    ],
    [
      { type: 'close_stream', streamId: 2 },
      { type: 'close_stream', streamId: 2 },
    ],
    [
      { type: 'execute', streamId: 3, stmt },
      run(3, { type: 'execute', statement: hrana, atLeast: null }),
    ],
    [{ type: 'batch', streamId: 3, batch }, run(3, { type: 'batch', steps, atLeast: null })],
    [
      { type: 'sequence', streamId: 3, sql: 'a', sqlId: undefined },
      run(3, { type: 'sequence', source: { sql: 'a' }, atLeast: null }),
    ],
    [
      { type: 'describe', streamId: 3, sql: undefined, sqlId: 0 },
      run(3, { type: 'describe', source: { sqlId: 0 }, atLeast: null }),
    ],
    [{ type: 'get_autocommit', streamId: 9 }, run(9, { type: 'get_autocommit' })],
    [
      { type: 'open_cursor', streamId: 1, cursorId: 7, batch },
      { type: 'open_cursor', streamId: 1, cursorId: 7, batch: { steps, atLeast: null } },
    ],
    [
      { type: 'fetch_cursor', cursorId: 7, maxCount: 2 ** 32 - 1 },
      { type: 'fetch_cursor', cursorId: 7, maxCount: 2 ** 32 - 1 },
    ],
    [
      { type: 'close_cursor', cursorId: 7 },
      { type: 'close_cursor', cursorId: 7 },
    ],
    [
      { type: 'store_sql', sqlId: 5, sql: 'x' },
      { type: 'store_sql', sqlId: 5, sql: 'x' },
    ],
    [
      { type: 'close_sql', sqlId: 5 },
      { type: 'close_sql', sqlId: 5 },
    ],
  ] as const
  for (const [official, expected] of cases) {
    const frame = protobuf.message({ type: 'request', requestId: -3, request: official } as never)
    deepEqual(decodeProtoMessage(frame), { type: 'request', requestId: -3, request: expected })
  }
  const hello = protobuf.message({ type: 'hello', jwt: 'token' })
  deepEqual(decodeProtoMessage(hello), { type: 'hello', jwt: 'token' })
  throws(() => decodeProtoMessage(new Uint8Array()), { code: 'BAD_REQUEST' })
})

function run(streamId: number, request: StreamRequest): object {
  return { type: 'run', streamId, request }
}

test('messages over WebSocket: every answer is read as it was meant', () => {
  const read = (message: ServerMessage) => protobuf.reply(encodeProtoMessage(message))
  deepEqual(read({ type: 'hello_ok' }), { type: 'hello_ok' })
  deepEqual(read({ type: 'hello_error', error: ERROR }), { type: 'hello_error', error: SEEN_ERROR })
  const requestId = -1
  deepEqual(read({ type: 'response_error', requestId, error: ERROR }), {
    ...{ type: 'response_error', requestId, error: SEEN_ERROR },
  })
  forSeeds((prng) => {
    const result = randomOutcome(prng)
    if ('error' in result || result.ok.type === 'close') return
    const token = { cluster: 'c1', term: 1, index: 2 }
    const { response } = seenOutcome(result) as { response: object }
    const message = { type: 'response_ok', requestId, response: result.ok, token } as const
    deepEqual(read(message), { type: 'response_ok', requestId, response })
  })
  const entries: readonly HranaEntry[] = [
    { type: 'step_begin', step: 1, columns: [{ name: 'a', decltype: null }] },
    { type: 'row', row: [1n, 'x', null] },
    { type: 'step_end', changes: 3, lastInsertRowid: null },
    { type: 'step_error', step: 2, error: ERROR },
    { type: 'error', error: ERROR },
  ]
  const response = { type: 'fetch_cursor', entries, done: true } as const
  deepEqual(read({ type: 'response_ok', requestId, response, token: null }), {
    type: 'response_ok',
    requestId,
    response: {
      type: 'fetch_cursor',
      done: true,
      entries: [
        { type: 'step_begin', step: 1, cols: [{ name: 'a', decltype: undefined }] },
        { type: 'row', row: [1n, 'x', null] },
        { type: 'step_end', affectedRowCount: 3, lastInsertRowid: undefined },
        { type: 'step_error', step: 2, error: SEEN_ERROR },
        { type: 'error', error: SEEN_ERROR },
      ],
    },
  })
  ok(encodeProtoEntries(entries).length > 0)
})
