/**
 * Reads on threads of their own, so that a statement that takes seconds delays neither the node nor
 * other reads.
 *
 * node:sqlite can't interrupt a statement. So a read that stays too long is answered with DEADLINE
 * and its thread is given up: it ends when its statement does, and another takes its place. Reads
 * change nothing, so those that queue behind a slow one are simply run by the other thread as well.
 */
import type { Worker } from 'node:worker_threads'
import type { LogIndex } from '../../base/brand.ts'
import { type ErrorData, toErrorData } from '../../base/errors.ts'
import { LIMITS } from '../../base/limits.ts'
import type { Program } from '../../model/program.ts'
import type { Verified } from '../types.ts'
import { startWorker } from '../worker-file.ts'
import type { CursorBegin, CursorNext, CursorReply, ReadReply } from './reader.ts'
import type { FromReader, ReaderAnswer, ReaderData, ReaderTask, ToReader } from './reader-worker.ts'
import type { FromVerifier } from './verify-worker.ts'

const THREADS = 2
/** Threads given up whose statement still runs, above which reads are refused. */
const ABANDONED_MAX = 4
/** How often deadlines and slow threads are looked at. */
const WATCH_MS = 10
/** A thread that has answered nothing for this long is slow: what queues there goes elsewhere. */
const SLOW_MS = 30
/** A thread that answered so recently and has fewer reads to do gets the next one too. */
const PROMPT_MS = 1
const QUEUE_MAX = 32

interface Job {
  readonly id: number
  readonly task: ReaderTask
  readonly deadline: number
  readonly done: (answer: ReaderAnswer) => void
}

/** One thread and what it was given, in the order in which it runs it. */
interface Line {
  readonly worker: Worker
  readonly jobs: Map<number, Job>
  unsent: (readonly [number, ReaderTask])[]
  /** When it last answered, or was given work while idle. */
  heard: number
}

/** Readers of a live database. `port` is the ReaderPort of node/ports.ts. */
export interface OpenReaders {
  readonly port: ReaderPool
  /** Threads in the middle of a statement: the process can't exit before they are through. */
  readonly running: number
  /** Ends the threads. What has no answer yet fails. */
  close(): Promise<void>
}

/** Starts the reading threads of a database that a store has opened. */
export async function openReaders(options: { readonly path: string }): Promise<OpenReaders> {
  const port = new ReaderPool(options.path)
  return {
    port,
    get running() {
      return port.running
    },
    close: () => port.close(),
  }
}

class ReaderPool {
  readonly #path: string
  readonly #lines: Line[] = []
  readonly #abandoned = new Set<Worker>()
  readonly #verifiers = new Set<Worker>()
  /** Where cursors live. One that a thread opened and then fell silent about is not here. */
  readonly #cursors = new Map<number, Line>()
  #ids = 0
  #watch: NodeJS.Timeout | null = null
  #closing = false

  constructor(path: string) {
    this.#path = path
    for (let i = 0; i < THREADS; i += 1) this.#lines.push(this.#start())
  }

  read(program: Program, timeoutMs: number, done: (reply: ReadReply) => void): void {
    this.#add(program, this.#idlest(), timeoutMs, done as Job['done'])
  }

