/** What the HTTP server needs of a node, and where the node's events go. */
import { createReadStream } from 'node:fs'
import { basename, join } from 'node:path'
import type { Readable } from 'node:stream'
import { fromErrorData, QuorateError } from '../base/errors.ts'
import type { NodeReply, NodeRequest } from '../model/request.ts'
import type { NodeStatus } from '../model/status.ts'
import type { EventSink, NodeEvent, SnapshotFile } from '../node/ports.ts'
import type { FaultCommand, LostTransactions, NodeService } from '../server/service.ts'
import { listLostFiles, lostFolder, readLostFile } from '../store/apply/lost-file.ts'
import { columnsIn, describeLost, replayPrograms, schemaIn } from '../store/apply/lost-replay.ts'
import type { SnapshotFiles } from '../store/files/snapshot-files.ts'

export interface FaceOptions {
  /** Path of the database. */
  readonly file: string
  readonly allowFaults: boolean
  readonly request: (request: NodeRequest, done: (reply: NodeReply) => void) => void
  readonly status: () => NodeStatus
  /** Entries through this one are committed and in the database; null before there is a driver. */
  readonly position: () => number | null
  readonly meet: (promise: string | null) => unknown
  readonly snapshots: () => SnapshotFiles
  readonly cut: (names: ReadonlySet<string>) => void
}

const REPLAY_TIMEOUT_MS = 30_000

export class NodeFace implements NodeService, EventSink {
  readonly #options: FaceOptions
  readonly #listeners = new Set<(event: NodeEvent) => void>()
  readonly #watchers = new Set<(index: number) => void>()
  #position: number | null = null
  readonly lost: LostTransactions
  readonly fault?: (command: FaultCommand) => void

  constructor(options: FaceOptions) {
    this.#options = options
    this.lost = {
      list: async () => listLostFiles(options.file).map((path) => summary(path)),
      show: async (file) =>
        describeLost(readLostFile(this.#lostPath(file)), columnsIn(options.file)),
      replay: (file) => this.#replay(file),
    }
    if (options.allowFaults) this.fault = ({ cut }) => options.cut(new Set(cut))
  }

  get lostCount(): number {
    return listLostFiles(this.#options.file).length
  }

  emit(event: NodeEvent): void {
    for (const listener of this.#listeners) listener(event)
  }

  request(request: NodeRequest): Promise<NodeReply> {
    return new Promise((resolve) => {
      this.#options.request(request, (reply) => resolve(reply))
    })
  }

  status(): NodeStatus {
    return this.#options.status()
  }

  events(listener: (event: NodeEvent) => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  watch(listener: (index: number) => void): () => void {
    const position = this.#options.position()
    if (position !== null) listener(position)
    this.#watchers.add(listener)
    return () => this.#watchers.delete(listener)
  }

  /** Once a tick: nobody is told of each entry by itself. */
  tick(): void {
    if (this.#watchers.size === 0) return
    const position = this.#options.position()
    if (position === null || position === this.#position) return
    this.#position = position
    for (const listener of this.#watchers) listener(position)
  }

  meet(promise: string | null): unknown {
    return this.#options.meet(promise)
  }

  async snapshotStream(): Promise<Readable> {
    const snapshots = this.#options.snapshots()
    const made = await new Promise<SnapshotFile>((resolve, reject) => {
      snapshots.createFile((reply) => {
        if ('code' in reply) reject(fromErrorData(reply))
        else resolve(reply)
      })
    })
    const stream = createReadStream(snapshots.pathOf(made.snapshot))
    stream.on('close', () => snapshots.release(made.snapshot))
    return stream
  }

  #lostPath(file: string): string {
    const known = listLostFiles(this.#options.file).map((path) => basename(path))
    if (known.includes(file)) return join(lostFolder(this.#options.file), file)
    throw new QuorateError('NOT_FOUND', `There is no file ${file} of lost transactions here.`)
  }

  /** Runs the work of each lost entry again as a new transaction; tells what did not fit any more. */
  async #replay(file: string): Promise<unknown> {
    const lost = readLostFile(this.#lostPath(file))
    let replayed = 0
    const conflicts: unknown[] = []
    const skipped = new Set<string>()
    const setAside = new Set<string>()
    for (const work of replayPrograms(lost, schemaIn(this.#options.file))) {
      for (const table of work.skipped) skipped.add(table)
      for (const trigger of work.setAside) setAside.add(trigger)
      const request = { kind: 'write', program: work.program, ack: 'majority' } as const
      const reply = await this.request({ ...request, timeoutMs: REPLAY_TIMEOUT_MS })
      if (reply.kind === 'error') throw fromErrorData(reply.error)
      if (reply.kind !== 'result') throw new QuorateError('INTERNAL', `Answered ${reply.kind}.`)
      const error = reply.result.steps.find((step) => step !== null && 'error' in step)
      if (error === undefined) replayed += 1
      else conflicts.push({ entry: work.index, ...error })
    }
    return { file, replayed, conflicts, skipped: [...skipped], triggersSetAside: [...setAside] }
  }
}

function summary(path: string): unknown {
  const { head } = readLostFile(path)
  return { file: basename(path), ...head, at: new Date(head.at).toISOString() }
}
