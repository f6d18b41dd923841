/** What all routes share: who calls, how to answer with JSON, and who may look at the answers. */
import type { FastifyReply } from 'fastify'
import type { Caller } from './call.ts'

declare module 'fastify' {
  interface FastifyRequest {
    /** Set before any route runs; null where no token is asked for. */
    caller: Caller | null
  }
}

/** Pages of any site may read the answers, as with sqld; not those of administration. */
export const CORS = {
  'access-control-allow-origin': '*',
  'access-control-allow-methods': '*',
  'access-control-allow-headers': '*, authorization',
  'access-control-expose-headers': 'quorate-session',
}

/** As bytes, because fastify would add a charset to the type of a text. */
export function send(reply: FastifyReply, status: number, json: unknown): void {
  reply
    .code(status)
    .header('content-type', 'application/json')
    .send(Buffer.from(`${JSON.stringify(json)}\n`))
}
