/**
 * Gets one request answered: by another node if the first does not serve, later if none does, until
 * its deadline. What can't be known at the deadline is called unknown, never failed.
 */
import { ERRORS, type ErrorCode, QuorateError } from '../base/errors.ts'
import { errorInBody } from './hrana.ts'
import type { Nodes, Topology } from './nodes.ts'
import { ConnectionError, type HttpReply, type Transport } from './transport.ts'

/** One request, whoever answers it. */
export interface Call<T> {
  readonly method: 'GET' | 'POST'
  readonly path: string
  readonly headers: Readonly<Record<string, string>>
  readonly body: string | null
  readonly prefer: 'leader' | 'any'
  readonly timeoutMs: number
  readonly signal: AbortSignal | undefined
  /** It may change data: without an answer its outcome is unknown. */
  readonly writes: boolean
  /** Only this node can answer (an open transaction lives there): one attempt, at this URL. */
  readonly only?: string
  /** Reads the answer; throws what the node says in it. */
  readonly decode: (reply: HttpReply, url: string) => T
}

/** A node that is silent for this long is asked whether it lives, and again after each such time. */
const SILENCE_MS = 1000
/** How long it has to say so. */
const READY_MS = 1000
const BACKOFF_MS_MIN = 10
const BACKOFF_MS_MAX = 250
/** What is known about leader and members is asked again after this time. */
const TOPOLOGY_MS = 10_000

export class Caller {
  readonly #nodes: Nodes
  readonly #transport: Transport
  readonly #authorization: Readonly<Record<string, string>>
  readonly #closing = new AbortController()
  #askedAt = Number.NEGATIVE_INFINITY

  constructor(nodes: Nodes, transport: Transport, token: string | undefined) {
    this.#nodes = nodes
    this.#transport = transport
    this.#authorization = token === undefined ? {} : { authorization: `Bearer ${token}` }
  }

  close(): void {
    this.#closing.abort(new QuorateError('UNREACHABLE', 'The client was closed.'))
    this.#transport.close()
  }

