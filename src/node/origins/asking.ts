/** What this node asks of nodes of other groups, and of its fellows. */
import type { NodeId } from '../../base/brand.ts'
import { covers, NOTHING } from '../../core/order/clock/frontier.ts'
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

  /**
   * Has the leader of an origin's group answer a request, once: what it changes must not be done
   * twice, and its log knows nothing of our writes' ids.
   */
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

  /**
   * Has the keeper run a program that changes the schema, and answers when that has come here.
   *
   * @param deadline monotonic, ms
   * @param done with null if this group has become the keeper, and nothing was asked
   */
  changeSchema(
    { id: _, ...program }: Program,
    ack: AckLevel,
    deadline: number,
    done: (reply: NodeReply | null) => void,
  ): void {
    // It may also read and write, and must see there what it would have seen here.
    const { origins, waiters } = this.#needs
    const exchange = origins.leading?.exchanging.exchange
    const goal = exchange?.held ?? NOTHING
    const isThere = (): boolean => {
      const { keeper } = origins.state.cluster
      return exchange === undefined || covers(exchange.heldBy(keeper), goal)
    }
    waiters.add({
      isOver: isThere,
      deadline,
      done: (isOver) => {
        if (isOver && origins.isKeeper) done(null)
        else if (isOver) this.#askForSchema(program, ack, deadline, done)
        else done(this.#unreachable(origins.state.cluster.keeper))
      },
    })
  }

  #askForSchema(
    program: Program,
    ack: AckLevel,
    deadline: number,
    done: (reply: NodeReply) => void,
  ): void {
    const { context, origins } = this.#needs
    const timeoutMs = Math.max(1, deadline - context.now())
    const request = { kind: 'write', program, ack, timeoutMs } as const
    this.leaderOf(origins.state.cluster.keeper, request, (reply) => {
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
