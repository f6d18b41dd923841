import { deepEqual, equal, match } from 'node:assert/strict'
import { createServer } from 'node:net'
import { type TestContext, test } from 'node:test'
import type { NodeStatus } from '../../model/status.ts'
import { createHttpServer } from '../http-server.ts'
import { FakeNode } from '../testing/fake-node.ts'
import { OFFICIAL } from '../testing/official-codec.ts'

/** One of several nodes that know each other's URLs. */
class Member extends FakeNode {
  readonly #name: string
  readonly #urls: Readonly<Record<string, string>>

  constructor(name: string, urls: Readonly<Record<string, string>>) {
    super()
    this.#name = name
    this.#urls = urls
  }

  override status(): NodeStatus {
    const status = super.status()
    const [member] = status.members
    if (member === undefined) return status
    const members = Object.entries(this.#urls).map(([name, url]) => {
      return { ...member, id: `${name}:00000001`, name, url }
    })
    return { ...status, id: `${this.#name}:00000001`, name: this.#name, members }
  }
}

async function cluster(t: TestContext, ...names: string[]) {
  const urls: Record<string, string> = {}
  const servers: Record<string, { node: Member; close: () => Promise<void> }> = {}
  for (const name of names) {
    const node = new Member(name, urls)
    const server = createHttpServer({ service: node, token: 'secret' })
    urls[name] = `http://127.0.0.1:${await server.listen('127.0.0.1', 0)}`
    let closed: Promise<void> | null = null
    const close = () => {
      closed ??= server.close()
      return closed
    }
    t.after(close)
    servers[name] = { node, close }
  }
  const post = async (name: string, path: string, body: string | Uint8Array, headers = {}) => {
    const response = await fetch(`${urls[name]}${path}`, {
      method: 'POST',
      body: Buffer.from(body),
      headers: { authorization: 'Bearer secret', ...headers },
    })
    return { status: response.status, headers: response.headers, body: await response.bytes() }
  }
  /** Runs a statement on the stream of a baton. */
  const run = async (name: string, baton: string | null, sql: string, headers = {}) => {
    const body = JSON.stringify({ baton, requests: [{ type: 'execute', stmt: { sql } }] })
    const answer = await post(name, '/v3/pipeline', body, headers)
    const text = Buffer.from(answer.body).toString()
    return { ...answer, text, json: text.startsWith('{') ? JSON.parse(text) : null }
  }
  return { urls, servers, post, run }
}

test('a transaction goes on through any node: the baton leads to the one that holds it', async (t) => {
  const { servers, run, post } = await cluster(t, 'a', 'b', 'c')
  servers['a']?.node.db.exec('CREATE TABLE t (a)')
  const begun = await run('a', null, 'BEGIN')
  const written = await run('b', begun.json.baton, "INSERT INTO t VALUES ('x')")
  equal(written.json.results[0].response.result.affected_row_count, 1)
  equal(written.headers.get('content-type'), 'application/json')
  equal(written.headers.get('access-control-allow-origin'), '*')
  const stmt = { sql: 'SELECT a FROM t', sqlId: undefined, args: [], namedArgs: [], wantRows: true }
  const requests = [{ type: 'execute', stmt } as const]
  const { protobuf } = OFFICIAL
  const read = await post(
    'c',
    '/v3-protobuf/pipeline',
    protobuf.pipeline({ baton: written.json.baton, requests }),
  )
  equal(read.headers.get('content-type'), 'application/x-protobuf')
  const { baton, results } = protobuf.answer(read.body)
  const [result] = results
  deepEqual(
    result?.type === 'ok' && result.response.type === 'execute' && result.response.result.rows,
    [['x']],
  )
  equal((await run('b', baton ?? null, 'COMMIT')).status, 200)
  equal(servers['a']?.node.owner, null)
  deepEqual([servers['b']?.node.requests, servers['c']?.node.requests], [[], []])
})

test('a cursor on the stream of another node streams through', async (t) => {
  const { servers, run, post } = await cluster(t, 'a', 'b')
  servers['a']?.node.db.exec('CREATE TABLE t (a)')
  const begun = await run('a', null, 'BEGIN')
  const written = await run('a', begun.json.baton, 'INSERT INTO t VALUES (1), (2)')
  const batch = { steps: [{ stmt: { sql: 'SELECT a FROM t' } }] }
  const body = JSON.stringify({ baton: written.json.baton, batch })
  const { status, body: bytes } = await post('b', '/v3/cursor', body)
  const [head, ...entries] = Buffer.from(bytes)
    .toString()
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line))
  equal(status, 200)
  deepEqual(
    entries.map(({ type }) => type),
    ['step_begin', 'row', 'row', 'step_end'],
  )
  equal((await run('b', head.baton, 'ROLLBACK')).status, 200)
  equal(servers['a']?.node.owner, null)
})

test('the other node judges the baton, and a call is handed on once', async (t) => {
  const { servers, run } = await cluster(t, 'a', 'b')
  const { json } = await run('a', null, 'BEGIN')
  const bytes = Buffer.from(json.baton, 'base64url')
  bytes[40] = (bytes[40] ?? 0) ^ 1
  const forged = await run('b', bytes.toString('base64url'), 'COMMIT')
  deepEqual([forged.status, forged.text], [400, 'Received an invalid baton'])
  const nobody = Buffer.concat([bytes.subarray(0, 56), Buffer.from('z:00000001')])
  const unknown = await run('b', nobody.toString('base64url'), 'COMMIT')
  deepEqual([unknown.status, unknown.text], [400, 'Received an invalid baton'])
  const again = await run('b', json.baton, 'COMMIT', { 'quorate-handed-on-by': 'a' })
  deepEqual([again.status, again.text], [400, 'Received an invalid baton'])
  equal(servers['a']?.node.owner === null, false, 'the stream is untouched')
  const twice = await run('b', json.baton, 'SELECT 1')
  equal(twice.status, 200)
  const used = await run('b', json.baton, 'SELECT 1')
  match(used.text, /already been used/)
  equal((await run('b', used.json?.baton ?? null, 'SELECT 1', { authorization: 'x' })).status, 401)
})

test('a node that is gone took its streams with it, and the client is told so', async (t) => {
  const { servers, run } = await cluster(t, 'a', 'b')
  const { json } = await run('a', null, 'BEGIN')
  await servers['a']?.close()
  const answer = await run('b', json.baton, 'COMMIT')
  deepEqual([answer.status, answer.json.code], [400, 'STREAM_EXPIRED'])
  match(answer.json.message, /Node a, which holds the stream, can't be reached/)
})

test('a node lost in the middle of a call leaves the outcome unknown', async (t) => {
  const { urls, run } = await cluster(t, 'a', 'b')
  const { json } = await run('a', null, 'BEGIN')
  const silent = createServer((socket) => socket.once('data', () => socket.destroy()))
  await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve))
  t.after(() => silent.close())
  const address = silent.address()
  urls['a'] = `http://127.0.0.1:${typeof address === 'object' ? address?.port : 0}`
  const answer = await run('b', json.baton, 'COMMIT')
  deepEqual([answer.status, answer.json.code], [504, 'UNKNOWN_OUTCOME'])
})
