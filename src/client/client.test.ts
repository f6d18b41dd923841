/** The client against nodes that are functions: what it sends, and what it does when they fail. */
import { deepEqual, equal, match, notEqual, ok, rejects } from 'node:assert/strict'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { test } from 'node:test'
import { ERRORS, type ErrorCode, QuorateError } from '../base/errors.ts'
import { decodeToken, encodeToken } from '../model/token.ts'
import { type ConnectOptions, connect } from './index.ts'
import { nodeTransport } from './node-transport.ts'
import { type Answer, fakeNodes, type Handler, opened, silence, TOPOLOGY } from './testing.ts'
import { ConnectionError, type HttpReply, type HttpRequest } from './transport.ts'

const RESULT = { cols: [], rows: [], affected_row_count: 1, last_insert_rowid: '7' }
const OK = { baton: null, base_url: null, results: [pipelineOk(RESULT), { type: 'ok' }] }

function pipelineOk(result: unknown): unknown {
  return { type: 'ok', response: { type: 'execute', result } }
}

function failed(code: string, message = 'No.', ours: object = {}): unknown {
  const error = { code, message, ...ours }
  return { baton: null, base_url: null, results: [{ type: 'error', error }] }
}

function client(
  handler: Handler,
  options: ConnectOptions = {},
  urls = ['http://a:1', 'http://b:1'],
) {
  const { transport, seen } = fakeNodes(handler)
  return { db: connect(urls, { transport, ...options }), seen }
}

function hasCode(code: ErrorCode): (error: unknown) => boolean {
  return (error) => {
    ok(error instanceof QuorateError, String(error))
    equal(error.code, code)
    return true
  }
}

function lost(refused: boolean): never {
  throw new ConnectionError('gone', refused)
}

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise(setImmediate)
}

test('values keep their type on the way out and back', async () => {
  const sent = [42, 1.5, 2n ** 62n, 'text', null, true, new Uint8Array([1, 2]), 0.25]
  const { db, seen } = client(({ body }) => {
    const { args } = JSON.parse(body ?? '').requests[0].stmt
    const cols = args.map((_: unknown, at: number) => ({ name: `c${at}` }))
    return { body: { ...OK, results: [pipelineOk({ ...RESULT, cols, rows: [args] })] } }
  })
  const { rows } = await db.execute('select ?', sent)
  deepEqual(rows[0], [42, 1.5, 2n ** 62n, 'text', null, 1, new Uint8Array([1, 2]), 0.25])
  const types = JSON.parse(seen[0]?.body ?? '').requests[0].stmt.args.map(
    (value: { type: string }) => value.type,
  )
  deepEqual(types, ['integer', 'float', 'integer', 'text', 'null', 'integer', 'blob', 'float'])
})

test('what SQLite has no value for is refused before anything is sent', async () => {
  const { db, seen } = client(() => ({ body: OK }))
  await rejects(db.execute('insert into t values (?)', [Number.NaN]), hasCode('SQL_ARGUMENTS'))
  await rejects(
    db.execute('insert into t values (?)', [{} as unknown as string]),
    hasCode('SQL_ARGUMENTS'),
  )
  equal(seen.length, 0)
})

test('rows come as objects, and a large integer as a bigint', async () => {
  const cols = [{ name: 'id' }, { name: '__proto__' }]
  const row = [
    { type: 'integer', value: '9007199254740993' },
    { type: 'text', value: 'x' },
  ]
  const { db } = client(() => ({
    body: { ...OK, results: [pipelineOk({ ...RESULT, cols, rows: [row] })] },
  }))
  const [first] = await db.query('select 1')
  equal(first?.['id'], 9007199254740993n)
  ok(first !== undefined && Object.hasOwn(first, '__proto__'))
})

test('a write whose answer was lost is sent elsewhere under the same name', async () => {
  const { db, seen } = client((_, count) => (count === 1 ? lost(false) : { body: OK }))
  const result = await db.execute('insert into t values (1)')
  equal(result.changes, 1)
  equal(result.lastInsertRowid, 7)
  const [first, second] = seen
  equal(first?.url, 'http://a:1/v3/pipeline')
  equal(second?.url, 'http://b:1/v3/pipeline')
  match(first?.headers['quorate-write'] ?? '', /^[0-9a-f]{32}:1:41$/)
  equal(first?.headers['quorate-write'], second?.headers['quorate-write'])
})

