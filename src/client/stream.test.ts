/** Streamed rows and events of the remote client, against nodes that are functions. */
import { deepEqual, equal, match, rejects } from 'node:assert/strict'
import { test } from 'node:test'
import { type ErrorCode, QuorateError } from '../base/errors.ts'
import { encodeChanges } from '../model/changes.ts'
import { encodeToken } from '../model/token.ts'
import { type ChangeEvent, type ConnectOptions, connect } from './index.ts'
import { fakeNodes, type Handler, silence } from './testing.ts'
import { ConnectionError, type HttpStream, type Transport } from './transport.ts'

function client(handler: Handler, options: ConnectOptions = {}) {
  const { transport, seen } = fakeNodes(handler)
  return { db: connect(['http://a:1', 'http://b:1'], { transport, ...options }), seen }
}

function hasCode(code: ErrorCode): (error: unknown) => boolean {
  return (error) => error instanceof QuorateError && error.code === code
}

async function collect<T>(rows: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = []
  for await (const row of rows) all.push(row)
  return all
}

function lines(...entries: readonly unknown[]): string {
  return `${entries.map((entry) => JSON.stringify(entry)).join('\n')}\n`
}

const OPEN = { baton: null, base_url: null }
const COLS = [
  { name: 'id', decltype: 'INTEGER' },
  { name: 'text', decltype: null },
]
const BEGIN = { type: 'step_begin', step: 0, cols: COLS }
const END = { type: 'step_end', affected_row_count: 0, last_insert_rowid: null }

function row(id: string, value: string): unknown {
  return {
    type: 'row',
    row: [
      { type: 'integer', value: id },
      { type: 'text', value },
    ],
  }
}

test('rows come one by one, whatever pieces they travel in', async () => {
  const token = encodeToken({ cluster: 'c', term: 1, index: 50 })
  const { db, seen } = client(() => ({
    headers: { 'quorate-session': token },
    body: lines(OPEN, BEGIN, row('1', 'zürich 🚲'), row('9007199254740993', ''), END),
  }))
  const rows = await collect(db.stream('select ?', [true], { read: 'local' }))
  deepEqual(rows, [
    { id: 1, text: 'zürich 🚲' },
    { id: 9007199254740993n, text: '' },
  ])
  equal(seen[0]?.url, 'http://a:1/v3/cursor')
  equal(seen[0]?.headers['quorate-read'], 'local')
  deepEqual(JSON.parse(seen[0]?.body ?? '').batch.steps, [
    { stmt: { sql: 'select ?', args: [{ type: 'integer', value: '1' }] } },
  ])
  deepEqual(await collect(db.stream('select 1', [], { bigints: true })), [
    { id: 1n, text: 'zürich 🚲' },
    { id: 9007199254740993n, text: '' },
  ])
  equal(seen[1]?.headers['quorate-session'], token)
})

test('an error of the statement comes when it happens, after the rows before it', async () => {
  const error = { message: 'integer overflow', code: 'SQLITE_ERROR', quorate_code: 'SQL_ERROR' }
  const { db } = client(() => ({
    body: lines(OPEN, BEGIN, row('1', 'a'), { type: 'step_error', step: 0, error }),
  }))
  const rows = db.stream('select 1')
  equal((await rows.next()).value?.['id'], 1)
  await rejects(rows.next(), hasCode('SQL_ERROR'))
  const refused = client(() => ({ status: 400, body: { message: 'No.', code: 'SQL_ERROR' } }))
  await rejects(collect(refused.db.stream('select')), hasCode('SQL_ERROR'))
})

test('an answer that ends in the middle is no result', async () => {
  const { db } = client(() => ({ body: lines(OPEN, BEGIN, row('1', 'a')) }))
  await rejects(collect(db.stream('select 1')), hasCode('CURSOR_CLOSED'))
})

