/**
 * A client over HTTP for the benchmark: Hrana's pipeline in JSON on one connection, one request at a
 * time. Written on a bare socket, because node:http costs more for each request than the node that is
 * measured, and shares its machine. Reads only the answers that a node gives.
 */
import { once } from 'node:events'
import { connect, isIP, type Socket } from 'node:net'
import { connect as connectTls } from 'node:tls'
import type { AckLevel } from '../model/request.ts'
import { POINT_READ, randomKey, UPSERT, upsertArgs } from './workload.ts'

const HEAD_END = '\r\n\r\n'
const OK = /^HTTP\/1\.1 200 /
const LENGTH = /\r\ncontent-length: (\d+)/i

export interface HttpClientOptions {
  readonly ack: AckLevel
  readonly token?: string
}

export class HttpClient {
  readonly #socket: Socket
  /** Of every request, up to the length of its body. */
  readonly #head: string
  #received = ''
  #waiting: PromiseWithResolvers<void> | null = null

  private constructor(socket: Socket, host: string, { ack, token }: HttpClientOptions) {
    this.#socket = socket
    const authorization = token === undefined ? '' : `authorization: Bearer ${token}\r\n`
    this.#head =
      `POST /v3/pipeline?read=local&ack=${ack} HTTP/1.1\r\nhost: ${host}\r\n${authorization}` +
      'content-type: application/json\r\ncontent-length: '
    // Lengths are then those of the text: all that is sent and answered here is ASCII.
    socket.setEncoding('latin1').setNoDelay(true)
    socket.on('data', (data: string) => this.#receive(data))
    socket.on('close', () => this.#waiting?.reject(new Error('the connection was closed')))
    socket.on('error', (error) => this.#waiting?.reject(error))
  }

  /** Connects to a node by its URL. Reads are of the level `local`. */
  static async connect(url: string, options: HttpClientOptions): Promise<HttpClient> {
    const { hostname, port, host: authority, protocol } = new URL(url)
    const host = hostname.replace(/^\[|\]$/g, '')
    const tls = protocol === 'https:'
    const socket = tls
      ? connectTls({ host, port: Number(port || 443), servername: isIP(host) ? '' : host })
      : connect({ host, port: Number(port || 80) })
    const client = new HttpClient(socket, authority, options)
    await once(socket, tls ? 'secureConnect' : 'connect')
    return client
  }

  write(): Promise<void> {
    const [key, value] = upsertArgs()
    return this.#execute(UPSERT, [integer(key), { type: 'text', value }])
  }

  read(): Promise<void> {
    return this.#execute(POINT_READ, [integer(randomKey())])
  }

  close(): void {
    this.#socket.destroy()
  }

  #execute(sql: string, args: readonly object[]): Promise<void> {
    const requests = [{ type: 'execute', stmt: { sql, args } }, { type: 'close' }]
    const body = JSON.stringify({ requests })
    this.#waiting = Promise.withResolvers()
    this.#socket.write(`${this.#head}${body.length}${HEAD_END}${body}`, 'latin1')
    return this.#waiting.promise
  }

  #receive(data: string): void {
    this.#received += data
    const end = this.#received.indexOf(HEAD_END)
    if (end === -1) return
    const length = Number(LENGTH.exec(this.#received)?.[1])
    if (this.#received.length < end + HEAD_END.length + length) return
    const answer = this.#received
    this.#received = ''
    const good = OK.test(answer) && answer.includes('"results":[{"type":"ok"')
    if (good) this.#waiting?.resolve()
    else this.#waiting?.reject(new Error(`the node answered ${answer}`))
  }
}

function integer(value: unknown): object {
  return { type: 'integer', value: String(value) }
}