test('every write has a name of its own; a read has none', async () => {
  const { db, seen } = client(() => ({ body: OK }))
  await db.execute('insert into t values (1)')
  const batch = db.batch([['insert into t values (?)', [1]], 'delete from t'])
  await rejects(batch, hasCode('INTERNAL'), 'the answer is not one to a batch')
  await db.query(' -- why\n /* because */ select 1')
  await db.batch(['select 1'], { mode: 'read' }).catch(() => {})
  await db.execute('with x as (select 1) delete from t')
  const names = seen.map((request) => request.headers['quorate-write']?.split(':')[1])
  deepEqual(names, ['1', '2', undefined, undefined, '3'])
})

test('codes of waiting are waited out', async () => {
  const codes = ['NO_LEADER', 'NOT_READY', 'TAKEN_BACK', 'UNKNOWN_OUTCOME', 'OVERLOADED']
  const { db, seen } = client((_, count) => ({
    body: count <= codes.length ? failed(codes[count - 1] ?? '') : OK,
  }))
  await db.execute('insert into t values (1)')
  equal(seen.length, codes.length + 1)
})

test('whoever asked for it is told of each attempt that another one follows', async () => {
  const told: unknown[] = []
  const { db } = client(
    (_request, count) => {
      if (count === 1) return lost(true)
      return count < 4 ? { body: failed('NO_LEADER') } : { body: OK }
    },
    { retrying: ({ code }, leftMs) => told.push([code, leftMs > 0 && leftMs <= 10_000]) },
  )
  await db.execute('select 1')
  deepEqual(told, [
    ['UNREACHABLE', true],
    ['NO_LEADER', true],
    ['NO_LEADER', true],
  ])
})

test('our code is seen where the wire has one of SQLite, and the sentence once', async () => {
  const message = `NO_LEADER: Nobody leads. ${ERRORS.NO_LEADER.hint}`
  const body = failed('SQLITE_BUSY', message, { quorate_code: 'NO_LEADER' })
  const { db } = client(() => ({ body }))
  await rejects(db.execute('insert into t values (1)', [], { timeoutMs: 30 }), (error) => {
    hasCode('NO_LEADER')(error)
    equal((error as QuorateError).detail, 'Nobody leads.')
    return true
  })
})

test('an error of the statement comes at once, with the code of SQLite beside ours', async () => {
  const ours = { quorate_code: 'SQL_CONSTRAINT', facts: { sqlite: 'SQLITE_CONSTRAINT' } }
  const { db, seen } = client(() => ({ body: failed('SQLITE_CONSTRAINT', 'UNIQUE: t.a.', ours) }))
  await rejects(db.execute('insert into t values (1)'), (error) => {
    hasCode('SQL_CONSTRAINT')(error)
    equal((error as QuorateError).facts.sqlite, 'SQLITE_CONSTRAINT')
    return true
  })
  equal(seen.length, 1)
})

test('a write without an answer by the deadline is unknown', async () => {
  const { db } = client(silence)
  await rejects(
    db.execute('insert into t values (1)', [], { timeoutMs: 60 }),
    hasCode('UNKNOWN_OUTCOME'),
  )
})

test('once it may have run, a later refusal does not make it failed', async () => {
  const { db } = client((_, count) => (count === 1 ? lost(false) : { body: failed('NO_LEADER') }))
  await rejects(
    db.execute('insert into t values (1)', [], { timeoutMs: 100 }),
    hasCode('UNKNOWN_OUTCOME'),
  )
})

test('a write that reached nobody has failed, not become unknown', async () => {
  const { db } = client(() => lost(true))
  await rejects(
    db.execute('insert into t values (1)', [], { timeoutMs: 60 }),
    hasCode('UNREACHABLE'),
  )
  const waiting = client(() => ({ body: failed('NO_LEADER') }))
  await rejects(
    waiting.db.execute('insert into t values (1)', [], { timeoutMs: 60 }),
    hasCode('NO_LEADER'),
  )
})