test('a stream that the node keeps is closed there, also when the caller leaves', async () => {
  const { db, seen } = client(({ url }) => ({
    body: url.endsWith('/v3/cursor')
      ? lines({ baton: 'b', base_url: null }, BEGIN, row('1', 'a'), row('2', 'b'), END)
      : { baton: null, base_url: null, results: [{ type: 'ok' }] },
  }))
  for await (const { id } of db.stream('select 1')) {
    equal(id, 1)
    break
  }
  deepEqual(JSON.parse(seen[1]?.body ?? ''), { baton: 'b', requests: [{ type: 'close' }] })
})

test('the beginning is tried elsewhere, an abort and a deadline end it', async () => {
  const { db, seen } = client(({ url }) => {
    if (url.startsWith('http://a')) throw new ConnectionError('gone', true)
    return { body: lines(OPEN, BEGIN, END) }
  })
  deepEqual(await collect(db.stream('select 1')), [])
  equal(seen[1]?.url, 'http://b:1/v3/cursor')
  const silent = client(silence)
  const late = collect(silent.db.stream('select 1', [], { timeoutMs: 50 }))
  await rejects(late, hasCode('DEADLINE'))
  const stop = new AbortController()
  const reason = new Error('enough')
  const aborted = collect(silent.db.stream('select 1', [], { signal: stop.signal }))
  stop.abort(reason)
  await rejects(aborted, (error) => error === reason)
})

test('rows that stop coming run into the deadline', async () => {
  const { transport } = fakeNodes(() => ({ body: '' }))
  const stuck: Transport['open'] = async ({ signal }) => ({
    status: 200,
    header: () => null,
    body: stuckAfter(lines(OPEN, BEGIN, row('1', 'a')), signal),
  })
  const db = connect('http://a:1', { transport: { ...transport, open: stuck } })
  const rows = db.stream('select 1', [], { timeoutMs: 50 })
  equal((await rows.next()).value?.['id'], 1)
  await rejects(rows.next(), hasCode('DEADLINE'))
})

async function* stuckAfter(
  text: string,
  signal: AbortSignal,
): HttpStream['body'] & AsyncGenerator<Uint8Array> {
  yield new TextEncoder().encode(text)
  await new Promise((_, reject) => {
    signal.addEventListener('abort', () => reject(signal.reason))
  })
}

function sse(name: string, data: string): string {
  return `event: ${name}\ndata: ${data}\n\n`
}

function changed(index: number): string {
  const rows = [{ table: 't', op: 'insert', key: [['id', BigInt(index)]] }] as const
  return sse('change', encodeChanges({ kind: 'change', index, schema: false, rows }))
}

test('changes come from where the session stood, and go on after a break where they were', async () => {
  const answers = [
    `:\n\n${changed(43)}${changed(45)}`,
    `${sse('change', encodeChanges({ kind: 'gap', through: 60 }))}`,
  ]
  const { db, seen } = client((request, count) => {
    const body = answers[count - 1]
    return body === undefined ? silence(request) : { body }
  })
  const events: ChangeEvent[] = []
  const done = Promise.withResolvers<void>()
  db.on('change', (event) => {
    events.push(event)
    if (event.kind === 'gap') done.resolve()
  })
  await done.promise
  await db.close()
  const rows = (id: number) => [{ table: 't', op: 'insert', key: { id } }]
  deepEqual(events, [
    { kind: 'change', index: 43, schema: false, rows: rows(43) },
    { kind: 'change', index: 45, schema: false, rows: rows(45) },
    { kind: 'gap', through: 60 },
  ])
  match(seen[0]?.url ?? '', /\/events\?changes=1&after=41$/)
  match(seen[1]?.url ?? '', /\/events\?changes=1&after=45$/)
})

