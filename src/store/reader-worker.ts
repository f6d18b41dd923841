/** A thread that reads: programs come in batches, run one after the other, answers go in batches. */
import { parentPort, workerData } from 'node:worker_threads'
import { present } from '../base/assert.ts'
import type { Program } from '../model/program.ts'
import { Reader, type ReadReply } from './reader.ts'

export type ToReader =
  | { readonly kind: 'reads'; readonly reads: readonly (readonly [id: number, Program])[] }
  | { readonly kind: 'reopen' }
  | { readonly kind: 'close' }

export type FromReader = readonly (readonly [id: number, ReadReply])[]

/** Answers wait for each other this long at most. */
const TURN_MS = 0.5

const port = present(parentPort, () => 'the port of the thread that started this one')
const reader = new Reader((workerData as { readonly path: string }).path)

function run(reads: readonly (readonly [number, Program])[]): void {
  let replies: (readonly [number, ReadReply])[] = []
  let until = performance.now() + TURN_MS
  for (const [id, program] of reads) {
    replies.push([id, reader.read(program)])
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
    case 'reopen':
      reader.reopen()
      return
    case 'close':
      reader.close()
      port.close()
  }
})
