/** What this node asks of nodes of other groups, and of its fellows. */
import type { NodeId } from '../../base/brand.ts'
import { covers, type Frontier } from '../../core/order/clock/frontier.ts'
import type { Program } from '../../model/program.ts'
import type { AckLevel, AdminCommand, NodeReply, TravellingRequest } from '../../model/request.ts'
import { type Context, refusal } from '../context.ts'
import type { Forwarder } from '../forwarder.ts'
import type { OriginLinks } from './links.ts'
import type { Origins } from './origins.ts'
import { TELL_MS } from './settings.ts'
import type { Waiters } from './waiters.ts'

interface AskingNeeds {
  readonly context: Context
  readonly forwarder: Forwarder
  readonly links: OriginLinks
  readonly origins: Origins
  readonly waiters: Waiters
}

export class Asking {
  readonly #needs: AskingNeeds

  constructor(needs: AskingNeeds) {
    this.#needs = needs
  }

  /** Has the leader of an origin's group answer a request; a write without an id is sent once. */
  leaderOf(origin: string, request: TravellingRequest, done: (reply: NodeReply) => void): void {
    this.#needs.forwarder.askVia(
      () => this.#needs.links.leaderOf(origin),
      request,
      (reply) => {
        const isUnreachable = reply.kind === 'error' && reply.error.code === 'NO_LEADER'
        done(isUnreachable ? this.#unreachable(origin) : reply)
      },
    )
  }

  /** Tells a fellow node, if it can be reached now. */
  tell(node: NodeId, command: AdminCommand): void {
    this.#needs.forwarder.ask(node, { kind: 'admin', command, timeoutMs: TELL_MS }, () => {})
  }

  /** Calls when something is so here, or when it is too late. @param deadline monotonic, ms */
  wait(isOver: () => boolean, deadline: number, done: (isOver: boolean) => void): void {
    this.#needs.waiters.add({ isOver, deadline, done })
  }

  /**
   * Waits until an origin holds what this group holds: a program that it is to run may also read and
   * write, and must see there what it would have seen here.
   *
   * @param of who that is now
   * @param deadline monotonic, ms
   * @param done with null, or with why not; with null also if this node leads no more
   */
  whenItHolds(of: () => string, deadline: number, done: (reply: NodeReply | null) => void): void {
    const { context, origins, waiters } = this.#needs
    const { term } = context.order
    const isLeading = (): boolean => context.order.role === 'leader' && context.order.term === term
    let goal: Frontier | null = null
    const isThere = (): boolean => {
      // A new leader has begun to exchange only when it has applied all that was before it.
      const exchange = origins.leading?.exchanging.exchange
      if (exchange === undefined) return false
      goal ??= exchange.held
      return covers(exchange.heldBy(of()), goal)
    }
    waiters.add({
      isOver: () => !isLeading() || isThere(),
      deadline,
      done: (isOver) => done(isOver ? null : this.#unreachable(of())),
    })
  }

  /**
   * Asks the leader of an origin's group for a position of its log: what it is asked for after that
   * comes later in it.
   *
   * @param deadline monotonic, ms
   */
  position(origin: string, deadline: number, done: (position: number | NodeReply) => void): void {
    const timeoutMs = Math.max(1, deadline - this.#needs.context.now())
    const command = { kind: 'position' } as const
    this.leaderOf(origin, { kind: 'admin', command, timeoutMs }, (reply) => {
      const { index } = Object(reply.kind === 'admin' ? reply.value : null) as { index?: unknown }
      if (reply.kind === 'error') done(reply)
      else done(isPosition(index) ? index : this.#unreachable(origin))
    })
  }

  /**
   * Has the leader of an origin's group run a program, and answers when what it made has come here.
   *
   * @param program with an id that nobody else gives there, or without one: then it is sent once
   * @param deadline monotonic, ms
   */
  run(
    origin: string,
    program: Program,
    ack: AckLevel,
    deadline: number,
    done: (reply: NodeReply) => void,
  ): void {
    const { context, origins } = this.#needs
    const timeoutMs = Math.max(1, deadline - context.now())
    this.leaderOf(origin, { kind: 'write', program, ack, timeoutMs }, (reply) => {
      if (reply.kind !== 'result') {
        done(reply)
        return
      }
      const seen = new Map(reply.token.origins?.seen ?? [])
      origins.whenCovered(seen, deadline, (isHere) => {
        const detail = 'The keeper has run it, and what it made has not come here in time.'
        if (isHere) done({ ...reply, token: context.token(context.order.settled) })
        else done(refusal('UNKNOWN_OUTCOME', detail))
      })
    })
  }

  #unreachable(origin: string): NodeReply {
    const detail = `The leader of group ${this.#needs.origins.nameOf(origin)} could not be reached in time.`
    return refusal('KEEPER_UNREACHABLE', detail)
  }
}

/** Another machine may say anything. */
function isPosition(index: unknown): index is number {
  return typeof index === 'number' && Number.isSafeInteger(index) && index >= 0
}
