/** The codes of errors on the wire, as libSQL's own client reads them from either encoding. */
import { deepEqual, equal, notEqual } from 'node:assert/strict'
import { test } from 'node:test'
import { ERRORS, type ErrorCode, type ErrorData } from '../../base/errors.ts'
import { OFFICIAL } from '../testing/official-codec.ts'
import { encodeError, encodePipeline } from './json-encode.ts'
import { encodeProtoPipeline } from './proto-encode.ts'
import { encodeProtoMessage } from './proto-ws.ts'
import type { HranaEntry, StreamOutcome } from './protocol.ts'
import { encodeJsonMessage } from './ws-json.ts'
import type { ServerMessage } from './ws-protocol.ts'

const { protobuf, json } = OFFICIAL

/** In every place that an error can have, what libSQL's client makes of it. */
function seenErrors(error: ErrorData): readonly unknown[] {
  const outcomes: StreamOutcome[] = [{ error }, { ok: { type: 'batch', steps: [{ error }] } }]
  const entries: HranaEntry[] = [
    { type: 'step_error', step: 0, error },
    { type: 'error', error },
  ]
  const replies: ServerMessage[] = [
    { type: 'hello_error', error },
    { type: 'response_error', requestId: 1, error },
    {
      type: 'response_ok',
      requestId: 1,
      response: { type: 'fetch_cursor', entries, done: true },
      token: null,
    },
  ]
  return [
    protobuf.answer(encodeProtoPipeline(null, outcomes, null)),
    json.answer(Buffer.from(encodePipeline(null, outcomes, null))),
    ...replies.map((reply) => protobuf.reply(encodeProtoMessage(reply))),
    ...replies.map((reply) => json.reply(Buffer.from(encodeJsonMessage(reply)))),
  ].flatMap(errorsIn)
}

function errorsIn(value: unknown): readonly unknown[] {
  if (typeof value !== 'object' || value === null) return []
  if ('message' in value) return [value]
  return [...(value instanceof Map ? value.values() : Object.values(value))].flatMap(errorsIn)
}

test('what changed nothing and may be tried again is SQLITE_BUSY wherever an error can be', () => {
  const busy: string[] = []
  for (const code of Object.keys(ERRORS) as ErrorCode[]) {
    const errors = seenErrors({ code, detail: 'So it is.' })
    equal(errors.length, 12)
    const [first] = errors as { readonly message: string; readonly code: string }[]
    for (const each of errors) deepEqual(each, first)
    const message = `So it is. ${ERRORS[code].hint}`
    if (first?.code === 'SQLITE_BUSY') {
      busy.push(code)
      notEqual(ERRORS[code].retry, 'never')
      equal(first.message, `${code}: ${message}`)
    } else {
      deepEqual(first, { code: code === 'SQL_ARGUMENTS' ? 'ARGS_INVALID' : code, message })
    }
  }
  deepEqual(busy.sort(), [
    ...[
      'ACK_UNAVAILABLE',
      'DEADLINE',
      'KEEPER_UNREACHABLE',
      'NOT_READY',
      'NO_LEADER',
      'OVERLOADED',
    ],
    ...['READ_LEVEL_UNAVAILABLE', 'SCHEMA_CHANGE_PENDING', 'TAKEN_BACK'],
  ])
})

test('in JSON our own code stays beside one that is not ours', () => {
  deepEqual(JSON.parse(encodeError({ code: 'TAKEN_BACK', detail: 'Gone.', facts: {} })), {
    message: `TAKEN_BACK: Gone. ${ERRORS.TAKEN_BACK.hint}`,
    code: 'SQLITE_BUSY',
    quorate_code: 'TAKEN_BACK',
    facts: {},
  })
  const facts = { sqlite: 'SQLITE_CONSTRAINT' }
  const constraint = { code: 'SQL_CONSTRAINT', detail: 'no', facts } as const
  const { code, quorate_code } = JSON.parse(encodeError(constraint))
  deepEqual([code, quorate_code], ['SQLITE_CONSTRAINT', 'SQL_CONSTRAINT'])
  equal('quorate_code' in JSON.parse(encodeError({ code: 'FORBIDDEN', detail: 'No.' })), false)
})
