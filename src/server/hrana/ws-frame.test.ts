import { deepEqual } from 'node:assert/strict'
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { test } from 'node:test'
import { WebSocket, WebSocketServer } from 'ws'
import { frames } from './ws-frame.ts'

test('a client of ws reads what was framed, whatever its length', async (t) => {
  const lengths = [0, 2, 124, 126, 128, 65_534, 65_536, 200_000]
  const sent = lengths.flatMap((length) => [
    'x'.repeat(length),
    'é'.repeat(length / 2),
    new Uint8Array(length).fill(7),
  ])
  const webSockets = new WebSocketServer({ noServer: true })
  const server = createServer().on('upgrade', (request, socket, head) => {
    webSockets.handleUpgrade(request, socket, head, (webSocket) => {
      socket.write(frames(sent))
      webSocket.close()
    })
  })
  t.after(() => server.close())
  await once(server.listen(0, '127.0.0.1'), 'listening')
  const client = new WebSocket(`ws://127.0.0.1:${(server.address() as AddressInfo).port}`)
  const received: (string | Uint8Array)[] = []
  client.on('message', (data: Buffer, isBinary) => {
    received.push(isBinary ? new Uint8Array(data) : data.toString())
  })
  await once(client, 'close')
  deepEqual(received, sent)
})
