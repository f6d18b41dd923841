import assert from 'node:assert/strict'
import { EventEmitter, once } from 'node:events'
import { createServer, type Server } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import { type TestContext, test } from 'node:test'
import { crc32 } from 'node:zlib'
import { WebSocket } from 'ws'
import { type NodeId, toNodeId, toTerm } from '../base/brand.ts'
import { prngFromSeed } from '../base/prng.ts'
import { type PeerMessage, PROTOCOL_VERSION } from '../model/message.ts'
import { encodeMessage } from '../model/wire.ts'
import { CLOSE } from './link.ts'
import { PeerTransport, type PeerTransportOptions } from './peer-transport.ts'

const A = toNodeId('a:00000001')
const B = toNodeId('b:00000002')
const message = (term: number): PeerMessage => ({ kind: 'timeoutNow', term: toTerm(term) })

/**
 * Dials again soon. The side that should be dialed waits for ever unless a test says otherwise: on a
 * busy machine a second link would replace the first in the middle of a test, and lose messages.
 */
const QUICK = { redialMinMs: 2, redialMaxMs: 10 }
const IMPATIENT = { settings: { ...QUICK, patienceMs: 20 } }

/** A transport with the HTTP server it needs, and what happened to it as events. */
class Peer extends EventEmitter {
  readonly id: NodeId
  readonly transport: PeerTransport
  readonly server: Server
  readonly sockets = new Set<Socket>()
  readonly seen: string[] = []
  url = ''

  constructor(id: NodeId, options: Partial<PeerTransportOptions>) {
    super()
    this.id = id
    this.transport = new PeerTransport({
      id,
      name: id.slice(0, 1),
      cluster: 'c1',
      release: '0.1.0',
      token: null,
      checksums: { crc32, entry: (entry) => entry.checksum },
      prng: prngFromSeed(42),
      onMessage: (from, received) => {
        this.#tell('message', `${from} ${'term' in received ? received.term : received.kind}`)
      },
      onLink: (peer, up) => this.#tell(up ? 'up' : 'down', peer),
      onEvent: ({ name, facts }) => {
        if (name === 'peer.refused') this.#tell('refused', String(facts['reason']))
      },
      settings: { ...QUICK, patienceMs: 60_000 },
      ...options,
    })
    this.server = createServer()
    this.server.on('connection', (socket) => this.sockets.add(socket))
    this.server.on('upgrade', (...args) => this.transport.accept(...args))
  }

  #tell(what: string, value: string): void {
    this.seen.push(`${what} ${value}`)
    this.emit(what, value)
  }

  async listen(port = 0): Promise<this> {
    this.server.listen(port, '127.0.0.1')
    await once(this.server, 'listening')
    this.url = `http://127.0.0.1:${(this.server.address() as AddressInfo).port}`
    return this
  }

  /** Like kill -9: every connection breaks without a goodbye. */
  stop(): void {
    this.transport.close()
    this.server.close()
    for (const socket of this.sockets) socket.destroy()
  }
}

async function peer(t: TestContext, id: NodeId, options: Partial<PeerTransportOptions> = {}) {
  const made = await new Peer(id, options).listen()
  t.after(() => made.stop())
  return made
}

function introduce(...peers: readonly Peer[]): void {
  for (const each of peers) each.transport.setPeers(peers)
}

test('two peers find each other and exchange messages in order', async (t) => {
  const [a, b] = [await peer(t, A), await peer(t, B)]
  const up = Promise.all([once(a, 'up'), once(b, 'up')])
  introduce(a, b)
  assert.deepEqual(await up, [[B], [A]])
  for (let term = 1; term <= 100; term += 1) a.transport.send(B, message(term))
  b.transport.send(A, message(7))
  await Promise.all([once(a, 'message'), last(b, 100)])
  const expected = Array.from({ length: 100 }, (_, at) => text(A, at + 1))
  assert.deepEqual(b.seen.slice(1), expected)
  assert.equal(a.seen.at(-1), text(B, 7))
})

const text = (from: NodeId, term: number) => `message ${from} ${term}`

async function last(peer: Peer, term: number): Promise<void> {
  while (!peer.seen.at(-1)?.endsWith(` ${term}`)) await once(peer, 'message')
}

