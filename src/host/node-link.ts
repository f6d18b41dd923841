/**
 * The application thread's end of the line to the thread that runs the node. Everything asked in
 * one turn travels as one message, and so do the answers.
 */
import { type MessagePort, Worker } from 'node:worker_threads'
import { assert } from '../base/assert.ts'
import type { ErrorData } from '../base/errors.ts'
import { fromErrorData, QuorateError, toErrorData } from '../base/errors.ts'
import type { NodeReply, NodeRequest } from '../model/request.ts'
import type { NodeStatus } from '../model/status.ts'
import { type DefaultLevels, levelsOf, NODE_DEFAULTS, type NodeOptions } from '../node/options.ts'
import type { NodeEvent } from '../node/ports.ts'
import { type CompactReplies, eachReply } from './compact-replies.ts'
import { type CompactRequests, compactRequests } from './compact-requests.ts'

export type ToNode =
  | ({ readonly kind: 'requests' } & CompactRequests)
  | { readonly kind: 'status'; readonly id: number }
  /** Tell positions, or no longer. */
  | { readonly kind: 'watch'; readonly on: boolean }
  | { readonly kind: 'close' }

export type FromNode =
  | { readonly kind: 'started'; readonly url: string; readonly levels: DefaultLevels }
  | { readonly kind: 'failed'; readonly error: ErrorData }
  | { readonly kind: 'replies'; readonly replies: CompactReplies }
  | { readonly kind: 'status'; readonly id: number; readonly status: NodeStatus }
  | { readonly kind: 'event'; readonly event: NodeEvent }
  | { readonly kind: 'position'; readonly index: number }
  | { readonly kind: 'closed'; readonly running: number }

export interface NodeLink {
  /** Where the node listens. */
  readonly url: string
  /** Of calls that name none. */
  readonly levels: DefaultLevels
  request(request: NodeRequest): Promise<NodeReply>
  status(): Promise<NodeStatus>
  onEvent(listener: (event: NodeEvent) => void): void
  /** Whether to be told how far the database has come. The first time comes at once. */
  watch(on: boolean): void
  /** Entries through the index are committed and in the database here. */
  onPosition(listener: (index: number) => void): void
  /** Ends the node in order. */
  close(): Promise<void>
}

/** Posts what gathers in one turn together. */
export function gather<T>(post: (items: readonly T[]) => void): (item: T) => void {
  let items: T[] = []
  return (item) => {
    if (items.push(item) > 1) return
    queueMicrotask(() => {
      const all = items
      items = []
      post(all)
    })
  }
}

/** Starts a node in a thread of its own; resolves when it serves requests. */
export async function startNodeThread(options: NodeOptions): Promise<NodeLink> {
  const extension = import.meta.url.endsWith('.ts') ? 'ts' : 'js'
  const worker = new Worker(new URL(`./node-thread.${extension}`, import.meta.url), {
    workerData: options,
    resourceLimits: { maxYoungGenerationSizeMb: 24 },
    name: `quorate ${options.name}`,
  })
  return new ThreadLink(worker).started()
}

class ThreadLink implements NodeLink {
  readonly #worker: Worker
  readonly #send: (message: ToNode) => void
  readonly #requests = new Map<number, (reply: NodeReply) => void>()
  readonly #statuses = new Map<number, PromiseWithResolvers<NodeStatus>>()
  readonly #listeners: ((event: NodeEvent) => void)[] = []
  readonly #positionListeners: ((index: number) => void)[] = []
  readonly #ask: (item: readonly [number, NodeRequest]) => void
  readonly #started = Promise.withResolvers<void>()
  readonly #closed = Promise.withResolvers<void>()
  #lastId = 0
  #gone: QuorateError | null = null
  url = ''
  levels = levelsOf('leader', NODE_DEFAULTS)

  constructor(worker: Worker) {
    this.#worker = worker
    this.#send = (message) => (worker as unknown as MessagePort).postMessage(message)
    this.#ask = gather((requests) => this.#send({ kind: 'requests', ...compactRequests(requests) }))
    worker.on('message', (message: FromNode) => this.#receive(message))
    worker.on('error', (error) => this.#end(error))
    worker.on('exit', () => this.#end(new Error('the node thread ended')))
  }

  async started(): Promise<NodeLink> {
    await this.#started.promise
    return this
  }

  request(request: NodeRequest): Promise<NodeReply> {
    if (this.#gone !== null) return Promise.reject(this.#gone)
    this.#lastId += 1
    const id = this.#lastId
    return new Promise((resolve) => {
      this.#requests.set(id, resolve)
      this.#ask([id, request])
    })
  }

  status(): Promise<NodeStatus> {
    if (this.#gone !== null) return Promise.reject(this.#gone)
    this.#lastId += 1
    const id = this.#lastId
    const answer = Promise.withResolvers<NodeStatus>()
    this.#statuses.set(id, answer)
    this.#send({ kind: 'status', id })
    return answer.promise
  }

  onEvent(listener: (event: NodeEvent) => void): void {
    this.#listeners.push(listener)
  }

  watch(on: boolean): void {
    if (this.#gone === null) this.#send({ kind: 'watch', on })
  }

  onPosition(listener: (index: number) => void): void {
    this.#positionListeners.push(listener)
  }

  async close(): Promise<void> {
    if (this.#gone !== null) return
    this.#send({ kind: 'close' })
    await this.#closed.promise
  }

  #receive(message: FromNode): void {
    switch (message.kind) {
      case 'started':
        this.url = message.url
        this.levels = message.levels
        this.#started.resolve()
        return
      case 'failed':
        this.#started.reject(fromErrorData(message.error))
        return
      case 'replies':
        eachReply(message.replies, (id, reply) => {
          const resolve = this.#requests.get(id)
          assert(resolve !== undefined, () => `reply to request ${id}, which nobody awaits`)
          this.#requests.delete(id)
          resolve(reply)
        })
        return
      case 'status':
        this.#statuses.get(message.id)?.resolve(message.status)
        this.#statuses.delete(message.id)
        return
      case 'event':
        for (const listener of this.#listeners) listener(message.event)
        return
      case 'position':
        for (const listener of this.#positionListeners) listener(message.index)
        return
      case 'closed':
        void this.#worker.terminate()
        if (message.running === 0) return
        // The thread can't end before those that it started; nobody waits for it.
        this.#worker.unref()
        this.#end(new Error('it was closed'))
    }
  }

  #end(error: unknown): void {
    if (this.#gone === null) {
      const text = error instanceof Error ? error.message : String(error)
      this.#gone = new QuorateError('NOT_READY', `The node has stopped: ${text}.`)
    }
    this.#started.reject(this.#gone)
    this.#closed.resolve()
    const reply: NodeReply = { kind: 'error', error: toErrorData(this.#gone) }
    for (const resolve of this.#requests.values()) resolve(reply)
    this.#requests.clear()
    for (const { reject } of this.#statuses.values()) reject(this.#gone)
    this.#statuses.clear()
  }
}
