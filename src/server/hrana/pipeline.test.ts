import assert from 'node:assert/strict'
import { once } from 'node:events'
import { request as httpRequest } from 'node:http'
import { test } from 'node:test'
import { decodeToken, encodeToken } from '../../model/token.ts'
import { type Started, start } from '../testing/start.ts'
import { toReplicationIndex } from './replication-index.ts'

const execute = (sql: string) => ({ type: 'execute', stmt: { sql } })
const CLOSE = { type: 'close' }

async function pipeline(
  server: Started,
  requests: readonly object[],
  baton: string | null = null,
  headers: Record<string, string> = {},
) {
  return server.post('/v3/pipeline', { baton, requests }, headers)
}

test('the shape of an answer is exactly that of the specification', async (t) => {
  const server = await start(t)
  const requests = [execute("SELECT 1 AS a, x'ff' AS b, 'c'"), execute('nonsense'), CLOSE]
  const { json, headers } = await pipeline(server, requests)
  assert.equal(headers.get('content-type'), 'application/json')
  const token = decodeToken(headers.get('quorate-session') ?? '')
  const index = String(toReplicationIndex(token))
  assert.deepEqual(json, {
    baton: null,
    base_url: null,
    results: [
      {
        type: 'ok',
        response: {
          type: 'execute',
          result: {
            cols: [
              { name: 'a', decltype: null },
              { name: 'b', decltype: null },
              { name: "'c'", decltype: null },
            ],
            rows: [
              [
                { type: 'integer', value: '1' },
                { type: 'blob', base64: '/w==' },
                { type: 'text', value: 'c' },
              ],
            ],
            affected_row_count: 0,
            last_insert_rowid: null,
            replication_index: index,
          },
        },
      },
      {
        type: 'error',
        error: {
          message: 'near "nonsense": syntax error.',
          code: 'SQLITE_ERROR',
          quorate_code: 'SQL_ERROR',
          facts: { sqlite: 'SQLITE_ERROR' },
        },
      },
      { type: 'ok', response: { type: 'close' } },
    ],
  })
})

test('the body counts, whatever its content type, and without one', async (t) => {
  const server = await start(t)
  const body = JSON.stringify({ requests: [execute('SELECT 1'), CLOSE] })
  for (const type of ['text/plain', 'application/json; charset=utf-8', 'image/png']) {
    const { status } = await server.post('/v2/pipeline', body, { 'content-type': type })
    assert.equal(status, 200, type)
  }
  const { port } = new URL(server.url)
  const bare = httpRequest({ port, host: '127.0.0.1', path: '/v3/pipeline', method: 'POST' })
  bare.end(body)
  const [response] = await once(bare, 'response')
  response.resume()
  assert.equal(response.statusCode, 200)
})

test('base64 with and without padding, infinities, and the end of the integers', async (t) => {
  const server = await start(t)
  const args = [
    { type: 'blob', base64: 'AQ' },
    { type: 'blob', base64: 'AQ==' },
    { type: 'integer', value: '-9223372036854775808' },
  ]
  const stmt = { sql: 'SELECT ?, ?, ?, 9e999, -9e999', args }
  const { text } = await pipeline(server, [{ type: 'execute', stmt }, CLOSE])
  const [row] = JSON.parse(text).results[0].response.result.rows
  assert.deepEqual(row, [
    { type: 'blob', base64: 'AQ==' },
    { type: 'blob', base64: 'AQ==' },
    { type: 'integer', value: '-9223372036854775808' },
    { type: 'float', value: Number.POSITIVE_INFINITY },
    { type: 'float', value: Number.NEGATIVE_INFINITY },
  ])
})

test('each baton works once; forged, old and foreign ones are refused', async (t) => {
  const server = await start(t)
  const first = (await pipeline(server, [execute('BEGIN')])).json.baton
  const second = (await pipeline(server, [execute('SELECT 1')], first)).json.baton
  assert.notEqual(first, second)
  const again = await pipeline(server, [execute('SELECT 1')], first)
  assert.equal(again.status, 400)
  assert.equal(again.headers.get('content-type'), 'text/plain')
  assert.equal(again.text, 'Received a baton that has already been used')
  const forged = `${second.startsWith('A') ? 'B' : 'A'}${second.slice(1)}`
  for (const baton of [forged, 'nonsense', '']) {
    const { status, text } = await pipeline(server, [CLOSE], baton)
    assert.deepEqual([status, text], [400, 'Received an invalid baton'])
  }
  const last = await pipeline(server, [CLOSE], second)
  assert.equal(last.json.baton, null)
  assert.equal((await pipeline(server, [CLOSE], second)).text, 'Received an invalid baton')
  assert.equal(server.node.owner, null)
})