test('a refusal is not made unknown by an attempt without time for an answer', async () => {
  // It answers when its time is up, but for attempts that have next to none.
  const { db, seen } = client(async (request) => {
    const ms = Number(request.headers['quorate-timeout-ms'])
    if (ms < 40) return await silence(request)
    await new Promise((resolve) => setTimeout(resolve, ms))
    return { body: failed('NOT_READY') }
  })
  await rejects(
    db.execute('insert into t values (1)', [], { timeoutMs: 400 }),
    hasCode('NOT_READY'),
  )
  equal(seen.length, 1)
})

test('a node that gives no sign of life is left, one that does may take its time', async () => {
  const dead = fakeNodes(() => ({ body: OK }))
  const send = (request: HttpRequest): Promise<HttpReply> =>
    request.url.startsWith('http://a:1')
      ? new Promise((_, reject) => {
          request.signal.addEventListener('abort', () => reject(request.signal.reason))
        })
      : dead.transport.send(request)
  const db = connect(['http://a:1', 'http://b:1'], {
    transport: { send, open: opened(send), close() {} },
  })
  const slow = client(async () => {
    await new Promise((resolve) => setTimeout(resolve, 2500))
    return { body: OK }
  })
  await Promise.all([db.query('select 1'), slow.db.query('select 1')])
  equal(dead.seen[0]?.url, 'http://b:1/v3/pipeline')
  equal(slow.seen.length, 1)
})

test('a read without an answer by the deadline says so', async () => {
  const { db } = client(silence)
  await rejects(db.query('select 1', [], { timeoutMs: 60 }), hasCode('DEADLINE'))
})

test('the later token is kept, and shown with the next request', async () => {
  const token = (term: number, index: number) => encodeToken({ cluster: 'c', term, index })
  const tokens = [token(2, 10), token(2, 9), '?', token(3, 4)]
  const { db, seen } = client((_, count) => ({
    headers: { 'quorate-session': tokens[count - 1] ?? '' },
    body: OK,
  }))
  for (let i = 0; i < 5; i += 1) await db.query('select 1')
  deepEqual(
    seen.map((request) => request.headers['quorate-session']),
    [undefined, tokens[0], tokens[0], tokens[0], tokens[3]],
  )
})

test('levels and the token of the cluster travel as headers', async () => {
  const { db, seen } = client(() => ({ body: OK }), { token: 't', read: 'session', ack: 2 })
  await db.query('select 1', [], { read: 'strong' })
  await db.execute('delete from t', [], { ack: 'all' })
  equal(seen[0]?.headers['authorization'], 'Bearer t')
  equal(seen[0]?.headers['quorate-read'], 'strong')
  equal(seen[0]?.headers['quorate-ack'], '2')
  equal(seen[1]?.headers['quorate-ack'], 'all')
})

test('an aborted call rejects with the reason, at once', async () => {
  const { db } = client(silence)
  const controller = new AbortController()
  const reason = new Error('no longer wanted')
  const call = db.query('select 1', [], { signal: controller.signal })
  controller.abort(reason)
  await rejects(call, (error) => error === reason)
  await rejects(db.query('select 1', [], { signal: controller.signal }), (e) => e === reason)
})

test('close() ends what is under way', async () => {
  const { db } = client(silence)
  const read = db.query('select 1')
  const write = client(silence)
  const written = write.db.execute('delete from t')
  await until(() => write.seen.length > 0)
  db.close()
  write.db.close()
  await rejects(read, hasCode('UNREACHABLE'))
  await rejects(written, hasCode('UNKNOWN_OUTCOME'))
  await rejects(db.query('select 1'), hasCode('UNREACHABLE'))
})

