/**
 * Hrana over HTTP: a pipeline of requests on one stream. A statement's error is a result inside a
 * 200; anything else ends the stream.
 */
import type { IncomingHttpHeaders } from 'node:http'
import { ERRORS, QuorateError } from '../../base/errors.ts'
import type { AckLevel } from '../../model/request.ts'
import { encodeToken } from '../../model/token.ts'
import { type CallDefaults, callOptions } from '../call.ts'
import { decodePipeline, decodeStreamRequest } from './json-decode.ts'
import { encodeError, encodePipeline } from './json-encode.ts'
import type { HranaVersion, StreamOutcome } from './protocol.ts'
import type { HranaStream } from './stream.ts'
import type { Streams } from './streams.ts'

/** What was answered at other levels may be taken back, and must not be asked of others' reads. */
const NEVER_TAKEN_BACK: ReadonlySet<AckLevel> = new Set(['majority', 'all'])

export interface HranaAnswer {
  readonly status: number
  /** Exact: with a charset in it libSQL's client does not look for the error's code. */
  readonly contentType: 'application/json' | 'text/plain'
  readonly body: string
  /** For the response header Quorate-Session. */
  readonly session: string | null
}

/** Answers one call of a pipeline. Rejects only for a bug. */
export async function answerPipeline(
  streams: Streams,
  version: HranaVersion,
  url: string,
  headers: IncomingHttpHeaders,
  body: string,
  defaults: CallDefaults,
): Promise<HranaAnswer> {
  let stream: HranaStream | null = null
  try {
    const { baton, requests: undecoded } = decodePipeline(body)
    stream = baton === null ? streams.open() : streams.resume(baton)
    const call = callOptions(url, headers, defaults)
    const seen = call.token ?? (baton === null ? streams.common : null)
    if (seen !== null) stream.sawToken(seen)
    const requests = undecoded.map((each) => decodeStreamRequest(each, version))
    const outcomes: StreamOutcome[] = []
    for (const request of requests) outcomes.push(await stream.run(request, call))
    if (call.token === null && NEVER_TAKEN_BACK.has(call.ack)) streams.sawCommon(stream.token)
    const session = stream.token === null ? null : encodeToken(stream.token)
    const json = encodePipeline(streams.keep(stream), outcomes, session)
    return { status: 200, contentType: 'application/json', body: json, session }
  } catch (error) {
    if (stream !== null) streams.drop(stream)
    if (!(error instanceof QuorateError)) throw error
    return refusal(error)
  }
}

/** Clients of libSQL show a text/plain body to their user, and the code of a JSON one. */
export function refusal(error: QuorateError): HranaAnswer {
  const { status } = ERRORS[error.code]
  if (error.code === 'BAD_REQUEST') {
    return { status, contentType: 'text/plain', body: error.detail, session: null }
  }
  return { status, contentType: 'application/json', body: encodeError(error), session: null }
}