test('a stream that nobody uses expires and is rolled back', async (t) => {
  const server = await start(t, { streamIdleMs: 5 })
  server.node.db.exec('CREATE TABLE t (id INTEGER PRIMARY KEY)')
  const opened = await pipeline(server, [execute('BEGIN'), execute('INSERT INTO t VALUES (1)')])
  // Waits for the end of the transaction, which only the expiry brings.
  await pipeline(server, [execute('INSERT INTO t VALUES (2)'), CLOSE])
  const { status, headers, json } = await pipeline(server, [CLOSE], opened.json.baton)
  assert.equal(status, 400)
  assert.equal(headers.get('content-type'), 'application/json')
  assert.equal(json.code, 'STREAM_EXPIRED')
  assert.deepEqual(server.node.db.prepare('SELECT id FROM t').all().length, 1)
})

test('what breaks the protocol is a 400 in plain text and ends the stream', async (t) => {
  const server = await start(t)
  const cases: readonly (readonly [unknown, RegExp])[] = [
    ['{', /not JSON/],
    [[], /not an object/],
    [{ requests: 1 }, /requests is not a list/],
    [{ requests: [{ type: 'fly' }] }, /request.type/],
    [{ requests: [{ type: 'execute', stmt: { sql: 'a', sql_id: 1 } }] }, /exactly one of/],
    [{ requests: [{ type: 'execute', stmt: {} }] }, /exactly one of/],
    [{ requests: [{ type: 'execute', stmt: { sql_id: 7 } }] }, /sql_id is not a stored one: 7/],
    [{ requests: [CLOSE, CLOSE] }, /was closed/],
    [{ requests: [{ type: 'store_sql', sql_id: 2 ** 31, sql: '' }] }, /32-bit/],
    [{ requests: [store(1), store(1)] }, /sql_id is not a new one/],
    [{ requests: [batch({ type: 'ok', step: 0 })] }, /before step 0/],
    [{ requests: [batch({ type: 'not' })] }, /condition/],
    [{ requests: [batch(deep(200))] }, /deep/],
    [{ requests: [args({ type: 'integer', value: '1.5' })] }, /64-bit integer/],
    [{ requests: [args({ type: 'integer', value: '9223372036854775808' })] }, /64-bit integer/],
    [{ requests: [args({ type: 'blob', base64: '*' })] }, /base64/],
    [{ requests: [args({ type: 'float', value: '1' })] }, /a number/],
    [{ requests: [args(null)] }, /an object/],
  ]
  for (const [body, expected] of cases) {
    const { status, headers, text } = await server.post('/v3/pipeline', body)
    assert.equal(status, 400, text)
    assert.equal(headers.get('content-type'), 'text/plain')
    assert.match(text, expected)
  }
  const opened = await pipeline(server, [execute('BEGIN')])
  await pipeline(server, [{ type: 'fly' }], opened.json.baton)
  await pipeline(server, [execute('SELECT 1'), CLOSE])
  assert.equal(server.node.owner, null)
})

const store = (sqlId: number) => ({ type: 'store_sql', sql_id: sqlId, sql: 'SELECT 1' })
const args = (value: unknown) => ({ type: 'execute', stmt: { sql: 'SELECT ?', args: [value] } })
const batch = (condition: object) => ({
  type: 'batch',
  batch: { steps: [{ stmt: { sql: 'SELECT 1' }, condition }] },
})
const deep = (levels: number): object =>
  levels === 0 ? { type: 'is_autocommit' } : { type: 'not', cond: deep(levels - 1) }

