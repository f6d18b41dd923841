/** A hostile client over WebSocket: every version, the right and the wrong kind of frame. */
import { deepEqual, equal } from 'node:assert/strict'
import { once } from 'node:events'
import { WebSocket } from 'ws'
import type { Prng } from '../../base/prng.ts'
import { OFFICIAL } from '../testing/official-codec.ts'
import type { FuzzClient, Tally } from './fuzz.ts'
import { mutate, newSession, randomBytes } from './messages.ts'
import { WsModel } from './ws-model.ts'

const PROTOCOLS = [
  ['hrana3-protobuf', 3],
  ['hrana3', 3],
  ['hrana2', 2],
  ['hrana1', 1],
  [null, 1],
] as const
/** Streams that wait for each other's transaction end when the socket does: nobody waits for long. */
const QUIET_MS = 100
const ANSWER_MS = 10_000
const LAST_ID = 2_000_000_000

export const wsClient: FuzzClient = async (url, prng, tally) => {
  const [protocol, version] = prng.pick(PROTOCOLS)
  const socket = await connect(url, protocol)
  const closed = once(socket, 'close')
  let broken: Error | null = null
  socket.on('message', (data) => {
    if ((data as Buffer).includes('INTERNAL')) broken = new Error((data as Buffer).toString())
  })
  const codec = OFFICIAL[protocol === 'hrana3-protobuf' ? 'protobuf' : 'json']
  const isBinary = protocol === 'hrana3-protobuf'
  const send = (frame: Uint8Array, binary = isBinary): void => {
    tally.sent.ws += 1
    if (socket.readyState === WebSocket.OPEN) socket.send(frame, { binary })
  }
  const session = newSession(prng, version)
  const model = new WsModel(prng, session)
  if (!prng.percent(session.wild)) send(codec.message({ type: 'hello', jwt: undefined }))
  const answered = waitFor(socket)
  for (let id = prng.intInclusive(1, 100); id > 0; id -= 1) {
    const message = codec.message(model.next(id))
    send(damaged(prng, message, session.wild), prng.percent(session.wild / 10) !== isBinary)
    if (prng.percent(20)) await new Promise((resolve) => setImmediate(resolve))
  }
  const end = { type: 'close_sql', sqlId: LAST_ID } as const
  send(codec.message({ type: 'request', requestId: LAST_ID, request: end }))
  if (!prng.percent(10)) await Promise.race([answered, closed])
  count(tally, await endSocket(socket, closed, prng))
  if (broken !== null) throw broken
}

/** The first bad message closes the socket, and what follows is not looked at. */
function damaged(prng: Prng, message: Uint8Array, wild: number): Uint8Array {
  if (!prng.percent(wild)) return message
  return prng.percent(80) ? mutate(prng, message) : randomBytes(prng)
}

/** Until the last request is answered or the server has been silent for a while. */
function waitFor(socket: WebSocket): Promise<void> {
  return new Promise((resolve) => {
    let timer = setTimeout(resolve, QUIET_MS)
    socket.on('message', (data) => {
      clearTimeout(timer)
      if ((data as Buffer).includes(String(LAST_ID))) resolve()
      else timer = setTimeout(resolve, QUIET_MS)
    })
    socket.on('close', () => clearTimeout(timer))
  })
}

/** Ends the socket, the polite or the rude way. @returns the close code */
async function endSocket(
  socket: WebSocket,
  closed: Promise<unknown[]>,
  prng: Prng,
): Promise<number> {
  if (prng.percent(70)) socket.close()
  else socket.terminate()
  const timer = setTimeout(() => socket.terminate(), ANSWER_MS)
  const [code] = await closed
  clearTimeout(timer)
  return Number(code)
}

function count(tally: Tally, code: number): void {
  const key = `ws ${code}`
  tally.answers[key] = (tally.answers[key] ?? 0) + 1
  if (code === 1011) throw new Error('the server closed a socket for an error of its own')
}

async function connect(url: string, version: string | null): Promise<WebSocket> {
  const target = url.replace('http', 'ws')
  const socket = version === null ? new WebSocket(target) : new WebSocket(target, version)
  socket.on('error', () => {})
  const timer = setTimeout(() => socket.terminate(), ANSWER_MS)
  await once(socket, 'open')
  clearTimeout(timer)
  return socket
}

/** A fresh client, in each encoding, gets right answers. */
export async function checkWs(url: string): Promise<void> {
  for (const version of ['hrana3-protobuf', 'hrana3'] as const) {
    const codec = OFFICIAL[version === 'hrana3' ? 'json' : 'protobuf']
    const socket = await connect(url, version)
    const replies: unknown[] = []
    const done = new Promise<void>((resolve) => {
      socket.on('message', (data) => {
        replies.push(codec.reply(data as Buffer))
        if (replies.length === 3) resolve()
      })
      socket.on('close', () => resolve())
    })
    const send = (message: Parameters<typeof codec.message>[0]): void =>
      socket.send(codec.message(message), { binary: version !== 'hrana3' })
    const stmt = {
      ...{ sql: 'SELECT ?', sqlId: undefined, namedArgs: [], wantRows: true },
      args: ['é'],
    }
    send({ type: 'hello', jwt: undefined })
    send({ type: 'request', requestId: 1, request: { type: 'open_stream', streamId: 7 } })
    send({ type: 'request', requestId: 2, request: { type: 'execute', streamId: 7, stmt } })
    await done
    socket.close()
    await once(socket, 'close')
    deepEqual(replies.slice(0, 2), [
      { type: 'hello_ok' },
      { type: 'response_ok', requestId: 1, response: { type: 'open_stream' } },
    ])
    const last = JSON.stringify(replies[2], (_key, value) =>
      typeof value === 'bigint' ? String(value) : value,
    )
    equal(last?.includes('"rows":[["é"]]'), true, `answered ${last}`)
  }
}
