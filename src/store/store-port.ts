/**
 * The node's end of the line to the thread that owns the store. Commands given in one turn travel
 * as one message; replies come in the order of the commands, so they need no numbers.
 */
import type { Worker } from 'node:worker_threads'
import { type ErrorData, fromErrorData, toErrorData } from '../base/errors.ts'
import type { Ticket } from '../core/order/leader/types.ts'
import type { OpenOptions } from './connections.ts'
import { type PackedCommand, packCommand, unpackReply } from './packing.ts'
import type { FromStore, ToStore } from './store-host.ts'
import type { StoreCommand, StoreReply, StoreState } from './types.ts'
import { startWorker } from './worker-file.ts'

/** A store in a thread of its own. `port` is the StorePort of node/ports.ts. */
export interface OpenStore {
  readonly port: StorePort
  /** As of opening. */
  readonly state: StoreState
  /** How often another process's write was noticed. */
  readonly foreignWrites: number
  /** Calls the listener once if the store can't be trusted any more: stop serving. */
  onFatal(listener: (error: ErrorData) => void): void
  /** Has the store copy what is left of the WAL between two commands. */
  checkpoint(done: () => void): void
  /** Does what was asked before, closes the file, ends the thread. */
  close(): Promise<void>
}

interface StorePort {
  submit(command: StoreCommand, done: (reply: StoreReply) => void): void
  onFlushed(listener: (ticket: Ticket) => void): void
}

/**
 * Opens a database in a thread of its own.
 *
 * Throws what Store.open throws: FILE_IN_USE, NOT_ADOPTABLE, LOG_CORRUPT.
 *
 * @param options go to Store.open as they are
 */
export function openStorePort(options: StoreWorkerData): Promise<OpenStore> {
  return connectStore(startWorker('store-worker', import.meta.url, options))
}

/** What the worker needs; see Store.open. */
export interface StoreWorkerData extends Omit<OpenOptions, 'functions'> {
  readonly path: string
  /** Path of a module with merge functions, see loadMergeFunctions. */
  readonly functionsModule?: string
}

/** Waits until the worker has opened its store. Split from openStorePort for tests. */
export function connectStore(worker: Worker): Promise<OpenStore> {
  const line = new StoreLine(worker)
  return line.opened
}

class StoreLine implements OpenStore, StorePort {
  readonly port = this
  readonly opened: Promise<OpenStore>
  readonly #worker: Worker
  readonly #ready = Promise.withResolvers<OpenStore>()
  readonly #ended = Promise.withResolvers<void>()
  #state: StoreState | null = null
  foreignWrites = 0
  #unsent: PackedCommand[] = []
  /** Callbacks of the commands without a reply, in order. */
  #waiting: ((reply: StoreReply) => void)[] = []
  #checkpoints: (() => void)[] = []
  #fatal: ErrorData | null = null
  #closing = false
  #flushedListener: (ticket: Ticket) => void = () => {}
  #fatalListener: (error: ErrorData) => void = () => {}

  constructor(worker: Worker) {
    this.#worker = worker
    this.opened = this.#ready.promise
    worker.on('message', (message: FromStore) => this.#receive(message))
    worker.on('error', (error) => this.#die(`failed: ${toErrorData(error).detail}`))
    worker.on('exit', () => {
      this.#die(this.#closing ? 'is closed' : 'ended')
      this.#ended.resolve()
    })
  }

  get state(): StoreState {
    if (this.#state === null) throw fromErrorData(lineError('has no state yet'))
    return this.#state
  }

  submit(command: StoreCommand, done: (reply: StoreReply) => void): void {
    if (this.#fatal !== null || this.#closing) {
      const error = this.#fatal ?? lineError('is closed')
      queueMicrotask(() => done({ kind: 'failed', error }))
      return
    }
    this.#waiting.push(done)
    this.#unsent.push(packCommand(command))
    if (this.#unsent.length === 1) queueMicrotask(() => this.#send())
  }

  onFlushed(listener: (ticket: Ticket) => void): void {
    this.#flushedListener = listener
  }

  onFatal(listener: (error: ErrorData) => void): void {
    this.#fatalListener = listener
    const error = this.#fatal
    if (error !== null) queueMicrotask(() => listener(error))
  }

  checkpoint(done: () => void): void {
    this.#checkpoints.push(done)
    this.#post({ kind: 'checkpoint' })
  }

  async close(): Promise<void> {
    if (!this.#closing) {
      this.#send()
      this.#closing = true
      this.#post({ kind: 'close' })
    }
    await this.#ended.promise
  }

  #send(): void {
    const commands = this.#unsent
    if (commands.length === 0) return
    this.#unsent = []
    this.#post({ kind: 'commands', commands })
  }

  #post(message: ToStore): void {
    this.#worker.postMessage(message)
  }

  #receive(message: FromStore): void {
    switch (message.kind) {
      case 'opened':
        this.#state = message.state
        this.#ready.resolve(this)
        break
      case 'refused':
        this.#closing = true
        this.#ready.reject(fromErrorData(message.error))
        break
      case 'replies':
        this.foreignWrites = message.foreignWrites
        for (const reply of message.replies) this.#waiting.shift()?.(unpackReply(reply))
        if (message.flushed !== null && this.#fatal === null) this.#flushedListener(message.flushed)
        break
      case 'checkpointed':
        this.#checkpoints.shift()?.()
        break
      case 'fatal':
        this.#fail(message.error)
        break
    }
  }

  /** The thread is gone: nothing that was asked will be answered. */
  #die(how: string): void {
    const error = this.#fatal ?? lineError(how)
    if (!this.#closing) this.#fail(error)
    const waiting = this.#waiting
    this.#waiting = []
    for (const done of waiting) done({ kind: 'failed', error })
  }

  #fail(error: ErrorData): void {
    if (this.#fatal !== null) return
    this.#fatal = error
    this.#ready.reject(fromErrorData(error))
    this.#fatalListener(error)
  }
}

function lineError(how: string): ErrorData {
  return { code: 'INTERNAL', detail: `The store's thread ${how.replace(/\.$/, '')}.` }
}
