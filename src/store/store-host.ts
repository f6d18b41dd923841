/**
 * Runs a store's commands on the thread that owns it: one after the other, replies and flushes in
 * few messages. Knows no threads itself, so that a test can drive it.
 */
import { type ErrorData, QuorateError, toErrorData } from '../base/errors.ts'
import type { Ticket } from '../core/order/leader/types.ts'
import { type PackedCommand, type PackedReply, packReply, unpackCommand } from './packing.ts'
import type { StoreCommand, StoreReply, StoreState } from './types.ts'

/** What the host needs from a store. */
export interface HostedStore {
  run(command: StoreCommand): StoreReply
  close(): void
  /** How often another process's write was noticed. */
  readonly foreignWrites: number
}

/** What the host needs from the flusher. */
export interface HostedFlusher {
  wrote(ticket: Ticket): void
  reopen(): void
  close(): void
}

export type ToStore =
  | { readonly kind: 'commands'; readonly commands: readonly PackedCommand[] }
  /** Copy what is left of the WAL, between two commands. */
  | { readonly kind: 'checkpoint' }
  | { readonly kind: 'close' }

export type FromStore =
  | { readonly kind: 'opened'; readonly state: StoreState }
  | { readonly kind: 'refused'; readonly error: ErrorData }
  /** Replies to commands, in the order of these; then what a flush made durable. */
  | {
      readonly kind: 'replies'
      readonly replies: readonly PackedReply[]
      readonly flushed: Ticket | null
      readonly foreignWrites: number
    }
  | { readonly kind: 'checkpointed' }
  /** The store is not to be trusted any more; nothing but failures will come. */
  | { readonly kind: 'fatal'; readonly error: ErrorData }

export interface StoreHostOptions {
  readonly store: HostedStore
  readonly flusher: HostedFlusher
  /** Copies what is left of the WAL. */
  readonly checkpoint: () => void
  readonly post: (message: FromStore) => void
  /** Called when everything given before `close` is done and the store is closed. */
  readonly closed: () => void
  /** Lets the event loop run, then goes on. */
  readonly later: (go: () => void) => void
  /** Goes on after about a millisecond. */
  readonly soon: (go: () => void) => void
  /** Monotonic, ms. */
  readonly now: () => number
}

/**
 * Replies wait for each other this long at most, and flushes for the commands after them. Longer
 * saves messages, but the peers wait for the first entries meanwhile.
 */
const TURN_MS = 0.5

export class StoreHost {
  readonly #options: StoreHostOptions
  readonly #queue: (StoreCommand | 'checkpoint' | 'close')[] = []
  #running = false
  /** Replies that have not left yet, and when the first of them has to. */
  #held: PackedReply[] = []
  #hurry: Hurry = 'none'
  #soon = false
  #dead: ErrorData | null = null

  constructor(options: StoreHostOptions) {
    this.#options = options
  }

  receive(message: ToStore): void {
    if (message.kind === 'commands') this.#queue.push(...message.commands.map(unpackCommand))
    else this.#queue.push(message.kind)
    if (this.#running) return
    this.#running = true
    // Not at once: as long as messages come, a MessagePort hands out up to a thousand without
    // letting the event loop run, and flushes that have returned would wait behind them.
    this.#options.later(() => this.#turn())
  }

  /** A flush returned: everything under tickets through this one is durable. */
  flushed(ticket: Ticket): void {
    this.#post(ticket)
  }

  /** Nothing more is done; what is asked from now on fails. */
  die(error: ErrorData): void {
    if (this.#dead !== null) return
    this.#dead = error
    if (this.#held.length > 0) this.#post(null)
    this.#options.post({ kind: 'fatal', error })
  }

  #turn(): void {
    const { now, later } = this.#options
    const until = now() + TURN_MS
    for (let item = this.#queue.shift(); item !== undefined; item = this.#queue.shift()) {
      if (typeof item === 'object') this.#hold(item, this.#run(item))
      else {
        this.#leave()
        if (item === 'checkpoint') this.#checkpoint()
        else this.#close()
      }
      if (now() >= until) break
    }
    this.#leave()
    this.#running = this.#queue.length > 0
    if (this.#running) later(() => this.#turn())
  }

  #hold(command: StoreCommand, reply: StoreReply): void {
    this.#held.push(packReply(reply))
    const hurry = hurryOf(command, reply)
    if (this.#hurry !== 'now' && hurry !== 'none') this.#hurry = hurry
  }

  /** A message wakes a thread, which costs more than many a command: who can waits for another. */
  #leave(): void {
    if (this.#hurry === 'now') this.#post(null)
    else if (this.#hurry === 'soon' && !this.#soon) {
      this.#soon = true
      this.#options.soon(() => {
        this.#soon = false
        if (this.#hurry === 'soon') this.#post(null)
      })
    }
  }

  #post(flushed: Ticket | null): void {
    const { post, store } = this.#options
    const replies = this.#held
    this.#held = []
    this.#hurry = 'none'
    post({ kind: 'replies', replies, flushed, foreignWrites: store.foreignWrites })
  }

  #run(command: StoreCommand): StoreReply {
    if (this.#dead !== null) return { kind: 'failed', error: this.#dead }
    try {
      const reply = this.#options.store.run(command)
      if (command.kind === 'install') this.#options.flusher.reopen()
      // A command that failed wrote nothing; its ticket is durable like those before it.
      if ('ticket' in command) this.#options.flusher.wrote(command.ticket)
      return reply
    } catch (error) {
      const data = toErrorData(error)
      if (!(error instanceof QuorateError)) this.die(data)
      return { kind: 'failed', error: data }
    }
  }

  #checkpoint(): void {
    if (this.#dead !== null) return
    try {
      this.#options.checkpoint()
    } catch {
      // The WAL has everything and stays as it is; the background meets the same error and tells it.
    }
    this.#options.post({ kind: 'checkpointed' })
  }

  #close(): void {
    if (this.#held.length > 0) this.#post(null)
    try {
      this.#options.flusher.close()
      this.#options.store.close()
    } catch (error) {
      this.die(toErrorData(error))
    }
    this.#options.closed()
  }
}

/** How long a reply may wait for a message to leave with; `none`: a flush that follows brings one. */
type Hurry = 'now' | 'soon' | 'none'

function hurryOf(command: StoreCommand, reply: StoreReply): Hurry {
  switch (reply.kind) {
    case 'done':
      return 'soon'
    case 'applied':
      // What origins did holds up their leader's writes; for the rest nobody waits.
      return reply.origins === undefined ? 'soon' : 'now'
    case 'executed':
      return 'alone' in command && command.alone && reply.entries.length > 0 ? 'none' : 'now'
    default:
      return 'now'
  }
}
