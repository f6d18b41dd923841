/**
 * Hands requests on to the leader and brings the answers back. A write carries an id, so that it
 * can be sent again to the next leader when the first one died with the answer.
 */
import { assert } from '../base/assert.ts'
import type { NodeId } from '../base/brand.ts'
import { type ERRORS, type ErrorData, QuorateError, toErrorData } from '../base/errors.ts'
import type { Program } from '../model/program.ts'
import type { NodeReply, TravellingRequest } from '../model/request.ts'
import { decodeReply, decodeRequest, encodeRequest } from '../model/request-codec.ts'
import { firstKeyword } from '../model/sql-tokens.ts'
import type { Context } from './context.ts'
import { refusal } from './context.ts'

interface Errand {
  request: TravellingRequest
  /** Monotonic ms. */
  readonly deadline: number
  readonly done: (reply: NodeReply) => void
  /** Sendings of which nobody said that they ran nothing: each may have taken effect. */
  doubts: number
  /** Those of `doubts` that went to somebody whose answer is not taken any more. */
  lost: number
  /** What one of its sendings was refused with, while other sendings may still be answered. */
  refused: { readonly reply: NodeReply; readonly at: number } | null
  /** Where its answer is awaited from; null: waiting for a leader. */
  to: NodeId | null
  /** Monotonic ms of the last sending. */
  sentAt: number
  /** Who can answer; null: nobody is known now. */
  readonly find: () => NodeId | null
  /** Not this group's leader: a change of leader is no news. */
  readonly isElsewhere: boolean
  /** A write without an id that another group would recognise: it must not be sent twice. */
  readonly once: boolean
}

/** An unanswered errand that may safely be sent twice is sent again after this long. */
const RESEND_MS = 1_000
/** When one sending is refused, the others are answered with it unless they were lost on the way. */
const OTHERS_MS = 1_000

export class Forwarder {
  readonly #context: Context
  /** Names this process's writes; a new process is a new session. */
  readonly #session: string
  /** This node leads itself now: requests that waited go here. */
  readonly #serve: (request: TravellingRequest, done: (reply: NodeReply) => void) => void
  readonly #errands = new Map<number, Errand>()
  #lastId: number
  #lastWrite = 0

  /**
   * @param firstId drawn anew for each run of the process: answers to an earlier run's errands may
   *   still be on their way, and must not be taken for those of this one's
   */
  constructor(
    context: Context,
    session: string,
    firstId: number,
    serve: (request: TravellingRequest, done: (reply: NodeReply) => void) => void,
  ) {
    this.#context = context
    this.#session = session
    this.#lastId = firstId
    this.#serve = serve
  }

  /** Sends a request to the leader, now or as soon as there is one. */
  start(request: TravellingRequest, done: (reply: NodeReply) => void): void {
    const find = (): NodeId | null => {
      const { order } = this.#context
      // Who has nothing of the log yet can't say where it stood before a write was sent.
      return request.kind === 'write' && order.commit === 0 ? null : order.leader
    }
    this.#add(request, done, { find, isElsewhere: false, once: false })
  }

  /** Asks one particular node. */
  ask(node: NodeId, request: TravellingRequest, done: (reply: NodeReply) => void): void {
    this.#add(request, done, { find: () => node, isElsewhere: true, once: false })
  }

  /**
   * Asks whoever is found, as soon as somebody is; a node of another group. A write must have an id that
   * nobody else gives there, or it is sent once.
   */
  askVia(
    find: () => NodeId | null,
    request: TravellingRequest,
    done: (reply: NodeReply) => void,
  ): void {
    const once = request.kind === 'write' && request.program.id === undefined
    this.#add(request, done, { find, isElsewhere: true, once })
  }