test('a batch is BEGIN, each statement if the one before went well, COMMIT or ROLLBACK', async () => {
  const step = { ...RESULT, affected_row_count: 3 }
  const results = {
    step_results: [RESULT, step, RESULT, null],
    step_errors: [null, null, null, null],
  }
  const { db, seen } = client(() => ({ body: { ...OK, results: [pipelineOk(results)] } }))
  const [only, ...more] = await db.batch([['update t set a = ?', [1]]])
  equal(only?.changes, 3)
  equal(more.length, 0)
  const { steps } = JSON.parse(seen[0]?.body ?? '').requests[0].batch
  deepEqual(
    steps.map((item: { stmt: { sql: string } }) => item.stmt.sql),
    ['BEGIN IMMEDIATE', 'update t set a = ?', 'COMMIT', 'ROLLBACK'],
  )
  deepEqual(steps[3].condition, { type: 'not', cond: { type: 'ok', step: 2 } })
})

/** A stream that answers everything well, with a new baton each time. */
function stream(request: HttpRequest, count: number): Answer {
  const { requests } = JSON.parse(request.body ?? '')
  const closes = requests.some((item: { type: string }) => item.type === 'close')
  const results = requests.map((item: { type: string; batch?: { steps: unknown[] } }) => {
    if (item.type !== 'batch') return pipelineOk(RESULT)
    const steps = item.batch?.steps ?? []
    return pipelineOk({ step_results: steps.map(() => RESULT), step_errors: steps.map(() => null) })
  })
  return { body: { baton: closes ? null : `b${count}`, base_url: 'http://leader:1', results } }
}

test('a transaction stays on its stream and commits', async () => {
  const { db, seen } = client(stream)
  await db.transaction(async (tx) => {
    await Promise.all([tx.execute('insert into t values (1)'), tx.query('select 1')])
  })
  deepEqual(
    seen.map((request) => [request.url, JSON.parse(request.body ?? '').baton]),
    [
      ['http://a:1/v3/pipeline', null],
      ['http://leader:1/v3/pipeline', 'b1'],
      ['http://leader:1/v3/pipeline', 'b2'],
    ],
  )
  match(seen[2]?.body ?? '', /COMMIT/)
})

test('a transaction whose function throws is rolled back', async () => {
  const { db, seen } = client(stream)
  const reason = new Error('changed my mind')
  const work = db.transaction(async (tx) => {
    await tx.execute('insert into t values (1)')
    throw reason
  })
  await rejects(work, (error) => error === reason)
  deepEqual(JSON.parse(seen[1]?.body ?? '').requests, [{ type: 'close' }])
})

test('a COMMIT without an answer is unknown, and is not sent again', async () => {
  const { db, seen } = client((request, count) =>
    count === 2 ? lost(false) : stream(request, count),
  )
  const work = db.transaction((tx) => tx.execute('insert into t values (1)'))
  await rejects(work, hasCode('UNKNOWN_OUTCOME'))
  equal(seen.length, 2)
})

test('a statement after the node ended the transaction is not run on its own', async () => {
  const skipped = pipelineOk({ step_results: [null], step_errors: [null] })
  const { db } = client((request, count) =>
    count === 2
      ? { body: { baton: 'b', base_url: null, results: [skipped] } }
      : stream(request, count),
  )
  const work = db.transaction(async (tx) => {
    await tx.execute('insert into t values (1)')
    await tx.execute('insert into t values (2)')
  })
  await rejects(work, hasCode('TRANSACTION_CLOSED'))
})

test('a transaction waits for a leader to begin at', async () => {
  const { db, seen } = client((request, count) =>
    count < 3 ? { body: failed('NO_LEADER') } : stream(request, count),
  )
  await db.transaction((tx) => tx.execute('insert into t values (1)'))
  equal(seen.length, 4)
})

test('what is no URL is refused', () => {
  for (const urls of [[], ['nonsense'], ['ftp://a']]) {
    let error: unknown = null
    try {
      connect(urls)
    } catch (thrown) {
      error = thrown
    }
    hasCode('BAD_CONFIG')(error)
  }
})

