/**
 * The same over node:http, which costs less processor time for each request than fetch does. Not
 * reached from index.ts, so that the client stays fit for browsers.
 */
import { Agent, request as httpRequest, type IncomingMessage } from 'node:http'
import { request as httpsRequest, Agent as TlsAgent } from 'node:https'
import { ConnectionError, type HttpReply, type Transport, toConnectionError } from './transport.ts'

/** @param sockets connections to one node at most; requests above that wait their turn */
export function nodeTransport(sockets = 256): Transport {
  const options = { keepAlive: true, maxSockets: sockets, scheduling: 'lifo' } as const
  const plain = new Agent(options)
  const secure = new TlsAgent(options)
  return {
    send({ method, url, headers, body, signal }) {
      return new Promise((resolve, reject) => {
        const tls = url.startsWith('https:')
        const request = (tls ? httpsRequest : httpRequest)(url, {
          method,
          headers: body === null ? headers : { ...headers, 'content-length': byteLength(body) },
          agent: tls ? secure : plain,
          signal,
        })
        const fail = (error: unknown): void => {
          reject(signal.aborted ? signal.reason : toConnectionError(error))
        }
        request.on('error', fail)
        request.on('response', (response) => collect(response, resolve, fail))
        request.end(body ?? undefined)
      })
    },
    close() {
      plain.destroy()
      secure.destroy()
    },
  }
}

function byteLength(text: string): string {
  return String(Buffer.byteLength(text))
}

function collect(
  response: IncomingMessage,
  done: (reply: HttpReply) => void,
  fail: (error: unknown) => void,
): void {
  const parts: Buffer[] = []
  response.on('data', (part: Buffer) => parts.push(part))
  response.on('error', fail)
  response.on('end', () => {
    if (!response.complete) return fail(new ConnectionError('the answer was cut off', false))
    done({
      status: response.statusCode ?? 0,
      header: (name) => {
        const value = response.headers[name.toLowerCase()]
        return typeof value === 'string' ? value : null
      },
      body: Buffer.concat(parts).toString('utf8'),
    })
  })
}