test('with several groups a position is told with the group in whose log it is', async () => {
  const answers = [
    `${sse('origin', '"east-abc123"')}${changed(43)}`,
    `${sse('origin', '"west-abc123"')}${sse('change', encodeChanges({ kind: 'gap', through: 7 }))}`,
  ]
  const { db, seen } = client((request, count) => {
    const body = answers[count - 1]
    return body === undefined ? silence(request) : { body }
  })
  const last = await new Promise<ChangeEvent>((resolve) => {
    db.on('change', (event) => {
      if (event.kind === 'gap') resolve(event)
    })
  })
  deepEqual(last, { kind: 'gap', through: 7 })
  while (seen.length < 3) await new Promise(setImmediate)
  await db.close()
  deepEqual(
    seen.map(({ url }) => new URL(url).search),
    [
      '?changes=1&after=41',
      '?changes=1&after=43&of=east-abc123',
      '?changes=1&after=7&of=west-abc123',
    ],
  )
})

test('conflicts and reordering have events of their own', async () => {
  const events = [
    { name: 'conflict', facts: { conflicts: 2, table: 't', kind: 'overwritten' } },
    { name: 'reordered', facts: { transactions: 5 } },
  ]
  const { db } = client((request, count) => {
    // The second listener opens the stream anew.
    if (count > 2) return silence(request)
    return { body: events.map((event) => sse(event.name, JSON.stringify(event))).join('') }
  })
  const conflict = new Promise((resolve) => db.on('conflict', resolve))
  const reordered = new Promise((resolve) => db.on('reordered', resolve))
  deepEqual(await conflict, { conflicts: 2, table: 't', kind: 'overwritten' })
  deepEqual(await reordered, { transactions: 5 })
  await db.close()
})

test('leader events have the name of the leader, and nobody listening means no stream', async () => {
  const members = [{ id: 'x1', name: 'x' }]
  const { db, seen } = client((request, count) => {
    if (request.url.endsWith('/status')) return { body: { members } }
    if (count > 1) return silence(request)
    const event = { name: 'leader.following', level: 'info', facts: { term: 7, leader: 'x1' } }
    return { body: sse(event.name, JSON.stringify(event)) }
  })
  equal(seen.length, 0)
  const leader = await new Promise((resolve) => db.on('leader', resolve))
  deepEqual(leader, { name: 'x', term: 7 })
  equal(new URL(seen[0]?.url ?? '').search, '')
  await db.close()
})

test('lag is told when it changes, while somebody listens', async (t) => {
  t.mock.timers.enable({ apis: ['setInterval'] })
  const applied = [10, 7, 7, 10]
  const { db, seen } = client((_, count) => ({
    body: { log: { committed: 10, applied: applied[count - 1] ?? 10 } },
  }))
  const told: number[] = []
  const stop = db.on('lag', ({ entries }) => {
    told.push(entries)
  })
  for (let look = 1; look <= applied.length; look += 1) {
    t.mock.timers.tick(1_000)
    while (seen.length < look) await new Promise(setImmediate)
    for (let turn = 0; turn < 5; turn += 1) await new Promise(setImmediate)
  }
  deepEqual(told, [3, 0])
  stop()
  t.mock.timers.tick(5_000)
  equal(seen.length, applied.length)
})

test('changes keep their values on the way', async () => {
  const { db } = client((request, count) => {
    if (count > 1) return silence(request)
    const key = [
      ['a', 2n ** 60n],
      ['b', new Uint8Array([1, 255])],
      ['c', 'ü'],
      ['d', null],
      ['e', 1.5],
    ] as const
    const rows = [{ table: 't', op: 'delete', key }] as const
    return { body: sse('change', encodeChanges({ kind: 'change', index: 42, schema: true, rows })) }
  })
  const event = await new Promise<ChangeEvent>((resolve) => db.on('change', resolve))
  await db.close()
  deepEqual(event.kind === 'change' && event.rows[0]?.key, {
    a: 2n ** 60n,
    b: new Uint8Array([1, 255]),
    c: 'ü',
    d: null,
    e: 1.5,
  })
})