test('version 2 knows neither get_autocommit nor its condition', async (t) => {
  const server = await start(t)
  for (const request of [{ type: 'get_autocommit' }, batch({ type: 'is_autocommit' })]) {
    assert.equal((await server.post('/v2/pipeline', { requests: [request] })).status, 400)
    assert.equal((await server.post('/v3/pipeline', { requests: [request] })).status, 200)
  }
})

test('get_autocommit follows the transaction', async (t) => {
  const server = await start(t)
  const ask = { type: 'get_autocommit' }
  const requests = [ask, execute('BEGIN'), ask, execute('COMMIT'), ask, CLOSE]
  const { json } = await pipeline(server, requests)
  const flags = [0, 2, 4].map((at) => json.results[at].response.is_autocommit)
  assert.deepEqual(flags, [true, false, true])
})

test('batch conditions decide, and skipped steps have neither result nor error', async (t) => {
  const server = await start(t)
  const steps = [
    { stmt: { sql: 'SELECT nothing' } },
    { stmt: { sql: 'SELECT 1' }, condition: { type: 'ok', step: 0 } },
    { stmt: { sql: 'SELECT 2' }, condition: { type: 'error', step: 0 } },
    {
      stmt: { sql: 'SELECT 3' },
      condition: { type: 'or', conds: [{ type: 'ok', step: 1 }, { type: 'is_autocommit' }] },
    },
    { stmt: { sql: 'SELECT 4' }, condition: { type: 'or', conds: [] } },
  ]
  const { json } = await pipeline(server, [{ type: 'batch', batch: { steps } }, CLOSE])
  const { step_results: results, step_errors: errors } = json.results[0].response.result
  const shape = results.map((result: unknown, at: number) =>
    result ? 'ok' : errors[at] ? 'error' : 'skipped',
  )
  assert.deepEqual(shape, ['error', 'skipped', 'ok', 'ok', 'skipped'])
})

test('a batch that is not closed opens a stream at the leader, and later requests follow', async (t) => {
  const { node, ...server } = await start(t)
  const begin = { stmt: { sql: 'BEGIN' } }
  const { json } = await pipeline({ node, ...server }, [
    { type: 'batch', batch: { steps: [begin, { stmt: { sql: 'SELECT 1' } }] } },
    execute('SELECT 2'),
  ])
  assert.deepEqual(
    node.requests.map((request) => request.kind),
    ['stream', 'stream'],
  )
  assert.notEqual(json.baton, null)
  assert.notEqual(node.owner, null)
})

test('inside a transaction a closed batch runs as it is, BEGIN included', async (t) => {
  const server = await start(t)
  const condition = { type: 'ok', step: 0 }
  const steps = [
    { stmt: { sql: 'BEGIN TRANSACTION READONLY' } },
    { stmt: { sql: 'SELECT 1' }, condition },
    { stmt: { sql: 'COMMIT' }, condition: { type: 'ok', step: 1 } },
    { stmt: { sql: 'ROLLBACK' }, condition: { type: 'not', cond: { type: 'ok', step: 2 } } },
  ]
  const requests = [execute('BEGIN'), { type: 'batch', batch: { steps } }, CLOSE]
  const { json } = await pipeline(server, requests)
  const { step_results: results, step_errors: errors } = json.results[1].response.result
  assert.match(errors[0].message, /within a transaction/)
  assert.deepEqual([results.length, results[3] !== null], [4, true])
})

/** For each request the code of its error, or null. */
async function codesOf(server: Started, sql: readonly string[], baton: string) {
  const { json } = await pipeline(server, sql.map(execute), baton)
  const codes = json.results.map(({ error }: { error?: { code: string } }) => error?.code ?? null)
  return { codes, baton: json.baton as string }
}

test('in a transaction that was lost nothing runs before its end, also after ROLLBACK TO', async (t) => {
  const server = await start(t)
  server.node.db.exec('CREATE TABLE t (a)')
  const insert = 'INSERT INTO t VALUES (1)'
  const { json } = await pipeline(server, [execute('BEGIN'), execute('SAVEPOINT s')])
  server.node.loseTransaction()
  const back = ['ROLLBACK TO s', 'rollback transaction to savepoint s', insert]
  const lost = await codesOf(server, [insert, ...back, 'ROLLBACK', 'SELECT 1'], json.baton)
  const closed = 'TRANSACTION_CLOSED'
  assert.deepEqual(lost.codes, [closed, null, null, closed, null, null])
  assert.equal(server.node.db.prepare('SELECT count(*) AS n FROM t').get()?.['n'], 0)
})

