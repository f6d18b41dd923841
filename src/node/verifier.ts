/**
 * Content checksums of every replica at one position: an entry of kind `verify` marks it, each node
 * pins a snapshot when it gets there, and the leader gathers what they computed.
 */
import type { LogIndex } from '../base/brand.ts'
import { toLogIndex } from '../base/brand.ts'
import type { ErrorData } from '../base/errors.ts'
import type { NodeReply } from '../model/request.ts'
import type { Verified } from '../store/types.ts'
import type { Context } from './context.ts'
import { hold, refusal } from './context.ts'
import type { Forwarder } from './forwarder.ts'
import type { Writer } from './writer.ts'

type Result = Verified | ErrorData

/** What `verify` answers, name of the node -> its checksums or why there are none. */
export interface VerifyReport {
  readonly index: number
  readonly identical: boolean
  readonly nodes: Readonly<Record<string, Result>>
}

/** How many positions' results a node remembers. */
const RESULTS_KEPT = 8

export class Verifier {
  readonly #context: Context
  readonly #writer: Writer
  readonly #forwarder: Forwarder
  /** Verify entries that are logged here and not yet applied. */
  readonly #marks = new Set<LogIndex>()
  readonly #results = new Map<LogIndex, Result>()
  readonly #asked = new Map<LogIndex, ((result: Result) => void)[]>()
  #pinning = false
  /** Checksums being computed; void once their position was taken back. */
  readonly #pins = new Set<{ readonly index: LogIndex; void: boolean }>()

  constructor(context: Context, writer: Writer, forwarder: Forwarder) {
    this.#context = context
    this.#writer = writer
    this.#forwarder = forwarder
  }

  /** Nothing may be applied now. */
  get pinning(): boolean {
    return this.#pinning
  }

  /** A follower logged a verify entry. */
  marked(index: LogIndex): void {
    this.#marks.add(index)
  }

  truncate(to: LogIndex): void {
    for (const index of this.#marks) if (index > to) this.#marks.delete(index)
    // Another entry will be at these positions.
    for (const index of this.#results.keys()) if (index > to) this.#results.delete(index)
    for (const pin of this.#pins) if (pin.index > to) pin.void = true
  }

  /** The store applied through this index; it stops at each verify entry. */
  applied(index: LogIndex): void {
    if (this.#marks.delete(index)) this.#pin(index)
  }

  /** Leader: mark a position, gather what all members say of it. */
  start(deadline: number, done: (reply: NodeReply) => void): void {
    const { order } = this.#context
    this.#writer.propose('verify', order.term, new Uint8Array(), (index) => {
      if (index === null) {
        done(refusal('NO_LEADER', 'Leadership ended before the position was marked.'))
        return
      }
      this.#pin(index)
      hold(this.#context, index, order.term, 'majority', deadline, (fate) => {
        if (fate === 'safe') this.#gather(index, deadline, done)
        else done(refusal('NO_LEADER', `Entry ${index} did not reach a majority in time.`))
      })
    })
  }

  /** Another node asks for this replica's result at a position. */
  answer(index: LogIndex, done: (reply: NodeReply) => void): void {
    const give = (value: Result): void => done({ kind: 'admin', value })
    const result = this.#results.get(index)
    if (result !== undefined) {
      give(result)
      return
    }
    const waiting = this.#asked.get(index)
    if (waiting === undefined) this.#asked.set(index, [give])
    else waiting.push(give)
  }

  #gather(index: LogIndex, deadline: number, done: (reply: NodeReply) => void): void {
    const members = this.#context.order.members.members
    const nodes: Record<string, Result> = {}
    const timeoutMs = Math.max(1, deadline - this.#context.now())
    for (const member of members) {
      const request = { kind: 'admin', command: { kind: 'verified', index }, timeoutMs } as const
      this.#forwarder.ask(member.id, request, (reply) => {
        nodes[member.name] = resultOf(reply)
        if (Object.keys(nodes).length < members.length) return
        done({ kind: 'admin', value: { index, identical: identical(nodes), nodes } })
      })
    }
  }

  #pin(index: LogIndex): void {
    this.#pinning = true
    this.#writer.pin()
    const unpin = (): void => {
      this.#pinning = false
      this.#writer.unpin()
    }
    let pinned = false
    const pin = { index, void: false }
    this.#pins.add(pin)
    this.#context.ports.reader.verify(
      (applied) => {
        pinned = true
        unpin()
        if (applied === index) return
        const detail = `The snapshot was pinned at entry ${applied} instead of ${index}.`
        if (!pin.void) this.#settle(index, { code: 'INTERNAL', detail })
      },
      (result) => {
        if (!pinned) unpin()
        this.#pins.delete(pin)
        if (!pin.void) this.#settle(index, result)
      },
    )
  }

  #settle(index: LogIndex, result: Result): void {
    if (this.#results.has(index)) return
    this.#results.set(index, result)
    if (this.#results.size > RESULTS_KEPT) {
      const oldest = toLogIndex(Math.min(...this.#results.keys()))
      this.#results.delete(oldest)
    }
    const waiting = this.#asked.get(index) ?? []
    this.#asked.delete(index)
    for (const give of waiting) give(result)
  }
}

function resultOf(reply: NodeReply): Result {
  if (reply.kind === 'admin') return reply.value as Result
  if (reply.kind === 'error') return reply.error
  return { code: 'INTERNAL', detail: `A node answered ${reply.kind} to a verification.` }
}

/** True if every node gave checksums, all equal, and found no problem. */
function identical(nodes: Readonly<Record<string, Result>>): boolean {
  const texts = Object.values(nodes).map((result) =>
    'code' in result || result.problems.length > 0 ? null : JSON.stringify(result.tables),
  )
  return texts.every((text) => text !== null && text === texts[0])
}
