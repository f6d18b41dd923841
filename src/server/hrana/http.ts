/**
 * Hrana over HTTP: pipelines of requests on one stream in JSON and Protobuf, and the single requests
 * of version 1. A statement's error is a result inside a 200; anything else ends the stream.
 */
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { present } from '../../base/assert.ts'
import { fromErrorData, QuorateError } from '../../base/errors.ts'
import { encodeToken } from '../../model/token.ts'
import { type CallDefaults, type CallOptions, callOptions } from '../call.ts'
import { send } from '../reply.ts'
import { type HranaAnswer, refusal, writeAnswer } from './answer.ts'
import type { Elsewhere } from './elsewhere.ts'
import { decodePipeline, decodeSingle } from './json-decode.ts'
import { encodePipeline, encodeSingle } from './json-encode.ts'
import { decodeProtoPipeline } from './proto-decode.ts'
import { encodeProtoPipeline } from './proto-encode.ts'
import type { HranaVersion, PipelineRequest, StreamOutcome } from './protocol.ts'
import { toReplicationIndex } from './replication-index.ts'
import type { HranaStream } from './stream.ts'
import type { Streams } from './streams.ts'

export interface HranaHttp {
  readonly streams: Streams
  readonly elsewhere: Elsewhere
  readonly defaults: CallDefaults
}

/** How the bodies of a pipeline are read and written. */
interface Encoding {
  readonly contentType: HranaAnswer['contentType']
  readonly decode: (body: Buffer) => PipelineRequest
  readonly encode: (
    baton: string | null,
    outcomes: readonly StreamOutcome[],
    index: bigint | null,
  ) => string | Uint8Array
}

const PROTOBUF: Encoding = {
  contentType: 'application/x-protobuf',
  decode: decodeProtoPipeline,
  encode: encodeProtoPipeline,
}

function json(version: HranaVersion): Encoding {
  return {
    contentType: 'application/json',
    decode: (body) => decodePipeline(body.toString(), version),
    encode: encodePipeline,
  }
}

const ENCODINGS: Readonly<Record<string, Encoding>> = {
  v2: json(2),
  v3: json(3),
  'v3-protobuf': PROTOBUF,
}

export function addHranaRoutes(app: FastifyInstance, http: HranaHttp): void {
  for (const [prefix, encoding] of Object.entries(ENCODINGS)) {
    // Clients ask whether a version is there, and look at the status only.
    app.get(`/${prefix}`, (_request, reply) => send(reply, 200, { hrana: prefix }))
    app.post(`/${prefix}/pipeline`, async (request, reply) => {
      const answer = await answerPipeline(http, encoding, request, reply)
      if (answer !== null) writeAnswer(reply, answer)
    })
  }
  for (const type of ['execute', 'batch'] as const) {
    app.post(`/v1/${type}`, async (request, reply) => {
      writeAnswer(reply, await answerSingle(http, type, request))
    })
  }
}

/** Null: another node answers. Rejects only for a bug. */
async function answerPipeline(
  { streams, elsewhere, defaults }: HranaHttp,
  encoding: Encoding,
  request: FastifyRequest,
  reply: FastifyReply,
): Promise<HranaAnswer | null> {
  let stream: HranaStream | null = null
  try {
    const { baton, requests: undecoded } = encoding.decode(bodyOf(request))
    if (elsewhere.handOn(baton, request, reply)) return null
    if (baton !== null) await streams.free(baton)
    stream = baton === null ? streams.open() : streams.resume(baton)
    const call = optionsOf(request, defaults)
    streams.begin(stream, call)
    const requests = undecoded.map((decode) => decode())
    if (baton === null && requests.at(-1)?.type !== 'close') streams.assertRoom()
    const outcomes: StreamOutcome[] = []
    for (const each of requests) {
      streams.saw(stream, each)
      outcomes.push(await stream.run(each, call))
    }
    streams.end(stream, call)
    const index = toReplicationIndex(stream.token)
    const session = stream.token === null ? null : encodeToken(stream.token)
    const body = encoding.encode(streams.keep(stream), outcomes, index)
    return { status: 200, contentType: encoding.contentType, body, session }
  } catch (error) {
    if (stream !== null) streams.drop(stream)
    if (!(error instanceof QuorateError)) throw error
    return refusal(error)
  }
}

/** Version 1 has no streams: each request has one of its own, and its error is the answer's. */
async function answerSingle(
  { streams, defaults }: HranaHttp,
  type: 'execute' | 'batch',
  request: FastifyRequest,
): Promise<HranaAnswer> {
  const stream = streams.open()
  try {
    const decoded = decodeSingle(bodyOf(request).toString(), type)
    const call = optionsOf(request, defaults)
    streams.begin(stream, call)
    streams.saw(stream, decoded)
    const outcome = await stream.run(decoded, call)
    streams.end(stream, call)
    if ('error' in outcome) throw fromErrorData(outcome.error)
    const session = stream.token === null ? null : encodeToken(stream.token)
    const body = encodeSingle(outcome.ok, toReplicationIndex(stream.token))
    return { status: 200, contentType: 'application/json', body, session }
  } catch (error) {
    if (!(error instanceof QuorateError)) throw error
    return refusal(error)
  } finally {
    streams.drop(stream)
  }
}

/** The bytes of a call's body. Throws BAD_REQUEST if there is none. */
export function bodyOf({ body }: FastifyRequest): Buffer {
  if (Buffer.isBuffer(body)) return body
  throw new QuorateError('BAD_REQUEST', 'There is no body.')
}

/** What the call asks for beside its statements, and what its token allows. */
export function optionsOf(request: FastifyRequest, defaults: CallDefaults): CallOptions {
  const caller = present(request.caller, () => 'caller of a route that asks for a token')
  return callOptions(request.url, request.headers, defaults, caller)
}