  /**
   * Throws what the last node said; UNREACHABLE if none said anything; UNKNOWN_OUTCOME for a write
   * that a node may have run; the signal's reason if the caller aborted.
   */
  async call<T>(call: Call<T>): Promise<T> {
    this.#closing.signal.throwIfAborted()
    const deadline = new Deadline(call.timeoutMs, [call.signal, this.#closing.signal])
    try {
      return await this.#untilAnswered(call, deadline)
    } finally {
      deadline.clear()
    }
  }

  /** Asks who leads and who belongs to it, and remembers. */
  async topology(timeoutMs: number, signal?: AbortSignal): Promise<Topology> {
    const topology = await this.call<Topology>({
      method: 'GET',
      path: '/topology',
      headers: {},
      body: null,
      prefer: 'any',
      timeoutMs,
      signal,
      writes: false,
      decode: (reply) => JSON.parse(reply.body) as Topology,
    })
    this.#askedAt = performance.now()
    this.#nodes.learn(topology)
    return topology
  }

  async #untilAnswered<T>(call: Call<T>, deadline: Deadline): Promise<T> {
    let mayHaveRun = false
    let position: number | undefined
    for (let attempt = 0; ; attempt += 1) {
      const url = call.only ?? this.#nodes.choose(call.prefer)
      try {
        const value = await this.#once(call, url, deadline)
        this.#refresh(call)
        return value
      } catch (error) {
        if (deadline.aborted) throw this.#ended(call, deadline)
        const timedOut = error === deadline.signal.reason
        mayHaveRun ||= call.writes && (timedOut || mayStillRun(error))
        if (error instanceof QuorateError) position = error.facts.position ?? position
        if (!timedOut && !isRetryable(error)) throw error
        this.#nodes.failed(url)
        if (deadline.passed || call.only !== undefined)
          throw outcome(error, url, mayHaveRun, position)
        await deadline.wait(backoffMs(attempt))
        if (deadline.passed) throw outcome(error, url, mayHaveRun, position)
      }
    }
  }

  /** What an abort means: of the caller, who chose the reason, or of all calls by close(). */
  #ended<T>(call: Call<T>, deadline: Deadline): unknown {
    if (!call.writes || !this.#closing.signal.aborted) return deadline.signal.reason
    return new QuorateError('UNKNOWN_OUTCOME', 'The client was closed before the answer came.')
  }

  async #once<T>(call: Call<T>, url: string, deadline: Deadline): Promise<T> {
    const attempt = new AbortController()
    const stop = (): void => attempt.abort(deadline.signal.reason)
    deadline.signal.addEventListener('abort', stop)
    const watch = this.#watch(url, attempt)
    try {
      deadline.signal.throwIfAborted()
      const reply = await this.#transport.send({
        method: call.method,
        url: url + call.path,
        headers: this.#headers(call, deadline),
        body: call.body,
        signal: attempt.signal,
      })
      if (reply.status !== 200) throw toError(reply, url)
      return call.decode(reply, url)
    } finally {
      watch()
      deadline.signal.removeEventListener('abort', stop)
    }
  }

  #headers<T>(call: Call<T>, deadline: Deadline): Record<string, string> {
    return {
      ...this.#authorization,
      ...(call.body === null ? {} : { 'content-type': 'application/json' }),
      'quorate-timeout-ms': String(nodeTimeoutMs(deadline.leftMs)),
      ...call.headers,
    }
  }

  /**
   * A machine that lost its power closes no connection, and a node that is cut off from the others
   * holds its answer back: while one is awaited, ask whether the node is ready, and give the
   * attempt up if it is not. Long statements may take what they need.
   *
   * @returns stops watching
   */
  #watch(url: string, attempt: AbortController): () => void {
    let timer = setTimeout(check, SILENCE_MS)
    let done = false
    const isReady = (): Promise<boolean> => this.#isReady(url)
    async function check(): Promise<void> {
      const ready = await isReady()
      if (done) return
      if (ready) timer = setTimeout(check, SILENCE_MS)
      else attempt.abort(new ConnectionError('no sign of life', false))
    }
    return () => {
      done = true
      clearTimeout(timer)
    }
  }

  async #isReady(url: string): Promise<boolean> {
    const limit = new AbortController()
    const timer = setTimeout(() => limit.abort(), READY_MS)
    try {
      const { status } = await this.#transport.send({
        method: 'GET',
        url: `${url}/ready`,
        headers: this.#authorization,
        body: null,
        signal: limit.signal,
      })
      return status === 200
    } catch {
      return false
    } finally {
      clearTimeout(timer)
    }
  }

  /** Now and then, beside the work and never in its way. */
  #refresh<T>(call: Call<T>): void {
    const wanted = call.prefer === 'leader' && !this.#nodes.leaderKnown
    const age = performance.now() - this.#askedAt
    if (age < (wanted ? SILENCE_MS : TOPOLOGY_MS) || this.#closing.signal.aborted) return
    this.#askedAt = performance.now()
    this.topology(SILENCE_MS).catch(() => {})
  }
}