  openCursor(
    { program, chunkBytes, keep }: Omit<CursorBegin, 'cursor'>,
    timeoutMs: number,
    done: (reply: CursorReply) => void,
  ): void {
    this.#ids += 1
    const begin = { cursor: this.#ids, program, chunkBytes, keep }
    this.#add({ kind: 'open', begin }, this.#leastHeld(), timeoutMs, done as Job['done'])
  }

  fetchCursor(next: CursorNext, timeoutMs: number, done: (reply: CursorReply) => void): void {
    const line = this.#cursors.get(next.cursor) ?? null
    this.#add({ kind: 'fetch', next }, line, timeoutMs, done as Job['done'])
  }

  closeCursor(cursor: number): void {
    const line = this.#cursors.get(cursor)
    this.#cursors.delete(cursor)
    // After what is still unsent there.
    if (line !== undefined) {
      setImmediate(() => post(line.worker, { kind: 'closeCursor', cursor }))
    }
  }

  /**
   * Pins the database as it is, tells its position, then computes its checksums: in a thread of
   * its own, because it is rare and may take minutes.
   */
  verify(pinned: (applied: LogIndex) => void, done: (result: Verified | ErrorData) => void): void {
    let ended = false
    const end = (result: Verified | ErrorData): void => {
      if (!ended) done(result)
      ended = true
    }
    const worker = startWorker('verify-worker', import.meta.url, { path: this.#path })
    worker.on('message', (message: FromVerifier) => {
      if (message.kind === 'pinned') pinned(message.applied)
      else end(message.kind === 'verified' ? message.result : message.error)
    })
    worker.on('error', (error) => end(toErrorData(error)))
    worker.on('exit', () => {
      this.#verifiers.delete(worker)
      end(CLOSED)
    })
    this.#verifiers.add(worker)
  }

  reopen(): void {
    for (const line of this.#lines) post(line.worker, { kind: 'reopen' })
  }

  get running(): number {
    const busy = this.#lines.filter((line) => line.jobs.size > 0)
    return busy.length + this.#abandoned.size + this.#verifiers.size
  }

  async close(): Promise<void> {
    this.#closing = true
    if (this.#watch !== null) clearInterval(this.#watch)
    for (const worker of this.#verifiers) void worker.terminate()
    await Promise.all(this.#lines.map((line) => this.#end(line)))
  }

  async #end({ worker, jobs }: Line): Promise<void> {
    const busy = jobs.size > 0
    for (const job of jobs.values()) job.done({ kind: 'failed', error: CLOSED })
    jobs.clear()
    const ended = new Promise<void>((done) => worker.once('exit', () => done()))
    post(worker, { kind: 'close' })
    // A statement that still runs can't be interrupted; nobody waits for it.
    if (!busy) return await ended
    this.#abandoned.add(worker)
    worker.unref()
  }

  /** @param line null: it would have to be one that is gone */
  #add(task: ReaderTask, line: Line | null, timeoutMs: number, done: Job['done']): void {
    const refusal = this.#refusal() ?? (line === null ? CURSOR_GONE : null)
    if (refusal !== null || line === null) {
      const error = refusal ?? CURSOR_GONE
      queueMicrotask(() => done({ kind: 'failed', error }))
      return
    }
    this.#ids += 1
    const deadline = performance.now() + timeoutMs
    this.#give(line, { id: this.#ids, task, deadline, done })
    this.#watch ??= setInterval(() => this.#look(), WATCH_MS)
  }

  #refusal(): ErrorData | null {
    if (this.#closing) return CLOSED
    return this.#abandoned.size > ABANDONED_MAX ? TOO_MANY : null
  }

  #start(): Line {
    const data: ReaderData = {
      path: this.#path,
      cursorsMax: Math.floor(LIMITS.cursorsMax / THREADS),
    }
    const worker = startWorker('reader-worker', import.meta.url, data)
    const line: Line = { worker, jobs: new Map(), unsent: [], heard: performance.now() }
    worker.on('message', (replies: FromReader) => this.#receive(line, replies))
    worker.on('error', (error) => this.#failRunning(line, toErrorData(error)))
    worker.on('exit', () => {
      this.#abandoned.delete(worker)
      this.#failRunning(line, ENDED)
    })
    return line
  }

  /**
   * The first thread as long as it keeps up, so that the others need not be woken; else the one
   * with the least to do.
   */
  #idlest(): Line {
    const [first] = this.#lines
    if (first !== undefined && keepsUp(first)) return first
    const cost = (line: Line): number => line.jobs.size + (isSlow(line) ? 1_000_000 : 0)
    return this.#lines.reduce((best, line) => (cost(line) < cost(best) ? line : best))
  }

  /** Where the fewest cursors live: one that is slow holds up the others there. */
  #leastHeld(): Line {
    const held = new Map<Line, number>()
    for (const line of this.#cursors.values()) held.set(line, (held.get(line) ?? 0) + 1)
    const cost = (line: Line): number => (held.get(line) ?? 0) + (isSlow(line) ? 1_000_000 : 0)
    return this.#lines.reduce((best, line) => (cost(line) < cost(best) ? line : best))
  }

  #give(line: Line, job: Job): void {
    if (line.jobs.size === 0) line.heard = performance.now()
    line.jobs.set(job.id, job)
    line.unsent.push([job.id, job.task])
    if (line.unsent.length > 1) return
    // Once for all that this turn of the event loop brings: waking a thread costs more than a read.
    setImmediate(() => {
      const reads = line.unsent
      line.unsent = []
      post(line.worker, { kind: 'reads', reads })
    })
  }

  #receive(line: Line, replies: FromReader): void {
    line.heard = performance.now()
    for (const [id, reply] of replies) {
      const job = line.jobs.get(id)
      line.jobs.delete(id)
      if (reply.kind === 'chunk') this.#track(line, reply, job?.task ?? null)
      job?.done(reply)
    }
  }

  /** Keeps account of cursors; one that nobody waits for any more is closed. */
  #track(
    line: Line,
    { cursor }: Extract<CursorReply, { kind: 'chunk' }>,
    task: ReaderTask | null,
  ): void {
    if (task !== null && 'kind' in task && task.kind === 'fetch') {
      if (cursor === null) this.#cursors.delete(task.next.cursor)
    } else if (cursor !== null && task !== null) this.#cursors.set(cursor, line)
    else if (cursor !== null && this.#cursors.get(cursor) !== line) {
      post(line.worker, { kind: 'closeCursor', cursor })
    }
  }

  #look(): void {
    const now = performance.now()
    for (const line of [...this.#lines]) {
      if (this.#expire(line, now)) this.#abandon(line)
      else if (isSlow(line)) this.#share(line)
    }
    if (this.#watch !== null && this.#lines.every((line) => line.jobs.size === 0)) {
      clearInterval(this.#watch)
      this.#watch = null
    }
  }

  /** Answers what is over its time; tells whether that includes the one that is running. */
  #expire(line: Line, now: number): boolean {
    const running = line.jobs.keys().next().value
    let stuck = false
    for (const job of [...line.jobs.values()]) {
      if (now < job.deadline) continue
      stuck ||= job.id === running
      line.jobs.delete(job.id)
      job.done({ kind: 'failed', error: DEADLINE })
    }
    return stuck
  }

  /** Lets the other thread run what queues behind a slow statement, unless that is slow as well. */
  #share(line: Line): void {
    const free = this.#lines.find((each) => each !== line && !isSlow(each))
    if (free === undefined) return
    const [, ...queued] = line.jobs.values()
    for (const job of queued) {
      if (isFetch(job)) continue
      line.jobs.delete(job.id)
      this.#give(free, job)
    }
  }

  #abandon(line: Line): void {
    this.#abandoned.add(line.worker)
    line.worker.unref()
    void line.worker.terminate()
    this.#replace(line)
  }

  /** A thread died: of what it ran (out of memory, for example), so that is not tried again. */
  #failRunning(line: Line, error: ErrorData): void {
    const [running] = line.jobs.values()
    if (running !== undefined) {
      line.jobs.delete(running.id)
      running.done({ kind: 'failed', error })
    }
    this.#replace(line)
  }

