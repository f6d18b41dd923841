/**
 * Calls on streams that live on another node: the baton names it, and this node hands the call on as
 * it is and the answer back. So a client may reach any node with any baton, behind a load balancer
 * for example. A call is handed on once: the node that gets it answers itself.
 */
import { Agent, type ClientRequest, type IncomingHttpHeaders, request as viaHttp } from 'node:http'
import { Agent as TlsAgent, request as viaHttps } from 'node:https'
import { pipeline } from 'node:stream'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { QuorateError } from '../../base/errors.ts'
import type { NodeStatus } from '../../model/status.ts'
import { type HranaAnswer, refusal, writeAnswer } from './answer.ts'
import { invalidBaton } from './baton.ts'
import type { Streams } from './streams.ts'

const HANDED_ON = 'quorate-handed-on-by'
const CONNECT_MS = 3_000
/** Silence of the other node after which nobody waits any longer; calls have deadlines of their own. */
const SILENCE_MS = 120_000
/** Of one connection only (RFC 9110). */
const HOP_BY_HOP: ReadonlySet<string> = new Set([
  ...['connection', 'keep-alive', 'proxy-authenticate', 'proxy-authorization', 'te', 'trailer'],
  ...['transfer-encoding', 'upgrade', 'host', 'expect', 'content-length'],
])

export class Elsewhere {
  readonly #streams: Streams
  readonly #status: () => NodeStatus
  readonly #agent = new Agent({ keepAlive: true })
  readonly #tlsAgent = new TlsAgent({ keepAlive: true })

  constructor(streams: Streams, status: () => NodeStatus) {
    this.#streams = streams
    this.#status = status
  }

  /**
   * Hands the call to the node that the baton names. Throws BAD_REQUEST if that is no member.
   *
   * @returns whether the call is answered so; false: it is for this node
   */
  handOn(baton: string | null, request: FastifyRequest, reply: FastifyReply): boolean {
    const id = baton === null ? null : this.#streams.elsewhere(baton)
    if (id === null) return false
    const { name: self, members } = this.#status()
    const owner = members.find((member) => member.id === id)
    if (owner === undefined || request.headers[HANDED_ON] !== undefined) throw invalidBaton()
    reply.hijack()
    this.#send(owner, self, request, reply)
    return true
  }

  close(): void {
    this.#agent.destroy()
    this.#tlsAgent.destroy()
  }

  #send(
    owner: { readonly name: string; readonly url: string },
    self: string,
    { url, headers, body }: FastifyRequest,
    reply: FastifyReply,
  ): void {
    const target = new URL(url, owner.url)
    const tls = target.protocol === 'https:'
    const sent = (tls ? viaHttps : viaHttp)(target, {
      method: 'POST',
      headers: { ...passedOn(headers), [HANDED_ON]: encodeURIComponent(self) },
      agent: tls ? this.#tlsAgent : this.#agent,
    })
    const link = watch(sent)
    sent.on('response', (response) => {
      const { statusCode = 502 } = response
      reply.raw.writeHead(statusCode, passedOn(response.headers))
      pipeline(response, reply.raw, () => {})
    })
    sent.on('error', ({ message }) => {
      if (reply.raw.headersSent) reply.raw.destroy()
      else writeAnswer(reply, unanswered(owner.name, link.connected, message))
    })
    // Its client is gone: the other node must hear of it, to stop what it runs.
    reply.raw.on('close', () => sent.destroy())
    sent.end(body)
  }
}

function passedOn(headers: IncomingHttpHeaders): IncomingHttpHeaders {
  return Object.fromEntries(Object.entries(headers).filter(([name]) => !HOP_BY_HOP.has(name)))
}

/** Gives up on a node that can't be connected to, or is silent. */
function watch(sent: ClientRequest): { readonly connected: boolean } {
  const link = { connected: false }
  const timer = setTimeout(() => sent.destroy(new Error('connecting timed out')), CONNECT_MS)
  sent.on('close', () => clearTimeout(timer))
  sent.on('socket', (socket) => {
    const connected = (): void => {
      link.connected = true
      clearTimeout(timer)
    }
    if (socket.connecting) socket.once('connect', connected)
    else connected()
  })
  sent.setTimeout(SILENCE_MS, () => sent.destroy(new Error('the node is silent')))
  return link
}

/** Without a connection nothing was run, and the stream is out of reach: as good as expired. */
function unanswered(node: string, connected: boolean, why: string): HranaAnswer {
  const what = `Node ${node}, which holds the stream, `
  return refusal(
    connected
      ? new QuorateError('UNKNOWN_OUTCOME', `${what}was lost during the call: ${why}.`)
      : new QuorateError('STREAM_EXPIRED', `${what}can't be reached from here: ${why}.`),
  )
}