test('a large message arrives whole', async (t) => {
  const [a, b] = [await peer(t, A), await peer(t, B)]
  const up = Promise.all([once(a, 'up'), once(b, 'up')])
  introduce(a, b)
  await up
  const data = new Uint8Array(5_000_000).fill(7)
  const large = { snapshot: 's', offset: 0, data, checksum: crc32(data) }
  a.transport.send(B, { kind: 'snapshotChunk', term: toTerm(1), ...large })
  b.transport.send(A, { kind: 'snapshotChunk', term: toTerm(1), ...large })
  await Promise.all([once(b, 'message'), once(a, 'message')])
})

test('a peer that comes back is found again from either side', async (t) => {
  for (const [staysId, returnsId] of [
    [A, B],
    [B, A],
  ] as const) {
    const stays = await peer(t, staysId)
    const returns = await peer(t, returnsId)
    const up = Promise.all([once(stays, 'up'), once(returns, 'up')])
    introduce(stays, returns)
    await up
    const down = once(stays, 'down')
    const { port } = returns.server.address() as AddressInfo
    returns.stop()
    assert.deepEqual(await down, [returnsId])
    const again = once(stays, 'up')
    const reborn = await new Peer(returnsId, {}).listen(port)
    t.after(() => reborn.stop())
    introduce(reborn, stays)
    assert.deepEqual(await again, [returnsId])
  }
})

test('a joiner that knows nobody is reached whichever id is smaller', async (t) => {
  for (const [memberId, joinerId] of [
    [A, B],
    [B, A],
  ] as const) {
    const member = await peer(t, memberId, IMPATIENT)
    const joiner = await peer(t, joinerId, { cluster: null })
    const up = Promise.all([once(member, 'up'), once(joiner, 'up')])
    member.transport.setPeers([joiner])
    await up
    joiner.transport.setCluster('c1')
    member.transport.send(joinerId, message(3))
    await once(joiner, 'message')
    assert.equal(joiner.seen.at(-1), text(memberId, 3))
  }
})

test('another cluster is refused, reported once, and let in when it is ours after all', async (t) => {
  const [a, b] = [await peer(t, A), await peer(t, B, { cluster: 'c2' })]
  const refused = Promise.all([once(a, 'refused'), once(b, 'refused')])
  a.transport.setPeers([b])
  const [[atA], [atB]] = (await refused) as [[string], [string]]
  assert.equal(atB, 'Cluster c1 meets cluster c2.')
  assert.equal(atA, 'Cluster c1 meets cluster c2.')
  const up = Promise.all([once(a, 'up'), once(b, 'up')])
  b.transport.setCluster('c1')
  await up
  assert.deepEqual(b.seen, [`refused ${atB}`, `up ${A}`])
})

test('a node that is not the one looked for is refused', async (t) => {
  const [a, b] = [await peer(t, A), await peer(t, B)]
  const refused = once(a, 'refused')
  a.transport.setPeers([{ id: toNodeId('c:00000003'), url: b.url }])
  assert.match(String(await refused), /looks for c:00000003 and meets b:00000002/)
})

test('without the token nobody gets in; with it everything works', async (t) => {
  const b = await peer(t, B, { token: 'secret' })
  const stranger = await peer(t, A, { token: 'guess' })
  const refused = once(stranger, 'refused')
  stranger.transport.setPeers([b])
  assert.match(String(await refused), /HTTP 401/)
  stranger.stop()
  const a = await peer(t, A, { token: 'secret' })
  const up = once(b, 'up')
  a.transport.setPeers([b])
  await up
})

test('a cut drops both directions without breaking the link, until it heals', async (t) => {
  const [a, b] = [await peer(t, A), await peer(t, B)]
  const up = Promise.all([once(a, 'up'), once(b, 'up')])
  introduce(a, b)
  await up
  b.transport.setCut(new Set(['a']))
  a.transport.send(B, message(1))
  b.transport.send(A, message(2))
  // Nothing tells that a message was dropped: one that arrives after the heal shows it by order.
  const echo = once(a, 'message')
  b.transport.setCut(new Set())
  b.transport.send(A, message(3))
  await echo
  assert.deepEqual(a.seen, [`up ${B}`, text(B, 3)])
})

test('a full link drops messages instead of queueing them', async (t) => {
  const a = await peer(t, A, { settings: { redialMinMs: 2, bufferBytesMax: 100_000 } })
  const b = await peer(t, B)
  const up = Promise.all([once(a, 'up'), once(b, 'up')])
  introduce(a, b)
  await up
  const big = { kind: 'forward', id: 1, body: new Uint8Array(60_000) } as const
  for (let sent = 0; sent < 50; sent += 1) a.transport.send(B, big)
  // One that gets through shows that the link took the others' place in time.
  const through = last(b, 1).then(() => true)
  const soon = () => new Promise<false>((resolve) => setImmediate(resolve, false))
  do a.transport.send(B, message(1))
  while (!(await Promise.race([through, soon()])))
  const large = b.seen.filter((line) => line.endsWith('forward'))
  assert.ok(large.length > 0 && large.length < 10, `${large.length} of 50 messages`)
})

