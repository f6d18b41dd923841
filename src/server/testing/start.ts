/** A server on a fake node, for tests: started on a free port, closed after the test. */
import type { TestContext } from 'node:test'
import { createHttpServer, type HttpServerOptions } from '../http-server.ts'
import { FakeNode } from './fake-node.ts'

export interface Started {
  readonly node: FakeNode
  readonly url: string
  /** Posts JSON, or bytes as they are. */
  post(path: string, body: unknown, headers?: Record<string, string>): Promise<Answer>
  get(path: string, headers?: Record<string, string>): Promise<Answer>
  close(): Promise<void>
}

export interface Answer {
  readonly status: number
  readonly headers: Headers
  readonly text: string
  // biome-ignore lint/suspicious/noExplicitAny: tests look into answers of any shape
  readonly json: any
}

export async function start(
  t: TestContext,
  options: Partial<HttpServerOptions> = {},
): Promise<Started> {
  const node = new FakeNode()
  const server = createHttpServer({ service: node, token: null, ...options })
  const url = `http://127.0.0.1:${await server.listen('127.0.0.1', 0)}`
  let closed = false
  const close = async () => {
    if (!closed) await server.close()
    closed = true
  }
  t.after(close)
  return {
    node,
    url,
    close,
    get: (path, headers = {}) => answer(fetch(url + path, { headers })),
    post: (path, body, headers = {}) => {
      const text = typeof body === 'string' ? body : JSON.stringify(body)
      return answer(fetch(url + path, { method: 'POST', body: text, headers }))
    },
  }
}

async function answer(response: Promise<Response>): Promise<Answer> {
  const { status, headers, ...rest } = await response.then(async (r) => ({
    status: r.status,
    headers: r.headers,
    text: await r.text(),
  }))
  const isJson = headers.get('content-type') === 'application/json'
  return { status, headers, ...rest, json: isJson ? JSON.parse(rest.text) : null }
}
