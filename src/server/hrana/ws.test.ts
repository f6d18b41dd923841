/** Hrana over WebSocket and its cursors: with the official client, and message by message. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { describe, type TestContext, test } from 'node:test'
import { openHttp, openWs, type Stream } from '@libsql/hrana-client'
import { WebSocket } from 'ws'
import { start } from '../testing/start.ts'

type Json = Record<string, unknown>

/** A client that says what a test wants said. */
async function connect(t: TestContext, url: string, protocols: readonly string[] = ['hrana3']) {
  const socket = new WebSocket(url.replace('http', 'ws'), [...protocols])
  t.after(() => socket.terminate())
  const messages: Json[] = []
  let wake = (): void => {}
  socket.on('message', (data) => {
    messages.push(JSON.parse(String(data)) as Json)
    wake()
  })
  const closed = once(socket, 'close') as Promise<[number, Buffer]>
  closed.catch(() => {})
  await once(socket, 'open')
  let id = 0
  const client = {
    socket,
    messages,
    /** Code and reason. */
    closed: () => closed.then(([code, reason]) => [code, String(reason)] as const),
    send: (message: unknown) => socket.send(JSON.stringify(message)),
    hello: () => socket.send('{"type":"hello","jwt":null}'),
    /** Sends it; the answer comes with the id that is returned. */
    request: (request: Json): number => {
      id += 1
      client.send({ type: 'request', request_id: id, request })
      return id
    },
    next: async (): Promise<Json> => {
      while (messages.length === 0) {
        await new Promise<void>((resolve) => {
          wake = resolve
        })
      }
      return messages.shift() ?? {}
    },
    /** The answer to one request, when nothing else is under way. */
    ask: async (request: Json): Promise<Json> => {
      const asked = client.request(request)
      const answer = await client.next()
      assert.equal(answer['request_id'], asked)
      assert.equal(answer['type'], 'response_ok', JSON.stringify(answer))
      return answer['response'] as Json
    },
  }
  return client
}

const execute = (sql: string, stream_id = 1): Json => ({
  ...{ type: 'execute', stream_id, stmt: { sql, args: [] } },
})

const NUMBERS = 'WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n)'

for (const version of [2, 3] as const)
  describe(`official client, version ${version}`, () => official(version))