test('to describe the end of a transaction that was lost does not end it', async (t) => {
  const server = await start(t)
  server.node.db.exec('CREATE TABLE t (a)')
  const { json } = await pipeline(server, [execute('BEGIN')])
  server.node.loseTransaction()
  const lost = await codesOf(server, ['SELECT 1'], json.baton)
  const described = ['COMMIT', 'ROLLBACK'].map((sql) => ({ type: 'describe', sql }))
  const insert = 'INSERT INTO t VALUES (1)'
  const requests = [...described, execute(insert), ...described, execute('ROLLBACK'), CLOSE]
  const { json: after } = await pipeline(server, requests, lost.baton)
  const types = after.results.map(({ type }: { type: string }) => type)
  assert.deepEqual(types, ['ok', 'ok', 'error', 'ok', 'ok', 'ok', 'ok'])
  assert.equal(server.node.db.prepare('SELECT count(*) AS n FROM t').get()?.['n'], 0)
})

test('what a failed COMMIT leaves may be rolled back, once, as in SQLite', async (t) => {
  const server = await start(t)
  const { json } = await pipeline(server, [execute('BEGIN')])
  const error = { code: 'TAKEN_BACK', detail: 'Gone.' } as const
  server.node.reply = { kind: 'error', error }
  const failed = await codesOf(server, ['COMMIT'], json.baton)
  assert.deepEqual(failed.codes, ['SQLITE_BUSY'])
  server.node.loseTransaction()
  server.node.reply = null
  const after = await codesOf(server, ['ROLLBACK', 'ROLLBACK', 'BEGIN'], failed.baton)
  assert.deepEqual(after.codes, [null, 'SQLITE_ERROR', null])
  server.node.loseTransaction()
  const lost = await codesOf(server, ['SELECT 1', 'COMMIT', 'ROLLBACK', 'BEGIN'], after.baton)
  assert.deepEqual(lost.codes, ['TRANSACTION_CLOSED', 'TRANSACTION_CLOSED', null, null])
  server.node.loseTransaction()
  const rolledBack = await codesOf(server, ['ROLLBACK', 'SELECT 1'], lost.baton)
  assert.deepEqual(rolledBack.codes, [null, null])
})

test('after an unknown outcome the stream begins anew under another name', async (t) => {
  const server = await start(t)
  const { json } = await pipeline(server, [execute('BEGIN')])
  const error = { code: 'UNKNOWN_OUTCOME', detail: 'Late.' } as const
  server.node.reply = { kind: 'error', error }
  const failed = await pipeline(server, [execute('COMMIT')], json.baton)
  assert.equal(failed.json.results[0].error.code, 'UNKNOWN_OUTCOME')
  server.node.loseTransaction()
  server.node.reply = null
  await pipeline(server, [execute('BEGIN'), CLOSE], failed.json.baton)
  const streams = server.node.requests.flatMap((each) => {
    return each.kind === 'stream' ? [[each.stream, each.open, each.end]] : []
  })
  const [first, second] = [streams[0]?.[0], streams[3]?.[0]]
  assert.notEqual(first, second)
  assert.deepEqual(streams.slice(0, 5), [
    [first, false, false],
    [first, true, false],
    [first, true, true],
    [second, false, false],
    [second, true, true],
  ])
})

