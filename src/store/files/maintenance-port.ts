/** The node's end of the line to the maintenance thread. */
import type { Worker } from 'node:worker_threads'
import { type ErrorData, fromErrorData, QuorateError, toErrorData } from '../../base/errors.ts'
import { startWorker } from '../worker-file.ts'
import { type FreezeWork, LiveSnapshots } from './live-snapshots.ts'
import type { FromMaintenance, MaintenanceJob, ToMaintenance } from './maintenance-worker.ts'
import type { CopiedDatabase } from './snapshot-copy.ts'
import { SnapshotFiles, type SnapshotWork } from './snapshot-files.ts'

export interface MaintenanceOptions {
  /** The database. */
  readonly path: string
  /** Its folder, see openFolder. */
  readonly folder: string
  /** Has the store's thread copy what is left of the WAL. */
  readonly finishCheckpoint: (done: () => void) => void
  /** Checkpoints do not work, so the WAL grows; or the thread died. */
  readonly onProblem?: (error: ErrorData) => void
}

interface Waiting {
  readonly resolve: (value: unknown) => void
  readonly reject: (error: Error) => void
}

/** What the maintenance thread does for a node. */
export interface OpenMaintenance {
  /** The SnapshotPort of node/ports.ts. */
  readonly snapshots: SnapshotFiles
  /** Ends the thread; what it has not finished fails. */
  close(): Promise<void>
  /** Lets go of the file: only when no connection of this process has it open any more. */
  letGo(): void
}

/**
 * Starts checkpoints and snapshots of a database that a store has opened, and which is not being
 * replaced (see resumeInstall).
 */
export async function openMaintenance(options: MaintenanceOptions): Promise<OpenMaintenance> {
  const thread = new Maintenance(options)
  const live = new LiveSnapshots(options.path, thread)
  const snapshots = new SnapshotFiles(options.folder, thread, live)
  const close = async (): Promise<void> => {
    await thread.close()
    await snapshots.close()
  }
  return { snapshots, close, letGo: () => live.close() }
}

class Maintenance implements SnapshotWork, FreezeWork {
  readonly #options: MaintenanceOptions
  readonly #worker: Worker
  readonly #waiting = new Map<number, Waiting>()
  readonly #ended = Promise.withResolvers<void>()
  #ids = 0
  #closing = false

  constructor(options: MaintenanceOptions) {
    this.#options = options
    this.#worker = startWorker('maintenance-worker', import.meta.url, { path: options.path })
    this.#worker.on('message', (message: FromMaintenance) => this.#receive(message))
    this.#worker.on('error', (error) => this.#options.onProblem?.(toErrorData(error)))
    this.#worker.on('exit', () => this.#exit())
  }

  copy(target: string): Promise<CopiedDatabase> {
    return this.#ask({ kind: 'copy', path: target }) as Promise<CopiedDatabase>
  }

  digest(path: string): Promise<{ readonly bytes: number; readonly digest: string }> {
    return this.#ask({ kind: 'digest', path }) as ReturnType<SnapshotWork['digest']>
  }

  freeze(fd: number): Promise<CopiedDatabase> {
    return this.#ask({ kind: 'freeze', fd }) as Promise<CopiedDatabase>
  }

  thaw(): void {
    this.#post({ kind: 'thaw' })
  }

  async close(): Promise<void> {
    this.#closing = true
    this.#post({ kind: 'close' })
    await this.#ended.promise
  }

  #ask(job: MaintenanceJob): Promise<unknown> {
    if (this.#closing) return Promise.reject(closed())
    this.#ids += 1
    const id = this.#ids
    const { promise, resolve, reject } = Promise.withResolvers<unknown>()
    this.#waiting.set(id, { resolve, reject })
    this.#post({ kind: 'job', id, job })
    return promise
  }

  #post(message: ToMaintenance): void {
    this.#worker.postMessage(message)
  }

  #receive(message: FromMaintenance): void {
    switch (message.kind) {
      case 'done':
        this.#take(message.id)?.resolve(message.value)
        break
      case 'failed':
        this.#take(message.id)?.reject(fromErrorData(message.error))
        break
      case 'finish':
        this.#options.finishCheckpoint(() => this.#post({ kind: 'finished' }))
        break
      case 'problem':
        this.#options.onProblem?.(message.error)
        break
    }
  }

  #take(id: number): Waiting | undefined {
    const waiting = this.#waiting.get(id)
    this.#waiting.delete(id)
    return waiting
  }

  #exit(): void {
    if (!this.#closing) this.#options.onProblem?.(toErrorData(closed()))
    this.#closing = true
    for (const { reject } of this.#waiting.values()) reject(closed())
    this.#waiting.clear()
    this.#ended.resolve()
  }
}

function closed(): QuorateError {
  return new QuorateError('NOT_READY', 'The maintenance thread has ended.')
}