function official(version: 2 | 3): void {
  const open = async (t: TestContext, scheme: 'ws' | 'http') => {
    const { url, node } = await start(t)
    const client =
      scheme === 'ws'
        ? openWs(url.replace('http', 'ws'), undefined, version)
        : openHttp(url, undefined, undefined, undefined, version)
    client.intMode = 'bigint'
    t.after(() => client.close())
    assert.equal(await client.getVersion(), version)
    return { client, node, stream: client.openStream() }
  }

  for (const scheme of ['ws', 'http'] as const) {
    test(`${scheme}: statements, batches, sequences, descriptions, stored texts`, async (t) => {
      const { client, stream, node } = await open(t, scheme)
      await stream.sequence(
        'CREATE TABLE t (id INTEGER PRIMARY KEY, a); INSERT INTO t VALUES (1, 2)',
      )
      const { rows } = await stream.query(['SELECT a, ? AS b FROM t', [7n]])
      assert.deepEqual([rows[0]?.['a'], rows[0]?.['b']], [2n, 7n])
      const description = await stream.describe('SELECT a FROM t WHERE id = :id')
      assert.deepEqual(description.paramNames, [':id'])
      assert.equal(description.isReadonly, true)
      await batch(stream, false)
      const sqls = scheme === 'http' ? stream : client
      if ('storeSql' in sqls) {
        const sql = sqls.storeSql('SELECT 5')
        assert.equal((await stream.queryValue(sql)).value, 5n)
        sql.close()
      }
      await assert.rejects(stream.run('SELECT nothing'), { code: 'SQLITE_ERROR' })
      stream.close()
      assert.equal(node.owner, null)
    })
  }

  test('many streams at once, each in its order; a transaction is lost with its socket', async (t) => {
    const { client, node } = await open(t, 'ws')
    node.db.exec('CREATE TABLE t (id INTEGER PRIMARY KEY, a)')
    const streams = Array.from({ length: 20 }, () => client.openStream())
    await Promise.all(
      streams.flatMap((stream, at) => [
        stream.run(['INSERT INTO t VALUES (?, 1)', [at]]),
        stream.run(['UPDATE t SET a = a * 2 + ? WHERE id = ?', [at, at]]),
        stream.run(['UPDATE t SET a = a * 3 WHERE id = ?', [at]]),
      ]),
    )
    const [one] = await Promise.all([streams[7]?.queryValue('SELECT a FROM t WHERE id = 7')])
    assert.equal(one?.value, 27)
    const inside = client.openStream()
    await inside.run('BEGIN')
    await inside.run('DELETE FROM t')
    client.close()
    while (node.owner !== null) await new Promise(setImmediate)
    assert.equal(node.db.prepare('SELECT count(*) AS n FROM t').get()?.['n'], 20)
  })

  if (version === 3) {
    for (const scheme of ['ws', 'http'] as const) {
      test(`${scheme}: a batch through a cursor`, async (t) => {
        const { stream } = await open(t, scheme)
        await stream.sequence(
          'CREATE TABLE t (id INTEGER PRIMARY KEY, a); INSERT INTO t VALUES (1, 2)',
        )
        await batch(stream, true)
        const large = stream.batch(true)
        const rows = large.step().query(`${NUMBERS} SELECT i, 'text' FROM n LIMIT 20000`)
        const after = large.step().queryValue('SELECT 1')
        await large.execute()
        assert.equal((await rows)?.rows.length, 20_000)
        assert.equal((await after)?.value, 1n)
        assert.equal(await stream.getAutocommit(), true)
      })
    }
  }
}

async function batch(stream: Stream, useCursor: boolean): Promise<void> {
  const made = stream.batch(useCursor)
  const begin = made.step()
  const began = begin.run('BEGIN')
  const insert = made.step()
  const inserted = insert.run("INSERT INTO t (a) VALUES ('x'), ('y')")
  const wrong = made.step()
  const failed = wrong.run('SELECT nothing').then(
    () => 'ran',
    (error: Error & { code?: string }) => error.code,
  )
  const skipped = made.step()
  skipped.condition((await import('@libsql/hrana-client')).BatchCond.ok(wrong))
  const never = skipped.queryValue('SELECT 1')
  const rollback = made.step().run('ROLLBACK')
  await made.execute()
  assert.equal((await inserted)?.affectedRowCount, 2)
  assert.equal(await failed, 'SQLITE_ERROR')
  assert.equal(await never, undefined)
  await Promise.all([began, rollback])
}

test('the server picks the best subprotocol that it is offered', async (t) => {
  const { url } = await start(t)
  const pick = async (protocols: readonly string[]) => {
    const { socket } = await connect(t, url, protocols)
    return socket.protocol
  }
  assert.equal(await pick(['hrana1', 'hrana2']), 'hrana2')
  assert.equal(await pick(['hrana3', 'hrana3-protobuf', 'hrana2']), 'hrana3-protobuf')
  assert.equal(await pick([]), '')
  const [, response] = (await once(
    new WebSocket(url.replace('http', 'ws'), ['graphql']).on('error', () => {}),
    'unexpected-response',
  )) as [unknown, { statusCode: number }]
  assert.equal(response.statusCode, 400)
})

test('a nameless client speaks version 1, on any path', async (t) => {
  const { url } = await start(t)
  const client = await connect(t, `${url}/some/path?read=local`, [])
  client.hello()
  assert.deepEqual(await client.next(), { type: 'hello_ok' })
  await client.ask({ type: 'open_stream', stream_id: 1 })
  const { result } = await client.ask(execute('SELECT 1'))
  assert.deepEqual((result as Json)['rows'], [[{ type: 'integer', value: '1' }]])
  client.request({ type: 'sequence', stream_id: 1, sql: 'SELECT 1' })
  assert.equal((await client.closed())[0], 1008)
})