  #replace(line: Line): void {
    const at = this.#lines.indexOf(line)
    if (at === -1 || this.#closing) return
    const fresh = this.#start()
    this.#lines[at] = fresh
    for (const [cursor, at] of this.#cursors) if (at === line) this.#cursors.delete(cursor)
    for (const job of line.jobs.values()) {
      if (isFetch(job)) job.done({ kind: 'failed', error: CURSOR_GONE })
      else this.#give(fresh, job)
    }
    line.jobs.clear()
  }
}

/** It belongs to a connection of its thread. */
function isFetch({ task }: Job): boolean {
  return 'kind' in task && task.kind === 'fetch'
}

/** It will come to a new read soon. */
function keepsUp(line: Line): boolean {
  if (line.jobs.size === 0) return true
  return line.jobs.size < QUEUE_MAX && performance.now() - line.heard < PROMPT_MS
}

/** It has work and has answered nothing for a while. */
function isSlow(line: Line): boolean {
  return line.jobs.size > 0 && performance.now() - line.heard > SLOW_MS
}

function post(worker: Worker, message: ToReader): void {
  worker.postMessage(message)
}

const ENDED: ErrorData = { code: 'INTERNAL', detail: 'The thread that ran the read ended.' }
const CLOSED: ErrorData = { code: 'NOT_READY', detail: 'The node is closing.' }
const TOO_MANY: ErrorData = {
  code: 'OVERLOADED',
  detail: `More than ${ABANDONED_MAX} reads that were over their time are still running.`,
}
const CURSOR_GONE: ErrorData = {
  code: 'CURSOR_CLOSED',
  detail: 'The cursor is not open any more.',
}
const DEADLINE: ErrorData = { code: 'DEADLINE', detail: 'The read took longer than it may.' }
