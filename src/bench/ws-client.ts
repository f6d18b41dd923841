/**
 * A client over WebSocket for the benchmark: Hrana 3 in JSON, one socket, one stream, one request at
 * a time. As small as it can be, because it shares the machine with the nodes that it measures.
 */
import { once } from 'node:events'
import { WebSocket } from 'ws'
import type { AckLevel } from '../model/request.ts'
import { POINT_READ, randomKey, UPSERT, upsertArgs } from './workload.ts'

const UPSERT_ID = 1
const READ_ID = 2

export interface WsClientOptions {
  readonly ack: AckLevel
  readonly token?: string
}

export class WsClient {
  readonly #socket: WebSocket
  #waiting: PromiseWithResolvers<void> | null = null

  private constructor(socket: WebSocket) {
    this.#socket = socket
    socket.on('message', (data: Buffer) => this.#receive(data))
    socket.on('close', (code, reason) => {
      this.#waiting?.reject(new Error(`the socket was closed with ${code}: ${String(reason)}`))
    })
  }

  /** Connects to a node by its HTTP URL. Reads are of the level `local`. */
  static async connect(url: string, { ack, token }: WsClientOptions): Promise<WsClient> {
    const at = `${url.replace(/^http/, 'ws')}/?read=local&ack=${ack}`
    const socket = new WebSocket(at, ['hrana3'], { perMessageDeflate: false })
    const client = new WsClient(socket)
    await once(socket, 'open')
    await client.#send({ type: 'hello', jwt: token ?? null })
    await client.#ask({ type: 'open_stream', stream_id: 1 })
    await client.#ask({ type: 'store_sql', sql_id: UPSERT_ID, sql: UPSERT })
    await client.#ask({ type: 'store_sql', sql_id: READ_ID, sql: POINT_READ })
    return client
  }

  write(): Promise<void> {
    const [key, value] = upsertArgs()
    return this.#execute(UPSERT_ID, [integer(key), { type: 'text', value }])
  }

  read(): Promise<void> {
    return this.#execute(READ_ID, [integer(randomKey())])
  }

  close(): void {
    this.#socket.terminate()
  }

  #execute(sqlId: number, args: readonly object[]): Promise<void> {
    return this.#ask({ type: 'execute', stream_id: 1, stmt: { sql_id: sqlId, args } })
  }

  #ask(request: object): Promise<void> {
    return this.#send({ type: 'request', request_id: 1, request })
  }

  /** Resolves with the answer, rejects with an error that the node gave. */
  #send(message: object): Promise<void> {
    this.#waiting = Promise.withResolvers()
    this.#socket.send(JSON.stringify(message))
    return this.#waiting.promise
  }

  #receive(data: Buffer): void {
    const text = data.toString()
    if (/^\{"type":"(response|hello)_ok"/.test(text)) this.#waiting?.resolve()
    else this.#waiting?.reject(new Error(`the node answered ${text}`))
  }
}

function integer(value: unknown): object {
  return { type: 'integer', value: String(value) }
}