test('a level that is none is refused before there is a socket', async (t) => {
  const { url } = await start(t)
  const socket = new WebSocket(`${url.replace('http', 'ws')}/?read=perfect`).on('error', () => {})
  const [, response] = (await once(socket, 'unexpected-response')) as [
    unknown,
    { statusCode: number },
  ]
  assert.equal(response.statusCode, 400)
})

test('nothing is answered before hello, and what follows it at once is', async (t) => {
  const { url } = await start(t, { token: 'secret' })
  const client = await connect(t, url)
  client.send({ type: 'hello', jwt: 'secret' })
  client.request({ type: 'open_stream', stream_id: 1 })
  client.request(execute('SELECT 1'))
  const types = [await client.next(), await client.next(), await client.next()]
  assert.deepEqual(
    types.map(({ type, request_id }) => [type, request_id]),
    [
      ['hello_ok', undefined],
      ['response_ok', 1],
      ['response_ok', 2],
    ],
  )
})

test('a wrong token is answered with hello_error and a normal close', async (t) => {
  const { url } = await start(t, { token: 'secret' })
  const client = await connect(t, url)
  client.send({ type: 'hello', jwt: 'guess' })
  client.request({ type: 'open_stream', stream_id: 1 })
  const error = await client.next()
  assert.equal(error['type'], 'hello_error')
  assert.equal((error['error'] as Json)['code'], 'UNAUTHORIZED')
  assert.equal((await client.closed())[0], 1000)
  assert.equal(client.messages.length, 0)
})

describe('what breaks the protocol closes the socket', () => {
  const cases: readonly (readonly [string, number, readonly unknown[]])[] = [
    ['not JSON', 1007, ['{']],
    ['not a message', 1008, [{ type: 'shout' }]],
    ['a binary frame', 1003, [Buffer.from('{}')]],
    ['a request before hello', 1008, [{ type: 'request', request_id: 1, request: execute('x') }]],
    ['an unknown stream', 1008, ['hello', execute('SELECT 1', 9)]],
    ['a stream twice', 1008, ['hello', 'open', { type: 'open_stream', stream_id: 1 }]],
    ['an unknown text', 1008, ['hello', 'open', { ...execute('x'), stmt: { sql_id: 4 } }]],
    ['an unknown cursor', 1008, ['hello', { type: 'fetch_cursor', cursor_id: 1, max_count: 1 }]],
    ['a second cursor', 1008, ['hello', 'open', cursor(1), cursor(2)]],
    ['the same cursor twice', 1008, ['hello', 'open', cursor(1), cursor(1)]],
    ['an unknown request', 1008, ['hello', { type: 'dance', stream_id: 1 }]],
    ['a condition on a later step', 1008, ['hello', 'open', forward()]],
  ]
  for (const [name, code, messages] of cases) {
    test(name, async (t) => {
      const { url } = await start(t)
      const client = await connect(t, url)
      for (const message of messages) {
        if (message === 'hello') client.hello()
        else if (message === 'open') client.request({ type: 'open_stream', stream_id: 1 })
        else if (typeof message === 'string' || Buffer.isBuffer(message))
          client.socket.send(message)
        else if ((message as Json)['type'] === 'request') client.send(message)
        else if (messages[0] === 'hello') client.request(message as Json)
        else client.send(message)
      }
      const [closed, reason] = await client.closed()
      assert.equal(closed, code, reason)
      assert.ok(reason.length > 0)
    })
  }
})

function cursor(cursor_id: number, sql = 'SELECT 1'): Json {
  return { type: 'open_cursor', stream_id: 1, cursor_id, batch: { steps: [{ stmt: { sql } }] } }
}

function forward(): Json {
  const steps = [{ stmt: { sql: 'SELECT 1' }, condition: { type: 'ok', step: 1 } }]
  return { type: 'batch', stream_id: 1, batch: { steps } }
}

