/** A thread that reads: tasks come in batches, run one after the other, answers go in batches. */
import { parentPort, workerData } from 'node:worker_threads'
import { present } from '../../base/assert.ts'
import type { Program } from '../../model/program.ts'
import {
  type CursorBegin,
  type CursorNext,
  type CursorReply,
  Reader,
  type ReadReply,
} from './reader.ts'

/** A program is read at once, the others belong to cursors. */
export type ReaderTask =
  | Program
  | { readonly kind: 'open'; readonly begin: CursorBegin }
  | { readonly kind: 'fetch'; readonly next: CursorNext }

export type ReaderAnswer = ReadReply | CursorReply

export interface ReaderData {
  readonly path: string
  readonly cursorsMax: number
}

export type ToReader =
  | { readonly kind: 'reads'; readonly reads: readonly (readonly [id: number, ReaderTask])[] }
  | { readonly kind: 'closeCursor'; readonly cursor: number }
  | { readonly kind: 'reopen' }
  | { readonly kind: 'close' }

export type FromReader = readonly (readonly [id: number, ReaderAnswer])[]

/** Answers wait for each other this long at most. */
const TURN_MS = 0.5
/** A chunk of a cursor ends after this long, so that others on the thread get their turn. */
const CHUNK_MS = 10

const port = present(parentPort, () => 'the port of the thread that started this one')
const { path, cursorsMax } = workerData as ReaderData
let chunkEnds = 0
const reader = new Reader(path, { cursorsMax, enough: () => performance.now() >= chunkEnds })

function answer(task: ReaderTask): ReaderAnswer {
  if (!('kind' in task)) return reader.read(task)
  chunkEnds = performance.now() + CHUNK_MS
  return task.kind === 'open' ? reader.open(task.begin) : reader.fetch(task.next)
}

function run(reads: readonly (readonly [number, ReaderTask])[]): void {
  let replies: (readonly [number, ReaderAnswer])[] = []
  let until = performance.now() + TURN_MS
  for (const [id, task] of reads) {
    replies.push([id, answer(task)])
    if (performance.now() < until) continue
    port.postMessage(replies satisfies FromReader)
    replies = []
    until = performance.now() + TURN_MS
  }
  if (replies.length > 0) port.postMessage(replies satisfies FromReader)
}

port.on('message', (message: ToReader) => {
  switch (message.kind) {
    case 'reads':
      run(message.reads)
      return
    case 'closeCursor':
      reader.closeCursor(message.cursor)
      return
    case 'reopen':
      reader.reopen()
      return
    case 'close':
      reader.close()
      port.close()
  }
})