test('levels, deadline and the name of a write come from headers or URL', async (t) => {
  const server = await start(t)
  const body = { requests: [execute('SELECT 1'), execute('CREATE TABLE t (a)'), CLOSE] }
  const token = { cluster: 'c1', term: 1, index: 0 }
  await server.post('/v3/pipeline', body, {
    'quorate-read': 'strong',
    'quorate-ack': '2',
    'quorate-timeout-ms': '77',
    'quorate-write': 'abc:4:12',
    'quorate-session': encodeToken(token),
  })
  const [read, write] = server.node.requests
  assert.ok(read?.kind === 'read' && write?.kind === 'write')
  assert.deepEqual([read.level, read.timeoutMs, read.token], ['strong', 77, token])
  assert.deepEqual([write.ack, write.timeoutMs], [2, 77])
  assert.deepEqual(write.program.id, { session: 'abc', number: 4, since: 12 })
  server.node.requests.length = 0
  await server.post('/v3/pipeline?read=local&ack=all', { requests: [execute('SELECT 1'), CLOSE] })
  const [local] = server.node.requests
  assert.ok(local?.kind === 'read')
  assert.deepEqual([local.level, local.token], ['local', null])
  for (const query of ['read=weak', 'ack=0', 'ack=most', 'timeout=-1']) {
    assert.equal((await server.post(`/v3/pipeline?${query}`, body)).status, 400, query)
  }
  const twice = { requests: [execute('DELETE FROM t'), execute('DELETE FROM t'), CLOSE] }
  const named = await server.post('/v3/pipeline', twice, { 'quorate-write': 'abc:5:12' })
  assert.match(named.text, /one write/)
})

test('a stream reads what it wrote: each request carries the token of the one before', async (t) => {
  const server = await start(t)
  const { json, headers } = await pipeline(server, [execute('CREATE TABLE t (a)')])
  await pipeline(server, [execute('SELECT * FROM t')], json.baton)
  const read = server.node.requests.at(-1)
  assert.ok(read?.kind === 'read')
  assert.deepEqual(read.token, decodeToken(headers.get('quorate-session') ?? ''))
})

test('callers without a token are one session at this node, unless work could be taken back', async (t) => {
  const server = await start(t)
  const lastToken = () => {
    const request = server.node.requests.at(-1)
    return request?.kind === 'read' ? request.token?.index : undefined
  }
  await pipeline(server, [execute('CREATE TABLE t (id INTEGER PRIMARY KEY)'), CLOSE])
  await pipeline(server, [execute('SELECT * FROM t'), CLOSE])
  assert.equal(lastToken(), 1)
  const local = { 'quorate-ack': 'local' }
  await pipeline(server, [execute('INSERT INTO t VALUES (1)'), CLOSE], null, local)
  await pipeline(server, [execute('SELECT * FROM t'), CLOSE])
  assert.equal(lastToken(), 2, 'the write at level local is not asked for')
  const own = { 'quorate-session': encodeToken({ cluster: 'c1', term: 3, index: 1 }) }
  await pipeline(server, [execute('SELECT * FROM t'), CLOSE], null, own)
  assert.equal(lastToken(), 1, 'who shows a token is a session of its own')
})

test('a stream that is kept sees what its caller wrote on another one meanwhile', async (t) => {
  const server = await start(t)
  const { json } = await pipeline(server, [execute('SELECT 1')])
  const { headers } = await pipeline(server, [execute('CREATE TABLE t (id INTEGER PRIMARY KEY)')])
  await pipeline(server, [execute('SELECT * FROM t')], json.baton)
  const read = server.node.requests.at(-1)
  assert.ok(read?.kind === 'read')
  assert.deepEqual(read.token, decodeToken(headers.get('quorate-session') ?? ''))
})

test('a replication index in a request is what its client has seen', async (t) => {
  const server = await start(t)
  const seen = { cluster: 'c1', term: 3, index: 70 }
  const index = String(toReplicationIndex(seen))
  const asked = async (request: object) => {
    assert.equal((await pipeline(server, [request, CLOSE])).status, 200)
    const last = server.node.requests.at(-1)
    return last?.kind === 'read' ? last.token : null
  }
  const sql = 'SELECT 1'
  const step = (replication_index: string | null) => ({ stmt: { sql, replication_index } })
  const batch = { steps: [step(null), step(index), step('5')] }
  assert.deepEqual(await asked({ type: 'execute', stmt: { sql, replication_index: index } }), seen)
  assert.deepEqual(await asked({ type: 'batch', batch }), seen)
  assert.deepEqual(
    await asked({ type: 'batch', batch: { steps: [step(null)], replication_index: index } }),
    seen,
  )
  assert.deepEqual(await asked({ type: 'describe', sql, replication_index: index }), seen)
  assert.deepEqual(await asked({ type: 'sequence', sql, replication_index: Number(index) }), seen)
  const forged = { type: 'execute', stmt: { sql, replication_index: 'much' } }
  assert.equal((await pipeline(server, [forged, CLOSE])).status, 400)
})

