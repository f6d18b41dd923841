/**
 * The same over node:http, which costs less processor time for each request than fetch does. Not
 * reached from index.ts, so that the client stays fit for browsers.
 */
import { Agent, request as httpRequest, type IncomingMessage } from 'node:http'
import { request as httpsRequest, Agent as TlsAgent } from 'node:https'
import {
  ConnectionError,
  guarded,
  type HttpReply,
  type HttpRequest,
  type Transport,
  toConnectionError,
} from './transport.ts'

/** @param sockets connections to one node at most; requests above that wait their turn */
export function nodeTransport(sockets = 256): Transport {
  const options = { keepAlive: true, maxSockets: sockets, scheduling: 'lifo' } as const
  const plain = new Agent(options)
  const secure = new TlsAgent(options)
  function start(
    { method, url, headers, body, signal }: HttpRequest,
    begun: (response: IncomingMessage) => void,
    failed: (error: unknown) => void,
  ): void {
    const tls = url.startsWith('https:')
    const request = (tls ? httpsRequest : httpRequest)(url, {
      method,
      headers: body === null ? headers : { ...headers, 'content-length': byteLength(body) },
      agent: tls ? secure : plain,
      signal,
    })
    request.on('error', (error) => {
      failed(signal.aborted ? signal.reason : toConnectionError(error))
    })
    request.on('response', begun)
    request.end(body ?? undefined)
  }

  return {
    send(request) {
      return new Promise((resolve, reject) => {
        const { signal } = request
        const fail = (error: unknown): void => {
          reject(signal.aborted ? signal.reason : toConnectionError(error))
        }
        start(request, (response) => collect(response, resolve, fail), reject)
      })
    },
    open(request) {
      return new Promise((resolve, reject) => {
        const begun = (response: IncomingMessage): void => {
          const body = guarded(response, request.signal)
          resolve({ status: response.statusCode ?? 0, header: headerOf(response), body })
        }
        start(request, begun, reject)
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
      header: headerOf(response),
      body: Buffer.concat(parts).toString('utf8'),
    })
  })
}

function headerOf(response: IncomingMessage): (name: string) => string | null {
  return (name) => {
    const value = response.headers[name.toLowerCase()]
    return typeof value === 'string' ? value : null
  }
}
