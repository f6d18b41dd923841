/**
 * Where a request is answered: by a part of this node, or by the leader that it is handed on to.
 * Fellow nodes' requests come here as well; they are answered here or not at all.
 */
import { unreachable } from '../base/assert.ts'
import type { NodeId } from '../base/brand.ts'
import type { NodeReply, NodeRequest, TravellingRequest } from '../model/request.ts'
import { isCursorRequest } from '../model/request.ts'
import { encodeReply } from '../model/request-codec.ts'
import type { Admin } from './admin.ts'
import type { Context } from './context.ts'
import { refusal } from './context.ts'
import type { Cursors } from './cursors.ts'
import { type Forwarder, readRequest } from './forwarder.ts'
import { refusalHere, whenKnownHere } from './origins/known-here.ts'
import type { Reads } from './reads.ts'
import type { Writer } from './writer.ts'

/** The parts of the node that answer. */
interface Answerers {
  readonly reads: Reads
  readonly cursors: Cursors
  readonly writer: Writer
  readonly admin: Admin
  readonly forwarder: Forwarder
}

export class Router {
  readonly #context: Context
  readonly #to: Answerers

  constructor(context: Context, answerers: Answerers) {
    this.#context = context
    this.#to = answerers
  }

  /** Takes a request of a client here. */
  route(request: NodeRequest, done: (reply: NodeReply) => void): void {
    if (request.kind === 'read') {
      this.#to.reads.read(request, done)
    } else if (isCursorRequest(request)) {
      this.#to.cursors.take(request, done)
    } else {
      const refused = refusalHere(this.#context, request)
      const answer = whenKnownHere(this.#context, request, done)
      if (refused !== null) done(refused)
      else if (answersAnywhere(request) || this.#leads) this.serve(request, answer)
      else this.#to.forwarder.start(request, answer)
    }
  }

  /**
   * Answers a request that this node is meant to answer itself.
   *
   * @param from the fellow node that handed it on; null: it is of a client here
   */
  serve(
    request: TravellingRequest,
    done: (reply: NodeReply) => void,
    from: NodeId | null = null,
  ): void {
    const deadline = this.#context.now() + request.timeoutMs
    const reroute = (): void => {
      const timeoutMs = Math.max(1, deadline - this.#context.now())
      // A fellow node finds the next leader itself: were it also sent on from here, the BEGIN of a
      // stream that it has given up could arrive after its end, and nobody would end it again.
      if (from === null) this.route({ ...request, timeoutMs }, done)
      else done(this.#notLeading())
    }
    switch (request.kind) {
      case 'read':
        this.#to.reads.read(request, done)
        return
      case 'write': {
        const { program, ack } = request
        this.#to.writer.enqueue({ kind: 'program', program, ack, deadline, done, reroute })
        return
      }
      case 'stream': {
        const { stream, open, program, end, ack } = request
        const job = { stream, from, open, program, end, ack, deadline, done, reroute }
        this.#to.writer.enqueue({ kind: 'stream', ...job })
        return
      }
      case 'admin':
        this.#to.admin.run(request.command, deadline, done)
        return
      default:
        unreachable(request)
    }
  }

  /** Takes a request that a fellow node hands on, and sends the answer back. */
  forwarded(from: NodeId, id: number, body: Uint8Array): void {
    const { order, ports } = this.#context
    const done = (reply: NodeReply): void => {
      if (order.role === 'leader') this.#context.step({ kind: 'announce', peer: from })
      const message = { kind: 'forwardReply', id, body: encodeReply(reply) } as const
      ports.transport.send(from, message)
    }
    const request = readRequest(body)
    if ('code' in request) done({ kind: 'error', error: request })
    else if (isForAll(request) || this.#leads) this.serve(request, done, from)
    else done(this.#notLeading())
  }

  get #leads(): boolean {
    return this.#context.order.role === 'leader' && !this.#context.recalling
  }

  #notLeading(): NodeReply {
    return refusal('NO_LEADER', `${this.#context.options.name} is not the leader.`)
  }
}

/** What a leader tells its fellows, so that the next leader knows. */
function isForAll(request: TravellingRequest): boolean {
  if (answersAnywhere(request)) return true
  return request.kind === 'admin' && request.command.kind === 'cutGroup'
}

/** Each node verifies itself. */
function answersAnywhere(request: TravellingRequest): boolean {
  return request.kind === 'admin' && request.command.kind === 'verified'
}