/** One timer and one signal for a whole call, let go of when it ends. */
class Deadline {
  readonly #at: number
  readonly #controller = new AbortController()
  readonly #timer: ReturnType<typeof setTimeout>
  readonly #outer: readonly AbortSignal[]
  readonly #onOuter = (event: Event): void => {
    this.aborted = true
    this.#controller.abort((event.target as AbortSignal).reason)
  }
  /** The caller or close() ended it, not the time. */
  aborted = false
  passed = false

  constructor(timeoutMs: number, outer: readonly (AbortSignal | undefined)[]) {
    this.#at = performance.now() + timeoutMs
    this.#outer = outer.filter((signal) => signal !== undefined)
    this.#timer = setTimeout(() => this.#pass(timeoutMs), timeoutMs)
    for (const signal of this.#outer) {
      if (signal.aborted) {
        this.aborted = true
        this.#controller.abort(signal.reason)
      }
      signal.addEventListener('abort', this.#onOuter)
    }
  }

  get signal(): AbortSignal {
    return this.#controller.signal
  }

  get leftMs(): number {
    return this.#at - performance.now()
  }

  /** Waits, at most until the deadline; an abort rejects. */
  async wait(ms: number): Promise<void> {
    this.signal.throwIfAborted()
    await new Promise<void>((resolve, reject) => {
      const stop = (): void => {
        clearTimeout(timer)
        if (this.aborted) reject(this.signal.reason)
        else resolve()
      }
      const timer = setTimeout(() => {
        this.signal.removeEventListener('abort', stop)
        resolve()
      }, ms)
      this.signal.addEventListener('abort', stop, { once: true })
    })
  }

  clear(): void {
    clearTimeout(this.#timer)
    for (const signal of this.#outer) signal.removeEventListener('abort', this.#onOuter)
  }

  #pass(timeoutMs: number): void {
    this.passed = true
    this.#controller.abort(new QuorateError('DEADLINE', `No answer within ${timeoutMs} ms.`))
  }
}

/** Another node, or the same one later, may answer the same request. */
function isRetryable(error: unknown): boolean {
  if (error instanceof ConnectionError) return true
  if (!(error instanceof QuorateError)) return false
  return error.code === 'UNKNOWN_OUTCOME' || ERRORS[error.code].retry !== 'never'
}

/** Whether a node may have run it, or may yet, although this came back. */
function mayStillRun(error: unknown): boolean {
  if (error instanceof ConnectionError) return !error.refused
  if (!(error instanceof QuorateError)) return false
  return error.code === 'UNKNOWN_OUTCOME'
}

/** What to tell the caller when no more can be tried. */
function outcome(
  error: unknown,
  url: string,
  mayHaveRun: boolean,
  position: number | undefined,
): unknown {
  if (mayHaveRun) {
    if (error instanceof QuorateError && error.code === 'UNKNOWN_OUTCOME') return error
    const detail = `The write got no answer in time; last at ${url}.`
    // An earlier attempt may have told where to look.
    return new QuorateError('UNKNOWN_OUTCOME', detail, position === undefined ? {} : { position })
  }
  if (error instanceof ConnectionError) {
    return new QuorateError('UNREACHABLE', `No node answered; last ${url}: ${error.message}.`)
  }
  return error
}

/** What stands between us and a node, or Hrana's plain texts, give no code of ours. */
const CODES_BY_STATUS: ReadonlyMap<number, ErrorCode> = new Map([
  [401, 'UNAUTHORIZED'],
  [404, 'NOT_FOUND'],
])
const BODY_SHOWN = 200

function toError(reply: HttpReply, url: string): Error {
  const known = errorInBody(reply.body)
  if (known !== null) return known
  const text = `${url} answered HTTP ${reply.status}: ${reply.body.slice(0, BODY_SHOWN)}.`
  if (reply.status >= 500) return new ConnectionError(text, false)
  return new QuorateError(CODES_BY_STATUS.get(reply.status) ?? 'BAD_REQUEST', text)
}

/** A node's answer that time is up says more than our own clock does, so let it come first. */
function nodeTimeoutMs(leftMs: number): number {
  return Math.max(1, Math.round(leftMs - Math.min(250, leftMs / 10)))
}

/** Doubling with full jitter (Brooker, "Exponential Backoff And Jitter"): crowds spread out. */
function backoffMs(attempt: number): number {
  const ceiling = Math.min(BACKOFF_MS_MAX, BACKOFF_MS_MIN * 2 ** attempt)
  return BACKOFF_MS_MIN / 2 + Math.random() * ceiling
}
