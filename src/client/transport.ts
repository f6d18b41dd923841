/**
 * How the client reaches a node. One small interface, so that a program may bring its own way
 * (node-transport.ts is one), and so that a test needs no sockets.
 */

export interface HttpRequest {
  readonly method: 'GET' | 'POST'
  readonly url: string
  readonly headers: Readonly<Record<string, string>>
  readonly body: string | null
  readonly signal: AbortSignal
}

export interface HttpReply {
  readonly status: number
  /** The named header; null if there is none. */
  header(name: string): string | null
  readonly body: string
}

/** An answer that is read while it comes. */
export interface HttpStream extends Omit<HttpReply, 'body'> {
  /**
   * Not read on faster than it is taken; leaving it ends the request. Fails with ConnectionError, or
   * with the signal's reason.
   */
  readonly body: AsyncIterable<Uint8Array>
}

export interface Transport {
  /** Sends one request. Rejects with ConnectionError, or with the signal's reason when aborted. */
  send(request: HttpRequest): Promise<HttpReply>
  /** The same, resolved when the answer begins. */
  open(request: HttpRequest): Promise<HttpStream>
  /** Lets go of idle connections. */
  close(): void
}

/** No whole answer came. */
export class ConnectionError extends Error {
  override readonly name = 'ConnectionError'
  /** The request certainly did not reach anyone, so nothing was run. */
  readonly refused: boolean

  constructor(message: string, refused: boolean, options?: ErrorOptions) {
    super(message, options)
    this.refused = refused
  }
}

/** Failures of name look-up and connecting: nothing had been sent yet. */
const BEFORE_SENDING = new Set([
  'ECONNREFUSED',
  'ENOTFOUND',
  'EAI_AGAIN',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'UND_ERR_CONNECT_TIMEOUT',
])

/** What a failed connection means, told by the system's error code where there is one. */
export function toConnectionError(error: unknown): ConnectionError {
  const code = codeOf(error)
  const text = error instanceof Error ? error.message : String(error)
  const refused = code !== null && BEFORE_SENDING.has(code)
  return new ConnectionError(code ?? text, refused, { cause: error })
}

/** The system's code of an error or of what caused it (fetch hides it one or two levels down). */
function codeOf(error: unknown): string | null {
  for (let at: unknown = error, depth = 0; at instanceof Error && depth < 4; depth += 1) {
    if ('code' in at && typeof at.code === 'string') return at.code
    at = at.cause
  }
  return null
}

/** The transport that is there everywhere. */
export function fetchTransport(fetcher: typeof fetch): Transport {
  return {
    async send(request) {
      const { method, url, headers, body, signal } = request
      try {
        const response = await fetcher(url, { method, headers, body, signal })
        const text = await response.text()
        return {
          status: response.status,
          header: (name) => response.headers.get(name),
          body: text,
        }
      } catch (error) {
        if (signal.aborted) throw signal.reason
        throw toConnectionError(error)
      }
    },
    async open({ method, url, headers, body, signal }) {
      try {
        const response = await fetcher(url, { method, headers, body, signal })
        return {
          status: response.status,
          header: (name) => response.headers.get(name),
          body: guarded(pieces(response.body), signal),
        }
      } catch (error) {
        if (signal.aborted) throw signal.reason
        throw toConnectionError(error)
      }
    },
    close() {},
  }
}

/** Not every browser's streams can be iterated over. */
async function* pieces(body: ReadableStream<Uint8Array> | null): AsyncGenerator<Uint8Array> {
  const reader = body?.getReader()
  try {
    for (;;) {
      const piece = await reader?.read()
      if (piece?.value === undefined) return
      yield piece.value
    }
  } finally {
    await reader?.cancel().catch(() => {})
  }
}

/** With the errors that a transport may give. */
export async function* guarded(
  body: AsyncIterable<Uint8Array>,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array, void, undefined> {
  try {
    yield* body
  } catch (error) {
    throw signal.aborted ? signal.reason : toConnectionError(error)
  }
}