for (const kind of ['fetch', 'node:http'] as const) {
  test(`over ${kind}: answers, errors in bodies, and a node that is not there`, async (t) => {
    const server = createServer((request, response) => {
      const status = request.headers['quorate-read'] === 'strong' ? 401 : 200
      const error = { message: 'Who are you?', code: 'UNAUTHORIZED' }
      const body = request.url === '/topology' ? TOPOLOGY : OK
      response.writeHead(status, {
        'quorate-session': encodeToken({ cluster: 'c', term: 1, index: 50 }),
      })
      response.end(JSON.stringify(status === 200 ? body : error))
    })
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
    const transport = kind === 'fetch' ? {} : { transport: nodeTransport() }
    const db = connect(['http://127.0.0.1:1', url], transport)
    t.after(() => {
      db.close()
      server.close()
      server.closeAllConnections()
    })
    equal((await db.execute('insert into t values (1)')).changes, 1)
    await rejects(db.query('select 1', [], { read: 'strong' }), hasCode('UNAUTHORIZED'))
    const gone = connect('http://127.0.0.1:1', transport)
    await rejects(
      gone.execute('insert into t values (1)', [], { timeoutMs: 100 }),
      hasCode('UNREACHABLE'),
    )
  })
}

test('two clients never share a name', async () => {
  const first = client(() => ({ body: OK }))
  const second = client(() => ({ body: OK }))
  await first.db.execute('delete from t')
  await second.db.execute('delete from t')
  notEqual(first.seen[0]?.headers['quorate-write'], second.seen[0]?.headers['quorate-write'])
})

/** Node a is of group east, b of west. */
const ofGroups = (url: string): object => ({
  ...TOPOLOGY,
  ...(url.startsWith('http://a') ? { origin: 'east' } : { origin: 'west', position: 7 }),
})

function clientOfGroups(handler: Handler, timeoutMs: number) {
  const { transport, seen } = fakeNodes(handler, ofGroups)
  return { db: connect(['http://a:1', 'http://b:1'], { transport, timeoutMs }), seen }
}

/** As nodes refuse names that were made elsewhere. */
function byName({ url, headers }: HttpRequest): Answer {
  const own = url.startsWith('http://a') ? 'east' : 'west'
  const of = headers['quorate-write']?.split(':')[3]
  return of === own ? { body: OK } : { status: 409, body: { code: 'OTHER_GROUP', message: 'No.' } }
}

const namesIn = (seen: readonly HttpRequest[]) =>
  seen.map(({ headers }) => headers['quorate-write']?.replace(/^\w+:/, ''))

test('a write that no node of its group can have run is named anew at another group', async () => {
  const { db, seen } = clientOfGroups((request) => {
    return request.url.startsWith('http://a') ? lost(true) : byName(request)
  }, 5_000)
  await db.execute('insert into t values (1)')
  deepEqual(namesIn(seen), ['1:41:east', '1:41:east', '2:7:west'])
  await db.execute('insert into t values (2)')
  equal(namesIn(seen).at(-1), '3:7:west')
})

test('a write that may have run in its group is never run in another', async () => {
  const { db, seen } = clientOfGroups((request) => {
    return request.url.startsWith('http://a') ? lost(false) : byName(request)
  }, 200)
  await rejects(db.execute('insert into t values (1)'), hasCode('UNKNOWN_OUTCOME'))
  ok(seen.length > 2)
  equal(new Set(namesIn(seen)).size, 1)
})

test('the token of a session covers what it saw of each group, wherever it asks next', async () => {
  const seenOf = { a: { east: 5, west: 2 }, b: { east: 4, west: 6 } }
  const token = (self: 'a' | 'b') => {
    const origins = { self, seen: Object.entries(seenOf[self]) }
    return encodeToken({ cluster: 'c', term: 1, index: 9, origins })
  }
  const { db, seen } = clientOfGroups(({ url }, count) => {
    if (url.startsWith('http://a') && count > 1) lost(true)
    const headers = { 'quorate-session': token(url.startsWith('http://a') ? 'a' : 'b') }
    return { body: OK, headers }
  }, 5_000)
  for (let i = 0; i < 3; i += 1) await db.query('select 1')
  const shown = decodeToken(seen.at(-1)?.headers['quorate-session'] ?? '')
  deepEqual(shown.origins, {
    self: 'b',
    seen: [
      ['east', 5],
      ['west', 6],
    ],
  })
})
