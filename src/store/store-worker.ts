/** The thread that owns the store: opens the file, runs commands, flushes what they wrote. */
import { parentPort, workerData } from 'node:worker_threads'
import { present } from '../base/assert.ts'
import { toErrorData } from '../base/errors.ts'
import type { OpenOptions } from './connections.ts'
import { Checkpointer } from './files/checkpoint.ts'
import { flushNow, WalFlusher } from './flush.ts'
import { loadMergeFunctions } from './merge-functions.ts'
import { Store } from './store.ts'
import { type FromStore, StoreHost, type ToStore } from './store-host.ts'
import type { StoreWorkerData } from './store-port.ts'

const port = present(parentPort, () => 'the port of the thread that started this one')
const post = (message: FromStore): void => port.postMessage(message)

function serve(path: string, store: Store): void {
  const checkpointer = new Checkpointer(path)
  const flusher = new WalFlusher({
    walPath: store.walPath,
    onFlushed: (ticket) => host.flushed(ticket),
    onFatal: ({ message }) => {
      const detail = `The write-ahead log could not be flushed: ${message}.`
      host.die({ code: 'LOG_CORRUPT', detail })
    },
  })
  const host = new StoreHost({
    store,
    flusher,
    checkpoint: () => checkpointer.copy(),
    post,
    closed: () => {
      checkpointer.close()
      port.close()
    },
    later: setImmediate,
    soon: (go) => setTimeout(go, 1),
    now: () => performance.now(),
  })
  port.on('message', (message: ToStore) => host.receive(message))
}

async function functionsOf(module: string): Promise<Pick<OpenOptions, 'functions'>> {
  return { functions: await loadMergeFunctions(module) }
}

try {
  const { path, functionsModule, ...options } = workerData as StoreWorkerData
  const functions = functionsModule === undefined ? {} : await functionsOf(functionsModule)
  const store = Store.open(path, { ...options, ...functions })
  // What a run before this one wrote may still be in memory only, and will be counted as held.
  flushNow(store.walPath)
  serve(path, store)
  post({ kind: 'opened', state: store.state() })
} catch (error) {
  post({ kind: 'refused', error: toErrorData(error) })
}