test('a text that is closed right after its request still serves it', async (t) => {
  const { url } = await start(t)
  const client = await connect(t, url)
  client.hello()
  client.request({ type: 'open_stream', stream_id: 1 })
  client.request({ type: 'store_sql', sql_id: 3, sql: 'SELECT 8' })
  client.request(execute('SELECT 1'))
  client.request({ ...execute('x'), stmt: { sql_id: 3 } })
  client.request({ type: 'close_sql', sql_id: 3 })
  const found = new Map<unknown, Json>()
  await client.next()
  while (found.size < 5) {
    const answer = await client.next()
    found.set(answer['request_id'], answer)
  }
  assert.match(JSON.stringify(found.get(4)), /"value":"8"/)
})

test('a stream id is free again as soon as close_stream is sent', async (t) => {
  const { url, node } = await start(t)
  const client = await connect(t, url)
  client.hello()
  await client.next()
  await client.ask({ type: 'open_stream', stream_id: 1 })
  await client.ask(execute('BEGIN'))
  await client.ask(execute('CREATE TABLE t (a)'))
  client.request({ type: 'close_stream', stream_id: 1 })
  client.request({ type: 'open_stream', stream_id: 1 })
  client.request(execute('SELECT count(*) FROM sqlite_master'))
  await client.next()
  await client.next()
  assert.match(JSON.stringify(await client.next()), /"value":"0"/)
  assert.equal(node.owner, null)
})

test('an endless cursor gives what is fetched, and ends when it is closed', async (t) => {
  const { url, node } = await start(t)
  const client = await connect(t, url)
  client.hello()
  await client.next()
  await client.ask({ type: 'open_stream', stream_id: 1 })
  await client.ask(cursor(5, `${NUMBERS} SELECT i FROM n`))
  let rows = 0
  for (let fetch = 0; fetch < 20; fetch += 1) {
    const { entries, done } = await client.ask({
      ...{ type: 'fetch_cursor', cursor_id: 5, max_count: 500 },
    })
    assert.equal(done, false)
    rows += (entries as Json[]).filter(({ type }) => type === 'row').length
  }
  assert.ok(rows > 5000, `${rows} rows`)
  assert.equal(node.cursors.size, 1)
  await client.ask({ type: 'close_cursor', cursor_id: 5 })
  const { result } = await client.ask(execute('SELECT 3'))
  assert.deepEqual((result as Json)['rows'], [[{ type: 'integer', value: '3' }]])
  assert.equal(node.cursors.size, 0)
  await client.ask(cursor(5, `${NUMBERS} SELECT i FROM n`))
  client.socket.close()
  while (node.cursors.size > 0) await new Promise(setImmediate)
})

test('requests without end are not all read at once', async (t) => {
  const { url, node } = await start(t)
  const client = await connect(t, url)
  client.hello()
  await client.next()
  for (let id = 0; id < 100; id += 1) await client.ask({ type: 'open_stream', stream_id: id })
  const gate = Promise.withResolvers<void>()
  node.gate = gate.promise
  const large = `SELECT 1 /* ${'x'.repeat(10_000)} */`
  for (let at = 0; at < 2_000; at += 1) client.request(execute(large, at % 100))
  let before = -1
  while (before !== client.socket.bufferedAmount) {
    before = client.socket.bufferedAmount
    for (let turn = 0; turn < 500; turn += 1) await new Promise(setImmediate)
  }
  assert.ok(before > 0, 'the server has stopped reading')
  gate.resolve()
  for (let at = 0; at < 2_000; at += 1) assert.equal((await client.next())['type'], 'response_ok')
})

test('when the server stops, sockets are told and transactions rolled back', async (t) => {
  const { url, node, close } = await start(t)
  const client = await connect(t, url)
  client.hello()
  await client.next()
  await client.ask({ type: 'open_stream', stream_id: 1 })
  await client.ask(execute('BEGIN'))
  await client.ask(execute('CREATE TABLE t (a)'))
  await close()
  assert.equal((await client.closed())[0], 1001)
  assert.equal(node.owner, null)
})
