/** A hostile client over HTTP: pipelines and cursors, and whatever else a body may be. */
import { deepEqual, equal } from 'node:assert/strict'
import { Agent, request as httpRequest, type IncomingMessage } from 'node:http'
import type { Prng } from '../../base/prng.ts'
import { OFFICIAL } from '../testing/official-codec.ts'
import type { FuzzClient, Tally } from './fuzz.ts'
import { mutate, newSession, randomBatch, randomBytes, randomPipeline } from './messages.ts'

const agent = new Agent({ keepAlive: true, maxSockets: 64 })
/** Every call must be answered in this time. */
const ANSWER_MS = 10_000

interface Answer {
  readonly status: number
  readonly body: Buffer
}

type Encoding = keyof typeof OFFICIAL

const PATHS: Readonly<Record<Encoding, readonly string[]>> = {
  json: [...repeat('/v2/pipeline'), ...repeat('/v3/pipeline'), '/v1/batch', '/v3/cursor'],
  protobuf: [...repeat('/v3-protobuf/pipeline'), '/v3-protobuf/cursor'],
}

/** Most calls are pipelines. */
function repeat(path: string): readonly string[] {
  return [path, path, path, path]
}

/** A client that goes on with its stream if it can, and mostly ends it properly. */
export const httpClient: FuzzClient = async (url, prng, tally) => {
  const encoding: Encoding = prng.percent(50) ? 'json' : 'protobuf'
  let baton: string | undefined
  let session = newSession(prng, 3)
  for (let calls = prng.intInclusive(1, 6); calls > 0; calls -= 1) {
    const path = prng.pick(PATHS[encoding])
    // A call of version 1 has the body of a cursor, but for fields that it does not know.
    const message = path.endsWith('pipeline')
      ? OFFICIAL[encoding].pipeline(randomPipeline(prng, session, baton))
      : OFFICIAL[encoding].cursor({ baton, batch: randomBatch(prng, session) })
    const aborts = prng.percent(2)
    const answer = await post(url + path, damaged(prng, message), headers(prng), aborts)
    count(tally, answer)
    baton = answer === null ? undefined : batonIn(encoding, path, answer)
    if (baton === undefined) session = newSession(prng, 3)
  }
  if (baton === undefined || prng.percent(1)) return
  const path = encoding === 'json' ? '/v3/pipeline' : '/v3-protobuf/pipeline'
  const end = OFFICIAL[encoding].pipeline({ baton, requests: [{ type: 'close' }] })
  count(tally, await post(url + path, end, {}, false))
}

function damaged(prng: Prng, message: Uint8Array): Uint8Array {
  if (prng.percent(75)) return message
  return prng.percent(85) ? mutate(prng, message) : randomBytes(prng)
}

function headers(prng: Prng): Record<string, string> {
  if (prng.percent(95)) return {}
  const name = prng.pick(['quorate-session', 'quorate-ack', 'quorate-read', 'quorate-write'])
  return { [name]: prng.pick(['', 'all', 'nonsense', 'a:1:2', '1', 'YS4x']) }
}

/** What an answer must never be: an error of the server's own, or none at all. */
function count(tally: Tally, answer: Answer | null): void {
  const key = String(answer?.status ?? 'aborted')
  tally.sent.http += 1
  tally.answers[key] = (tally.answers[key] ?? 0) + 1
  if (answer === null) return
  const broken = answer.status >= 500 || answer.body.includes('INTERNAL')
  if (broken) throw new Error(`${answer.status}: ${answer.body.toString().slice(0, 500)}`)
}

/** The stream's next baton. A cursor's body is not looked into: its stream is left to expire. */
function batonIn(encoding: Encoding, path: string, { status, body }: Answer): string | undefined {
  if (status !== 200 || !path.endsWith('pipeline')) return undefined
  return OFFICIAL[encoding].answer(body).baton
}

/** Null: the call was given up in the middle, as asked. */
function post(
  url: string,
  body: Uint8Array,
  extra: Record<string, string>,
  abort: boolean,
): Promise<Answer | null> {
  return new Promise((resolve, reject) => {
    const sent = httpRequest(url, { method: 'POST', agent, headers: extra }, (response) => {
      if (abort) sent.destroy()
      else collect(response).then(resolve, reject)
    })
    sent.setTimeout(ANSWER_MS, () => sent.destroy(new Error(`no answer in ${ANSWER_MS} ms`)))
    sent.on('error', (error) => (abort ? resolve(null) : reject(error)))
    sent.on('close', () => {
      if (abort) resolve(null)
    })
    sent.end(body)
  })
}

async function collect(response: IncomingMessage): Promise<Answer> {
  const chunks: Buffer[] = []
  for await (const chunk of response) chunks.push(chunk)
  return { status: response.statusCode ?? 0, body: Buffer.concat(chunks) }
}

/** A fresh client, in each encoding, gets right answers. Rejects with an AssertionError. */
export async function checkHttp(url: string): Promise<void> {
  for (const encoding of ['json', 'protobuf'] as const) {
    const { pipeline, answer } = OFFICIAL[encoding]
    const stmt = {
      ...{ sql: 'SELECT ?, ?, typeof(?)', sqlId: undefined, namedArgs: [], wantRows: true },
      args: ['é', new Uint8Array([1, 2]), 5n],
    }
    const requests = [{ type: 'execute', stmt } as const, { type: 'close' } as const]
    const path = encoding === 'json' ? '/v3/pipeline' : '/v3-protobuf/pipeline'
    const got = await post(url + path, pipeline({ baton: undefined, requests }), {}, false)
    equal(got?.status, 200)
    const { baton, results } = answer(got?.body ?? Buffer.alloc(0))
    equal(baton, undefined)
    const [first] = results
    const rows =
      first?.type === 'ok' && first.response.type === 'execute' && first.response.result.rows
    deepEqual(rows, [['é', new Uint8Array([1, 2]), 'integer']])
  }
}
