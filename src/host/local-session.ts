/**
 * An application's session with the node in its own process: requests go with the session's token,
 * and answers move it on.
 */
import { fromErrorData, QuorateError } from '../base/errors.ts'
import type { Program, Statement } from '../model/program.ts'
import type { NodeReply, NodeRequest, SessionToken } from '../model/request.ts'
import { joinTokens } from '../model/token.ts'
import type { NodeLink } from './node-link.ts'

type Result = Extract<NodeReply, { kind: 'result' }>
type Chunk = Extract<NodeReply, { kind: 'chunk' }>

export class LocalSession {
  readonly #link: NodeLink
  #token: SessionToken | null = null
  /** Of the last answer: those of a batch share one. */
  #answered: SessionToken | null = null

  constructor(link: NodeLink) {
    this.#link = link
  }

  /** What the next read must see. */
  get token(): SessionToken | null {
    return this.#token
  }

  /**
   * Sends a request, unless the signal says no already, and gives up waiting when it does later.
   * Rejects with the signal's reason.
   *
   * @param late is given the answer that nobody waits for any more
   */
  async call(
    request: NodeRequest,
    signal: AbortSignal | undefined,
    late: (reply: NodeReply) => void = () => {},
  ): Promise<NodeReply> {
    signal?.throwIfAborted()
    const answer = this.#link.request(request)
    if (signal === undefined) return await answer
    const aborted = Promise.withResolvers<never>()
    const abort = (): void => {
      aborted.reject(signal.reason)
      answer.then(late, () => {})
    }
    signal.addEventListener('abort', abort, { once: true })
    try {
      return await Promise.race([answer, aborted.promise])
    } finally {
      signal.removeEventListener('abort', abort)
    }
  }

  /** The result in a reply. Throws the error in it. */
  result(reply: NodeReply): Result {
    if (reply.kind === 'error') throw fromErrorData(reply.error)
    if (reply.kind !== 'result') throw unexpected(reply, 'a statement')
    this.#saw(reply.token)
    return reply
  }

  /** The piece of a streamed result in a reply; null: the statement is not a read. */
  chunk(reply: NodeReply): Chunk | null {
    if (reply.kind === 'writeNeeded') return null
    if (reply.kind === 'error') throw fromErrorData(reply.error)
    if (reply.kind !== 'chunk') throw unexpected(reply, 'a cursor')
    this.#saw(reply.token)
    return reply
  }

  /** Ends what has no answer anybody waits for. */
  tell(request: NodeRequest): Promise<unknown> {
    return this.#link.request(request).catch(() => {})
  }

  /** Answers may overtake each other, so an older token never replaces a later one. */
  #saw(token: SessionToken): void {
    if (token === this.#answered) return
    this.#answered = token
    this.#token = joinTokens(this.#token, token)
  }
}

function unexpected(reply: NodeReply, asked: string): QuorateError {
  return new QuorateError('INTERNAL', `The node answered ${reply.kind} to ${asked}.`)
}

/** One statement, a transaction of its own. */
export function single(statement: Statement): Program {
  return { atomic: true, steps: [{ statement }] }
}
