/**
 * Gets one request answered: by another node if the first does not serve, later if none does, until
 * its deadline. What can't be known at the deadline is called unknown, never failed.
 */
import { ERRORS, type ErrorCode, QuorateError } from '../base/errors.ts'
import { Deadline } from './deadline.ts'
import { errorInBody } from './hrana.ts'
import type { Nodes, Topology } from './nodes.ts'
import { ConnectionError, type HttpReply, type HttpStream, type Transport } from './transport.ts'

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

/** A request whose answer is read while it comes. */
export type OpenCall = Omit<Call<never>, 'decode' | 'writes' | 'only'>

/** The answer's beginning; what follows is the reader's. */
export interface OpenReply {
  readonly url: string
  header(name: string): string | null
  readonly body: AsyncIterable<Uint8Array>
  /** Gives the request up. Reading on rejects with the reason. */
  abort(reason: unknown): void
}

/**
 * Called when another attempt follows one that failed.
 *
 * @param error what the last node said that answered; UNREACHABLE if none did
 * @param leftMs how long it goes on, ms
 */
export type Retrying = (error: QuorateError, leftMs: number) => void

/** What nodes said to attempts before. */
interface Told {
  last: QuorateError | null
  unknown: QuorateError | null
}

/** An attempt with less time than this, or than a tenth of all, could end only in doubt. */
const ATTEMPT_MS_MIN = 500
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
  readonly #retrying: Retrying | undefined
  readonly #closing = new AbortController()
  #askedAt = Number.NEGATIVE_INFINITY

  constructor(nodes: Nodes, transport: Transport, token: string | undefined, retrying?: Retrying) {
    this.#nodes = nodes
    this.#transport = transport
    this.#retrying = retrying
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
      return await this.#untilAnswered(call, deadline, (url) => this.#once(call, url, deadline))
    } finally {
      deadline.clear()
    }
  }

  /**
   * Resolves when the answer begins. From then on nothing is retried: what breaks off is for the
   * reader to judge. An abort of the call's signal, or close(), ends it at any time.
   */
  async open(call: OpenCall): Promise<OpenReply> {
    this.#closing.signal.throwIfAborted()
    const deadline = new Deadline(call.timeoutMs, [call.signal, this.#closing.signal])
    const read: Call<never> = { ...call, writes: false, decode: noDecoding }
    try {
      return await this.#untilAnswered(read, deadline, (url) => this.#openOnce(read, url, deadline))
    } finally {
      deadline.clear()
    }
  }

  /** A node broke off in the middle of an answer: ask another one next. */
  failed(url: string): void {
    this.#nodes.failed(url)
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

  async #untilAnswered<T>(
    call: Call<unknown>,
    deadline: Deadline,
    once: (url: string) => Promise<T>,
  ): Promise<T> {
    let mayHaveRun = false
    const told: Told = { last: null, unknown: null }
    for (let attempt = 0; ; attempt += 1) {
      const url = call.only ?? this.#nodes.choose(call.prefer)
      try {
        const value = await once(url)
        this.#refresh(call)
        return value
      } catch (error) {
        if (deadline.aborted) throw this.#ended(call, deadline)
        const timedOut = error === deadline.signal.reason
        mayHaveRun ||= call.writes && (timedOut || mayStillRun(error))
        if (error instanceof QuorateError && !timedOut) note(told, error)
        // It has run nowhere, so it may as well be written in that node's group, under a new name.
        if (isOfOtherGroup(error) && !mayHaveRun) throw error
        if (!timedOut && !isRetryable(error)) throw error
        this.#nodes.failed(url)
        // What a node said tells more than that a later attempt had no time, or reached nobody.
        const end = told.last ?? error
        if (deadline.passed || call.only !== undefined) throw outcome(end, url, mayHaveRun, told)
        await deadline.wait(backoffMs(attempt))
        // It is known that nothing was run: a write that could not be answered in time ends that.
        const isSure = call.writes && !mayHaveRun && told.last !== null
        const leftMsMin = isSure ? Math.min(ATTEMPT_MS_MIN, call.timeoutMs / 10) : 0
        if (deadline.passed || deadline.leftMs < leftMsMin) {
          throw outcome(end, url, mayHaveRun, told)
        }
        if (this.#retrying) tell(this.#retrying, outcome(end, url, false, told), deadline)
      }
    }
  }

  /** What an abort means: of the caller, who chose the reason, or of all calls by close(). */
  #ended(call: Call<unknown>, deadline: Deadline): unknown {
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
      const reply = await this.#transport.send(this.#request(call, url, deadline, attempt.signal))
      if (reply.status !== 200) throw toError(reply, url)
      return call.decode(reply, url)
    } finally {
      watch()
      deadline.signal.removeEventListener('abort', stop)
    }
  }

  async #openOnce(call: Call<never>, url: string, deadline: Deadline): Promise<OpenReply> {
    const attempt = new AbortController()
    const abort = (reason: unknown): void => attempt.abort(reason)
    const stop = (): void => abort(deadline.signal.reason)
    deadline.signal.addEventListener('abort', stop)
    const watch = this.#watch(url, attempt)
    try {
      deadline.signal.throwIfAborted()
      const reply = await this.#transport.open(this.#request(call, url, deadline, attempt.signal))
      if (reply.status !== 200) throw toError(await whole(reply), url)
      const body = endedBy([call.signal, this.#closing.signal], abort, reply.body)
      return { url, header: reply.header, body, abort }
    } finally {
      watch()
      deadline.signal.removeEventListener('abort', stop)
    }
  }

  #request(call: Call<unknown>, url: string, deadline: Deadline, signal: AbortSignal) {
    const { method, path, body } = call
    return { method, url: url + path, headers: this.#headers(call, deadline), body, signal }
  }

  #headers(call: Call<unknown>, deadline: Deadline): Record<string, string> {
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
  #refresh(call: Call<unknown>): void {
    const wanted = call.prefer === 'leader' && !this.#nodes.leaderKnown
    const age = performance.now() - this.#askedAt
    if (age < (wanted ? SILENCE_MS : TOPOLOGY_MS) || this.#closing.signal.aborted) return
    this.#askedAt = performance.now()
    this.topology(SILENCE_MS).catch(() => {})
  }
}

/** A call that is opened is not decoded as a whole. */
function noDecoding(): never {
  throw new QuorateError('INTERNAL', 'An opened answer was decoded.')
}

async function whole({ status, header, body }: HttpStream): Promise<HttpReply> {
  const decoder = new TextDecoder()
  let text = ''
  for await (const piece of body) text += decoder.decode(piece, { stream: true })
  return { status, header, body: text + decoder.decode() }
}

/** As long as it is read, the signals may end it. */
async function* endedBy(
  signals: readonly (AbortSignal | undefined)[],
  abort: (reason: unknown) => void,
  body: AsyncIterable<Uint8Array>,
): AsyncGenerator<Uint8Array, void, undefined> {
  const given = signals.filter((signal) => signal !== undefined)
  const stop = (event: Event): void => abort((event.target as AbortSignal).reason)
  for (const signal of given) {
    signal.throwIfAborted()
    signal.addEventListener('abort', stop)
  }
  try {
    yield* body
  } finally {
    for (const signal of given) signal.removeEventListener('abort', stop)
  }
}

/** Another node, or the same one later, may answer the same request. */
function isRetryable(error: unknown): boolean {
  if (error instanceof ConnectionError) return true
  if (!(error instanceof QuorateError)) return false
  return error.code === 'UNKNOWN_OUTCOME' || ERRORS[error.code].retry !== 'never'
}

/** A node says that the write was named at another group, and has not run at its own. */
function isOfOtherGroup(error: unknown): boolean {
  return error instanceof QuorateError && error.code === 'OTHER_GROUP'
}

/** Whether a node may have run it, or may yet, although this came back. */
function mayStillRun(error: unknown): boolean {
  if (error instanceof ConnectionError) return !error.refused
  if (!(error instanceof QuorateError)) return false
  return error.code === 'UNKNOWN_OUTCOME'
}

function note(told: Told, error: QuorateError): void {
  told.last = error
  if (error.code === 'UNKNOWN_OUTCOME') told.unknown = error
}

function tell(retrying: Retrying, error: unknown, { leftMs }: Deadline): void {
  if (error instanceof QuorateError) retrying(error, leftMs)
}

/** What to tell the caller when no more can be tried. */
function outcome(error: unknown, url: string, mayHaveRun: boolean, { unknown }: Told): unknown {
  if (mayHaveRun) {
    // An earlier attempt may have told where to look, and what is missing.
    if (unknown !== null) return unknown
    return new QuorateError('UNKNOWN_OUTCOME', `The write got no answer in time; last at ${url}.`)
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