  /** A reply to one of our errands. */
  reply(from: NodeId, id: number, body: Uint8Array): void {
    const errand = this.#errands.get(id)
    if (errand === undefined || errand.to !== from) return
    const reply = decoded(body)
    // This answers one of its sendings.
    errand.doubts -= 1
    if (reply.kind === 'error' && ranNothing(reply.error.code)) {
      // Not the leader any more, or not yet: try again at the next tick.
      if (errand.refused === null) forgetTarget(errand)
      else this.#refused(id, errand, errand.refused.reply)
    } else if (errand.request.kind === 'write' && provesNothing(reply)) {
      this.#refused(id, errand, reply)
    } else {
      this.#errands.delete(id)
      errand.done(reply)
    }
  }

  /**
   * A refusal says nothing about another sending that may still run, or has run. Each sending is
   * answered once at most, so when as many were answered as were sent, none has run.
   */
  #refused(id: number, errand: Errand, reply: NodeReply): void {
    const { doubts, lost, refused } = errand
    // A result tells more than an error: part of the program may have taken effect.
    const told = refused?.reply.kind === 'result' ? refused.reply : reply
    if (doubts > lost) {
      errand.refused = { reply: told, at: refused?.at ?? this.#context.now() }
      return
    }
    this.#errands.delete(id)
    errand.done(doubts === 0 ? told : SENT_TWICE)
  }

  /** A peer can't answer any more: what was sent to it goes to the next leader. */
  linkDown(peer: NodeId): void {
    for (const [id, errand] of this.#errands) {
      if (errand.to === peer) this.#lost(id, errand)
    }
  }

  /** Role, term or leader changed. */
  leaderChanged(): void {
    const { leader } = this.#context.order
    for (const [id, errand] of this.#errands) {
      if (errand.isElsewhere) continue
      if (errand.to !== null && errand.to !== leader) this.#lost(id, errand)
      if (errand.to === null) this.#send(id, errand)
    }
  }

  /** Retries what waits for a leader and ends what has waited too long. */
  tick(now: number): void {
    for (const [id, errand] of this.#errands) {
      if (errand.deadline <= now) this.#expire(id, errand)
      else if (errand.to === null) this.#send(id, errand)
      else if (errand.refused !== null) this.#endWait(id, errand, errand.refused.at, now)
      else if (now - errand.sentAt >= RESEND_MS && maySendAgain(errand)) {
        if (errand.find() === errand.to) errand.to = null
        else forgetTarget(errand)
        this.#send(id, errand)
      }
    }
  }

  #endWait(id: number, errand: Errand, since: number, now: number): void {
    if (now - since < OTHERS_MS) return
    this.#errands.delete(id)
    errand.done(SENT_TWICE)
  }

  #add(
    request: TravellingRequest,
    done: (reply: NodeReply) => void,
    how: Pick<Errand, 'find' | 'isElsewhere' | 'once'>,
  ): void {
    const deadline = this.#context.now() + request.timeoutMs
    const sent = { doubts: 0, lost: 0, refused: null, to: null, sentAt: 0 }
    const errand: Errand = { request, deadline, done, ...sent, ...how }
    this.#lastId += 1
    this.#errands.set(this.#lastId, errand)
    this.#send(this.#lastId, errand)
  }

  #numbered(request: TravellingRequest): TravellingRequest {
    if (request.kind !== 'write' || request.program.id !== undefined) return request
    this.#lastWrite += 1
    const since = this.#context.order.commit
    const id = { session: this.#session, number: this.#lastWrite, since }
    return { ...request, program: { ...request.program, id } }
  }

  #send(id: number, errand: Errand): void {
    assert(errand.to === null, () => `errand ${id} is already with ${errand.to}`)
    const { options, ports } = this.#context
    const target = errand.find()
    if (target === null) return
    if (target === options.self) {
      if (this.#context.recalling) return
      this.#errands.delete(id)
      this.#serve(this.#remaining(errand), (reply) => {
        const { doubts, request, done } = errand
        done(doubts > 0 && request.kind === 'write' && provesNothing(reply) ? SENT_TWICE : reply)
      })
      return
    }
    if (!errand.isElsewhere) errand.request = this.#numbered(errand.request)
    errand.to = target
    errand.doubts += 1
    errand.sentAt = this.#context.now()
    const body = encodeRequest(this.#remaining(errand))
    ports.transport.send(target, { kind: 'forward', id, body })
  }

  #remaining(errand: Errand): TravellingRequest {
    const timeoutMs = Math.max(1, Math.round(errand.deadline - this.#context.now()))
    return { ...errand.request, timeoutMs }
  }

  #lost(id: number, errand: Errand): void {
    // Whoever is asked next may know what became of it.
    errand.refused = null
    forgetTarget(errand)
    const { request } = errand
    if (errand.once) {
      this.#errands.delete(id)
      errand.done(refusal('UNKNOWN_OUTCOME', 'The node that it was handed on to was lost.'))
      return
    }
    if (request.kind !== 'stream') return
    this.#errands.delete(id)
    if (request.program === null) {
      errand.done(refusal('TRANSACTION_CLOSED', 'The leader that held the transaction is gone.'))
      return
    }
    errand.done(
      mayCommit(request.program, request.open)
        ? refusal('UNKNOWN_OUTCOME', 'The leader was lost while it ran the transaction.')
        : refusal('TRANSACTION_CLOSED', 'The leader that held the transaction is gone.'),
    )
  }

  #expire(id: number, errand: Errand): void {
    this.#errands.delete(id)
    const writes = errand.request.kind === 'write' || errand.request.kind === 'stream'
    if (errand.doubts > 0 && writes) {
      errand.done(refusal('UNKNOWN_OUTCOME', 'The leader did not answer in time.'))
    } else {
      errand.done(refusal('NO_LEADER', 'No leader could be reached in time.'))
    }
  }
}

