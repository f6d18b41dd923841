import { deepEqual, equal, match, rejects } from 'node:assert/strict'
import { test } from 'node:test'
import { Worker } from 'node:worker_threads'
import { toLogIndex } from '../base/brand.ts'
import type { StorePort } from '../node/ports.ts'
import { connectStore } from './store-port.ts'
import type { StoreCommand, StoreReply } from './types.ts'

/** A thread with the real host around a store that is none; tickets are its script. */
function fakeStore(opened: string): Worker {
  const host = new URL('./store-host.ts', import.meta.url).href
  const script = `
    const { parentPort } = require('node:worker_threads')
    import(${JSON.stringify(host)}).then(({ StoreHost }) => {
      const post = (message) => parentPort.postMessage(message)
      const run = (command) => {
        if (command.ticket === 13) throw new Error('unlucky')
        if (command.ticket === 14) process.exit(3)
        if (command.ticket === 15) setTimeout(() => { throw new Error('stray') })
        return { kind: 'applied', index: command.ticket }
      }
      const host = new StoreHost({
        store: { run, foreignWrites: 3, close() {} },
        flusher: { wrote: (ticket) => host.flushed(ticket), reopen() {}, close() {} },
        checkpoint() {}, post, closed: () => parentPort.close(),
        later: setImmediate, soon: setImmediate, now: () => performance.now(),
      })
      parentPort.on('message', (message) => host.receive(message))
      post(${opened})
    })`
  return new Worker(script, { eval: true })
}

const OPENED = `{ kind: 'opened', state: { identity: null, log: 'log' } }`
const command = (ticket: number): StoreCommand => ({
  kind: 'compact',
  ticket,
  to: toLogIndex(0),
})

/** Submits and waits for the reply. */
const ask = (port: StorePort, ticket: number): Promise<StoreReply> =>
  new Promise((done) => port.submit(command(ticket), done))

test('replies come in order, flushes come through, closing waits for what was asked', async () => {
  const store = await connectStore(fakeStore(OPENED))
  equal(store.state.identity, null)
  const flushed: number[] = []
  store.port.onFlushed((ticket) => flushed.push(ticket))
  const replies = Promise.all([1, 2, 3].map((ticket) => ask(store.port, ticket)))
  await new Promise<void>((done) => store.checkpoint(done))
  const last = ask(store.port, 4)
  await store.close()
  deepEqual(
    [...(await replies), await last],
    [1, 2, 3, 4].map((index) => ({ kind: 'applied', index })),
  )
  deepEqual(flushed, [1, 2, 3, 4])
  equal(store.foreignWrites, 3)
  equal((await ask(store.port, 5)).kind, 'failed')
})

test('a store that can not be opened rejects with its error', async () => {
  const error = `{ kind: 'refused', error: { code: 'FILE_IN_USE', detail: 'It is.' } }`
  const worker = fakeStore(error)
  await rejects(connectStore(worker), { code: 'FILE_IN_USE' })
  await worker.terminate()
})

for (const [ticket, words] of [
  [13, /unlucky/],
  [14, /thread ended/],
  [15, /stray/],
] as const) {
  test(`a store that breaks (${words}) answers everything and says that it is broken`, async () => {
    const store = await connectStore(fakeStore(OPENED))
    const fatal = new Promise((done) => store.onFatal((error) => done(error.detail)))
    const replies = Promise.all([ticket, 1, 2].map((each) => ask(store.port, each)))
    match(String(await fatal), words)
    const last = (await replies).at(-1)
    if (ticket !== 15) equal(last?.kind, 'failed')
    equal((await ask(store.port, 3)).kind, 'failed')
    await store.close()
  })
}
