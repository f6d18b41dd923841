/**
 * The thread for slow work on a live database that nobody waits for: checkpoints, copies for
 * snapshots, digests of files. The writer, the readers and the node's own thread never do these.
 */
import { parentPort, workerData } from 'node:worker_threads'
import { present } from '../../base/assert.ts'
import { type ErrorData, QuorateError, toErrorData } from '../../base/errors.ts'
import { CHECKPOINT, Checkpointer, planCheckpoint } from './checkpoint.ts'
import { type Frozen, freeze } from './frozen-file.ts'
import { type CopiedDatabase, copyLive, digestFile } from './snapshot-copy.ts'

export type MaintenanceJob =
  | { readonly kind: 'copy'; readonly path: string }
  | { readonly kind: 'digest'; readonly path: string }
  /** Keep the file as it is; `fd` is it. */
  | { readonly kind: 'freeze'; readonly fd: number }

export type ToMaintenance =
  | { readonly kind: 'job'; readonly id: number; readonly job: MaintenanceJob }
  /** The store's thread has copied what was left of the WAL. */
  | { readonly kind: 'finished' }
  /** The file may change again. */
  | { readonly kind: 'thaw' }
  | { readonly kind: 'close' }

export type FromMaintenance =
  | { readonly kind: 'done'; readonly id: number; readonly value: unknown }
  | { readonly kind: 'failed'; readonly id: number; readonly error: ErrorData }
  /** The WAL is long: the store's thread should copy what is left of it. */
  | { readonly kind: 'finish' }
  /** Checkpoints do not work. */
  | { readonly kind: 'problem'; readonly error: ErrorData }

const port = present(parentPort, () => 'the port of the thread that started this one')
const { path } = workerData as { readonly path: string }
const post = (message: FromMaintenance): void => port.postMessage(message)

const checkpointer = new Checkpointer(path)
let finishing = false
/** Frames in the WAL when the writer helped last. */
let finishedAt = 0
let problem = ''
let frozen: Frozen | null = null

function checkpoint(): void {
  if (finishing) return
  try {
    const before = checkpointer.look()
    if (planCheckpoint(before, finishedAt) === 'nothing') return
    const after = checkpointer.copy()
    if (planCheckpoint(after, finishedAt) !== 'finish') return
    finishing = true
    finishedAt = after.frames
    post({ kind: 'finish' })
  } catch (error) {
    // The file is being replaced: the next look finds the new one.
    if (error instanceof QuorateError && error.code === 'NOT_READY') return
    const data = toErrorData(error)
    if (data.detail !== problem) post({ kind: 'problem', error: data })
    problem = data.detail
  }
}

function run(job: MaintenanceJob): Promise<unknown> {
  switch (job.kind) {
    case 'copy':
      return copyLive(path, job.path)
    case 'digest':
      return digestFile(job.path)
    case 'freeze':
      return freezeLive(job.fd)
  }
}

async function freezeLive(fd: number): Promise<CopiedDatabase> {
  thaw()
  const { release, ...copied } = await freeze(path, fd, checkpointer)
  frozen = { ...copied, release }
  return copied
}

function thaw(): void {
  frozen?.release()
  frozen = null
}

const timer = setInterval(checkpoint, CHECKPOINT.everyMs)

port.on('message', (message: ToMaintenance) => {
  switch (message.kind) {
    case 'job': {
      const { id, job } = message
      run(job).then(
        (value) => post({ kind: 'done', id, value }),
        (error: unknown) => post({ kind: 'failed', id, error: toErrorData(error) }),
      )
      return
    }
    case 'finished':
      finishing = false
      return
    case 'thaw':
      thaw()
      return
    case 'close':
      clearInterval(timer)
      thaw()
      checkpointer.close()
      port.close()
  }
})