/** What was sent and not answered will not be. */
function forgetTarget(errand: Errand): void {
  errand.to = null
  errand.lost = errand.doubts
}

function maySendAgain({ request, once, isElsewhere, find, to }: Errand): boolean {
  if (once || request.kind === 'stream') return false
  if (!isElsewhere || request.kind !== 'write') return true
  // It may have to wait there for groups that write. Sent twice, a refusal of it would prove nothing.
  const target = find()
  return target !== null && target !== to
}

const COMMITS: ReadonlySet<string> = new Set(['COMMIT', 'END', 'RELEASE'])

/** Whether a round of a stream may leave something behind if the transaction is lost after it. */
function mayCommit({ steps }: Program, open: boolean): boolean {
  const words = steps.map(({ statement }) => firstKeyword(statement.sql))
  const begins = words[0] === 'BEGIN' && steps[0]?.condition === undefined
  if (!(open || begins) || words.some((word) => COMMITS.has(word))) return true
  // After a ROLLBACK, also that of INSERT OR ROLLBACK, each statement commits itself.
  return steps.some(({ statement }, at) => {
    return at < steps.length - 1 && /rollback/i.test(statement.sql)
  })
}

const SENT_TWICE: NodeReply = refusal(
  'UNKNOWN_OUTCOME',
  'It was sent again, and an earlier sending may have run.',
)

/** It may be another answer than that of another sending. */
function provesNothing(reply: NodeReply): boolean {
  if (reply.kind === 'error') return reply.error.code !== 'UNKNOWN_OUTCOME'
  return (
    reply.kind === 'result' && reply.result.steps.some((step) => step !== null && 'error' in step)
  )
}

/** The node that answered this did nothing with the request, and another may do it. */
function ranNothing(code: keyof typeof ERRORS): boolean {
  return code === 'NO_LEADER' || code === 'NOT_READY'
}

/** A fellow node's request, or why it can't be read: a malformed one stops nobody. */
export function readRequest(body: Uint8Array): TravellingRequest | ErrorData {
  try {
    return decodeRequest(body)
  } catch (error) {
    if (error instanceof QuorateError) return toErrorData(error)
    throw error
  }
}

/** What the other node answered; if that can't be read, nothing is known of what it did. */
function decoded(body: Uint8Array): NodeReply {
  try {
    return decodeReply(body)
  } catch (error) {
    return refusal('UNKNOWN_OUTCOME', `The leader's answer is unreadable: ${String(error)}.`)
  }
}
