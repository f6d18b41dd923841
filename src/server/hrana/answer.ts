/** Answers to Hrana's calls over HTTP as they are written, and what refuses a whole call. */
import type { FastifyReply } from 'fastify'
import { ERRORS, type QuorateError } from '../../base/errors.ts'
import { CORS } from '../reply.ts'
import { encodeError } from './json-encode.ts'

export interface HranaAnswer {
  readonly status: number
  /** Exact: with a charset in it libSQL's client does not look for the error's code. */
  readonly contentType: 'application/json' | 'application/x-protobuf' | 'text/plain'
  readonly body: string | Uint8Array
  /** For the response header Quorate-Session. */
  readonly session: string | null
}

/** Clients of libSQL show a text/plain body to their user, and the code of a JSON one. */
export function refusal(error: QuorateError): HranaAnswer {
  const { status } = ERRORS[error.code]
  if (error.code === 'BAD_REQUEST') {
    return { status, contentType: 'text/plain', body: error.detail, session: null }
  }
  return { status, contentType: 'application/json', body: encodeError(error), session: null }
}

/**
 * Past fastify, in one piece: Node then sends head and body in one write, which is a quarter of the
 * time of a small answer.
 */
export function writeAnswer(reply: FastifyReply, answer: HranaAnswer): void {
  reply.hijack()
  const { status, contentType, body, session } = answer
  reply.raw.writeHead(status, {
    ...CORS,
    'content-type': contentType,
    'content-length': Buffer.byteLength(body),
    ...(session === null ? {} : { 'quorate-session': session }),
  })
  reply.raw.end(body)
}
