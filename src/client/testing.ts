/** Nodes that are functions, for tests of the client: no sockets, and every failure at will. */
import type { HttpReply, HttpRequest, HttpStream, Transport } from './transport.ts'

export interface Answer {
  readonly status?: number
  readonly headers?: Record<string, string>
  readonly body: unknown
}
export type Handler = (request: HttpRequest, count: number) => Answer | Promise<Answer>

export const TOPOLOGY = { position: 41, leader: null, members: [] }

/** Answers by a function; notes the requests. Topology and readiness answer by themselves. */
export function fakeNodes(
  handler: Handler,
  topology: (url: string) => object = () => TOPOLOGY,
): { transport: Transport; seen: HttpRequest[] } {
  const seen: HttpRequest[] = []
  const reply = ({ status = 200, headers = {}, body }: Answer): HttpReply => ({
    status,
    header: (name) => headers[name] ?? null,
    body: typeof body === 'string' ? body : JSON.stringify(body),
  })
  const send = async (request: HttpRequest): Promise<HttpReply> => {
    if (request.url.endsWith('/topology')) return reply({ body: topology(request.url) })
    if (request.url.endsWith('/ready')) return reply({ body: '' })
    seen.push(request)
    return reply(await handler(request, seen.length))
  }
  return { transport: { send, open: opened(send), close() {} }, seen }
}

/** Whole answers, read as if they came bit by bit. */
export function opened(send: Transport['send']): Transport['open'] {
  return async (request) => {
    const { status, header, body } = await send(request)
    return { status, header, body: inPieces(body) }
  }
}

async function* inPieces(text: string): HttpStream['body'] & AsyncGenerator<Uint8Array> {
  const bytes = new TextEncoder().encode(text)
  for (let at = 0; at < bytes.length; at += 7) yield bytes.subarray(at, at + 7)
}

/** An answer that never comes. */
export function silence(request: HttpRequest): Promise<Answer> {
  return new Promise((_, reject) => {
    request.signal.addEventListener('abort', () => reject(request.signal.reason))
  })
}