test('what a client claims to have seen is not asked of others', async (t) => {
  const server = await start(t)
  const index = String(toReplicationIndex({ cluster: 'c1', term: 3, index: 1_000_000 }))
  const claim = { type: 'execute', stmt: { sql: 'SELECT 1', replication_index: index } }
  await pipeline(server, [claim, CLOSE])
  const header = { 'quorate-session': encodeToken({ cluster: 'c1', term: 3, index: 2_000_000 }) }
  const { json } = await pipeline(server, [execute('SELECT 1')], null, header)
  await pipeline(server, [execute('SELECT 2'), CLOSE], json.baton)
  await pipeline(server, [execute('SELECT 3'), CLOSE])
  const last = server.node.requests.at(-1)
  assert.ok(last?.kind === 'read')
  assert.ok((last.token?.index ?? 0) < 100, `asked for ${last.token?.index}`)
})

test('version 1: single requests without streams, errors as the answer', async (t) => {
  const server = await start(t)
  const created = await server.post('/v1/execute', { stmt: { sql: 'CREATE TABLE t (a UNIQUE)' } })
  assert.deepEqual([created.status, created.json.result.affected_row_count], [200, 0])
  const insert = { stmt: { sql: 'INSERT INTO t VALUES (1)' } }
  const { json } = await server.post('/v1/batch', { batch: { steps: [insert, insert] } })
  assert.equal(json.result.step_results[0].affected_row_count, 1)
  assert.equal(json.result.step_errors[1].code, 'SQLITE_CONSTRAINT')
  const failed = await server.post('/v1/execute', insert)
  assert.deepEqual([failed.status, failed.json.code], [400, 'SQLITE_CONSTRAINT'])
  const stored = await server.post('/v1/execute', { stmt: { sql_id: 1 } })
  assert.equal(stored.status, 400, 'stored texts came with version 2')
  await server.post('/v1/execute', { stmt: { sql: 'BEGIN' } })
  assert.equal(server.node.owner, null, 'nothing stays open')
})

test('describe tells parameters, columns and kind without running', async (t) => {
  const server = await start(t)
  server.node.db.exec('CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT)')
  const describe = async (sql: string) => {
    const { json } = await pipeline(server, [{ type: 'describe', sql }, CLOSE])
    const [{ response, error }] = json.results
    return response?.result ?? error
  }
  assert.deepEqual(await describe('SELECT id, a FROM t WHERE id = :id AND a = ? -- end'), {
    params: [{ name: ':id' }, { name: null }],
    cols: [
      { name: 'id', decltype: 'INTEGER' },
      { name: 'a', decltype: 'TEXT' },
    ],
    is_explain: false,
    is_readonly: true,
  })
  const insert = await describe('INSERT INTO t (a) VALUES (?)')
  assert.deepEqual([insert.cols, insert.is_readonly], [[], false])
  assert.equal((await describe('EXPLAIN SELECT 1')).is_explain, true)
  assert.equal((await describe('SELECT nothing')).code, 'SQLITE_ERROR')
  assert.equal((await describe('INSERT INTO missing VALUES (1)')).code, 'SQLITE_ERROR')
  const within = await describe('WITH w AS (SELECT 1) INSERT INTO t (a) SELECT * FROM w')
  assert.deepEqual([within.cols, within.is_readonly], [[], false])
  const returning = await describe('INSERT INTO t (a) VALUES (1) RETURNING id, 2 AS b')
  const names = returning.cols.map(({ name }: { name: string }) => name)
  assert.deepEqual([names, returning.is_readonly], [['id', 'b'], false])
  const numbered = await describe('SELECT ?, ?3, :one, $two, @three')
  assert.deepEqual(
    numbered.params.map(({ name }: { name: string | null }) => name),
    [null, null, '?3', ':one', '$two', '@three'],
  )
  assert.equal((await describe('')).code, 'SQL_NO_STATEMENT')
  assert.equal((await describe('SELECT 1; SELECT 2')).code, 'SQL_MANY_STATEMENTS')
  assert.equal(server.node.db.prepare('SELECT count(*) AS n FROM t').get()?.['n'], 0)
})
