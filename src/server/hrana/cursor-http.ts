/**
 * Cursors over HTTP: `POST /v3/cursor`, one line of JSON for each entry, and `/v3-protobuf/cursor`,
 * one message with its length before it. The body is written as fast as the client takes it; when it
 * breaks off, the statement ends and the stream goes on.
 */
import type { ServerResponse } from 'node:http'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { QuorateError } from '../../base/errors.ts'
import { encodeToken } from '../../model/token.ts'
import { CORS } from '../reply.ts'
import { refusal, writeAnswer } from './answer.ts'
import type { HranaCursor, Portion } from './cursor.ts'
import { bodyOf, type HranaHttp, optionsOf } from './http.ts'
import { decodeCursor } from './json-decode.ts'
import { encodeEntry } from './json-encode.ts'
import { decodeProtoCursor } from './proto-decode.ts'
import { encodeProtoCursorHead, encodeProtoEntries } from './proto-encode.ts'
import type { HranaBatch, HranaEntry } from './protocol.ts'
import type { HranaStream } from './stream.ts'

/** Entries that are encoded and written in one go. */
const WRITE_ENTRIES = 1_000
/** A client that takes nothing for so long is as good as gone. */
const STALLED_MS = 60_000

interface Encoding {
  readonly path: string
  readonly contentType: string
  readonly decode: (body: Buffer) => {
    readonly baton: string | null
    readonly batch: () => HranaBatch
  }
  readonly head: (baton: string | null) => string | Uint8Array
  readonly entries: (entries: readonly HranaEntry[]) => string | Uint8Array
}

const ENCODINGS: readonly Encoding[] = [
  {
    path: '/v3/cursor',
    contentType: 'text/plain',
    decode: (body) => decodeCursor(body.toString()),
    head: (baton) => `${JSON.stringify({ baton, base_url: null })}\n`,
    entries: (entries) => entries.map((entry) => `${encodeEntry(entry)}\n`).join(''),
  },
  {
    path: '/v3-protobuf/cursor',
    contentType: 'application/octet-stream',
    decode: decodeProtoCursor,
    head: encodeProtoCursorHead,
    entries: encodeProtoEntries,
  },
]

export function addCursorRoutes(app: FastifyInstance, http: HranaHttp): void {
  for (const encoding of ENCODINGS) {
    app.post(encoding.path, (request, reply) => answerCursor(http, encoding, request, reply))
  }
}

async function answerCursor(
  { streams, elsewhere, defaults }: HranaHttp,
  encoding: Encoding,
  request: FastifyRequest,
  reply: FastifyReply,
): Promise<void> {
  let stream: HranaStream | null = null
  try {
    const { baton, batch: undecoded } = encoding.decode(bodyOf(request))
    if (elsewhere.handOn(baton, request, reply)) return
    if (baton !== null) await streams.free(baton)
    stream = baton === null ? streams.open() : streams.resume(baton)
    const call = optionsOf(request, defaults)
    streams.begin(stream, call)
    const batch = undecoded()
    streams.saw(stream, batch)
    if (baton === null) streams.assertRoom()
    const cursor = stream.openCursor(batch, call)
    const head = encoding.head(streams.lend(stream))
    reply.hijack()
    try {
      await writeCursor(reply.raw, encoding, stream, head, cursor)
    } finally {
      await cursor.close()
      streams.end(stream, call)
      streams.giveBack(stream)
    }
  } catch (error) {
    if (stream !== null) streams.drop(stream)
    if (reply.raw.headersSent) reply.raw.destroy()
    if (reply.raw.headersSent || !(error instanceof QuorateError)) throw error
    writeAnswer(reply, refusal(error))
  }
}

/** Returns when all is written, or nobody reads it any more. */
async function writeCursor(
  raw: ServerResponse,
  encoding: Encoding,
  stream: HranaStream,
  head: string | Uint8Array,
  cursor: HranaCursor,
): Promise<void> {
  const ready = watch(raw)
  // With the first rows, which tell what the session has seen.
  let portion: Portion = await cursor.take(WRITE_ENTRIES)
  const session = stream.token === null ? {} : { 'quorate-session': encodeToken(stream.token) }
  raw.writeHead(200, { ...CORS, 'content-type': encoding.contentType, ...session })
  raw.cork()
  raw.write(head)
  for (;;) {
    const { entries, done } = portion
    const writable = entries.length === 0 || raw.write(encoding.entries(entries))
    if (done) break
    raw.uncork()
    if (!writable) await ready()
    if (raw.destroyed) return
    portion = await cursor.take(WRITE_ENTRIES)
    raw.cork()
  }
  raw.end()
}

/** @returns what waits until the client has taken what was written, or is gone */
function watch(raw: ServerResponse): () => Promise<void> {
  let wake = (): void => {}
  raw.on('drain', () => wake())
  raw.on('close', () => wake())
  // 'close' follows.
  raw.on('error', () => {})
  return async () => {
    if (raw.destroyed || !raw.writableNeedDrain) return
    const timer = setTimeout(() => raw.destroy(), STALLED_MS)
    await new Promise<void>((resolve) => {
      wake = resolve
    })
    clearTimeout(timer)
  }
}
