/** How routes answer with JSON. */
import type { FastifyReply } from 'fastify'

/** As bytes, because fastify would add a charset to the type of a text. */
export function send(reply: FastifyReply, status: number, json: unknown): void {
  reply
    .code(status)
    .header('content-type', 'application/json')
    .send(Buffer.from(`${JSON.stringify(json)}\n`))
}
