/** Cursors over HTTP, as the Rust driver and the serverless client use them. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { type ClientRequest, type IncomingMessage, request } from 'node:http'
import { test } from 'node:test'
import { type Started, start } from '../testing/start.ts'

type Json = Record<string, unknown>

const ENDLESS = 'WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n'

function stmt(sql: string): Json {
  return { stmt: { sql } }
}

/** The lines of the answer: the first, then the entries. */
async function cursor(
  server: Started,
  steps: readonly Json[],
  baton: string | null = null,
): Promise<{ readonly baton: string; readonly entries: Json[]; readonly headers: Headers }> {
  const { status, text, headers } = await server.post('/v3/cursor', { baton, batch: { steps } })
  assert.equal(status, 200, text)
  assert.ok(text.endsWith('\n'))
  const [first, ...entries] = text
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as Json)
  assert.equal(first?.['base_url'], null)
  return { baton: String(first?.['baton']), entries, headers }
}

/** Starts a cursor and leaves its body unread. */
async function unread(server: Started, sql: string) {
  const sent: ClientRequest = request(`${server.url}/v3/cursor`, { method: 'POST' })
  sent.end(JSON.stringify({ baton: null, batch: { steps: [stmt(sql)] } }))
  const [response] = (await once(sent, 'response')) as [IncomingMessage]
  let text = ''
  for (;;) {
    const [data] = (await once(response, 'data')) as [Buffer]
    text += String(data)
    if (text.includes('\n')) break
  }
  response.pause()
  const { baton } = JSON.parse(text.split('\n', 1)[0] ?? '') as { baton: string }
  return { sent, response, baton }
}

async function pipeline(server: Started, baton: string, sql: string): Promise<Json> {
  const requests = [{ type: 'execute', ...stmt(sql) }, { type: 'close' }]
  const { status, text } = await server.post('/v3/pipeline', { baton, requests })
  assert.equal(status, 200, text)
  return JSON.parse(text) as Json
}

test('the lines of an answer are those of the specification', async (t) => {
  const server = await start(t)
  server.node.db.exec(
    "CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT); INSERT INTO t VALUES (1, 'x')",
  )
  const read = await cursor(server, [stmt('SELECT id, a, 1.5 FROM t'), stmt('SELECT missing')])
  assert.equal(read.headers.get('content-type'), 'text/plain')
  assert.ok(read.headers.get('quorate-session'))
  assert.deepEqual(read.entries, [
    {
      type: 'step_begin',
      step: 0,
      cols: [
        { name: 'id', decltype: 'INTEGER' },
        { name: 'a', decltype: 'TEXT' },
        { name: '1.5', decltype: null },
      ],
    },
    {
      type: 'row',
      row: [
        { type: 'integer', value: '1' },
        { type: 'text', value: 'x' },
        { type: 'float', value: 1.5 },
      ],
    },
    { type: 'step_end', affected_row_count: 0, last_insert_rowid: null },
    {
      type: 'step_error',
      step: 1,
      error: {
        message: 'no such column: missing.',
        code: 'SQLITE_ERROR',
        quorate_code: 'SQL_ERROR',
        facts: { sqlite: 'SQLITE_ERROR' },
      },
    },
  ])
  const write = await cursor(server, [stmt("INSERT INTO t VALUES (7, 'y')")], read.baton)
  assert.deepEqual(write.entries.slice(1), [
    { type: 'step_end', affected_row_count: 1, last_insert_rowid: '7' },
  ])
})

test('the serverless client: the last step asks whether a transaction is open', async (t) => {
  const server = await start(t)
  const probe = { ...stmt('SELECT 1'), condition: { type: 'is_autocommit' } }
  const open = await cursor(server, [stmt('BEGIN'), probe])
  assert.deepEqual(
    open.entries.map(({ type, step }) => [type, step]),
    [
      ['step_begin', 0],
      ['step_end', undefined],
    ],
  )
  await cursor(server, [stmt('CREATE TABLE t (a)')], open.baton).then(({ baton }) =>
    cursor(server, [stmt('ROLLBACK')], baton),
  )
  assert.equal(server.node.owner, null)
})

test('an error of the whole batch is told of its step and of itself; what breaks the protocol is refused', async (t) => {
  const server = await start(t)
  server.node.reply = { kind: 'error', error: { code: 'NO_LEADER', detail: 'Nobody leads.' } }
  const { entries } = await cursor(server, [stmt('SELECT 1')])
  assert.deepEqual(
    entries.map(({ type, error }) => [type, (error as Json)['code']]),
    [
      ['step_error', 'SQLITE_BUSY'],
      ['error', 'SQLITE_BUSY'],
    ],
  )
  server.node.reply = null
  for (const body of ['{', '{}', '{"batch": {"steps": [{"stmt": {"sql_id": 1}}]}}']) {
    assert.equal((await server.post('/v3/cursor', body)).status, 400, body)
  }
})

test('what nobody reads is not made, and breaking it off frees the stream', async (t) => {
  const server = await start(t)
  const { sent, response, baton } = await unread(server, ENDLESS)
  const fetches = () => server.node.requests.filter(({ kind }) => kind === 'fetch').length
  let before = -1
  while (before !== fetches()) {
    before = fetches()
    for (let turn = 0; turn < 500; turn += 1) await new Promise(setImmediate)
  }
  assert.equal(server.node.cursors.size, 1)
  response.resume()
  await once(response, 'data')
  sent.destroy()
  // At once: it may not be known there yet that nobody reads.
  const answer = await pipeline(server, baton, 'SELECT 5')
  assert.match(JSON.stringify(answer), /"value":"5"/)
  assert.equal(server.node.cursors.size, 0)
})

test('in a transaction that reads, a cursor that is broken off leaves it open', async (t) => {
  const server = await start(t)
  server.node.db.exec('CREATE TABLE t (a); INSERT INTO t VALUES (1)')
  const begun = await cursor(server, [stmt('BEGIN READONLY'), stmt('SELECT count(*) FROM t')])
  assert.equal(begun.entries.length, 5)
  server.node.db.exec('INSERT INTO t VALUES (2)')
  const counted = await cursor(server, [stmt('SELECT count(*) FROM t')], begun.baton)
  assert.deepEqual(counted.entries[1]?.['row'], [{ type: 'integer', value: '1' }])
  const answer = await pipeline(server, counted.baton, 'COMMIT')
  assert.match(JSON.stringify(answer), /"type":"ok"/)
  assert.equal(server.node.cursors.size, 0)
})

test('what is too large for one answer is an error, and goes through a cursor', async (t) => {
  const server = await start(t)
  const large = `${ENDLESS.replace('SELECT i F', "SELECT i, printf('%.*c', 100000, 'x') F")} LIMIT 200`
  const begin = { type: 'execute', ...stmt('BEGIN READONLY') }
  const requests = [begin, { type: 'execute', ...stmt(large) }]
  const { json } = await server.post('/v3/pipeline', { baton: null, requests })
  assert.equal(json.results[1].error.code, 'RESPONSE_TOO_LARGE')
  const { entries } = await cursor(server, [stmt(large)], json.baton)
  assert.equal(entries.length, 202)
})