/** Speaks by hand to a peer's port. */
async function rawSocket(url: string): Promise<WebSocket> {
  const socket = new WebSocket(`${url.replace('http', 'ws')}/peer`)
  await once(socket, 'open')
  return socket
}

const helloTo = (to: NodeId, changes: object = {}) =>
  JSON.stringify({
    ...{ protocol: PROTOCOL_VERSION, cluster: 'c1', from: A, to, name: 'a', release: '9' },
    ...changes,
  })

test('a peer that falls silent is dropped; one that only answers pings is not', async (t) => {
  const b = await peer(t, B, { settings: { tickMs: 3 } })
  const socket = await rawSocket(b.url)
  t.after(() => socket.terminate())
  socket.send(helloTo(B))
  await once(b, 'up')
  for (let pings = 0; pings < 12; pings += 1) await once(socket, 'ping')
  assert.deepEqual(b.seen, [`up ${A}`])
  socket.pause()
  assert.deepEqual(await once(b, 'down'), [A])
})

test('a close reason that a peer makes long does no harm', async (t) => {
  const b = await peer(t, B)
  const socket = await rawSocket(b.url)
  const closed = once(socket, 'close')
  socket.send(helloTo(B, { cluster: '\u{1F600}'.repeat(100) }))
  assert.equal((await closed)[0], CLOSE.cluster)
})

test('malformed frames, other protocols and frames out of place close the link', async (t) => {
  const b = await peer(t, B)
  const cases = [
    { frames: ['{'], code: CLOSE.malformed },
    { frames: [Buffer.from([1, 2])], code: CLOSE.malformed },
    { frames: [helloTo(B, { protocol: PROTOCOL_VERSION + 1 })], code: CLOSE.protocol },
    { frames: [helloTo(A)], code: CLOSE.addressee },
    { frames: [helloTo(B, { from: B })], code: CLOSE.addressee },
    { frames: [helloTo(B), Buffer.from([9, 9, 9, 9, 9])], code: CLOSE.malformed },
    { frames: [helloTo(B), helloTo(B)], code: CLOSE.malformed },
  ]
  for (const { frames, code } of cases) {
    const socket = await rawSocket(b.url)
    const closed = once(socket, 'close')
    for (const frame of frames) socket.send(frame)
    assert.equal((await closed)[0], code, String(frames))
  }
})

test('what arrives while cut is dropped too', async (t) => {
  const b = await peer(t, B)
  const socket = await rawSocket(b.url)
  socket.send(helloTo(B))
  await once(b, 'up')
  b.transport.setCut(new Set([A]))
  socket.send(encodeMessage(message(1)))
  socket.ping()
  await once(socket, 'pong')
  b.transport.setCut(new Set())
  socket.send(encodeMessage(message(2)))
  await once(b, 'message')
  assert.deepEqual(b.seen, [`up ${A}`, text(A, 2)])
  socket.terminate()
})

test('of two links of a pair both sides keep the newer that the smaller id dialed', async (t) => {
  const b = await peer(t, B)
  const first = await rawSocket(b.url)
  first.send(helloTo(B))
  await once(b, 'up')
  const firstClosed = once(first, 'close')
  const second = await rawSocket(b.url)
  second.send(helloTo(B))
  await Promise.all([firstClosed, once(b, 'down')])
  assert.deepEqual(b.seen, [`up ${A}`, `down ${A}`, `up ${A}`])
  second.terminate()
})

test('a link that the larger id dialed is refused beside a fresh one', async (t) => {
  const a = await peer(t, A)
  const b = await peer(t, B)
  const up = Promise.all([once(a, 'up'), once(b, 'up')])
  a.transport.setPeers([b])
  await up
  const second = await rawSocket(a.url)
  const closed = once(second, 'close')
  second.send(helloTo(A, { from: B, name: 'b' }))
  assert.equal((await closed)[0], CLOSE.duplicate)
  b.transport.send(A, message(5))
  await once(a, 'message')
  assert.deepEqual(a.seen, [`up ${B}`, text(B, 5)])
})
