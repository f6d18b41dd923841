/**
 * A server on a fake node under bursts of hostile messages, over both transports and in both
 * encodings: mutated valid messages, random bytes, and valid messages in senseless orders. After
 * each burst a fresh client must get right answers, nothing may be left open, and memory must be
 * back where it was.
 */
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { type Prng, prngFromSeed } from '../../base/prng.ts'
import { createHttpServer, type HttpServer } from '../http-server.ts'
import { FakeNode } from '../testing/fake-node.ts'
import { checkHttp, httpClient } from './http-client.ts'
import { checkWs, wsClient } from './ws-client.ts'

export const TRANSPORTS = ['http', 'ws'] as const
export type Transport = (typeof TRANSPORTS)[number]

/** Counts what happens. */
export interface Tally {
  readonly sent: Record<Transport, number>
  /** By HTTP status or WebSocket close code. */
  readonly answers: Record<string, number>
}

/** One client's life: sends some messages, tells how many. Rejects if the server misbehaves. */
export type FuzzClient = (url: string, prng: Prng, tally: Tally) => Promise<void>

const CLIENTS: Readonly<Record<Transport, FuzzClient>> = { http: httpClient, ws: wsClient }
const CHECKS: Readonly<Record<Transport, (url: string) => Promise<void>>> = {
  http: checkHttp,
  ws: checkWs,
}
/** Clients at the same time. */
const AT_ONCE = 8
const BURST_MESSAGES = 5_000
/** An abandoned transaction blocks the fake node for so long. */
const IDLE_MS = 5
const SETTLE_MS = 5_000
/** Caches and compiled code may grow; a leak of a few bytes a message shows above this in a long run. */
const GROWTH_BYTES_MAX = 24 * 1024 * 1024
/** Before memory is compared with anything: code gets compiled, pools filled. */
const WARM_UP_BURSTS = 2

export interface FuzzOptions {
  readonly messages: number
  readonly seed: number
  readonly transports: readonly Transport[]
}

/** Rejects with what went wrong first. */
export async function fuzz({ messages, seed, transports }: FuzzOptions): Promise<object> {
  const tally: Tally = { sent: { http: 0, ws: 0 }, answers: {} }
  const errors: unknown[] = []
  const onRejection = (error: unknown): unknown => errors.push(error)
  process.on('unhandledRejection', onRejection)
  const node = new FakeNode()
  const server = createHttpServer({
    service: node,
    token: null,
    streamIdleMs: IDLE_MS,
    onError: onRejection,
  })
  const url = `http://127.0.0.1:${await server.listen('127.0.0.1', 0)}`
  const prng = prngFromSeed(seed)
  const heap: number[] = []
  try {
    while (total(tally) < messages) {
      prepare(node)
      const until = Math.min(messages, total(tally) + BURST_MESSAGES)
      await burst(url, prng, transports, tally, until)
      await settle(server, node)
      for (const transport of transports) await CHECKS[transport](url)
      if (errors.length > 0) throw new Error('the server had errors', { cause: errors[0] })
      heap.push(heapBytes())
      checkGrowth(heap)
    }
  } finally {
    process.off('unhandledRejection', onRejection)
    await server.close()
    node.db.close()
  }
  return { ...tally, heapMb: heap.map((bytes) => Math.round(bytes / 2 ** 20)).slice(-1)[0] }
}

/** A small table, whatever the burst before made of it. */
function prepare(node: FakeNode): void {
  node.requests.length = 0
  node.db.exec('DROP TABLE IF EXISTS t; CREATE TABLE t (id INTEGER PRIMARY KEY, v)')
  node.db.exec('INSERT INTO t (v) VALUES (1), (2), (3); PRAGMA user_version = 0')
}

async function burst(
  url: string,
  prng: Prng,
  transports: readonly Transport[],
  tally: Tally,
  until: number,
): Promise<void> {
  const one = async (): Promise<void> => {
    const own = prng.fork()
    while (total(tally) < until) await CLIENTS[nextOf(transports, tally)](url, own.fork(), tally)
  }
  await Promise.all(Array.from({ length: AT_ONCE }, one))
}

function total({ sent }: Tally): number {
  return sent.http + sent.ws
}

/** A call over HTTP costs as much as several messages on a socket: one in four of all. */
function nextOf(transports: readonly Transport[], tally: Tally): Transport {
  const wanted = tally.sent.http * 4 <= total(tally) ? 'http' : 'ws'
  return transports.includes(wanted) ? wanted : (transports[0] ?? 'http')
}

/** Waits until nothing is open any more: streams, cursors, a transaction. */
async function settle(server: HttpServer, node: FakeNode): Promise<void> {
  const deadline = performance.now() + SETTLE_MS
  for (;;) {
    const { streams, sockets } = server.open
    const open = { streams, sockets, cursors: node.cursors.size, owner: node.owner }
    if (streams + sockets + open.cursors === 0 && open.owner === null) return
    if (performance.now() > deadline) throw new Error(`left open: ${JSON.stringify(open)}`)
    await new Promise((resolve) => setTimeout(resolve, IDLE_MS / 4))
  }
}

function checkGrowth(heap: readonly number[]): void {
  const first = heap[WARM_UP_BURSTS]
  const last = heap.slice(-3)
  if (first === undefined || heap.length < WARM_UP_BURSTS + 4) return
  const grown = Math.min(...last) - first
  if (grown > GROWTH_BYTES_MAX) throw new Error(`the heap grew by ${grown} bytes and stayed so`)
}

function heapBytes(): number {
  setFlagsFromString('--expose-gc')
  runInNewContext('gc')()
  return process.memoryUsage().heapUsed
}
